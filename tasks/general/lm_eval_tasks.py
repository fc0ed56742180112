"""Any of lm-eval's tasks or groups as a task of the registry.

lm-eval (Gao et al., https://github.com/EleutherAI/lm-evaluation-harness) defines the documents,
prompts, few-shot examples, filters and metrics; requests and scores go through this project's
backends, run folders and statistics. A group whose score is the mean over all its documents is one
task, its parts marked by the tag `task`; other groups and tags become one task for each part.

Such a task has one scoring, lm-eval's own, in both roles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal

import numpy as np

from ..errors import RedoneError
from ..schema import Completion, Metric, Record, Sample, Scoring, Settings
from ..sources import DataPaths
from ..task import UNKNOWN_CHANCE, Baselines, Chance, Prompt, Task
from .aggregation import Column, columns_of, mean_metric
from .definitions import PREFIX, Definition, Wanted, definition
from .documents import (
    MAX_TOKENS,
    Scorer,
    has_choices,
    items_of,
    requests,
    rows,
    scored_choices,
)
from .mirror import at_folder, mirrors
from .recorded import RecordedChance, RecordedColumn, RecordedTask
from .table import ENTRIES, Entry

CITATION = "Gao et al. 2024. The Language Model Evaluation Harness. https://doi.org/10.5281/zenodo.12608602"
PROMPTS: Mapping[str, Prompt] = {"en": Prompt("", "")}
"""Empty: the prompts are lm-eval's, and part of every sample."""

UNKNOWN_LANGUAGE = "und"


@dataclass(frozen=True, slots=True)
class Documents:
    """Reads the documents of one of lm-eval's tasks, which are built when they are first needed.

    Attributes:
        name: As in `definitions.Wanted`.
        entry: Of the table; None for a task that is not in the table.
        data: The mirrors to use, and the user's own definitions; None: as the environment says.
    """

    name: str
    entry: Entry | None = None
    data: DataPaths | None = None
    kind: ClassVar[Literal["lm_eval"]] = "lm_eval"

    def __call__(self, folder: Path) -> Iterator[Record]:
        """The records, in the order of the documents."""
        language = self.entry.language if self.entry else UNKNOWN_LANGUAGE
        return rows(self.definition(folder), language)

    def using(self, data: DataPaths) -> Documents:
        """The same documents, from these mirrors."""
        return replace(self, data=data)

    def place(self, data: DataPaths | None = None) -> str:
        """Where the documents are, in a few words: in a mirror, or on the hub."""
        if self.entry is None:
            return "lm-eval"
        found = any(m.has(self.entry.hub) for m in mirrors(data or self.data))
        return "mirror" if found else f"hub: {self.entry.hub}"

    def definition(self, folder: Path | None = None) -> Definition:
        """The built tasks.

        Args:
            folder: The data folder; None: that of `data`.

        Raises:
            RedoneError: The installed lm-eval defines another version than the table.
        """
        entry = self.entry
        data = at_folder(self.data, folder) if folder else self.data or DataPaths.resolve()
        found = definition(self.name, entry.folder if entry else None, data)
        if entry is not None and found.version != entry.version:
            raise RedoneError(
                f"{entry.task_name} is version {found.version} in the installed lm-eval, and "
                f"{entry.version} in the registry: their scores may not be comparable. "
                "Install the lm-eval that `pip install 'redone[general]'` names."
            )
        return found


# --- tasks of the table --------------------------------------------------------------------------

_BY_NAME = {e.name: (c, k, e) for c, ks in ENTRIES.items() for k, es in ks.items() for e in es}


def tabled(name: str, data: DataPaths | None = None) -> Task | None:
    """The task of a name or of a variant of it, None where the table does not have it.

    Nothing is imported or built before the task is read.

    Args:
        name: `lm_eval:NAME`, with variants.
        data: As in `Documents`.
    """
    wanted = Wanted.of(name)
    if wanted.member is not None or wanted.name not in _BY_NAME:
        return None
    capability, category, entry = _BY_NAME[wanted.name]
    variants = "".join(f", {v}" for v in name.split("+")[1:])
    return _task(
        Documents(name.removeprefix(PREFIX), entry, data),
        entry.columns,
        title=entry.title + variants,
        category=category,
        capability=capability,
        version=entry.version,
        chance=Chance(entry.chance, entry.chance / 100),
        code=entry.code,
        mean_of=entry.mean_of,
    )


