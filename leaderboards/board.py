"""The board: a sheet per suite with runs or printed rows, its ranks, and the papers' own tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from ..harness.display import MINUS, change, score
from ..harness.published.paper import Paper, Table, mean
from ..tasks.registry import BENCHMARKS, SUITES
from .rows import (
    AGREES,
    MEAN,
    PRINTED,
    BoardRow,
    Cell,
    Column,
    Condition,
    columns_of,
    differences,
    mean_column,
    measured_rows,
    printed_columns,
    printed_row,
)
from .schema import Submission

Under = tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """The rank of a score.

    Attributes:
        rank: From 1 within its group; None where it is alone.
        of: Number of scores in the group.
        mark: Of the footnote that says how the group differs; "" for the column's main group.
    """

    rank: int | None
    of: int
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A footnote: its mark, whose scores they are, and how they differ from the main group."""

    mark: str
    rows: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ranks:
    """All places of a sheet by (row, column), and the footnotes."""

    places: Mapping[tuple[int, str], Place]
    notes: tuple[Note, ...]

    def of(self, row: int, column: str) -> Place | None:
        """The place of a score; None where there is no score."""
        return self.places.get((row, column))


def ranks(rows: Sequence[BoardRow], columns: Sequence[Column]) -> Ranks:
    """Ranks every score within its group, highest first; scores that print equal share a rank.

    The main group of a column is that of the printed scores, else the largest. Every other group is
    marked, and its footnote says what differs, column by column.
    """
    places: dict[tuple[int, str], Place] = {}
    marks: dict[tuple[int, ...], str] = {}
    marked: dict[str, list[str]] = {}
    reasons: dict[str, dict[str, list[str]]] = {}
    for column in columns:
        cells = {n: row.cells[column.key] for n, row in enumerate(rows) if column.key in row.cells}
        groups: dict[Under, list[int]] = {}
        for number, cell in cells.items():
            groups.setdefault(cell.under, []).append(number)
        main = _main(groups)
        for under, members in groups.items():
            mark = ""
            if under != main:
                mark = marks.setdefault(tuple(members), _letter(len(marks)))
                marked.setdefault(mark, []).append(column.title)
                why = differences(main, under) if main else cells[members[0]].apart
                for reason in why:
                    reasons.setdefault(mark, {}).setdefault(reason, []).append(column.title)
            values = {number: round(cells[number].value, 2) for number in members}
            ordered = sorted(values.values(), reverse=True)
            for number, value in values.items():
                rank = ordered.index(value) + 1 if len(members) > 1 else None
                places[number, column.key] = Place(rank, len(members), mark)
    notes = [
        Note(
            mark,
            tuple(f"{rows[m].label}, {rows[m].scoring}" for m in members),
            tuple(
                reason if where == marked[mark] else f"{reason} ({', '.join(where)})"
                for reason, where in reasons[mark].items()
            ),
        )
        for members, mark in marks.items()
    ]
    return Ranks(places, tuple(notes))


def _main(groups: Mapping[Under, Sequence[int]]) -> Under:
    if PRINTED in groups or not groups:
        return PRINTED
    return max(groups, key=lambda under: (len(groups[under]), -groups[under][0]))


