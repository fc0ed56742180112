"""Two runs on the same samples: the paired difference of every row of the table.

Everything is a bootstrap of sums: clusters are drawn once for all tasks and both runs, so means
over tasks and categories are paired too. To each task's difference a little normal noise is added,
as if one more item had been seen that is fixed or broken: a task on which nothing differed among
16 items has not shown that nothing can (the same pseudo-observations as in Agresti and Min 2005,
"Simple improved confidence intervals for comparing matched proportions").
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..tasks.errors import RedoneError
from ..tasks.registry import table_of
from ..tasks.schema import Metric
from .comparable import Mismatch, check, told
from .paired import Discordance, mcnemar, sign_flip
from .scored import ScoredRun, TaskScores
from .stats import Sums, grouped, nested_mean, percentile_interval, resampled_sums

RESAMPLES = 10_000


@dataclass(frozen=True)
class Difference:
    """One row of the table: candidate minus base, in points (percent of the metric).

    Attributes:
        level: `task`, `category`, `benchmark` or `suite`.
        name, title: Of the row.
        of: The tasks that count in.
        samples: Pairs behind it.
        base, candidate: The figures, unrounded, NaN where undefined.
        resampled: Differences, shape [B].
    """

    level: str
    name: str
    title: str
    of: tuple[str, ...]
    samples: int
    base: float
    candidate: float
    resampled: np.ndarray

    @property
    def difference(self) -> float:
        return self.candidate - self.base

    @property
    def error(self) -> float:
        """The standard error of the difference."""
        return float(self.resampled.std())

    def interval(self, alpha: float) -> tuple[float, float]:
        """The central (1 - 2 alpha) interval."""
        if np.isnan(self.resampled).any():
            return float("nan"), float("nan")
        return percentile_interval(self.resampled, 1 - 2 * alpha)


@dataclass(frozen=True)
class Pairs:
    """The items of one task in both runs.

    Attributes:
        base, candidate: Row for row the same samples.
        sign_flip: Two-sided p-value for the mean value, flipped by cluster.
        discordance: Of items with value 1 against the others; None unless all values are 0 or 1.
    """

    base: TaskScores
    candidate: TaskScores
    sign_flip: float
    discordance: Discordance | None


@dataclass(frozen=True)
class Comparison:
    """Everything that can be said of two runs before a policy speaks.

    Attributes:
        base: A run.
        candidate: The run that is to be judged beside it.
        role: Of the scoring.
        partition: What was compared, one or `all`.
        differences: In the order of the tables.
        pairs: By task.
        overridden: Mismatches that were allowed.
        told: What differs and may.
        notes: What a reader must know.
        resamples, seed: Of the bootstrap.
    """

    base: ScoredRun
    candidate: ScoredRun
    role: str
    partition: str
    differences: list[Difference]
    pairs: Mapping[str, Pairs]
    overridden: list[Mismatch]
    told: list[Mismatch]
    notes: list[str]
    resamples: int
    seed: int

    def row(self, level: str, name: str) -> Difference | None:
        """The difference of a row, None if there is none."""
        found = [d for d in self.differences if (d.level, d.name) == (level, name)]
        return found[0] if found else None

    def allowance(self, beside: Collection[str] = ()) -> str:
        """The sentence that owns up to mismatches that were allowed; "" where there are none.

        Args:
            beside: Fields that the reader is told of elsewhere.
        """
        fields = sorted({m.field for m in self.overridden} - set(beside))
        if not fields:
            return ""
        return f"The runs differ in {', '.join(fields)}; the comparison was allowed by hand."


def compare(
    base: ScoredRun,
    candidate: ScoredRun,
    *,
    role: str = "corrected",
    partition: str = "all",
    allowed: Iterable[str] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
    metric: str | None = None,
) -> Comparison:
    """Pairs two runs sample by sample and resamples their difference.

    Args:
        base: A finished run.
        candidate: The finished run that is to be judged beside it.
        role: Of the scoring, `corrected` or `official`.
        partition: Only samples of this partition.
        allowed: Fields in which they may differ all the same.
        resamples: Of the bootstrap and the sign flips.
        seed: Of both.
        metric: What is compared, of the tasks that have it; None: each task's primary metric.

    Raises:
        NotComparable: They differ in what must match.
        RedoneError: They share no sample.
    """
    overridden = check(base, candidate, role, allowed)
    notes: list[str] = []
    one, two = base.scores(role, partition), candidate.scores(role, partition)
    matched = {}
    for name in one:
        if name not in two:
            continue
        if (reason := _no_points(one[name].scoring.metric(metric), metric)) is not None:
            notes.append(f"{name}: {reason}; it is left out.")
        else:
            pair = _matched(one[name], two[name], notes)
            if len(pair[0]):
                matched[name] = pair
            else:
                notes.append(f"{name}: no sample is scored in both runs; it is left out.")
    if not matched:
        where = f" of partition {partition!r}" if partition != "all" else ""
        where += f" of the metric {metric}" if metric else ""
        raise RedoneError(
            f"{base.path} and {candidate.path} share no scored sample{where}. Evaluate both on the "
            "same tasks and partition."
        )
    return Comparison(
        base,
        candidate,
        role,
        partition,
        differences(matched, resamples, seed, metric),
        {name: _pairs(one, two, resamples, seed) for name, (one, two) in matched.items()},
        overridden,
        told(base, candidate),
        notes,
        resamples,
        seed,
    )


def differences(
    matched: Mapping[str, tuple[TaskScores, TaskScores]],
    resamples: int = RESAMPLES,
    seed: int = 0,
    metric: str | None = None,
) -> list[Difference]:
    """The paired difference of every row of the table of some tasks.

    Args:
        matched: Base and candidate by task, row for row the same samples.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        metric: That all of them have; None: each one's primary metric.
    """
    before, after, moved = _figures(matched, resamples, seed, metric)
    return [
        Difference(
            row.level,
            row.name,
            row.title,
            row.of,
            sum(len(matched[name][0]) for name in row.of),
            nested_mean(row.groups, before),
            nested_mean(row.groups, after),
            nested_mean(row.groups, moved),
        )
        for row in table_of(list(matched))
    ]


def _no_points(metric: Metric | None, name: str | None) -> str | None:
    """Why a metric's difference cannot be told in points, None if it can."""
    if metric is None:
        return f"it has no metric {name}"
    if metric.from_items is not None:
        return f"{metric.name} is no function of sums"
    return None if metric.higher_is_better else f"a lower {metric.name} is better"


