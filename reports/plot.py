"""SVG pictures: lines over steps, and the colors, ticks and parts that the seesaw uses too.

The colors are ones that everyone can tell apart (Okabe and Ito 2008), and never the only sign of
anything: stages also have a marker shape of their own and their name beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import groupby

import numpy as np

from ..harness.display import MINUS

DOWN = "#D55E00"
INK, FAINT, GRID, PAPER = "#1c2127", "#6b7480", "#dfe3e8", "#ffffff"
STAGES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "star")

WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 12, 26
MAX_POINTS = 240
"""Points of a line; of more steps, each point is the mean of neighboring steps."""
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 2", "10 4")
Values = np.ndarray
"""A value for each step, NaN where there is none."""
Points = list[tuple[float, float]]
Place = Callable[[float, float], tuple[float, float]]
"""Maps data coordinates to pixels, to the right and down."""


def of_stage(place: int) -> tuple[str, str]:
    """Color and marker of the stage at an index."""
    return STAGES[place % len(STAGES)], MARKERS[place % len(MARKERS)]


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round numbers within a range, about `most` of them at most."""
    rough = (high - low) / most
    scale = 10 ** np.floor(np.log10(rough))
    step = next(s * scale for s in (1, 2, 5, 10) if s * scale >= rough)
    first, last = int(np.ceil(low / step)), int(high // step)
    return [round(float(k * step), 10) for k in range(first, last + 1)]


def tick_label(value: float) -> str:
    """A change without needless digits; plain 0."""
    return f"{value:+g}".replace("-", MINUS) if value else "0"


def svg_line(
    x1: float, y1: float, x2: float, y2: float, color: str, kind: str = "",
    dash: str = "", width: float = 1,
) -> str:  # fmt: skip
    """A line; `kind` is the class by which a style sheet recolors it."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{color}" stroke-width="{width:g}"{dashed}/>'
    )


def svg_text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 12,
    faint: bool = False, more: str = "",
) -> str:  # fmt: skip
    """Text, outlined in the paper color so that lines do not cross it."""
    color, kind = (FAINT, "s-faint") if faint else (INK, "s-ink")
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{color}" stroke="{PAPER}" stroke-width="3" paint-order="stroke" '
        f'stroke-linejoin="round"{more}>{escape(words)}</text>'
    )


def mean(values: Values) -> float:
    """The mean of the known values; NaN where none is known."""
    known = values[~np.isnan(values)]
    return math.fsum(known) / len(known) if len(known) else math.nan


def picture(title: str, steps: Values, series: Mapping[str, Values]) -> str:
    """Lines over the steps, as SVG.

    Args:
        title: What is shown.
        steps: Ascending.
        series: By name, with a value in at least one of the steps.
    """
    drawn = {name: _binned(steps, values) for name, values in series.items()}
    ys = [y for points in drawn.values() for _, y in points if not math.isnan(y)]
    (left, right), (low, high) = _span(steps), _span(ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        return across, TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM)

    words = "; ".join(f"{name} {_in_words(points)}" for name, points in drawn.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="11"><title>{escape(title)}: '
        f"{escape(words)}</title>{''.join(_axes((left, right), (low, high), place))}"
        f"{''.join(_lines(drawn.values(), place))}</svg>"
    )


def _binned(steps: Values, values: Values) -> Points:
    """At most `MAX_POINTS` points, each the mean of its neighbors."""
    width = math.ceil(len(steps) / MAX_POINTS) or 1
    bins = [slice(k, k + width) for k in range(0, len(steps), width)]
    return [(mean(steps[near]), mean(values[near])) for near in bins]


def _span(values: Sequence[float] | Values) -> tuple[float, float]:
    """Minimum and maximum with padding; never empty."""
    low, high = (float(min(values)), float(max(values))) if len(values) else (0.0, 1.0)
    padding = 0.05 * (high - low) or max(0.05 * abs(high), 1e-12)
    return low - padding, high + padding


def _axes(xs: tuple[float, float], ys: tuple[float, float], place: Place) -> Iterator[str]:
    left, bottom = place(xs[0], ys[0])
    right, _ = place(xs[1], ys[1])
    # Ticks are round numbers also where the values are far smaller than 1.
    scale = 10.0 ** math.floor(math.log10(ys[1] - ys[0]))
    for y in (tick * scale for tick in ticks(ys[0] / scale, ys[1] / scale, most=5)):
        _, at = place(0, y)
        yield svg_line(left, at, right, at, GRID, "s-grid")
        yield svg_text(left - 6, at + 4, _short(y), anchor="end", size=11, faint=True)
    for x in (x for x in ticks(*xs, most=5) if x == int(x)):
        at, _ = place(x, 0)
        yield svg_text(at, bottom + 16, _short(x), anchor="middle", size=11, faint=True)
    yield svg_line(left, bottom, right, bottom, FAINT, "s-faint-line")


def _lines(drawn: Iterable[Points], place: Place) -> Iterator[str]:
    for index, points in enumerate(drawn):
        color, dash = line_style(index)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        # A step without a value is a gap in the line.
        for gap, segment in groupby(points, key=lambda point: math.isnan(point[1])):
            spots = ["{:.1f},{:.1f}".format(*place(*point)) for point in segment]
            if len(spots) > 1 and not gap:
                yield (
                    f'<polyline points="{" ".join(spots)}" fill="none" stroke="{color}" '
                    f'stroke-width="1.8" stroke-linejoin="round"{dashes}/>'
                )
            elif not gap:
                x, y = spots[0].split(",")
                yield f'<circle cx="{x}" cy="{y}" r="2.5" fill="{color}"/>'


def line_style(index: int) -> tuple[str, str]:
    """Color and dash pattern of a line: either one alone tells it from the others."""
    return STAGES[index % len(STAGES)], DASHES[index % len(DASHES)]


def _in_words(points: Points) -> str:
    known = [y for _, y in points if not math.isnan(y)]
    return f"from {_short(known[0])} to {_short(known[-1])}" if known else "without values"


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", MINUS)
