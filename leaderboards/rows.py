"""The rows of a sheet: figures as a paper prints them, and figures measured here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..harness.published.paper import Paper, mean
from ..tasks.registry import BENCHMARKS
from .columns import MEAN, Column
from .conditions import Condition, Role, apart, conditions
from .submission import Submission

PRINTED: tuple[Condition, ...] = ()
"""Of every printed figure of the paper: whatever its authors did."""
AGREES = 0.015
"""Points between an average and the mean of its parts that two decimals explain: half of the last
digit by which the average was rounded, and the last digit that may have been cut off its parts."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure, in points.

    Attributes:
        value: An average as printed if it agrees with its parts, else made again from them.
        low, high: The 95 % interval, where there is one.
        printed: The average as printed, where it disagrees with its own row.
        under: The conditions: figures of one column rank against each other where these are equal.
        apart: Why it does not rank with printed figures.
    """

    value: float
    low: float | None = None
    high: float | None = None
    printed: float | None = None
    under: tuple[Condition, ...] = PRINTED
    apart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A model's figures.

    Attributes:
        label: The model.
        measured: False: as a paper prints them.
        scoring: `official` or `corrected`, or both where all figures are the same.
        samples: How many, and whether that is all of them; "" for printed rows.
        source: Paper and table, or who measured.
        cells: By column; a figure that is not whole is absent.
        facts: Name and value of what else is known.
        signatures: Of the sheet's figures; none for printed ones.
    """

    label: str
    measured: bool
    scoring: str
    samples: str
    source: str
    cells: Mapping[str, Cell]
    facts: tuple[tuple[str, str], ...] = ()
    signatures: tuple[str, ...] = ()


def printed_row(paper: Paper, model: str, columns: Sequence[Column]) -> Row:
    """A row of a paper's first table."""
    figures, averages = paper.figures(model), paper.averages(model)
    cells: dict[str, Cell] = {}
    again: dict[str, float] = {}
    for column in columns:
        if column.kind == "category" and column.key in figures:
            cells[column.key] = Cell(figures[column.key])
        elif column.kind == "part":
            name = column.key.rpartition(":")[0]
            found = paper.rows[model].get(name)
            if isinstance(found, list):
                cells[column.key] = Cell(found[paper.parts[name].index(column.metric)])
        elif column.kind == "outside" and column.key in averages:
            again[column.key] = averages[column.key]
    wrong: dict[str, float] = {}
    for key in dict.fromkeys(name.partition("/")[0] for name in figures):
        parts = [figures.get(f"{key}/{c}") for c in BENCHMARKS[key].categories]
        if None in parts:
            continue
        again[key] = mean([p for p in parts if p is not None])
        if (printed := averages.get(key)) is not None:
            if abs(printed - again[key]) > AGREES:
                wrong[key] = printed
            else:
                again[key] = printed
    for column in columns:
        if column.kind in ("benchmark", "outside") and column.key in again:
            cells[column.key] = Cell(again[column.key], printed=wrong.get(column.key))
        elif column.kind in ("suite", "mean"):
            over = [c.key for c in columns if c.kind == "benchmark"]
            over += [c.key for c in columns if c.kind == "outside" and column.kind == MEAN]
            if over and all(key in again for key in over):
                cells[column.key] = Cell(mean([again[key] for key in over]))
    size = next((s for s, models in paper.size_classes.items() if model in models), "")
    facts = (("size", size),) if size else ()
    return Row(model, False, "official", "", paper.source, cells, facts)


def measured_rows(
    submission: Submission, columns: Sequence[Column], paper: Paper | None
) -> Iterator[Row]:
    """The rows of a submission on a sheet: one for each scoring, or one if they agree."""
    rows = {
        role: Row(
            submission.label,
            True,
            role,
            _samples(submission, columns),
            "measured here",
            _cells(submission, role, columns, paper),
            _facts(submission),
            _signatures(submission, role, columns),
        )
        for role in ("official", "corrected")
    }
    official, corrected = rows["official"], rows["corrected"]
    values = [{key: c.value for key, c in row.cells.items()} for row in (official, corrected)]
    if paper is None and values[0] == values[1]:
        yield replace(corrected, scoring="both")
    else:
        yield from (row for row in (official, corrected) if row.cells)


def _cells(
    submission: Submission, role: Role, columns: Sequence[Column], paper: Paper | None
) -> dict[str, Cell]:
    rows = {row.name: row for row in submission.tables[role] if row.level != "task"}
    cells = {}
    for column in columns:
        of = [name for name in submission.tasks if _counts(name, column)]
        if column.kind in ("outside", "mean") or not _whole(of, column):
            continue
        record: Any = rows.get(column.key)
        value = None if record is None else record.score
        low, high = (None, None) if record is None else (record.low, record.high)
        if column.kind == "part":
            value = submission.tasks[of[0]].scorings[role].metrics.get(column.metric)
            low = high = None
        if value is None:
            continue
        why = apart(submission, role, of, paper) if paper else ()
        under = PRINTED if paper and not why else conditions(submission, role, of)
        cells[column.key] = Cell(value, low, high, under=under, apart=why)
    return cells


def _counts(task: str, column: Column) -> bool:
    base = task.partition("+")[0]
    return base in column.tasks or (not column.tasks and task.startswith(column.key))


def _whole(of: Sequence[str], column: Column) -> bool:
    return bool(of) and {name.partition("+")[0] for name in of} >= column.tasks


def _samples(submission: Submission, columns: Sequence[Column]) -> str:
    of = [name for name in submission.tasks if any(_counts(name, c) for c in columns)]
    n = sum(submission.tasks[name].samples for name in of)
    request = submission.request
    if request.limit is not None:
        return f"sampled: {n:,}, {request.limit:,} a task" + _partition(request.partition)
    whole = request.partition == "all"
    return f"full: {n:,}" if whole else f"{n:,}{_partition(request.partition)}"


def _partition(name: str) -> str:
    return "" if name == "all" else f", partition {name}"


def _facts(submission: Submission) -> tuple[tuple[str, str], ...]:
    model, request = submission.model, submission.request
    found = {
        "fingerprint": model.fingerprint or "hidden by a server",
        "chat template": model.chat_template,
        "thinking": model.thinking,
        **submission.environment,
        **{f"version of {name}": value for name, value in submission.versions.items()},
        "seed": str(request.seed),
        "created": submission.created,
    }
    return tuple((name, value) for name, value in found.items() if value)


def _signatures(submission: Submission, role: Role, columns: Sequence[Column]) -> tuple[str, ...]:
    keys = {c.key for c in columns if c.kind in ("suite", "benchmark")}
    rows = [row for row in submission.tables[role] if row.level in ("suite", "benchmark")]
    found = [row.signature for row in rows if row.name in keys]
    if not found:
        names = {name for name in submission.tasks if any(_counts(name, c) for c in columns)}
        found = [
            row.signature
            for row in submission.tables[role]
            if row.level == "task" and row.name in names
        ]
    return tuple(dict.fromkeys(found))
