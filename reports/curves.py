"""Training curves: a small picture for each figure of a stage, drawn without any program."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from ..harness.wording import MINUS, visible
from . import palette
from .charts import ticks
from .drawing import Place, svg_line, svg_text
from .tables import Table
from .training_log import SCALARS, TrainingLog

WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 12, 26
MOST = 240
"""Points of a line; of more steps, each point is the mean of as many neighbours as it takes."""
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 2", "10 4")
EDGE = 0.1
"""Share of the steps that "at first" and "at last" are the mean of."""


@dataclass(frozen=True)
class Series:
    """A line: its name, and a figure or None for each step."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Panel:
    """A picture: what it shows, in which unit, its lines, and itself as SVG."""

    title: str
    unit: str
    series: tuple[Series, ...]
    picture: str


@dataclass(frozen=True)
class TaskCourse:
    """A task in training: mean value at first and at last, chance (all 0..1), rollouts."""

    task: str
    first: float | None
    last: float | None
    chance: float | None
    rollouts: int


@dataclass(frozen=True)
class Course:
    """One stage's training as the page shows it."""

    log: TrainingLog
    panels: tuple[Panel, ...]
    tasks: tuple[TaskCourse, ...]


def course(log: TrainingLog) -> Course:
    """Draws everything that a log has figures of."""
    scalars, parts = log.scalars, log.parts
    value, chance = _over_tasks(log)

    def lines(*names: tuple[str, str]) -> tuple[Series, ...]:
        return tuple(Series(word, scalars[name]) for name, word in names if name in scalars)

    shaping = [Series(f"shaping: {visible(name)}", values) for name, values in parts.items()]
    reward = lines(("reward", "reward"))
    found = (
        ("Reward and its parts", "per answer", (*reward, *shaping) if reward else ()),
        ("Value of the answers", "0 to 1, all tasks", _kept(value, chance)),
        ("Loss", "", lines(("loss", "loss"))),
        ("Groups", "per step", lines(("kept", "kept"), ("dropped", "dropped: all alike"))),
        ("Length of an answer", "tokens", lines(("completion_length", "mean"))),
        ("Cut by the limit", "share of answers", lines(("truncated", "cut"))),
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
    return Course(log, tuple(panels), tuple(_courses(log)))


def _over_tasks(log: TrainingLog) -> tuple[Series, Series]:
    """Mean value and chance over the rollouts of all tasks, step by step."""
    value: list[float | None] = []
    chance: list[float | None] = []
    for step in range(len(log.steps)):
        for figures, which in ((value, "values"), (chance, "chances")):
            pairs = [
                (figure, n)
                for task in log.tasks.values()
                if (figure := getattr(task, which)[step]) is not None
                and (n := task.counts[step]) is not None
            ]
            many = math.fsum(n for _, n in pairs)
            figures.append(math.fsum(f * n for f, n in pairs) / many if many > 0 else None)
    return Series("value", tuple(value)), Series("chance", tuple(chance))


def _kept(*series: Series) -> tuple[Series, ...]:
    return tuple(s for s in series if any(v is not None for v in s.values))


def _courses(log: TrainingLog) -> Iterator[TaskCourse]:
    for name, task in log.tasks.items():
        seen = [k for k, value in enumerate(task.values) if value is not None]
        edge = max(1, math.ceil(EDGE * len(seen)))
        yield TaskCourse(
            name,
            _mean([task.values[k] for k in seen[:edge]]),
            _mean([task.values[k] for k in seen[-edge:]]),
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
        steps: Rising.
        series: With a figure in at least one of them.
    """
    drawn = [(s.name, _thinned(steps, s.values)) for s in series]
    ys = [y for _, points in drawn for _, y in points if y is not None]
    (left, right), (low, high) = _span(list(steps)), _span(ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        return across, TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM)

    words = "; ".join(f"{name} {_told(points)}" for name, points in drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="11"><title>{escape(title)}: '
        f"{escape(words)}</title>{''.join(_axes((left, right), (low, high), place))}"
        f"{''.join(_lines(drawn, place))}</svg>"
    )


Points = list[tuple[float, float | None]]


def _thinned(steps: Sequence[float], values: Sequence[float | None]) -> Points:
    """At most `MOST` points, each the mean of its neighbours."""
    width = math.ceil(len(steps) / MOST) or 1
    bins = range(0, len(steps), width)
    return [
        (math.fsum(steps[k : k + width]) / len(steps[k : k + width]), _mean(values[k : k + width]))
        for k in bins
    ]


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Least and most with some air; never empty."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    air = 0.05 * (high - low) or max(0.05 * abs(high), 1e-12)
    return low - air, high + air


def _axes(xs: tuple[float, float], ys: tuple[float, float], place: Place) -> Iterator[str]:
    left, bottom = place(xs[0], ys[0])
    right, top = place(xs[1], ys[1])
    for y in _marks(*ys):
        _, at = place(0, y)
        yield svg_line(left, at, right, at, palette.GRID, "s-grid")
        yield svg_text(left - 6, at + 4, _number(y), anchor="end", size=11, faint=True)
    for x in (x for x in ticks(*xs, most=5) if x == int(x)):
        at, _ = place(x, 0)
        yield svg_text(at, bottom + 16, _number(x), anchor="middle", size=11, faint=True)
    yield svg_line(left, bottom, right, bottom, palette.FAINT, "s-faint-line")


def _marks(low: float, high: float) -> list[float]:
    """Round numbers, also where the figures are far smaller than 1."""
    scale = 10.0 ** math.floor(math.log10(high - low))
    return [mark * scale for mark in ticks(low / scale, high / scale, most=5)]


def _lines(drawn: Sequence[tuple[str, Points]], place: Place) -> Iterator[str]:
    for number, (_, points) in enumerate(drawn):
        colour, dash = look(number)
        for run in _runs(points):
            spots = " ".join("{:.1f},{:.1f}".format(*place(*spot)) for spot in run)
            if len(run) == 1:
                x, y = place(*run[0])
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>'
                continue
            dashes = f' stroke-dasharray="{dash}"' if dash else ""
            yield (
                f'<polyline points="{spots}" fill="none" stroke="{colour}" stroke-width="1.8" '
                f'stroke-linejoin="round"{dashes}/>'
            )


def look(number: int) -> tuple[str, str]:
    """Colour and dashes of a line: two signs, so that neither is needed alone."""
    return palette.STAGES[number % len(palette.STAGES)], DASHES[number % len(DASHES)]


def _runs(points: Points) -> Iterator[list[tuple[float, float]]]:
    """Stretches without a gap."""
    run: list[tuple[float, float]] = []
    for x, y in [*points, (0.0, None)]:
        if y is not None:
            run.append((x, y))
        elif run:
            yield run
            run = []


def _told(points: Points) -> str:
    known = [y for _, y in points if y is not None]
    return f"from {_number(known[0])} to {_number(known[-1])}" if known else "without figures"


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", MINUS)


def steps_table(logs: Sequence[TrainingLog]) -> Table:
    """Every step of every stage, for download: a column for each part and task."""
    records: list[Mapping[str, object]] = []
    columns = {"stage": None, "step": None, **dict.fromkeys(SCALARS)}
    for log in logs:
        named = {
            **log.scalars,
            **{f"parts/{name}": values for name, values in log.parts.items()},
            **{f"tasks/{name}/value": task.values for name, task in log.tasks.items()},
            **{f"tasks/{name}/chance": task.chances for name, task in log.tasks.items()},
            **{f"tasks/{name}/n": task.counts for name, task in log.tasks.items()},
        }
        columns |= dict.fromkeys(named)
        for k, step in enumerate(log.steps):
            figures = {name: values[k] for name, values in named.items()}
            records.append({"stage": log.label, "step": step, **figures})
    return Table.of("training", records, *columns)
