"""From a run to its diagnosis: every part in order, each in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Literal

import numpy as np

from ...tasks.schema import FAILURES
from ..scored import ScoredRun
from . import gaps, slices
from .confusions import confusions, constant_answer
from .failures import HINT_SHARE, failure_shares, reward_hints, slice_failure
from .items import SMALLEST, TaskItems, finite, read_items
from .published import PublishedRow, beside
from .references import OtherRun, fixed, paired
from .schema import SCHEMA_VERSION, TRAINABLE, Diagnosis, Method, Subject
from .slices import Candidates, adjusted_p, candidates, significant
from .solvability import solvability
from .task_schema import Estimate, Reference, SliceDifference, TaskDiagnosis
from .weaknesses import buckets, ranked, regions, weights


@dataclass(frozen=True)
class Question:
    """What is asked of a run.

    Attributes:
        role: Of the scoring, `corrected` or `official`.
        partition: `diagnose` for anything that training follows; or `all`, `gate`, `report`.
        targets: Points by task; where there are any, tasks without one have no reference.
        against: A run that is the reference.
        published: A row that is shown beside.
        weights: By task, replacing the default.
    """

    role: Literal["corrected", "official"] = "corrected"
    partition: str = TRAINABLE
    targets: Mapping[str, float] = field(default_factory=dict)
    against: ScoredRun | None = None
    published: PublishedRow | None = None
    weights: Mapping[str, float] = field(default_factory=dict)


def diagnose(run: ScoredRun, question: Question) -> Diagnosis:
    """Diagnoses a finished run.

    Raises:
        RunUnreadable, RunUnfinished: As `ScoredRun` and `read_items` do.
        NotComparable: The reference run was asked otherwise.
        RedoneError: There is nothing to look at in the partition.
    """
    items = read_items(run, question.role, question.partition)
    other: OtherRun | None = None
    if question.against is not None:
        items, other = paired(run, question.against, items, question.role)
    seed = int(run.request.get("seed", 0))
    references = {name: _reference(task, question, other) for name, task in items.items()}
    found = {name: candidates(t, -gaps.shortfall(t, other)) for name, t in items.items()}
    permutations = slices.permutations_for(sum(map(len, items.values())))
    p = adjusted_p(found, seed, permutations)
    chosen = {name: significant(task, p[name], seed) for name, task in found.items()}
    measured = gaps.measure(
        items,
        references,
        other,
        {name: [found[name].members[:, k] for k in places] for name, places in chosen.items()},
        seed,
    )
    weight = weights(list(measured), question.weights)
    tasks = {
        name: _task(
            items[name],
            references[name],
            measured.get(name),
            _differences(items[name], found[name], chosen[name], p[name], measured.get(name)),
            weight.get(name, 0.0),
        )
        for name in items
    }
    weak = regions(tasks, items)
    trainable = question.partition == TRAINABLE
    return Diagnosis(
        schema_version=SCHEMA_VERSION,
        redone=version("redone"),
        run=Subject(run.name, run.model, str(run.request["model"].get("fingerprint", ""))),
        partition=question.partition,
        scoring=question.role,
        reference="run" if other else "target" if question.targets else "ceiling",
        against=question.against.name if question.against else None,
        method=Method(
            seed=seed,
            resamples=gaps.RESAMPLES,
            permutations=permutations,
            level=gaps.LEVEL,
            alpha=slices.ALPHA,
            slices=sum(len(c.slices) for c in found.values()),
            smallest_slice=slices.SMALLEST,
            smallest_task=SMALLEST,
            hint_share=HINT_SHARE,
        ),
        tasks=tasks,
        capabilities=gaps.capabilities(items, measured),
        weaknesses=ranked(weak),
        buckets=buckets(weak, items) if trainable else (),
        hints=tuple(h for t in items.values() for h in reward_hints(t)) if trainable else (),
        published=beside(run, question.published) if question.published else None,
        notes=tuple(_notes(question, other, found)),
    )


def _reference(items: TaskItems, question: Question, other: OtherRun | None) -> Reference | None:
    if other is not None:
        return other.reference(items.task)
    if question.targets and items.task.name not in question.targets:
        return None
    return fixed(items.task, question.targets.get(items.task.name))


def _differences(
    items: TaskItems,
    found: Candidates,
    chosen: Sequence[int],
    p: np.ndarray,
    measured: gaps.Measured | None,
) -> tuple[SliceDifference, ...]:
    """The significant slices, the weakest first."""
    if measured is None:
        return ()
    shares = items.failures
    parts = []
    for place, (difference, gap) in zip(chosen, measured.slices, strict=True):
        member = found.members[:, place]
        weaker = (difference.value or 0.0) < 0
        parts.append(
            SliceDifference(
                slice=found.slices[place],
                n=int(member.sum()),
                rest=int((~member).sum()),
                value=float(items.values[member].mean()),
                rest_value=float(items.values[~member].mean()),
                difference=difference,
                p=float(p[place]),
                failure=slice_failure(shares, member) if weaker else None,
                failures=dict(zip(FAILURES, map(float, shares[member].mean(axis=0)), strict=True)),
                gap=gap,
            )
        )
    return tuple(sorted(parts, key=lambda part: part.difference.value or 0.0))


def _task(
    items: TaskItems,
    reference: Reference | None,
    measured: gaps.Measured | None,
    differences: tuple[SliceDifference, ...],
    weight: float,
) -> TaskDiagnosis:
    task, scoring = items.task, items.scores.scoring
    undefined = Estimate(None, None, None)
    return TaskDiagnosis(
        title=task.title,
        category=task.category,
        capability=task.capability,
        scoring=scoring.name,
        metric=scoring.metrics[0].name,
        chance=float(task.chance.metric),
        n=len(items),
        clusters=items.independent,
        draws=int(items.draws.max(initial=0)),
        not_scored=items.not_scored,
        score=measured.score if measured else undefined,
        skill=measured.skill if measured else undefined,
        value=finite(float(items.values.mean())) if len(items) else None,
        reference=reference,
        gap=measured.gap if measured else None,
        weight=weight,
        failures=failure_shares(items),
        slices=differences,
        confusions=confusions(items),
        solvability=solvability(items),
        notes=tuple(_task_notes(items, reference, measured)),
    )


def _task_notes(items: TaskItems, reference: Reference | None, measured: Any) -> list[str]:
    notes = []
    if not len(items):
        notes.append("No scored item: nothing can be said.")
    elif items.independent < SMALLEST:
        notes.append(
            f"{items.independent} independent item(s), fewer than {SMALLEST}: no interval, no rank."
        )
    elif measured.score.value is None:
        notes.append("The metric is undefined on these items: no gap, no rank.")
    elif np.ptp(items.values) == 0:
        notes.append(f"Every item has value {items.values[0]:g}: no slice can differ.")
    elif len(items) < 2 * slices.SMALLEST:
        notes.append(f"Fewer than {2 * slices.SMALLEST} items: slices were not looked at.")
    if reference is None:
        notes.append("No reference: no gap, no rank.")
    if items.not_scored:
        notes.append(f"{items.not_scored} item(s) were not scored and are left out.")
    if (same := constant_answer(items)) is not None:
        notes.append(same)
    if items.scores.scoring.name not in items.task.scorings:
        notes.append(f"Scored as {items.scores.scoring.name}: a service was missing.")
    return notes


def _notes(
    question: Question, other: OtherRun | None, found: Mapping[str, Candidates]
) -> list[str]:
    notes = list(other.notes) if other else []
    if question.partition != TRAINABLE:
        notes.append(
            f"Partition {question.partition!r}: the map only. Failure buckets and reward hints "
            f"come from {TRAINABLE!r} items alone."
        )
    if question.role != "corrected":
        notes.append("Chance levels are those of corrected scoring.")
    if not any(c.slices for c in found.values()):
        notes.append(
            f"No slice has {slices.SMALLEST} items and leaves as many: none was looked at."
        )
    if any(name.startswith("sns_mini/") for name in found):
        notes.append("sns-mini is a demonstration of 16 items a task: quote no figure of it.")
    return notes
