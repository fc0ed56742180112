"""The data behind every chart as tables: what the page shows, what it offers to download."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..harness.gate.decision import Judged
from ..tasks.schema import FAILURES
from .seesaw import Seesaw
from .stages import Report, Stage


@dataclass(frozen=True)
class Table:
    """Rows of plain values under named columns.

    Attributes:
        name: Of the file that it is downloaded as.
        columns: Names.
        rows: Each as long as `columns`; texts, numbers, or None for unknown.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, name: str, records: Iterable[Mapping[str, Any]], *columns: str) -> Table:
        """From records; a missing or undefined (NaN) value is None."""
        return cls(name, columns, tuple(tuple(plain(r.get(c)) for c in columns) for r in records))

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"columns": list(self.columns), "rows": [list(row) for row in self.rows]}


def plain(value: Any) -> Any:
    """The value, None for NaN."""
    return None if isinstance(value, float) and value != value else value


def significant(judged: Judged, alpha: float) -> bool:
    """Whether a change is beyond noise: its false-discovery-adjusted p-value, else its interval."""
    if judged.q is not None:
        return judged.q <= alpha
    return judged.low > 0 or judged.high < 0


def changes(report: Report) -> Table:
    """Every row of every comparison, as in gate.json."""
    records = [
        {
            "stage": stage.label,
            "level": j.row.level,
            "name": j.row.name,
            "title": j.row.title,
            "samples": j.row.samples,
            "base": j.row.base,
            "candidate": j.row.candidate,
            "difference": j.row.difference,
            "low": j.low,
            "high": j.high,
            "margin": j.margin,
            "q": j.q,
            "p_adjusted": j.p_adjusted,
            "verdict": j.verdict,
            "role": j.role,
            "significant": significant(j, report.policy.level),
        }
        for stage in report.compared
        for j in (stage.gate.rows if stage.gate else ())
    ]
    return Table.of(
        "changes", records, "stage", "level", "name", "title", "samples", "base", "candidate",
        "difference", "low", "high", "margin", "q", "p_adjusted", "verdict", "role", "significant",
    )  # fmt: skip


def scores(report: Report) -> Table:
    """Every figure of every run, as in results.json."""
    role = report.policy.scoring
    records = [
        {"run": stage.label, **{k: row[k] for k in row if k != "of"}}
        for stage in report.runs
        for row in stage.run.results["tables"][role]
    ]
    columns = "run", "level", "name", "title", "score", "low", "high", "signature"
    return Table.of("scores", records, *columns)


def places(found: Seesaw) -> Table:
    """Where each stage stands on the seesaw, and where published models moved."""
    records = []
    for point in found.points:
        covariance = point.covariance
        records.append(
            {
                "stage": point.label,
                "outcome": point.outcome,
                "quadrant": point.quadrant,
                "beyond_noise": point.beyond_noise,
                **_axis("domain", point.x),
                **_axis("robustness", point.y),
                "variance_domain": None if covariance is None else float(covariance[0, 0]),
                "variance_robustness": None if covariance is None else float(covariance[1, 1]),
                "covariance": None if covariance is None else float(covariance[0, 1]),
                "source": "these runs",
            }
        )
    records += [
        {"stage": m.name, "domain": m.x, "robustness": m.y, "source": found.source}
        for m in found.moves
    ]
    return Table.of(
        "seesaw", records, "stage", "outcome", "quadrant", "beyond_noise", "domain", "domain_low",
        "domain_high", "robustness", "robustness_low", "robustness_high", "variance_domain",
        "variance_robustness", "covariance", "source",
    )  # fmt: skip


def _axis(name: str, change: Any) -> dict[str, float]:
    if change is None:
        return {}
    return {name: change.value, f"{name}_low": change.low, f"{name}_high": change.high}


def failures(report: Report) -> Table:
    """How answers failed, by run and task; counts of answers."""
    role = report.policy.scoring
    records = [
        {
            "run": stage.label,
            "task": name,
            "title": task["title"],
            "answers": task["answers"],
            **{kind: task["scorings"][role]["failures"].get(kind, 0) for kind in FAILURES},
        }
        for stage in report.runs
        for name, task in stage.run.results["tasks"].items()
    ]
    return Table.of("failures", records, "run", "task", "title", "answers", *FAILURES)


def by_effect(stage: Stage) -> list[Judged]:
    """The tasks of a stage, the largest fall first, undefined changes last."""
    rows = [j for j in (stage.gate.rows if stage.gate else ()) if j.row.level == "task"]
    return sorted(rows, key=lambda j: (j.row.difference != j.row.difference, j.row.difference))
