"""The board in a terminal, as Markdown, as CSV, and as one HTML page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..harness import html
from ..harness.display import cell as markdown_cell
from ..harness.display import interval, score
from ..tasks.command import visible
from .board import Finding, Place, Sheet
from .rows import BoardRow, Cell, Column

TEMPLATE = Path(__file__).with_name("templates") / "board.html"
ORIGINS = {True: "measured", False: "printed"}
MARKS = {True: "●", False: "○"}
"""Measured and printed rows differ in mark, word and weight, never in color alone."""
NAME_WIDTH = 40
"""Characters of a model's name in the terminal; the other formats have all of it."""
CSV_COLUMNS = (
    "sheet", "model", "origin", "scoring", "samples", "column", "level", "score", "low", "high",
    "printed_otherwise", "rank", "ranked_among", "not_ranked_with_others_because", "source",
    "demonstration", "signatures",
)  # fmt: skip


def score_text(cell: Cell) -> str:
    """The score; where a printed average disagrees with its own row, both."""
    return score(cell.value) + ("" if cell.printed is None else f" ≠ {score(cell.printed)}")


def interval_text(cell: Cell) -> str:
    """Its interval, "" where there is none."""
    return interval(cell.low, cell.high, 1)


def rank_text(place: Place | None) -> str:
    """`#3`, with the mark of its footnote; only the mark where it is alone."""
    if place is None:
        return ""
    number = "" if place.rank is None else f"#{place.rank}"
    return f"{number}{f'({place.mark})' if place.mark else ''}"


def origin_text(row: BoardRow) -> str:
    """Whether a row is printed or measured, under which scoring, on how many samples."""
    scoring = "official = corrected" if row.scoring == "both" else row.scoring
    return ", ".join(filter(None, [ORIGINS[row.measured], scoring, row.samples]))


def notes_of(sheet: Sheet) -> list[str]:
    """The notes below a sheet, then its footnotes."""
    found = list(sheet.notes)
    for note in sheet.ranks.notes if sheet.ranks else ():
        why = "; ".join(note.reasons)
        found.append(f"({note.mark}) {' / '.join(note.rows)}: ranked separately: {why}.")
    return found


def finding_text(found: Finding) -> str:
    """With a sign that says whether it holds."""
    return f"{'✓' if found.holds else '≠' if not found.expected else '✗'} {found.text}"


def findings_text(findings: Sequence[Finding]) -> Iterator[str]:
    """What was recomputed, one line each."""
    if findings:
        yield "Recomputed from the printed scores:"
        yield from (f"  {finding_text(found)}" for found in findings)


def _place(sheet: Sheet, number: int, column: Column) -> Place | None:
    return sheet.ranks.of(number, column.key) if sheet.ranks else None


def print_board(sheets: Sequence[Sheet], findings: Sequence[Finding]) -> None:
    """Prints every sheet: a table of the means, and one of the categories."""
    from ..tasks.command import console

    terminal = console()
    for sheet in sheets:
        demonstration = "[yellow] (demonstration)[/]" if sheet.demonstration else ""
        terminal.print(f"[bold]{_escaped(sheet.title)}[/]{demonstration}")
        totals = [c for c in sheet.columns if c.total]
        split = {c.key.rpartition(":")[0] for c in sheet.columns if c.kind == "part"}
        parts = [c for c in sheet.columns if not c.total and c.key not in split]
        for columns in filter(None, (totals, parts)):
            terminal.print(_table(sheet, columns, means=columns is totals))
        for note in notes_of(sheet):
            terminal.print(f"[dim]{_escaped(note)}[/]")
        terminal.print()
    for line in findings_text(findings):
        terminal.print(_escaped(line))


