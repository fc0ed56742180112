"""How answers fail: shares of each kind, what makes a slice weak, and what reward would answer it.

The rule for reward hints: a term is asked for where the lower 95 % bound of the share of the
failures that it answers is at least `HINT_SHARE`, in a task of `SMALLEST` clusters or more.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...tasks.schema import FAILURES, Failure
from ..stats import wilson_interval
from .items import SMALLEST, TaskItems
from .schema import RewardHint, Term
from .task_schema import FailureShare

HINT_SHARE = 0.05
TERMS: Mapping[Term, tuple[Failure, ...]] = {
    "pattern": ("format",),
    "length": ("truncated",),
    "language": ("language",),
    "answer": ("empty", "refusal"),
}
"""Which failures ask for which term; `wrong` asks for none: the task's own reward answers it."""


def share(items: TaskItems, kinds: tuple[Failure, ...]) -> FailureShare:
    """The share of answers that failed in one of these ways."""
    columns = [FAILURES.index(kind) for kind in kinds]
    found = float(items.failures[:, columns].sum(axis=1).mean()) if len(items) else 0.0
    trials = items.independent
    low, high = wilson_interval(found * trials, trials) if trials else (0.0, 100.0)
    return FailureShare(found, low / 100, high / 100)


def failure_shares(items: TaskItems) -> dict[str, FailureShare]:
    """Every kind with its share."""
    return {kind: share(items, (kind,)) for kind in FAILURES}


def main_failure(shares: np.ndarray) -> Failure | None:
    """The kind with the largest share, None where nothing failed."""
    return FAILURES[int(shares.argmax())] if shares.max(initial=0.0) > 0 else None


def slice_failure(shares: np.ndarray, member: np.ndarray) -> Failure | None:
    """The kind by which a slice exceeds the rest most; its most frequent if it exceeds in none.

    Args:
        shares: Per item and kind, shape [n, len(FAILURES)].
        member: Which items are in the slice, shape [n].
    """
    own, rest = shares[member].mean(axis=0), shares[~member].mean(axis=0)
    return main_failure(own - rest) or main_failure(own)


def reward_hints(items: TaskItems) -> list[RewardHint]:
    """The terms that the task's reward should get, the largest share first."""
    hints = []
    for term, kinds in TERMS.items():
        found = share(items, kinds)
        if items.independent >= SMALLEST and found.low >= HINT_SHARE:
            hints.append(
                RewardHint(items.task.name, term, kinds, found.share, found.low, len(items))
            )
    return sorted(hints, key=lambda hint: -hint.share)
