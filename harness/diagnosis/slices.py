"""Finds the slices of tasks that differ significantly from the rest of their task.

Slices are defined by fields that training rows have too: language, gold label, length, tags. All
slices of all tasks are one family, tested by the step-down max-T permutation test (Westfall and
Young 1993), which controls the family-wise error rate under any dependence: the chance of *any*
false slice in a diagnosis is at most alpha. Under the null hypothesis values may be permuted among
items; whole clusters are permuted with clusters of their own size, to keep items of one note
together. Slices that are explained by a clearer one they overlap with are left out.

Differences of small slices or of values near 0 or 1 are skewed. Each slice's statistic is therefore
transformed to normality by its own skewness under permutation (Wilson and Hilferty 1931). Any such
transform preserves the error rate; this one keeps small slices from hiding large ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .items import TaskItems
from .schema import Slice

ALPHA = 0.01
SMALLEST = 8
"""Smallest number of items of a slice, and of the rest of its task."""

PERMUTATIONS = 5000
SHUFFLED = 200_000_000
"""Limit of permuted values in total; beyond it there are fewer permutations, at least 1,000."""
CELLS = 4_000_000
"""Permuted values held in memory at once."""

LENGTHS = ("short", "medium", "long")


@dataclass(frozen=True)
class Candidates:
    """The slices of one task that are tested.

    Attributes:
        slices: k of them.
        members: Which item is in which, booleans, shape [n, k].
        values: What is compared, shape [n].
        clusters: Shape [n]; items of equal numbers are permuted together.
    """

    slices: tuple[Slice, ...]
    members: np.ndarray
    values: np.ndarray
    clusters: np.ndarray


def candidates(items: TaskItems, values: np.ndarray) -> Candidates:
    """Every slice of a task that is large enough and leaves a rest that is, by values [n]."""
    found = [
        (slice_, member)
        for slice_, member in _slices(items)
        if SMALLEST <= member.sum() <= len(items) - SMALLEST
    ]
    members = np.array([m for _, m in found], dtype=bool).reshape(len(found), len(items)).T
    return Candidates(tuple(s for s, _ in found), members, values, items.clusters)


def _slices(items: TaskItems) -> Iterator[tuple[Slice, np.ndarray]]:
    for language in np.unique(items.languages):
        yield Slice("language", "", str(language), None), items.languages == language
    yield from _lengths(items.characters)
    for name in sorted({name for tags in items.tags for name in tags}):
        values = np.array([tags.get(name, "") for tags in items.tags])
        for value in np.unique(values[values != ""]):
            field = "label" if name == "label" else "tag"
            name_ = "" if name == "label" else name
            yield Slice(field, name_, str(value), None), values == value


def _lengths(characters: np.ndarray) -> Iterator[tuple[Slice, np.ndarray]]:
    """Thirds by length, as far as equal lengths allow."""
    if not len(characters):
        return
    first, second = (int(np.ceil(x)) for x in np.quantile(characters, [1 / 3, 2 / 3]))
    ranges = ((None, first), (first, second), (second, None))
    for name, (low, high) in zip(LENGTHS, ranges, strict=True):
        slice_ = Slice("length", "", name, (low, high))
        least, most = -1 if low is None else low, np.inf if high is None else high
        yield slice_, (characters >= least) & (characters < most)


def permutations_for(items: int) -> int:
    """Number of permutations for a run of so many items."""
    return max(1000, min(PERMUTATIONS, SHUFFLED // max(1, items)))


def adjusted_p(
    tasks: Mapping[str, Candidates], seed: int, permutations: int
) -> dict[str, np.ndarray]:
    """Family-wise p-values: how often a permutation has so large a statistic in any slice.

    Tasks are permuted independently of each other. The smallest p is 1 / (permutations + 1).

    Returns:
        By task, shape [k]; 1 if no permutation changes the slice's mean.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    scores = {
        name: _standardized(_slice_sums(task, generator, permutations))
        for name, task in tasks.items()
        if task.slices
    }
    if not scores:
        return {name: np.empty(0) for name in tasks}
    p = _step_down(np.abs(np.hstack(list(scores.values()))))
    parts = np.split(p, np.cumsum([s.shape[1] for s in scores.values()])[:-1])
    by_name = dict(zip(scores, parts, strict=True))
    return {name: by_name.get(name, np.empty(0)) for name in tasks}


