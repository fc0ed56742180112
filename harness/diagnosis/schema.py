"""The content of `diagnosis.json`, one dataclass per object of the file.

These classes *are* the schema: `record.load` accepts exactly their fields and types, and training
reads nothing else. `docs/diagnosis.md` says the same in prose. A change of meaning raises
`SCHEMA_VERSION`.

Units: *points* are percent of the task's metric; *skill* is chance-corrected, 0 at the task's
chance level (or below) and 100 at the ceiling; shares and values are 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ...tasks.schema import Failure
from .task_schema import Estimate, Slice, Strict, TaskDiagnosis

SCHEMA_VERSION = 1
TRAINABLE = "diagnose"
"""The partition that training decisions may look at."""

Term = Literal["pattern", "length", "language", "answer"]
"""Reward terms that a hint can ask for."""


@dataclass(frozen=True, slots=True)
class Capability(Strict):
    """One line of the capability map.

    Attributes:
        name: The capability.
        tasks: Those with a score.
        skill: Mean over its categories of the mean over their tasks.
    """

    name: str
    tasks: tuple[str, ...]
    skill: Estimate


@dataclass(frozen=True, slots=True)
class Weakness(Strict):
    """One line of the ranked list; a task is in it once.

    Attributes:
        rank: From 1.
        task: Its name.
        slice: The weak slice that names it; None: no slice is weaker than the rest.
        failure: The kind that makes it.
        gap: Of the task or its worst slice, whichever is larger beyond noise; in points of skill.
        weight: The task's.
        priority: `max(0, gap.low) * weight`.
    """

    rank: int
    task: str
    slice: Slice | None
    failure: Failure | None
    gap: Estimate
    weight: float
    priority: float


@dataclass(frozen=True, slots=True)
class Bucket(Strict):
    """A failure bucket: rows of the training corpus that match it are what stage 2 needs.

    Attributes:
        task, capability: The registry's.
        slice: None: any row of the task.
        failure: The kind that makes it.
        gap: In points of skill.
        priority: As of a weakness.
        n: Items of the `diagnose` partition in task and slice.
        items: Ids of those that failed: evidence, never to be trained on.
    """

    task: str
    capability: str
    slice: Slice | None
    failure: Failure | None
    gap: Estimate
    priority: float
    n: int
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RewardHint(Strict):
    """A term that the reward of a task should get in stage 3.

    Attributes:
        task: Its name.
        term: `pattern` (an answer that can be read), `length` (the answer ends in time),
            `language` (it is in the right one), `answer` (there is one at all).
        kinds: The failures that speak for it.
        share, low: Their share of all answers, and its lower 95 % bound (Wilson, by cluster).
        n: Items behind it.
    """

    task: str
    term: Term
    kinds: tuple[Failure, ...]
    share: float
    low: float
    n: int


@dataclass(frozen=True, slots=True)
class PublishedFigure(Strict):
    """A printed figure beside ours, both under official scoring.

    Attributes:
        name: Of the category, `benchmark/category`.
        printed: In points.
        score: Ours on all samples of the run; its values None where the run has none.
        gap: Printed minus ours.
        rank: From 1, by `gap.low`; None where the two may not be ranked.
        why_not: Why not; "" where they may.
    """

    name: str
    printed: float
    score: Estimate
    gap: Estimate
    rank: int | None
    why_not: str


@dataclass(frozen=True, slots=True)
class Published(Strict):
    """One row of a published table.

    Attributes:
        row: The model.
        source: Paper, table and version.
        figures: In the order of the table.
    """

    row: str
    source: str
    figures: tuple[PublishedFigure, ...]


@dataclass(frozen=True, slots=True)
class Subject(Strict):
    """The run that was diagnosed: name of its folder, model, and the model's fingerprint."""

    name: str
    model: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Method(Strict):
    """How the figures were made.

    Attributes:
        seed: Of bootstrap and permutations.
        resamples, permutations: How many.
        level: Of the intervals.
        alpha: Chance of any false slice in the whole file.
        slices: How many were looked at.
        smallest_slice: Items that a slice, and the rest, must have.
        smallest_task: Clusters that a task must have for an interval.
        hint_share: A hint is given where the lower bound of the share reaches this.
    """

    seed: int
    resamples: int
    permutations: int
    level: float
    alpha: float
    slices: int
    smallest_slice: int
    smallest_task: int
    hint_share: float


@dataclass(frozen=True, slots=True)
class Diagnosis(Strict):
    """The whole file.

    Attributes:
        schema_version: `SCHEMA_VERSION`.
        redone: Version that wrote it.
        run: What was diagnosed.
        partition: Which items; buckets and hints exist for `diagnose` only.
        scoring: Its role, `corrected` or `official`.
        reference: Kind of the references.
        against: The run that is the reference, None for another kind.
        method: How the figures were made.
        tasks: By name, in the order of the tables.
        capabilities: The map, the weakest first.
        weaknesses, buckets: By falling priority; those with a gap beyond noise.
        hints: By task, then falling share.
        published: None unless asked for.
        notes: What a reader must know.
    """

    schema_version: int
    redone: str
    run: Subject
    partition: str
    scoring: str
    reference: Literal["ceiling", "target", "run"]
    against: str | None
    method: Method
    tasks: Mapping[str, TaskDiagnosis]
    capabilities: tuple[Capability, ...]
    weaknesses: tuple[Weakness, ...]
    buckets: tuple[Bucket, ...]
    hints: tuple[RewardHint, ...]
    published: Published | None
    notes: tuple[str, ...]
