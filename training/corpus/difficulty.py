"""Hard rows first, as the model itself shows them to be hard (RedOne 2.0, section 3.3).

Several sampled answers show for each row how often the model solves it. Rows that it solves
*sometimes* come first: in a group of answers that are all right or all wrong there is nothing for
RL to learn. Then those that it *never* solves, then those that it *always* does. Among the first,
the less often solved come first.

The order holds inside each task. How many rows a task has is apportioned before (`selection.py`):
filled class by class, the whole budget would give a task whatever it has of the first class. The
same goes for a task's labels where rare ones are preferred: a model that nearly always gives one of
them solves its rows always, and would get none of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ...harness.diagnosis.measure import threshold
from ...tasks.errors import RedoneError
from ...tasks.registry import by_name
from ..rewards import Rewards
from ..rows import RowDecision, TrainingRow
from .contamination import EvaluationItems
from .draws import Draws
from .selection import (
    Part,
    Selection,
    SelectionSettings,
    by_task,
    cell,
    checked,
    draw_kinds,
    grouped,
    mixed,
    place,
    shares_checked,
)

Class = Literal["sometimes", "never", "always"]
ORDER: tuple[Class, ...] = ("sometimes", "never", "always")


@dataclass(frozen=True, slots=True)
class Solved:
    """How often a row was solved.

    Attributes:
        draws: Answers that were scored.
        solved: Those whose value reaches the threshold of the task: 1, for graded answers 0.5.
    """

    draws: int
    solved: int

    @property
    def kind(self) -> Class:
        """In one word."""
        if self.solved == 0:
            return "never"
        return "always" if self.solved == self.draws else "sometimes"


@dataclass(frozen=True, slots=True)
class HardShare:
    """What one task got of the hard rows.

    Attributes:
        task: Its name.
        rows: Whose answers were scored.
        drawn: Those that were chosen.
        kinds: Of those, by `sometimes`, `never` and `always`.
        share: Of all chosen rows, 0..1.
    """

    task: str
    rows: int
    drawn: int
    kinds: Mapping[Class, int]
    share: float


def solvability(
    rows: Sequence[TrainingRow], draws: Draws, rewards: Rewards | None = None
) -> dict[str, Solved]:
    """How often each row was solved by its answers; rows without a scored answer are left out."""
    pairs = [(row, answer) for row in rows for answer in draws.answers.get(row.id, ())]
    scored = (rewards or Rewards()).score([p[0] for p in pairs], [p[1] for p in pairs])
    limits = {row.task: threshold(by_name(row.task)) for row, _ in pairs}
    values: dict[str, list[bool]] = {}
    for (row, _), one in zip(pairs, scored, strict=True):
        if one.value is not None:
            values.setdefault(row.id, []).append(one.value >= limits[row.task])
    return {row: Solved(len(right), sum(right)) for row, right in values.items()}


def hard_rows(
    rows: Sequence[TrainingRow],
    solved: Mapping[str, Solved],
    settings: SelectionSettings,
    items: EvaluationItems,
) -> Selection[HardShare]:
    """Chooses the hardest rows; same rows, draws and settings give the same ones, bit for bit.

    Rows that are not in `solved` (see `solvability`) are left out.

    Raises:
        RedoneError: A row is an evaluation item, an id comes twice, a setting is not possible, or
            no row has a scored answer.
    """
    checked(rows, items)
    offered = [row for row in rows if row.id in solved]
    if not offered:
        raise RedoneError(
            f"Of {len(rows)} rows none has a scored answer, so none can be called hard. Rows need "
            "a target, and several drawn answers each (`training.corpus.draws.draw`)."
        )
    shares_checked(label_balance=settings.label_balance or 0.0)
    for task in {row.task for row in offered} if settings.shares else ():
        if not 0 < settings.shares.get(task, 0.0) < math.inf:
            raise RedoneError(
                f"The share {settings.shares.get(task)} of {task} is not possible: a number above "
                "0 is expected for each task that has rows."
            )
    domain, general = (
        _hard_tasks([row for row in offered if row.general == kind], solved, settings)
        for kind in (False, True)
    )
    ids = draw_kinds(domain, general, settings)
    chosen = mixed(offered, ids, f"{settings.seed}|order")
    own = by_task(chosen)

    def share(task: str, count: int) -> HardShare:
        drawn = own.get(task, ())
        return HardShare(task, count, len(drawn), _kinds(drawn, solved), len(drawn) / len(chosen))

    shares = [share(*pair) for pair in Counter(row.task for row in offered).items()]
    return Selection(
        rows=tuple(chosen),
        shares=tuple(sorted(shares, key=lambda line: (-line.drawn, line.task))),
        decisions=tuple(_decision(row, solved.get(row.id), row.id in ids) for row in rows),
        offered=_kinds(offered, solved),
        chosen=_kinds(chosen, solved),
    )


def _hard_tasks(
    rows: Sequence[TrainingRow], solved: Mapping[str, Solved], settings: SelectionSettings
) -> list[Part]:
    """The tree of one kind of rows: tasks, and in each its labels if they are looked at."""

    def rank(row: TrainingRow) -> tuple[int, float, bytes]:
        found = solved[row.id]
        order = place(f"{settings.seed}|hard|{row.task}", row.id)
        return ORDER.index(found.kind), found.solved / found.draws, order

    def hardest(rows: Sequence[TrainingRow], count: int) -> set[str]:
        return {row.id for row in sorted(rows, key=rank)[:count]}

    def leaves(rows: Sequence[TrainingRow]) -> list[Part]:
        balance = settings.label_balance
        cells = {("", ""): rows} if balance is None else grouped(rows, cell)
        return [
            Part(key, len(own) ** (1 - (balance or 0.0)), own, hardest)
            for key, own in cells.items()
        ]

    return [
        Part(task, settings.shares.get(task, len(own)), parts=leaves(own))
        for task, own in by_task(rows).items()
    ]


def _kinds(rows: Sequence[TrainingRow], solved: Mapping[str, Solved]) -> dict[Class, int]:
    found = Counter(solved[row.id].kind for row in rows)
    return {kind: found[kind] for kind in ORDER}


def _decision(row: TrainingRow, solved: Solved | None, kept: bool) -> RowDecision:
    if solved is None:
        text = "No answer to it was scored: it has no target, or its question is too long."
        return row.decided(0, "not judged", text)
    text = f"It was solved in {solved.solved} of {solved.draws} draws"
    why = solved.kind if kept else f"{solved.kind}, left"
    text += "." if kept else ", and its task's share is full of harder ones."
    return row.decided(int(kept), why, text, draws=solved.draws, solved=solved.solved)
