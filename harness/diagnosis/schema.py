"""The schema of `diagnosis.json`: its dataclasses, `write_diagnosis` and `read_diagnosis`.

The dataclasses are the format: reading accepts exactly their fields and types, and training reads
nothing else. `docs/diagnosis.md` describes them in prose. A change of meaning raises
`SCHEMA_VERSION`.

Units: *points* are percent of the task's metric; *skill* is chance-corrected, 0 at the task's
chance level (or below) and 100 at the ceiling; shares and values are 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from ...tasks.errors import BadRow
from ...tasks.schema import Failure
from ..json_file import Strict, read_json, to_json, write_file

SCHEMA_VERSION = 2
TRAINABLE = "diagnose"
"""The only partition that training decisions may use."""

DIGITS = 6
"""Decimals of figures in the file."""

Observed = Literal["format", "truncated", "language", "no_answer"]
"""What a hint says was seen: answers that cannot be parsed, that hit the token limit, that are in
the wrong language, or that are empty or a refusal."""

_OBSERVED_OF: Mapping[str, str] = dict(
    pattern="format", length="truncated", language="language", answer="no_answer"
)
"""Hints of schema version 1 named the term of a reward."""


@dataclass(frozen=True, slots=True)
class Estimate(Strict):
    """A figure with its 95 % interval; None where undefined (no item, or too few for it)."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Slice(Strict):
    """Some items of a task, described by a field that training rows have too.

    `name` is the tag's for a `tag`, else ""; `value` the language, label or tag, or `short`,
    `medium`, `long` for a length. `characters` is the range [low, high) of a length: of the item's
    text fields in total, None at an open end and for every other field.
    """

    field: Literal["language", "label", "length", "tag"]
    name: str
    value: str
    characters: tuple[int | None, int | None] | None

    def matches(self, language: str, tags: Mapping[str, str], characters: int) -> bool:
        """Whether an item or a training row of that language (ISO 639-1) belongs to the slice.

        The gold label is the tag `label`; `characters` is `tasks.sources.characters` of its fields.
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
            left = "" if low is None else f"{low} <= "
            return f"{left}length" + ("" if high is None else f" < {high}")
        return f"{self.name or self.field}={self.value}"


@dataclass(frozen=True, slots=True)
class FailureShare(Strict):
    """The share of all answers, 0..1, that failed in one way; every item counts once.

    The interval is Wilson's at 95 % with one trial per cluster.
    """

    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SliceDifference(Strict):
    """A slice whose difference from the rest of its task is statistically significant.

    Attributes:
        n, rest: Items in the slice, and in the rest of the task; `value` and `rest_value` are
            their mean values, 0..1.
        difference: Slice minus rest in points of mean value, below 0 if the slice is weaker; if the
            reference is another run, of the difference to that run's values.
        p: Adjusted for all slices of all tasks that were tested (family-wise).
        failure: The kind that is most over-represented in the slice; None if it is not weaker.
        failures: Share of each kind among the slice's answers.
        gap: The task's gap, for this slice; None where the task has none.
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
    """Of the `of` answers to items with the label `gold`, `count` give the wrong label `answer`."""

    gold: str
    answer: str
    count: int
    of: int


@dataclass(frozen=True, slots=True)
class Solvability(Strict):
    """Shares of items, adding up to 1, that sampled answers solve always, sometimes or never.

    RL has a signal on `sometimes`; `never` needs SFT. An answer solves its item if its value
    reaches `threshold`; `draws` is the fewest answers of any item.
    """

    draws: int
    threshold: float
    always: float
    sometimes: float
    never: float


@dataclass(frozen=True, slots=True)
class Reference(Strict):
    """What a task is measured against: 100 points, a target of the user's, or another run.

    `skill` is None where the task's chance level is unknown.
    """

    kind: Literal["ceiling", "target", "run"]
    score: float
    skill: float | None


@dataclass(frozen=True, slots=True)
class TaskDiagnosis(Strict):
    """Everything about one task.

    Attributes:
        chance: Score of the best trivial baseline, in points; None if unknown: then there is no
            skill and no gap either.
        n, clusters: Items, and independent groups of them.
        draws: Largest number of answers per item.
        not_scored: Items left out (a service was missing, or the value is no number).
        score: Of the primary `metric`, in points; `skill` is the same, chance-corrected.
        value: Mean value, 0..1.
        reference: None where the task has none (no target named, not in the other run).
        gap: Reference minus score, in points of skill; `weight` is the gap's in the ranking.
        slices: Those that differ significantly from the rest, the weakest first.
        confusions: The most frequent first; empty for open tasks.
        solvability: None with one answer per item.
        notes: Limitations of the figures.
    """

    title: str
    category: str
    capability: str
    scoring: str
    metric: str
    chance: float | None
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
class Capability(Strict):
    """One line of the capability map; `skill` is the mean over categories of task means."""

    name: str
    tasks: tuple[str, ...]
    skill: Estimate


