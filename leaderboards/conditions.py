"""Under which conditions a figure was measured: only equal ones rank against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from ..harness.published.conditions import why_apart
from ..harness.published.paper import Paper
from ..harness.signature import digest, services_of
from ..tasks.registry import BENCHMARKS, TASKS
from .submission import Asked, Submission

Role = Literal["corrected", "official"]


class Condition(NamedTuple):
    """What must be equal: its name, its value, and that value for people."""

    field: str
    value: str
    told: str


def conditions(submission: Submission, role: Role, of: Sequence[str]) -> tuple[Condition, ...]:
    """The conditions of a figure that is made of some tasks of a submission."""
    tasks = {name: submission.tasks[name] for name in sorted(of)}
    records = {name: task.scorings[role] for name, task in tasks.items()}
    asked = {name: task.settings for name, task in tasks.items()}
    services = {n: sorted(services_of(r.signature).items()) for n, r in records.items()}
    request = submission.request
    scored = {name: task.samples - records[name].not_scored for name, task in tasks.items()}
    words = [r.scoring for r in records.values()]
    words += [f"{need} {name}" for found in services.values() for need, name in found]
    return (
        _condition("tasks", list(tasks), f"{len(tasks)} tasks"),
        _condition("task versions", {n: t.version for n, t in tasks.items()}),
        _condition(
            "samples",
            {n: (t.data, scored[n]) for n, t in tasks.items()},
            f"{sum(scored.values()):,} samples",
        ),
        _condition("prompts", {n: t.prompt for n, t in tasks.items()}),
        _condition(
            "scoring",
            {n: (records[n].scoring, services[n]) for n in tasks},
            ", ".join(dict.fromkeys(words)),
        ),
        _condition(
            "limits",
            {n: (a.max_tokens, list(a.stop), a.max_thinking_tokens) for n, a in asked.items()},
        ),
        _condition("sampling", {n: (a.temperature, a.top_p, a.top_k) for n, a in asked.items()}),
        _condition("partition", request.partition, request.partition),
        _condition("draws", request.draws, str(request.draws)),
        _condition("system text", request.system),
        _condition(
            "thinking", submission.model.thinking or "auto", submission.model.thinking or "auto"
        ),
    )


def _condition(field: str, value: Any, told: str = "") -> Condition:
    mark = digest(value)
    return Condition(field, mark, f"{told} ({mark})" if field == "samples" else told or mark)


def differences(main: Sequence[Condition], other: Sequence[Condition]) -> list[str]:
    """What sets one figure apart from another, told in words."""
    return [
        f"{two.field}: {two.told}, not {one.told}"
        for one, two in zip(main, other, strict=True)
        if one.value != two.value
    ]


def apart(submission: Submission, role: Role, of: Sequence[str], paper: Paper) -> tuple[str, ...]:
    """Why a figure does not rank with the paper's; empty if it does."""
    asked = {name: submission.tasks[name].model_dump() for name in of}
    judged = {name: task["scorings"][role] for name, task in asked.items()}
    by_category: dict[str, list[str]] = {}
    for name in of:
        by_category.setdefault(_category(name), []).append(name)
    reasons = [
        reason
        for category, tasks in by_category.items()
        for reason in why_apart(paper, category, tasks, asked, judged)
    ]
    request = submission.request
    if request.system is not None:
        reasons.append("another system text")
    if request.draws > 1 or any(_changed(name, submission.tasks[name].settings) for name in of):
        reasons.append("generation settings other than the task's own")
    return tuple(dict.fromkeys(reasons))


def _category(task: str) -> str:
    base = task.partition("+")[0]
    return next(
        f"{key}/{category}"
        for key, benchmark in BENCHMARKS.items()
        for category, tasks in benchmark.categories.items()
        if base in (t.name for t in tasks)
    )


def _changed(name: str, asked: Asked) -> bool:
    """Whether the settings differ from the registry's; room to think is no part of them."""
    own = TASKS[name].settings
    fields = ("max_tokens", "temperature", "top_p", "top_k")
    same = all(getattr(asked, field) == getattr(own, field) for field in fields)
    return not same or tuple(asked.stop) != own.stop
