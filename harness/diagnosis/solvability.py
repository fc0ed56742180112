"""What several draws per item show: solved always, sometimes or never."""

from __future__ import annotations

import numpy as np

from ...tasks.schema import Task
from .items import TaskItems
from .task_schema import Solvability

PARTLY = 0.5
"""The value from which an open answer (a translation, a list) counts as solved."""


def threshold(task: Task) -> float:
    """The value that solves an item: 1 where answers are right or wrong, else `PARTLY`."""
    return PARTLY if task.reward == "metric" else 1.0


def solvability(items: TaskItems) -> Solvability | None:
    """The three shares over items with two draws or more; None where there are none."""
    draws = items.draws
    several = draws >= 2
    if not several.any():
        return None
    limit = threshold(items.task)
    solved = np.bincount(
        items.answers.rows, weights=items.answers.values >= limit, minlength=len(items)
    )
    share = solved[several] / draws[several]
    always, never = float((share == 1).mean()), float((share == 0).mean())
    return Solvability(
        int(draws[several].min()), limit, always, max(0.0, 1 - always - never), never
    )
