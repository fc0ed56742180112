"""The heat map: change of every task (and mean) at every stage."""

from __future__ import annotations

from dataclasses import dataclass

from ..tasks.registry import TableRow, table_of
from .stages import Report
from .tables import plain, significant


@dataclass(frozen=True)
class Cell:
    """One change.

    Attributes:
        change: Points; None where the stage has no such figure.
        strength: 0..1, the share of the largest change of the map.
        significant: Beyond noise.
        verdict: Of the gate, "" where there is none.
    """

    change: float | None
    strength: float = 0.0
    significant: bool = False
    verdict: str = ""

    @property
    def direction(self) -> str:
        if self.change is None:
            return "none"
        return "up" if self.change >= 0 else "down"


@dataclass(frozen=True)
class Row:
    """A task or a mean over tasks; `base` is the base's own figure."""

    level: str
    name: str
    title: str
    base: float | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class HeatMap:
    """Rows in the order of the tables, means over one task left out; a column per stage."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def heat_map(report: Report) -> HeatMap:
    """The map of all stages; those that can't be compared have empty columns."""
    table = {
        (row["level"], row["name"]): row
        for row in report.base.run.results["tables"][report.policy.scoring]
    }
    largest = max(
        (
            abs(j.row.difference)
            for stage in report.compared
            for j in (stage.gate.rows if stage.gate else ())
            if j.row.level == "task" and j.row.difference == j.row.difference
        ),
        default=0.0,
    )
    rows = []
    for line in lines_of(list(report.base.run.results["tasks"])):
        cells = []
        for stage in report.stages:
            j = stage.row(line.level, line.name)
            change = plain(j.row.difference) if j else None
            if j is None or change is None:
                cells.append(Cell(None))
                continue
            strength = min(1.0, abs(change) / largest) if largest else 0.0
            beyond = significant(j, report.policy.level)
            cells.append(Cell(change, round(strength, 3), beyond, j.verdict))
        found = table.get((line.level, line.name), {})
        rows.append(Row(line.level, line.name, line.title, found.get("score"), tuple(cells)))
    return HeatMap(tuple(stage.label for stage in report.stages), tuple(rows))


def lines_of(names: list[str]) -> list[TableRow]:
    """Suites first; a mean over one task, or a benchmark that is its whole suite, is told once."""
    every = table_of(names)
    suites = [line for line in every if line.level == "suite"]
    whole = {line.of for line in suites}
    rest = [
        line
        for line in every
        if line.level == "task"
        or (line.level == "category" and len(line.of) > 1)
        or (line.level == "benchmark" and line.of not in whole)
    ]
    return suites + rest
