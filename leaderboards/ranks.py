"""Who ranks against whom: only figures of one column that were made under the same conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from .columns import Column
from .conditions import Condition, differences
from .rows import PRINTED, Cell, Row

Under = tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a figure stands.

    Attributes:
        rank: From 1 within its group; None where nobody else is in it.
        of: Figures in the group.
        mark: Of the footnote that says what sets the group apart; "" for the column's main group.
    """

    rank: int | None
    of: int
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A footnote: its mark, whose figures they are, and what differs from the main group."""

    mark: str
    rows: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ranks:
    """All places of a sheet by (row, column), and the footnotes."""

    places: Mapping[tuple[int, str], Place]
    notes: tuple[Note, ...]

    def of(self, row: int, column: str) -> Place | None:
        """The place of a figure; None where there is no figure."""
        return self.places.get((row, column))


def ranks(rows: Sequence[Row], columns: Sequence[Column]) -> Ranks:
    """Ranks every figure within its group, the highest first; equal printed figures share a rank.

    The main group of a column is that of the printed figures, else the largest. Every other group
    is marked, and its footnote says what differs, column by column.
    """
    groups: dict[str, dict[Under, list[int]]] = {}
    for column in columns:
        found = groups[column.key] = {}
        for number, row in enumerate(rows):
            if cell := row.cells.get(column.key):
                found.setdefault(cell.under, []).append(number)
    places: dict[tuple[int, str], Place] = {}
    marks: dict[tuple[int, ...], str] = {}
    reasons: dict[str, dict[str, list[str]]] = {}
    for column in columns:
        main = _main(groups[column.key])
        for under, members in groups[column.key].items():
            mark = ""
            if under != main:
                mark = marks.setdefault(tuple(members), _letter(len(marks)))
                for reason in _reasons(rows, groups[column.key], column.key, under, main):
                    reasons.setdefault(mark, {}).setdefault(reason, []).append(column.title)
            for number, rank in _ordered({m: rows[m].cells[column.key] for m in members}).items():
                alone = len(members) == 1
                places[number, column.key] = Place(None if alone else rank, len(members), mark)
    return Ranks(places, tuple(_notes(rows, columns, marks, reasons, places)))


def _main(groups: Mapping[Under, Sequence[int]]) -> Under:
    if PRINTED in groups or not groups:
        return PRINTED
    return max(groups, key=lambda under: (len(groups[under]), -groups[under][0]))


def _letter(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    first, second = divmod(number, len(ascii_lowercase))
    return (ascii_lowercase[first - 1] if first else "") + ascii_lowercase[second]


def _ordered(cells: Mapping[int, Cell]) -> dict[int, int]:
    values = sorted((round(cell.value, 2) for cell in cells.values()), reverse=True)
    return {number: values.index(round(cell.value, 2)) + 1 for number, cell in cells.items()}


def _reasons(
    rows: Sequence[Row],
    groups: Mapping[Under, Sequence[int]],
    column: str,
    under: Under,
    main: Under,
) -> list[str]:
    """What sets a group of a column apart from the column's main group."""
    cell = rows[groups[under][0]].cells[column]
    if not main:
        return list(cell.apart)
    return differences(rows[groups[main][0]].cells[column].under, cell.under)


def _notes(
    rows: Sequence[Row],
    columns: Sequence[Column],
    marks: Mapping[tuple[int, ...], str],
    reasons: Mapping[str, Mapping[str, Sequence[str]]],
    places: Mapping[tuple[int, str], Place],
) -> list[Note]:
    notes = []
    for members, mark in marks.items():
        marked = [
            c for c in columns if places.get((members[0], c.key), Place(None, 0)).mark == mark
        ]
        told = [
            reason if len(where) == len(marked) else f"{reason} ({', '.join(where)})"
            for reason, where in reasons[mark].items()
        ]
        labels = tuple(f"{rows[m].label}, {rows[m].scoring}" for m in members)
        notes.append(Note(mark, labels, tuple(told)))
    return notes
