"""The table of all benchmarks. To add one: write its file, and name it in `TABLE`.

A file defines its tasks and `BENCHMARK`, with the titles of its columns; `TABLE` has its module and
the names of its tasks. Names are known without importing anything; a task's module is imported when
the task is needed, and then checked: what is missing is an `IncompleteTask` that says so.

How figures are aggregated, everywhere: a category is the mean of its tasks, a benchmark the mean of
its categories, a suite the mean of its benchmarks. (A direction of SNS-TransBench is a category
whose figure is itself the mean of BLEU and chrF++, so that benchmark is the mean of four figures,
as published.)
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

from .errors import BadRow, IncompleteTask, UnknownName
from .sources import DataPaths
from .task import LM_EVAL, Benchmark, Category, Task, is_source, stored_chance


@dataclass(frozen=True, slots=True)
class Line:
    """A benchmark's line in the table.

    Attributes:
        module: Defines `BENCHMARK` (or, for several, `BENCHMARKS`: by name, or functions that make
            them).
        tasks: Names of its tasks, in the order of its categories.
    """

    module: str
    tasks: tuple[str, ...]


def _line(module: str, prefix: str, names: str) -> Line:
    return Line(module, tuple(prefix + name for name in names.split()))


_SNS_BENCH = (
    "taxonomy_single taxonomy_multiple hashtag_single hashtag_multiple query_corr_topic "
    "query_corr_explain mrc_simple mrc_complex ner gender chlw query_gen"
)
_GENERATED = "facts word_problems numerals wording layout lists records stories"
_KNOWLEDGE = "mmlu cmmlu ceval-valid gpqa_diamond_zeroshot mmlu_pro bbh " + " ".join(
    f"agieval_gaokao_{subject}"
    for subject in (
        *("biology", "chemistry", "chinese", "english", "geography"),
        *("history", "mathcloze", "mathqa", "physics"),
    )
)
_TRANSLATION = (
    "wmt22_en_zh wmt22_zh_en wmt23_en_zh wmt23_zh_en wmt24_en_zh flores_en_zh flores_zh_en"
)
_GENERAL = "redone.tasks.general.benchmarks"
_MINI = "redone.tasks.mini"
_GENERAL_MINI = "redone.tasks.general_mini.tasks"
_TWEETS = "irony sentiment hate offensive emotion stance"

TABLE: dict[str, Line] = {
    "sns_bench": _line("redone.tasks.sns_bench", "sns_bench/", _SNS_BENCH),
    "sns_trans": _line("redone.tasks.sns_trans", "sns_trans/", "zh_en en_zh"),
    "sns_bench_mini": _line(_MINI, "sns_mini/", _SNS_BENCH),
    "sns_trans_mini": _line(_MINI, "sns_mini/", "zh_en en_zh"),
    "tweeteval": _line("redone.tasks.tweeteval", "tweeteval/", _TWEETS),
    "general_mini": _line(_GENERAL_MINI, "general_mini/", _GENERATED),
    "general_mini_report": _line(_GENERAL_MINI, "general_mini_report/", _GENERATED),
    "general_knowledge": _line(_GENERAL, LM_EVAL, _KNOWLEDGE),
    "general_mathematics": _line(_GENERAL, LM_EVAL, "gsm8k hendrycks_math500 aime25"),
    "general_code": _line(_GENERAL, LM_EVAL, "humaneval mbpp"),
    "general_instruction_following": _line(_GENERAL, LM_EVAL, "ifeval"),
    "general_translation": _line(_GENERAL, "general/", _TRANSLATION),
    "general_hallucination": _line(_GENERAL, "general/", "halueval"),
}
"""Benchmark -> its line, in the order of all tables."""


@dataclass(frozen=True, slots=True)
class Suite:
    """Benchmarks that are run together: title and names."""

    title: str
    benchmarks: tuple[str, ...]


SUITES: Mapping[str, Suite] = {
    "sns": Suite("SNS-Bench and SNS-TransBench", ("sns_bench", "sns_trans")),
    "sns-mini": Suite("Embedded demonstration", ("sns_bench_mini", "sns_trans_mini")),
    "tweeteval": Suite("TweetEval", ("tweeteval",)),
    "general-mini": Suite("General skills, generated and embedded", ("general_mini",)),
    "general-mini-report": Suite(
        "General skills, items for final figures only", ("general_mini_report",)
    ),
    "general": Suite(
        "General abilities",
        tuple(name for name, line in TABLE.items() if line.module == _GENERAL),
    ),
}
DEFAULT_SUITE = "sns-mini"

# --- loading -------------------------------------------------------------------------------------


@contextmanager
def _complete(what: str) -> Iterator[None]:
    """Turns what a definition lacks into one message."""
    try:
        yield
    except IncompleteTask as error:
        raise IncompleteTask(f"{what} is incomplete. {error}") from error
    except (ImportError, AttributeError, NameError, SyntaxError, TypeError) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise IncompleteTask(
            f"{what} is incomplete. {frame.filename}, line {frame.lineno}: {error}"
        ) from error


@cache
def _defined(name: str, line: Line) -> Benchmark:
    """A benchmark as its module defines it."""
    with _complete(f"Benchmark {name!r}"):
        module = import_module(line.module)
        found = getattr(module, "BENCHMARK", None) or getattr(module, "BENCHMARKS", {}).get(name)
        if found is None:
            raise IncompleteTask(f"{line.module} does not define BENCHMARK.")
        benchmark = found if isinstance(found, Benchmark) else found()
        counts = [len(category) for category in benchmark.categories.values()]
        if sum(counts) != len(line.tasks) or not all(counts):
            raise IncompleteTask(
                f"registry.TABLE names {len(line.tasks)} tasks ({', '.join(line.tasks)}), and "
                f"{line.module} has {sum(counts)} in its categories "
                f"({', '.join(benchmark.categories)})."
            )
    return benchmark


@cache
def _benchmark(name: str, line: Line) -> Benchmark:
    """A benchmark whose categories know the names of their tasks, and load them from `TASKS`."""
    defined, names = _defined(name, line), iter(line.tasks)
    categories = {}
    for key, category in defined.categories.items():
        own = tuple(next(names) for _ in category.tasks)
        loaders = tuple(partial(TASKS.__getitem__, task) for task in own)
        categories[key] = Category(category.title, loaders, own)
    return Benchmark(defined.title, categories, defined.note)


@cache
def _task(name: str, benchmark: str, line: Line) -> Task:
    """A task, checked, with its category and its measured chance level."""
    places = [
        (key, category, place)
        for key, category in _defined(benchmark, line).categories.items()
        for place in range(len(category))
    ]
    key, category, place = places[line.tasks.index(name)]
    with _complete(f"Benchmark {benchmark!r}, task {name!r}"):
        task = category[place]
        if task.name != name:
            raise IncompleteTask(f"registry.TABLE has it where its module has {task.name!r}.")
        if task.category not in ("", key):
            raise IncompleteTask(f"It is in category {key!r}, and says {task.category!r}.")
        if task.dataset is not None:
            from .datasets import datasets

            if task.dataset not in datasets():
                raise IncompleteTask(f"Its dataset {task.dataset!r} has no entry in datasets.toml.")
    chance = task.chance if task.chance.known else stored_chance().get(name, task.chance)
    return replace(task, category=key, chance=chance)


def _benchmark_of() -> dict[str, str]:
    """Task -> benchmark, in the order of the tables."""
    return {task: name for name, line in TABLE.items() for task in line.tasks}


T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Lazy(Mapping[str, T]):
    """Values that are loaded when they are looked up, by names that are known before."""

    names: Callable[[], Mapping[str, Any]]
    load: Callable[[str], T]

    def __getitem__(self, name: str) -> T:
        if name not in self.names():
            raise KeyError(name)
        return self.load(name)

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())


BENCHMARKS: Mapping[str, Benchmark] = _Lazy(
    lambda: TABLE, lambda name: _benchmark(name, TABLE[name])
)
"""Every benchmark by name, in the order of the tables."""


def _load_task(name: str) -> Task:
    benchmark = _benchmark_of()[name]
    return _task(name, benchmark, TABLE[benchmark])


TASKS: Mapping[str, Task] = _Lazy(_benchmark_of, _load_task)
"""Every task by name, in the order of the tables. Names cost nothing; values import modules."""


def category_title(task: Task) -> str:
    """The title of a task's column; the column's own name where no table has the task."""
    benchmark = _benchmark_of().get(_base(task.name))
    return BENCHMARKS[benchmark].categories[task.category].title if benchmark else task.category


# --- finding -------------------------------------------------------------------------------------


def by_name(name: str, data: DataPaths | None = None) -> Task:
    """The task of a name; `lm_eval:NAME` may be any that lm-eval defines.

    Args:
        name: The name.
        data: Where tasks find their data; None: as the environment says.

    Raises:
        UnknownName: There is none.
        IncompleteTask: Its definition leaves something out.
    """
    if name.startswith(LM_EVAL) and (data is not None or name not in TASKS):
        from .general.lm_eval_tasks import tabled, task_of

        return tabled(name, data) or task_of(name, data)
    if name not in TASKS:
        return _own(name, data)
    task = TASKS[name]
    if task.kind == "mirror" and data is not None:
        return replace(task, read=cast(Any, task.read).using(data))
    return task


def _own(name: str, data: DataPaths | None) -> Task:
    """A task of the user's own: of a file or a folder that the command names, or of a plugin.

    Raises:
        UnknownName: There is none.
    """
    known = _unlisted(data)
    if name not in known:
        listing = "a task in code needs its package, or $REDONE_TASKS."
        raise UnknownName("task", name, {**TASKS, **known}, listing)
    return known[name]


def _unlisted(data: DataPaths | None) -> dict[str, Task]:
    """The tasks that no table has: those of `$REDONE_TASKS`, then those of plugins."""
    from .task_file.locate import plugins

    return {**plugins(), **_own_tasks((data or DataPaths.resolve(create=True)).tasks)}


def record_of(task: Task) -> dict[str, Any] | None:
    """What a run keeps of a task so that `of_run` needs nothing else; None for one of a table."""
    if _base(task.name) in TASKS:
        return None
    if not task.name.startswith(LM_EVAL):
        from .task_file.build import record_of as record_of_file

        return record_of_file(task)
    from .general.lm_eval_tasks import record_of

    record = record_of(task)
    return None if record is None else record.model_dump()


def of_run(name: str, definitions: Mapping[str, Any], data: DataPaths | None = None) -> Task:
    """The task of a name in a run, whose record (`record_of`) counts where no table has the task.

    Args:
        name: The name.
        definitions: The run's records by name.
        data: As in `by_name`.

    Raises:
        UnknownName: There is none.
        BadRow: The record has another form.
    """
    if name not in definitions or _base(name) in TASKS:
        return by_name(name, data)
    if not name.startswith(LM_EVAL):
        from .task_file.build import recorded as recorded_file

        return recorded_file(definitions[name], name)
    from pydantic import ValidationError

    from .general.lm_eval_tasks import recorded
    from .general.recorded import RecordedTask

    try:
        return recorded(name, RecordedTask.model_validate(definitions[name]))
    except ValidationError as error:
        raise BadRow(f"The record of {name}: {error.errors()[0]['msg']}.") from None


def suite_names(name: str) -> list[str]:
    """The names of a suite's tasks, in order; imports nothing.

    Args:
        name: Of a suite. `general+chat` sends lm-eval's tasks through the chat template; other
            variants likewise.

    Raises:
        UnknownName: There is no such suite.
    """
    base, plus, variants = name.partition("+")
    if base not in SUITES:
        raise UnknownName("suite", name, SUITES)
    found = [task for b in SUITES[base].benchmarks for task in TABLE[b].tasks]
    return [task + plus + variants if task.startswith(LM_EVAL) else task for task in found]


def suite_tasks(name: str, data: DataPaths | None = None) -> list[Task]:
    """The tasks of a suite, in order; arguments and errors as in `suite_names` and `by_name`."""
    return [by_name(task, data) for task in suite_names(name)]


def find(
    suite: str | None = None, tasks: str | None = None, data: DataPaths | None = None
) -> list[Task]:
    """The tasks that a command line selects, each once, in the order of the tables.

    Args:
        suite: Names of suites, comma separated.
        tasks: Names of tasks, benchmarks or suites, or globs of task names (`sns_bench/mrc*`),
            comma separated; any task, group or tag of lm-eval's as `lm_eval:NAME`. With `suite`,
            only tasks of that suite are selected. The user's own tasks (a task file, a folder of
            them, `module:NAME`) come on top of these.
        data: Where tasks find their data; None: as the environment says.

    Returns:
        Those of the suite if only it is given, those of `sns-mini` if nothing is.

    Raises:
        UnknownName: A name that matches nothing, with the nearest ones that do.
        IncompleteTask: The definition of a task that is selected leaves something out.
        MissingData, BadRow: A task file cannot be read.
    """
    patterns = [pattern for pattern in _split(tasks) if not is_source(pattern)]
    own = _own_tasks(pattern for pattern in _split(tasks) if is_source(pattern))
    suites = _split(suite) or ([] if tasks else [DEFAULT_SUITE])
    allowed = dict.fromkeys(name for each in suites for name in suite_names(each))
    found: dict[str, Task | None] = dict(own)
    if not patterns:
        found |= dict.fromkeys(allowed)
    for pattern in patterns:
        matched = _matching(pattern, allowed or TASKS, data, outside=not suites)
        if not matched and Path(pattern).is_dir():
            matched = dict(_own_tasks([f"{pattern}/"]))
        if not matched:
            known = {*(allowed or TASKS), *({*SUITES, *BENCHMARKS} - set(suites))}
            raise UnknownName("task", pattern, known)
        found |= matched
    place = {name: number for number, name in enumerate(TASKS)}
    names = sorted(found, key=lambda name: place.get(_base(name), len(place)))
    return [found[name] or by_name(name, data) for name in names]


def _own_tasks(sources: Iterable[str]) -> dict[str, Task]:
    """The user's own tasks by name; none may hide one of a table."""
    if not (sources := tuple(sources)):
        return {}
    from .task_file.locate import tasks_of

    own = tasks_of(sources)
    benchmarks = {name.partition("/")[0] for name in TASKS}
    for name in own:
        if name in TASKS:
            raise BadRow(f"{', '.join(sources)}: {name!r} is the name of a built-in task.")
        if name.partition("/")[0] in benchmarks:
            raise BadRow(
                f"{', '.join(sources)}: {name!r} is in a built-in benchmark. Choose another first "
                "part of the name."
            )
    return own


