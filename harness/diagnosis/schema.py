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

SCHEMA_VERSION = 1
TRAINABLE = "diagnose"
"""The partition that training decisions may look at."""

Term = Literal["pattern", "length", "language", "answer"]
"""Reward terms that a hint can ask for."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval; None where undefined (no item, or too few for one)."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Slice:
    """Some items of a task, told in what training rows have too.

    Attributes:
        field: What the items have in common.
        name: The tag's name where `field` is `tag`, else "".
        value: The language, label or tag; `short`, `medium` or `long` for a length.
        characters: For a length, the range [low, high) of the item's text fields together; None at
            an open end, and for every other field.
    """

    field: Literal["language", "label", "length", "tag"]
    name: str
    value: str
    characters: tuple[int | None, int | None] | None

    def matches(self, language: str, tags: Mapping[str, str], characters: int) -> bool:
        """Whether an item or a training row belongs to the slice.

        Args:
            language: ISO 639-1 code.
            tags: Its tags; the gold label is the tag `label`.
            characters: `tasks.sources.characters` of its fields.
        """
        if self.field == "language":
            return language == self.value
        if self.characters is not None:
            low, high = self.characters
            return (low is None or characters >= low) and (high is None or characters < high)
        return tags.get("label" if self.field == "label" else self.name) == self.value

    def __str__(self) -> str:
        if self.characters is not None:
            low, high = self.characters
            ends = [f"{low} <= "] * (low is not None), [f" < {high}"] * (high is not None)
            return f"{''.join(ends[0])}length{''.join(ends[1])}"
        return f"{self.name or self.field}={self.value}"


@dataclass(frozen=True, slots=True)
class FailureShare:
    """How often answers failed in one way.

    Attributes:
        share: Of all answers, 0..1, each item counting once however many draws it has.
        low, high: Wilson's 95 % interval with one trial per cluster.
    """

    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SliceDifference:
    """A slice that differs from the rest of its task beyond chance.

    Attributes:
        slice: Which items.
        n, rest: Items in the slice, and in the rest of the task.
        value, rest_value: Their mean values, 0..1.
        difference: Slice minus rest in points of mean value, below 0 where the slice is weaker;
            against another run, of the values less that run's.
        p: Adjusted for every slice of every task that was looked at.
        failure: The kind that is most over-represented in the slice; None where it is not weaker.
        failures: Share of each kind among the slice's answers.
        gap: As the task's gap, of this slice; None where the task has none.
    """

    slice: Slice
    n: int
    rest: int
    value: float
    rest_value: float
    difference: Estimate
    p: float
    failure: Failure | None
    failures: Mapping[str, float]
    gap: Estimate | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """A wrong label given for a gold label.

    Attributes:
        gold, answer: The labels.
        count: Answers.
        of: All answers to items with this gold label.
    """

    gold: str
    answer: str
    count: int
    of: int


@dataclass(frozen=True, slots=True)
class Solvability:
    """What several sampled answers per item show: RL can use `sometimes`, only SFT teaches `never`.

    Attributes:
        draws: Answers per item (the fewest of any item).
        threshold: An answer solves its item if its value reaches this.
        always, sometimes, never: Shares of the items, adding up to 1.
    """

    draws: int
    threshold: float
    always: float
    sometimes: float
    never: float


@dataclass(frozen=True, slots=True)
class Reference:
    """What a task is measured against.

    Attributes:
        kind: The `ceiling` of 100 points, a `target` of the user's, or another `run`.
        score: In points.
        skill: The same, chance-corrected.
    """

    kind: Literal["ceiling", "target", "run"]
    score: float
    skill: float


@dataclass(frozen=True, slots=True)
class TaskDiagnosis:
    """Everything about one task.

    Attributes:
        title, category, capability: The registry's.
        scoring, metric: Names of the scoring and its primary metric.
        chance: What guessing reaches, in points.
        n, clusters: Items, and independent groups of them.
        draws: Most answers per item.
        not_scored: Items left out (a service was missing, or the value is no number).
        score: Of the metric, in points.
        skill: The same, chance-corrected.
        value: Mean value, 0..1.
        reference: None where the task has none (no target named, not in the other run).
        gap: Reference minus score, in points of skill.
        weight: What a point of the gap counts.
        failures: Every kind.
        slices: Those that differ from the rest, the weakest first.
        confusions: The most frequent first; empty for open tasks.
        solvability: None with one answer per item.
        notes: What a reader must know.
    """

    title: str
    category: str
    capability: str
    scoring: str
    metric: str
    chance: float
    n: int
    clusters: int
    draws: int
    not_scored: int
    score: Estimate
    skill: Estimate
    value: float | None
    reference: Reference | None
    gap: Estimate | None
    weight: float
    failures: Mapping[str, FailureShare]
    slices: tuple[SliceDifference, ...]
    confusions: tuple[Confusion, ...]
    solvability: Solvability | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Capability:
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
class Weakness:
    """One line of the ranked list; a task is in it once.

    Attributes:
        rank: From 1.
        task: Its name.
        slice: Where it is worst beyond noise; None: the task as a whole.
        failure: The kind that makes it.
        gap: Of the slice or the task, in points of skill.
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
class Bucket:
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
class RewardHint:
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
class PublishedFigure:
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
class Published:
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
class Subject:
    """The run that was diagnosed: name of its folder, model, and the model's fingerprint."""

    name: str
    model: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Method:
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
class Diagnosis:
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