@dataclass(frozen=True, slots=True)
class Weakness(Strict):
    """One line of the ranked list; a task is in it once.

    Attributes:
        rank: From 1.
        slice: The weakest slice; None: no slice is weaker than the rest.
        failure: The main kind.
        gap: Of the task or its weakest slice, whichever has the higher lower end; points of skill.
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
    """A failure bucket: a weakness in terms that rows of a training corpus can be matched with.

    Without a slice it means any row of the task. `n` counts the items of the `diagnose` partition
    in task and slice; `items` are the ids of those that failed, as evidence: they are never trained
    on. The other fields are those of a `Weakness`.
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
class FailureHint(Strict):
    """A failure of form that is frequent on one task: among its `n` items.

    `share` is that of the failure `kinds` among all answers, `low` its lower 95 % bound (Wilson, by
    cluster).
    """

    task: str
    observed: Observed
    kinds: tuple[Failure, ...]
    share: float
    low: float
    n: int


@dataclass(frozen=True, slots=True)
class PublishedFigure(Strict):
    """The published figure of a `benchmark/category` and ours, in points of official scoring.

    `score` is ours on all samples of the run, `gap` is printed minus ours. `rank` is from 1, by
    `gap.low`; None if the two are not comparable, and then `why_not` is the reason.
    """

    name: str
    printed: float
    score: Estimate
    gap: Estimate
    rank: int | None
    why_not: str


@dataclass(frozen=True, slots=True)
class Published(Strict):
    """The figures of the model `row` in a published table; `source` is paper, table and version."""

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
    """How the figures were computed.

    Attributes:
        level: Of the intervals.
        alpha: Family-wise error rate of the slices in the file.
        slices: How many were tested.
        smallest_slice: Smallest number of items of a slice, and of the rest.
        smallest_task: Smallest number of clusters of a task with an interval.
        hint_share: A hint requires a lower bound of the share of at least this.
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
        redone: Version that wrote it.
        partition: Which items; buckets and hints exist for `diagnose` only.
        scoring: Its role, `corrected` or `official`.
        reference: Kind of the references; `against` is the run, if it is one.
        tasks: By name, in the order of the tables.
        capabilities: The map, the weakest first.
        weaknesses, buckets: Those with a significant gap, by decreasing priority.
        hints: By task, then by decreasing share.
        published: None unless requested.
        notes: Limitations of the diagnosis.
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
    hints: tuple[FailureHint, ...]
    published: Published | None
    notes: tuple[str, ...]


def write_diagnosis(diagnosis: Diagnosis, path: Path) -> bytes:
    """Writes the file whole or not at all, figures to six decimals; returns its content.

    Raises:
        RedoneError: It cannot be written there.
    """
    content = to_json(_rounded(orjson.loads(orjson.dumps(diagnosis))))
    write_file(path, content)
    return content


def read_diagnosis(path: str | Path) -> Diagnosis:
    """Reads a diagnosis of this schema version or of version 1.

    Raises:
        MissingData: There is no such file.
        BadRow: It is not a diagnosis; names the field, what was expected and what was found.
    """
    path = Path(path)
    fix = "`redone diagnose RUN` writes it (docs/diagnosis.md)."
    diagnosis = read_json(path, SCHEMA_VERSION, Diagnosis, fix, _upgrade)
    _check(diagnosis, path)
    return diagnosis


def _upgrade(raw: dict[str, Any]) -> None:
    """Makes the content of version 1 that of version 2."""
    if raw.get("schema_version") != 1:
        return
    raw["schema_version"] = 2
    hints = raw.get("hints")
    for hint in hints if isinstance(hints, list) else ():
        if isinstance(hint, dict) and isinstance(term := hint.pop("term", None), str):
            hint["observed"] = _OBSERVED_OF.get(term, term)


def _check(diagnosis: Diagnosis, path: Path) -> None:
    """Checks what types do not express."""
    for name in ("weaknesses", "buckets", "hints"):
        for place, part in enumerate(getattr(diagnosis, name)):
            if part.task not in diagnosis.tasks:
                raise BadRow(
                    f"{path}, field {name}.{place}.task: {part.task!r} is not a task of the file."
                )
    if diagnosis.partition != TRAINABLE and (diagnosis.buckets or diagnosis.hints):
        raise BadRow(
            f"{path} has buckets or hints of partition {diagnosis.partition!r}; only "
            f"{TRAINABLE!r} may inform training."
        )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(v) for name, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
