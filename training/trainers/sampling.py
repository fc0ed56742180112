"""Dynamic sampling: only groups that teach something enter a step (DAPO, Yu et al., 2025).

A group is the G answers to one prompt. It is kept only if the task's own values range over more
than `SPREAD` of its kind: where all answers are right, or all wrong, there is nothing to prefer,
and a length penalty among all-wrong answers must not make up a preference. What is dropped is
replaced by further prompts, in a bounded number of rounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...tasks.registry import by_name
from ..corpus.row import CorpusRow
from ..rewards import SPREAD, Judged
from .steps import TaskMean

if TYPE_CHECKING:
    from .rollouts import Rollout

_EPSILON = 1e-4
"""Added to a group's standard deviation, as TRL does."""


@dataclass(frozen=True, slots=True)
class Group:
    """The answers to one prompt, judged.

    Attributes:
        task: Of the row.
        rollouts: The answers.
        judged: What each is worth.
    """

    task: str
    rollouts: Sequence[Rollout]
    judged: Sequence[Judged]

    @property
    def teaches(self) -> bool:
        """Whether the task's own values differ enough."""
        values = [j.value for j in self.judged if _judged(j)]
        if len(values) < 2:
            return False
        return max(values) - min(values) > SPREAD[by_name(self.task).reward]  # type: ignore[type-var,operator]

    def advantages(self) -> list[float | None]:
        """Each answer's shaped reward beside the group's, in standard deviations of the group.

        Returns:
            None for an answer that could not be judged: it is not trained on. Others are multiplied
            by the weight of their loss.
        """
        rewards = [j.reward for j in self.judged if _judged(j)]
        mean = math.fsum(rewards) / len(rewards)  # type: ignore[arg-type]
        squares = math.fsum((r - mean) ** 2 for r in rewards)  # type: ignore[operator]
        deviation = math.sqrt(squares / (len(rewards) - 1)) + _EPSILON
        return [
            j.weight * (j.reward - mean) / deviation if _judged(j) else None  # type: ignore[operator]
            for j in self.judged
        ]


def _judged(judged: Judged) -> bool:
    return judged.value is not None and math.isfinite(judged.value) and judged.reward is not None


@dataclass(slots=True)
class Harvest:
    """What sampling for one rollout step gave.

    Attributes:
        kept: Groups to train on, at most as many as were wanted.
        groups: All groups.
        rounds: How often prompts were drawn.
    """

    kept: list[Group] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    rounds: int = 0

    @property
    def dropped(self) -> int:
        """Groups that teach nothing."""
        return sum(not group.teaches for group in self.groups)

    @property
    def surplus(self) -> int:
        """Groups that would have taught something, but the batch was full."""
        return len(self.groups) - len(self.kept) - self.dropped

    def judgements(self) -> Iterator[tuple[str, Judged]]:
        """Task and judgement of every answer that could be judged."""
        for group in self.groups:
            for judged in group.judged:
                if _judged(judged):
                    yield group.task, judged

    def reward(self) -> float | None:
        """Mean of value and shaping, None where nothing was judged."""
        return _mean([j.reward for _, j in self.judgements()])

    def parts(self) -> dict[str, float]:
        """Mean of each shaping term over the answers that have it."""
        found: dict[str, list[float]] = {}
        for _, judged in self.judgements():
            for name, value in judged.parts.items():
                found.setdefault(name, []).append(value)
        return {name: math.fsum(values) / len(values) for name, values in found.items()}

    def tasks(self) -> dict[str, TaskMean]:
        """Mean value of each task beside its chance level."""
        found: dict[str, list[float]] = {}
        for task, judged in self.judgements():
            found.setdefault(task, []).append(float(judged.value))  # type: ignore[arg-type]
        return {
            name: TaskMean(math.fsum(v) / len(v), by_name(name).chance.value, len(v))
            for name, v in sorted(found.items())
        }

    @property
    def barren(self) -> str:
        """Why nothing was kept, in a few words."""
        values = [j.value for _, j in self.judgements()]
        if not values:
            return "no answer could be judged"
        if max(values) <= 0:  # type: ignore[type-var,operator]
            return "every answer was worth 0"
        return "the answers of every group were worth alike"


def _mean(values: Sequence[float | None]) -> float | None:
    return math.fsum(values) / len(values) if values else None  # type: ignore[arg-type]


def harvest(draw: Callable[[int], list[Group]], wanted: int, resamples: int) -> Harvest:
    """Sample until enough groups teach something.

    Args:
        draw: Gives the groups of the next prompts, so many or, where processes share the work, a
            few more.
        wanted: Groups that a full batch has.
        resamples: Rounds after the first, at most.
    """
    found = Harvest()
    while len(found.kept) < wanted and found.rounds <= resamples:
        groups = draw(wanted - len(found.kept))
        found.rounds += 1
        found.groups += groups
        found.kept += [group for group in groups if group.teaches]
    del found.kept[wanted:]
    return found


class PromptOrder:
    """The endless order in which rows are asked: epoch by epoch, each in an order of its own.

    In an epoch a row comes once on average over the rows of its task; a row of weight 2 beside
    others of weight 1 comes about twice as often as they do. The order depends on rows and seed
    alone, so a place in it is all that a resumed stage needs to know.

    Args:
        rows: In the order of the corpus.
        seed: Of the order.
    """

    def __init__(self, rows: Sequence[CorpusRow], seed: int) -> None:
        totals: dict[str, list[float]] = {}
        for row in rows:
            totals.setdefault(row.task, []).append(row.weight)
        means = {task: math.fsum(w) / len(w) for task, w in totals.items()}
        self._times = [row.weight / means[row.task] for row in rows]
        self._seed = seed
        self._epoch, self._start = -1, 0
        self._order: list[int] = []

    def __getitem__(self, place: int) -> int:
        """The number of the row that stands at a place, 0 or more."""
        if place < self._start:
            self._epoch, self._start, self._order = -1, 0, []
        while place >= self._start + len(self._order):
            self._start += len(self._order)
            self._epoch += 1
            self._order = self._shuffled(self._epoch)
        return self._order[place - self._start]

    def _shuffled(self, epoch: int) -> list[int]:
        import numpy as np

        random = np.random.default_rng([self._seed, epoch])
        # A row that is due 1.3 times comes once, and in three of ten epochs twice.
        times = np.floor(np.array(self._times) + random.random(len(self._times))).astype(int)
        order = np.repeat(np.arange(len(times)), times)
        random.shuffle(order)
        return order.tolist()
