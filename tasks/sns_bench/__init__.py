"""SNS-Bench: twelve tasks on notes of a social network, in eight categories (Guo et al. 2025)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from ..task import Benchmark, Category, Task


def _load(module: str, attribute: str) -> Task:
    return getattr(import_module(f".{module}", __package__), attribute)


def _tasks(module: str, *attributes: str) -> tuple[Callable[[], Task], ...]:
    """The tasks of one file, which is imported when one of them is needed."""
    return tuple(partial(_load, module, attribute) for attribute in attributes)


BENCHMARK = Benchmark(
    "SNS-Bench",
    {
        "taxonomy": Category("Taxonomy", _tasks("taxonomy", "SINGLE", "MULTIPLE")),
        "hashtag": Category("Hashtag", _tasks("hashtag", "SINGLE", "MULTIPLE")),
        "query_corr": Category("QueryCorr", _tasks("query_corr", "TOPIC", "EXPLAIN")),
        "mrc": Category("MRC", (*_tasks("mrc_simple", "TASK"), *_tasks("mrc_complex", "TASK"))),
        "ner": Category("NER", _tasks("ner", "TASK")),
        "gender": Category("Gender", _tasks("gender", "TASK")),
        "chlw": Category("CHLW", _tasks("chlw", "TASK")),
        "query_gen": Category("QueryGen", _tasks("query_gen", "TASK")),
    },
)
