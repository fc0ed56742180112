"""Figures over a fixed set of labels, from per-label counts.

The statistics of n labels are 3 n numbers: for each label whether it was hit, predicted, and gold.
A prediction that is no label (an answer that cannot be read) is predicted as nothing: it costs
recall and never helps precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Figure = Callable[[np.ndarray], np.ndarray]


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


def accuracy(sums: np.ndarray) -> np.ndarray:
    """Share of items whose label was hit, in percent; NaN without items."""
    parts = _split(sums).sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * parts[..., 0] / parts[..., 2]


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
