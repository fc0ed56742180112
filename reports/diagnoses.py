"""What `redone-diagnose` wrote into the run folders, as far as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..harness.diagnosis.record import load
from ..harness.diagnosis.schema import Diagnosis
from ..harness.diagnosis.task_schema import Estimate
from ..tasks.errors import RedoneError
from .stages import Report, Stage
from .tables import Table

FILE = "diagnosis.json"


@dataclass(frozen=True)
class Diagnosed:
    """The diagnosis of one run.

    Attributes:
        label: Of the run.
        content: Of diagnosis.json; None where there is nothing to show.
        missing: Why not, with the way out; "" where there is.
    """

    label: str
    content: Diagnosis | None
    missing: str = ""

    @property
    def capabilities(self) -> list[dict[str, Any]]:
        """Name, tasks, skill with its interval; the weakest first."""
        found = self.content.capabilities if self.content else ()
        return [
            {"capability": c.name, "tasks": len(c.tasks), **_estimate("skill", c.skill)}
            for c in found
        ]

    @property
    def weaknesses(self) -> list[dict[str, Any]]:
        """Ranked: task, slice, failure kind, gap with its interval, priority."""
        found = self.content.weaknesses if self.content else ()
        return [
            {
                "rank": w.rank,
                "task": w.task,
                "slice": str(w.slice) if w.slice else "",
                "failure": w.failure,
                **_estimate("gap", w.gap),
                "priority": w.priority,
            }
            for w in found
        ]

    @property
    def slices(self) -> list[dict[str, Any]]:
        """Those that differ from the rest of their task, the weakest first."""
        tasks = self.content.tasks if self.content else {}
        found = [
            {
                "task": name,
                "slice": str(s.slice),
                "count": s.n,
                **_estimate("difference", s.difference),
                "p": s.p,
                "failure": s.failure,
            }
            for name, task in tasks.items()
            for s in task.slices
        ]
        return sorted(found, key=lambda s: s["difference"] or 0.0)

    @property
    def hints(self) -> list[dict[str, Any]]:
        """Terms that the reward should get, by task."""
        found = self.content.hints if self.content else ()
        return [{"task": h.task, "term": h.term, "share": h.share, "low": h.low} for h in found]

    @property
    def about(self) -> str:
        """Which items, which scoring, measured against what."""
        if self.content is None:
            return ""
        c = self.content
        against = f" {c.against}" if c.against else ""
        return (
            f"{c.partition} items, {c.scoring} scoring, measured against the {c.reference}{against}"
        )


def diagnosed(stage: Stage) -> Diagnosed:
    """Reads the diagnosis of a run; what is wrong with the file is told, not raised."""
    path = stage.run.path / FILE
    if not path.exists():
        return Diagnosed(stage.label, None, f"No diagnosis yet: redone-diagnose {stage.run.path}")
    try:
        return Diagnosed(stage.label, load(path))
    except RedoneError as error:
        return Diagnosed(stage.label, None, str(error))


def tables(report: Report) -> tuple[list[Diagnosed], list[Table]]:
    """The diagnoses of all runs, and the tables behind what is shown of them."""
    found = [diagnosed(stage) for stage in report.runs]

    def rows(part: str) -> list[dict[str, Any]]:
        return [{"run": d.label, **row} for d in found for row in getattr(d, part)]

    return found, [
        Table.of(
            "capabilities", rows("capabilities"), "run", "capability", "tasks", "skill",
            "skill_low", "skill_high",
        ),
        Table.of(
            "weaknesses", rows("weaknesses"), "run", "rank", "task", "slice", "failure", "gap",
            "gap_low", "gap_high", "priority",
        ),
        Table.of(
            "slices", rows("slices"), "run", "task", "slice", "count", "difference",
            "difference_low", "difference_high", "p", "failure",
        ),
        Table.of("hints", rows("hints"), "run", "task", "term", "share", "low"),
    ]  # fmt: skip


def _estimate(name: str, found: Estimate) -> dict[str, Any]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
