"""Statistics of evaluation runs: cluster bootstrap, intervals, paired tests.

- Cluster bootstrap (Davison and Hinkley 1997): whole clusters are drawn, because samples about one
  note are not independent; the same draw serves all tasks of a run and both runs of a pair, so
  differences of means over tasks are paired too.
- Intervals: percentile, Wilson's score interval of a proportion (Wilson 1927).
- Paired tests: exact McNemar test (McNemar 1947), sign-flip permutation test (Fisher 1935).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

CHUNK = 2_000_000
"""Cells of a block of resamples by clusters that is held in memory at once."""

MOST_CLUSTERS = 20_000
"""More clusters than this are first merged at random into this many groups.

Random groups of independent clusters are independent and identically distributed, so their
bootstrap estimates the same variance; with 20,000 groups its relative error is 0.5 %, less than
that of 10,000 resamples.
"""

ENUMERATED = 14
"""Up to this many nonzero differences, the sign-flip test enumerates all sign patterns."""

MOST_FLIPPED = 2_000
"""More nonzero differences than this are first merged at random into this many groups.

Flipping whole random groups keeps the test exact; with 2,000 groups the loss of power is
negligible.
"""


@dataclass(frozen=True, slots=True)
class Sums:
    """The statistics of one task, summed by cluster.

    Attributes:
        clusters: Index into the run's list of clusters, shape [c], strictly rising.
        sums: Shape [c, S].
        items: Samples a cluster holds, shape [c].
    """

    clusters: np.ndarray
    sums: np.ndarray
    items: np.ndarray

    @classmethod
    def of(cls, clusters: np.ndarray, stats: np.ndarray) -> Sums:
        """Sums `stats` [n, S] over equal `clusters` [n] (integers)."""
        order = np.argsort(clusters, kind="stable")
        codes, starts, counts = np.unique(clusters[order], return_index=True, return_counts=True)
        sums = np.add.reduceat(stats[order], starts, axis=0) if len(codes) else stats[:0]
        return cls(codes, sums, counts)

    @property
    def total(self) -> np.ndarray:
        """Shape [S]."""
        return self.sums.sum(axis=0)


def grouped(tasks: Mapping[str, Sums], clusters: int, seed: int) -> tuple[dict[str, Sums], int]:
    """The same sums over at most `MOST_CLUSTERS` random groups of the run's clusters.

    Returns:
        The sums, and how many groups there are, alike for all tasks.
    """
    if clusters <= MOST_CLUSTERS:
        return dict(tasks), clusters
    generator = np.random.Generator(np.random.PCG64(seed))
    group = generator.permutation(clusters) % MOST_CLUSTERS
    found = {}
    for name, task in tasks.items():
        merged = Sums.of(group[task.clusters], np.column_stack([task.sums, task.items]))
        found[name] = Sums(merged.clusters, merged.sums[:, :-1], merged.sums[:, -1].astype(int))
    return found, MOST_CLUSTERS


def resampled_sums(
    tasks: Mapping[str, Sums], clusters: int, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Cluster-bootstrap sums of every task, shape [B, S], under the same draws of clusters.

    `clusters` is how many the run has in all.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    found = {name: np.empty((resamples, t.sums.shape[1])) for name, t in tasks.items()}
    step = max(1, CHUNK // max(1, clusters))
    for first in range(0, resamples, step):
        last = min(resamples, first + step)
        drawn = generator.integers(0, clusters, size=(last - first, clusters), dtype=np.int32)
        weights = np.empty((last - first, clusters))
        for row, draw in zip(weights, drawn, strict=True):
            row[:] = np.bincount(draw, minlength=clusters)
        for name, task in tasks.items():
            own = weights if len(task.clusters) == clusters else weights[:, task.clusters]
            found[name][first:last] = own @ task.sums
    return found


def bootstrap(
    clusters: Mapping[str, np.ndarray], stats: Mapping[str, np.ndarray], resamples: int, seed: int
) -> tuple[dict[str, Sums], dict[str, np.ndarray]]:
    """The statistics of tasks by cluster, and B of their cluster-bootstrap sums.

    Args:
        clusters: By task, ids of any kind, shape [n]; equal ids are one cluster in all tasks.
        stats: By task, shape [n, S].
        resamples: B.
        seed: Of the draws.

    Returns:
        Sums by task; resampled sums by task, shape [B, S].
    """
    every, codes = np.unique(np.concatenate(list(clusters.values())), return_inverse=True)
    ends = np.cumsum([len(own) for own in clusters.values()])[:-1]
    of_task = dict(zip(clusters, np.split(codes, ends), strict=True))
    sums = {name: Sums.of(of_task[name], stats[name]) for name in clusters}
    return sums, resampled_sums(*grouped(sums, len(every), seed), resamples, seed)


def leave_one_out(task: Sums, from_sums: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A metric without each of the task's clusters in turn, shape [c]; NaN where undefined."""
    with np.errstate(all="ignore"):
        return from_sums(task.total - task.sums)


def nested_mean(groups: Sequence[Any], figures: Mapping[str, Any]) -> Any:
    """The mean over nested groups of task names, as in `registry.TableRow.groups`.

    `figures` are by task name; numbers, or arrays of one shape.
    """
    members = [figures[g] if isinstance(g, str) else nested_mean(g, figures) for g in groups]
    return members[0] if len(members) == 1 else sum(members[1:], members[0]) / len(members)


