"""Dynamic sampling: only groups that teach something enter a step (DAPO, Yu et al., 2025).

A group is the G answers to one prompt. It is kept only if the task's own values range over more
than `SPREAD` of its kind: where all answers are right, or all wrong, there is nothing to prefer,
and a length penalty among all-wrong answers must not create a preference. What is dropped is
replaced by further prompts, in a bounded number of rounds. What is kept becomes inputs of TRL's
loss: answers with their advantages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...tasks.registry import by_name
from ..rewards import SPREAD, ScoredAnswer
from ..rows import TrainingRow
from .packing import padded
from .steps import TaskMean

if TYPE_CHECKING:
    from .rollouts import Rollout


_EPSILON = 1e-4
"""Added to a group's standard deviation, as TRL does."""


@dataclass(frozen=True, slots=True)
class Group:
    """The answers to one prompt of a task, and the score of each."""

    task: str
    rollouts: Sequence[Rollout]
    answers: Sequence[ScoredAnswer]

    @property
    def teaches(self) -> bool:
        """Whether the task's own values differ enough."""
        values = [_value(answer) for answer in self.answers if _usable(answer)]
        return len(values) > 1 and max(values) - min(values) > SPREAD[by_name(self.task).reward]

    def advantages(self) -> list[float | None]:
        """Each answer's shaped reward relative to the group's, in standard deviations of the group.

        Returns:
            None for an answer that could not be scored: it is not trained on. Others are multiplied
            by the weight of their loss.
        """
        rewards = [float(j.reward) for j in self.answers if _usable(j)]  # type: ignore[arg-type]
        mean = _mean(rewards)
        squares = math.fsum((r - mean) ** 2 for r in rewards)
        deviation = math.sqrt(squares / (len(rewards) - 1)) + _EPSILON
        return [
            j.weight * (j.reward - mean) / deviation if _usable(j) else None  # type: ignore[operator]
            for j in self.answers
        ]


def _usable(answer: ScoredAnswer) -> bool:
    return answer.value is not None and math.isfinite(answer.value) and answer.reward is not None


@dataclass(slots=True)
class SampledBatch:
    """The groups that were sampled for one rollout step.

    Attributes:
        kept: Groups to train on.
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

    def scored(self) -> Iterator[tuple[str, ScoredAnswer]]:
        """Task and score of every answer that could be scored."""
        for group in self.groups:
            for answer in group.answers:
                if _usable(answer):
                    yield group.task, answer

    def reward(self) -> float | None:
        """Mean of value and shaping, None where nothing was scored."""
        rewards = [float(j.reward) for _, j in self.scored()]  # type: ignore[arg-type]
        return _mean(rewards) if rewards else None

    def parts(self) -> dict[str, float]:
        """Mean of each shaping term over the answers that have it."""
        found: dict[str, list[float]] = {}
        for _, answer in self.scored():
            for name, value in answer.parts.items():
                found.setdefault(name, []).append(value)
        return {name: _mean(values) for name, values in found.items()}

    def tasks(self) -> dict[str, TaskMean]:
        """Mean value of each task, with its chance level."""
        found: dict[str, list[float]] = {}
        for task, answer in self.scored():
            found.setdefault(task, []).append(_value(answer))
        return {
            name: TaskMean(_mean(values), by_name(name).chance.value, len(values))
            for name, values in sorted(found.items())
        }

    @property
    def barren(self) -> str:
        """Why nothing was kept, in a few words."""
        values = [_value(answer) for _, answer in self.scored()]
        if not values:
            return "no answer could be scored"
        if max(values) <= 0:
            return "every answer was worth 0"
        return "the answers of every group were worth alike"


def _value(answer: ScoredAnswer) -> float:
    return float(answer.value)  # type: ignore[arg-type]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def sample_batch(draw: Callable[[int], list[Group]], wanted: int, resamples: int) -> SampledBatch:
    """Samples until enough groups teach something.

    Args:
        draw: Gives the groups of so many next prompts.
        wanted: Groups that a full batch has.
        resamples: Rounds after the first, at most.
    """
    found = SampledBatch()
    while len(found.kept) < wanted and found.rounds <= resamples:
        groups = draw(wanted - len(found.kept))
        found.rounds += 1
        found.groups += groups
        found.kept += [group for group in groups if group.teaches]
    return found


class PromptOrder:
    """The endless order of prompts: epoch by epoch, each in a different order.

    In an epoch a row comes once on average over the rows of its task; a row of weight 2 among
    others of weight 1 comes about twice as often as they do. The order depends on rows and seed
    alone, so a place in it is all that a resumed stage needs to know.

    Args:
        rows: In the order of the corpus.
        seed: Of the order.
    """

    def __init__(self, rows: Sequence[TrainingRow], seed: int) -> None:
        totals: dict[str, list[float]] = {}
        for row in rows:
            totals.setdefault(row.task, []).append(row.weight)
        means = {task: _mean(weights) for task, weights in totals.items()}
        self._times = [row.weight / means[row.task] for row in rows]
        self._seed = seed
        self._epoch, self._start = -1, 0
        self._order: list[int] = []

    def __getitem__(self, place: int) -> int:
        """The number of the row at a place, 0 or more."""
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


CORRECTION_MOST = 3.0
"""Bound of the importance ratio between the training model and vLLM's arithmetic."""


