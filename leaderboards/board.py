"""The board: a sheet for each suite that anybody was measured on, and the papers' own tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..harness.published.paper import Paper, Table, mean
from ..tasks.registry import BENCHMARKS, SUITES
from .columns import MEAN, Column, columns_of, mean_column, printed_columns, untabled
from .ranks import Ranks, ranks
from .rows import Cell, Row, measured_rows, printed_row
from .submission import Submission

PAPERS_SUITE = "sns"
"""The suite whose benchmarks the papers' rows are about."""
_GENERATED = "Generated for this project: it compares runs, it stands beside no paper."
TITLES = {
    "sns-mini": "SNS tasks on embedded items",
    "general-mini": "General skills, generated",
    "general-mini-report": "General skills, generated, items for final figures",
}
DEMONSTRATIONS = {
    "sns-mini": "A demonstration of 16 items a task, written for this project: quote none of it.",
    "general-mini": _GENERATED,
    "general-mini-report": _GENERATED,
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table of the board.

    Attributes:
        name: Of the suite, or of the paper's table.
        title: For people.
        columns: In order; the first is the one that orders the rows.
        rows: In order.
        ranks: Of the figures; None where they are a paper's own comparison, told in its order.
        notes: What a reader must know.
        demonstration: Whether its figures mean nothing beyond this project.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    ranks: Ranks | None
    notes: tuple[str, ...] = ()
    demonstration: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """All sheets, those that papers and runs share first."""

    sheets: tuple[Sheet, ...]


def board(papers: Sequence[Paper], submissions: Sequence[Submission]) -> Board:
    """Puts the board together.

    Args:
        papers: Whose rows it shows.
        submissions: Valid ones.
    """
    sheets = [
        sheet
        for suite in SUITES
        if (sheet := _suite(suite, papers if suite == PAPERS_SUITE else (), submissions))
    ]
    if other := _other(submissions):
        sheets.append(other)
    further = [_further(paper, table) for paper in papers for table in paper.tables]
    return Board((*sheets, *further))


def _suite(suite: str, papers: Sequence[Paper], submissions: Sequence[Submission]) -> Sheet | None:
    paper = papers[0] if papers else None
    columns = columns_of(suite, paper)
    rows = [printed_row(p, model, columns) for p in papers for model in p.rows]
    rows += [row for s in submissions for row in measured_rows(s, columns, paper) if row.cells]
    if not rows:
        return None
    rows.sort(key=lambda row: -row.cells[suite].value if suite in row.cells else 1.0)
    notes = [DEMONSTRATIONS[suite]] if suite in DEMONSTRATIONS else []
    notes += [f"Printed rows: {p.source}." for p in papers]
    if any(cell.printed is not None for row in rows for cell in row.cells.values()):
        notes.append(
            "Every printed average was made again from its row; where the print says otherwise, "
            "both stand, the printed one after ≠."
        )
    if paper:
        outside = " and ".join(paper.outside.values())
        notes.append(
            f"{outside} is printed only: it is a mean over other tasks than any suite here has, so "
            "no run measured here stands in that column, nor in a mean over it."
        )
    if any(row.measured for row in rows):
        notes.append(
            "Ranks order figures, and only those made alike; where intervals overlap, the order is "
            "not settled. Printed figures have no intervals."
        )
    shown = tuple(c for c in columns if any(c.key in row.cells for row in rows))
    return Sheet(
        suite,
        TITLES.get(suite, SUITES[suite].title),
        shown,
        tuple(rows),
        ranks(rows, shown),
        tuple(notes),
        suite in DEMONSTRATIONS,
    )


def _other(submissions: Sequence[Submission]) -> Sheet | None:
    """What was measured on tasks of lm-eval's that no suite has."""
    known = {f"{key}/{c}" for key, b in BENCHMARKS.items() for c in b.categories}
    names = dict.fromkeys(
        row.name
        for s in submissions
        for row in s.tables["corrected"]
        if row.level == "category" and row.name not in known
    )
    columns = untabled(list(names))
    rows = [row for s in submissions for row in measured_rows(s, columns, None) if row.cells]
    if not rows:
        return None
    title = "Other tasks of lm-evaluation-harness"
    return Sheet("other", title, columns, tuple(rows), ranks(rows, columns))


def _further(paper: Paper, table: Table) -> Sheet:
    """A further table, in its own order; averages that are wrong in the first are so here too."""
    names = list(dict.fromkeys(name for row in table.rows for name in row.figures))
    columns = printed_columns(paper, names)
    over = [c.key for c in columns if c.kind in ("outside", "benchmark")]
    if {*paper.outside} <= {*over}:
        columns = (*columns, mean_column(len(over)))
    source = f"{paper.title}, {paper.paper}{paper.version}, {table.number}"
    rows = []
    for row in table.rows:
        again = printed_row(paper, row.same, columns).cells if row.same else {}
        cells = {
            name: again[name] if name in again and again[name].printed == value else Cell(value)
            for name, value in row.figures.items()
        }
        if columns[-1].key == MEAN:
            cells[MEAN] = Cell(mean([cells[key].value for key in over]))
        facts = (("trained from", row.after),) if row.after else ()
        rows.append(Row(row.name, False, "official", "", source, cells, facts))
    title = f"{paper.title}, {table.number}: {table.title}"
    return Sheet(table.number, title, columns, tuple(rows), None, (f"Printed rows: {source}.",))
