"""The forest plot: each task's move from base to candidate, and the interval of its change.

Places are percent of a track's width, so that a browser can draw the plot inside a table, at any
width, on paper too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..harness.gate.decision import Judged
from ..tasks.registry import CATEGORIES, TASKS
from .stages import Report, Stage
from .tables import by_effect, plain, significant

Ends = tuple[float | None, float | None]
_NONE: Ends = (None, None)
_SCORES = (0.0, 100.0)


@dataclass(frozen=True)
class Span:
    """A dot and its interval on a track, percent of the width; None where undefined."""

    at: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Line:
    """One task.

    Attributes:
        judged: The row of the gate.
        category, capability: For people.
        base, candidate: On a track from 0 to 100 points.
        change: On a track from -limit to +limit.
        margin: Place of the margin on that track; None where it is off the track.
        significant: Beyond noise.
    """

    judged: Judged
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
        """`up`, `down` or `flat` (within noise)."""
        if not self.significant:
            return "flat"
        return "up" if self.judged.row.difference > 0 else "down"


@dataclass(frozen=True)
class Forest:
    """The tasks of one stage, the largest fall first; `limit` ends the track of changes."""

    stage: Stage
    lines: tuple[Line, ...]
    limit: float


def forest(report: Report, stage: Stage) -> Forest:
    """The plot of one stage; all stages of a report share the scale."""
    limit = _limit(report)
    whole = report.policy.partition == "all"
    role = report.policy.scoring
    own = {s.label: _intervals(s, role) if whole else {} for s in (report.base, stage)}
    lines = []
    for j in by_effect(stage):
        task = TASKS[j.row.name]
        margin = _place(-j.margin, (-limit, limit))
        lines.append(
            Line(
                j,
                CATEGORIES.get(task.category, task.category),
                task.capability,
                _span(j.row.base, own[report.base.label].get(task.name, _NONE), _SCORES),
                _span(j.row.candidate, own[stage.label].get(task.name, _NONE), _SCORES),
                _span(j.row.difference, (j.low, j.high), (-limit, limit)),
                margin if j.margin < limit else None,
                significant(j, report.policy.level),
            )
        )
    return Forest(stage, tuple(lines), limit)


def _limit(report: Report) -> float:
    """A round number of points that holds nearly every interval; longer ones are cut."""
    ends = sorted(
        max(abs(j.low), abs(j.high))
        for stage in report.compared
        for j in by_effect(stage)
        if j.low == j.low
    )
    most = ends[-1] if ends else 10.0
    step = 5 if most <= 30 else 10
    return float(min(100, max(5, math.ceil(most / step) * step)))


def _intervals(stage: Stage, role: str) -> Mapping[str, Ends]:
    table = stage.run.results["tables"][role]
    return {row["name"]: (row["low"], row["high"]) for row in table if row["level"] == "task"}


def _span(at: float, ends: Ends, track: tuple[float, float]) -> Span:
    return Span(_place(at, track), _place(ends[0], track), _place(ends[1], track))


def _place(value: float | None, track: tuple[float, float]) -> float | None:
    if value is None or value != value:
        return None
    left, right = track
    return round(min(100.0, max(0.0, 100 * (value - left) / (right - left))), 2)
