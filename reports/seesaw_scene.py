"""What the seesaw's picture shows and where, in points of change; `seesaw_draw` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..harness.display import change, interval
from . import plot
from .plot import Place
from .seesaw import Point, Seesaw, frame, shows_published

CORNERS = (
    (1, 1, ("BOTH UP",)),
    (1, 0, ("TRADED", "domain up, robustness down")),
    (0, 1, ("TRADED", "robustness up, domain down")),
    (0, 0, ("BOTH DOWN",)),
)
"""Whether it is on the right, whether at the top, and the lines of text."""
PLANE = (676, 446)
"""Width and height of the plane in the SVG picture, in pixels; the chart's are similar."""
MARK = 8.0
"""Half the width of a marker."""
LETTER, LINE = 8.0, 16.0
"""Width of a letter and height of a line of a label."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""
Range = tuple[float, float]
Segment = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """A marker with its label.

    Attributes:
        kind: `stage`, `base` or `published`.
        x, y: Where.
        label: Text.
        side: Of the marker on which the label is: `top`, `bottom left`, ...
        about: Further lines, shown on hovering.
        color, shape: Of the marker.
    """

    kind: str
    x: float
    y: float
    label: str
    side: str
    about: tuple[str, ...]
    color: str = plot.FAINT
    shape: str = "circle"


@dataclass(frozen=True)
class Scene:
    """Everything to draw.

    Attributes:
        xs, ys: The ranges of the axes.
        titles: Of the axes.
        margins: `x` or `y`, and where the gate's margin is on that axis.
        regions: Color, resamples [n, 2] and outline [m, 2] of each stage's joint region.
        path: From the base through the stages, or from the base to each candidate.
        marks: The stages, then the base.
        moves: The published changes.
        moves_path: Each from the recipe it was trained from.
        published: Whether the published changes are within the ranges.
    """

    xs: Range
    ys: Range
    titles: tuple[str, ...]
    margins: tuple[tuple[str, float], ...]
    regions: tuple[tuple[str, np.ndarray, np.ndarray], ...]
    path: tuple[Segment, ...]
    marks: tuple[Mark, ...]
    moves: tuple[Mark, ...]
    moves_path: tuple[Segment, ...]
    published: bool


def scene(found: Seesaw) -> Scene:
    """Places everything.

    A stage's label goes above its marker, below, to the right or to the left: the first of these
    where it overlaps no marker, not the word "base" and no earlier label, and stays inside the
    axes; otherwise where the overlap is smallest.

    Args:
        found: With at least one stage that has both axes.
    """
    published = shows_published(found)
    xs, ys = frame(found, published)
    pixels = inside(xs, ys)
    named = (("x", "domain skill", found.x), ("y", "robustness", found.y))
    moves = tuple(
        Mark("published", m.x, m.y, m.name, m.side, ("published", _about(m.x, m.y)))
        for m in found.moves
    )
    # "base" goes to the right of the origin where there is no room to its left.
    right = -xs[0] < 0.15 * (xs[1] - xs[0])
    side = "bottom right" if right else "bottom left"
    base = Mark("base", 0.0, 0.0, "base", side, ("no change",), plot.PAPER)
    spots = [(mark.x, mark.y) for mark in (*(moves if published else ()), base)]
    spots += [(x, y) for _, _, x, y in found.placed]
    taken = [(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in (pixels(*at) for at in spots)]
    x, y = pixels(0, 0)
    x += MARK if right else -MARK - 4 * LETTER
    taken.append((x, y + MARK, x + 4 * LETTER, y + MARK + LINE))

    regions, path, marks = [], [], []
    start = origin = (0.0, 0.0)
    for index, point, x, y in found.placed:
        boxes = _boxes(point.label, pixels(x, y))
        side = min(boxes, key=lambda side: _hidden(boxes[side], taken))
        taken.append(boxes[side])
        color, shape = plot.of_stage(index)
        cloud, outline = point.cloud(), point.ellipse()
        if cloud is not None and outline is not None:
            regions.append((color, cloud, outline))
        path.append((start, (x, y)))
        start = (x, y) if found.chain else origin
        marks.append(Mark("stage", x, y, point.label, side, _about_stage(point), color, shape))
    places = {m.name: (m.x, m.y) for m in found.moves}
    return Scene(
        xs,
        ys,
        tuple(f"Change in {n}, points" + (f" ({a.title})" if a else "") for _, n, a in named),
        tuple((which, -axis.margin) for which, _, axis in named if axis),
        tuple(regions),
        tuple(path),
        (*marks, base),
        moves,
        tuple((places.get(m.after, origin), places[m.name]) for m in found.moves),
        published,
    )


def _about(x: float, y: float) -> str:
    return f"domain {change(x)}, robustness {change(y)}"


def _about_stage(point: Point) -> tuple[str, ...]:
    changes = [
        f"{name} {change(found.value)} {interval(found.low, found.high, sign=True)}"
        for name, found in (("domain", point.x), ("robustness", point.y))
        if found
    ]
    noise = "" if point.significant else " (not significant)"
    few = ["on fewer tasks than the base"] if point.partial else []
    return (point.outcome, *changes, f"{point.quadrant}{noise}", *few)


def inside(xs: Range, ys: Range) -> Place:
    """Maps points of change to pixels from the upper left corner of the plane."""

    def pixels(x: float, y: float) -> tuple[float, float]:
        across, down = (x - xs[0]) / (xs[1] - xs[0]), (ys[1] - y) / (ys[1] - ys[0])
        return across * PLANE[0], down * PLANE[1]

    return pixels


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
    outside = (box[2] - box[0]) * (box[3] - box[1]) - _shared(box, (0.0, 0.0, *PLANE))
    return round(outside + sum(_shared(box, other) for other in taken), 6)


def _shared(one: Box, two: Box) -> float:
    wide = min(one[2], two[2]) - max(one[0], two[0])
    high = min(one[3], two[3]) - max(one[1], two[1])
    return max(wide, 0.0) * max(high, 0.0)
