"""The board as Markdown, for a repository's page or a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..harness.wording import cell as escaped
from . import wording
from .board import Board, Sheet
from .derivation import Finding


def markdown(board: Board, findings: Sequence[Finding]) -> str:
    """The whole document."""
    lines = ["# Leaderboard", ""]
    for sheet in board.sheets:
        lines += _sheet(sheet)
    if findings:
        lines += ["## Computed again from the printed figures", ""]
        lines += [f"- {escaped(wording.finding(found))}" for found in findings]
    return "\n".join(lines).rstrip() + "\n"


def _sheet(sheet: Sheet) -> Iterator[str]:
    demonstration = (
        " (demonstration)" if sheet.demonstration and "emonstration" not in sheet.title else ""
    )
    yield from (f"## {escaped(sheet.title)}{demonstration}", "")
    titles = [escaped(column.title) for column in sheet.columns]
    yield f"| model | origin | {' | '.join(titles)} |"
    yield f"|---|---|{'|'.join('--:' for _ in titles)}|"
    for number, row in enumerate(sheet.rows):
        figures = []
        for column in sheet.columns:
            cell = row.cells.get(column.key)
            place = sheet.ranks.of(number, column.key) if sheet.ranks else None
            told = [wording.figure(cell), wording.spread(cell)] if cell else []
            shown = wording.rank(place)
            figures.append(" ".join(filter(None, [*map(escaped, told), escaped(shown)])))
        name = f"{wording.MARKS[row.measured]} {escaped(row.label)}"
        name = f"**{name}**" if row.measured else name
        yield f"| {name} | {escaped(wording.origin(row))} | {' | '.join(figures)} |"
    yield ""
    yield from (f"- {escaped(note)}" for note in wording.notes(sheet))
    signed = [(row, s) for row in sheet.rows for s in row.signatures]
    # A signature has no backtick: names of tasks and hashes only.
    yield from (
        f"- {escaped(row.label)}, {row.scoring}: `{s.replace('`', '')}`" for row, s in signed
    )
    if sheet.notes or signed:
        yield ""
