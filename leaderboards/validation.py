"""Checks submitted results so that CI can: nothing is believed that can be computed again.

A task's figures are made again from its summed statistics by the registry's own metrics, means from
the tasks' figures, and every signature from what was asked. What can't be made again (intervals,
the answers themselves) is held to its range; that the figures are true rests on whoever submits,
and on the fingerprint with which anybody can repeat the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..harness.signature import Counted, services_of, signature
from ..harness.stats import nested_mean
from ..tasks.errors import RedoneError
from ..tasks.registry import by_name, table_of
from ..tasks.schema import Scoring, Task
from .conditions import Role
from .submission import Mean, Scored, Submission, TaskResult, load

NEAR = 1e-6
"""Points by which a figure made again may differ: the order of a sum."""


def results_in(folder: Path) -> list[Path]:
    """The submitted results of a folder, in order.

    Raises:
        RedoneError: There is no such folder.
    """
    if not folder.is_dir():
        raise RedoneError(f"{folder} is no folder of submitted results.")
    return sorted(path for path in folder.iterdir() if path.suffix == ".json")


def problems_of(folder: Path) -> dict[str, list[str]]:
    """By file, what is wrong with it; files without a problem have an empty list."""
    found: dict[str, list[str]] = {}
    owners: dict[str, str] = {}
    for path in results_in(folder):
        try:
            submission = load(path)
        except RedoneError as error:
            found[path.name] = [str(error)]
            continue
        own = found[path.name] = list(problems(submission))
        if path.name != submission.file_name:
            own.append(f"its name must be {submission.file_name}")
        first = owners.setdefault(submission.hash, path.name)
        if first != path.name:
            own.append(f"the same model and request as {first}")
    return found


def problems(submission: Submission) -> Iterator[str]:
    """What is wrong with one submission."""
    redone = submission.versions.get("redone")
    if redone is None:
        yield "versions: the version of redone is missing"
    asked = submission.asked()
    counted: dict[Role, dict[str, Counted]] = {"corrected": {}, "official": {}}
    for name, task in submission.tasks.items():
        if task.scorings.keys() != counted.keys():
            yield f"{name}: both scorings, corrected and official, are expected"
            return
        known = _registered(name, task)
        if isinstance(known, str):
            yield known
            continue
        for role, record in task.scorings.items():
            part = Counted(
                name,
                task.version,
                record.scoring,
                max(0, task.samples - record.not_scored),
                services_of(record.signature),
            )
            counted[role][name] = part
            yield from _signature(name, f"{name}, {role}", record, asked, [part], redone)
            yield from _figures(f"{name}, {role}", known, role, task, record)
    for role in counted:
        if len(counted[role]) == len(submission.tasks):
            yield from _table(submission, role, counted[role], asked, redone)


def _registered(name: str, task: TaskResult) -> Task | str:
    """The registry's task, or what is wrong."""
    try:
        known = by_name(name)
    except RedoneError as error:
        return f"{name}: {error}"
    if known.version != task.version:
        return (
            f"{name}: version {task.version}, but this redone has version {known.version}. "
            "Evaluate again, or remove the result"
        )
    return known


def _signature(
    name: str,
    where: str,
    record: Scored | Mean,
    asked: dict[str, Any],
    counted: Sequence[Counted],
    redone: str | None,
) -> Iterator[str]:
    expected = signature(name, asked, counted, redone or "")
    if record.signature != expected:
        yield f"{where}: the signature is not that of the figure; {expected} is expected"


def _figures(where: str, known: Task, role: str, task: TaskResult, record: Scored) -> Iterator[str]:
    yield from _range(where, role, record)
    scoring = _scoring(known, role, record.scoring)
    if scoring is None:
        yield f"{where}: there is no scoring {record.scoring!r}"
        return
    needs = set(services_of(record.signature))
    if needs != set(scoring.needs):
        told = ", ".join(scoring.needs) or "no service"
        yield f"{where}: scoring {scoring.name!r} asks {told}, the signature says otherwise"
    if record.not_scored > task.samples:
        yield f"{where}: {record.not_scored} of {task.samples} samples not scored"
    names = [metric.name for metric in scoring.metrics]
    if record.primary != names[0] or list(record.metrics) != names:
        yield f"{where}: the metrics {', '.join(names)} are expected, the first as the score"
        return
    if not _same(record.score, record.metrics[record.primary]):
        yield f"{where}: the score is not its primary metric"
    if task.samples == record.not_scored:
        if record.sums is not None or record.score is not None:
            yield f"{where}: a figure, although no sample was scored"
        return
    if record.sums is None or len(record.sums) != len(scoring.statistics):
        yield f"{where}: {len(scoring.statistics)} summed statistics are expected"
        return
    total = np.array(record.sums)
    for metric in scoring.metrics:
        if metric.from_items is not None:
            continue
        with np.errstate(all="ignore"):
            again = metric.point(total)
        if not _same(record.metrics[metric.name], None if math.isnan(again) else again):
            yield (
                f"{where}: {metric.name} is {record.metrics[metric.name]}, but {again:.6g} follows "
                "from the summed statistics"
            )
        if metric.proportion is not None:
            hits, count = total[list(metric.proportion)]
            if not (0 <= hits <= count) or not math.isclose(
                count, task.samples - record.not_scored
            ):
                yield f"{where}: {hits:g} of {count:g} is no share of its samples"


def _scoring(task: Task, role: str, name: str) -> Scoring | None:
    """The scoring of a name: the one that plays the role, or a reduced form of it."""
    scoring = task.scorings.get(role)
    while scoring is not None and scoring.name != name:
        scoring = scoring.without
    return scoring


def _table(
    submission: Submission,
    role: Role,
    counted: dict[str, Counted],
    asked: dict[str, Any],
    redone: str | None,
) -> Iterator[str]:
    rows = submission.tables.get(role, [])
    expected = table_of(list(submission.tasks))
    if [(row.level, row.name) for row in rows] != [(row.level, row.name) for row in expected]:
        yield f"the {role} table has other rows than follow from the tasks"
        return
    points = {
        name: math.nan if (score := task.scorings[role].score) is None else score
        for name, task in submission.tasks.items()
    }
    for row, made in zip(rows, expected, strict=True):
        where = f"{row.level} {row.name}, {role}"
        again = float(nested_mean(made.groups, points))
        if not _same(row.score, None if math.isnan(again) else again):
            yield f"{where}: {row.score}, but the mean of its parts is {again:.6g}"
        yield from _range(where, role, row)
        parts = [counted[task] for task in made.of]
        yield from _signature(row.name, where, row, asked, parts, redone)


def _range(where: str, role: str, record: Scored | Mean) -> Iterator[str]:
    low, high = record.low, record.high
    if (low is None) != (high is None) or (low is not None and high is not None and low > high):
        yield f"{where}: [{low}, {high}] is no interval"
    elif low is not None and high is not None and (low < 0 or record.score is None):
        yield f"{where}: [{low}, {high}] cannot be the interval of {record.score}"
    if role == "corrected" and record.score is not None and record.score < 0:
        yield f"{where}: {record.score} is below 0"


def _same(one: float | None, two: float | None) -> bool:
    if one is None or two is None:
        return one is two
    return math.isclose(one, two, rel_tol=1e-9, abs_tol=NEAR)
