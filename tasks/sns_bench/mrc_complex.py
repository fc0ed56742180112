"""MRC complex: options in a document that answer a query, each with the words that support it.

Official (Guo et al. 2025): the text of the last `<Result>...</Result>` must be JSON. F1 of
answering at all (-1 in print where undefined); per item the likeness and the equality of options,
both means over the *predicted* options; the mean of the three is published. A run of characters
that are not CJK is one unit of comparison, so that an English option is right as a whole or not at
all.

Corrected keeps the three. Other ways to write the list are read, both sides are cleaned alike,
words are the units, and likeness and equality are F1 of predicted against gold options, so that a
model which names one sure option of ten does not score full.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..extraction import (
    MAX_CHARS,
    NONE_WORDS,
    Extraction,
    answer_text,
    failure_kind,
    normalize,
    parse_json,
    parse_literal,
)
from ..metrics import text_overlap
from ..schema import Completion, Metric, Record, Sample, Score, Scoring, Services
from ..task import Baselines, Prompt
from . import base, mrc
from .mrc import Figure, outcome, ratio, score_of

_FIGURES = ("option_f1", "option_em", "reason_f1", "reason_em")
_DOCUMENT = re.compile(r"<Doc>(.*?)(?:</Doc>|$)", re.S)


def row(raw: Mapping[str, Any]) -> Record:
    """A row of Note-MRC-complex: `content` (query, level and document), options out of `answer`."""
    options = official_options(raw["answer"])
    if options is None:
        raise ValueError("field 'answer': <Result> with a JSON list of Option and Reason expected.")
    source = _document(raw["content"])
    return base.row(raw, _listed(options), source, answer=mrc.amount(len(options)))


def _document(content: str) -> str:
    found = _DOCUMENT.search(content)
    return found[1] if found else content


def _listed(options: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Option": option, "Reason": reason} for option, reason in options.items()]


# --- official ------------------------------------------------------------------------------------


def official_options(text: str) -> dict[str, str] | None:
    """Option -> reason, a later duplicate in place of an earlier one; None if it cannot be read."""
    end = text.rfind("</Result>")
    start = text.rfind("<Result>", 0, max(end, 0))
    if start < 0 or end - start > MAX_CHARS:
        return None
    inner = text[start + len("<Result>") : end].strip().strip("`json \n")
    try:
        value = parse_json(inner)
    except ValueError:
        return None
    if not isinstance(value, list) or not all(map(_is_option, value)):
        return None
    return {item["Option"]: item["Reason"] for item in value}


def _is_option(item: Any) -> bool:
    return isinstance(item, dict) and all(
        isinstance(item.get(side), str) for side in ("Option", "Reason")
    )


_MARKS = re.compile("[:_`(),|，。：？！“”；’《》…·、「」（）－～『』]")


def _official_likeness(found: str, wanted: str) -> float:
    """F1 of the longest common run of segments; two texts without any are not alike."""
    return text_overlap.run_f1(text_overlap.segments(found), text_overlap.segments(wanted))


def _equal(found: str, wanted: str) -> float:
    return float(found == wanted)


def _best(
    found: Sequence[str], wanted: Sequence[str], likeness: Callable[[str, str], float]
) -> float:
    """Mean over the texts found of the best likeness to any text wanted; 1 if both are empty."""
    if not found or not wanted:
        return float(not found and not wanted)
    return sum(max(likeness(f, w) for w in wanted) for f in found) / len(found)


def _official(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
    options = official_options(completions[0].text)
    if options is None:
        reading = Extraction(None, failure_kind(completions[0], sample.language))
        return score_of(0, (0, 0, 0, 0, 1, 0, 0, 0, 0), reading)
    figures: list[float] = []
    for texts, side in ((options.keys(), "Option"), (options.values(), "Reason")):
        found = [_MARKS.sub("", text.lower()) for text in texts]
        wanted = [_MARKS.sub("", item[side].lower()) for item in sample.target]
        figures += (_best(found, wanted, _official_likeness), _best(found, wanted, _equal))
    counts = outcome(bool(sample.target), bool(options))
    value = counts[3] + counts[0] * (1 + figures[0] + figures[1]) / 3
    return score_of(value, (*counts, 0, *figures), Extraction(options), _listed(options))


def _official_f1(sums: np.ndarray) -> np.ndarray:
    """F1 of answering among the readable answers; NaN where precision or recall is undefined."""
    precision, recall = ratio(0, 0, 1)(sums), ratio(0, 0, 2)(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 2 * precision * recall / (precision + recall)


def _scaled(figure: Figure) -> Figure:
    return lambda sums: figure(sums) * mrc.readable(sums) / 100


def _printed(figures: Sequence[Figure]) -> Callable[[np.ndarray], float]:
    """The mean of figures as the authors print it: -1 in place of each undefined one."""

    def point(sums: np.ndarray) -> float:
        parts = [float(figure(sums)) for figure in figures]
        share = mrc.readable(sums) / 100
        return float(np.mean([-1.0 if np.isnan(p) else p for p in parts]) * share) + 0.0

    return point


_PARTS: tuple[tuple[str, Figure], ...] = (
    ("f1", _official_f1),
    *((name, ratio(5 + i, 0, 1, 2, 3)) for i, name in enumerate(_FIGURES)),
)
_PUBLISHED = [figure for _, figure in _PARTS[:3]]
_OFFICIAL_METRICS = (
    Metric("f1_option", mrc.mean_of([_scaled(f) for f in _PUBLISHED]), _printed(_PUBLISHED)),
    *(Metric(name, _scaled(figure), _printed([figure])) for name, figure in _PARTS),
    Metric("readable", mrc.readable),
)

# --- corrected -----------------------------------------------------------------------------------

_OPEN, _CLOSE = re.compile(r"<\s*result\s*>", re.I), re.compile(r"</\s*result", re.I)
_PAIR = re.compile(
    r"""["'“]option["'”]\s*:\s*(?P<q>["'])(?P<option>(?:(?!(?P=q))[^\\]|\\.)+)(?P=q)"""
    r"""(?:\s*,\s*["'“]reason["'”]\s*:\s*(?P<r>["'])(?P<reason>(?:(?!(?P=r))[^\\]|\\.)*))?""",
    re.I,
)
_LINE = re.compile(r"^[ \t*•\d.)-]*option(?: \d+)?\**[ \t]*[:：]\**[ \t]*(.*\S)", re.I | re.M)
_EMPTY = re.compile(
    r"\[\s*(?:\{\s*(?:[\"']option[\"']\s*:\s*([\"'])\1\s*(?:,[^{}]*)?)?\})?\s*\]", re.I
)


def read_options(completion: Completion, language: str = "en") -> Extraction:
    """The options that an answer gives, option -> reason in order; empty where it says "none".

    Read is the text of the last `<Result>`, closed or not; without one, the last list in the
    answer. JSON and Python, any case of the keys, plain strings in place of objects, a missing
    reason, and of a list that the token limit cut, the finished options. Without a list, lines that
    begin with "Option:"; other prose is not read.
    """
    text = answer_text(completion.text)
    opened = list(_OPEN.finditer(text))
    inner = text[opened[-1].end() :] if opened else text
    closed = _CLOSE.search(inner)
    inner = (inner[: closed.start()] if opened and closed else inner).strip()
    options = _whole(inner)
    if options is None:
        found = mrc.json_lists(inner, lambda item: _pair(item) is not None)
        options = _whole(found[-1][2]) if found else None
    if options is None:
        options = {_text(m["option"]): _text(m["reason"] or "") for m in _PAIR.finditer(inner)}
        options = options or {m[1]: "" for m in _LINE.finditer(inner)}
    if options and NONE_WORDS.issuperset(map(normalize, options)):
        return Extraction({})
    if options or inner == "{}" or mrc.says_no_answer(inner, "") or _EMPTY.search(inner):
        return Extraction(options)
    return Extraction(None, failure_kind(completion, language))


def _whole(inner: str | list[Any]) -> dict[str, str] | None:
    """The options of a list (or of a text that is a list), None if it is none or empty."""
    try:
        value = parse_literal(inner) if isinstance(inner, str) else inner
    except ValueError:
        return None
    value = [value] if isinstance(value, dict) else value
    if not isinstance(value, list):
        return None
    pairs = [_pair(item) for item in value]
    if any(pair is None for pair in pairs):
        return None
    return {pair[0]: pair[1] for pair in pairs if pair and pair[0].strip()} or None


def _pair(item: Any) -> tuple[str, str] | None:
    if isinstance(item, str):
        return (item, "")
    if not isinstance(item, dict):
        return None
    lowered = {str(name).strip().lower(): value for name, value in item.items()}
    option, reason = lowered.get("option"), lowered.get("reason")
    if not isinstance(option, str):
        return None
    return (option, reason if isinstance(reason, str) else "")


def _text(escaped: str) -> str:
    try:
        return str(parse_json(f'"{escaped}"', strict=False))
    except ValueError:
        return escaped


def option_key(option: str) -> str:
    """The form in which options are compared: NFKC, case and punctuation gone if words are left."""
    return " ".join(text_overlap.tokens(unicodedata.normalize("NFKC", option).casefold().strip()))


def _likeness(found: str, wanted: str) -> float:
    return text_overlap.run_f1(found.split(), wanted.split())


def _corrected(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
    wanted = [option_key(item["Option"]) for item in sample.target]
    reading = read_options(completions[0], sample.language)
    if reading.answer is None:
        return score_of(0, (*outcome(bool(wanted), not wanted), 0, 0), reading)
    found = list(dict.fromkeys(option_key(option) for option in reading.answer))
    figures = [
        text_overlap.f1(_best(found, wanted, alike), _best(wanted, found, alike))
        for alike in (_likeness, _equal)
    ]
    counts = outcome(bool(wanted), bool(found))
    value = counts[3] + counts[0] * (1 + sum(figures)) / 3
    return score_of(value, (*counts, *figures), reading, _listed(reading.answer))


_CORRECTED_PARTS: tuple[tuple[str, Figure], ...] = (
    ("f1", mrc.answerability),
    ("option_f1", ratio(4, 0, 1, 2, 3)),
    ("option_em", ratio(5, 0, 1, 2, 3)),
)
_CORRECTED_METRICS = (
    Metric("f1_option", mrc.mean_of([figure for _, figure in _CORRECTED_PARTS])),
    *(Metric(name, figure) for name, figure in _CORRECTED_PARTS),
)

# --- the task ------------------------------------------------------------------------------------

_ENGLISH = Prompt(
    """\
