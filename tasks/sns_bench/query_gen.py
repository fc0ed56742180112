"""QueryGen: write one search query that somebody who reads the note would want to search next.

Official (Guo et al. 2025): the mean of ANLS on the raw text and of the cosine of sentence
embeddings of the cut answer and the gold query. The authors embed with bge-large-en-v1.5;
whichever model is given is named in the run. Without one, the scoring is ANLS alone, under its own
name.

Corrected parses the query out of preamble, quotes and lists, and compares both sides in one form. A
negative cosine counts as 0 in the value.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from ..extraction import (
    BULLET,
    Extraction,
    extract_text,
    failure_kind,
    is_refusal,
    normalize,
    simplified,
)
from ..metrics.text_overlap import anls, cosine
from ..schema import Completion, Embedder, Metric, Record, Sample, Score, Scoring
from ..task import Baselines, Prompt
from . import base

_KIND = re.compile(r"type of (?:this|the) note is\s*:\s*(\w+)|note type is\s*:\s*(\w+)", re.I)
_TITLE = re.compile(r"(?:note title|笔记标题|标题)\s*[:：]\s*([^\n]*?)\s*[,，]?\s*(?:\n|$)", re.I)
_OBJECT = re.compile(r'\{\s*"\w{1,20}"\s*:\s*"([^"\n]+)"\s*\}')
_SEARCHED = re.compile(
    r"[^\n\"“]*(?:\bsearch\b|\bquery\b|搜)[^\n\"“]*[\"“]([^\"”\n]+)[\"”]\W{0,2}", re.I
)
_LEAD = re.compile(r"^[^\n]*[:：][ \t]*\n(?=\s*\S)")
# What a refusal says and a query ("I can't sleep at night") does not.
_DECLINES = re.compile(
    r"\b(?:assist|comply|fulfil{1,2}|generate|provide|suggest|create|respond|request|quer(?:y|ies)"
    r"|prompt|answer\W*$|help (?:you|with (?:that|this)|here)|answer (?:that|this|your)"
    r"|do (?:that|this|so)"
    r"|write (?:a|one|the|your)|language model|as an ai|appropriate|against)\b|\bhelp\W*$"
    r"|请求|要求|协助|提供|生成|回答(?:您|你|这|该|此|问题)|为(?:您|你)|帮(?:助)?(?:您|你)|人工智能|语言模型|\bai\b"
    r"|判断|笔记",
    re.I,
)
_OWN = re.compile(r"\W*(?:i|we|我|无法|不能|没办法|不便|拒绝)", re.I)
_UNABLE = re.compile(r"[a-z]|无法|不能|不会|不便|不可|没|作为|模型", re.I)


def row(raw: Mapping[str, Any]) -> Record:
    """A row of Note-QueryGen: the note in `content`, the gold query in `answer`."""
    if not raw["answer"].strip():
        raise ValueError("field 'answer': a query is expected, not an empty text.")
    found = _KIND.search(raw["content"])
    kind = (found[1] or found[2]).lower() if found else "post"
    return base.row(raw, raw["answer"], raw["content"], note=kind)


# --- scoring -------------------------------------------------------------------------------------


def read_query(completion: Completion, language: str = "en") -> Extraction:
    """The first line with a word in it, without label, list number, quotes or code fence.

    A JSON object with one text, or a sentence that says what will be searched for and quotes it,
    is read as that text. A line that only leads to the next ("A reader searches for:") is passed.
    """
    reading = extract_text(completion, language, _declines)
    if reading.answer is None:
        return reading
    inside = _OBJECT.fullmatch(reading.answer) or _SEARCHED.fullmatch(reading.answer)
    text = inside[1] if inside else _LEAD.sub("", reading.answer)
    for line in text.splitlines():
        line = Completion(BULLET.sub("", line.strip("[] \t")))
        inner = extract_text(line, language, _declines).answer
        if inner and normalize(inner) and any(character.isalnum() for character in inner):
            return Extraction(inner)
    return Extraction(None, failure_kind(completion, language))


def _declines(text: str) -> bool:
    """Whether a text refuses to write a query; a query may begin with "I can't" itself."""
    if not is_refusal(text):
        return False
    line = simplified(text.strip())
    if len(line) > 100 or "\n" in line or (line.isascii() and len(line.split()) < 3):
        return True
    return len(line) < 7 or bool((_DECLINES if _OWN.match(line) else _UNABLE).search(line))


def plain(query: str) -> str:
    """The form in which queries are compared: NFKC, lower case, one line, no closing mark."""
    return " ".join(unicodedata.normalize("NFKC", query).casefold().split()).rstrip("?.!。")


def _official(sample: Sample, completion: Completion, embedder: Embedder | None) -> Score:
    text = completion.text
    parts = [anls(text, sample.target)]
    if embedder is not None:
        parts.append(cosine(embedder, base.LIST_END.split(text, 1)[0], sample.target))
    reading = Extraction(text) if text.strip() else Extraction(None, failure_kind(completion, "en"))
    return _score(parts, reading, text)


def _corrected(sample: Sample, completion: Completion, embedder: Embedder | None) -> Score:
    reading = read_query(completion, sample.language)
    if reading.answer is None:
        return _score([0.0] * (1 if embedder is None else 2), reading, None)
    found, wanted = plain(reading.answer), plain(sample.target) or sample.target
    parts = [anls(found, wanted)]
    if embedder is not None:
        parts.append(cosine(embedder, found, wanted))
    return _score(parts, reading, reading.answer)


def _score(parts: Sequence[float], reading: Extraction, parsed: str | None) -> Score:
    value = sum(max(part, 0.0) for part in parts) / len(parts)
    # Embeddings of equal texts meet to within float32.
    value = 1.0 if value > 1 - 1e-6 else value
    return Score(value, (*parts, 1.0), parsed, reading.failure or (None if value == 1 else "wrong"))


def _mean(*columns: int) -> Callable[[np.ndarray], np.ndarray]:
    """The mean of columns over items (the last column counts them), in percent."""

    def figure(sums: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return 100 * sums[..., list(columns)].mean(axis=-1) / sums[..., -1]

    return figure


def _scoring(name: str, score: Callable[[Sample, Completion, Embedder | None], Score]) -> Scoring:
    """The scoring with an embedder, and its reduced form without one."""
    return Scoring(
        name,
        ("anls", "similarity", "items"),
        lambda sample, completions, services: score(sample, completions[0], services.embedder),
        (
            Metric("anls_similarity", _mean(0, 1)),
            Metric("anls", _mean(0)),
            Metric("similarity", _mean(1)),
        ),
        needs=("embedder",),
        without=Scoring(
            f"{name}-anls",
            ("anls", "items"),
            lambda sample, completions, services: score(sample, completions[0], None),
            (Metric("anls", _mean(0)),),
            note="edit similarity (ANLS) only. The embedding part needs --embedder PATH, a "
            "sentence-embedding model; do not compare with published scores.",
        ),
    )


# --- the task ------------------------------------------------------------------------------------

_ENGLISH = Prompt(
    """\
