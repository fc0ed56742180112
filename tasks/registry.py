"""The table of all tasks, benchmarks and suites. To add a task: write it, and name it here.

How figures are put together, everywhere: a category is the mean of its tasks, a benchmark the mean
of its categories, a suite the mean of its benchmarks. (A direction of SNS-TransBench is a category
whose figure is itself the mean of BLEU and chrF++, so that benchmark is the mean of four figures,
as published.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from . import sns_trans, tweeteval
from .errors import UnknownName
from .general import halueval, translation
from .general.definitions import PREFIX
from .general.table import GENERAL, tabled
from .general_mini.tasks import GENERAL_MINI, GENERAL_MINI_REPORT
from .schema import Chance, Task
from .sns_bench import chlw, gender, hashtag, ner, query_corr, taxonomy
from .sns_bench.mrc_complex import MRC_COMPLEX
from .sns_bench.mrc_simple import MRC_SIMPLE
from .sns_bench.query_gen import QUERY_GEN
from .sources import JsonReader


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is published as one score.

    Attributes:
        title: For people.
        categories: Name -> tasks, in the order of the published table.
    """

    title: str
    categories: Mapping[str, tuple[Task, ...]]

    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(task for tasks in self.categories.values() for task in tasks)


@dataclass(frozen=True, slots=True)
class Suite:
    """Benchmarks that are run together: title and names."""

    title: str
    benchmarks: tuple[str, ...]


def _mini(categories: Mapping[str, tuple[Task, ...]]) -> dict[str, tuple[Task, ...]]:
    """The embedded twins: the same questions and judgement on items written for this project."""
    return {name: tuple(map(_twin, tasks)) for name, tasks in categories.items()}


def _twin(task: Task) -> Task:
    subtask = task.name.partition("/")[2]
    if not isinstance(task.read, JsonReader):
        raise TypeError(f"{task.name} is not read by a JsonReader, so it has no embedded twin.")
    return replace(
        task,
        name=f"sns_mini/{subtask}",
        title=f"{task.title}, demonstration",
        language="mul",
        dataset=None,
        read=replace(task.read, path=f"{subtask}.jsonl", embedded=True),
        chance=_MINI_CHANCE[subtask],
        citation=f"Items written for redone, in the form of: {task.citation}",
    )


_SNS_BENCH = {
    "taxonomy": (taxonomy.SINGLE, taxonomy.MULTIPLE),
    "hashtag": (hashtag.SINGLE, hashtag.MULTIPLE),
    "query_corr": (query_corr.TOPIC, query_corr.EXPLAIN),
    "mrc": (MRC_SIMPLE, MRC_COMPLEX),
    "ner": (ner.TASK,),
    "gender": (gender.TASK,),
    "chlw": (chlw.TASK,),
    "query_gen": (QUERY_GEN,),
}
_SNS_TRANS = {"zh_en": (sns_trans.ZH_EN,), "en_zh": (sns_trans.EN_ZH,)}

_GENERAL = {
    **GENERAL,
    "translation": translation.TASKS,
    "hallucination": {"halueval": (halueval.TASK,)},
}

_MINI_CHANCE = {
    "taxonomy_single": Chance(metric=12.38, value=0.13),
    "taxonomy_multiple": Chance(metric=6.25, value=0.07),
    "hashtag_single": Chance(metric=19.32, value=0.2),
    "hashtag_multiple": Chance(metric=48.7, value=0.49),
    "query_corr_topic": Chance(metric=18.0, value=0.25),
    "query_corr_explain": Chance(metric=50.47, value=0.51),
    "mrc_simple": Chance(metric=45.33, value=0.43),
    "mrc_complex": Chance(metric=30.27, value=0.38),
    "ner": Chance(metric=10.53, value=0.11),
    "gender": Chance(metric=50.0, value=0.5),
    "chlw": Chance(metric=47.06, value=0.5),
    "query_gen": Chance(metric=37.4, value=0.38),
    "zh_en": Chance(metric=16.44, value=0.21),
    "en_zh": Chance(metric=16.07, value=0.09),
}
"""Chance levels of the embedded items; `redone-tasks check sns-mini` proves them."""


def _by_category(tasks: Sequence[Task]) -> dict[str, tuple[Task, ...]]:
    return {
        category: tuple(task for task in tasks if task.category == category)
        for category in dict.fromkeys(task.category for task in tasks)
    }


