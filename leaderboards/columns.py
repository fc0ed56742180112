"""The columns of a sheet: one suite, from its mean down to what each category is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..harness.published.paper import Paper
from ..tasks.registry import BENCHMARKS, CATEGORIES, SUITES

MEAN = "mean"
"""Key of the mean over outside averages and benchmarks: what a paper's headline compares."""
PARTS = {"bleu": "BLEU", "chrf++": "chrF++"}
DIRECTIONS = {"zh_en": "zh→en", "en_zh": "en→zh"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        key: As in a table of scores (`sns_bench/ner`); a part has its metric after `:`.
        title: For people.
        kind: `mean` and `outside` are printed ones only, over tasks that no run here has so.
        tasks: Every task that its figure stands for.
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
        paper: Whose rows stand on the sheet too.
    """
    benchmarks = SUITES[suite].benchmarks
    parts: list[Column] = []
    for key in benchmarks:
        for category, tasks in BENCHMARKS[key].categories.items():
            name = f"{key}/{category}"
            of, title = frozenset(task.name for task in tasks), CATEGORIES[category]
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


def untabled(categories: Sequence[str]) -> tuple[Column, ...]:
    """Columns of categories that no suite has (any task of lm-eval's)."""
    return tuple(Column(name, name, "category") for name in categories)


def printed_columns(paper: Paper, names: Sequence[str]) -> tuple[Column, ...]:
    """Columns of a further table of a paper, in its order."""
    titles = dict(paper.outside)
    found = [
        Column(name, titles[name], "outside")
        if name in titles
        else _benchmark(name)
        if name in BENCHMARKS
        else Column(name, CATEGORIES[name.partition("/")[2]], "category")
        for name in names
    ]
    return tuple(found)


def _benchmark(key: str) -> Column:
    benchmark = BENCHMARKS[key]
    of = frozenset(task.name for task in benchmark.tasks)
    # What stands after the comma says of which sheet it is.
    return Column(key, benchmark.title.partition(",")[0], "benchmark", of)
