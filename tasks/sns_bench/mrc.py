"""What both reading comprehension tasks share: answering where there is an answer.

Guo et al. 2025, "SNS-Bench: Defining, Building, and Assessing Capabilities of Large Language Models
in Social Networking Services", ICML. An item is answerable or not, and "nothing" is an answer: the
empty list. Both tasks publish the mean of an F1 of answerability and of figures for the content.

Official: an answer that cannot be read is left out of all counts and multiplied back in as the
share of readable ones. Corrected: it is a missed answer, or an invented one where there is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..extraction import NONE_WORDS, Extraction, clean, normalize, simplified
from ..schema import Sample, Score
from ..task import ROOM

OUTCOMES = ("hit", "invented", "missed", "rightly_none")
"""The first four statistics of both tasks under both scorings."""

Figure = Callable[[np.ndarray], np.ndarray]

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s*|\n+")
_TRIES = 100
_SHORT = 200
_NO_ANSWER = re.compile(
    r"(?:\bno|\bnot an|n['’]t an|n['’]t any) (?:\w+ ){0,3}"
    r"(?:answers?|information|passages?|sentences?|lines?|options?)\b"
    r"|\b(?:note|post|text|article|passage|content|document)\b[^.\n]{0,40}"
    r"\b(?:does|did)(?: not|n['’]t)\b[^.\n]{0,30}"
    r"\b(?:answer|mention|contain|provide|say|include|state|specify|name)"
    r"|\b(?:can(?:not|['’]t| not)|could(?: not|n['’]t)|unable to) (?:be )?"
    r"(?:find|found|locate|extract)"
    r"|\b(?:answer|information) is(?: not|n['’]t)\b"
    r"|(?:没有|未|找不到|不存在|不包含)[^。\n]{0,8}(?:提到|提及|说明|相关|答案|信息|回答)"
    r"|无法(?:从[^。\n]{0,10})?(?:提取|找到|得出|得到)",
    re.I,
)


def extract_limit(sample: Sample) -> int:
    """Tokens for parts of the note and their frame: half its bytes, the longest gold takes that."""
    return ROOM + 64 + len(sample.fields["content"].encode()) // 2


def outcome(answerable: bool, answered: bool) -> tuple[float, ...]:
    """Which of `OUTCOMES` an item is, one-hot."""
    place = (0 if answered else 2) if answerable else (1 if answered else 3)
    return tuple(float(i == place) for i in range(4))


def score_of(
    value: float, stats: Sequence[float], reading: Extraction, parsed: Any = None
) -> Score:
    """A score; an answer that was parsed and is not fully right is `wrong`."""
    # The official ROUGE of equal texts is 1 but for the 1e-8 in its denominator.
    value = 1.0 if value >= 1 - 1e-6 else float(value)
    failure = reading.failure or (None if value == 1 else "wrong")
    return Score(value, tuple(map(float, stats)), parsed, failure)


def amount(pieces: int) -> str:
    """The slice of an item by its number of gold pieces."""
    return ("none", "one")[pieces] if pieces < 2 else "several"


def answerability(sums: np.ndarray) -> np.ndarray:
    """F1 of answering where there is an answer; 100 where none was wanted and none given."""
    hit, invented, missed, none = (sums[..., i] for i in range(4))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = 200 * hit / (2 * hit + invented + missed)
    return np.where((hit + invented + missed == 0) & (none > 0), 100.0, score)


def readable(sums: np.ndarray) -> np.ndarray:
    """The share of readable answers, in percent; column 4 counts the others."""
    return 100 - ratio(4, 0, 1, 2, 3, 4)(sums)


def ratio(column: int, *over: int) -> Figure:
    """A column over the sum of others, in percent; NaN where that is 0."""

    def figure(sums: np.ndarray) -> np.ndarray:
        total = sums[..., list(over)].sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(total > 0, 100 * sums[..., column] / total, np.nan)

    return figure


def mean_of(figures: Sequence[Figure]) -> Figure:
    """The mean of several figures."""
    return lambda sums: np.mean([figure(sums) for figure in figures], axis=0)


def lines(text: str) -> list[str]:
    """A text's sentences and lines, never none."""
    return [p.strip() for p in _SENTENCE_END.split(text) if p.strip()] or [text.strip() or "-"]


def says_no_answer(text: str, content: str) -> bool:
    """Whether a text says that there is no answer: briefly, and not in words of the note itself."""
    if normalize(text) in NONE_WORDS:
        return True
    said = len(text) <= _SHORT and _NO_ANSWER.search(simplified(text)) is not None
    return said and normalize(text) not in normalize(content)


def json_lists(text: str, admits: Callable[[Any], bool]) -> list[tuple[int, int, list[Any]]]:
    """(start, end, list) of the JSON lists in a text all of whose elements are admitted.

    Line breaks inside strings are allowed. Of nested lists the outermost admitted one counts. At
    most the first hundred brackets are tried.
    """
    decoder = json.JSONDecoder(strict=False)
    found: list[tuple[int, int, list[Any]]] = []
    at = text.find("[")
    for _ in range(_TRIES):
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(text, at)
            value = clean(value)
        except (ValueError, RecursionError):
            value, end = None, 0
        if isinstance(value, list) and all(map(admits, value)):
            found.append((at, end, value))
            at = text.find("[", end)
        else:
            at = text.find("[", at + 1)
    return found