You suggest what to search for next. You get a post with its title, text and most liked comments.

Write one search query that a reader of this post is likely to type after reading it. It is \
about the central thing of the post, asks for something that the post leaves open, and makes \
sense to somebody who has not seen the post. Either a short question or a short phrase, in \
correct and natural wording.

Write only the query, on one line.

Example
Post:
Title: Finally repotted my monstera 🌿
Text: New soil, bigger pot, fingers crossed #plants
Comments: mine got yellow leaves a week after; same here!!
Query: why do monstera leaves turn yellow after repotting
""",
    "Post:\n{content}\n\nWhat will a reader search for next? One query only.\nQuery:",
)
_CHINESE = Prompt(
    """\
你负责推荐下一个搜索词。给你一篇笔记的标题、正文和热门评论。

请写一个读者看完这篇笔记后很可能会搜的词。它围绕笔记的核心内容，问的是笔记没有讲到的东西，没看过笔记的人也能看懂。\
可以是简短的问句，也可以是简短的短语，通顺、没有错字。

只输出一行搜索词。

例子
笔记：
标题：龟背竹终于换盆了🌿
正文：换了新土和大盆，希望能缓过来 #绿植
评论：我的换完一周叶子就黄了；我也是！！
搜索词：龟背竹换盆后叶子发黄怎么办
""",
    "笔记：\n{content}\n\n读者接下来会搜什么？只写一个搜索词。\n搜索词：",
)


def _title(sample: Sample) -> str:
    """The note's title, or how the note begins."""
    content = sample.fields["content"]
    found = _TITLE.search(content)
    return found[1] if found and found[1].strip() else content[:40].replace("\n", " ")


def _random_words(sample: Sample, random: Random) -> str:
    """Some words in a row out of the note."""
    words = sample.fields["content"].split() or ["-"]
    start = random.randrange(len(words))
    return " ".join(words[start : start + random.randint(2, 8)])


TASK = base.task(
    "query_gen",
    "Note-QueryGen",
    "Generating a search query for a note",
    "user behaviour modelling",
    row,
    fields={"content": str, "answer": str},
    prompts={"en": _ENGLISH, "zh": _CHINESE},
    max_tokens=48,
    scorings=(_scoring("official", _official), _scoring("corrected", _corrected)),
    baselines=Baselines(
        random=_random_words,
        constants=lambda samples: [
            *("how to", "怎么办"),
            *base.frequent((s.target for s in samples), most=5),
            *sorted((s.target for s in samples), key=len)[len(samples) // 2 :][:5],
        ],
        all_candidates=_title,
    ),
    reward="metric",
)
