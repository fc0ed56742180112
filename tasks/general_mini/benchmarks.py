"""The benchmarks of the suites `general-mini` and `general-mini-report`, by what is generated."""

from __future__ import annotations

from collections.abc import Sequence

from ..task import Benchmark, Category, Task
from .tasks import GENERAL_MINI, GENERAL_MINI_REPORT

_TITLES = {
    "knowledge": "Knowledge",
    "mathematics": "Mathematics",
    "instructions": "Instruction following",
    "transformation": "Transformation",
    "reading": "Reading",
}


def _categories(tasks: Sequence[Task]) -> dict[str, Category]:
    return {
        name: Category(title, tuple(task for task in tasks if task.category == name))
        for name, title in _TITLES.items()
    }


_NOTE = (
    "general-mini is generated for this project: it compares runs with each other, not with papers."
)
BENCHMARKS = {
    "general_mini": Benchmark("General skills, generated", _categories(GENERAL_MINI), _NOTE),
    "general_mini_report": Benchmark(
        "General skills, generated, for final figures", _categories(GENERAL_MINI_REPORT), _NOTE
    ),
}
