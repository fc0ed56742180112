"""Training curves: the step log of each stage, found beside the runs, and what is drawn of it.

`redone train` writes `DIR/runs/STAGE` (the evaluation) and `DIR/stages/STAGE/steps.jsonl` (one line
per optimizer step). Logs of other or newer trainers are read as far as their fields are known; what
is not a finite number counts as missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from ..tasks.command import visible
from ..tasks.errors import RedoneError
from .plot import Values, mean, picture
from .stages import ReportRuns
from .tables import Table

STEPS = "steps.jsonl"
SUFFIXES = ("-report", "-diagnose")
"""Of the runs in which a pipeline evaluates the same stage on other samples."""
SCALARS = (
    *("loss", "grad_norm", "learning_rate", "reward", "kept", "dropped", "rounds", "entropy"),
    *("clipped", "completion_length", "truncated", "tokens_read", "tokens_generated"),
    *("tokens_trained", "seconds"),
)
TASK_FIELDS = ("value", "chance", "n")
"""Of a task in a step: mean value 0..1, chance 0..1, rollouts."""
PANELS = (
    ("Loss", "", {"loss": "loss"}),
    ("Groups", "per step", {"kept": "kept", "dropped": "dropped: equal rewards"}),
    ("Completion length", "tokens", {"completion_length": "mean"}),
    ("Truncated at the limit", "share of completions", {"truncated": "truncated"}),
    ("Entropy", "nats", {"entropy": "entropy"}),
    ("Clipped", "share of tokens", {"clipped": "clipped"}),
    ("Gradient norm", "", {"grad_norm": "norm"}),
    ("Learning rate", "", {"learning_rate": "rate"}),
)
"""Title, unit, and the name of each scalar's line."""
EDGE = 0.1
"""Share of the steps that "start" and "end" are the mean of."""


@dataclass(frozen=True)
class TrainingLog:
    """The log of one stage.

    Attributes:
        label: Of the stage.
        path: Of the file.
        steps: Their numbers, ascending.
        scalars: By name of `SCALARS`; those with any value.
        parts: Mean of each shaping term.
        tasks: By task, the `TASK_FIELDS`.
        skipped: Number of steps without a weight update.
    """

    label: str
    path: Path
    steps: Values
    scalars: Mapping[str, Values]
    parts: Mapping[str, Values]
    tasks: Mapping[str, Mapping[str, Values]]
    skipped: int

    def total(self, name: str) -> float:
        """The sum of a scalar over the steps."""
        return float(np.nansum(self.scalars.get(name, ())))


def training_logs(report: ReportRuns, folders: Sequence[Path] = ()) -> tuple[TrainingLog, ...]:
    """The logs of the stages that the report's runs evaluate, and of further folders.

    Args:
        report: Its runs.
        folders: Of a stage (with `steps.jsonl`), or of a whole training run (with `stages/`).

    Raises:
        RedoneError: A named folder has no log, or a log cannot be read.
    """
    paths = [path for stage in report.runs if (path := _log_of(stage.run.path))]
    for folder in folders:
        found = [folder / STEPS] if (folder / STEPS).is_file() else _stage_logs(folder)
        if not found:
            raise RedoneError(f"--training {folder}: neither it nor its stages/ has a {STEPS}.")
        paths += found
    unique = {path.resolve(): path for path in paths}
    return tuple(read_log(path) for path in unique.values())


def _log_of(run: Path) -> Path | None:
    """The log of the stage that a pipeline's run evaluates; None where there is none."""
    folder = run.resolve()
    name = folder.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    path = folder.parent.parent / "stages" / name / STEPS
    return path if folder.parent.name == "runs" and path.is_file() else None


def _stage_logs(folder: Path) -> list[Path]:
    """Those of a training run, in the order in which they were last written."""
    logs = folder.glob(f"stages/*/{STEPS}")
    return sorted(logs, key=lambda p: (p.stat().st_mtime, p.parent.name))


