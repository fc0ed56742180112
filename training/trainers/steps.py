"""The step log: a line for every optimizer step, the result of a stage, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any

from ...harness.run_folder import DiskFull, Journal, disk_full

Progress = Callable[[int, int, str], None]
"""Called after each step with steps done, steps in all as far as can be seen, and a line about the
step just done."""

STEPS = "steps.jsonl"


@dataclass(frozen=True, slots=True)
class StageResult:
    """The result of one stage of training.

    Attributes:
        model: Folder of the trained model.
        steps: Optimizer steps, those of earlier starts and the skipped ones included.
        skipped: Steps that changed no weight.
        tokens_read: Tokens of prompts, see `Step`.
        tokens_generated: Tokens that the model wrote, dropped groups included; 0 for SFT.
        tokens_trained: Tokens whose log-probability entered a loss.
        seconds: Time spent in steps, over all starts.
        stopped: Why training ended before its last step, in one line; None if it did not.
    """

    model: Path
    steps: int
    skipped: int
    tokens_read: int
    tokens_generated: int
    tokens_trained: int
    seconds: float
    stopped: str | None = None

    @classmethod
    def of(cls, steps: Sequence[Step], model: Path, stopped: str | None) -> StageResult:
        """The sums over all steps."""
        sums = ("tokens_read", "tokens_generated", "tokens_trained", "seconds")
        return cls(
            model=model,
            steps=len(steps),
            skipped=sum(step.skipped is not None for step in steps),
            **{name: sum(getattr(step, name) for step in steps) for name in sums},
            stopped=stopped,
        )


@dataclass(frozen=True, slots=True)
class TaskMean:
    """The scores of one task's rollouts in one step.

    Attributes:
        value: Mean of the task's own value, 0..1, before any shaping, over all groups.
        chance: Score of the best trivial baseline: below it, nothing is learned yet.
        n: Rollouts that were scored.
    """

    value: float
    chance: float
    n: int


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step; None where a trainer has no such figure.

    Attributes:
        step: 1, 2, ...
        loss: Of the tokens trained on.
        grad_norm: Of all gradients together, before clipping.
        learning_rate: Used in this step.
        reward: Mean of value and shaping, over all scored rollouts of all groups.
        parts: Mean of each shaping term.
        tasks: By task.
        kept, dropped: Groups that entered the loss, and those that were alike and did not.
        rounds: How often prompts were drawn to fill the batch.
        entropy: Mean of the next-token distributions trained on, in nats.
        clipped: Share of tokens whose probability ratio was clipped.
        completion_length: Mean tokens of a rollout.
        truncated: Share of rollouts that the token limit cut.
        tokens_read: Tokens of prompts in this step: of a sampled group's once for all of its
            answers, and once again when they are trained on; of a row's, or a pair's, once.
        tokens_generated, tokens_trained: In this step.
        seconds: Wall time of the step; what follows are its parts.
        skipped: Why no weight was changed, None if they were.
    """

    step: int
    loss: float | None = None
    grad_norm: float | None = None
    learning_rate: float | None = None
    reward: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    tasks: Mapping[str, TaskMean] = field(default_factory=dict)
    kept: int | None = None
    dropped: int | None = None
    rounds: int | None = None
    entropy: float | None = None
    clipped: float | None = None
    completion_length: float | None = None
    truncated: float | None = None
    tokens_read: int = 0
    tokens_generated: int = 0
    tokens_trained: int = 0
    seconds: float = 0.0
    seconds_generating: float | None = None
    seconds_judging: float | None = None
    seconds_training: float | None = None
    skipped: str | None = None

    @property
    def tokens(self) -> int:
        """All that was processed: read, generated and trained on."""
        return self.tokens_read + self.tokens_generated + self.tokens_trained

    def scalars(self) -> dict[str, float]:
        """The numbers by name, nested ones joined by `/`: what TensorBoard draws."""
        numbers = _leaves({k: v for k, v in asdict(self).items() if k not in ("step", "skipped")})
        return {**dict(numbers), "skipped": float(self.skipped is not None)}


def _leaves(record: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}/")
        elif value is not None:
            yield f"{above}{name}", float(value)


