"""Any task or group of lm-eval's as a task of the registry.

lm-eval (Gao et al., https://github.com/EleutherAI/lm-evaluation-harness) gives the documents,
prompts, few-shot examples, filters and metrics; requests and judgement go through this project's
backends, run folders and statistics. A group whose score is the mean over all its documents is one
task, its parts told by the tag `task`; other groups and tags are as many tasks as they have parts.

Such a task has one scoring, lm-eval's own, in both roles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from ..schema import Baselines, Chance, Metric, Prompt, Record, Sample, Scoring, Settings, Task
from . import asking
from .definitions import PREFIX, Definition, Wanted, definition
from .judging import Judge
from .metrics import Column, columns_of, mean_metric

CITATION = "Gao et al. 2024. The Language Model Evaluation Harness. https://doi.org/10.5281/zenodo.12608602"
PROMPTS: Mapping[str, Prompt] = {"en": Prompt("", "")}
"""Empty: what is asked is lm-eval's, and part of every sample."""

UNKNOWN_LANGUAGE = "und"


@dataclass(frozen=True, slots=True)
class Documents:
    """Reads a definition's documents as rows.

    Attributes:
        name: As in `definitions.Wanted`.
        folder: lm-eval's folder that defines it, None if not known.
        language: Of the documents.
    """

    name: str
    folder: str | None = None
    language: str = UNKNOWN_LANGUAGE

    def __call__(self, data: Path) -> Iterator[Record]:
        """The rows; `data` is the data folder whose mirror is used."""
        return asking.rows(self.definition(data), self.language)

    def definition(self, data: Path | None = None) -> Definition:
        """The built tasks, of the data folder that they were last read from."""
        if data is None:
            data = _READ_FROM.get(self.name)
        else:
            _READ_FROM[self.name] = data
        return definition(self.name, self.folder, data)


_READ_FROM: dict[str, Path] = {}


def tasks_of(name: str) -> list[Task]:
    """The tasks behind a name of lm-eval's that no table holds; builds them.

    Args:
        name: `lm_eval:NAME`, with variants.

    Raises:
        RedoneError: It cannot be built; says why.
    """
    found = definition(name.removeprefix(PREFIX))
    if not found.apart:
        return [task_of(name)]
    whole, *variants = name.split("+")
    return [task_of("+".join([f"{whole}/{member}", *variants])) for member in found.tasks]


def task_of(name: str) -> Task:
    """The task of a name that no table holds; builds it."""
    documents = Documents(name.removeprefix(PREFIX))
    found = documents.definition()
    keys = primary_first(metric_keys(found), found)
    columns = columns_of(keys, aggregations(found), directions(found))
    wanted = found.wanted
    title = wanted.member or wanted.name
    return make(
        name,
        title=f"{title} (lm-eval)",
        category=wanted.name,
        capability="unknown",
        version=found.version,
        documents=documents,
        columns=columns,
        code=found.code,
    )


def make(
    name: str,
    *,
    title: str,
    category: str,
    capability: str,
    version: str,
    documents: Documents,
    columns: tuple[Column, ...],
    code: bool = False,
    mean_of: int = 0,
    language: str = UNKNOWN_LANGUAGE,
    chance: Chance | None = None,
    citation: str = CITATION,
) -> Task:
    """A task of the registry.

    Args:
        name: With `lm_eval:` and variants.
        title: As in `Task`, and the next three.
        category: Of the table.
        capability: One of the paper's, or "unknown".
        version: lm-eval's.
        documents: Where rows and judgement come from.
        columns: The metrics, primary ones first.
        code: The judgement runs programs.
        mean_of: The score is the mean of so many first metrics; 0: it is the first.
        language: ISO 639-1 code.
        chance: Chance level; None: not known, and stated as 0.
        citation: The paper.
    """
    metrics: list[Metric] = [column.metric() for column in columns]
    if mean_of:
        metrics.insert(0, mean_metric(f"mean_of_{mean_of}", columns[:mean_of]))
    judge = Judge(documents.definition, columns, max(1, mean_of), code)
    scoring = Scoring(
        name="lm_eval",
        statistics=tuple(
            f"{c.key}:{part}" for c in columns if c.aggregation for part in c.aggregation.columns
        ),
        score=judge,
        metrics=tuple(metrics),
        needs=("sandbox",) if code else (),
    )
    return Task(
        name=name,
        title=title,
        category=category,
        capability=capability,
        language=language,
        version=version,
        dataset=None,
        read=documents,
        prompts=PROMPTS,
        settings=Settings(max_tokens=asking.MAX_TOKENS),
        scorings={"corrected": scoring, "official": scoring},
        gold=program if code else gold,
        baselines=GUESSES,
        chance=chance or Chance(0.0, 0.0),
        reward="sandbox" if code else "exact",
        citation=citation,
        requests=asking.requests,
    )