BENCHMARKS: Mapping[str, Benchmark] = {
    "sns_bench": Benchmark("SNS-Bench", _SNS_BENCH),
    "sns_trans": Benchmark("SNS-TransBench", _SNS_TRANS),
    "sns_bench_mini": Benchmark("SNS-Bench, embedded demonstration", _mini(_SNS_BENCH)),
    "sns_trans_mini": Benchmark("SNS-TransBench, embedded demonstration", _mini(_SNS_TRANS)),
    "tweeteval": Benchmark("TweetEval", {task.category: (task,) for task in tweeteval.TWEETEVAL}),
    "general_mini": Benchmark("General skills, generated", _by_category(GENERAL_MINI)),
    "general_mini_report": Benchmark(
        "General skills, generated, for final figures", _by_category(GENERAL_MINI_REPORT)
    ),
    **{
        f"general_{capability.replace(' ', '_')}": Benchmark(f"General: {capability}", categories)
        for capability, categories in _GENERAL.items()
    },
}

SUITES: Mapping[str, Suite] = {
    "sns": Suite("SNS-Bench and SNS-TransBench", ("sns_bench", "sns_trans")),
    "sns-mini": Suite("Embedded demonstration", ("sns_bench_mini", "sns_trans_mini")),
    "tweeteval": Suite("TweetEval", ("tweeteval",)),
    "general-mini": Suite("General skills, generated and embedded", ("general_mini",)),
    "general-mini-report": Suite(
        "General skills, items for final figures only", ("general_mini_report",)
    ),
    "general": Suite(
        "General abilities", tuple(f"general_{c.replace(' ', '_')}" for c in _GENERAL)
    ),
}
DEFAULT_SUITE = "sns-mini"

CATEGORIES: Mapping[str, str] = {
    "taxonomy": "Taxonomy",
    "hashtag": "Hashtag",
    "query_corr": "QueryCorr",
    "mrc": "MRC",
    "ner": "NER",
    "gender": "Gender",
    "chlw": "CHLW",
    "query_gen": "QueryGen",
    "zh_en": "Chinese to English",
    "en_zh": "English to Chinese",
    "irony": "Irony",
    "sentiment": "Sentiment",
    "hate": "Hate",
    "offensive": "Offensive",
    "emotion": "Emotion",
    "stance": "Stance",
    "knowledge": "Knowledge",
    "mathematics": "Mathematics",
    "instructions": "Instruction following",
    "transformation": "Transformation",
    "reading": "Reading",
    **{
        category: tasks[0].title
        for categories in _GENERAL.values()
        for category, tasks in categories.items()
    },
    "gaokao": "Gaokao (AGIEval)",
    **{name: title for name, (title, _, _) in translation.SETS.items()},
}
"""Titles of the categories."""

TASKS: Mapping[str, Task] = {t.name: t for b in BENCHMARKS.values() for t in b.tasks}
"""Every task by name, in the order of the tables."""


def by_name(name: str) -> Task:
    """The task of a name; `lm_eval:NAME` may be any that lm-eval defines.

    Raises:
        UnknownName: There is none.
    """
    if name in TASKS:
        return TASKS[name]
    if name.startswith(PREFIX):
        from .general.bridge import task_of

        return tabled(name) or task_of(name)
    raise UnknownName("task", name, TASKS)


def suite_tasks(name: str) -> list[Task]:
    """The tasks of a suite, in order.

    Args:
        name: Of a suite. `general+chat` asks lm-eval's tasks through the chat template; other
            variants likewise.

    Raises:
        UnknownName: There is no such suite.
    """
    base, plus, variants = name.partition("+")
    if base not in SUITES:
        raise UnknownName("suite", name, SUITES)
    found = [task for b in SUITES[base].benchmarks for task in BENCHMARKS[b].tasks]
    return [
        by_name(task.name + plus + variants) if task.name.startswith(PREFIX) else task
        for task in found
    ]


