"""Scoring of closed answers: one label per item (accuracy, per-label F1), or a set (micro F1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..extraction import Extraction
from ..schema import Completion, Metric, Sample, Score, Scoring, Services

Figure = Callable[[np.ndarray], np.ndarray]
Read = Callable[[Sample, Completion], Extraction]

# --- accuracy ------------------------------------------------------------------------------------


def accuracy(sums: np.ndarray) -> np.ndarray:
    """Percentage of right answers from sums [..., (right, count)]; NaN without items."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * np.asarray(sums[..., 0], dtype=np.float64) / sums[..., 1]


ACCURACY = Metric("accuracy", accuracy, proportion=(0, 1))


def accuracy_scoring(name: str, read: Read, right: Callable[[Sample, Any], bool]) -> Scoring:
    """Scores one answer as right (value 1) or not (0); statistics (right, count).

    Args:
        name: Of the scoring.
        read: Parses the answer, or says why there is none.
        right: Whether the parsed answer is the gold one.
    """

    def score(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
        answer, failure = read(sample, completions[0])
        if answer is None:
            return Score(0.0, (0.0, 1.0), None, failure or "format")
        if right(sample, answer):
            return Score(1.0, (1.0, 1.0), answer)
        return Score(0.0, (0.0, 1.0), answer, "wrong")

    return Scoring(name, ("right", "count"), score, (ACCURACY,))


def is_target(sample: Sample, answer: Any) -> bool:
    """Whether the answer is the sample's target, to the letter."""
    return answer == sample.target


# --- per-label counts ----------------------------------------------------------------------------

# The statistics of n labels are 3 n numbers: whether each label was hit, predicted, and gold. A
# prediction that is no label (an answer that cannot be parsed) is predicted as nothing: it costs
# recall and never helps precision.


def columns(labels: Sequence[str]) -> tuple[str, ...]:
    """Names of the statistics: hit, predicted and gold of each label in turn."""
    return tuple(f"{label}_{part}" for label in labels for part in ("hit", "predicted", "gold"))


def counts(labels: Sequence[str], predicted: str | None, gold: str) -> tuple[float, ...]:
    """The statistics of one item; `predicted` may be None or any text that is no label."""
    return tuple(
        float(flag)
        for label in labels
        for flag in (label == predicted == gold, label == predicted, label == gold)
    )


def label_scoring(
    name: str, labels: Sequence[str], read: Read, metrics: Sequence[Metric]
) -> Scoring:
    """Scores one label as right (value 1) or not (0); statistics are those of `counts`.

    Args:
        name: Of the scoring.
        labels: All of them, in the order of the statistics.
        read: Parses the answer's label, or says why there is none.
        metrics: Figures from the statistics.
    """

    def score(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
        label, failure = read(sample, completions[0])
        right = label == sample.target
        stats = counts(labels, label, sample.target)
        return Score(float(right), stats, label, None if right else failure or "wrong")

    return Scoring(name, columns(labels), score, tuple(metrics))


def f1_of(labels: Sequence[str], chosen: Sequence[str]) -> Figure:
    """Mean F1 of the chosen labels, in percent; NaN where one is neither gold nor predicted."""
    places = [list(labels).index(label) for label in chosen]
    return lambda sums: 100 * _f1(_split(sums)[..., places, :]).mean(axis=-1)


def macro_f1(sums: np.ndarray) -> np.ndarray:
    """Mean F1 of the labels that are gold or predicted at least once, in percent."""
    parts = _split(sums)
    return 100 * _mean(_f1(parts), _seen(parts))


def macro_recall(sums: np.ndarray) -> np.ndarray:
    """Mean recall of the labels that are gold or predicted at least once, in percent.

    A label that is predicted and never gold has recall 0, as in scikit-learn.
    """
    parts = _split(sums)
    recall = parts[..., 0] / np.maximum(parts[..., 2], 1)
    return 100 * _mean(recall, _seen(parts))


def informedness(sums: np.ndarray) -> np.ndarray:
    """Mean over the labels of recall less false-positive rate, in percent; NaN without items.

    Youden's J of each label against the rest (Powers 2011, "Evaluation: From Precision, Recall and
    F-Measure to ROC, Informedness, Markedness & Correlation"): 100 for perfect answers, and 0 for
    any that do not depend on the item, in expectation: a constant, a label drawn as often as one
    likes, no label at all. A label that is never gold, or gold in every item, has 0.
    """
    parts = _split(sums)
    hit, predicted, gold = np.moveaxis(parts, -1, 0)
    rest = gold.sum(axis=-1, keepdims=True) - gold
    j = hit / np.maximum(gold, 1) - (predicted - hit) / np.maximum(rest, 1)
    j = np.where((gold > 0) & (rest > 0), j, 0.0)
    return np.where(gold.sum(axis=-1) > 0, 100 * j.mean(axis=-1), np.nan)


def matthews(sums: np.ndarray) -> np.ndarray:
    """Matthews correlation of several labels, -100..100; 0 where one side is constant.

    Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient".
    An answer that is no label counts as a label of its own, as in scikit-learn.
    """
    parts = _split(sums)
    hit, predicted, gold = np.moveaxis(parts, -1, 0)
    total = gold.sum(axis=-1)
    unread = total - predicted.sum(axis=-1)
    squares = (predicted**2).sum(axis=-1) + unread**2, (gold**2).sum(axis=-1)
    shared = hit.sum(axis=-1) * total - (predicted * gold).sum(axis=-1)
    spread = np.sqrt((total**2 - squares[0]) * (total**2 - squares[1]))
    found = np.where(spread > 0, 100 * shared / np.where(spread > 0, spread, 1.0), 0.0)
    return np.where(total > 0, found, np.nan)


def label_accuracy(sums: np.ndarray) -> np.ndarray:
    """Share of items whose label was hit, in percent; NaN without items."""
    parts = _split(sums).sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * parts[..., 0] / parts[..., 2]


def rarest(
    cost: float, labels: Sequence[str] = (), chosen: Sequence[str] = ()
) -> Callable[[np.ndarray], float]:
    """`Metric.rests_on` of a mean over labels: the samples of the rarest, times how many there are.

    Args:
        cost: The inverse of what the first missed sample costs the label, relative to its share of
            the label's samples and to the range: 1 for recall; 2 for F1, of which it costs half.
        labels: All of them, in the order of the statistics.
        chosen: Those that count; none: those that are gold or predicted.
    """
    places = [list(labels).index(label) for label in chosen]

    def count(sums: np.ndarray) -> float:
        parts = _split(sums)
        own = parts[places] if places else parts[_seen(parts)]
        gold = own[own[:, 2] > 0, 2]
        return float(cost * len(own) * gold.min()) if len(gold) else 0.0

    return count


def label_micro_f1(sums: np.ndarray) -> np.ndarray:
    """F1 of all labels' summed counts, in percent; an answer that is no label is not predicted."""
    return micro_f1(_split(sums).sum(axis=-2))


def _split(sums: np.ndarray) -> np.ndarray:
    """Sums [..., 3 n] as [..., n, 3]."""
    sums = np.asarray(sums, dtype=np.float64)
    return sums.reshape(*sums.shape[:-1], -1, 3)


def _f1(parts: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return 2 * parts[..., 0] / (parts[..., 1] + parts[..., 2])


def _seen(parts: np.ndarray) -> np.ndarray:
    return (parts[..., 1] + parts[..., 2]) > 0


def _mean(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    number = where.sum(axis=-1)
    total = np.where(where, values, 0.0).sum(axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


MACRO_F1 = Metric("macro_f1", macro_f1, rests_on=rarest(2))
MACRO_RECALL = Metric("macro_recall", macro_recall, rests_on=rarest(1))
LABEL_ACCURACY = Metric("accuracy", label_accuracy)
INFORMEDNESS = Metric("informedness", informedness, lowest=-100.0, rests_on=rarest(2))

# --- sets ----------------------------------------------------------------------------------------

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
class SetScorer:
    """Scores a set; value is the item's F1, statistics (hits, predicted, gold[, read, count]).

    Attributes:
        read: Parses the answer (a collection of texts), or says why there is none.
        gold: The gold texts.
        norm: The form in which texts are compared.
        leave_out: Whether an unreadable answer adds nothing to hits, predicted and gold (the
            authors' rule) instead of missing all of gold; two more statistics count the readable
            answers.
        none: Whether an empty set is the set of the label `NONE`.
    """

    read: Read
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
        rest = (float(answer is not None), 1.0) if self.leave_out else ()
        if answer is None:
            missed = 0.0 if self.leave_out else float(len(gold))
            return Score(0.0, (0.0, 0.0, missed, *rest), None, failure or "format")
        predicted = {self.norm(text) for text in answer} or empty
        hits = len(gold & predicted)
        value = 1.0 if gold == predicted else 2 * hits / (len(predicted) + len(gold))
        stats = (float(hits), float(len(predicted)), float(len(gold)), *rest)
        return Score(value, stats, list(answer), None if value == 1.0 else "wrong")


COLUMNS = ("hits", "predicted", "gold")


def set_scoring(
    name: str,
    read: Read,
    gold: Callable[[Sample], Collection[str]],
    norm: Callable[[str], str],
) -> Scoring:
    """A scoring by micro F1 in which a failure misses all of the gold set; see `SetScorer`."""
    return Scoring(name, COLUMNS, SetScorer(read, gold, norm), (MICRO_F1,))