class StepLog:
    """`steps.jsonl` of a stage: append-only, survives a kill at any moment.

    Args:
        folder: Of the stage; made if it is not there.
        after: The step that training resumes from: lines of later steps, left by a start that did
            not reach its next checkpoint, are dropped.
        writes: False in the other processes of a launch: they only remember.

    Raises:
        DiskFull: No space left.
    """

    def __init__(self, folder: Path, after: int = 0, writes: bool = True) -> None:
        self._journal = Journal(folder / STEPS)
        self._writes = writes
        if writes:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                if disk_full(error):
                    message = f"No space left for {folder}. Free some and rerun the same command"
                    raise DiskFull(f"{message} to resume.") from error
                raise
            self._journal.repair()
        self.steps: list[Step] = [s for s in read_steps(folder) if s.step <= after] if after else []
        if writes:
            later = (at for at, record in self._journal.located() if record["step"] > after)
            if (offset := next(later, None)) is not None:
                with self._journal.path.open("rb+") as file:
                    file.truncate(offset)

    def append(self, step: Step) -> None:
        """Add a line.

        Raises:
            DiskFull: No space left; the lines before are intact.
        """
        if self._writes:
            self._journal.append({k: v for k, v in asdict(step).items() if v is not None})
        self.steps.append(step)

    def close(self) -> None:
        self._journal.close()


def read_steps(folder: Path) -> Iterator[Step]:
    """The steps of a stage, in order; fields of newer versions are passed over."""
    known = {f.name for f in fields(Step)}
    for record in Journal(folder / STEPS):
        kept = {name: value for name, value in record.items() if name in known}
        tasks: Mapping[str, Any] = kept.pop("tasks", {})
        yield Step(**kept, tasks={name: TaskMean(**entry) for name, entry in tasks.items()})


def rate(step: int, warmup: int, total: int, cosine: bool) -> float:
    """The share of the peak learning rate that an update has.

    Args:
        step: Updates before it.
        warmup: Updates below the peak; the first has 1 / (warmup + 1) of it, never 0.
        total: Updates in all.
        cosine: Whether it falls to 0 behind the last one; else it stays.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if not cosine:
        return 1.0
    return (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2


BAD = 3
"""Steps in a row with a ruined gradient after which training stops."""
BARREN = 20
"""Rollouts in a row without a group to learn from after which training stops."""
SPIKE = 20.0
"""A gradient so many times the recent median is not trusted."""
_RECENT, _ENOUGH = 50, 10

NOT_FINITE = "the loss or its gradient was not finite"
SPIKED = "the gradient spiked"


def fault(loss: float, norm: float | None, before: Sequence[Step]) -> str | None:
    """Why a gradient is not to be used, None if it is.

    Args:
        loss: Of the step.
        norm: Of its gradient, before clipping; None if unknown.
        before: The steps so far.
    """
    if not math.isfinite(loss) or (norm is not None and not math.isfinite(norm)):
        return NOT_FINITE
    taken = [s.grad_norm for s in before[-_RECENT:] if s.skipped is None and s.grad_norm]
    if norm is not None and len(taken) >= _ENOUGH and norm > SPIKE * median(taken):
        return SPIKED
    return None


def expected(steps: Sequence[Step], total: int, budget: int | None = None) -> int:
    """How many of `total` steps a budget of tokens allows, by what `steps` have processed."""
    spent = sum(step.tokens for step in steps)
    if budget is None or not spent:
        return total
    return min(total, max(len(steps), math.ceil(len(steps) * budget / spent)))


def stop(steps: Sequence[Step], budget: int | None = None) -> str | None:
    """Why training should end after these steps, by a budget of tokens; None if it should not."""
    spent = sum(step.tokens for step in steps)
    if budget is not None and spent >= budget:
        return f"Ended at step {steps[-1].step}: its {budget:,} tokens are processed ({spent:,})."
    skipped = []
    for step in reversed(steps):
        if step.skipped is None:
            break
        skipped.append(step.skipped)
    if not skipped:
        return None
    number, newest = steps[-1].step, skipped[0]
    bad = [reason in (NOT_FINITE, SPIKED) for reason in skipped]
    if len(bad) >= BAD and all(bad[:BAD]):
        return (
            f"Stopped at step {number}: {newest} {BAD} times in a row. A lower learning_rate or a "
            "longer warm-up may help."
        )
    if any(bad):
        skipped = skipped[: bad.index(True)]
    # A rollout is logged with the first of its updates, the only one to have `kept`.
    barren = [s.skipped for s in steps[len(steps) - len(skipped) :] if s.kept is not None]
    if len(barren) >= BARREN:
        return (
            f"Stopped at step {number}: {BARREN} rollouts in a row had nothing to learn from "
            f"({barren[-1]}). Rows that the model solves sometimes, or a larger group_size, may "
            "help."
        )
    return None
