"""The one rule of intervals for scores: Wilson's score interval, for every figure and every mean.

A figure within known bounds is treated as a proportion of its range (Wilson 1927), out of as many
trials as would give it the variance that it has over clusters: clusters divided by the design
effect, as for complex samples (Kish 1965; Dean and Pagano 2015). The variance is the jackknife's
over clusters, together with two pseudo-clusters, one fully right and one fully wrong (Agresti and
Caffo 2000): sixteen samples that are all wrong have not shown that none can be right. So a plain
proportion of independent samples has exactly Wilson's interval, 618 right answers about 300 notes
have that of 300 out of 300, and no interval leaves the range or shrinks to a point.

A mean over tasks reaches from the smallest to the largest mean whose parts their samples, taken
together, do not contradict: the score statistics of the parts add up to the quantile of the one
figure (a profile of Wilson's score statistic; for one task it is Wilson's interval). Tasks about
the same notes are not independent, so the quantile grows by the covariance of their clusters.

A figure without bounds (a perplexity) has the jackknife's interval with Student's quantile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ..tasks.schema import Metric
from .stats import Sums, leave_one_out

STEPS = 1_000
"""Steps in which the score statistic is shared out among the tasks of a mean."""

LEVEL = 0.95

UNDEFINED = (math.nan, math.nan)


@dataclass(frozen=True)
class Figure:
    """A figure of one task, in percent, and how it varies over clusters.

    Attributes:
        point: As it is printed.
        value: The same unrounded.
        clusters: Numbers of the clusters, the same in all tasks of a run, shape [c].
        pulls: What each cluster adds to the deviation of the figure, shape [c]; the sum of their
            squares is the variance.
        lowest, highest: What is possible; infinite where there is no bound.
        trials: Of the part that rests on the fewest; at most c.
        resamples: How many resamples `pulls` come from; None: the jackknife.
    """

    point: float
    value: float
    clusters: np.ndarray
    pulls: np.ndarray
    lowest: float = 0.0
    highest: float = 100.0
    trials: float = 0.0
    resamples: int | None = None

    @classmethod
    def of(cls, metric: Metric, sums: Sums) -> Figure:
        """A figure that is a function of sums."""
        total, count = sums.total, len(sums.clusters)
        with np.errstate(all="ignore"):
            point, value = metric.point(total), float(metric.from_sums(total))
            # Where authors print a figure although it is undefined (nothing could be read).
            value = point if math.isnan(value) else value
            left_out = leave_one_out(sums, metric.from_sums)
            kept = left_out[~np.isnan(left_out)]
            middle = kept.mean() if len(kept) else value
            # The jackknife's pseudo-values, on the scale on which a proportion has p (1 - p) / n.
            pulls = np.nan_to_num((middle - left_out) * (count - 1) / count)
            trials = metric.rests_on(total) if metric.rests_on else count
        return cls(
            point,
            value,
            sums.clusters,
            pulls,
            *_bounds(metric, value),
            max(1.0, min(float(trials), count)),
        )

    @classmethod
    def of_resamples(
        cls, metric: Metric, point: float, resampled: np.ndarray, clusters: np.ndarray
    ) -> Figure:
        """A figure that is computed from items, and known from its resamples [B]."""
        known = resampled[~np.isnan(resampled)]
        codes = np.unique(clusters)
        share = float(known.std()) / math.sqrt(len(codes)) if len(known) else 0.0
        pulls = np.full(len(codes), share)
        return cls(point, point, codes, pulls, *_bounds(metric, point), len(codes), len(resampled))

    @property
    def span(self) -> float:
        """The length of the range of possible figures."""
        return self.highest - self.lowest

    @property
    def share(self) -> float:
        """Where in its range the figure is, 0..1."""
        return min(1.0, max(0.0, (self.value - self.lowest) / self.span))

    @property
    def drawn(self) -> float:
        """The share with the two pseudo-clusters."""
        return (self.share * self.trials + 1) / (self.trials + 2)

    @property
    def seen(self) -> np.ndarray:
        """Pulls in points, scaled so that with `unseen` they give the variance, shape [c]."""
        if math.isinf(self.span):
            return self.pulls * math.sqrt(self.trials / max(1.0, self.trials - 1))
        return self.pulls * math.sqrt(self.trials / (self.trials + 2))

    @property
    def unseen(self) -> float:
        """The part of the variance that the pseudo-clusters add, in squared points."""
        if math.isinf(self.span):
            return 0.0
        n, drawn = self.trials, self.drawn
        spread = (1 - drawn) ** 2 + drawn**2 + n * (self.share - drawn) ** 2
        return self.span**2 * spread / (n * (n + 2))

    @property
    def variance(self) -> float:
        """In squared points, pseudo-clusters included."""
        return float((self.seen**2).sum()) + self.unseen

    def at(self, statistic: np.ndarray, up: bool) -> np.ndarray:
        """The figure that deviates by a squared score statistic, upwards or downwards.

        NaN where nothing is known: without a bound, from figures that do not vary.
        """
        sign = 1.0 if up else -1.0
        if math.isinf(self.span):
            freedom = len(self.clusters) - 1
            spread = self.variance
            if freedom < 1 or spread == 0:
                return np.full(len(statistic), math.nan)
            reached = self.value + sign * np.sqrt(statistic * spread) * _student(freedom)
            return np.clip(reached, self.lowest, self.highest)
        n = self.drawn * (1 - self.drawn) * self.span**2 / self.variance
        p, scale = self.share, 1 + statistic / n
        half = np.sqrt(statistic * (p * (1 - p) / n + statistic / (4 * n * n)))
        reached = (p + statistic / (2 * n) + sign * half) / scale
        return self.lowest + self.span * np.clip(reached, 0.0, 1.0)


def _bounds(metric: Metric, value: float) -> tuple[float, float]:
    """The metric's bounds; none if the figure is beyond them (a metric of one's own)."""
    if metric.lowest - 1e-6 <= value <= metric.highest + 1e-6:
        return metric.lowest, metric.highest
    return -math.inf, math.inf


def _student(freedom: int) -> float:
    """Student's quantile relative to the normal distribution's, at `LEVEL`."""
    from scipy.stats import t

    tail = 0.5 + LEVEL / 2
    return float(t.ppf(tail, freedom)) / NormalDist().inv_cdf(tail)


def interval(
    figures: Sequence[Figure],
    weights: Sequence[float] = (1.0,),
    forms: Sequence[Callable[[np.ndarray], np.ndarray]] = (),
    level: float = LEVEL,
) -> tuple[float, float]:
    """The interval (low, high) of a weighted sum of figures; NaN where it is undefined.

    Args:
        figures: Of tasks of one run.
        weights: Of each figure, 0 or more.
        forms: Of each figure, a rising function of it that counts in its place; none: itself.
        level: Confidence.
    """
    if any(math.isnan(figure.value) or not len(figure.clusters) for figure in figures):
        return UNDEFINED
    quantile = NormalDist().inv_cdf(0.5 + level / 2) ** 2
    steps = STEPS if len(figures) > 1 else 1
    grid = np.linspace(0, quantile * _inflation(figures, weights), steps + 1)
    ends = []
    for up in (False, True):
        parts = [figure.at(grid, up) for figure in figures]
        if forms:
            parts = [form(part) for form, part in zip(forms, parts, strict=True)]
        start = sum(w * part[0] for w, part in zip(weights, parts, strict=True))
        moves = [w * _falling(np.abs(np.diff(p))) for w, p in zip(weights, parts, strict=True)]
        # Sharing out the statistic step by step where it moves the sum most is optimal, because
        # each part moves less and less.
        moved = np.partition(np.concatenate(moves), -steps)[-steps:].sum()
        ends.append(float(start + moved if up else start - moved))
    lowest = sum(w * f.lowest for w, f in zip(weights, figures, strict=True))
    highest = sum(w * f.highest for w, f in zip(weights, figures, strict=True))
    return (ends[0], ends[1]) if forms else (max(ends[0], lowest), min(ends[1], highest))


def _falling(steps: np.ndarray) -> np.ndarray:
    """Steps that first grow (below chance, skill stays 0) are evened out, so that none does."""
    means = np.cumsum(steps) / np.arange(1, len(steps) + 1)
    place = int(np.argmax(means))
    return np.concatenate([np.full(place + 1, means[place]), steps[place + 1 :]])


def _inflation(figures: Sequence[Figure], weights: Sequence[float]) -> float:
    """By how much shared clusters raise the variance of a weighted sum; at least 1."""
    if len(figures) == 1:
        return 1.0
    _, codes = np.unique(np.concatenate([f.clusters for f in figures]), return_inverse=True)
    together = apart = 0.0
    for parts in (
        [w * f.seen for w, f in zip(weights, figures, strict=True)],
        [
            np.full(len(f.clusters), w * math.sqrt(f.unseen / len(f.clusters)))
            for w, f in zip(weights, figures, strict=True)
        ],
    ):
        own = np.concatenate(parts)
        together += float((np.bincount(codes, weights=own) ** 2).sum())
        apart += float((own**2).sum())
    return max(1.0, together / apart) if apart else 1.0
