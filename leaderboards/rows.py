"""The rows and columns of the board: printed and measured scores, each with its conditions.

Scores of one column are ranked together only if they were measured under the same conditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from ..harness.published.paper import Paper, mean, why_not_comparable
from ..harness.records import digest, services_of
from ..tasks.registry import BENCHMARKS, SUITES
from .schema import Role, Submission

MEAN = "mean"
"""Key of the mean over benchmarks and outside averages, which the headline of a paper compares."""
PARTS = {"bleu": "BLEU", "chrf++": "chrF++"}
DIRECTIONS = {"zh_en": "zh→en", "en_zh": "en→zh"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        key: As in a table of scores (`sns_bench/ner`); a part has its metric after `:`.
        title: Display name.
        kind: `mean` and `outside` exist in print only: they cover tasks that no run here has.
        tasks: Every task that its score covers.
        metric: Of a part: one of several metrics whose mean is the category.
    """

    key: str
    title: str
    kind: Literal["suite", "benchmark", "category", "part", "outside", "mean"]
    tasks: frozenset[str] = frozenset()
    metric: str = ""

    @property
    def total(self) -> bool:
        """Whether it is a mean over categories or more."""
        return self.kind in ("suite", "benchmark", "outside", "mean")


def columns_of(suite: str, paper: Paper | None = None) -> tuple[Column, ...]:
    """The columns of a suite's sheet, means first.

    Args:
        suite: Name.
        paper: Whose rows are on the sheet too.
    """
    benchmarks = SUITES[suite].benchmarks
    parts: list[Column] = []
    for key in benchmarks:
        for category, column in BENCHMARKS[key].categories.items():
            name = f"{key}/{category}"
            of, title = frozenset(column.names), column.title
            parts.append(Column(name, title, "category", of))
            for metric in paper.parts.get(name, ()) if paper else ():
                titled = f"{DIRECTIONS.get(category, title)} {PARTS.get(metric, metric)}"
                parts.append(Column(f"{name}:{metric}", titled, "part", of, metric))
    means = [_benchmark(key) for key in benchmarks]
    every = frozenset(name for mean in means for name in mean.tasks)
    whole = Column(suite, "Mean of both" if len(means) == 2 else "Mean", "suite", every)
    totals = [whole, *means] if len(means) > 1 else [Column(suite, means[0].title, "suite", every)]
    outside = (
        [Column(key, title, "outside") for key, title in paper.outside.items()] if paper else []
    )
    if outside:
        totals += [*outside, mean_column(len(outside) + len(means))]
    return (*totals, *parts)


def mean_column(over: int) -> Column:
    """The mean over all averages of a paper."""
    return Column(MEAN, "Mean of the three" if over == 3 else "Mean of all", "mean")


def printed_columns(paper: Paper, names: Sequence[str]) -> tuple[Column, ...]:
    """Columns of a further table of a paper, in its order."""

    def column(name: str) -> Column:
        if name in paper.outside:
            return Column(name, paper.outside[name], "outside")
        key, _, category = name.partition("/")
        if not category:
            return _benchmark(key)
        return Column(name, BENCHMARKS[key].categories[category].title, "category")

    return tuple(map(column, names))


def _benchmark(key: str) -> Column:
    benchmark = BENCHMARKS[key]
    of = frozenset(task.name for task in benchmark.tasks)
    # The part after the comma says which sheet it is.
    return Column(key, benchmark.title.partition(",")[0], "benchmark", of)


class Condition(NamedTuple):
    """What must be equal: its name, its value, and the value as displayed."""

    field: str
    value: str
    display: str


