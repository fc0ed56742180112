"""Training curves: the step log of each stage, found beside the runs, read and drawn as SVG.

`redone-train` writes `DIR/runs/STAGE` (the evaluation) and `DIR/stages/STAGE/steps.jsonl` (one line
per optimizer step). Logs of other or newer trainers are read as far as their fields are known; what
is not a finite number counts as missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import orjson

from ..harness.display import MINUS
from ..tasks.command import visible
from ..tasks.errors import RedoneError
from . import plot
from .plot import Place, svg_line, svg_text
from .stages import ReportRuns
from .tables import Table

STEPS = "steps.jsonl"
SUFFIXES = ("-report", "-diagnose")
"""Of the runs in which a pipeline evaluates the same stage on other samples."""
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
WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 12, 26
MAX_POINTS = 240
"""Points of a line; of more steps, each point is the mean of neighboring steps."""
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 2", "10 4")
EDGE = 0.1
"""Share of the steps that "start" and "end" are the mean of."""

Values = tuple[float | None, ...]
"""A value or None for each step."""
Points = list[tuple[float, float | None]]


@dataclass(frozen=True)
class TaskLog:
    """A task over the steps: mean value 0..1, chance 0..1, rollouts."""

    values: Values
    chances: Values
    counts: Values


@dataclass(frozen=True)
class TrainingLog:
    """The log of one stage.

    Attributes:
        label: Of the stage.
        path: Of the file.
        steps: Their numbers, ascending.
        scalars: By name of `SCALARS`; those with any value.
        parts: Mean of each shaping term.
        tasks: By task.
        skipped: Number of steps without a weight update.
    """

    label: str
    path: Path
    steps: tuple[float, ...]
    scalars: Mapping[str, Values]
    parts: Mapping[str, Values]
    tasks: Mapping[str, TaskLog]
    skipped: int

    def total(self, name: str) -> float:
        """The sum of a scalar over the steps."""
        return math.fsum(value or 0.0 for value in self.scalars.get(name, ()))


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
    parts = [_table(r.get("parts")) for r in records]
    tasks = [_table(r.get("tasks")) for r in records]

    def series(tables: Iterable[Mapping[str, Any]], name: str) -> Values:
        return tuple(number(table.get(name)) for table in tables)

    def task_log(name: str) -> TaskLog:
        own = [_table(step.get(name)) for step in tasks]
        return TaskLog(series(own, "value"), series(own, "chance"), series(own, "n"))

    scalars = {name: series(records, name) for name in SCALARS}
    return TrainingLog(
        label=visible(path.resolve().parent.name),
        path=path,
        steps=tuple(float(r["step"]) for r in records),
        scalars={name: values for name, values in scalars.items() if _any(values)},
        parts={name: series(parts, name) for name in _names(parts)},
        tasks={name: task_log(name) for name in _names(tasks)},
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
            raise RedoneError(f"{path}, line {place}: not a training step: 'step' is missing.")
        yield record


def number(value: Any) -> float | None:
    """A finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _names(tables: Iterable[Mapping[str, Any]]) -> dict[str, None]:
    return dict.fromkeys(name for table in tables for name in table)


def _any(values: Iterable[float | None]) -> bool:
    return any(value is not None for value in values)


@dataclass(frozen=True)
class Series:
    """A line of a plot."""

    name: str
    values: Values


@dataclass(frozen=True)
class Panel:
    """A plot: title, unit, lines, and the SVG picture."""

    title: str
    unit: str
    series: tuple[Series, ...]
    picture: str


@dataclass(frozen=True)
class TaskProgress:
    """A task in training: mean value at the start and the end, chance (all 0..1), rollouts."""

    task: str
    start: float | None
    end: float | None
    chance: float | None
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

    def lines(*names: tuple[str, str]) -> tuple[Series, ...]:
        return tuple(Series(title, scalars[name]) for name, title in names if name in scalars)

    shaping = [Series(f"shaping: {visible(name)}", values) for name, values in log.parts.items()]
    reward = lines(("reward", "reward"))
    value = [s for s in _over_tasks(log) if _any(s.values)]
    found = (
        ("Reward and its parts", "per completion", (*reward, *shaping) if reward else ()),
        ("Value of the completions", "0 to 1, all tasks", tuple(value)),
        ("Loss", "", lines(("loss", "loss"))),
        ("Groups", "per step", lines(("kept", "kept"), ("dropped", "dropped: equal rewards"))),
        ("Completion length", "tokens", lines(("completion_length", "mean"))),
        ("Truncated at the limit", "share of completions", lines(("truncated", "truncated"))),
        ("Entropy", "nats", lines(("entropy", "entropy"))),
        ("Clipped", "share of tokens", lines(("clipped", "clipped"))),
        ("Gradient norm", "", lines(("grad_norm", "norm"))),
        ("Learning rate", "", lines(("learning_rate", "rate"))),
    )
    panels = [
        Panel(title, unit, series, picture(title, log.steps, series))
        for title, unit, series in found
        if series
    ]
    return Curves(log, tuple(panels), tuple(_progress(log)))


