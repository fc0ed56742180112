"""What `diagnosis.json` says of one task; `schema` has the rest of the file and the units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ...tasks.schema import Failure


class Strict:
    """Read from a file, an object has all of its fields, each of its type, and no other."""

    __slots__ = ()
    __pydantic_config__: ClassVar = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass(frozen=True, slots=True)
class Estimate(Strict):
    """A figure with its 95 % interval; None where undefined (no item, or too few for one)."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Slice(Strict):
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
class FailureShare(Strict):
    """How often answers failed in one way.

    Attributes:
        share: Of all answers, 0..1, each item counting once however many draws it has.
        low, high: Wilson's 95 % interval with one trial per cluster.
    """

    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SliceDifference(Strict):
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
class Confusion(Strict):
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
class Solvability(Strict):
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
class Reference(Strict):
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
class TaskDiagnosis(Strict):
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
