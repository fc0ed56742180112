"""What `redone-diagnose` wrote into the run folders, as far as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from .stages import Report, Stage
from .tables import Table

SCHEMA_VERSION = 1
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
    content: Mapping[str, Any] | None
    missing: str = ""

    @property
    def capabilities(self) -> list[dict[str, Any]]:
        """Name, tasks, skill with its interval; the weakest first."""
        found = self.content["capabilities"] if self.content else ()
        return [
            {"capability": c["name"], "tasks": len(c["tasks"]), **_estimate("skill", c["skill"])}
            for c in found
        ]

    @property
    def weaknesses(self) -> list[dict[str, Any]]:
        """Ranked: task, slice, failure kind, gap with its interval, priority."""
        found = self.content["weaknesses"] if self.content else ()
        return [
            {
                "rank": w["rank"],
                "task": w["task"],
                "slice": slice_text(w["slice"]),
                "failure": w["failure"],
                **_estimate("gap", w["gap"]),
                "priority": w["priority"],
            }
            for w in found
        ]

    @property
    def slices(self) -> list[dict[str, Any]]:
        """Those that differ from the rest of their task, the weakest first."""
        tasks = self.content["tasks"] if self.content else {}
        found = [
            {
                "task": name,
                "slice": slice_text(s["slice"]),
                "items": s["n"],
                **_estimate("difference", s["difference"]),
                "p": s["p"],
                "failure": s["failure"],
            }
            for name, task in tasks.items()
            for s in task["slices"]
        ]
        return sorted(found, key=lambda s: s["difference"] or 0.0)

    @property
    def notes(self) -> list[str]:
        """What a reader must know."""
        return [str(note) for note in self.content["notes"]] if self.content else []

    @property
    def about(self) -> str:
        """Which items, which scoring, measured against what."""
        if self.content is None:
            return ""
        c = self.content
        against = f" ({c['against']})" if c["against"] else ""
        return (
            f"{c['partition']} items, {c['scoring']} scoring, measured against the "
            f"{c['reference']}{against}"
        )


def diagnosed(stage: Stage) -> Diagnosed:
    """Reads the diagnosis of a run; never raises for what is in the file."""
    path = stage.run.path / FILE
    again = f"redone-diagnose {stage.run.path}"
    try:
        content = orjson.loads(path.read_bytes())
    except OSError:
        return Diagnosed(stage.label, None, f"No diagnosis yet: {again}")
    except orjson.JSONDecodeError:
        return Diagnosed(stage.label, None, f"{FILE} is not JSON. Write it again: {again}")
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        return Diagnosed(
            stage.label,
            None,
            f"{FILE} has schema version {version!r}, this page reads {SCHEMA_VERSION}. Write it "
            f"again: {again}",
        )
    found = Diagnosed(stage.label, content)
    try:
        _ = found.capabilities, found.weaknesses, found.slices, found.notes, found.about
    except (KeyError, TypeError, AttributeError) as error:
        return Diagnosed(
            stage.label, None, f"{FILE} cannot be read ({error!r}). Write it again: {again}"
        )
    return found


def slice_text(found: Mapping[str, Any] | None) -> str:
    """A slice for people; "" for the whole task."""
    if found is None:
        return ""
    if found["characters"] is not None:
        low, high = found["characters"]
        parts = [f"{low} ≤ "] * (low is not None) + ["length"] + [f" < {high}"] * (high is not None)
        return "".join(parts)
    return f"{found['name'] or found['field']} = {found['value']}"


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
            "slices", rows("slices"), "run", "task", "slice", "items", "difference",
            "difference_low", "difference_high", "p", "failure",
        ),
    ]  # fmt: skip


def _estimate(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found["value"], f"{name}_low": found["low"], f"{name}_high": found["high"]}
