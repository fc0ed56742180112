"""The embedded demonstration: prompts and scorings of `sns` on items written for this project."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib import import_module

from ..sources import JsonReader
from ..task import UNKNOWN_CHANCE, Benchmark, Category, Task


def _embedded(module: str) -> Benchmark:
    benchmark: Benchmark = import_module(f"redone.tasks.{module}").BENCHMARK
    return Benchmark(
        f"{benchmark.title}, embedded demonstration",
        {
            name: Category(
                category.title,
                tuple(partial(_twin, category, place) for place in range(len(category))),
            )
            for name, category in benchmark.categories.items()
        },
        "sns-mini is a demonstration with 16 samples per task: do not quote its scores.",
    )


def _twin(category: Category, place: int) -> Task:
    """The same task on the embedded items."""
    task = category[place]
    assert isinstance(task.read, JsonReader)
    subtask = task.name.partition("/")[2]
    return replace(
        task,
        name=f"sns_mini/{subtask}",
        title=f"{task.title}, demonstration",
        language="mul",
        dataset=None,
        read=replace(task.read, path=f"{subtask}.jsonl", kind="embedded"),
        chance=UNKNOWN_CHANCE,
        citation=f"Items written for redone, in the form of: {task.citation}",
    )


BENCHMARKS = {f"{name}_mini": partial(_embedded, name) for name in ("sns_bench", "sns_trans")}
