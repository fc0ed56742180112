"""Export: definitions with which lm-eval runs our tasks (`redone tasks lm-eval DIR`).

There is one file per task, and one per group: a category is the mean of its tasks, as here. A suite
is a group without a score of its own, because lm-eval would take the mean over tasks where this
project takes the mean over categories.
"""

from __future__ import annotations

from pathlib import Path

from ..registry import BENCHMARKS, SUITES, find
from ..task import Task
from .definitions import PREFIX


def write_definitions(folder: Path, suite: str | None = None) -> list[str]:
    """Writes a folder for `lm_eval --include_path`.

    Args:
        folder: Created if missing.
        suite: Names of suites, comma separated; None: all that have tasks of ours.

    Returns:
        The names that lm-eval then knows: suites, categories, tasks.

    Raises:
        UnknownName: There is no such suite.
    """
    names = suite.split(",") if suite else list(SUITES)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[str] = []

    def write(name: str, *lines: str) -> str:
        (folder / f"{name}.yaml").write_text("\n".join(lines) + "\n", "utf-8")
        written.append(name)
        return name

    for each in names:
        wanted = {task.name for task in find(each) if not task.name.startswith(PREFIX)}
        groups = []
        for key in SUITES[each].benchmarks:
            for category, tasks in BENCHMARKS[key].categories.items():
                members = [write(exported_name(t), *_task(t)) for t in tasks if t.name in wanted]
                if members:
                    groups.append(write(f"{key}_{category}", *_group(f"{key}_{category}", members)))
        if groups:
            write(each, f"group: {each}", "task:", *(f"  - {group}" for group in groups))
    return written


def exported_name(task: Task) -> str:
    """A task's name in lm-eval."""
    return task.name.replace("/", "_")


def _task(task: Task) -> tuple[str, ...]:
    return (
        f"task: {exported_name(task)}",
        "class: !function redone.tasks.general.exported.ExportedTask",
        "metadata:",
        f"  version: {task.version}",
        f"  redone: {task.name}",
    )


def _group(name: str, members: list[str]) -> tuple[str, ...]:
    return (
        f"group: {name}",
        "task:",
        *(f"  - {member}" for member in members),
        "aggregate_metric_list:",
        *(
            line
            for metric in ("corrected", "official", "value")
            for line in (f"  - metric: {metric}", "    weight_by_size: false")
        ),
    )