@dataclass(frozen=True, slots=True)
class Part:
    """One answer to train on.

    Attributes:
        prompt, answer: Its tokens.
        advantage: In standard deviations of its group, times the weight of its loss.
        sampled: Log-probabilities when it was sampled, by an engine of another arithmetic.
        old: Log-probabilities before the first update on it; None: those of the update itself.
    """

    prompt: Sequence[int]
    answer: Sequence[int]
    advantage: float
    sampled: Sequence[float] | None = None
    old: Sequence[float] | None = None

    @property
    def tokens(self) -> list[int]:
        return [*self.prompt, *self.answer]


def parts_of(group: Group) -> list[Part]:
    """The answers of a group that can be learned from, with their advantages."""
    return [
        Part(rollout.prompt, rollout.answer, advantage, rollout.logprobs)
        for rollout, advantage in zip(group.rollouts, group.advantages(), strict=True)
        if advantage is not None and rollout.answer
    ]


def loss_inputs(
    parts: Sequence[Part], tokens: int, pad: int, corrected: bool = False
) -> dict[str, Tensor]:
    """Parts as TRL's loss takes them.

    Args:
        parts: Of one forward pass.
        tokens: Of all answers of the step, in all processes: what the loss is divided by. TRL's own
            count is made before rewards are known, so it has the dropped groups in it.
        pad: Token that fills up.
        corrected: The answers were sampled in another arithmetic than the one they are trained in:
            each token's loss is multiplied by the ratio of its two probabilities, bounded (Yao et
            al. 2025, truncated importance sampling).
    """
    prompts, prompt_mask = padded([part.prompt for part in parts], pad, left=True)
    answers, mask = padded([part.answer for part in parts], pad)
    inputs = {
        "prompt_ids": prompts,
        "prompt_mask": prompt_mask,
        "completion_ids": answers,
        "completion_mask": mask,
        "advantages": torch.tensor([part.advantage for part in parts]),
        "num_items_in_batch": torch.tensor(tokens),
    }
    old = [part.old for part in parts if part.old is not None]
    if old:
        inputs["old_per_token_logps"], _ = padded(old, 0.0)
    if corrected and old:
        sampled, _ = padded([part.sampled or () for part in parts], 0.0)
        ratio = (inputs["old_per_token_logps"] - sampled).nan_to_num(0.0).exp()
        inputs["importance_sampling_ratio"] = ratio.clamp(max=CORRECTION_MOST) * mask
    return inputs
