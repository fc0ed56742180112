"""What the pictures share: colors, ticks and SVG parts.

The colors are ones that everyone can tell apart (Okabe and Ito 2008), and never the only sign of
anything: stages also have a marker shape of their own and their name beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import numpy as np

from ..harness.display import MINUS

DOWN = "#D55E00"
INK, FAINT, GRID, PAPER = "#1c2127", "#6b7480", "#dfe3e8", "#ffffff"
STAGES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "star")

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
