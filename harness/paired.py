"""Tests on pairs, corrections for many tests, and planning: how many items settle a question.

What scipy has is scipy's; sign flips and Holm's procedure are written out.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from .stats import CHUNK

EXACT = 14
"""Differences up to which all sign patterns are tried."""

FLIPPED = 2_000
"""Units that are flipped; more differences than this are first put together at random.

Flipping whole random groups keeps the test exact; with 2,000 of them it loses no power to speak of.
"""


@dataclass(frozen=True, slots=True)
class Discordance:
    """Right/wrong pairs that two runs judge differently.

    Attributes:
        fixed: Wrong in the base, right in the candidate.
        broken: Right in the base, wrong in the candidate.
        p: Two-sided p-value of the exact McNemar test (McNemar 1947; exact binomial).
    """

    fixed: int
    broken: int
    p: float


def mcnemar(base: np.ndarray, candidate: np.ndarray) -> Discordance:
    """The exact McNemar test.

    Args:
        base: Right or not, booleans, shape [n].
        candidate: The same for the same items in the same order.
    """
    from scipy.stats import binomtest

    fixed = int(np.sum(~base & candidate))
    broken = int(np.sum(base & ~candidate))
    # No pair differs: nothing speaks against equality.
    p = float(binomtest(fixed, fixed + broken).pvalue) if fixed + broken else 1.0
    return Discordance(fixed, broken, p)


def sign_flip(differences: np.ndarray, resamples: int, seed: int) -> float:
    """The paired permutation test of a mean difference of zero (Fisher's sign flips).

    Args:
        differences: Candidate minus base, summed by cluster, shape [c].
        resamples: Random sign patterns; all of them are tried where there are at most 2^14.
        seed: Of the patterns.

    Returns:
        The two-sided p-value; 1 where nothing differs.
    """
    moved = differences[differences != 0]
    if not len(moved):
        return 1.0
    observed = abs(float(moved.sum()))
    # Sums that are equal in exact arithmetic must count as equal.
    reached = observed - 1e-9 * float(np.abs(moved).sum())
    if len(moved) <= EXACT:
        patterns = np.arange(1 << len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float((np.abs((2 * patterns - 1) @ moved) >= reached).mean())
    generator = np.random.Generator(np.random.PCG64(seed))
    if len(moved) > FLIPPED:
        group = generator.permutation(len(moved)) % FLIPPED
        moved = np.bincount(group, weights=moved, minlength=FLIPPED)
    hits, step = 0, max(1, CHUNK // len(moved))
    for first in range(0, resamples, step):
        count = min(step, resamples - first)
        signs = generator.integers(0, 2, size=(count, len(moved)), dtype=np.int8)
        flipped = 2 * (signs.astype(np.float64) @ moved) - moved.sum()
        hits += int((np.abs(flipped) >= reached).sum())
    return (hits + 1) / (resamples + 1)


def tail_p(figures: np.ndarray, threshold: float = 0.0) -> float:
    """Share of resampled figures at or above a threshold: how far it is from being undershot.

    Args:
        figures: Shape [B]; NaN where undefined gives NaN.
        threshold: In the unit of the figures.

    Returns:
        (count + 1) / (B + 1), so it is never 0.
    """
    if np.isnan(figures).any():
        return float("nan")
    return float(((figures >= threshold).sum() + 1) / (len(figures) + 1))


def two_sided_p(figures: np.ndarray) -> float:
    """The bootstrap's two-sided p-value of a difference of zero; NaN where undefined."""
    return float(np.minimum(1.0, 2 * np.minimum(tail_p(figures), tail_p(-figures))))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values (Holm 1979), shape [k]; NaN (no test) stays NaN."""
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * p[order]))
    return adjusted


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """False-discovery-rate adjusted p-values (Benjamini and Hochberg 1995), shape [k]."""
    from scipy.stats import false_discovery_control

    adjusted = np.full(len(p), np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        adjusted[tested] = false_discovery_control(p[tested], method="bh")
    return adjusted


def minimal_detectable_difference(error: float, alpha: float, power: float = 0.8) -> float:
    """The smallest true difference that a one-sided test finds with this power.

    Args:
        error: Standard error of the difference, points.
        alpha: Of the test, one side.
        power: Probability to find it.

    Returns:
        Points (normal approximation).
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha) + normal.inv_cdf(power)) * error


def items_needed(items: int, error: float, wanted: float, alpha: float, power: float = 0.8) -> int:
    """Items with which a true difference of `wanted` points is found.

    Args:
        items: That gave the standard error.
        error: Standard error of the difference on them, points.
        wanted: Points, above 0.
        alpha: Of the one-sided test.
        power: Probability to find it.
    """
    found = minimal_detectable_difference(error, alpha, power)
    return int(np.ceil(items * (found / wanted) ** 2))
