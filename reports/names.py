"""Pixels on the seesaw, and on which side of its mark a name stands there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .seesaw import Seesaw, frame, shows_published

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""
Place = Callable[[float, float], tuple[float, float]]
"""Points of change in domain and robustness to pixels, to the right and down."""

PLANE = (676, 446)
"""Width and height that the axes span in the SVG picture, in pixels; the page's are much alike."""
MARK = 8.0
"""Half the width of a mark."""
LETTER, LINE = 8.0, 16.0
"""Width of a letter and height of a line of a name."""


def inside(xs: tuple[float, float], ys: tuple[float, float]) -> Place:
    """Places in pixels from the upper left corner of the plane that two ranges span."""

    def pixels(x: float, y: float) -> tuple[float, float]:
        across, down = (x - xs[0]) / (xs[1] - xs[0]), (ys[1] - y) / (ys[1] - ys[0])
        return across * PLANE[0], down * PLANE[1]

    return pixels


def sides(found: Seesaw) -> list[str]:
    """`top`, `bottom`, `right` or `left` for each point that has both axes, in their order.

    The first of these on which the name overlaps no mark, not the word "base" and no name before
    it, and stays inside the axes; where there is none, the one with the smallest area in the way.

    Args:
        found: With at least one stage that has both axes.
    """
    xs, ys = frame(found, shows_published(found))
    pixels = inside(xs, ys)
    drawn = [(p.label, pixels(p.x.value, p.y.value)) for p in found.points if p.x and p.y]
    published = [pixels(m.x, m.y) for m in found.moves] if shows_published(found) else []
    origin = pixels(0, 0)
    taken = [_around(at) for at in (origin, *published, *(at for _, at in drawn))]
    taken.append(_base(origin, base_on_the_left(xs)))
    chosen = []
    for label, at in drawn:
        boxes = _boxes(label, at)
        side = min(boxes, key=lambda name: _hidden(boxes[name], taken))
        taken.append(boxes[side])
        chosen.append(side)
    return chosen


def base_on_the_left(span: tuple[float, float]) -> bool:
    """Whether the origin is so near the left edge that "base" would not fit to its left.

    Args:
        span: Of the horizontal axis.
    """
    return -span[0] < 0.15 * (span[1] - span[0])


def _base(origin: tuple[float, float], left: bool) -> Box:
    """Where the word "base" stands."""
    x, y = origin
    start = x + MARK if left else x - MARK - 4 * LETTER
    return start, y + MARK, start + 4 * LETTER, y + MARK + LINE


def _around(at: tuple[float, float]) -> Box:
    return at[0] - MARK, at[1] - MARK, at[0] + MARK, at[1] + MARK


def _boxes(label: str, at: tuple[float, float]) -> dict[str, Box]:
    """Where the name would be, by side, the favourite first."""
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
    """The area of a box that lies on others, or outside the axes."""
    inside = _shared(box, (0.0, 0.0, *PLANE))
    outside = (box[2] - box[0]) * (box[3] - box[1]) - inside
    return round(outside + sum(_shared(box, other) for other in taken), 6)


def _shared(one: Box, two: Box) -> float:
    wide = min(one[2], two[2]) - max(one[0], two[0])
    high = min(one[3], two[3]) - max(one[1], two[1])
    return max(wide, 0.0) * max(high, 0.0)