def conditions(submission: Submission, role: Role, of: Sequence[str]) -> tuple[Condition, ...]:
    """The conditions of a score over some tasks of a submission."""
    tasks = {name: submission.tasks[name] for name in sorted(of)}
    records = {name: task.scorings[role] for name, task in tasks.items()}
    settings = {name: task.settings for name, task in tasks.items()}
    services = {n: sorted(services_of(r.signature).items()) for n, r in records.items()}
    scored = {name: task.samples - records[name].not_scored for name, task in tasks.items()}
    samples = {n: (t.data, scored[n]) for n, t in tasks.items()}
    words = [r.scoring for r in records.values()]
    words += [f"{need} {name}" for found in services.values() for need, name in found]
    request, thinking = submission.request, submission.model.thinking or "auto"
    found: dict[str, tuple[Any, str]] = {
        "tasks": (list(tasks), f"{len(tasks)} tasks"),
        "task versions": ({n: t.version for n, t in tasks.items()}, ""),
        "samples": (samples, f"{sum(scored.values()):,} samples ({digest(samples)})"),
        "prompts": ({n: t.prompt for n, t in tasks.items()}, ""),
        "protocol": (
            {n: t.protocol for n, t in tasks.items()},
            " and ".join(sorted({t.protocol or "redone's own" for t in tasks.values()})),
        ),
        "scoring": (
            {n: (records[n].scoring, services[n]) for n in tasks},
            ", ".join(dict.fromkeys(words)),
        ),
        "limits": (
            {
                n: (s.max_tokens, list(s.stop), s.max_thinking_tokens, s.max_repetition)
                for n, s in settings.items()
            },
            "",
        ),
        "sampling": ({n: (s.temperature, s.top_p, s.top_k) for n, s in settings.items()}, ""),
        "partition": (request.partition, request.partition),
        "draws": (request.draws, str(request.draws)),
        "system text": (request.system, ""),
        "thinking": (thinking, thinking),
    }
    marks = {field: digest(value) for field, (value, _) in found.items()}
    return tuple(Condition(f, marks[f], display or marks[f]) for f, (_, display) in found.items())


def differences(main: Sequence[Condition], other: Sequence[Condition]) -> list[str]:
    """How the conditions of one score differ from those of another, in words."""
    return [
        f"{two.field}: {two.display}, not {one.display}"
        for one, two in zip(main, other, strict=True)
        if one.value != two.value
    ]


def apart(submission: Submission, role: Role, of: Sequence[str], paper: Paper) -> tuple[str, ...]:
    """Why a score is not ranked with the paper's; empty if it is."""
    request = {name: submission.tasks[name].model_dump() for name in of}
    results = {name: task["scorings"][role] for name, task in request.items()}
    by_category: dict[str, list[str]] = {}
    for name in of:
        by_category.setdefault(_category(name), []).append(name)
    reasons = [
        reason
        for category, tasks in by_category.items()
        for reason in why_not_comparable(paper, category, tasks, request, results)
    ]
    if submission.request.system is not None:
        reasons.append("another system text")
    if submission.request.draws > 1:
        reasons.append("several sampled answers per sample")
    return tuple(dict.fromkeys(reasons))


def _category(task: str) -> str:
    base = task.partition("+")[0]
    return next(
        f"{key}/{category}"
        for key, benchmark in BENCHMARKS.items()
        for category, tasks in benchmark.categories.items()
        if base in (t.name for t in tasks)
    )


PRINTED: tuple[Condition, ...] = ()
"""Of every printed score: whatever the authors did."""
AGREES = 0.015
"""Points by which a printed average may differ from the mean of its printed parts: half of the last
digit for the rounding of the average, and the last digit that may have been cut off its parts."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A score, in points.

    Attributes:
        value: An average as printed if it agrees with its parts, else recomputed from them.
        low, high: The 95 % interval, where there is one.
        printed: The average as printed, where it disagrees with its own row.
        under: The conditions; scores of a column are ranked together where these are equal.
        apart: Why it is not ranked with printed scores.
    """

    value: float
    low: float | None = None
    high: float | None = None
    printed: float | None = None
    under: tuple[Condition, ...] = PRINTED
    apart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BoardRow:
    """The scores of a model.

    Attributes:
        label: The model.
        measured: Whether measured by redone, or else as a paper prints them.
        scoring: `official`, `corrected`, or `both` where all scores are the same.
        samples: How many, and whether that is all of them; "" for printed rows.
        source: Paper and table, or who measured.
        cells: By column; incomplete scores are absent.
        facts: Name and value of what else is known.
        signatures: Of the sheet's scores; none for printed ones.
    """

    label: str
    measured: bool
    scoring: str
    samples: str
    source: str
    cells: Mapping[str, Cell]
    facts: tuple[tuple[str, str], ...] = ()
    signatures: tuple[str, ...] = ()


