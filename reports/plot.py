"""What the pictures share: colors, ticks, SVG parts, and the placement of labels on the seesaw.

The colors are ones that everyone can tell apart (Okabe and Ito 2008), and never the only sign of
anything: stages also have a marker shape of their own and their name beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from ..harness.display import MINUS
from .seesaw import Seesaw, frame, shows_published

UP, DOWN = "#0072B2", "#D55E00"
INK, FAINT, GRID, PAPER = "#1c2127", "#6b7480", "#dfe3e8", "#ffffff"
STAGES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "star")


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


def axis_title(found: Seesaw, which: str) -> str:
    """The title of an axis, `x` or `y`."""
    axis = found.x if which == "x" else found.y
    word = "domain skill" if which == "x" else "robustness"
    return f"Change in {word}, points" + ("" if axis is None else f" ({axis.title})")


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


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""
Place = Callable[[float, float], tuple[float, float]]
"""Maps data coordinates to pixels, to the right and down."""

PLANE = (676, 446)
"""Width and height of the plane in the SVG picture, in pixels; the chart's are similar."""
MARK = 8.0
"""Half the width of a marker."""
LETTER, LINE = 8.0, 16.0
"""Width of a letter and height of a line of a label."""


def inside(xs: tuple[float, float], ys: tuple[float, float]) -> Place:
    """Maps points of change to pixels from the upper left corner of the plane."""

    def pixels(x: float, y: float) -> tuple[float, float]:
        across, down = (x - xs[0]) / (xs[1] - xs[0]), (ys[1] - y) / (ys[1] - ys[0])
        return across * PLANE[0], down * PLANE[1]

    return pixels


def sides(found: Seesaw) -> list[str]:
    """`top`, `bottom`, `right` or `left`: where the label of each placed point goes, in order.

    The first of these on which the label overlaps no marker, not the word "base" and no earlier
    label, and stays inside the axes; otherwise the one with the smallest overlap.

    Args:
        found: With at least one stage that has both axes.
    """
    xs, ys = frame(found, shows_published(found))
    pixels = inside(xs, ys)
    drawn = [(point.label, pixels(x, y)) for _, point, x, y in found.placed]
    published = [pixels(m.x, m.y) for m in found.moves] if shows_published(found) else []
    origin = pixels(0, 0)
    taken = [_around(at) for at in (origin, *published, *(at for _, at in drawn))]
    taken.append(_base(origin, base_label_right(xs)))
    chosen = []
    for label, at in drawn:
        boxes = _boxes(label, at)
        side = min(boxes, key=lambda name: _hidden(boxes[name], taken))
        taken.append(boxes[side])
        chosen.append(side)
    return chosen


def base_label_right(span: tuple[float, float]) -> bool:
    """Whether the origin is so near the left end of the x range that "base" goes to its right."""
    return -span[0] < 0.15 * (span[1] - span[0])


def _base(origin: tuple[float, float], left: bool) -> Box:
    """Where the word "base" is written."""
    x, y = origin
    start = x + MARK if left else x - MARK - 4 * LETTER
    return start, y + MARK, start + 4 * LETTER, y + MARK + LINE


def _around(at: tuple[float, float]) -> Box:
    return at[0] - MARK, at[1] - MARK, at[0] + MARK, at[1] + MARK


def _boxes(label: str, at: tuple[float, float]) -> dict[str, Box]:
    """Where the label would be, by side, the preferred one first."""
    from rich.cells import cell_len

    (x, y), wide = at, LETTER * cell_len(label)
    near, far = MARK + 1, MARK + 1 + LINE
    return {
        "top": (x - wide / 2, y - far, x + wide / 2, y - near),
        "bottom": (x - wide / 2, y + near, x + wide / 2, y + far),
        "right": (x + near, y - LINE / 2, x + near + wide, y + LINE / 2),
        "left": (x - near - wide, y - LINE / 2, x - near, y + LINE / 2),
    }


def _hidden(box: Box, taken: Sequence[Box]) -> float:
    """The area of a box that overlaps others, or lies outside the axes."""
    inside = _shared(box, (0.0, 0.0, *PLANE))
    outside = (box[2] - box[0]) * (box[3] - box[1]) - inside
    return round(outside + sum(_shared(box, other) for other in taken), 6)


def _shared(one: Box, two: Box) -> float:
    wide = min(one[2], two[2]) - max(one[0], two[0])
    high = min(one[3], two[3]) - max(one[1], two[1])
    return max(wide, 0.0) * max(high, 0.0)