def _over_tasks(log: TrainingLog) -> tuple[Series, Series]:
    """Mean value and chance over the rollouts of all tasks, per step."""

    def mean(step: int, values_of: str) -> float | None:
        pairs = [
            (value, n)
            for task in log.tasks.values()
            if (value := getattr(task, values_of)[step]) is not None
            and (n := task.counts[step]) is not None
        ]
        total = math.fsum(n for _, n in pairs)
        return math.fsum(value * n for value, n in pairs) / total if total > 0 else None

    steps = range(len(log.steps))
    return (
        Series("value", tuple(mean(step, "values") for step in steps)),
        Series("chance", tuple(mean(step, "chances") for step in steps)),
    )


def _progress(log: TrainingLog) -> Iterator[TaskProgress]:
    for name, task in log.tasks.items():
        values = [value for value in task.values if value is not None]
        edge = max(1, math.ceil(EDGE * len(values)))
        yield TaskProgress(
            name,
            _mean(values[:edge]),
            _mean(values[-edge:]),
            _mean(task.chances),
            round(math.fsum(n or 0.0 for n in task.counts)),
        )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def picture(title: str, steps: Sequence[float], series: Sequence[Series]) -> str:
    """Lines over the steps, as SVG.

    Args:
        title: What is shown.
        steps: Ascending.
        series: With a value in at least one of them.
    """
    drawn = [(s.name, _binned(steps, s.values)) for s in series]
    ys = [y for _, points in drawn for _, y in points if y is not None]
    (left, right), (low, high) = _span(list(steps)), _span(ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        return across, TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM)

    words = "; ".join(f"{name} {_in_words(points)}" for name, points in drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="11"><title>{escape(title)}: '
        f"{escape(words)}</title>{''.join(_axes((left, right), (low, high), place))}"
        f"{''.join(_lines(drawn, place))}</svg>"
    )


def _binned(steps: Sequence[float], values: Values) -> Points:
    """At most `MAX_POINTS` points, each the mean of its neighbors."""
    width = math.ceil(len(steps) / MAX_POINTS) or 1
    bins = range(0, len(steps), width)
    return [
        (math.fsum(steps[k : k + width]) / len(steps[k : k + width]), _mean(values[k : k + width]))
        for k in bins
    ]


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Minimum and maximum with padding; never empty."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    padding = 0.05 * (high - low) or max(0.05 * abs(high), 1e-12)
    return low - padding, high + padding


def _axes(xs: tuple[float, float], ys: tuple[float, float], place: Place) -> Iterator[str]:
    left, bottom = place(xs[0], ys[0])
    right, _ = place(xs[1], ys[1])
    # Ticks are round numbers also where the values are far smaller than 1.
    scale = 10.0 ** math.floor(math.log10(ys[1] - ys[0]))
    for y in (tick * scale for tick in plot.ticks(ys[0] / scale, ys[1] / scale, most=5)):
        _, at = place(0, y)
        yield svg_line(left, at, right, at, plot.GRID, "s-grid")
        yield svg_text(left - 6, at + 4, _short(y), anchor="end", size=11, faint=True)
    for x in (x for x in plot.ticks(*xs, most=5) if x == int(x)):
        at, _ = place(x, 0)
        yield svg_text(at, bottom + 16, _short(x), anchor="middle", size=11, faint=True)
    yield svg_line(left, bottom, right, bottom, plot.FAINT, "s-faint-line")


def _lines(drawn: Sequence[tuple[str, Points]], place: Place) -> Iterator[str]:
    for index, (_, points) in enumerate(drawn):
        color, dash = line_style(index)
        for segment in _segments(points):
            if len(segment) == 1:
                x, y = place(*segment[0])
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{color}"/>'
                continue
            spots = " ".join("{:.1f},{:.1f}".format(*place(*spot)) for spot in segment)
            dashes = f' stroke-dasharray="{dash}"' if dash else ""
            yield (
                f'<polyline points="{spots}" fill="none" stroke="{color}" stroke-width="1.8" '
                f'stroke-linejoin="round"{dashes}/>'
            )


def line_style(index: int) -> tuple[str, str]:
    """Color and dash pattern of a line: either one alone tells it from the others."""
    return plot.STAGES[index % len(plot.STAGES)], DASHES[index % len(DASHES)]


def _segments(points: Points) -> Iterator[list[tuple[float, float]]]:
    """Stretches without a gap."""
    segment: list[tuple[float, float]] = []
    for x, y in [*points, (0.0, None)]:
        if y is not None:
            segment.append((x, y))
        elif segment:
            yield segment
            segment = []


def _in_words(points: Points) -> str:
    known = [y for _, y in points if y is not None]
    return f"from {_short(known[0])} to {_short(known[-1])}" if known else "without values"


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", MINUS)


def steps_table(logs: Sequence[TrainingLog]) -> Table:
    """Every step of every stage, for download: a column for each part and task."""
    named = [
        {
            **log.scalars,
            **{f"parts/{name}": values for name, values in log.parts.items()},
            **{f"tasks/{name}/value": task.values for name, task in log.tasks.items()},
            **{f"tasks/{name}/chance": task.chances for name, task in log.tasks.items()},
            **{f"tasks/{name}/n": task.counts for name, task in log.tasks.items()},
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