You find things in the text of a post. You get a search query, the kind of thing that is asked for \
(the level), and the text between <Doc> and </Doc>.

Name every thing in the text that answers the query and is of the kind asked for, in the words \
of the text. It must be something that one can search for by that name: a brand with its model \
where a model is asked for, a restaurant with its dish where dishes are. A thing from another \
place, time or category than the query asks for does not count. For each, copy the words of the \
text that support it, at most one sentence.

Write the things as a JSON list of objects with "Option" and "Reason", between <Result> and \
</Result>. Write <Result>[]</Result> if the text names none.

Example
Query:
rainy day cafes in Velmora
Level:
cafe name
Doc:
<Doc>
Two days of drizzle ☔ Saved by Cafe Linde, its window seats are so cosy. The bakery was closed.
</Doc>
<Result>[{"Option": "Cafe Linde", "Reason": "Saved by Cafe Linde, its window seats are so cosy."}]\
</Result>
""",
    "{content}\n\nWrite <Result>[...]</Result> with the things that answer the query, or "
    "<Result>[]</Result>.",
)
_CHINESE = Prompt(
    """\
你负责在笔记正文里找东西。给你一个搜索词（Query）、需要的答案类型（Level），\
以及 <Doc> 和 </Doc> 之间的正文。

请列出正文中符合搜索词、并且属于该类型的每一个答案，用正文里的原词。\
答案必须是能用这个名字搜到的东西：要求型号时写品牌加型号，要求菜品时写店名加菜名。\
地点、时间或品类与搜索词不符的不算。每个答案再从正文中摘一句支持它的原话。

