"""Micro F1: a set of answers per item, counted over the whole file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ..answers import Reading
from ..schema import Completion, Metric, Sample, Score, Scoring, Services

NONE = ""
"""Stands in a set for "there is none": a label of its own, hit where the gold set is empty too."""


def micro_f1(sums: np.ndarray) -> np.ndarray:
    """F1 in percent from sums [..., (hits, predicted, gold)]; NaN where both sides are empty."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 200 * np.asarray(sums[..., 0], dtype=np.float64) / (sums[..., 1] + sums[..., 2])


def smoothed_f1(sums: np.ndarray) -> np.ndarray:
    """The benchmark authors' F1, unrounded: 0.0001 in the denominator, so never undefined."""
    hits = np.asarray(sums[..., 0], dtype=np.float64)
    return 200 * hits / (sums[..., 1] + sums[..., 2] + 1e-4)


def read_share_f1(sums: np.ndarray) -> np.ndarray:
    """`smoothed_f1` times the share of readable answers, from [..., (.., .., .., read, count)]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return smoothed_f1(sums) * sums[..., 3] / sums[..., 4]


def printed_f1(sums: np.ndarray) -> float:
    """`smoothed_f1` as the authors print it: four decimals of the fraction."""
    return 100 * round(float(smoothed_f1(sums)) / 100, 4)


def printed_read_share_f1(sums: np.ndarray) -> float:
    """`read_share_f1` as the authors print it: the F1 is rounded before the share is applied."""
    return printed_f1(sums) * float(sums[3]) / float(sums[4]) if sums[4] else float("nan")


MICRO_F1 = Metric("micro_f1", micro_f1)
OFFICIAL_F1 = Metric("micro_f1", smoothed_f1, printed_f1)
OFFICIAL_READ_F1 = Metric("success_micro_f1", read_share_f1, printed_read_share_f1)


@dataclass(frozen=True, slots=True)
class SetJudge:
    """Judges a set; value is the item's F1, statistics (hits, predicted, gold[, read, count]).

    Attributes:
        read: What the answer is (a collection of texts), or why there is none.
        gold: The gold texts.
        norm: The form in which texts are compared.
        leave_out: Whether an unreadable answer adds nothing to hits, predicted and gold (the
            authors' rule) instead of missing all of gold; two more statistics tell how many could
            be read.
        none: Whether an empty set is the set of the label `NONE`.
    """

    read: Callable[[Sample, Completion], Reading]
    gold: Callable[[Sample], Collection[str]]
    norm: Callable[[str], str]
    leave_out: bool = False
    none: bool = True

    def __call__(
        self, sample: Sample, completions: Sequence[Completion], services: Services
    ) -> Score:
        empty = {NONE} if self.none else set[str]()
        gold = {self.norm(text) for text in self.gold(sample)} or empty
        answer, failure = self.read(sample, completions[0])
        if answer is None:
            missed = 0.0 if self.leave_out else float(len(gold))
            rest = (0.0, 1.0) if self.leave_out else ()
            return Score(0.0, (0.0, 0.0, missed, *rest), None, failure or "format")
        predicted = {self.norm(text) for text in answer} or empty
        hits = len(gold & predicted)
        value = 1.0 if gold == predicted else 2 * hits / (len(predicted) + len(gold))
        rest = (1.0, 1.0) if self.leave_out else ()
        stats = (float(hits), float(len(predicted)), float(len(gold)), *rest)
        return Score(value, stats, list(answer), None if value == 1.0 else "wrong")


COLUMNS = ("hits", "predicted", "gold")


def set_scoring(
    name: str,
    read: Callable[[Sample, Completion], Reading],
    gold: Callable[[Sample], Collection[str]],
    norm: Callable[[str], str],
) -> Scoring:
    """A scoring by micro F1 in which a failure misses all of the gold set; see `SetJudge`."""
    return Scoring(name, COLUMNS, SetJudge(read, gold, norm), (MICRO_F1,))