def _slice_sums(task: Candidates, generator: np.random.Generator, permutations: int) -> np.ndarray:
    """Sums of values in each slice, observed (row 0) and permuted, shape [1 + B, k]."""
    members = task.members.astype(np.float64)
    sums = np.empty((1 + permutations, len(task.slices)))
    sums[0] = task.values @ members
    groups = _by_size(task.clusters)
    step = max(1, CELLS // len(task.values))
    for first in range(0, permutations, step):
        number = min(step, permutations - first)
        shuffled = np.empty((number, len(task.values)))
        for places in groups:
            shuffled[:, places.ravel()] = _shuffled(task.values[places], number, generator)
        sums[1 + first : 1 + first + number] = shuffled @ members
    return sums


def _by_size(clusters: np.ndarray) -> list[np.ndarray]:
    """Indices of the items, by size of cluster: an array per size with a row per cluster."""
    order = np.argsort(clusters, kind="stable")
    _, starts, counts = np.unique(clusters[order], return_index=True, return_counts=True)
    return [order[starts[counts == size][:, None] + np.arange(size)] for size in np.unique(counts)]


def _shuffled(values: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Permutes rows and the values in each row; shape [number, values.size]."""
    clusters, size = values.shape
    order = generator.permuted(np.tile(np.arange(clusters), (number, 1)), axis=1)
    moved = values[order]
    if size > 1:
        moved = generator.permuted(moved, axis=2)
    return moved.reshape(number, -1)


def _standardized(sums: np.ndarray) -> np.ndarray:
    """Each column with mean 0 and variance 1, its skewness removed."""
    # The moments exclude row 0: a large observed effect would inflate its own scale.
    mean, deviation = sums[1:].mean(axis=0), sums[1:].std(axis=0)
    varies = deviation > 1e-9 * np.maximum(1, np.abs(mean))
    z = np.where(varies, (sums - mean) / np.where(varies, deviation, 1.0), 0.0)
    skew = (z[1:] ** 3).mean(axis=0)
    skewed = np.abs(skew) > 1e-3
    g = np.where(skewed, skew, 1.0)
    straight = 6 / g * (np.cbrt(1 + g * z / 2) - 1) + g / 6
    return np.where(skewed, straight, z)


def _step_down(scores: np.ndarray) -> np.ndarray:
    """Step-down max-T p-values from absolute scores [1 + B, k]; row 0 is the observed one."""
    observed = scores[0]
    order = np.argsort(-observed, kind="stable")
    # The maximum of each permutation over this slice and all with smaller statistics. The factor
    # makes ties in floating point count as ties.
    best = np.maximum.accumulate(scores[:, order[::-1]], axis=1)[:, ::-1]
    reached = (best >= observed[order] * (1 - 1e-9)).mean(axis=0)
    p = np.empty(len(observed))
    p[order] = np.maximum.accumulate(reached)
    return np.where(observed > 0, p, 1.0)


def significant(task: Candidates, p: np.ndarray, seed: int) -> list[int]:
    """Indices of the slices that differ and are not explained by a clearer one, clearest first.

    A weak label makes the lengths weak in which it is frequent, and the other labels strong. A
    slice therefore counts only if it still differs without the items of those found before it.
    `p` are the adjusted p-values, shape [k]; `seed` is that of the second test.
    """
    sizes = task.members.sum(axis=0)
    rest = len(task.values) - sizes
    sums = task.values @ task.members
    difference = sums / sizes - (task.values.sum() - sums) / rest
    clarity = np.abs(difference) * np.sqrt(sizes * rest)
    # Two slices that are each other's complement are equally clear: the weaker one is kept.
    order = np.lexsort((difference, -np.round(clarity, 9), p))
    found: list[int] = []
    left = np.ones(len(task.values), dtype=bool)
    for place in (int(k) for k in order if p[k] <= ALPHA):
        if not found or _still_differs(task, place, left, seed):
            found.append(place)
            left &= ~task.members[:, place]
    return found


def _still_differs(task: Candidates, place: int, left: np.ndarray, seed: int) -> bool:
    """Whether a slice differs from its rest among the remaining items."""
    member = task.members[left][:, [place]]
    if min(member.sum(), (~member).sum()) < SMALLEST:
        return False
    again = Candidates((task.slices[place],), member, task.values[left], task.clusters[left])
    return bool(adjusted_p({"": again}, seed, 1000)[""][0] <= ALPHA)
