"""The step log: a line for every optimizer step, what came of the stage, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any

from ...harness.run_folder import DiskFull, Journal, disk_full
from ...tasks.errors import RedoneError

Progress = Callable[[int, int, str], None]
"""Called after each step with steps done, steps in all as far as can be seen, and a line about the
step just done."""

STEPS = "steps.jsonl"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What came of one stage of training.

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


@dataclass(frozen=True, slots=True)
class TaskMean:
    """How the rollouts of one task were judged in one step.

    Attributes:
        value: Mean of the task's own value, 0..1, before any shaping, over all groups.
        chance: What the best answer sheet without skill reaches: below it, nothing is learnt yet.
        n: Rollouts that were judged.
    """

    value: float
    chance: float
    n: int


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step; None where a trainer has no such figure.

    Attributes:
        step: 1, 2, ...
        loss: What was minimised, over the tokens trained on.
        grad_norm: Of all gradients together, before clipping.
        learning_rate: Used in this step.
        reward: Mean of value and shaping, over all judged rollouts of all groups.
        parts: Mean of each shaping term.
        tasks: By task.
        kept, dropped: Groups that entered the loss, and those that were alike and did not.
        surplus: Groups that differed inside but came when the batch was full: processes that write
            together draw so many prompts that each has one.
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
    surplus: int | None = None
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
        flat: dict[str, float] = {}
        for name, value in asdict(self).items():
            if name in ("parts", "tasks"):
                for key, entry in value.items():
                    if isinstance(entry, dict):
                        flat |= {f"{name}/{key}/{part}": float(x) for part, x in entry.items()}
                    else:
                        flat[f"{name}/{key}"] = float(entry)
            elif isinstance(value, int | float) and name != "step":
                flat[name] = float(value)
        flat["skipped"] = float(self.skipped is not None)
        return flat


class StepLog:
    """`steps.jsonl` of a stage: append-only, survives a kill at any moment.

    Args:
        folder: Of the stage; made if it is not there.
        after: The step that training goes on from: lines of later steps, left by a start that did
            not come to its next checkpoint, are dropped.
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
                raise (_full(folder) if disk_full(error) else error) from error
            self._journal.repair()
        self.steps: list[Step] = [s for s in read_steps(folder) if s.step <= after] if after else []
        if writes:
            self._keep_to(after)

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

    def result(self, model: Path, stopped: str | None = None) -> StageResult:
        """The sums over all steps so far."""
        return StageResult(
            model=model,
            steps=len(self.steps),
            skipped=sum(s.skipped is not None for s in self.steps),
            tokens_read=sum(s.tokens_read for s in self.steps),
            tokens_generated=sum(s.tokens_generated for s in self.steps),
            tokens_trained=sum(s.tokens_trained for s in self.steps),
            seconds=sum(s.seconds for s in self.steps),
            stopped=stopped,
        )

    def _keep_to(self, after: int) -> None:
        """Cut the file behind the last line that stays."""
        for offset, record in self._journal.located():
            if record["step"] > after:
                with self._journal.path.open("rb+") as file:
                    file.truncate(offset)
                return


def read_steps(folder: Path) -> Iterator[Step]:
    """The steps of a stage, in order; fields of newer versions are passed over."""
    known = {f.name for f in fields(Step)}
    for record in Journal(folder / STEPS):
        kept = {name: value for name, value in record.items() if name in known}
        tasks: Mapping[str, Any] = kept.pop("tasks", {})
        yield Step(**kept, tasks={name: TaskMean(**entry) for name, entry in tasks.items()})


def _full(folder: Path) -> DiskFull:
    return DiskFull(f"No space left for {folder}. Free some and rerun the same command to resume.")


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
        norm: Of its gradient, before clipping; None where it is not known.
        before: The steps so far.
    """
    if not math.isfinite(loss) or (norm is not None and not math.isfinite(norm)):
        return NOT_FINITE
    taken = [s.grad_norm for s in before[-_RECENT:] if s.skipped is None and s.grad_norm]
    if norm is not None and len(taken) >= _ENOUGH and norm > SPIKE * median(taken):
        return SPIKED
    return None


def taken_already(step: int, reason: str) -> RedoneError:
    """The error for a fault under DeepSpeed: the backward pass has moved the weights by then.

    Args:
        step: In which it was found, from 1.
        reason: As of `fault`.
    """
    return RedoneError(
        f"Stopped at step {step}: {reason}. DeepSpeed had taken the step before that was seen, "
        "so the current weights are not kept: rerun the same command to resume from the last "
        "complete checkpoint. A lower learning_rate or a longer warm-up may help."
    )


def expected(steps: Sequence[Step], total: int, budget: int | None = None) -> int:
    """How many steps there will be, by what those so far have processed.

    Args:
        steps: So far, one or more.
        total: Steps, if the budget lets them all be taken.
        budget: Tokens that may be processed, over all steps.
    """
    spent = sum(step.tokens for step in steps)
    if budget is None or not spent:
        return total
    return min(total, max(len(steps), math.ceil(len(steps) * budget / spent)))


def stop(steps: Sequence[Step], budget: int | None = None) -> str | None:
    """Why training should end after these steps, None if it should go on.

    Args:
        steps: So far.
        budget: Tokens that may be processed, over all steps.
    """
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
    # A rollout is told with the first of its updates; the others have nothing of their own to say.
    barren = [s.skipped for s in steps[len(steps) - len(skipped) :] if s.kept is not None]
    if len(barren) >= BARREN:
        return (
            f"Stopped at step {number}: {BARREN} rollouts in a row had nothing to learn from "
            f"({barren[-1]}). Rows that the model solves sometimes, or a larger group_size, may "
            "help."
        )
    return None
