"""What `redone tasks list` and `redone tasks show` print."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from .command import visible
from .datasets import dataset
from .errors import RedoneError
from .prompts import messages, prompt_for, prompt_hash
from .protocol import why_none
from .registry import SUITES, TASKS, find, suite_names
from .schema import Sample, Settings
from .sources import DataPaths, data_hash, samples
from .task import Task


def _listed(suite: str | None, names: str | None) -> list[Task]:
    """The tasks that are named; all of the tables, and of plugins, where nothing is."""
    if suite or names:
        return find(suite, names)
    from .task_file.locate import plugins, tasks_of

    own = tasks_of(DataPaths.resolve(create=True).tasks)
    return [*TASKS.values(), *own.values(), *plugins().values()]


def lines(suite: str | None, names: str | None) -> Iterator[str]:
    """A table of some tasks (None: of all), what it lacks, and the suites."""
    row = "{:<36}{:<30}{:>7} {:<8}{:<5}{:<36}{}"
    yield row.format("task", "metric", "chance", "reward", "lang", "data", "title")
    tasks = _listed(suite, names)
    for task in tasks:
        metric = task.scorings["corrected"].metrics[0].name
        chance = f"{task.chance.metric:.2f}" if task.chance.known else "?"
        facts = (task.name, metric, chance, task.reward, task.language)
        yield row.format(*facts, data_of(task), task.title)
    if any(task.kind == "lm_eval" for task in tasks):
        from .general.table import UNAVAILABLE

        for absent in UNAVAILABLE:
            yield f"not here: {absent.title}: {absent.reason}. Nearest: {absent.instead}"
        yield "any other task or group of lm-eval's: lm_eval:NAME; variants NAME+chat, NAME+5shot"
    if not suite and not names:
        for name, each in SUITES.items():
            yield f"suite {name}: {each.title}, {len(suite_names(name))} tasks"


def as_json(suite: str | None, names: str | None) -> str:
    """The same as a JSON array of tasks."""
    tasks = _listed(suite, names)
    suites = {name: set(suite_names(name)) for name in SUITES}
    rows = [_record(t) | {"suites": [s for s in suites if t.name in suites[s]]} for t in tasks]
    return json.dumps(rows, indent=1, ensure_ascii=False)


def data_of(task: Task) -> str:
    """Where a task's items are, in a few words."""
    if task.dataset:
        return task.dataset
    if task.kind in ("mirror", "lm_eval", "task_file"):
        reader: Any = task.read
        return reader.place(DataPaths.resolve())
    return "embedded"


_FACTS = ("name", "title", "category", "capability", "language", "version", "dataset")


def _record(task: Task) -> dict[str, Any]:
    return {
        **{name: getattr(task, name) for name in _FACTS},
        "data": data_of(task),
        "metric": task.scorings["corrected"].metrics[0].name,
        "scorings": {n: [m.name for m in s.metrics] for n, s in task.scorings.items()},
        "needs": list(task.needs()),
        "chance": task.chance.record(),
        "reward": task.reward,
        "held_out": task.held_out,
        "max_tokens": task.settings.max_tokens,
        "citation": task.citation,
    }


_LIMITS = 4
"""Different limits of one task that are listed."""


def _limit(settings: Settings) -> str:
    sampled = f", temperature {settings.temperature:g}" if settings.temperature > 0 else ""
    return f"{settings.max_tokens} tokens, stop {list(settings.stop)}{sampled}"


def _limits(task: Task, items: Iterable[Sample]) -> list[str]:
    """The different limits of the requests of a task that writes its own."""
    assert task.requests is not None
    found: dict[str, None] = {}
    for sample in items:
        for request in task.requests(sample, prompt_for(task, sample.language, {})):
            generates = request.kind == "generate"
            found[_limit(request.settings) if generates else "none: log-likelihoods"] = None
    listed = list(found)
    more = [f"{len(listed) - _LIMITS} others"] if len(listed) > _LIMITS else []
    return [*listed[:_LIMITS], *more]


def description(task: Task, data: DataPaths, number: int) -> Iterator[str]:
    """The facts of a task, and one of its samples as a model sees it.

    Args:
        task: Which.
        data: Where its data are.
        number: Of the sample, from 0.

    Raises:
        RedoneError: There is no such sample.
        MissingData: A file of the task is not in the folder.
    """
    yield f"{task.name} (version {task.version}): {visible(task.title)}"
    facts = {
        "category": task.category,
        "capability": task.capability,
        "language": task.language,
        **{
            f"metrics ({name})": ", ".join(metric.name for metric in scoring.metrics)
            for name, scoring in task.scorings.items()
        },
        "needs": ", ".join(task.needs()) or "nothing",
        "chance": f"{task.chance.metric:.2f} (mean value {task.chance.value:.2f})"
        if task.chance.known
        else "unknown",
        "reward": task.reward + (", held out of training" if task.held_out else ""),
        **({} if task.requests else {"limit": _limit(task.settings)}),
        "authors' protocol": why_none(task)
        and f"none: {why_none(task)}"
        or "--protocol official: their prompts, limits and sampling; without it, redone's own, "
        "and scores are not ranked with printed ones",
        "citation": task.citation,
    }
    if task.dataset:
        source = dataset(task.dataset)
        facts["data"] = f"{source.title}; {source.url}"
        facts["licence"] = f"{source.licence}, {source.licence_url}"
    else:
        facts["data"] = data_of(task)
    yield from (f"  {name + ':':<22}{visible(fact)}" for name, fact in facts.items())
    if number < 0:
        raise RedoneError(f"--sample {number}: expected a number from 0.")
    sample = next(islice(samples(task, data.folder), number, None), None)
    if sample is None:
        raise RedoneError(f"{task.name} has no sample {number}: there are fewer.")
    tags = "".join(f", {name} {value}" for name, value in sample.tags.items())
    if task.requests is not None:
        limits = _limits(task, samples(task, data.folder))
        yield f"  {'limit:':<22}{visible('; '.join(limits))}"
    yield f"  {'prompt:':<22}{prompt_hash(task)}"
    yield f"  {'samples:':<22}{data_hash(s.id for s in samples(task, data.folder))}"
    yield f"\nsample {sample.id}: cluster {sample.cluster}, {sample.partition}{visible(tags)}"
    prompt = prompt_for(task, sample.language, {})
    rendered = [list(messages(prompt, sample.fields))]
    if task.requests is not None:
        rendered = []
        for request in task.requests(sample, prompt):
            text = request.prompt
            each = [{"role": request.kind, "content": text}] if isinstance(text, str) else [*text]
            rendered += [each] if each not in rendered else []
    for message in (message for each in rendered for message in each):
        yield f"--- {message['role']}\n{visible(message['content'])}"
    yield f"--- gold\n{visible(task.gold(sample))}"
