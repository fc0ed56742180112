"""The runs of a report: the first is the base, and each of the others is compared with it.

All verdicts are the gate's. Runs that the gate refuses to compare are refused here too, except that
runs that only lack tasks are compared on the shared tasks, with a note that says so.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from ..harness.compare import Mismatch, compare, mismatches
from ..harness.gate.decision import Gate, RowVerdict, decide
from ..harness.gate.policy import Policy
from ..harness.scored_run import ScoredRun
from ..tasks.command import visible
from ..tasks.schema import SCORER

NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Stage:
    """One run of the report.

    Attributes:
        label: Short and unique.
        run: The finished run.
        gate: Its comparison with the base under the policy; None for the base itself, and where
            the two are not comparable.
        refused: Mismatches that were not allowed.
        notes: What readers must know about this stage.
    """

    label: str
    run: ScoredRun
    gate: Gate | None = None
    refused: tuple[Mismatch, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """`pass`, `regression`, `undecided` or `not comparable`."""
        return NOT_COMPARABLE if self.refused or self.gate is None else self.gate.outcome

    @property
    def partial(self) -> bool:
        """Whether its scores cover only some of the base's tasks."""
        return self.gate is not None and any(m.field == "tasks" for m in self.refused)

    def row(self, level: str, name: str) -> RowVerdict | None:
        """The gate's row of a task, category, benchmark or suite; None if there is none."""
        return next((j for j in self.rows if (j.row.level, j.row.name) == (level, name)), None)

    @property
    def rows(self) -> Sequence[RowVerdict]:
        """All rows of the gate, in the order of the tables; none without a comparison."""
        return self.gate.rows if self.gate else ()

    @property
    def by_effect(self) -> list[RowVerdict]:
        """The tasks, the largest drop first, undefined changes last."""
        rows = [j for j in self.rows if j.row.level == "task"]
        return sorted(rows, key=lambda j: (j.row.difference != j.row.difference, j.row.difference))


@dataclass(frozen=True)
class ReportRuns:
    """The runs that a report is about.

    Attributes:
        base: The first run.
        stages: The others, in the order given.
        chain: Whether they are stages of one training run, or else separate candidates.
        policy: The gate policy under which all were compared.
    """

    base: Stage
    stages: tuple[Stage, ...]
    chain: bool
    policy: Policy

    @property
    def runs(self) -> tuple[Stage, ...]:
        return (self.base, *self.stages)

    @property
    def compared(self) -> tuple[Stage, ...]:
        """The stages that were compared with the base."""
        return tuple(stage for stage in self.stages if stage.gate)


def compare_runs(
    paths: Sequence[str | Path],
    policy: Policy,
    *,
    chain: bool = True,
    allowed: Collection[str] = (),
) -> ReportRuns:
    """Opens the runs and compares each with the first.

    Args:
        paths: Run folders or saved baselines, the base first.
        policy: The gate policy.
        chain: Whether they are stages of one training run.
        allowed: Fields in which runs may differ from the base.

    Raises:
        RunUnreadable, RunUnfinished: One of the folders is not a finished run.
        UnknownName: No such field.
    """
    runs = [ScoredRun(path) for path in paths]
    labels = labels_of([run.path for run in runs])
    base = Stage(labels[0], runs[0], notes=_incomplete(runs[0], policy.scoring))
    stages = (
        _compared(base.run, run, label, policy, allowed)
        for run, label in zip(runs[1:], labels[1:], strict=True)
    )
    return ReportRuns(base, tuple(stages), chain, policy)


def _compared(
    base: ScoredRun, run: ScoredRun, label: str, policy: Policy, allowed: Collection[str]
) -> Stage:
    found = mismatches(base, run, policy.scoring)
    refused = tuple(m for m in found if m.field not in allowed)
    shared = base.tasks.keys() & run.tasks.keys()
    if {m.field for m in refused} - {"tasks"} or not shared:
        return Stage(label, run, None, refused, _incomplete(run, policy.scoring))
    comparison = compare(
        base,
        run,
        role=policy.scoring,
        partition=policy.partition,
        allowed={*allowed, "tasks"} if refused else allowed,
        resamples=policy.resamples,
        seed=policy.seed,
    )
    gate = decide(comparison, policy)
    notes = [*comparison.notes, *_incomplete(run, policy.scoring)]
    if refused:
        notes.append(
            f"Only the {len(comparison.pairs)} tasks that both runs have are compared; "
            "`redone gate` would refuse this pair."
        )
    if allowance := comparison.allowance(beside={"tasks"}):
        notes.append(allowance)
    notes += _other_verdict(base, run, gate)
    return Stage(label, run, gate, refused, tuple(notes))


def _incomplete(run: ScoredRun, role: str) -> tuple[str, ...]:
    """What a reader must know of samples that were not scored, and of services."""
    found = []
    for name, task in run.results["tasks"].items():
        if "of" in task:
            share = f"{task['samples']} of {task['of']} samples"
            found.append(f"{name}: only the {share} that have a prediction are scored.")
        if count := task["scorings"][role]["failures"].get(SCORER):
            found.append(f"{name}: the scorer failed on {count} answers, which are not scored.")
    return (*found, *_gaps(run, role))


def _gaps(run: ScoredRun, role: str) -> tuple[str, ...]:
    """Tasks whose score is incomplete because a service was missing."""
    reduced = [
        f"{name} ({record['scorings'][role]['scoring']})"
        for name, record in run.results["tasks"].items()
        if record["scorings"][role]["scoring"] != role
    ]
    return (f"Scored without a service: {', '.join(reduced)}.",) if reduced else ()


def _other_verdict(base: ScoredRun, run: ScoredRun, gate: Gate) -> list[str]:
    """A note if an earlier gate.json of the same pair has another outcome."""
    try:
        record = orjson.loads((run.path / "gate.json").read_bytes())
        names = record["base"]["name"], record["candidate"]["name"]
        outcome, policy = record["outcome"], record.get("policy_hash")
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return []
    if names != (base.name, run.name) or outcome == gate.outcome:
        return []
    under = (
        "under the same policy"
        if policy == gate.policy.hash
        else f"under another policy ({policy})"
    )
    return [f"gate.json in {run.name} says {outcome!r}, {under}; rerun redone gate."]


def labels_of(paths: Sequence[Path]) -> list[str]:
    """The shortest unique path suffixes, safe to display; equal paths are numbered.

    Args:
        paths: Of run folders. A symbolic link shows its own name, so it can give a run a title.
    """
    parts = [Path(os.path.abspath(path)).parts for path in paths]
    depth = [1] * len(parts)
    for _ in range(max(map(len, parts), default=0)):
        labels = ["/".join(p[-d:]) for p, d in zip(parts, depth, strict=True)]
        for at, label in enumerate(labels):
            if labels.count(label) > 1 and parts.count(parts[at]) == 1:
                depth[at] += 1
    labels = [visible("/".join(p[-d:])) for p, d in zip(parts, depth, strict=True)]
    return [
        f"{label} ({labels[: at + 1].count(label)})" if labels.count(label) > 1 else label
        for at, label in enumerate(labels)
    ]


def notes_of(report: ReportRuns) -> list[str]:
    """The notes of all runs; equal ones are merged."""
    runs_of: dict[str, list[str]] = {}
    for stage in report.runs:
        for note in stage.notes:
            runs_of.setdefault(note, []).append(stage.label)
    every = len(report.runs)
    return [
        f"{'All runs' if len(labels) == every > 1 else '; '.join(labels)}: {note}"
        for note, labels in runs_of.items()
    ]
