"""A balanced mixture: every task represented, general rows with rationales (RedOne 2.0, 3.1).

A task's weight is its size to the power of `balance`: 1 is proportional, 0.5 the square root, 0 the
same for each (the exponent is one over the temperature of multilingual sampling, Conneau and Lample
2019). Its size is the sum of its rows' weights. Within a task rows are drawn by weight, labels as
evenly as `label_balance` says: RL on a task with a frequent label learns that label first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...tasks.errors import RedoneError
from ..rows import RowDecision, TrainingRow
from .contamination import EvaluationItems
from .selection import (
    Part,
    Selection,
    SelectionSettings,
    by_task,
    checked,
    draw_kinds,
    mixed,
    shares_checked,
    sizes,
    task_parts,
    weighted,
)


@dataclass(frozen=True, slots=True)
class TaskShare:
    """What one task got of a balanced mixture.

    Attributes:
        task: Its name.
        general: Whether its rows are general ones.
        rows: That could be drawn.
        drawn: Those that were.
        share: Of the mixture, 0..1.
    """

    task: str
    general: bool
    rows: int
    drawn: int
    share: float


def balanced_rows(
    rows: Sequence[TrainingRow], settings: SelectionSettings, items: EvaluationItems
) -> Selection[TaskShare]:
    """Draws a mixture of the corpus; same rows and settings give the same one, bit for bit.

    Raises:
        RedoneError: A row is an evaluation item, an id comes twice, a setting is not possible, or a
            requested kind of row is missing.
    """
    checked(rows, items)
    label_balance = settings.label_balance or 0.0
    shares_checked(balance=settings.balance, label_balance=label_balance)
    for task, factor in settings.emphasis.items():
        if not 0 < factor < math.inf:
            raise RedoneError(
                f"An emphasis of {factor} for {task} is not possible: a number above 0 is expected."
            )
    refused = {row.id: why for row in rows if (why := _unfit(row, settings))}
    fit = [row for row in rows if row.id not in refused]

    def leaves(general: bool) -> list[Part]:
        return task_parts(
            [row for row in fit if row.general == general],
            settings.balance,
            lambda task: weighted(label_balance, f"{settings.seed}|mix|{task}"),
            settings.emphasis,
        )

    domain, general = leaves(False), leaves(True)
    ids = draw_kinds(domain, general, settings)
    shares = [
        TaskShare(part.key, part.rows[0].general, part.size, count, count / max(1, len(ids)))
        for part in (*domain, *general)
        for count in (sum(row.id in ids for row in part.rows),)
    ]

    def decided(row: TrainingRow) -> RowDecision:
        if row.id in refused:
            return row.decided(0, *refused[row.id])
        if row.id in ids:
            return row.decided(1, "drawn", "Drawn for its task's share.")
        return row.decided(0, "share", "The share of its task is full without it.")

    return Selection(
        rows=tuple(mixed(fit, ids, f"{settings.seed}|order")),
        shares=tuple(sorted(shares, key=lambda line: (line.general, -line.drawn, line.task))),
        decisions=tuple(decided(row) for row in rows),
    )


def task_shares(
    rows: Sequence[TrainingRow], balance: float, general_share: float
) -> dict[str, float]:
    """The share of each task in a mixture; their sum is 1 where both kinds have rows.

    Args:
        rows: Of the corpus; a kind of row that gets no share is left out with its tasks.
        balance: Power of a task's size, 0..1.
        general_share: Of general rows in the whole, 0..1.
    """
    found: dict[str, float] = {}
    for kind, part in ((False, 1 - general_share), (True, general_share)):
        wanted = [row for row in rows if part > 0 and row.general == kind]
        own = sizes(by_task(wanted), balance)
        whole = math.fsum(own.values())
        for task, weight in own.items():
            found[task] = found.get(task, 0.0) + part * weight / whole
    return found


def _unfit(row: TrainingRow, settings: SelectionSettings) -> tuple[str, str] | None:
    if settings.judgeable and not row.judgeable:
        return "target", "It has no target, so no answer to it can be scored: for SFT only."
    if settings.reasoned and row.general and not row.rationale:
        return "rationale", "General rows must have a rationale, and it has none."
    return None
