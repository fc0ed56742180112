"""What `redone-tasks list` says: tasks, suites, and what is absent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .general.absent import ABSENT
from .general.bridge import Documents
from .general.mirror_files import MirrorReader
from .general.table import TabledDocuments
from .registry import SUITES, TASKS, find
from .schema import Task


def lines(suite: str | None) -> Iterator[str]:
    """A table of the tasks of some suites (None: of all), what it lacks, and the suites."""
    row = "{:<36}{:<30}{:>7} {:<8}{:<5}{:<36}{}"
    yield row.format("task", "metric", "chance", "reward", "lang", "data", "title")
    tasks = find(suite) if suite else list(TASKS.values())
    for task in tasks:
        metric = task.scorings["corrected"].metrics[0].name
        facts = (task.name, metric, f"{task.chance.metric:.2f}", task.reward, task.language)
        yield row.format(*facts, data_of(task), task.title)
    if any(isinstance(task.read, Documents) for task in tasks):
        for absent in ABSENT:
            yield f"not here: {absent.title}: {absent.reason}. Nearest: {absent.instead}"
        yield "any other task or group of lm-eval's: lm_eval:NAME; variants NAME+chat, NAME+5shot"
    if not suite:
        for name, each in SUITES.items():
            yield f"suite {name}: {each.title}, {len(find(name))} tasks"


def as_json(suite: str | None) -> str:
    """The same as a JSON array of tasks."""
    import json

    tasks = find(suite) if suite else list(TASKS.values())
    suites = {name: {t.name for t in find(name)} for name in SUITES}
    rows = [_record(t) | {"suites": [s for s in suites if t.name in suites[s]]} for t in tasks]
    return json.dumps(rows, indent=1, ensure_ascii=False)


def data_of(task: Task) -> str:
    """Where a task's items are, in a few words."""
    if task.dataset:
        return task.dataset
    if isinstance(task.read, TabledDocuments) and task.read.entry is not None:
        from .general.mirrors import mirrors

        hub = task.read.entry.hub
        return "mirror" if any(m.has(hub) for m in mirrors()) else f"hub: {hub}"
    if isinstance(task.read, MirrorReader):
        from .general.mirrors import mirrors

        there = any((m.folder / task.read.path).is_file() for m in mirrors())
        return "mirror" if there else f"yours: {task.read.path}"
    return "lm-eval" if isinstance(task.read, Documents) else "embedded"


def _record(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "title": task.title,
        "category": task.category,
        "capability": task.capability,
        "language": task.language,
        "version": task.version,
        "dataset": task.dataset,
        "data": data_of(task),
        "metric": task.scorings["corrected"].metrics[0].name,
        "scorings": {n: [m.name for m in s.metrics] for n, s in task.scorings.items()},
        "needs": list(task.needs()),
        "chance": {"metric": task.chance.metric, "value": task.chance.value},
        "reward": task.reward,
        "held_out": task.held_out,
        "max_tokens": task.settings.max_tokens,
        "citation": task.citation,
    }