def _task(
    documents: Documents, columns: tuple[Column, ...], *, code: bool, mean_of: int = 0, **facts: Any
) -> Task:
    """A task of the registry.

    Args:
        documents: Where records and the built tasks come from.
        columns: The metrics, primary ones first.
        code: Scoring runs programs.
        mean_of: The score is the mean of so many first metrics; 0: it is the first.
        **facts: Title, category, capability, version and chance, as in `Task`.
    """
    entry = documents.entry
    metrics: list[Metric] = [column.metric() for column in columns]
    if mean_of:
        metrics.insert(0, mean_metric(f"mean_of_{mean_of}", columns[:mean_of]))
    scoring = Scoring(
        name="lm_eval",
        statistics=tuple(
            f"{c.key}:{part}" for c in columns if c.aggregation for part in c.aggregation.columns
        ),
        score=Scorer(documents.definition, columns, max(1, mean_of), code),
        metrics=tuple(metrics),
        needs=("sandbox",) if code else (),
    )
    return Task(
        name=PREFIX + documents.name,
        language=entry.language if entry else UNKNOWN_LANGUAGE,
        read=documents,
        prompts=PROMPTS,
        settings=Settings(max_tokens=MAX_TOKENS),
        scorings={"corrected": scoring, "official": scoring},
        gold=reference_program if code else gold,
        baselines=BASELINES,
        reward="sandbox" if code else "exact",
        citation=entry.citation if entry else CITATION,
        requests=requests,
        **facts,
    )


# --- any other task ------------------------------------------------------------------------------


def tasks_of(name: str, data: DataPaths | None = None) -> list[Task]:
    """The tasks of a name that is not in the table; builds them.

    Args:
        name: `lm_eval:NAME`, with variants.
        data: As in `Documents`.

    Raises:
        RedoneError: It cannot be built; says why.
    """
    found = Documents(name.removeprefix(PREFIX), data=data).definition()
    if not found.apart:
        return [task_of(name, data)]
    whole, *variants = name.split("+")
    return [task_of("+".join([f"{whole}/{member}", *variants]), data) for member in found.tasks]


def task_of(name: str, data: DataPaths | None = None) -> Task:
    """The task of a name that is not in the table; builds it.

    Args:
        name: `lm_eval:NAME`, with variants.
        data: As in `Documents`.

    Raises:
        RedoneError: It cannot be built; says why.
    """
    documents = Documents(name.removeprefix(PREFIX), data=data)
    found = documents.definition()
    columns = _columns(found)
    return _task(
        documents,
        columns,
        title=f"{found.wanted.member or found.wanted.name} (lm-eval)",
        category=found.wanted.name,
        capability="unknown",
        version=found.version,
        chance=chance_of(found, columns[0]),
        code=found.code,
    )


def record_of(task: Task) -> RecordedTask | None:
    """What a run records of a task that is not in the table; None for one that is, or is native."""
    scorer = task.scorings["corrected"].score
    if not isinstance(scorer, Scorer) or tabled(task.name) is not None:
        return None
    chance = RecordedChance(metric=task.chance.metric, value=task.chance.value)
    return RecordedTask(
        title=task.title,
        category=task.category,
        capability=task.capability,
        version=task.version,
        chance=chance if task.chance.known else None,
        code=scorer.code,
        columns=tuple(map(RecordedColumn.of, scorer.columns)),
    )


def recorded(name: str, record: RecordedTask, data: DataPaths | None = None) -> Task:
    """The task of a record: builds nothing unless its documents are read or scored.

    Args:
        name: `lm_eval:NAME`, with variants.
        record: What a run recorded.
        data: As in `Documents`.
    """
    return _task(
        Documents(name.removeprefix(PREFIX), data=data),
        record.places(),
        title=record.title,
        category=record.category,
        capability=record.capability,
        version=record.version,
        chance=record.level,
        code=record.code,
    )


