"""The figures of a report, task by task: tables for download, the forest plot, the heat map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..harness.gate.decision import RowVerdict
from ..tasks.registry import TASKS, TableRow, category_title, table_of
from ..tasks.schema import FAILURES, SCORER
from .seesaw import Seesaw
from .stages import ReportRuns, Stage


@dataclass(frozen=True)
class Table:
    """Rows of plain values under named columns.

    Attributes:
        name: Of the file that it is downloaded as.
        columns: Names.
        rows: Each as long as `columns`; texts, numbers, or None (or NaN) for unknown.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def record(self) -> dict[str, Any]:
        """As a JSON object."""
        rows = [[plain(value) for value in row] for row in self.rows]
        return {"columns": list(self.columns), "rows": rows}


def plain(value: Any) -> Any:
    """The value, None for NaN."""
    return None if isinstance(value, float) and value != value else value


def significant(row: RowVerdict, alpha: float) -> bool:
    """Whether a change is statistically significant: by its q-value, else by its interval."""
    if row.q is not None:
        return row.q <= alpha
    return row.low > 0 or row.high < 0


def changes(report: ReportRuns) -> Table:
    """Every row of every comparison, as in gate.json."""
    columns = (
        "stage", "level", "name", "title", "samples", "base", "candidate", "difference", "low",
        "high", "margin", "q", "p_adjusted", "verdict", "role", "significant",
    )  # fmt: skip
    rows = [
        (
            stage.label, j.row.level, j.row.name, j.row.title, j.row.samples, j.row.base,
            j.row.candidate, j.row.difference, j.low, j.high, j.margin, j.q, j.p_adjusted,
            j.verdict, j.role, significant(j, report.policy.level),
        )
        for stage in report.compared
        for j in stage.rows
    ]  # fmt: skip
    return Table("changes", columns, rows)


def scores(report: ReportRuns) -> Table:
    """Every score of every run, as in results.json."""
    columns = ("level", "name", "title", "score", "low", "high", "signature")
    rows = [
        (stage.label, *(row.get(column) for column in columns))
        for stage in report.runs
        for row in stage.run.results["tables"][report.policy.scoring]
    ]
    return Table("scores", ("run", *columns), rows)


def places(found: Seesaw) -> Table:
    """The place of each stage on the seesaw, and the published moves."""
    columns = (
        "stage", "outcome", "quadrant", "beyond_noise", "domain", "domain_low", "domain_high",
        "robustness", "robustness_low", "robustness_high", "variance_domain",
        "variance_robustness", "covariance", "source",
    )  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    unknown = (None, None, None)
    for p in found.points:
        x, y = ((c.value, c.low, c.high) if c else unknown for c in (p.x, p.y))
        spread = unknown if p.covariance is None else p.covariance[(0, 1, 0), (0, 1, 1)].tolist()
        place = (p.label, p.outcome, p.quadrant, p.significant)
        rows.append((*place, *x, *y, *spread, "these runs"))
    for m in found.moves:
        x, y = (m.x, None, None), (m.y, None, None)
        rows.append((m.name, *unknown, *x, *y, *unknown, found.source))
    return Table("seesaw", columns, rows)


def failures(report: ReportRuns) -> Table:
    """Failure counts by run and task."""
    rows = []
    for stage in report.runs:
        for name, task in stage.run.results["tasks"].items():
            counts = task["scorings"][report.policy.scoring]["failures"]
            kinds = (counts.get(kind, 0) for kind in (*FAILURES, SCORER))
            rows.append((stage.label, name, task["title"], task["answers"], *kinds))
    return Table("failures", ("run", "task", "title", "answers", *FAILURES, SCORER), rows)


@dataclass(frozen=True)
class Span:
    """A dot and its interval, in percent of a track's width; None where undefined.

    A browser can draw percentages inside a table at any width, and in print.
    """

    at: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(
        cls,
        at: float | None,
        low: float | None,
        high: float | None,
        track: tuple[float, float] = (0.0, 100.0),
    ) -> Span:
        """A score and its interval on a track from one value to another."""
        return cls(_place(at, track), _place(low, track), _place(high, track))