def weights_of(groups: Sequence[Any]) -> dict[str, float]:
    """What each task weighs in `nested_mean`, by name; the weights add up to 1."""
    found: dict[str, float] = {}
    for group in groups:
        own = {group: 1.0} if isinstance(group, str) else weights_of(group)
        for name, weight in own.items():
            found[name] = found.get(name, 0.0) + weight / len(groups)
    return found


def resampled_items(
    items: Sequence[Sequence[Any]],
    clusters: np.ndarray,
    figure: Callable[[Sequence[Any]], float],
    resamples: int,
    seed: int,
) -> np.ndarray:
    """Bootstrap figures of a metric that is no function of sums: computed from the drawn items.

    Args:
        items: A list for each sample.
        clusters: Of each sample, shape [n]; drawn whole.
        figure: Of a list of items.
        resamples: B, the length of the result.
        seed: Of the draws.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    members: dict[int, list[Any]] = {}
    for cluster, own in zip(clusters.tolist(), items, strict=True):
        members.setdefault(cluster, []).extend(own)
    groups = list(members.values())
    draws = generator.integers(0, len(groups), size=(resamples, len(groups)))
    return np.array([figure([x for i in draw for x in groups[i]]) for draw in draws])


def percentile_interval(figures: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The percentile bootstrap interval (low, high); NaN where no resample is defined."""
    defined = figures[~np.isnan(figures)]
    if not len(defined):
        return float("nan"), float("nan")
    tail = 50 * (1 - level)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high)


def upper_end(figures: np.ndarray, alpha: float) -> float:
    """The end of a one-sided interval: at most a share alpha of the resamples [B] is above it.

    It is below a threshold exactly if the test of that threshold rejects at alpha: if no more than
    alpha (B + 1) - 1 resamples reach it. Infinite where B is too small for that; NaN if one of the
    figures is.
    """
    if np.isnan(figures).any():
        return float("nan")
    allowed = int(np.floor(alpha * (len(figures) + 1) + 1e-9)) - 1
    if allowed < 0:
        return float("inf")
    place = len(figures) - 1 - allowed
    return float(np.partition(figures, place)[place])


def unseen_error(clusters: Any) -> Any:
    """Points: the standard error that one more cluster, fixed or broken, adds to a difference.

    A task on which nothing differs has not shown that nothing can (the pseudo-observations of
    Agresti and Min 2005). `clusters` is a number or an array.
    """
    return 100 / (clusters + 2)


def wilson_interval(hits: float, count: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion, in percent (Wilson 1927).

    Args:
        hits: Successes, 0..count.
        count: Independent trials; 0 gives NaN.
        level: Confidence.
    """
    if count <= 0:
        return float("nan"), float("nan")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, scale = hits / count, 1 + z * z / count
    centre = (share + z * z / (2 * count)) / scale
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / scale
    return float(100 * max(0.0, min(share, centre - half))), float(
        100 * min(1.0, max(share, centre + half))
    )


@dataclass(frozen=True, slots=True)
class Discordance:
    """Pairs that are right in one run and wrong in the other.

    Attributes:
        fixed: Wrong in the base, right in the candidate.
        broken: Right in the base, wrong in the candidate.
        p: Two-sided p-value of the exact McNemar test (McNemar 1947; exact binomial).
    """

    fixed: int
    broken: int
    p: float


def mcnemar(base: np.ndarray, candidate: np.ndarray) -> Discordance:
    """The exact McNemar test (McNemar 1947).

    Args:
        base: Right or not, booleans, shape [n].
        candidate: The same for the same items in the same order.
    """
    from scipy.stats import binomtest

    fixed = int(np.sum(~base & candidate))
    broken = int(np.sum(base & ~candidate))
    # Without a discordant pair there is no evidence against equality.
    p = float(binomtest(fixed, fixed + broken).pvalue) if fixed + broken else 1.0
    return Discordance(fixed, broken, p)


def sign_flip(differences: np.ndarray, resamples: int, seed: int) -> float:
    """The paired permutation test of a mean difference of zero, by sign flips (Fisher 1935).

    Args:
        differences: Candidate minus base, summed by cluster, shape [c].
        resamples: Random sign patterns; all are enumerated if there are at most 2^14.
        seed: Of the patterns.

    Returns:
        The two-sided p-value; 1 if nothing differs.
    """
    moved = differences[differences != 0]
    if not len(moved):
        return 1.0
    observed = abs(float(moved.sum()))
    # Sums that are equal in exact arithmetic must count as equal.
    reached = observed - 1e-9 * float(np.abs(moved).sum())
    if len(moved) <= ENUMERATED:
        patterns = np.arange(1 << len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float((np.abs((2 * patterns - 1) @ moved) >= reached).mean())
    generator = np.random.Generator(np.random.PCG64(seed))
    if len(moved) > MOST_FLIPPED:
        group = generator.permutation(len(moved)) % MOST_FLIPPED
        moved = np.bincount(group, weights=moved, minlength=MOST_FLIPPED)
    hits, step = 0, max(1, CHUNK // len(moved))
    for first in range(0, resamples, step):
        count = min(step, resamples - first)
        signs = generator.integers(0, 2, size=(count, len(moved)), dtype=np.int8)
        flipped = 2 * (signs.astype(np.float64) @ moved) - moved.sum()
        hits += int((np.abs(flipped) >= reached).sum())
    return (hits + 1) / (resamples + 1)
