"""The ranked list of weaknesses and the failure buckets of stage 2 (RedOne 2.0, section 3.2).

A weakness's priority is its gap beyond noise times the weight of its task: `max(0, low) * weight`,
`low` being the lower end of the gap's 95 % interval. For a task it is the gap of the whole or of
its worst slice, whichever is larger in that measure. A task that has a weak slice is named by it:
the slice differs from the rest beyond chance, so the weakness is there. The weight is 1 / (tasks of
the task's suite in the run) unless given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...tasks.registry import SUITES, suite_tasks
from ...tasks.schema import Failure
from .failures import main_failure
from .items import TaskItems
from .schema import Bucket, Weakness
from .task_schema import Estimate, Slice, SliceDifference, TaskDiagnosis


def weights(names: Sequence[str], given: Mapping[str, float]) -> dict[str, float]:
    """What a point of each task's gap counts.

    Args:
        names: Tasks of the run that have items.
        given: Weights that replace the default.
    """
    suite_of = {task.name: suite for suite in SUITES for task in suite_tasks(suite)}
    suites = Counter(suite_of.get(name, "") for name in names)
    return {name: given.get(name, 1 / suites[suite_of.get(name, "")]) for name in names}


@dataclass(frozen=True)
class Region:
    """A task or one of its weak slices, with a gap beyond noise.

    Attributes:
        task: Its name.
        slice: None for the whole task.
        failure: The kind that makes it.
        gap: In points of skill; its lower end is above 0.
        weight, priority: See the module.
    """

    task: str
    slice: Slice | None
    failure: Failure | None
    gap: Estimate
    weight: float
    priority: float


def regions(tasks: Mapping[str, TaskDiagnosis], items: Mapping[str, TaskItems]) -> list[Region]:
    """Every region with a gap beyond noise, by falling priority."""
    found = [r for name, task in tasks.items() for r in _regions(name, task, items[name])]
    return sorted(found, key=_order)


def _regions(name: str, task: TaskDiagnosis, items: TaskItems) -> Iterator[Region]:
    if _beyond_noise(task.gap):
        failure = main_failure(items.failures.mean(axis=0))
        yield _region(name, None, failure, task.gap, task.weight)
    for part in task.slices:
        if is_weak(part) and _beyond_noise(part.gap):
            yield _region(name, part.slice, part.failure, part.gap, task.weight)


def is_weak(part: SliceDifference) -> bool:
    """Whether a slice lies below the rest of its task."""
    return part.difference.value is not None and part.difference.value < 0


def _beyond_noise(gap: Estimate | None) -> bool:
    return gap is not None and gap.low is not None and gap.low > 0


def _region(
    name: str, slice_: Slice | None, failure: Failure | None, gap: Estimate | None, weight: float
) -> Region:
    if gap is None or gap.low is None:
        raise ValueError("a region needs a gap")
    return Region(name, slice_, failure, gap, weight, max(0.0, gap.low) * weight)


def _order(region: Region) -> tuple[float, float, str]:
    # Equal to the sixth digit is equal: slices of one task then stay in order, the weakest first.
    return (-round(region.priority, 6), -round(region.gap.value or 0.0, 6), region.task)


def ranked(found: Sequence[Region]) -> tuple[Weakness, ...]:
    """The list of weaknesses: each task once.

    Args:
        found: By falling priority.
    """
    by_task: dict[str, list[Region]] = {}
    for region in found:
        by_task.setdefault(region.task, []).append(region)
    lines = []
    for rank, (task, own) in enumerate(by_task.items(), 1):
        named = next((r for r in own if r.slice is not None), own[0])
        gap, priority = own[0].gap, own[0].priority
        lines.append(Weakness(rank, task, named.slice, named.failure, gap, named.weight, priority))
    return tuple(lines)


def buckets(found: Sequence[Region], items: Mapping[str, TaskItems]) -> tuple[Bucket, ...]:
    """A bucket for every region, with the items that failed as evidence.

    Args:
        found: Regions of the `diagnose` partition.
        items: Of that partition.
    """
    return tuple(_bucket(region, items[region.task]) for region in found)


def _bucket(region: Region, items: TaskItems) -> Bucket:
    inside = np.ones(len(items), dtype=bool)
    if region.slice is not None:
        inside = np.array(
            [
                region.slice.matches(str(language), tags, int(characters))
                for language, tags, characters in zip(
                    items.languages, items.tags, items.characters, strict=True
                )
            ]
        )
    failed = inside & (items.failures.sum(axis=1) > 0)
    return Bucket(
        region.task,
        items.task.capability,
        region.slice,
        region.failure,
        region.gap,
        region.priority,
        int(inside.sum()),
        tuple(sample.decode() for sample in items.scores.samples[failed]),
    )
