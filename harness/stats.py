"""Intervals for metrics that are functions of sums, by resampling whole clusters.

All items about one note stand or fall together, so the bootstrap draws *clusters*, the same draw
for all tasks of a run: means over tasks and categories get honest intervals too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CHUNK = 2_000_000
"""Cells of a resamples-by-clusters block held at once."""


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


def resampled_sums(
    tasks: Mapping[str, Sums], clusters: int, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Bootstrap sums of every task under the same draws of clusters.

    Args:
        tasks: By name.
        clusters: How many clusters the run has in all.
        resamples: B.
        seed: Of the draws.

    Returns:
        By task name, shape [B, S].
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
            found[name][first:last] = weights[:, task.clusters] @ task.sums
    return found


def resampled_items(
    items: Sequence[Sequence[Any]],
    clusters: np.ndarray,
    figure: Callable[[Sequence[Any]], float],
    resamples: int,
    seed: int,
) -> np.ndarray:
    """Bootstrap figures that are no function of sums: made anew from drawn items each time.

    Args:
        items: A list for each sample.
        clusters: Of each sample, shape [n]; drawn whole, as everywhere.
        figure: Of a list of items.
        resamples: B.
        seed: Of the draws.

    Returns:
        Shape [B].
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    members: dict[int, list[Any]] = {}
    for cluster, own in zip(clusters.tolist(), items, strict=True):
        members.setdefault(cluster, []).extend(own)
    groups = list(members.values())
    draws = generator.integers(0, len(groups), size=(resamples, len(groups)))
    return np.array([figure([x for i in draw for x in groups[i]]) for draw in draws])


def percentile_interval(figures: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The central interval of resampled figures, undefined ones (NaN) left out.

    Returns:
        (low, high); NaN where no resample is defined.
    """
    defined = figures[~np.isnan(figures)]
    if not len(defined):
        return float("nan"), float("nan")
    tail = 50 * (1 - level)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high)


def wilson_interval(hits: float, count: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion, in percent (Wilson 1927).

    Args:
        hits: Successes, 0..count.
        count: Independent trials; 0 gives NaN.
        level: Confidence.
    """
    if count <= 0:
        return float("nan"), float("nan")
    from statistics import NormalDist

    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, scale = hits / count, 1 + z * z / count
    centre = (share + z * z / (2 * count)) / scale
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / scale
    return float(100 * max(0.0, centre - half)), float(100 * min(1.0, centre + half))
