"""What a trainer leaves behind: a line for every optimiser step, and what came of the stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ...harness.errors import DiskFull, disk_full
from ...harness.store import Journal

Progress = Callable[[int, int, str], None]
"""Called after each step with steps done, steps in all as far as can be seen, and a line about the
step just done."""

STEPS = "steps.jsonl"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What came of one stage of training.

    Attributes:
        model: Folder of the trained model.
        steps: Optimiser steps, those of earlier starts and the skipped ones included.
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
    """One optimiser step; None where a trainer has no such figure.

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
    return DiskFull(f"No space left for {folder}. Free some, then start again: it goes on.")
