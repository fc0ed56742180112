"""SNS-Bench Taxonomy: which category a note belongs to, among candidates (Guo et al., ICML 2025).

*single* asks for one category, *multiple* for a path of three levels. Three golds of *single* are
not among their own candidates; under `corrected` they count when they are the whole answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..extract_label import LabelSet, candidate_labels
from ..extraction import Extraction, answer_text, failure_kind, normalize
from ..metrics.classification import accuracy_scoring
from ..schema import Completion, Record, Sample
from ..task import Baselines, Prompt
from .base import choice_task, frequent_targets, listed, official_choice, row, task

SINGLE = choice_task(
    "taxonomy_single",
    "Note-Taxonomy-single",
    "Taxonomy (one category)",
    "content understanding",
    lambda raw: row(raw, raw["answer"], raw["content"], label=raw["answer"]),
    max_tokens=32,
    prompts={
        "en": Prompt(
            "You sort the posts of a social network into categories. You get a post and a list of "
            "candidate categories. Choose the one candidate that fits the post best, and reply "
            "with that category only, spelled as in the list: no explanation, no other words.\n\n"
            "Example\nPost: My sourdough finally has holes! Third try, 24 h in the fridge\n"
            "Candidates: Gardening, Baking, Restaurants, Fitness\nCategory: Baking",
            "Post: {content}\nCandidates: {candidates}\nCategory:",
        ),
        "zh": Prompt(
            "你负责为社交平台的笔记分类。你会看到一篇笔记和一组候选类别，请选出最符合笔记的一个类别，"
            "只回复该类别，写法与候选一致，不要解释，不要输出其他内容。\n\n"
            "示例\n笔记：第三次做酸面包终于有气孔了，冷藏发酵了一整天\n"
            "候选类别：园艺, 烘焙, 探店, 健身\n类别：烘焙",
            "笔记：{content}\n候选类别：{candidates}\n类别：",
        ),
    },
)

# --- multiple ----------------------------------------------------------------------------------

LEVELS = ("candidates_primary", "candidates_secondary", "candidates_tertiary")

_BARS = re.compile(r"\s*(?:[|｜→»>]|->|=>)+\s*|\s/\s")
_HEAD = re.compile(
    r"(?:.*(?:\b(?:is|are|choose|as|to|under|into|be)|[:：=是为选于])\s*|\W*)$", re.S | re.I
)
_TAIL = re.compile(
    r"\.(?:\s|$)|\b(?:because|since|as (?:it|the|this)|hope)\b|[,;:，。；：！!(（\n]|\s[-–—]\s"
    r"|因为|由于",
    re.I,
)
_DENIED = re.compile(r"\s*(?:it is |it's )?(?:not\b|rather than|instead of|不是|而不是|而非)", re.I)
_TURNS = re.compile(
    r"[,，]?\s*(?:\bbut(?: rather)?\b|而是)\s*"
    r"|[,，]?\s*(?=\bnot\b|\brather than|\binstead of|不是|而非)",
    re.I,
)
_NAMED = re.compile(
    r"(?:(?P<a>primary|first|level 1|一级)|(?P<b>secondary|second|level 2|二级)"
    r"|(?P<c>tertiary|third|level 3|三级))[^\n:：|]{0,24}?(?:[:：]|\bis\b)([^\n]*?)"
    r"(?=\n|$|[\s,，;；|]+(?:and )?(?:the )?[\"'*]*"
    r"(?:(?:primary|first|level 1|secondary|second|level 2|tertiary|third|level 3)\b|[一二三]级))",
    re.I,
)


_EDGES = " \t{}\"'“”*,，;；|"


def _path_row(raw: Mapping[str, Any]) -> Record:
    return row(raw, raw["answer"], raw["content"], label=parts(raw["answer"])[0])


def read_path(completion: Completion, levels: Sequence[LabelSet], language: str) -> Extraction:
    """A path of one label per level: `A | B | C`, a line per level, or parts between commas.

    Two different paths are no answer, unless the last one alone follows "answer".
    """
    text = answer_text(completion.text)
    found: dict[tuple[str, ...], None] = {}
    for line in text.split("\n"):
        for clause in _TURNS.split(line):
            path = None if _DENIED.match(clause) else _path(clause, levels)
            if path:
                if re.match(r"\W*(?:final )?(?:answer|答案|最终)", clause, re.I):
                    found.clear()
                found[path] = None
    if not found:
        named = {0 if m["a"] else 1 if m["b"] else 2: m[4] for m in _NAMED.finditer(text)}
        parts = [named[i].strip(_EDGES) for i in range(3)] if len(named) == 3 else text.split("\n")
        path = _matched([p for p in parts if p.strip()], levels)
        found = {path: None} if path else {}
    if len(found) == 1:
        return Extraction(next(iter(found)))
    return Extraction(None, failure_kind(completion, language))


def _path(clause: str, levels: Sequence[LabelSet]) -> tuple[str, ...] | None:
    """The path written in one clause, with bars or else with commas."""
    parts = [p for p in _BARS.split(clause) if p.strip(" \t`*\"'.。")]
    if len(parts) == 1 and not _NAMED.search(clause):
        parts = [p for p in re.split(r"[,，、]", clause) if p.strip()]
    return _matched(parts, levels)


def _matched(parts: Sequence[str], levels: Sequence[LabelSet]) -> tuple[str, ...] | None:
    """The label of each part, None if one is no label of its level."""
    if len(parts) != len(levels):
        return None
    found = [_label(part, levels[place], place) for place, part in enumerate(parts)]
    return None if None in found else tuple(str(label) for label in found)


def _label(part: str, level: LabelSet, place: int) -> str | None:
    """The label in a part: the first may follow a lead ("The answer is"), the last has a tail."""
    tries = [part]
    if place == 2:
        tries += [part[: m.start()] for m in _TAIL.finditer(part[:400])]
    for text in tries:
        number = level.forms.get(normalize(text))
        if number is not None:
            return level.names[number]
    if place == 0 and len(part) < 400:
        head, plain = part.rstrip(" \t*`\"'”’"), normalize(part)
        for form, number in level.longest:
            lead = head[: max(0, len(head) - len(form))].rstrip(" \t*`\"'“‘")
            if plain.endswith(form) and _HEAD.match(lead):
                return level.names[number]
    return None


@lru_cache(maxsize=1 << 12)
def _levels(*texts: str) -> tuple[LabelSet, ...]:
    return tuple(candidate_labels(listed(text)) for text in texts)


def _read_multiple(sample: Sample, completion: Completion) -> Extraction:
    if len(completion.text) < 300 and normalize(completion.text) == normalize(sample.target):
        return Extraction(tuple(parts(sample.target)))
    return read_path(completion, _levels(*(sample.fields[f] for f in LEVELS)), sample.language)


def parts(path: str) -> list[str]:
    """The levels of a path."""
    return [p.strip() for p in path.split("|")]


def _same_path(sample: Sample, answer: Sequence[str]) -> bool:
    return list(map(normalize, answer)) == list(map(normalize, parts(sample.target)))


_NOT_WORD = re.compile(r"[^\w\s]")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b", re.I)


def _official_path(text: str) -> str:
    text = re.split(r"[\n.,]", text, maxsplit=1)[0]
    return " ".join(_ARTICLES.sub("", _NOT_WORD.sub("", text)).split())


def _read_official_path(sample: Sample, completion: Completion) -> Extraction:
    return Extraction(_official_path(official_choice(completion.text)))


def _is_official_path(sample: Sample, answer: str) -> bool:
    return answer in (_official_path(sample.target), sample.target)


MULTIPLE = task(
    "taxonomy_multiple",
    "Note-Taxonomy-multiple",
    "Taxonomy (three levels)",
    "content understanding",
    _path_row,
    fields={"content": str, "answer": str, **dict.fromkeys(LEVELS, str)},
    prompts={
        "en": Prompt(
            "You sort the posts of a social network into a tree of categories with three levels. "
            "You get a post and the candidates of each level. Choose the best candidate of each "
            "level, and reply with one line, primary | secondary | tertiary, spelled as in the "
            "lists: no explanation, no other words.\n\n"
            "Example\nPost: My sourdough finally has holes! Third try, 24 h in the fridge\n"
            "Primary: ['Home', 'Food', 'Sports']\nSecondary: ['Baking', 'Running', 'Gardening']\n"
            "Tertiary: ['Seedlings', 'Marathons', 'Bread']\nPath: Food | Baking | Bread",
            "Post: {content}\nPrimary: {candidates_primary}\nSecondary: {candidates_secondary}\n"
            "Tertiary: {candidates_tertiary}\nPath:",
        ),
        "zh": Prompt(
            "你负责把社交平台的笔记归入三级类目。你会看到一篇笔记和每一级的候选类目，请为每一级各选出最合适的一个，"
            "只回复一行：一级 | 二级 | 三级，写法与候选一致，不要解释，不要输出其他内容。\n\n"
            "示例\n笔记：第三次做酸面包终于有气孔了，冷藏发酵了一整天\n"
            "一级：['家居', '美食', '运动']\n二级：['烘焙', '跑步', '园艺']\n"
            "三级：['育苗', '马拉松', '面包']\n"
            "类目：美食 | 烘焙 | 面包",
            "笔记：{content}\n一级：{candidates_primary}\n二级：{candidates_secondary}\n"
            "三级：{candidates_tertiary}\n类目：",
        ),
    },
    max_tokens=48,
    scorings=(
        accuracy_scoring("corrected", _read_multiple, _same_path),
        accuracy_scoring("official", _read_official_path, _is_official_path),
    ),
    baselines=Baselines(
        random=lambda sample, random: " | ".join(
            random.choice(listed(sample.fields[level])) for level in LEVELS
        ),
        constants=frequent_targets,
        all_candidates=lambda sample: " | ".join(sample.fields[level] for level in LEVELS),
    ),
)