def _matched(
    base: TaskScores, candidate: TaskScores, notes: list[str]
) -> tuple[TaskScores, TaskScores]:
    """The rows of the samples that both runs scored."""
    name = base.task.name
    for side in (base, candidate):
        if side.not_scored:
            notes.append(f"{name}: {side.not_scored} samples were not scored (a service missing).")
    if np.array_equal(base.samples, candidate.samples):
        return base, candidate
    _, mine, theirs = np.intersect1d(
        base.samples, candidate.samples, assume_unique=True, return_indices=True
    )
    notes.append(
        f"{name}: {len(mine)} samples are in both runs, of {len(base)} and {len(candidate)}."
    )
    return base.at(mine), candidate.at(theirs)


def _figures(
    matched: Mapping[str, tuple[TaskScores, TaskScores]],
    resamples: int,
    seed: int,
    named: str | None,
) -> tuple[dict[str, float], dict[str, float], dict[str, np.ndarray]]:
    """Base and candidate figures and resampled differences, by task."""
    every = np.concatenate([pair[0].clusters for pair in matched.values()])
    names, codes = np.unique(every, return_inverse=True)
    ends = np.cumsum([len(pair[0]) for pair in matched.values()])
    sums = {
        name: Sums.of(own, np.hstack([pair[0].stats, pair[1].stats]))
        for (name, pair), own in zip(matched.items(), np.split(codes, ends[:-1]), strict=True)
    }
    counts = {name: len(task.clusters) for name, task in sums.items()}
    groups, units = grouped(sums, len(names), seed)
    drawn = resampled_sums(groups, units, resamples, seed)
    generator = np.random.Generator(np.random.PCG64([seed, 1]))
    base, candidate, resampled = {}, {}, {}
    for name, (mine, _) in matched.items():
        metric, width = mine.scoring.metric(named), len(mine.scoring.statistics)
        assert metric is not None
        with np.errstate(all="ignore"):
            total = sums[name].total
            base[name] = float(metric.from_sums(total[:width]))
            candidate[name] = float(metric.from_sums(total[width:]))
            moved = metric.from_sums(drawn[name][:, width:]) - metric.from_sums(
                drawn[name][:, :width]
            )
        # A resample may hold no item of a small task: it says nothing of that task's difference.
        undefined = np.isnan(moved)
        if not undefined.all():
            moved[undefined] = np.median(moved[~undefined])
        unseen = 100 / (counts[name] + 2)
        resampled[name] = moved + generator.normal(0, unseen, size=resamples)
    return base, candidate, resampled


def _pairs(base: TaskScores, candidate: TaskScores, resamples: int, seed: int) -> Pairs:
    moved = candidate.values - base.values
    _, codes = np.unique(base.clusters, return_inverse=True)
    by_cluster = np.bincount(codes, weights=moved)
    values = np.concatenate([base.values, candidate.values])
    binary = bool(np.isin(values, (0, 1)).all())
    return Pairs(
        base,
        candidate,
        sign_flip(by_cluster, resamples, seed),
        mcnemar(base.values == 1, candidate.values == 1) if binary else None,
    )
