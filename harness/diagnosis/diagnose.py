"""Turns a finished run into its diagnosis: slices, figures, ranking, notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Literal

import numpy as np

from ...tasks.registry import BENCHMARKS
from ...tasks.schema import FAILURES
from ..scored_run import ScoredRun
from . import measure, slices
from .items import (
    SMALLEST_TASK,
    OtherRun,
    TaskItems,
    finite,
    fixed_reference,
    pair_with,
    read_items,
)
from .rank import PublishedRow, bucket, compare_published, ranked, regions, weights
from .schema import (
    SCHEMA_VERSION,
    TRAINABLE,
    Diagnosis,
    Method,
    Reference,
    SliceDifference,
    Subject,
    TaskDiagnosis,
)
from .slices import Candidates, adjusted_p, candidates, significant


@dataclass(frozen=True)
class DiagnosisConfig:
    """The settings of a diagnosis; `role` is that of the scoring.

    Attributes:
        partition: `diagnose`, the only one that training may use; or `all`, `gate`, `report`.
        targets: Points by task; if there are any, tasks without one have no reference.
        against: A run that is the reference.
        allowed: Fields of `compare.FIELDS` in which that run may differ.
        published: A published row to show next to the run's figures.
        weights: By task, replacing the default.
    """

    role: Literal["corrected", "official"] = "corrected"
    partition: str = TRAINABLE
    targets: Mapping[str, float] = field(default_factory=dict)
    against: ScoredRun | None = None
    allowed: tuple[str, ...] = ()
    published: PublishedRow | None = None
    weights: Mapping[str, float] = field(default_factory=dict)


def diagnose(run: ScoredRun, config: DiagnosisConfig) -> Diagnosis:
    """Diagnoses a finished run.

    Raises:
        RunUnreadable, RunUnfinished: As `ScoredRun` and `read_items` do.
        NotComparable: The reference run has other settings.
        RedoneError: The partition has no scored item.
    """
    items = read_items(run, config.role, config.partition)
    other: OtherRun | None = None
    if config.against is not None:
        items, other = pair_with(run, config.against, items, config.role, config.allowed)
    seed = int(run.request.get("seed", 0))
    references = {name: _reference(task, config, other) for name, task in items.items()}
    found = {name: candidates(t, -measure.shortfall(t, other)) for name, t in items.items()}
    permutations = slices.permutations_for(sum(map(len, items.values())))
    p = adjusted_p(found, seed, permutations)
    chosen = {name: significant(task, p[name], seed) for name, task in found.items()}
    measured = measure.measure(
        items,
        references,
        other,
        {name: [found[name].members[:, k] for k in places] for name, places in chosen.items()},
        seed,
    )
    weight = weights(list(measured), config.weights)
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
    trainable = config.partition == TRAINABLE
    return Diagnosis(
        schema_version=SCHEMA_VERSION,
        redone=version("redone"),
        run=Subject(run.name, run.model, str(run.request["model"].get("fingerprint", ""))),
        partition=config.partition,
        scoring=config.role,
        reference="run" if other else "target" if config.targets else "ceiling",
        against=config.against.name if config.against else None,
        method=Method(
            seed=seed,
            resamples=measure.RESAMPLES,
            permutations=permutations,
            level=measure.LEVEL,
            alpha=slices.ALPHA,
            slices=sum(len(c.slices) for c in found.values()),
            smallest_slice=slices.SMALLEST,
            smallest_task=SMALLEST_TASK,
            hint_share=measure.HINT_SHARE,
        ),
        tasks=tasks,
        capabilities=measure.capabilities(items, measured),
        weaknesses=ranked(weak),
        buckets=tuple(bucket(r, items[r.task]) for r in weak) if trainable else (),
        hints=tuple(h for t in items.values() for h in measure.hints_of(t)) if trainable else (),
        published=compare_published(run, config.published) if config.published else None,
        notes=tuple(_notes(run, config, other, found)),
    )


def _reference(
    items: TaskItems, config: DiagnosisConfig, other: OtherRun | None
) -> Reference | None:
    if other is not None:
        return other.reference(items.task)
    if config.targets and items.task.name not in config.targets:
        return None
    return fixed_reference(items.task, config.targets.get(items.task.name))


def _differences(
    items: TaskItems,
    found: Candidates,
    chosen: Sequence[int],
    p: np.ndarray,
    measured: measure.Measured | None,
) -> tuple[SliceDifference, ...]:
    """The significant slices, the weakest first."""
    if measured is None:
        return ()
    values, shares, parts = items.values, items.failures, []
    for place, (difference, gap) in zip(chosen, measured.slices, strict=True):
        member = found.members[:, place]
        weaker = (difference.value or 0.0) < 0
        part = SliceDifference(
            slice=found.slices[place],
            n=int(member.sum()),
            rest=int((~member).sum()),
            value=float(values[member].mean()),
            rest_value=float(values[~member].mean()),
            difference=difference,
            p=float(p[place]),
            failure=measure.slice_failure(shares, member) if weaker else None,
            failures=dict(zip(FAILURES, map(float, shares[member].mean(axis=0)), strict=True)),
            gap=gap,
        )
        parts.append(part)
    return tuple(sorted(parts, key=lambda part: part.difference.value or 0.0))


def _task(
    items: TaskItems,
    reference: Reference | None,
    measured: measure.Measured | None,
    differences: tuple[SliceDifference, ...],
    weight: float,
) -> TaskDiagnosis:
    task, scoring = items.task, items.scores.scoring
    return TaskDiagnosis(
        title=task.title,
        category=task.category,
        capability=task.capability,
        scoring=scoring.name,
        metric=scoring.metrics[0].name,
        chance=float(task.chance.metric) if task.chance.known else None,
        n=len(items),
        clusters=items.independent,
        draws=int(items.draws.max(initial=0)),
        not_scored=items.not_scored,
        score=measured.score if measured else measure.UNDEFINED,
        skill=measured.skill if measured else measure.UNDEFINED,
        value=finite(float(items.values.mean())) if len(items) else None,
        reference=reference,
        gap=measured.gap if measured else None,
        weight=weight,
        failures={kind: measure.share(items, (kind,)) for kind in FAILURES},
        slices=differences,
        confusions=measure.confusions(items),
        solvability=measure.solvability(items),
        notes=tuple(_task_notes(items, reference, measured)),
    )


def _task_notes(
    items: TaskItems, reference: Reference | None, measured: measure.Measured | None
) -> Iterator[str]:
    if not len(items) or measured is None:
        yield "No scored item: no figures."
    elif items.independent < SMALLEST_TASK:
        yield (
            f"{items.independent} independent item(s), fewer than {SMALLEST_TASK}: no interval, no "
            "rank."
        )
    elif measured.score.value is None:
        yield "The metric is undefined on these items: no gap, no rank."
    elif np.ptp(items.values) == 0:
        yield f"Every item has value {items.values[0]:g}: no slice can differ."
    elif len(items) < 2 * slices.SMALLEST:
        yield f"Fewer than {2 * slices.SMALLEST} items: slices were not tested."
    if reference is None:
        yield "No reference: no gap, no rank."
    if items.not_scored:
        yield f"{items.not_scored} item(s) were not scored and are left out."
    if (same := measure.constant_answer(items)) is not None:
        yield same
    if reference is not None and not items.task.chance.known:
        yield "Its chance level is unknown: no skill, no gap, no rank."
    if all(items.scores.scoring is not whole for whole in items.task.scorings.values()):
        yield f"Scored as {items.scores.scoring.name}: a service was missing."


def _notes(
    run: ScoredRun, config: DiagnosisConfig, other: OtherRun | None, found: Mapping[str, Candidates]
) -> Iterator[str]:
    yield from other.notes if other else ()
    if config.partition != TRAINABLE:
        yield (
            f"Partition {config.partition!r}: no failure buckets and no hints, which may come from "
            f"{TRAINABLE!r} items only."
        )
    if config.role != "corrected":
        yield "Chance levels are those of corrected scoring."
    if not any(c.slices for c in found.values()):
        yield f"No slice has {slices.SMALLEST} items and as many outside it: none was tested."
    rows = run.results["tables"][config.role]
    benchmarks = [BENCHMARKS.get(row["name"]) for row in rows if row["level"] == "benchmark"]
    yield from dict.fromkeys(b.note for b in benchmarks if b and b.note)
