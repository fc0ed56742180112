"""Colours that everyone can tell apart (Okabe and Ito 2008), and never the only sign of anything.

Stages also have their own marker shape and their name beside it.
"""

from __future__ import annotations

UP, DOWN = "#0072B2", "#D55E00"
INK, FAINT, GRID, PAPER = "#1c2127", "#6b7480", "#dfe3e8", "#ffffff"

STAGES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "star")


def of_stage(place: int) -> tuple[str, str]:
    """Colour and marker of the stage at a place (0-based)."""
    return STAGES[place % len(STAGES)], MARKERS[place % len(MARKERS)]