def _table(sheet: Sheet, columns: Sequence[Column], means: bool) -> Any:
    """One table of a sheet; means are shown with interval and rank.

    The origin or scoring of rows is shown only on sheets with measured rows.
    """
    from rich.table import Table

    mixed = any(row.measured for row in sheet.rows)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("model", no_wrap=True)
    if mixed:
        table.add_column("origin" if means else "scoring")
    for column in columns:
        table.add_column(_escaped(column.title), justify="right", min_width=6)
    for number, row in enumerate(sheet.rows):
        name = row.label if len(row.label) <= NAME_WIDTH else f"{row.label[: NAME_WIDTH - 1]}…"
        about = origin_text(row) if means else row.scoring
        line = [f"{MARKS[row.measured]} {name}", about] if mixed else [name]
        for column in columns:
            cell, place = row.cells.get(column.key), _place(sheet, number, column)
            if cell is None:
                line.append("")
            elif means:
                line.append(_cell_text(cell, place))
            else:
                line.append(score_text(cell) + (f"({place.mark})" if place and place.mark else ""))
        table.add_row(*map(_escaped, line), style="bold" if row.measured else "")
    return table


def _cell_text(cell: Cell, place: Place | None) -> str:
    return " ".join(filter(None, [score_text(cell), interval_text(cell), rank_text(place)]))


def _escaped(text: str) -> str:
    """Text of others on one line, without markup and control characters."""
    from rich.markup import escape

    return escape(" ".join(visible(text).split()))


def markdown(sheets: Sequence[Sheet], findings: Sequence[Finding]) -> str:
    """The whole document, for a repository's page or a pull request."""
    lines = ["# Leaderboard", ""]
    for sheet in sheets:
        lines += _markdown_sheet(sheet)
    if findings:
        lines += ["## Recomputed from the printed scores", ""]
        lines += [f"- {markdown_cell(finding_text(found))}" for found in findings]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_sheet(sheet: Sheet) -> Iterator[str]:
    demonstration = " (demonstration)" if sheet.demonstration else ""
    yield from (f"## {markdown_cell(sheet.title)}{demonstration}", "")
    titles = [markdown_cell(column.title) for column in sheet.columns]
    yield f"| model | origin | {' | '.join(titles)} |"
    yield f"|---|---|{'|'.join('--:' for _ in titles)}|"
    for number, row in enumerate(sheet.rows):
        cells = [
            _cell_text(cell, _place(sheet, number, column)) if cell else ""
            for column in sheet.columns
            for cell in [row.cells.get(column.key)]
        ]
        name = f"{MARKS[row.measured]} {markdown_cell(row.label)}"
        name = f"**{name}**" if row.measured else name
        texts = map(markdown_cell, [origin_text(row), *cells])
        yield f"| {name} | {' | '.join(texts)} |"
    yield ""
    yield from (f"- {markdown_cell(note)}" for note in notes_of(sheet))
    signed = [(row, signature) for row in sheet.rows for signature in row.signatures]
    # A signature has no backtick: names of tasks and hashes only.
    yield from (
        f"- {markdown_cell(row.label)}, {row.scoring}: `{signature.replace('`', '')}`"
        for row, signature in signed
    )
    if sheet.notes or signed:
        yield ""


def spreadsheet(sheets: Sequence[Sheet]) -> str:
    """CSV, a line per score: full precision, an empty field for what is unknown."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for sheet in sheets:
        reasons = {n.mark: "; ".join(n.reasons) for n in (sheet.ranks.notes if sheet.ranks else ())}
        for number, row in enumerate(sheet.rows):
            for column in sheet.columns:
                cell = row.cells.get(column.key)
                if cell is None:
                    continue
                place = _place(sheet, number, column)
                fields = (
                    sheet.name, row.label, ORIGINS[row.measured], row.scoring, row.samples,
                    column.key, column.kind, round(cell.value, 6), cell.low, cell.high,
                    cell.printed, place and place.rank, place and place.of,
                    place and reasons.get(place.mark, ""), row.source,
                    "yes" if sheet.demonstration else "", " ".join(row.signatures),
                )  # fmt: skip
                writer.writerow(map(_safe, fields))
    return file.getvalue()


def _safe(value: object) -> object:
    """Keeps a spreadsheet from running a text that starts like a formula."""
    risky = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if risky else value


def page(sheets: Sequence[Sheet], findings: Sequence[Finding]) -> str:
    """One self-contained HTML page: sortable, light and dark, down to the width of a phone."""
    functions = (score_text, interval_text, rank_text, origin_text, notes_of, finding_text)
    return html.render(
        TEMPLATE,
        {function.__name__: function for function in functions},
        sheets=sheets,
        findings=findings,
        marks=MARKS,
        origins=ORIGINS,
    )