def find(suite: str | None = None, tasks: str | None = None) -> list[Task]:
    """The tasks that a command line means, each once, in the order of the tables.

    Args:
        suite: Names of suites, comma separated.
        tasks: Names of tasks, benchmarks or suites, or globs of task names (`sns_bench/mrc*`),
            comma separated; any task, group or tag of lm-eval's as `lm_eval:NAME`. With `suite`,
            only tasks of that suite can be meant.

    Returns:
        Those of the suite if only it is given, those of `sns-mini` if nothing is.

    Raises:
        UnknownName: A name that means nothing, with the nearest ones that do.
    """
    names = _split(suite) or ([] if tasks else [DEFAULT_SUITE])
    allowed = {task.name: task for name in names for task in suite_tasks(name)}
    chosen = allowed
    if tasks:
        chosen = {}
        for pattern in _split(tasks):
            meant = _meant(pattern, allowed or TASKS, outside=not names)
            if not meant:
                known = {*(allowed or TASKS), *({*SUITES, *BENCHMARKS} - set(names))}
                raise UnknownName("task", pattern, known)
            chosen |= meant
    place = {name: number for number, name in enumerate(TASKS)}
    return sorted(chosen.values(), key=lambda task: place.get(_base(task.name), len(place)))


def _split(names: str | None) -> list[str]:
    return [name.strip() for name in (names or "").split(",") if name.strip()]


def _base(name: str) -> str:
    """A task's name without its variants."""
    return name.partition("+")[0]


def _meant(pattern: str, allowed: Mapping[str, Task], outside: bool) -> dict[str, Task]:
    """The tasks that one name or glob means.

    Args:
        pattern: The name.
        allowed: Those that may be meant.
        outside: Whether tasks of lm-eval's that are in no table may be meant too.
    """
    if _base(pattern) in SUITES:
        found = suite_tasks(pattern)
    elif pattern in BENCHMARKS:
        found = list(BENCHMARKS[pattern].tasks)
    else:
        found = [task for name, task in allowed.items() if fnmatchcase(name, pattern)]
        if not found and outside and pattern.startswith(PREFIX) and pattern != PREFIX:
            from .general.bridge import tasks_of

            one = tabled(pattern)
            return {task.name: task for task in ([one] if one else tasks_of(pattern))}
    return {
        task.name: task
        for task in found
        if task.name in allowed or (outside and _base(task.name) in allowed)
    }


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of a table of scores.

    Attributes:
        level: `task`, `category`, `benchmark` or `suite`.
        name: Of the task, category (`benchmark/category`), benchmark or suite.
        title: For people; says so where tasks are left out.
        of: The tasks that count in, in order.
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
    for key, benchmark in BENCHMARKS.items():
        categories = []
        for category, tasks in benchmark.categories.items():
            titles = {task.name: task.title for task in tasks}
            leaves = [_leaf(name, titles[_base(name)]) for name in names if _base(name) in titles]
            if not leaves:
                continue
            name, title = f"{key}/{category}", CATEGORIES[category]
            categories.append(_mean("category", name, title, leaves, len(tasks)))
            rows += [categories[-1], *leaves]
        if categories:
            whole = len(benchmark.tasks)
            benchmarks[key] = _mean("benchmark", key, benchmark.title, categories, whole)
            rows.append(benchmarks[key])
    rows += _untabled([name for name in names if _base(name) not in TASKS])
    for key, suite in SUITES.items():
        parts = [benchmarks[b] for b in suite.benchmarks if b in benchmarks]
        if parts:
            rows.append(_mean("suite", key, suite.title, parts, len(suite_tasks(key))))
    return rows


def _leaf(name: str, title: str) -> TableRow:
    variants = "".join(f", {variant}" for variant in name.split("+")[1:])
    return TableRow("task", name, title + variants, (name,), (name,))


def _untabled(names: Sequence[str]) -> list[TableRow]:
    """Tasks of lm-eval's that no table holds, by the group or tag that they were named by."""
    groups: dict[str, list[TableRow]] = {}
    for name in names:
        whole, _, member = _base(name).removeprefix(PREFIX).partition("/")
        groups.setdefault(whole, []).append(_leaf(name, member or whole))
    rows = []
    for whole, leaves in groups.items():
        rows += [_mean("category", f"{PREFIX}{whole}", whole, leaves, len(leaves)), *leaves]
    return rows


def _mean(level: str, name: str, title: str, parts: Sequence[TableRow], whole: int) -> TableRow:
    of = tuple(task for part in parts for task in part.of)
    if len(of) < whole:
        title = f"{title} ({len(of)} of {whole} tasks)"
    groups = tuple(p.groups[0] if len(p.groups) == 1 else p.groups for p in parts)
    return TableRow(level, name, title, of, groups)
