"""Where corpus rows come from: the train splits of the registry, generated items, users' files.

A row asks exactly what the evaluation asks: the task's own prompt, filled with the row's fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ...tasks.errors import BadRow, RedoneError
from ...tasks.general_mini.tasks import ITEMS, FamilyReader, training_rows
from ...tasks.prompts import messages, prompt_for
from ...tasks.registry import TASKS, by_name
from ...tasks.schema import Sample, Services, Task
from ...tasks.sources import samples
from .files import is_general, read_corpus, reasonable
from .row import CorpusRow


def trainable_tasks() -> list[Task]:
    """The tasks of the registry that have a train split, in the order of the tables."""
    return [task for task in TASKS.values() if _has_train(task)]


def registry_rows(tasks: Sequence[Task], folder: Path) -> Iterator[CorpusRow]:
    """The rows of the train splits of some tasks, in file order.

    Args:
        tasks: With a train split each. `general-mini` yields the items of its own seed; others come
            from `generated_rows`.
        folder: The data folder.

    Raises:
        RedoneError: A task has no train split, or is never trained on.
        MissingData: A file of a task is not in the folder; the message says how to fetch it.
        BadRow: A file breaks its format.
    """
    for task in tasks:
        if not _has_train(task):
            why = "is held out of training" if task.held_out else "has no train split"
            names = ", ".join(t.name for t in trainable_tasks())
            raise RedoneError(
                f"{task.name} {why}. Tasks with rows to train on: {names}. Rows of your own for "
                "other tasks come from a corpus file (docs/corpus.md)."
            )
        general = is_general(task)
        if isinstance(task.read, FamilyReader) and task.read.train is not None:
            yield from generated_rows(task.read.train.name, task.read.seed, task.read.count)
            continue
        for sample in samples(task, folder, partition="train"):
            yield _row(task, sample, task.gold(sample), general=general)


def generated_rows(
    family: str | None = None, seed: int = 0, count: int = ITEMS
) -> Iterator[CorpusRow]:
    """Rows of `general-mini`'s train families, with rationales where the task can read past one.

    Args:
        family: One of them; None for all.
        seed: Any. Seeds draw from the same words: rows that two of them share have one id.
        count: Rows of each family.

    Raises:
        UnknownName: There is no such family.
        RedoneError: It is for evaluation only, or has not so many different items.
    """
    found = list(training_rows(family, seed, count))
    for name in dict.fromkeys(row.task for row in found):
        own = [row for row in found if row.task == name]
        task = replace(by_name(name), read=lambda _, own=own: (row.row for row in own))
        for sample, item in zip(samples(task, Path(), partition="train"), own, strict=True):
            row = _row(task, sample, item.answer, item.rationale, general=True)
            yield row if reasonable(row) else replace(row, rationale="")


def own_rows(paths: Iterable[str | Path], services: Services | None = None) -> list[CorpusRow]:
    """The rows of users' own files (`docs/corpus.md`), whose ids must differ across files.

    Raises:
        MissingData, BadRow: As `read_corpus` does.
    """
    rows: dict[str, CorpusRow] = {}
    for path in paths:
        for row in read_corpus(path, services):
            if row.id in rows:
                raise BadRow(f"{path}, field 'id': {row.id!r} is in another corpus file already.")
            rows[row.id] = row
    return list(rows.values())


def _has_train(task: Task) -> bool:
    return "train" in task.splits.values() and not task.held_out


def _row(
    task: Task, sample: Sample, answer: str, rationale: str = "", *, general: bool
) -> CorpusRow:
    return CorpusRow(
        id=sample.id,
        task=task.name,
        messages=messages(prompt_for(task, sample.language, {}), sample.fields),
        answer=answer,
        rationale=rationale,
        language=sample.language,
        fields=sample.fields,
        target=sample.target,
        tags=sample.tags,
        general=general,
        cluster=sample.cluster,
    )
