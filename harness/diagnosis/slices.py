"""Which slices of which tasks differ from the rest beyond chance.

Slices are told in what training rows have too: language, gold label, length, tags. All slices of
all tasks are one family, tested together: under the hypothesis that an item's value has nothing to
do with its slice, values may be shuffled among items. Whole clusters change places with clusters of
their own size, so items about one note stay together. The largest standardised difference of a
shuffle is what the best of many looks finds by chance (Westfall and Young 1993, step-down max-T),
so the chance of *any* false slice in a diagnosis is at most alpha, whatever depends on what. Of
slices that overlap only those are told that the clearest one does not explain.

Differences of small or one-sided slices (95 % right) are skewed. Each slice's is therefore brought
to a normal scale first, by its own skewness under shuffling (Wilson and Hilferty 1931); any such
transform leaves the error rate as it is, and keeps small slices from hiding large ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .items import TaskItems
from .task_schema import Slice

ALPHA = 0.01
SMALLEST = 8
"""Items that a slice, and the rest of its task, must have."""

PERMUTATIONS = 5000
SHUFFLED = 200_000_000
"""Values to shuffle in all; beyond it there are fewer permutations, but 1,000 at least."""
CELLS = 4_000_000
"""Shuffled values held at once."""

LENGTHS = ("short", "medium", "long")


@dataclass(frozen=True)
class Candidates:
    """The slices of one task that are to be looked at.

    Attributes:
        slices: k of them.
        members: Which item is in which, booleans, shape [n, k].
        values: What is compared, shape [n].
        clusters: Shape [n]; equal numbers are shuffled together.
    """

    slices: tuple[Slice, ...]
    members: np.ndarray
    values: np.ndarray
    clusters: np.ndarray


def candidates(items: TaskItems, values: np.ndarray) -> Candidates:
    """Every slice of a task that is large enough, and leaves enough.

    Args:
        items: Of one task.
        values: What is to be compared, shape [n].
    """
    found, columns = [], []
    for slice_, member in _slices(items):
        size = int(member.sum())
        if min(size, len(items) - size) >= SMALLEST:
            found.append(slice_)
            columns.append(member)
    members = np.array(columns, dtype=bool).reshape(len(found), len(items)).T
    return Candidates(tuple(found), members, values, items.clusters)


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
    """How many permutations a run of so many items gets."""
    return max(1000, min(PERMUTATIONS, SHUFFLED // max(1, items)))


def adjusted_p(
    tasks: Mapping[str, Candidates], seed: int, permutations: int
) -> dict[str, np.ndarray]:
    """Family-wise p-values: how often shuffling finds so large a difference anywhere.

    Args:
        tasks: By name; tasks are shuffled independently of each other.
        seed: Of the shuffles.
        permutations: How many; the smallest p is 1 / (permutations + 1).

    Returns:
        By task, shape [k]; 1 where shuffling cannot change the slice's mean.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    scores = {
        name: _standardised(_slice_sums(task, generator, permutations))
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
    """Sums of values in each slice, as observed (row 0) and shuffled, shape [1 + B, k]."""
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
    """The items of all clusters of each size, a cluster a row."""
    order = np.argsort(clusters, kind="stable")
    _, starts, counts = np.unique(clusters[order], return_index=True, return_counts=True)
    return [order[starts[counts == size][:, None] + np.arange(size)] for size in np.unique(counts)]


def _shuffled(values: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Rows in random order, and within each row too; shape [number, values.size]."""
    clusters, size = values.shape
    order = generator.permuted(np.tile(np.arange(clusters), (number, 1)), axis=1)
    moved = values[order]
    if size > 1:
        moved = generator.permuted(moved, axis=2)
    return moved.reshape(number, -1)


def _standardised(sums: np.ndarray) -> np.ndarray:
    """Each column on a normal scale: mean 0, variance 1, skewness taken out."""
    # The moments are those of shuffling alone: a large effect in row 0 would shrink its own scale.
    mean, deviation = sums[1:].mean(axis=0), sums[1:].std(axis=0)
    varies = deviation > 1e-9 * np.maximum(1, np.abs(mean))
    z = np.where(varies, (sums - mean) / np.where(varies, deviation, 1.0), 0.0)
    skew = (z[1:] ** 3).mean(axis=0)
    skewed = np.abs(skew) > 1e-3
    g = np.where(skewed, skew, 1.0)
    straight = 6 / g * (np.cbrt(1 + g * z / 2) - 1) + g / 6
    return np.where(skewed, straight, z)


def _step_down(scores: np.ndarray) -> np.ndarray:
    """Adjusted p-values from absolute scores [1 + B, k], of which row 0 was observed."""
    observed = scores[0]
    order = np.argsort(-observed, kind="stable")
    # The best of a shuffle among the slices that are not more conspicuous than this one. Ties in
    # floating point must count as ties.
    best = np.maximum.accumulate(scores[:, order[::-1]], axis=1)[:, ::-1]
    reached = (best >= observed[order] * (1 - 1e-9)).mean(axis=0)
    p = np.empty(len(observed))
    p[order] = np.maximum.accumulate(reached)
    return np.where(observed > 0, p, 1.0)


def significant(task: Candidates, p: np.ndarray, seed: int) -> list[int]:
    """Places of the slices that differ and are no shadow of another, the clearest first.

    A weak label makes the lengths weak in which it is frequent, and the other labels strong. So a
    slice counts only if it still differs without the items of those found before it.

    Args:
        task: Its slices.
        p: Adjusted, shape [k].
        seed: Of the second look's shuffles.
    """
    sizes = task.members.sum(axis=0)
    rest = len(task.values) - sizes
    sums = task.values @ task.members
    difference = sums / sizes - (task.values.sum() - sums) / rest
    clarity = np.abs(difference) * np.sqrt(sizes * rest)
    # Two slices that are each other's rest are equally clear: the weak one is told.
    order = np.lexsort((difference, -np.round(clarity, 9), p))
    found: list[int] = []
    left = np.ones(len(task.values), dtype=bool)
    for place in (int(k) for k in order if p[k] <= ALPHA):
        if not found or _still_differs(task, place, left, seed):
            found.append(place)
            left &= ~task.members[:, place]
    return found


def _still_differs(task: Candidates, place: int, left: np.ndarray, seed: int) -> bool:
    """Whether a slice differs from its rest among the items that are left."""
    member = task.members[left][:, [place]]
    if min(member.sum(), (~member).sum()) < SMALLEST:
        return False
    again = Candidates((task.slices[place],), member, task.values[left], task.clusters[left])
    return bool(adjusted_p({"": again}, seed, 1000)[""][0] <= ALPHA)
