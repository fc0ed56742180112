"""Rows of failure buckets: where a diagnosis shows a model weak (RedOne 2.0, section 3.2).

A bucket is (task, slice), the slice in terms of what a row has too. Domain rows go down this tree
(see `selection.py`):

    capability c:   evenness / C + (1 - evenness) * P(c) / sum of P
    bucket b of c:  p(b) * rows(b) ** (1 - label_balance)

p(b) is the bucket's priority. A slice takes that of its whole task if that is higher (it has fewer
items, so a wider interval); the rest of a task outside its weak slices has `background_weight`
times the priority: such rows are no weakness, but without them one label would be learned for all.
C is the number of capabilities with a bucket to fill, P(c) the sum over tasks of their highest p.
So every capability is represented, important buckets get more, and a larger part of a small bucket
is drawn. Rare labels of a bucket are preferred as far as `label_balance` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...harness.diagnosis.schema import Bucket, Diagnosis
from ...tasks.errors import RedoneError
from ...tasks.sources import characters
from ..rows import RowDecision, TrainingRow
from .contamination import EvaluationItems, only_diagnose
from .selection import (
    Part,
    Selection,
    SelectionSettings,
    checked,
    draw_kinds,
    grouped,
    mixed,
    shares_checked,
    task_parts,
    weighted,
)

GENERAL_SHARE = 100 / 1800
"""100K general rows in 1.8M: 5.6 %."""
LABEL_BALANCE = 0.5


class NothingToTarget(RedoneError):
    """A diagnosis gives a targeted stage nothing to learn: the stage is skipped."""


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


def failure_rows(
    rows: Sequence[TrainingRow],
    diagnosis: Diagnosis,
    settings: SelectionSettings,
    items: EvaluationItems,
) -> Selection[BucketShare]:
    """Draws rows of failure buckets; same rows, diagnosis and settings give the same, bit for bit.

    The diagnosis is of partition `diagnose`; general rows are not compared with buckets.

    Raises:
        NothingToTarget: The diagnosis shows no bucket, or no row belongs to one.
        RedoneError: The diagnosis is of another partition, a row is an evaluation item, an id comes
            twice, or a setting is not possible.
    """
    only_diagnose(diagnosis.partition, f"The diagnosis of {diagnosis.run.name!r}")
    if not 0 < settings.background_weight <= 1:
        raise RedoneError(
            f"A background weight of {settings.background_weight} is not possible: above 0 and up "
            "to 1 is expected."
        )
    label_balance = LABEL_BALANCE if settings.label_balance is None else settings.label_balance
    shares_checked(evenness=settings.evenness, label_balance=label_balance)
    checked(rows, items)
    _no_evidence(rows, diagnosis)
    buckets = [bucket for bucket in diagnosis.buckets if bucket.priority > 0]
    if not buckets:
        raise NothingToTarget(
            f"The diagnosis of {diagnosis.run.name!r} has no failure bucket: no task is "
            "significantly below its reference. There is nothing to target; leave stage 2 out, or "
            "diagnose more items."
        )
    domain_rows = [row for row in rows if not row.general]
    places = {r.id: found for r in domain_rows if (found := bucket_of(r, buckets)) is not None}
    if not places and settings.share_or(GENERAL_SHARE) < 1:
        raise NothingToTarget(
            f"No row of the corpus belongs to one of the {len(buckets)} failure buckets, of "
            f"{', '.join(sorted({b.task for b in buckets}))}. Add rows of these tasks."
        )
    filled = grouped((row for row in rows if row.id in places), lambda row: places[row.id])
    general = task_parts(
        [row for row in rows if row.general],
        0.5,
        lambda task: weighted(0.0, f"{settings.seed}|general|{task}"),
    )
    domain = _capabilities(filled, buckets, settings, label_balance)
    ids = draw_kinds(domain, general, settings, GENERAL_SHARE)

    def count(rows: Sequence[TrainingRow]) -> tuple[int, int, float]:
        number = sum(row.id in ids for row in rows)
        return len(rows), number, number / max(1, len(ids))

    shares = [
        *(
            BucketShare(
                *(name_of(b), b.capability, b.failure, b.gap.value, b.priority, False),
                *count(filled.get(number, ())),
            )
            for number, b in enumerate(buckets)
        ),
        *(BucketShare(p.key, "", None, None, 0.0, True, *count(p.rows)) for p in general),
    ]
    return Selection(
        rows=tuple(mixed(rows, ids, f"{settings.seed}|order")),
        shares=tuple(shares),
        decisions=tuple(
            _decision(row, diagnosis, buckets, places.get(row.id), row.id in ids) for row in rows
        ),
    )


def bucket_of(row: TrainingRow, buckets: Sequence[Bucket]) -> int | None:
    """The number of the bucket that a row belongs to, None where it matches none.

    The slice of the highest priority among those that it matches, else the bucket of its whole
    task; buckets come by falling priority, as a diagnosis has them.
    """
    own = [(number, b.slice) for number, b in enumerate(buckets) if b.task == row.task]
    for number, part in own:
        if part is not None and part.matches(row.language, row.tags, characters(row.fields)):
            return number
    return next((number for number, part in own if part is None), None)


def name_of(bucket: Bucket) -> str:
    """A bucket for people: `task`, or `task label=irony`."""
    return bucket.task if bucket.slice is None else f"{bucket.task} {bucket.slice}"


def share_table(shares: Sequence[BucketShare]) -> str:
    """What each bucket got, as a table in Markdown."""
    lines = ["| bucket | capability | failure | gap | rows | drawn | share |"]
    lines.append("|---|---|---|---:|---:|---:|---:|")
    for s in shares:
        name, gap = f"general: {s.name}" if s.general else s.name, s.gap
        cells = (name, s.capability, s.failure or "", "" if gap is None else f"{gap:.1f}")
        lines.append(f"| {' | '.join(cells)} | {s.rows} | {s.drawn} | {s.share:.1%} |")
    return "\n".join(lines) + "\n"


def _no_evidence(rows: Sequence[TrainingRow], diagnosis: Diagnosis) -> None:
    evidence = {item for bucket in diagnosis.buckets for item in bucket.items}
    if found := [row.id for row in rows if row.id in evidence]:
        raise RedoneError(
            f"Row {found[0]!r} is an item on which the diagnosis of {diagnosis.run.name!r} is "
            "based. Evidence is never trained on; only rows that are like it are."
        )


def _capabilities(
    filled: Mapping[int, Sequence[TrainingRow]],
    buckets: Sequence[Bucket],
    settings: SelectionSettings,
    label_balance: float,
) -> list[Part]:
    """The tree of the domain rows: capabilities, and in each the buckets that have rows."""
    importance = _importance(buckets, settings.background_weight)
    within: dict[str, list[int]] = {}
    highest: dict[tuple[str, str], float] = {}
    for number in filled:
        of = (buckets[number].capability, buckets[number].task)
        within.setdefault(of[0], []).append(number)
        highest[of] = max(highest.get(of, 0.0), importance[number])
    whole = sum(highest.values())
    need = {c: sum(p for (of, _), p in highest.items() if of == c) / whole for c in within}

    def leaf(number: int) -> Part:
        rows, seed = filled[number], f"{settings.seed}|select|{name_of(buckets[number])}"
        weight = importance[number] * len(rows) ** (1 - label_balance)
        return Part(number, weight, rows, weighted(label_balance, seed))

    return [
        Part(
            capability,
            settings.evenness / len(within) + (1 - settings.evenness) * need[capability],
            parts=[leaf(number) for number in numbers],
        )
        for capability, numbers in within.items()
    ]


def _importance(buckets: Sequence[Bucket], background_weight: float) -> list[float]:
    whole = {b.task: b.priority for b in buckets if b.slice is None}
    sliced = {b.task for b in buckets if b.slice is not None}

    def of(bucket: Bucket) -> float:
        if bucket.slice is not None:
            return max(bucket.priority, whole.get(bucket.task, 0.0))
        return bucket.priority * (background_weight if bucket.task in sliced else 1.0)

    return list(map(of, buckets))


def _decision(
    row: TrainingRow,
    diagnosis: Diagnosis,
    buckets: Sequence[Bucket],
    number: int | None,
    kept: bool,
) -> RowDecision:
    if row.general and kept:
        return row.decided(1, "general", "Drawn for the general share.")
    if row.general:
        return row.decided(0, "general share", "The general share is full without it.")
    if number is None:
        if any(bucket.task == row.task for bucket in buckets):
            return row.decided(0, "outside", f"It lies outside the weak slices of {row.task}.")
        if row.task not in diagnosis.tasks:
            return row.decided(0, "not diagnosed", f"The diagnosis does not cover {row.task}.")
        return row.decided(0, "not weak", f"{row.task} shows no significant gap.")
    bucket = buckets[number]
    name, priority = name_of(bucket), round(bucket.priority, 6)
    if not kept:
        text = f"The quota of the bucket {name} is full without it."
        return row.decided(0, "quota", text, name, priority=priority)
    text = f"Drawn for the bucket {name}" + (f" ({bucket.failure})." if bucket.failure else ".")
    return row.decided(1, "bucket", text, name, priority=priority)
