"""The verdict in one sentence, and the figures that carry it."""

from __future__ import annotations

from dataclasses import dataclass

from ..harness.gate.decision import Judged
from ..harness.wording import change, interval
from .seesaw import Point, Seesaw
from .stages import NOT_COMPARABLE, Report, Stage

BADGES = {
    "pass": "Pass",
    "regression": "Regression",
    "undecided": "Undecided",
    NOT_COMPARABLE: "Not comparable",
    "single": "One run",
}


@dataclass(frozen=True)
class Verdict:
    """What stands at the top.

    Attributes:
        outcome: A key of `BADGES`.
        sentence: One.
        figures: The rows that decide, of the stage that the sentence is about.
        reasons: The gate's, one sentence each.
        place: Of that stage on the seesaw, None where it has none.
    """

    outcome: str
    sentence: str
    figures: tuple[Judged, ...] = ()
    reasons: tuple[str, ...] = ()
    place: Point | None = None

    @property
    def badge(self) -> str:
        return BADGES[self.outcome]


def verdict(report: Report, found: Seesaw) -> Verdict:
    """The verdict of the last stage of a chain, or the count of candidates that pass."""
    if not report.stages:
        suites = [
            f"{row['title']} {row['score']:.2f} {interval(row['low'], row['high'])}"
            for row in report.base.run.results["tables"][report.policy.scoring]
            if row["level"] == "suite" and row["score"] is not None
        ]
        return Verdict("single", f"{report.base.label} alone: {', '.join(suites) or 'no figure'}.")
    last = report.stages[-1]
    if report.chain or len(report.stages) == 1:
        return of_stage(last, report.base, found)
    passed = [stage.label for stage in report.stages if stage.outcome == "pass"]
    names = f": {'; '.join(passed)}" if passed else ""
    sentence = (
        f"{len(passed)} of {len(report.stages)} candidates pass against {report.base.label}{names}."
    )
    outcomes = [stage.outcome for stage in report.stages]
    outcome = "pass" if passed else max(set(outcomes), key=outcomes.count)
    return Verdict(outcome, sentence)


def of_stage(stage: Stage, base: Stage, found: Seesaw) -> Verdict:
    """The verdict of one stage against the base."""
    place = next((p for p in found.points if p.label == stage.label), None)
    gate = stage.gate
    if gate is None or stage.outcome == NOT_COMPARABLE:
        fields = ", ".join(dict.fromkeys(m.field for m in stage.refused))
        return Verdict(
            NOT_COMPARABLE,
            f"{stage.label} cannot be judged against {base.label}: they differ in {fields}.",
            tuple(gate.deciding) if gate else (),
            tuple(str(m) for m in stage.refused[:12]),
            place,
        )
    told = " and ".join(
        f"{j.row.title} {change(j.row.difference)} points {interval(j.low, j.high, sign=True)}"
        for j in gate.deciding
        # A regression is told by the figures that carry it; the cards show the others.
        if gate.outcome != "regression" or j.regressed(gate.policy.level)
    )
    verb = {
        "pass": f"{stage.label} is not worse than {base.label}",
        "regression": f"{stage.label} is worse than {base.label} by more than the margin",
        "undecided": f"These samples do not settle whether {stage.label} is worse than "
        f"{base.label}",
    }[gate.outcome]
    return Verdict(
        gate.outcome,
        f"{verb}: {told}." if told else f"{verb}.",
        tuple(gate.deciding),
        tuple(gate.reasons),
        place,
    )
