"""Nothing that is evaluated is trained on, and nothing is decided on what must stay unseen.

Rows: an evaluation item of *any* partition may not be learned, neither as itself nor as a copy, a
near copy or a part of a longer row (`tasks.contamination` has the measure). Decisions: what to
train on, and how, may follow from the `diagnose` partition alone; `gate` and `report` measure the
outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...harness.diagnosis.schema import TRAINABLE
from ...tasks.contamination import THRESHOLD, EvaluationTexts, Overlap, TrainingTexts
from ...tasks.errors import RedoneError
from ...tasks.registry import by_name
from ...tasks.sources import cluster_of
from ...tasks.task import Task
from ..rows import RowDecision, TrainingRow

_NAMED = 3
"""Rows that an error names."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A corpus without evaluation items.

    Attributes:
        rows: Those that may be trained on, in order.
        dropped: Why each of the others may not: `item` (its id is an item's), `cluster` (it is
            about an item's text), `exact` (it repeats one), `near` (it holds most of one); or
            `repeated`: a row with its id is there already.
    """

    rows: tuple[TrainingRow, ...]
    dropped: tuple[RowDecision, ...]


class EvaluationItems:
    """What must not be trained on: the items of some tasks, of all evaluation partitions.

    Args:
        tasks: Whose items; `tasks_of` gives those that a corpus has to be compared with.
        folder: The data folder.
        threshold: Share of an item's n-grams from which on a row is a near copy.

    Raises:
        MissingData: The data of a task are not in the folder.
    """

    def __init__(
        self, tasks: Sequence[Task], folder: Path, *, threshold: float = THRESHOLD
    ) -> None:
        if not 0 < threshold <= 1:
            raise RedoneError(f"A threshold of {threshold} is not possible: above 0 and up to 1.")
        self.tasks = frozenset(task.name for task in tasks)
        self._texts = EvaluationTexts(tasks, folder)
        self._threshold = threshold
        self._constant: dict[str, list[Overlap]] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def clean(self, rows: Iterable[TrainingRow]) -> Cleaned:
        """Parts rows into those that may be trained on and those that repeat an item."""
        kept: list[TrainingRow] = []
        dropped: list[RowDecision] = []
        seen: set[str] = set()
        for row in rows:
            if row.id in seen:
                dropped.append(row.decided(0, "repeated", "A row with this id is there already."))
            elif decision := self._decision(row):
                dropped.append(decision)
            else:
                kept.append(row)
            seen.add(row.id)
        return Cleaned(tuple(kept), tuple(dropped))

    def refuse_named(self, rows: Sequence[TrainingRow]) -> None:
        """Stops where a row's id or cluster is an evaluation item's: `clean`, but instant.

        Raises:
            RedoneError: Some are, or a row's own task is not among those compared with.
        """
        if absent := sorted({row.task for row in rows} - self.tasks):
            raise RedoneError(
                f"The corpus was not checked against the evaluation items of {', '.join(absent)}, "
                "of which it has rows. `tasks_of` names the tasks that belong to a corpus."
            )
        if found := [named for row in rows if (named := self._named(row))]:
            named = "; ".join(f"{d.row} ({d.task}): {d.reason}" for d in found[:_NAMED])
            more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            raise RedoneError(
                f"{len(found)} training row(s) repeat evaluation items: {named}{more}. Nothing "
                "that is evaluated is trained on: clean the corpus (`EvaluationItems.clean`) first."
            )

    def _named(self, row: TrainingRow) -> RowDecision | None:
        if row.id in self._texts.ids:
            return row.decided(0, "item", "It is an evaluation item.")
        for task, sample, partition in self._texts.about(row.cluster):
            item = f"evaluation item {sample} of {task}, partition {partition}"
            return row.decided(0, "cluster", f"It is about the text of {item}.")
        return None

    def _decision(self, row: TrainingRow) -> RowDecision | None:
        if named := self._named(row):
            return named
        found = [*self._system(row), *self._texts.overlaps(1, _texts(row), self._threshold)]
        if not found:
            return None
        worst = max(found, key=lambda overlap: (overlap.kind == "exact", overlap.share))
        repeated = "repeats" if worst.kind == "exact" else f"holds {worst.share:.0%} of"
        item = f"evaluation item {worst.sample} of {worst.task}, partition {worst.partition}"
        text = f"It {repeated} {item}."
        return row.decided(0, worst.kind, text, share=round(worst.share, 4), items=len(found))

    def _system(self, row: TrainingRow) -> list[Overlap]:
        """Overlaps of the system text, which thousands of rows may share."""
        found: list[Overlap] = []
        for turn in row.messages:
            text = turn["content"]
            if turn["role"] == "system":
                if text not in self._constant:
                    texts = TrainingTexts([text])
                    self._constant[text] = self._texts.overlaps(1, texts, self._threshold)
                found += self._constant[text]
        return found


def tasks_of(rows: Iterable[TrainingRow], evaluated: Iterable[Task]) -> list[Task]:
    """The tasks that a corpus is compared with: those that are evaluated, and the rows' own."""
    named = dict.fromkeys(row.task for row in rows)
    return list({t.name: t for t in [*evaluated, *map(by_name, named)]}.values())


def only_diagnose(partition: str, what: str) -> None:
    """Refuses a decision on another partition than `diagnose`; `what` names it in the message.

    Raises:
        RedoneError: It is another partition.
    """
    if partition != TRAINABLE:
        raise RedoneError(
            f"{what} is of partition {partition!r}, and training may follow {TRAINABLE!r} alone: "
            "what is tuned on the items that measure the outcome proves nothing. Diagnose with "
            f"`--partition {TRAINABLE}`."
        )


def _texts(row: TrainingRow) -> TrainingTexts:
    asked = [m["content"] for m in row.messages if m["role"] == "user"]
    answered = [m["content"] for m in row.messages if m["role"] == "assistant"]
    shown = [value for value in row.fields.values() if isinstance(value, str)]
    # A short field ("Yes, No") may be the whole text of an item by accident; the longest is the
    # text that the row is about.
    clusters = [cluster_of(max(shown, key=len))] if shown else []
    hidden = [text for text in shown if not any(text in question for question in asked)]
    return TrainingTexts(asked, [*answered, row.answer, row.rationale, *hidden], clusters)
