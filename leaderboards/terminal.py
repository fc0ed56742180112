"""The board in a terminal, and readable where its output is piped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..harness.wording import visible
from . import wording
from .board import Board, Sheet
from .columns import Column
from .derivation import Finding
from .rows import Row

MOST = 40
"""Characters of a model's name that are shown here; the other forms have all of it."""


def show(board: Board, findings: Sequence[Finding]) -> None:
    """Prints every sheet: a table of the means, and one of the categories."""
    from ..tasks.command import console

    console = console()
    for sheet in board.sheets:
        console.print(f"[bold]{_plain(sheet.title)}[/]" + _demonstration(sheet))
        totals = [c for c in sheet.columns if c.total]
        split = {c.key.rpartition(":")[0] for c in sheet.columns if c.kind == "part"}
        parts = [c for c in sheet.columns if not c.total and c.key not in split]
        if totals:
            console.print(_means(sheet, totals))
        if parts:
            console.print(_categories(sheet, parts))
        for note in wording.notes(sheet):
            console.print(f"[dim]{_plain(note)}[/]")
        console.print()
    for line in checked(findings):
        console.print(_plain(line))


def checked(findings: Sequence[Finding]) -> Iterator[str]:
    """What was computed again, a line each."""
    if findings:
        yield "Computed again from the printed figures:"
        yield from (f"  {wording.finding(found)}" for found in findings)


def _means(sheet: Sheet, columns: Sequence[Column]) -> Any:
    table = _table(sheet, columns, "origin")
    for number, row in enumerate(sheet.rows):
        cells = []
        for column in columns:
            cell = row.cells.get(column.key)
            place = sheet.ranks.of(number, column.key) if sheet.ranks else None
            told = [wording.figure(cell), wording.spread(cell)] if cell else []
            cells.append(" ".join(filter(None, [*told, wording.rank(place)])))
        _add(table, sheet, row, wording.origin(row), cells)
    return table


def _categories(sheet: Sheet, columns: Sequence[Column]) -> Any:
    table = _table(sheet, columns, "scoring")
    for number, row in enumerate(sheet.rows):
        cells = []
        for column in columns:
            cell = row.cells.get(column.key)
            place = sheet.ranks.of(number, column.key) if sheet.ranks else None
            mark = f"({place.mark})" if place and place.mark else ""
            cells.append(wording.figure(cell) + mark if cell else "")
        _add(table, sheet, row, row.scoring, cells)
    return table


def _table(sheet: Sheet, columns: Sequence[Column], beside: str) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("model", no_wrap=True)
    if _mixed(sheet):
        table.add_column(beside)
    for column in columns:
        table.add_column(_plain(column.title), justify="right", min_width=6)
    return table


def _add(table: Any, sheet: Sheet, row: Row, beside: str, cells: Sequence[str]) -> None:
    """Adds a line; what stands beside the name does so only where measured rows are about."""
    label = row.label if len(row.label) <= MOST else f"{row.label[: MOST - 1]}…"
    head = [f"{wording.MARKS[row.measured]} {label}", beside] if _mixed(sheet) else [label]
    table.add_row(*map(_plain, [*head, *cells]), style="bold" if row.measured else "")


def _mixed(sheet: Sheet) -> bool:
    return any(row.measured for row in sheet.rows)


def _demonstration(sheet: Sheet) -> str:
    return (
        " [yellow](demonstration)[/]"
        if sheet.demonstration and "emonstration" not in sheet.title
        else ""
    )


def _plain(text: str) -> str:
    """Text of others: no markup, no control characters, one line."""
    from rich.markup import escape

    return escape(" ".join(visible(text).split()))
