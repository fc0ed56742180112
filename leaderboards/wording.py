"""How a figure of the board is written, alike in the terminal, in Markdown and on the page."""

from __future__ import annotations

from ..harness.wording import interval, score
from .board import Sheet
from .derivation import Finding
from .ranks import Place
from .rows import Cell, Row

ORIGINS = {True: "measured", False: "printed"}
MARKS = {True: "●", False: "○"}
"""Measured and printed rows differ in sign, word and weight, never in colour alone."""


def figure(cell: Cell) -> str:
    """The figure; one that its own print contradicts has both."""
    return score(cell.value) + ("" if cell.printed is None else f" ≠ {score(cell.printed)}")


def spread(cell: Cell) -> str:
    """Its interval, "" where there is none."""
    return interval(cell.low, cell.high, 1)


def rank(place: Place | None, full: bool = False) -> str:
    """`#3`, with the mark of its footnote; the mark alone where it ranks against nobody.

    Args:
        place: None for no rank at all.
        full: Say among how many.
    """
    if place is None:
        return ""
    number = "" if place.rank is None else f"#{place.rank}"
    among = f" of {place.of}" if full and number else ""
    return f"{number}{among}{f'({place.mark})' if place.mark else ''}"


def origin(row: Row) -> str:
    """Whether a row is printed or measured here, under which scoring, on how much."""
    scoring = "official = corrected" if row.scoring == "both" else row.scoring
    return ", ".join(filter(None, [ORIGINS[row.measured], scoring, row.samples]))


def notes(sheet: Sheet) -> list[str]:
    """What stands below a sheet: what to know, then the footnotes."""
    found = list(sheet.notes)
    for note in sheet.ranks.notes if sheet.ranks else ():
        why = "; ".join(note.reasons)
        found.append(f"({note.mark}) {' / '.join(note.rows)}: not ranked with the others. {why}.")
    return found


def finding(found: Finding) -> str:
    """With a sign that says whether it holds."""
    return f"{'✓' if found.holds else '≠' if not found.expected else '✗'} {found.text}"