def _columns(found: Definition) -> tuple[Column, ...]:
    """The metrics; the first that can be summed comes first (of a group, the first listed)."""
    keys = found.metric_keys(_scored_keys)
    aggregation = found.by_metric(lambda task: task.aggregation()).get
    summed = [c.key for c in columns_of(keys, aggregation, {}) if c.aggregation is not None]
    first = summed[0] if summed else keys[0]
    higher_is_better = found.by_metric(lambda task: task.higher_is_better())
    return columns_of([first, *(k for k in keys if k != first)], aggregation, higher_is_better)


def chance_of(found: Definition, primary: Column) -> Chance:
    """The chance level of a task with choices, that of a random choice; else unknown.

    It is computed, not drawn: each choice is given once as the only likely one, and lm-eval scores
    it, so several right choices, or a probability mass, count as they do in an evaluation.
    """
    tasks = found.tasks.values()
    if primary.aggregation is None or not primary.higher_is_better:
        return UNKNOWN_CHANCE
    if not all(map(has_choices, tasks)):
        return UNKNOWN_CHANCE
    sums, values = [], []
    try:
        for task in tasks:
            for scored in scored_choices(task, primary.key.partition(",")[0]):
                sums.append(np.mean([primary.aggregation.statistics(x) for x in scored], axis=0))
                values.append(np.mean([primary.aggregation.value(x) for x in scored]))
    except Exception:  # a task's own code, which was not written for this
        return UNKNOWN_CHANCE
    metric = primary.metric().point(np.sum(sums, axis=0)) if sums else math.nan
    if not math.isfinite(metric) or metric <= 0:
        return UNKNOWN_CHANCE  # where written choices score nothing, they are not what is asked for
    return Chance(round(float(metric), 2), round(float(np.mean(values)), 4))


def _scored_keys(task: Any) -> list[str]:
    """The keys that `process_results` gives for a blank answer; none where it fails on one."""
    name = task.task_name
    alone = Definition(Wanted(name), {name: task}, "", (), False, False)
    try:
        row = next(rows(alone, UNKNOWN_LANGUAGE))
        sample = Sample("", "", row.fields, row.target, "", "", row.split, "diagnose", row.tags)
        blank = Completion("", logprob=-1.0, greedy=False)
        return list(items_of(task, sample, [blank for _ in requests(sample, PROMPTS["en"])])[0])
    except Exception:
        return []


# --- gold answers and trivial baselines ----------------------------------------------------------


def gold(sample: Sample) -> str:
    """The target as a text, the first of several; for a choice, the continuation that is right."""
    target, asks = sample.target, sample.fields["asks"]
    if isinstance(target, list):
        target = target[0] if target else ""
    if asks[0]["kind"] == "loglikelihood":
        texts = [ask["continuation"] for ask in asks]
        if isinstance(target, int) and 0 <= target < len(texts):
            return texts[target]
        return next((text for text in texts if text.strip() == str(target).strip()), str(target))
    return target if isinstance(target, str) else str(target)


SOLUTIONS = ("canonical_solution", "code")
"""Where documents of HumanEval and MBPP keep a correct program; their target is the tests."""


def reference_program(sample: Sample) -> str:
    """The reference program of a document, its target where none is known."""
    document = sample.fields["document"]
    found = document if isinstance(document, dict) else {}
    return next((found[name] for name in SOLUTIONS if name in found), gold(sample))


def _choice(sample: Sample, random: Random) -> str:
    asks = [a for a in sample.fields["asks"] if a["kind"] == "loglikelihood"]
    return random.choice(asks)["continuation"] if asks else ""


BASELINES = Baselines(_choice, constants=lambda samples: [], all_candidates=lambda sample: "")

GENERAL: Mapping[str, Mapping[str, tuple[Task, ...]]] = {
    capability: {
        category: tuple(task for e in entries if (task := tabled(e.task_name)))
        for category, entries in categories.items()
    }
    for capability, categories in ENTRIES.items()
}
"""Capability -> category -> tasks."""