@dataclass(frozen=True)
class Line:
    """One task of the forest plot.

    Attributes:
        judged: The row of the gate.
        category, capability: Display names.
        base, candidate: On a track from 0 to 100 points.
        change: On a track from -limit to +limit.
        margin: Place of the margin on that track; None where it is off the track.
        significant: Whether the change is statistically significant.
    """

    judged: RowVerdict
    category: str
    capability: str
    base: Span
    candidate: Span
    change: Span
    margin: float | None
    significant: bool

    @property
    def effect(self) -> float | None:
        return plain(self.judged.row.difference)

    @property
    def direction(self) -> str:
        """`up`, `down` or `flat` (not significant)."""
        if not self.significant:
            return "flat"
        return "up" if self.judged.row.difference > 0 else "down"


def forest(report: ReportRuns, stage: Stage) -> list[Line]:
    """The forest plot of one stage: its tasks, the largest drop first."""
    limit = change_limit(report)
    track = (-limit, limit)
    base, own = {}, {}
    if report.policy.partition == "all":
        base, own = (_intervals(run, report.policy.scoring) for run in (report.base, stage))
    unknown = (None, None)
    return [
        Line(
            j,
            category_title(TASKS[j.row.name]),
            TASKS[j.row.name].capability,
            Span.of(j.row.base, *base.get(j.row.name, unknown)),
            Span.of(j.row.candidate, *own.get(j.row.name, unknown)),
            Span.of(j.row.difference, j.low, j.high, track),
            _place(-j.margin, track) if j.margin < limit else None,
            significant(j, report.policy.level),
        )
        for j in stage.by_effect
    ]


def change_limit(report: ReportRuns) -> float:
    """Where the change tracks of all stages end: round, beyond every interval, 100 at most."""
    ends = [
        max(abs(j.low), abs(j.high))
        for stage in report.compared
        for j in stage.by_effect
        if j.low == j.low
    ]
    largest = max(ends, default=10.0)
    step = 5 if largest <= 30 else 10
    return float(min(100, max(5, math.ceil(largest / step) * step)))


def _intervals(stage: Stage, role: str) -> dict[str, tuple[float | None, float | None]]:
    table = stage.run.results["tables"][role]
    return {row["name"]: (row["low"], row["high"]) for row in table if row["level"] == "task"}


def _place(value: float | None, track: tuple[float, float]) -> float | None:
    if value is None or value != value:
        return None
    left, right = track
    return round(min(100.0, max(0.0, 100 * (value - left) / (right - left))), 2)


@dataclass(frozen=True)
class Cell:
    """One change in the heat map.

    Attributes:
        change: Points; None where the stage has no such score.
        strength: 0..1, relative to the largest change of the map.
        significant: Whether the change is statistically significant.
    """

    change: float | None
    strength: float = 0.0
    significant: bool = False

    @property
    def direction(self) -> str:
        if self.change is None:
            return "none"
        return "up" if self.change >= 0 else "down"


@dataclass(frozen=True)
class HeatRow:
    """A task or a mean over tasks: the base's own score, and a cell per stage."""

    level: str
    name: str
    title: str
    base: float | None
    cells: Sequence[Cell]


def heat_map(report: ReportRuns) -> list[HeatRow]:
    """Rows in the order of the tables, means over one task left out."""
    table = report.base.run.results["tables"][report.policy.scoring]
    own = {(row["level"], row["name"]): row["score"] for row in table}
    tasks = [j for stage in report.compared for j in stage.rows if j.row.level == "task"]
    sizes = [abs(j.row.difference) for j in tasks if j.row.difference == j.row.difference]
    largest = max(sizes, default=0.0)

    def cell(stage: Stage, line: TableRow) -> Cell:
        j = stage.row(line.level, line.name)
        change = plain(j.row.difference) if j else None
        if j is None or change is None:
            return Cell(None)
        strength = min(1.0, abs(change) / largest) if largest else 0.0
        return Cell(change, round(strength, 3), significant(j, report.policy.level))

    return [
        HeatRow(
            line.level,
            line.name,
            line.title,
            own.get((line.level, line.name)),
            [cell(stage, line) for stage in report.stages],
        )
        for line in lines_of(list(report.base.run.results["tasks"]))
    ]


def lines_of(names: list[str]) -> list[TableRow]:
    """The rows of a table of tasks, suites first, without means that repeat another row."""
    every = table_of(names)
    suites = [line for line in every if line.level == "suite"]
    whole = {line.of for line in suites}

    def repeats(line: TableRow) -> bool:
        if line.level == "category":
            return len(line.of) == 1
        return line.level == "benchmark" and line.of in whole

    return suites + [line for line in every if line.level != "suite" and not repeats(line)]
