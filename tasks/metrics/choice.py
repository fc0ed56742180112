"""Accuracy: one answer per item, right or wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..answers import Reading
from ..schema import Completion, Metric, Sample, Score, Scoring, Services


def accuracy(sums: np.ndarray) -> np.ndarray:
    """Percentage of right answers from sums [..., (right, count)]; NaN without items."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * np.asarray(sums[..., 0], dtype=np.float64) / sums[..., 1]


ACCURACY = Metric("accuracy", accuracy, proportion=(0, 1))


@dataclass(frozen=True, slots=True)
class ChoiceJudge:
    """Judges one answer as right (value 1) or not (0); statistics (right, count).

    Attributes:
        read: What the answer is, or why there is none.
        right: Whether what was read is the gold answer.
    """

    read: Callable[[Sample, Completion], Reading]
    right: Callable[[Sample, Any], bool]

    def __call__(
        self, sample: Sample, completions: Sequence[Completion], services: Services
    ) -> Score:
        answer, failure = self.read(sample, completions[0])
        if answer is None:
            return Score(0.0, (0.0, 1.0), None, failure or "format")
        if self.right(sample, answer):
            return Score(1.0, (1.0, 1.0), answer)
        return Score(0.0, (0.0, 1.0), answer, "wrong")


def accuracy_scoring(
    name: str,
    read: Callable[[Sample, Completion], Reading],
    right: Callable[[Sample, Any], bool],
) -> Scoring:
    """A scoring by accuracy; see `ChoiceJudge`."""
    return Scoring(name, ("right", "count"), ChoiceJudge(read, right), (ACCURACY,))


def is_target(sample: Sample, answer: Any) -> bool:
    """Whether the answer is the sample's target, to the letter."""
    return answer == sample.target
