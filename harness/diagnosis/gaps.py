"""Scores, gaps and slice differences with intervals, by one bootstrap of clusters for all tasks.

Every figure is a function of sums, so each task brings one row of sums per cluster: its metric's
statistics, those of the reference run, and counts and shortfalls of the slices in question. An
item's *shortfall* is the reference's value (1, or the other run's) less its own.

A slice's gap is the task's gap plus how much larger the slice's mean shortfall is, chance-corrected
by the chance level of the mean value: metrics such as macro F1 or BLEU mean nothing on one label or
on three comments, a mean does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..stats import Sums, grouped, percentile_interval, resampled_sums, wilson_interval
from .items import SMALLEST, TaskItems, finite
from .references import OtherRun, skill
from .schema import Capability
from .task_schema import Estimate, Reference

LEVEL = 0.95
RESAMPLES = 2000
UNDEFINED = Estimate(None, None, None)


@dataclass(frozen=True)
class Measured:
    """The figures of one task.

    Attributes:
        score, skill: See `schema.TaskDiagnosis`.
        gap: None without a reference.
        slices: Difference and gap of each slice.
        resampled_skill: Shape [B].
    """

    score: Estimate
    skill: Estimate
    gap: Estimate | None
    slices: tuple[tuple[Estimate, Estimate | None], ...]
    resampled_skill: np.ndarray


def shortfall(items: TaskItems, other: OtherRun | None) -> np.ndarray:
    """Reference value less own value of each item, shape [n]."""
    theirs = other.scores.get(items.task.name) if other else None
    return (1.0 if theirs is None else theirs.values) - items.values


def measure(
    items: Mapping[str, TaskItems],
    references: Mapping[str, Reference | None],
    other: OtherRun | None,
    slices: Mapping[str, Sequence[np.ndarray]],
    seed: int,
) -> dict[str, Measured]:
    """The figures of every task that has items.

    Args:
        items: By task.
        references: By task.
        other: The reference run's scores, where that is the reference.
        slices: By task, the members of its slices, booleans of shape [n].
        seed: Of the bootstrap.
    """
    rows = {
        name: _rows(task, other, slices.get(name, ())) for name, task in items.items() if len(task)
    }
    every = np.unique(np.concatenate([items[name].clusters for name in rows]))
    sums = {
        name: Sums.of(np.searchsorted(every, items[name].clusters), own)
        for name, own in rows.items()
    }
    drawn = resampled_sums(*grouped(sums, len(every), seed), RESAMPLES, seed)
    return {
        name: _measured(
            items[name], references[name], other, sums[name], drawn[name], len(slices.get(name, ()))
        )
        for name in rows
    }


def _rows(items: TaskItems, other: OtherRun | None, slices: Sequence[np.ndarray]) -> np.ndarray:
    """Shape [n, S (twice with a reference run) + 2 + 2 k]."""
    lacking = shortfall(items, other)
    blocks = [items.scores.stats]
    if other and items.task.name in other.scores:
        blocks.append(other.scores[items.task.name].stats)
    for member in (np.ones(len(items), dtype=bool), *slices):
        blocks += [member[:, None].astype(float), (member * lacking)[:, None]]
    return np.hstack(blocks)


def _measured(
    items: TaskItems,
    reference: Reference | None,
    other: OtherRun | None,
    sums: Sums,
    drawn: np.ndarray,
    slices: int,
) -> Measured:
    task, scoring = items.task, items.scores.scoring
    metric, width = scoring.metrics[0], len(scoring.statistics)
    trials = len(sums.clusters)
    both = np.vstack([sums.total, drawn])
    with np.errstate(all="ignore"):
        scores = metric.from_sums(both[:, :width])
        exact = None
        if metric.proportion and int(sums.items.max()) == 1:
            hits, count = metric.proportion
            exact = wilson_interval(sums.total[hits], sums.total[count], LEVEL)
        score = _estimate(scores, trials, exact)
        skills = skill(task, scores)
        gaps = None
        if reference is not None:
            theirs = skill(task, metric.from_sums(both[:, width : 2 * width])) if other else None
            gaps = (reference.skill if theirs is None else theirs) - skills
        tail = both[:, both.shape[1] - 2 - 2 * slices :]
        found = [_slice(tail, k, gaps, task.chance.value, reference, trials) for k in range(slices)]
    skilled = _through(score, lambda points: float(skill(task, points)))
    if gaps is None or reference is None:
        gap = None
    else:
        gap = _estimate(gaps, trials, None if other else _below(reference.skill, skilled))
    return Measured(score, skilled, gap, tuple(found), skills[1:])


def _slice(
    tail: np.ndarray,
    place: int,
    gaps: np.ndarray | None,
    chance: float,
    reference: Reference | None,
    trials: int,
) -> tuple[Estimate, Estimate | None]:
    count, total = tail[:, 0], tail[:, 1]
    own_count, own_total = tail[:, 2 + 2 * place], tail[:, 3 + 2 * place]
    own = own_total / own_count
    rest = (total - own_total) / (count - own_count)
    difference = _estimate(100 * (rest - own), trials, _collapsed(100 * (rest - own), own_count[0]))
    if gaps is None or reference is None:
        return difference, None
    deeper = gaps + 100 * (own - total / count) / (1 - chance)
    highest = 100.0 if reference.kind == "run" else reference.skill
    deeper = np.minimum(deeper, highest)
    return difference, _estimate(deeper, trials, _collapsed(deeper, own_count[0]))


def _estimate(
    figures: np.ndarray, trials: int, interval: tuple[float, float] | None = None
) -> Estimate:
    """The figure (row 0) with its interval, from resamples (the other rows) unless given."""
    point = float(figures[0])
    if not np.isfinite(point):
        return UNDEFINED
    if trials < SMALLEST:
        return Estimate(point, None, None)
    low, high = (
        interval
        or _collapsed(figures, trials)
        or percentile_interval(np.asarray(figures[1:], dtype=float), LEVEL)
    )
    return Estimate(point, finite(min(low, point)), finite(max(high, point)))


def _collapsed(figures: np.ndarray, trials: float) -> tuple[float, float] | None:
    """Wilson's interval where all resamples agree; None where they differ.

    A task or slice of eight items that all failed (or none) is no proof of 100 (or 0).
    """
    point, drawn = figures[0], figures[1:][~np.isnan(figures[1:])]
    if not np.isfinite(point) or (len(drawn) and np.ptp(drawn) > 1e-9):
        return None
    low, high = wilson_interval(min(1.0, abs(point) / 100) * trials, trials, LEVEL)
    return (low, high) if point >= 0 else (-high, -low)


def _through(estimate: Estimate, function: Callable[[float], float]) -> Estimate:
    """The same estimate on another, rising scale."""
    parts = (estimate.value, estimate.low, estimate.high)
    return Estimate(*(None if part is None else function(part) for part in parts))


def _below(target: float, estimate: Estimate) -> tuple[float, float] | None:
    """The interval of what is missing to a target."""
    if estimate.low is None or estimate.high is None:
        return None
    return target - estimate.high, target - estimate.low


def capabilities(
    items: Mapping[str, TaskItems], measured: Mapping[str, Measured]
) -> tuple[Capability, ...]:
    """The map: mean skill of each capability, categories weighing alike; the weakest first."""
    grouped: dict[str, dict[tuple[str, str], list[str]]] = {}
    for name, figures in measured.items():
        task = items[name].task
        if figures.skill.value is not None:
            categories = grouped.setdefault(task.capability, {})
            categories.setdefault((task.benchmark, task.category), []).append(name)
    found = []
    for capability, categories in grouped.items():
        figures = np.mean(
            [
                np.mean([_skills(measured[name]) for name in names], axis=0)
                for names in categories.values()
            ],
            axis=0,
        )
        names = tuple(name for names in categories.values() for name in names)
        clusters = np.unique(np.concatenate([items[name].clusters for name in names]))
        found.append(Capability(capability, names, _estimate(figures, len(clusters))))
    return tuple(sorted(found, key=lambda c: (c.skill.value or 0.0, c.name)))


def _skills(measured: Measured) -> np.ndarray:
    return np.append(np.float64(measured.skill.value or 0.0), measured.resampled_skill)