def read_log(path: Path) -> TrainingLog:
    """Reads a step log; an incomplete last line is ignored.

    Raises:
        RedoneError: It cannot be read, or holds a line that is not a step.
    """
    records = sorted(_records(path), key=lambda record: record["step"])
    parts, tasks = _tables(records, "parts"), _tables(records, "tasks")
    scalars = {name: _series(records, name) for name in SCALARS}
    return TrainingLog(
        label=visible(path.resolve().parent.name),
        path=path,
        steps=_series(records, "step"),
        scalars={name: values for name, values in scalars.items() if np.isfinite(values).any()},
        parts={name: _series(parts, name) for name in _names(parts)},
        tasks={
            name: {field: _series(_tables(tasks, name), field) for field in TASK_FIELDS}
            for name in _names(tasks)
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
        if not isinstance(record, dict) or math.isnan(_number(record.get("step"))):
            raise RedoneError(f"{path}, line {place}: not a training step: 'step' is missing.")
        yield record


def _number(value: Any) -> float:
    """A finite number, else NaN."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else math.nan


def _series(tables: Iterable[Mapping[str, Any]], name: str) -> Values:
    return np.array([_number(table.get(name)) for table in tables], float)


def _tables(records: Iterable[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    found = (record.get(name) for record in records)
    return [table if isinstance(table, dict) else {} for table in found]


def _names(tables: Iterable[Mapping[str, Any]]) -> dict[str, None]:
    return dict.fromkeys(name for table in tables for name in table)


@dataclass(frozen=True)
class Panel:
    """A plot: title, unit, lines by name, and the SVG picture."""

    title: str
    unit: str
    series: Mapping[str, Values]
    picture: str


@dataclass(frozen=True)
class TaskProgress:
    """A task in training: mean value at the start and the end, chance (all 0..1), rollouts.

    NaN where there is none.
    """

    task: str
    start: float
    end: float
    chance: float
    rollouts: int


@dataclass(frozen=True)
class Curves:
    """The training of one stage as the page shows it."""

    log: TrainingLog
    panels: tuple[Panel, ...]
    tasks: tuple[TaskProgress, ...]


def curves_of(log: TrainingLog) -> Curves:
    """Plots everything that a log has values of."""
    scalars = log.scalars
    reward = {}
    if "reward" in scalars:
        reward = {"reward": scalars["reward"]}
        reward |= {f"shaping: {visible(name)}": values for name, values in log.parts.items()}
    tasks = {name: _over_tasks(log, name) for name in ("value", "chance")}
    tasks = {name: values for name, values in tasks.items() if np.isfinite(values).any()}
    found = [
        ("Reward and its parts", "per completion", reward),
        ("Value of the completions", "0 to 1, all tasks", tasks),
    ]
    found += [
        (title, unit, {line: scalars[name] for name, line in lines.items() if name in scalars})
        for title, unit, lines in PANELS
    ]
    panels = [
        Panel(title, unit, series, picture(title, log.steps, series))
        for title, unit, series in found
        if series
    ]
    return Curves(log, tuple(panels), tuple(_progress(log)))


def _over_tasks(log: TrainingLog, field: str) -> Values:
    """The mean of a field over the rollouts of all tasks, per step."""
    total, rollouts = np.zeros(len(log.steps)), np.zeros(len(log.steps))
    for task in log.tasks.values():
        n = np.where(np.isnan(task[field]), 0, np.nan_to_num(task["n"]))
        total += np.nan_to_num(task[field]) * n
        rollouts += n
    return np.divide(total, rollouts, out=np.full(len(total), np.nan), where=rollouts > 0)


def _progress(log: TrainingLog) -> Iterator[TaskProgress]:
    for name, task in log.tasks.items():
        values = task["value"][~np.isnan(task["value"])]
        edge = max(1, math.ceil(EDGE * len(values)))
        start, end, chance = map(mean, (values[:edge], values[-edge:], task["chance"]))
        yield TaskProgress(name, start, end, chance, round(np.nansum(task["n"])))


def steps_table(logs: Sequence[TrainingLog]) -> Table:
    """Every step of every stage, for download: a column for each part and task."""
    named = [
        {
            **log.scalars,
            **{f"parts/{name}": values for name, values in log.parts.items()},
            **{
                f"tasks/{n}/{field}": log.tasks[n][field]
                for field in TASK_FIELDS
                for n in log.tasks
            },
        }
        for log in logs
    ]
    columns = dict.fromkeys([*SCALARS, *(name for values in named for name in values)])
    rows = [
        (log.label, step, *(values[name][k] if name in values else None for name in columns))
        for log, values in zip(logs, named, strict=True)
        for k, step in enumerate(log.steps)
    ]
    return Table("training", ("stage", "step", *columns), rows)
