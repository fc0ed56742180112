"""What a report says around its figures: the verdict, the diagnoses, and the provenance."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..harness.diagnosis.schema import Diagnosis, Estimate, SliceDifference, read_diagnosis
from ..harness.display import change, interval, score
from ..harness.gate.decision import RowVerdict
from ..harness.run_folder import flatten
from ..tasks.errors import RedoneError
from .seesaw import Point, Seesaw
from .stages import NOT_COMPARABLE, ReportRuns, Stage
from .tables import Table

BADGES = {
    "pass": "Pass",
    "regression": "Regression",
    "undecided": "Undecided",
    NOT_COMPARABLE: "Not comparable",
    "single": "One run",
}


@dataclass(frozen=True)
class Verdict:
    """The top of the report.

    Attributes:
        outcome: A key of `BADGES`.
        sentence: One sentence, with the figures that decide.
        figures: The rows that decide, of the stage that the sentence is about.
        reasons: The gate's, one sentence each.
        place: Of that stage on the seesaw, None where it has none.
    """

    outcome: str
    sentence: str
    figures: tuple[RowVerdict, ...] = ()
    reasons: tuple[str, ...] = ()
    place: Point | None = None

    @property
    def badge(self) -> str:
        return BADGES[self.outcome]


def verdict(report: ReportRuns, found: Seesaw) -> Verdict:
    """The verdict on the last stage of a chain, or the number of candidates that pass."""
    if not report.stages:
        suites = [
            f"{row['title']} {score(row['score'])} {interval(row['low'], row['high'])}"
            for row in report.base.run.results["tables"][report.policy.scoring]
            if row["level"] == "suite" and row["score"] is not None
        ]
        return Verdict("single", f"{report.base.label}: {', '.join(suites) or 'no score'}.")
    last = report.stages[-1]
    if report.chain or len(report.stages) == 1:
        return verdict_on(last, report.base, found)
    passed = [stage.label for stage in report.stages if stage.outcome == "pass"]
    names = f": {'; '.join(passed)}" if passed else ""
    sentence = (
        f"{len(passed)} of {len(report.stages)} candidates pass against {report.base.label}{names}."
    )
    outcomes = [stage.outcome for stage in report.stages]
    outcome = "pass" if passed else max(set(outcomes), key=outcomes.count)
    return Verdict(outcome, sentence)


def verdict_on(stage: Stage, base: Stage, found: Seesaw) -> Verdict:
    """The verdict on one stage, compared with the base."""
    place = next((p for p in found.points if p.label == stage.label), None)
    gate = stage.gate
    if gate is None or stage.outcome == NOT_COMPARABLE:
        fields = ", ".join(dict.fromkeys(m.field for m in stage.refused))
        return Verdict(
            NOT_COMPARABLE,
            f"{stage.label} cannot be compared with {base.label}: they differ in {fields}.",
            tuple(gate.deciding) if gate else (),
            tuple(str(m) for m in stage.refused[:12]),
            place,
        )
    figures = " and ".join(
        f"{j.row.title} {change(j.row.difference)} points {interval(j.low, j.high, sign=True)}"
        for j in gate.deciding
        # For a regression, only the rows that regressed; the cards show the others.
        if gate.outcome != "regression" or j.verdict == "regressed"
    )
    improved = bool(gate.deciding) and all(j.verdict == "improved" for j in gate.deciding)
    rise = any(j.require_rise and not j.passes for j in gate.deciding)
    claim = {
        "pass": f"{stage.label} {'improves on' if improved else 'is not worse than'} {base.label}",
        "regression": f"{stage.label} is worse than {base.label} by more than the margin",
        "undecided": f"No significant regression of {stage.label} against {base.label}, but "
        f"{'the required improvement' if rise else 'non-inferiority'} is not established",
    }[gate.outcome]
    return Verdict(
        gate.outcome,
        f"{claim}: {figures}." if figures else f"{claim}.",
        tuple(gate.deciding),
        tuple(gate.reasons),
        place,
    )


@dataclass(frozen=True)
class RunDiagnosis:
    """The diagnosis of one run, as `redone diagnose` wrote it.

    Attributes:
        label: Of the run.
        content: Of diagnosis.json; None where there is nothing to show.
        missing: Why not, with the way out; else "".
    """

    label: str
    content: Diagnosis | None
    missing: str = ""

    @property
    def slices(self) -> list[tuple[str, SliceDifference]]:
        """Task and slice, where a slice differs from the rest of its task; the weakest first."""
        tasks = self.content.tasks if self.content else {}
        found = [(name, s) for name, task in tasks.items() for s in task.slices]
        return sorted(found, key=lambda pair: pair[1].difference.value or 0.0)

    @property
    def about(self) -> str:
        """Which samples, which scoring, relative to what."""
        if self.content is None:
            return ""
        c = self.content
        against = f" {c.against}" if c.against else ""
        return f"{c.partition} samples, {c.scoring} scoring; gaps to the {c.reference}{against}"


def diagnosis_of(stage: Stage) -> RunDiagnosis:
    """Reads the diagnosis of a run; a problem with the file is reported, not raised."""
    path = stage.run.path / "diagnosis.json"
    if not path.exists():
        missing = f"Not diagnosed yet: run redone diagnose {stage.run.path}"
        return RunDiagnosis(stage.label, None, missing)
    try:
        return RunDiagnosis(stage.label, read_diagnosis(path))
    except RedoneError as error:
        return RunDiagnosis(stage.label, None, str(error))


def diagnosis_tables(found: Sequence[RunDiagnosis]) -> list[Table]:
    """The data of the diagnoses, for download."""
    known = [(d, d.content) for d in found if d.content]
    rows = {
        "capabilities run capability tasks skill skill_low skill_high": [
            (d.label, c.name, len(c.tasks), *_bounds(c.skill))
            for d, content in known
            for c in content.capabilities
        ],
        "weaknesses run rank task slice failure gap gap_low gap_high priority": [
            (d.label, w.rank, w.task, str(w.slice or ""), w.failure, *_bounds(w.gap), w.priority)
            for d, content in known
            for w in content.weaknesses
        ],
        "slices run task slice count difference difference_low difference_high p failure": [
            (d.label, task, str(s.slice), s.n, *_bounds(s.difference), s.p, s.failure)
            for d, _ in known
            for task, s in d.slices
        ],
        "hints run task observed share low": [
            (d.label, h.task, h.observed, h.share, h.low)
            for d, content in known
            for h in content.hints
        ],
    }
    tables = []
    for words, lines in rows.items():
        name, *columns = words.split()
        tables.append(Table(name, columns, lines))
    return tables


def _bounds(found: Estimate) -> tuple[float | None, float | None, float | None]:
    return found.value, found.low, found.high


@dataclass(frozen=True)
class RunOrigin:
    """The provenance of one run.

    Attributes:
        label: Of the run.
        facts: Name and value, in order.
        signatures: Of its suites.
        differs: Names of the facts in which it differs from the base.
    """

    label: str
    facts: Mapping[str, str]
    signatures: tuple[str, ...]
    differs: frozenset[str]


@dataclass(frozen=True)
class Provenance:
    """Where the figures of a report come from.

    Attributes:
        command: Reproduces the report.
        origins: By run.
        policy: Of the gate, as JSON.
        method: How the intervals were computed, one sentence.
    """

    command: str
    origins: tuple[RunOrigin, ...]
    policy: str
    method: str


def provenance(report: ReportRuns, command: Sequence[str]) -> Provenance:
    """Gathers models, settings, hashes and versions.

    Args:
        report: The runs.
        command: The arguments with which `redone report` makes this report.
    """
    policy = report.policy
    base = _facts(report.base)

    def origin(stage: Stage) -> RunOrigin:
        facts = _facts(stage)
        rows = stage.run.results["tables"][policy.scoring]
        signatures = tuple(row["signature"] for row in rows if row["level"] == "suite")
        differs = frozenset(name for name in facts if facts[name] != base.get(name))
        return RunOrigin(stage.label, facts, signatures, differs)

    return Provenance(
        command=shlex.join(["redone", "report", *command]),
        origins=tuple(map(origin, report.runs)),
        policy=json.dumps(policy.model_dump(mode="json"), indent=2, ensure_ascii=False),
        method=(
            f"Paired bootstrap over clusters, {policy.resamples:,} resamples, seed {policy.seed}; "
            f"{100 * (1 - 2 * policy.level):g} % intervals for changes (of rows that decide, the "
            f"upper ends are corrected: {policy.correction}), 95 % intervals for scores; "
            f"{policy.scoring} scoring; partition {policy.partition}."
        ),
    )


def settings_text(settings: Mapping[str, Any]) -> str:
    """The generation settings of a task on one line."""
    return ", ".join(f"{k} {v}" for k, v in settings.items() if v not in ((), []))


def _facts(stage: Stage) -> dict[str, str]:
    run: Mapping[str, Any] = stage.run.run
    found: dict[str, Any] = {"folder": str(stage.run.path), "created": run.get("created", "")}
    found["model"] = run.get("name", "")
    found |= flatten({"model": run["request"]["model"]})
    parts = ("environment", "versions")
    found |= flatten({part: run[part] for part in parts if isinstance(run.get(part), Mapping)})
    settings = ("partition", "limit", "seed", "draws", "system")
    found |= {name: run["request"].get(name) for name in settings}
    if isinstance(run.get("command"), list):
        found["command"] = shlex.join(map(str, run["command"]))
    return {name: _text(value) for name, value in found.items() if value not in (None, "")}


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 2000 else f"{text[:2000]}… ({len(text):,} characters)"