def metric_keys(found: Definition) -> list[str]:
    """`metric,filter` of everything that the tasks measure, in lm-eval's order.

    Tasks name their metrics in their definition, and some make others of them when they judge; so
    one judgement of a blank answer is looked at.
    """
    keys: dict[str, None] = {}
    for task in found.tasks.values():
        names = dict.fromkeys(task.aggregation())
        made = {key.partition(",")[0]: None for key in _tried(task)}
        for ensemble in task._filters:
            for metric in made or names:
                keys[f"{metric},{ensemble.name}"] = None
    if found.pooled:
        listed = [m for m, _ in found.pooled]
        kept = {k: None for k in keys if k.partition(",")[0] in listed}
        for metric, filters in found.pooled:
            if filters is not None:
                kept = {
                    k: None
                    for k in kept
                    if not k.startswith(f"{metric},") or k.partition(",")[2] in filters
                }
        keys = kept
    return [key for key in keys if not key.startswith("bypass,")]


def _tried(task: Any) -> list[str]:
    """The keys that `process_results` gives for a blank answer; nothing where it fails on one."""
    from ..schema import Completion
    from .judging import items_of

    definition = _one(task)
    try:
        row = next(asking.rows(definition, UNKNOWN_LANGUAGE))
        sample = Sample("", "", row.fields, row.target, "", "", row.split, "diagnose", row.tags)
        blanks = [
            Completion("", logprob=-1.0, greedy=False)
            for request in asking.requests(sample, PROMPTS["en"])
        ]
        return list(items_of(task, sample, blanks)[0])
    except Exception:
        return []


def _one(task: Any) -> Definition:
    return Definition(Wanted(task.task_name), {task.task_name: task}, "", (), False, False)


def primary_first(keys: Sequence[str], found: Definition) -> list[str]:
    """The first metric that can be summed comes first; for a group, the first that it lists."""
    aggregation = aggregations(found)
    columns = columns_of(keys, aggregation, {})
    summed = [c.key for c in columns if c.aggregation is not None]
    first = summed[0] if summed else keys[0]
    return [first, *(k for k in keys if k != first)]


def aggregations(found: Definition):
    """lm-eval's aggregation of a metric by name, None for its default."""
    known: dict[str, Any] = {}
    for task in found.tasks.values():
        known = {**task.aggregation(), **known}
    return known.get


def directions(found: Definition) -> dict[str, bool]:
    """Whether more is better, by metric."""
    known: dict[str, bool] = {}
    for task in found.tasks.values():
        known = {**task.higher_is_better(), **known}
    return known


def gold(sample: Sample) -> str:
    """The target as a text; for a choice, the continuation that is right."""
    target, asks = sample.target, sample.fields["asks"]
    if asks[0]["kind"] == "loglikelihood" and isinstance(target, int) and target < len(asks):
        return asks[target]["continuation"]
    return target if isinstance(target, str) else str(target)


SOLUTIONS = ("canonical_solution", "code")
"""Where documents of HumanEval and MBPP keep a right program; their target is the tests."""


def program(sample: Sample) -> str:
    """The reference program of a document, its target where none is known."""
    document = sample.fields["document"]
    found = document if isinstance(document, dict) else {}
    return next((found[name] for name in SOLUTIONS if name in found), gold(sample))


GUESSES = Baselines(
    random=lambda sample, random: _choice(sample, random),
    constants=lambda samples: [],
    all_candidates=lambda sample: "",
)


def _choice(sample: Sample, random: Random) -> str:
    asks = [a for a in sample.fields["asks"] if a["kind"] == "loglikelihood"]
    return random.choice(asks)["continuation"] if asks else ""