def _letter(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    first, second = divmod(number, len(ascii_lowercase))
    return (ascii_lowercase[first - 1] if first else "") + ascii_lowercase[second]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something printed that was recomputed.

    Attributes:
        holds: Whether it came out as printed.
        text: One line.
        expected: False for a known flaw of the print, which is shown and fails no check.
    """

    holds: bool
    text: str
    expected: bool = True


def findings(paper: Paper) -> list[Finding]:
    """Everything about a paper that can be recomputed from its own scores."""
    return [*_averages(paper), *_claims(paper), *_repeated(paper)]


def _averages(paper: Paper) -> Iterator[Finding]:
    """Every printed average of a benchmark, compared with the mean of its categories."""
    right, wrong = 0, []
    for model in paper.rows:
        figures, averages = paper.figures(model), paper.averages(model)
        for key in averages.keys() & BENCHMARKS.keys():
            again = mean([figures[f"{key}/{c}"] for c in BENCHMARKS[key].categories])
            if abs(again - averages[key]) <= AGREES:
                right += 1
                continue
            wrong.append(
                f"{model}, {BENCHMARKS[key].title}: {score(averages[key])} printed, {score(again)} "
                "from its own row; the board shows both"
            )
    if right:
        yield Finding(
            True, f"{right} of {right + len(wrong)} printed averages follow from their rows"
        )
    yield from (Finding(False, text, expected=False) for text in wrong)


def _claims(paper: Paper) -> Iterator[Finding]:
    """The differences that the text claims, from the averages as printed."""
    for claim in paper.claims:
        one, two = (mean([*paper.averages(m).values()]) for m in (claim.model, claim.over))
        difference = one - two
        yield Finding(
            round(difference, 2) == claim.points,
            f"{claim.model} over {claim.over}: {score(one)} {MINUS} {score(two)} = "
            f"{change(difference)}; {change(claim.points)} claimed",
        )


def _repeated(paper: Paper) -> Iterator[Finding]:
    """Scores that another table prints again."""
    for table in paper.tables:
        same, differ = 0, []
        for row in table.rows:
            known = {**paper.figures(row.same), **paper.averages(row.same)} if row.same else {}
            for name in row.figures.keys() & known.keys():
                if row.figures[name] == known[name]:
                    same += 1
                else:
                    differ.append(f"{row.name} {name} {row.figures[name]:g}, not {known[name]:g}")
        if same or differ:
            text = f"{table.number} repeats {same + len(differ)} scores of the first table"
            yield Finding(not differ, f"{text}: {'; '.join(differ) or 'all equal'}")


PAPERS_SUITE = "sns"
"""The suite whose benchmarks the papers' rows are about."""
_GENERATED = "Generated for this project: for comparing runs, not for comparison with any paper."
TITLES = {
    "sns-mini": "SNS tasks on embedded samples",
    "general-mini": "General skills, generated",
    "general-mini-report": "General skills, generated, samples for final scores",
}
DEMONSTRATIONS = {
    "sns-mini": "A demonstration with 16 samples per task, written for this project: not to be "
    "quoted as a result.",
    "general-mini": _GENERATED,
    "general-mini-report": _GENERATED,
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table of the board.

    Attributes:
        name: Of the suite, or of the paper's table.
        title: Display name.
        columns: In order; rows are ordered by the first.
        rows: In order.
        ranks: Of the scores; None for a paper's own comparison, shown in its order.
        notes: What readers must know.
        demonstration: Whether its scores mean nothing outside this project.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[BoardRow, ...]
    ranks: Ranks | None
    notes: tuple[str, ...] = ()
    demonstration: bool = False


def board(papers: Sequence[Paper], submissions: Sequence[Submission]) -> tuple[Sheet, ...]:
    """The sheets of the board, those with both papers and runs first.

    Args:
        papers: Whose rows it shows.
        submissions: Validated ones.
    """
    suites = [_suite(name, papers if name == PAPERS_SUITE else (), submissions) for name in SUITES]
    further = [_further(paper, table) for paper in papers for table in paper.tables]
    return tuple(sheet for sheet in (*suites, _other(submissions), *further) if sheet)


def _suite(suite: str, papers: Sequence[Paper], submissions: Sequence[Submission]) -> Sheet | None:
    paper = papers[0] if papers else None
    columns = columns_of(suite, paper)
    rows = [printed_row(p, model, columns) for p in papers for model in p.rows]
    rows += [row for s in submissions for row in measured_rows(s, columns, paper)]
    if not rows:
        return None
    rows.sort(key=lambda row: -row.cells[suite].value if suite in row.cells else 1.0)
    notes = [DEMONSTRATIONS[suite]] if suite in DEMONSTRATIONS else []
    notes += [f"Printed rows: {p.source}." for p in papers]
    if any(cell.printed is not None for row in rows for cell in row.cells.values()):
        notes.append(
            "Every printed average was recomputed from its row; where they disagree, both are "
            "shown, the printed one after ≠."
        )
    if paper:
        outside = " and ".join(paper.outside.values())
        notes.append(
            f"{outside} exists in print only: it is a mean over tasks that no suite here has, so "
            "measured runs have no score in that column or in a mean over it."
        )
    if any(row.measured for row in rows):
        notes.append(
            "Only scores measured under the same conditions are ranked together; where intervals "
            "overlap, the order is uncertain. Printed scores have no intervals."
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
    """Scores on tasks of lm-eval that are in no suite."""
    known = {f"{key}/{c}" for key, b in BENCHMARKS.items() for c in b.categories}
    names = dict.fromkeys(
        row.name
        for s in submissions
        for row in s.tables["corrected"]
        if row.level == "category" and row.name not in known
    )
    columns = tuple(Column(name, name, "category") for name in names)
    rows = [row for s in submissions for row in measured_rows(s, columns, None)]
    if not rows:
        return None
    title = "Other tasks of lm-evaluation-harness"
    return Sheet("other", title, columns, tuple(rows), ranks(rows, columns))


def _further(paper: Paper, table: Table) -> Sheet:
    """A further table in its own order, with the flaws of the first table's averages marked."""
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
        rows.append(BoardRow(row.name, False, "official", "", source, cells, facts))
    title = f"{paper.title}, {table.number}: {table.title}"
    return Sheet(table.number, title, columns, tuple(rows), None, (f"Printed rows: {source}.",))
