"""The figures of a diagnosis: scores, gaps, failure shares, confusions, solvability.

Scores, gaps and slice differences get their intervals from one cluster bootstrap for all tasks.
Every figure is a function of sums, so each task contributes one row of sums per cluster: the
statistics of its metric, those of the reference run, and counts and shortfalls of its slices. An
item's *shortfall* is the reference's value (1, or the other run's) minus its own.

A slice's gap is the task's gap plus the difference of mean shortfalls, chance-corrected by the
chance level of the mean value: macro F1 or BLEU are not meaningful on one label or three comments,
a mean is.

A hint is given for each kind of failure of form whose share of a task's answers has a lower 95 %
bound (Wilson) of at least `HINT_SHARE`, for tasks of at least `SMALLEST_TASK` clusters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from ...tasks.extraction import normalize
from ...tasks.schema import FAILURES, Failure
from ...tasks.task import Task
from ..stats import Sums, bootstrap, percentile_interval, wilson_interval
from .items import SMALLEST_TASK, OtherRun, TaskItems, finite, skill
from .schema import (
    Capability,
    Confusion,
    Estimate,
    FailureHint,
    FailureShare,
    Observed,
    Reference,
    Solvability,
)

LEVEL = 0.95
RESAMPLES = 2000
UNDEFINED = Estimate(None, None, None)

HINT_SHARE = 0.05
OBSERVED: Mapping[Observed, tuple[Failure, ...]] = {
    "format": ("format",),
    "truncated": ("truncated",),
    "language": ("language",),
    "no_answer": ("empty", "refusal"),
}
"""The failure kinds of each hint; `wrong` gives none, as it is what the task's score measures."""

MOST_PAIRS = 10
FEWEST = 2
"""Smallest number of answers of a confusion pair."""

SAME, OTHERWISE, ENOUGH = 0.9, 0.75, 20
"""A constant answer: the label of at least this share of the answers, the gold label of at most
this share of the items, in a task of at least so many items."""

PARTLY = 0.5
"""The value from which an open answer (a translation, a list) counts as solved."""


@dataclass(frozen=True)
class Measured:
    """The figures of one task, as in `schema.TaskDiagnosis`.

    `slices` are the difference and the gap of each slice; `resampled_skill` has shape [B].
    """

    score: Estimate
    skill: Estimate
    gap: Estimate | None
    slices: tuple[tuple[Estimate, Estimate | None], ...]
    resampled_skill: np.ndarray


