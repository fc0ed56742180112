"""Stage 2's rows: the failure buckets of a diagnosis, filled from the corpus (RedOne 2.0, 3.2).

A bucket is (task, slice), the slice told in what a row has too. A row belongs to the slice of the
highest priority among those that it matches, else to the bucket of its whole task. The budget is
parted twice:

    capability c:   evenness / C + (1 - evenness) * P(c) / sum of P
    bucket b of c:  p(b) * rows(b) ** (1 - rarity)

p(b) is the bucket's priority. A slice takes that of its whole task if that is higher (it has fewer
items, so a wider interval); what is left of a task beside its weak slices has `contrast` times the
priority: such rows are no weakness, but without them one label would be learnt for all. C is the
number of capabilities with a bucket to fill, P(c) the sum over tasks of their highest p. So every
capability is there, important buckets get more, and of a small bucket a larger part is taken.

Inside a bucket a row's chance is its weight times `cell ** -rarity`, its cell being the rows of the
bucket with its language and label: rare labels are not drowned. What a group cannot fill goes to
the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...harness.diagnosis.schema import Bucket, Diagnosis
from ...tasks.errors import RedoneError
from ...tasks.sources import characters
from ..errors import NothingToTarget
from .contamination import EvaluationItems, only_diagnose
from .decisions import Decision
from .mixing import balanced, checked
from .quotas import apportioned, by_label, drawn, mixed, parted, shares_checked
from .row import CorpusRow

GENERAL_SHARE = 100 / 1800
"""100K general rows in 1.8M: 5.6 %."""


@dataclass(frozen=True, slots=True)
class SelectSettings:
    """How rows are selected.

    Attributes:
        budget: Rows in all; None: every row that matches, with general ones to their share.
        general_share: Of general rows in the whole, 0..1.
        evenness: How far capabilities share alike, 0 (by priority) to 1 (the same for each).
        contrast: What the rest of a task counts beside its weak slices, above 0 and up to 1.
        rarity: How far small buckets and rare labels are preferred, 0 (not) to 1.
        seed: Of the draw.
    """

    budget: int | None = None
    general_share: float = GENERAL_SHARE
    evenness: float = 0.5
    contrast: float = 0.5
    rarity: float = 0.5
    seed: int = 0


@dataclass(frozen=True, slots=True)
class BucketShare:
    """What one bucket, or a general task, got.

    Attributes:
        name: The bucket as `task` or `task slice`; the task of general rows.
        capability, failure, gap, priority: The bucket's; of general rows "", None, None and 0.
        general: Whether these are general rows.
        rows: That belong to it.
        drawn: Those that were drawn.
        share: Of the selection, 0..1.
    """

    name: str
    capability: str
    failure: str | None
    gap: float | None
    priority: float
    general: bool
    rows: int
    drawn: int
    share: float


@dataclass(frozen=True, slots=True)
class Selection:
    """What stage 2 learns from.

    Attributes:
        rows: In the order of training, mixed.
        shares: By falling priority, also of buckets that no row fills; then general tasks.
        decisions: For every row that was offered.
    """

    rows: tuple[CorpusRow, ...]
    shares: tuple[BucketShare, ...]
    decisions: tuple[Decision, ...]

    def table(self) -> str:
        """The shares as a table in Markdown."""
        lines = ["| bucket | capability | failure | gap | rows | drawn | share |"]
        lines.append("|---|---|---|---:|---:|---:|---:|")
        for s in self.shares:
            name, gap = f"general: {s.name}" if s.general else s.name, s.gap
            cells = (name, s.capability, s.failure or "", "" if gap is None else f"{gap:.1f}")
            lines.append(f"| {' | '.join(cells)} | {s.rows} | {s.drawn} | {s.share:.1%} |")
        return "\n".join(lines) + "\n"


def select(
    rows: Sequence[CorpusRow],
    diagnosis: Diagnosis,
    settings: SelectSettings,
    items: EvaluationItems,
) -> Selection:
    """Selects rows; the same rows, diagnosis, settings and seed give the same ones, bit for bit.

    Args:
        rows: Of the corpus, ids all different; general ones are not held against buckets.
        diagnosis: Of partition `diagnose`.
        settings: How.
        items: What must not be trained on.

    Raises:
        NothingToTarget: The diagnosis shows no bucket, or no row belongs to one.
        RedoneError: The diagnosis is of another partition, a row is an evaluation item, an id comes
            twice, or a setting is not possible.
    """
    only_diagnose(diagnosis.partition, f"The diagnosis of {diagnosis.run.name!r}")
    _possible(settings)
    checked(rows, items)
    _no_evidence(rows, diagnosis)
    buckets = [bucket for bucket in diagnosis.buckets if bucket.priority > 0]
    if not buckets:
        raise NothingToTarget(
            f"The diagnosis of {diagnosis.run.name!r} has no failure bucket: no task lies below "
            "its reference beyond noise. There is nothing to target; leave stage 2 out, or "
            "diagnose more items."
        )
    filled: dict[int, list[CorpusRow]] = {}
    for row in rows:
        if not row.general and (place := bucket_of(row, buckets)) is not None:
            filled.setdefault(place, []).append(row)
    if not filled and settings.general_share < 1:
        raise NothingToTarget(
            f"No row of the corpus belongs to one of the {len(buckets)} failure buckets, of "
            f"{', '.join(sorted({b.task for b in buckets}))}. Add rows of these tasks."
        )
    general: dict[str, list[CorpusRow]] = {}
    for row in rows:
        if row.general:
            general.setdefault(row.task, []).append(row)
    targeted, beside = parted(
        sum(map(len, filled.values())),
        sum(map(len, general.values())),
        settings.general_share,
        settings.budget,
    )
    quotas = _quotas(filled, buckets, targeted, settings)
    beside_quotas = balanced(general, beside, 0.5)
    ids: set[str] = set()
    for place, quota in quotas.items():
        own, seed = filled[place], f"{settings.seed}|select|{name_of(buckets[place])}"
        ids |= drawn(own, by_label(own, settings.rarity), quota, seed)
    for task, quota in beside_quotas.items():
        own, seed = general[task], f"{settings.seed}|general|{task}"
        ids |= drawn(own, [row.weight for row in own], quota, seed)
    chosen = mixed(rows, ids, f"{settings.seed}|order")
    places = {row.id: place for place, own in filled.items() for row in own}
    return Selection(
        rows=tuple(chosen),
        shares=tuple(_shares(buckets, filled, general, ids, len(chosen))),
        decisions=tuple(
            _decision(row, diagnosis, buckets, places.get(row.id), row.id in ids) for row in rows
        ),
    )


def bucket_of(row: CorpusRow, buckets: Sequence[Bucket]) -> int | None:
    """The place of the bucket that a row belongs to, None where it matches none.

    Args:
        row: Of the corpus.
        buckets: By falling priority, as a diagnosis has them.
    """
    own = [(place, b.slice) for place, b in enumerate(buckets) if b.task == row.task]
    for place, part in own:
        if part is not None and part.matches(row.language, row.tags, characters(row.fields)):
            return place
    return next((place for place, part in own if part is None), None)


def name_of(bucket: Bucket) -> str:
    """A bucket for people: `task`, or `task label=irony`."""
    return bucket.task if bucket.slice is None else f"{bucket.task} {bucket.slice}"


def _possible(settings: SelectSettings) -> None:
    if not 0 < settings.contrast <= 1:
        raise RedoneError(
            f"A contrast of {settings.contrast} is not possible: above 0 and up to 1 is expected."
        )
    shares_checked(evenness=settings.evenness, rarity=settings.rarity)


def _no_evidence(rows: Sequence[CorpusRow], diagnosis: Diagnosis) -> None:
    evidence = {item for bucket in diagnosis.buckets for item in bucket.items}
    if found := [row.id for row in rows if row.id in evidence]:
        raise RedoneError(
            f"Row {found[0]!r} is an item on which the diagnosis of {diagnosis.run.name!r} rests. "
            "Evidence is never trained on; only rows that are like it are."
        )


def _quotas(
    filled: Mapping[int, Sequence[CorpusRow]],
    buckets: Sequence[Bucket],
    total: int,
    settings: SelectSettings,
) -> dict[int, int]:
    """Rows to draw of each bucket, by its place."""
    rows = {place: len(own) for place, own in filled.items()}
    importance = _importance(buckets, settings.contrast)
    within: dict[str, list[int]] = {}
    highest: dict[tuple[str, str], float] = {}
    for place in filled:
        bucket = buckets[place]
        within.setdefault(bucket.capability, []).append(place)
        key = (bucket.capability, bucket.task)
        highest[key] = max(highest.get(key, 0.0), importance[place])
    whole = sum(highest.values())
    need = {c: sum(p for (of, _), p in highest.items() if of == c) / whole for c in within}
    capabilities = apportioned(
        {c: settings.evenness / len(within) + (1 - settings.evenness) * need[c] for c in within},
        {c: sum(rows[place] for place in within[c]) for c in within},
        total,
    )
    quotas: dict[int, int] = {}
    for capability, places in within.items():
        quotas |= apportioned(
            {p: importance[p] * rows[p] ** (1 - settings.rarity) for p in places},
            {p: rows[p] for p in places},
            capabilities[capability],
        )
    return quotas


def _importance(buckets: Sequence[Bucket], contrast: float) -> list[float]:
    whole = {b.task: b.priority for b in buckets if b.slice is None}
    sliced = {b.task for b in buckets if b.slice is not None}
    return [
        max(b.priority, whole.get(b.task, 0.0))
        if b.slice is not None
        else b.priority * (contrast if b.task in sliced else 1.0)
        for b in buckets
    ]


def _decision(
    row: CorpusRow, diagnosis: Diagnosis, buckets: Sequence[Bucket], place: int | None, kept: bool
) -> Decision:
    if row.general:
        if kept:
            return Decision(row.id, row.task, 1, "general", "Drawn for the general share.")
        text = "The general share is full without it."
        return Decision(row.id, row.task, 0, "general share", text)
    if place is None:
        if any(bucket.task == row.task for bucket in buckets):
            why, text = "outside", f"It lies outside the weak slices of {row.task}."
        elif row.task not in diagnosis.tasks:
            why, text = "not diagnosed", f"The diagnosis says nothing of {row.task}."
        else:
            why, text = "not weak", f"{row.task} shows no gap beyond noise."
        return Decision(row.id, row.task, 0, why, text)
    bucket = buckets[place]
    name, more = name_of(bucket), {"priority": round(bucket.priority, 6)}
    if kept:
        text = f"Drawn for the bucket {name}" + (f" ({bucket.failure})." if bucket.failure else ".")
        return Decision(row.id, row.task, 1, "bucket", text, name, more)
    text = f"The quota of the bucket {name} is full without it."
    return Decision(row.id, row.task, 0, "quota", text, name, more)


def _shares(
    buckets: Sequence[Bucket],
    filled: Mapping[int, Sequence[CorpusRow]],
    general: Mapping[str, Sequence[CorpusRow]],
    ids: set[str],
    total: int,
) -> list[BucketShare]:
    def count(rows: Sequence[CorpusRow]) -> tuple[int, int, float]:
        number = sum(row.id in ids for row in rows)
        return len(rows), number, number / max(1, total)

    found = [
        BucketShare(
            name_of(b),
            b.capability,
            b.failure,
            b.gap.value,
            b.priority,
            False,
            *count(filled.get(place, ())),
        )
        for place, b in enumerate(buckets)
    ]
    found += [
        BucketShare(task, "", None, None, 0.0, True, *count(rows)) for task, rows in general.items()
    ]
    return found