def _split(names: str | None) -> list[str]:
    return [name.strip() for name in (names or "").split(",") if name.strip()]


def _base(name: str) -> str:
    """A task's name without its variants."""
    return name.partition("+")[0]


def _matching(
    pattern: str, allowed: Mapping[str, object], data: DataPaths | None, outside: bool
) -> dict[str, Task | None]:
    """The names of the tasks that one name or glob selects, with the task if it was built.

    Args:
        pattern: The name.
        allowed: Names that may be selected.
        data: Where tasks find their data.
        outside: Whether tasks of lm-eval's that are in no table may be selected too.
    """
    if _base(pattern) in SUITES:
        found = suite_names(pattern)
    elif pattern in TABLE:
        found = list(TABLE[pattern].tasks)
    else:
        found = [name for name in allowed if fnmatchcase(name, pattern)]
        if not found and outside and "/" in pattern and not pattern.startswith(LM_EVAL):
            return {n: task for n, task in _unlisted(data).items() if fnmatchcase(n, pattern)}
        if not found and outside and pattern.startswith(LM_EVAL) and pattern != LM_EVAL:
            from .general.lm_eval_tasks import tabled, tasks_of

            one = tabled(pattern, data)
            return {task.name: task for task in ([one] if one else tasks_of(pattern, data))}
    return {n: None for n in found if n in allowed or (outside and _base(n) in allowed)}


