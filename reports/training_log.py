"""What training left behind: the step log of each stage, found beside the runs that judge it.

`redone-train` lays down `DIR/runs/STAGE` (the evaluation) and `DIR/stages/STAGE/steps.jsonl` (a
line an optimiser step). A log from elsewhere, or one that a newer trainer wrote, is read as far as
its fields are known: what is no finite number is absent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ..harness.wording import visible
from ..tasks.errors import RedoneError
from .stages import Report

STEPS = "steps.jsonl"
SUFFIXES = ("-report", "-diagnose")
"""Of the runs in which a pipeline judges the same stage on other items."""
SCALARS = (
    "loss",
    "grad_norm",
    "learning_rate",
    "reward",
    "kept",
    "dropped",
    "rounds",
    "entropy",
    "clipped",
    "completion_length",
    "truncated",
    "tokens_read",
    "tokens_generated",
    "tokens_trained",
    "seconds",
)


@dataclass(frozen=True)
class TaskLog:
    """A task over the steps, a figure or None each: mean value 0..1, chance 0..1, rollouts."""

    values: tuple[float | None, ...]
    chances: tuple[float | None, ...]
    counts: tuple[float | None, ...]


@dataclass(frozen=True)
class TrainingLog:
    """The log of one stage.

    Attributes:
        label: Of the stage.
        path: Of the file.
        steps: Their numbers, rising.
        scalars: By name of `SCALARS`, a figure or None for each step; those with any figure.
        parts: Mean of each shaping term, likewise.
        tasks: By task.
        skipped: Steps that changed no weight.
    """

    label: str
    path: Path
    steps: tuple[float, ...]
    scalars: Mapping[str, tuple[float | None, ...]]
    parts: Mapping[str, tuple[float | None, ...]]
    tasks: Mapping[str, TaskLog]
    skipped: int

    def total(self, name: str) -> float:
        """The sum of a scalar over the steps."""
        return math.fsum(value or 0.0 for value in self.scalars.get(name, ()))


def training_logs(report: Report, folders: Sequence[Path] = ()) -> tuple[TrainingLog, ...]:
    """The logs of the stages that the report's runs judge, and of folders that were named.

    Args:
        report: Its runs.
        folders: Of a stage (with `steps.jsonl`), or of a whole training (with `stages/`).

    Raises:
        RedoneError: A named folder has no log, or a log is none.
    """
    paths = [path for stage in report.runs if (path := _beside(stage.run.path))]
    for folder in folders:
        found = list(_within(folder))
        if not found:
            raise RedoneError(
                f"--training {folder}: there is no {STEPS} in it, nor in a folder stages/ of it."
            )
        paths += found
    unique = {path.resolve(): path for path in paths}
    return tuple(read_log(path) for path in unique.values())


def _beside(run: Path) -> Path | None:
    """The log of the stage that a pipeline's run judges; None where there is none."""
    folder = run.resolve()
    name = folder.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    path = folder.parent.parent / "stages" / name / STEPS
    return path if folder.parent.name == "runs" and path.is_file() else None


def _within(folder: Path) -> Iterable[Path]:
    """Those of a folder, in the order in which they were last written to."""
    if (folder / STEPS).is_file():
        return [folder / STEPS]
    return sorted(
        folder.glob(f"stages/*/{STEPS}"), key=lambda p: (p.stat().st_mtime, p.parent.name)
    )


def read_log(path: Path) -> TrainingLog:
    """Reads a step log; a torn last line does not count.

    Raises:
        RedoneError: It cannot be read, or holds a line that is no step.
    """
    records = sorted(_records(path), key=lambda record: record["step"])
    scalars = {name: tuple(number(r.get(name)) for r in records) for name in SCALARS}
    parts = [_table(r.get("parts")) for r in records]
    tasks = [_table(r.get("tasks")) for r in records]
    return TrainingLog(
        label=visible(path.resolve().parent.name),
        path=path,
        steps=tuple(float(r["step"]) for r in records),
        scalars={n: values for n, values in scalars.items() if _any(values)},
        parts={
            name: tuple(number(step.get(name)) for step in parts)
            for name in dict.fromkeys(name for step in parts for name in step)
        },
        tasks={
            name: TaskLog(
                *(
                    tuple(number(_table(step.get(name)).get(field)) for step in tasks)
                    for field in ("value", "chance", "n")
                )
            )
            for name in dict.fromkeys(name for step in tasks for name in step)
        },
        skipped=sum(r.get("skipped") is not None for r in records),
    )


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RedoneError(f"{path} cannot be read: {error.strerror}.") from None
    for place, line in enumerate(lines[:-1], 1):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise RedoneError(f"{path}, line {place}: not valid JSON ({error.msg}).") from None
        if not isinstance(record, dict) or number(record.get("step")) is None:
            raise RedoneError(f"{path}, line {place}: no step of a training: 'step' is missing.")
        yield record


def number(value: Any) -> float | None:
    """A finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _any(values: Iterable[float | None]) -> bool:
    return any(value is not None for value in values)
