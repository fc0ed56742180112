"""How figures and texts of others are written, alike on every page and in every terminal."""

from __future__ import annotations

import re

from ..tasks.command import visible

MINUS = "\u2212"
UNKNOWN = "–"


def score(value: float | None, digits: int = 2) -> str:
    """A figure in percent."""
    return UNKNOWN if _undefined(value) else f"{value:.{digits}f}".replace("-", MINUS)


def change(value: float | None, digits: int = 2) -> str:
    """A difference, always with its sign."""
    return UNKNOWN if _undefined(value) else f"{value:+.{digits}f}".replace("-", MINUS)


def interval(low: float | None, high: float | None, digits: int = 2, sign: bool = False) -> str:
    """An interval in brackets, "" where there is none."""
    if _undefined(low) or _undefined(high):
        return ""
    write = change if sign else score
    # A line never breaks within an interval.
    return f"[{write(low, digits)},\u00a0{write(high, digits)}]"


def probability(value: float | None) -> str:
    """A p-value or q-value to three decimals, never 0."""
    if value is None or value != value:
        return UNKNOWN
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(value: int | None) -> str:
    """A number of things."""
    return UNKNOWN if value is None else f"{value:,}"


def _undefined(value: float | None) -> bool:
    return value is None or value != value


def cell(text: str) -> str:
    """Text for Markdown that cannot break out of a line or a table, and is no markup."""
    flat = " ".join(visible(text).split())
    return re.sub(r"([\\|`<>*_\[\]#~&@])", r"\\\1", flat)