def shortfall(items: TaskItems, other: OtherRun | None) -> np.ndarray:
    """Reference value minus own value of each item, shape [n]."""
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
        other: The reference run's scores, if a run is the reference.
        slices: By task, the members of its slices, booleans of shape [n].
        seed: Of the bootstrap.
    """
    scored = {name: task for name, task in items.items() if len(task)}
    sums, drawn = bootstrap(
        {name: task.clusters for name, task in scored.items()},
        {name: _rows(task, other, slices[name]) for name, task in scored.items()},
        RESAMPLES,
        seed,
    )
    return {
        name: _measured(task, references[name], other, sums[name], drawn[name], len(slices[name]))
        for name, task in scored.items()
    }


def _rows(items: TaskItems, other: OtherRun | None, slices: Sequence[np.ndarray]) -> np.ndarray:
    """Shape [n, S (twice with a reference run) + 2 + 2 k]."""
    missing = shortfall(items, other)
    blocks = [items.scores.stats]
    if other and items.task.name in other.scores:
        blocks.append(other.scores[items.task.name].stats)
    for member in (np.ones(len(items), dtype=bool), *slices):
        blocks += [member[:, None].astype(float), (member * missing)[:, None]]
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
        if reference is not None and reference.skill is not None:
            theirs = skill(task, metric.from_sums(both[:, width : 2 * width])) if other else None
            gaps = (reference.skill if theirs is None else theirs) - skills
        tail = both[:, both.shape[1] - 2 - 2 * slices :]
        found = [_slice(tail, k, gaps, task.chance.value, reference, trials) for k in range(slices)]
    parts = (score.value, score.low, score.high)
    skilled = Estimate(
        *(None if part is None else finite(float(skill(task, part))) for part in parts)
    )
    gap = None
    if gaps is not None and reference is not None and reference.skill is not None:
        below = None
        if other is None and skilled.low is not None and skilled.high is not None:
            below = reference.skill - skilled.high, reference.skill - skilled.low
        gap = _estimate(gaps, trials, below)
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
    highest = 100.0 if reference.kind == "run" else reference.skill or 0.0
    deeper = np.minimum(deeper, highest)
    return difference, _estimate(deeper, trials, _collapsed(deeper, own_count[0]))


def _estimate(
    figures: np.ndarray, trials: int, interval: tuple[float, float] | None = None
) -> Estimate:
    """The figure (row 0) with its interval, from resamples (the other rows) unless given."""
    point = float(figures[0])
    if not np.isfinite(point):
        return UNDEFINED
    if trials < SMALLEST_TASK:
        return Estimate(point, None, None)
    low, high = (
        interval
        or _collapsed(figures, trials)
        or percentile_interval(np.asarray(figures[1:], dtype=float), LEVEL)
    )
    return Estimate(point, finite(min(low, point)), finite(max(high, point)))


def _collapsed(figures: np.ndarray, trials: float) -> tuple[float, float] | None:
    """Wilson's interval if all resamples agree; None if they differ.

    Eight items that all failed (or none) do not prove a rate of exactly 100 % (or 0 %).
    """
    point, drawn = figures[0], figures[1:][~np.isnan(figures[1:])]
    if not np.isfinite(point) or (len(drawn) and np.ptp(drawn) > 1e-9):
        return None
    low, high = wilson_interval(min(1.0, abs(point) / 100) * trials, trials, LEVEL)
    return (low, high) if point >= 0 else (-high, -low)


def capabilities(
    items: Mapping[str, TaskItems], measured: Mapping[str, Measured]
) -> tuple[Capability, ...]:
    """The capability map: mean skill over categories, equally weighted; the weakest first."""
    names_of: dict[str, dict[tuple[str, str], list[str]]] = {}
    for name, figures in measured.items():
        task = items[name].task
        if figures.skill.value is not None:
            categories = names_of.setdefault(task.capability, {})
            categories.setdefault((task.benchmark, task.category), []).append(name)
    skills = {
        name: np.append(np.float64(figures.skill.value or 0.0), figures.resampled_skill)
        for name, figures in measured.items()
    }
    found = []
    for capability, categories in names_of.items():
        groups = list(categories.values())
        means = [np.mean([skills[name] for name in group], axis=0) for group in groups]
        names = tuple(name for group in groups for name in group)
        clusters = np.unique(np.concatenate([items[name].clusters for name in names]))
        estimate = _estimate(np.mean(means, axis=0), len(clusters))
        found.append(Capability(capability, names, estimate))
    return tuple(sorted(found, key=lambda c: (c.skill.value or 0.0, c.name)))


def share(items: TaskItems, kinds: tuple[Failure, ...]) -> FailureShare:
    """The share of answers that failed in one of these ways."""
    columns = [FAILURES.index(kind) for kind in kinds]
    found = float(items.failures[:, columns].sum(axis=1).mean()) if len(items) else 0.0
    trials = items.independent
    low, high = wilson_interval(found * trials, trials) if trials else (0.0, 100.0)
    return FailureShare(found, low / 100, high / 100)


def main_failure(shares: np.ndarray) -> Failure | None:
    """The kind with the largest share, None if nothing failed."""
    return FAILURES[int(shares.argmax())] if shares.max(initial=0.0) > 0 else None


def slice_failure(shares: np.ndarray, member: np.ndarray) -> Failure | None:
    """The kind that is most over-represented in a slice; its most frequent one if none is.

    `shares` is per item and kind, shape [n, len(FAILURES)]; `member` says which items are inside.
    """
    own, rest = shares[member].mean(axis=0), shares[~member].mean(axis=0)
    return main_failure(own - rest) or main_failure(own)


def hints_of(items: TaskItems) -> list[FailureHint]:
    """The hints of a task, the largest share first."""
    if items.independent < SMALLEST_TASK:
        return []
    hints = [
        FailureHint(items.task.name, observed, kinds, found.share, found.low, len(items))
        for observed, kinds in OBSERVED.items()
        if (found := share(items, kinds)).low >= HINT_SHARE
    ]
    return sorted(hints, key=lambda hint: -hint.share)


def confusions(items: TaskItems) -> tuple[Confusion, ...]:
    """The most frequent pairs of gold label and wrong label; none for an open task.

    Of a path of labels (taxonomy in three levels) the first is compared.
    """
    labels = items.labels
    if not any(labels):
        return ()
    answers = items.answers
    golds = Counter(labels[row] for row in answers.rows)
    pairs: Counter[tuple[str, str]] = Counter()
    for place in np.flatnonzero(answers.kinds == FAILURES.index("wrong")):
        gold, answer = labels[answers.rows[place]], _label(answers.parsed[place])
        if gold and answer and normalize(gold) != normalize(answer):
            pairs[gold, answer] += 1
    frequent = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_PAIRS]
    return tuple(
        Confusion(gold, answer, count, golds[gold])
        for (gold, answer), count in frequent
        if count >= FEWEST
    )


def constant_answer(items: TaskItems) -> str | None:
    """A note on a task where nearly all answers are one label although many items have another."""
    answers, labels = items.answers, items.labels
    if len(items) < ENOUGH or not all(labels):
        return None
    given = Counter(_label(parsed) for parsed in answers.parsed)
    label, count = given.most_common(1)[0]
    if label is None or count < SAME * len(answers.parsed):
        return None
    gold = sum(normalize(label) == normalize(own) for own in labels)
    if gold > OTHERWISE * len(labels):
        return None
    return (
        f'{count} of {len(answers.parsed)} answers are "{label}", gold of {gold} of {len(labels)} '
        "items: the score is that of a constant answer and shows no skill."
    )


def _label(parsed: str | None) -> str | None:
    answer = orjson.loads(parsed) if parsed else None
    if isinstance(answer, list) and answer:
        answer = answer[0]
    return answer if isinstance(answer, str) else None


def threshold(task: Task) -> float:
    """The value that solves an item: 1 where answers are right or wrong, else `PARTLY`."""
    return PARTLY if task.reward == "metric" else 1.0


def solvability(items: TaskItems) -> Solvability | None:
    """The shares over items with two or more draws; None if there are none."""
    draws = items.draws
    several = draws >= 2
    if not several.any():
        return None
    limit = threshold(items.task)
    solved = np.bincount(
        items.answers.rows, weights=items.answers.values >= limit, minlength=len(items)
    )
    share = solved[several] / draws[several]
    always, never = float((share == 1).mean()), float((share == 0).mean())
    return Solvability(
        int(draws[several].min()), limit, always, max(0.0, 1 - always - never), never
    )