# --- the table of scores -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of a table of scores.

    Attributes:
        level: `task`, `category`, `benchmark` or `suite`.
        name: Of the task, category (`benchmark/category`), benchmark or suite.
        title: For people; says so where tasks are left out.
        of: The tasks that it is made of, in order.
        groups: Nested as the mean is taken: a task's name, or a sequence of groups.
    """

    level: str
    name: str
    title: str
    of: tuple[str, ...]
    groups: tuple


def table_of(names: Sequence[str]) -> list[TableRow]:
    """The rows of the table of some tasks, each category before its tasks, means after their parts.

    Args:
        names: Of tasks of the registry, or of any of lm-eval's. A mean over fewer tasks than it
            stands for says so.
    """
    rows: list[TableRow] = []
    benchmarks: dict[str, TableRow] = {}
    for key, line in TABLE.items():
        own = [name for name in names if _base(name) in line.tasks]
        means = []
        for name, category in BENCHMARKS[key].categories.items() if own else ():
            tasks = [task for task in own if _base(task) in category.names]
            if tasks:
                leaves = [_leaf(task, TASKS[_base(task)].title) for task in tasks]
                mean = _mean("category", f"{key}/{name}", category.title, leaves, len(category))
                means.append(mean)
                rows += [mean, *leaves]
        if means:
            title = BENCHMARKS[key].title
            benchmarks[key] = _mean("benchmark", key, title, means, len(line.tasks))
            rows.append(benchmarks[key])
    # Tasks that no table holds: lm-eval's by the group or tag that named them, others by their
    # benchmark.
    groups: dict[str, list[TableRow]] = {}
    for name in names:
        if _base(name) not in TASKS:
            whole, _, member = _base(name).partition("/")
            member = member or whole.removeprefix(LM_EVAL)
            groups.setdefault(whole, []).append(_leaf(name, member))
    for whole, leaves in groups.items():
        title = whole.removeprefix(LM_EVAL)
        rows += [_mean("category", whole, title, leaves, len(leaves)), *leaves]
    for key, suite in SUITES.items():
        parts = [benchmarks[b] for b in suite.benchmarks if b in benchmarks]
        if parts:
            rows.append(_mean("suite", key, suite.title, parts, len(suite_names(key))))
    return rows


OWN_SUITE = "own"


def own_suite(rows: Sequence[TableRow]) -> TableRow | None:
    """The tasks of a table that no suite has, as one suite: the mean of their categories."""
    inside = {name for row in rows if row.level == "suite" for name in row.of}
    parts = [row for row in rows if row.level == "category" and inside.isdisjoint(row.of)]
    count = sum(len(row.of) for row in parts)
    return _mean("suite", OWN_SUITE, "Tasks in no suite", parts, count) if parts else None


def _leaf(name: str, title: str) -> TableRow:
    variants = "".join(f", {variant}" for variant in name.split("+")[1:])
    return TableRow("task", name, title + variants, (name,), (name,))


def _mean(level: str, name: str, title: str, parts: Sequence[TableRow], whole: int) -> TableRow:
    of = tuple(task for part in parts for task in part.of)
    if len(of) < whole:
        title = f"{title} ({len(of)} of {whole} tasks)"
    groups = tuple(p.groups[0] if len(p.groups) == 1 else p.groups for p in parts)
    return TableRow(level, name, title, of, groups)