def printed_row(paper: Paper, model: str, columns: Sequence[Column]) -> BoardRow:
    """A row of a paper's first table."""
    figures, averages = paper.figures(model), paper.averages(model)
    totals = {key: averages[key] for key in paper.outside if key in averages}
    wrong: dict[str, float] = {}
    for key in dict.fromkeys(name.partition("/")[0] for name in figures):
        parts = [figures.get(f"{key}/{category}") for category in BENCHMARKS[key].categories]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            continue
        again = mean(known)
        printed = averages.get(key, again)
        if abs(printed - again) > AGREES:
            wrong[key] = printed
        totals[key] = again if key in wrong else printed

    def value_of(column: Column) -> float | None:
        if column.kind == "category":
            return figures.get(column.key)
        if column.kind == "part":
            name = column.key.rpartition(":")[0]
            found = paper.rows[model].get(name)
            several = isinstance(found, list)
            return found[paper.parts[name].index(column.metric)] if several else None
        if column.kind in ("benchmark", "outside"):
            return totals.get(column.key)
        kinds = ("benchmark", "outside") if column.kind == MEAN else ("benchmark",)
        over = [c.key for c in columns if c.kind in kinds]
        return mean([totals[k] for k in over]) if over and totals.keys() >= set(over) else None

    cells = {
        column.key: Cell(value, printed=wrong.get(column.key))
        for column in columns
        if (value := value_of(column)) is not None
    }
    size = next((s for s, models in paper.size_classes.items() if model in models), "")
    facts = (("size", size),) if size else ()
    return BoardRow(model, False, "official", "", paper.source, cells, facts)


def measured_rows(
    submission: Submission, columns: Sequence[Column], paper: Paper | None
) -> list[BoardRow]:
    """The rows of a submission on a sheet: one per scoring, or one if both agree."""
    roles: tuple[Role, Role] = ("official", "corrected")
    rows = [
        BoardRow(
            submission.model.name,
            True,
            role,
            _samples(submission, columns),
            "measured here",
            _cells(submission, role, columns, paper),
            _facts(submission),
            _signatures(submission, role, columns),
        )
        for role in roles
    ]
    official, corrected = [{key: c.value for key, c in row.cells.items()} for row in rows]
    if paper is None and official == corrected:
        rows = [replace(rows[1], scoring="both")]
    return [row for row in rows if row.cells]


def _cells(
    submission: Submission, role: Role, columns: Sequence[Column], paper: Paper | None
) -> dict[str, Cell]:
    rows = {row.name: row for row in submission.tables[role] if row.level != "task"}
    cells = {}
    for column in columns:
        of = [name for name in submission.tasks if _counts(name, column)]
        whole = of and {name.partition("+")[0] for name in of} >= column.tasks
        if column.kind in ("outside", "mean") or not whole:
            continue
        low = high = None
        if column.kind == "part":
            value = submission.tasks[of[0]].scorings[role].metrics.get(column.metric)
        else:
            record = rows.get(column.key)
            value = record.score if record else None
            low, high = (record.low, record.high) if record else (None, None)
        if value is None:
            continue
        why = apart(submission, role, of, paper) if paper else ()
        under = PRINTED if paper and not why else conditions(submission, role, of)
        cells[column.key] = Cell(value, low, high, under=under, apart=why)
    return cells


def _counts(task: str, column: Column) -> bool:
    base = task.partition("+")[0]
    return base in column.tasks or (not column.tasks and task.startswith(column.key))


def _samples(submission: Submission, columns: Sequence[Column]) -> str:
    of = [name for name in submission.tasks if any(_counts(name, c) for c in columns)]
    n = sum(submission.tasks[name].samples for name in of)
    request = submission.request
    partition = "" if request.partition == "all" else f", partition {request.partition}"
    total = sum(submission.tasks[name].of or submission.tasks[name].samples for name in of)
    if total > n:
        return f"subset: {n:,} of {total:,} samples, those with a prediction{partition}"
    if request.limit is not None:
        return f"subset: {n:,} samples, {request.limit:,} per task{partition}"
    return f"{n:,} samples{partition}" if partition else f"full: {n:,} samples"


def _facts(submission: Submission) -> tuple[tuple[str, str], ...]:
    model, request = submission.model, submission.request
    protocols = sorted({task.protocol for task in submission.tasks.values() if task.protocol})
    found = {
        "protocol": ", ".join(protocols),
        "fingerprint": model.fingerprint or "unknown (behind a server)",
        "chat template": model.chat_template,
        "thinking": model.thinking,
        **submission.environment,
        **{f"version of {name}": value for name, value in submission.versions.items()},
        "seed": str(request.seed),
        "created": submission.created,
    }
    return tuple((name, value) for name, value in found.items() if value)


def _signatures(submission: Submission, role: Role, columns: Sequence[Column]) -> tuple[str, ...]:
    """Of the means on the sheet; without any, of its tasks."""
    keys = {c.key for c in columns if c.kind in ("suite", "benchmark")}
    table = submission.tables[role]
    found = [r for r in table if r.level in ("suite", "benchmark") and r.name in keys]
    if not found:
        tasks = [row for row in table if row.level == "task"]
        found = [row for row in tasks if any(_counts(row.name, c) for c in columns)]
    return tuple(dict.fromkeys(row.signature for row in found))