把答案写成 JSON 列表，每项含 "Option" 和 "Reason"，放在 <Result> 和 </Result> 之间；\
没有答案就写 <Result>[]</Result>。

例子
Query:
杏川 下雨天 咖啡店
Level:
咖啡店名
Doc:
<Doc>
连下两天小雨☔幸好有半亩咖啡，靠窗的位置太舒服了。隔壁面包店没开门。
</Doc>
<Result>[{"Option": "半亩咖啡", "Reason": "幸好有半亩咖啡，靠窗的位置太舒服了。"}]</Result>
""",
    "{content}\n\n请输出 <Result>[...]</Result>；没有答案则输出 <Result>[]</Result>。",
)


def _written(listed: Sequence[Mapping[str, str]]) -> str:
    return f"<Result>{json.dumps(listed, ensure_ascii=False)}</Result>"


def _lines(sample: Sample) -> list[str]:
    return mrc.lines(_document(sample.fields["content"]))


def _named(options: Sequence[str]) -> str:
    return _written(_listed({option: option for option in options}))


TASK = base.task(
    "mrc_complex",
    "Note-MRC-complex",
    "Reading comprehension: options with their reasons",
    "content understanding",
    row,
    fields={"content": str, "answer": str},
    prompts={"en": _ENGLISH, "zh": _CHINESE},
    max_tokens=768,
    limit=mrc.extract_limit,
    scorings=(
        Scoring("official", (*mrc.OUTCOMES, "unreadable", *_FIGURES), _official, _OFFICIAL_METRICS),
        Scoring("corrected", (*mrc.OUTCOMES, *_FIGURES[:2]), _corrected, _CORRECTED_METRICS),
    ),
    gold=lambda sample: _written(sample.target),
    baselines=Baselines(
        random=lambda sample, random: _named([random.choice(_lines(sample))]),
        constants=lambda samples: ["<Result>[]</Result>", _named(["yes"])],
        all_candidates=lambda sample: _named(_lines(sample)),
    ),
    reward="metric",
)
