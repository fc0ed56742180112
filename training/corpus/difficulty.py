"""Stage 3's rows: hard ones first, as the model itself shows them to be (RedOne 2.0, section 3.3).

Several sampled answers tell for each row how often the model solves it. Rows that it solves
*sometimes* come first: in a group of answers that are all right or all wrong nothing can be learnt
by RL. Then those that it *never* solves, then those that it *always* does. Among the first the less
often solved come first.

The order is kept inside each task. How many rows a task has is settled before: were the whole
budget filled class by class, a task would get what it has of the first class, whatever its share.
So it is with a task's labels, where rare ones are preferred: a model that nearly always says one of
them solves its rows always, and would get none of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...harness.diagnosis.solvability import threshold
from ...tasks.errors import RedoneError
from ...tasks.registry import by_name
from ..rewards import Rewards
from .contamination import EvaluationItems
from .decisions import Decision
from .draws import Draws
from .mixing import GENERAL_SHARE, checked
from .quotas import apportioned, cell, mixed, parted, place, shares_checked
from .row import CorpusRow

Class = Literal["sometimes", "never", "always"]
ORDER: tuple[Class, ...] = ("sometimes", "never", "always")


@dataclass(frozen=True, slots=True)
class Solved:
    """How often a row was solved.

    Attributes:
        draws: Answers that were judged.
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
class HardSettings:
    """How stage 3's rows are chosen.

    Attributes:
        budget: Rows in all, 400K in the paper; None: as many as keep the general share.
        general_share: Of general rows, 0..1. The paper gives none; this is stage 1's.
        shares: Of the tasks among domain rows and among general ones, any scale, above 0; empty: as
            they share the rows that are offered.
        rarity: How far rare labels of a task are preferred, 0 (its share is parted among labels as
            the rows are that are offered) to 1 (alike); None: labels are not looked at.
        seed: Of ties and order.
    """

    budget: int | None = None
    general_share: float = GENERAL_SHARE
    rarity: float | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class HardShare:
    """What one task got.

    Attributes:
        task: Its name.
        rows: That were judged.
        drawn: Those that were chosen.
        kinds: Of those, by `sometimes`, `never` and `always`.
        share: Of all chosen rows, 0..1.
    """

    task: str
    rows: int
    drawn: int
    kinds: Mapping[Class, int]
    share: float


@dataclass(frozen=True, slots=True)
class Hard:
    """What stage 3 trains on.

    Attributes:
        rows: In the order of training, mixed.
        offered, chosen: Rows by `sometimes`, `never` and `always`.
        shares: By task, the largest first.
        decisions: For every row that was offered.
    """

    rows: tuple[CorpusRow, ...]
    offered: Mapping[Class, int]
    chosen: Mapping[Class, int]
    shares: tuple[HardShare, ...]
    decisions: tuple[Decision, ...]


def solvability(
    rows: Sequence[CorpusRow], draws: Draws, rewards: Rewards | None = None
) -> dict[str, Solved]:
    """How often each row was solved; rows without a judged answer are left out.

    Args:
        rows: That were asked.
        draws: Their answers.
        rewards: The tasks' own judgement, with its services.
    """
    pairs = [(row, answer) for row in rows for answer in draws.answers.get(row.id, ())]
    judged = (rewards or Rewards()).judge([p[0] for p in pairs], [p[1] for p in pairs])
    limits = {row.task: threshold(by_name(row.task)) for row, _ in pairs}
    found: dict[str, Solved] = {}
    for (row, _), one in zip(pairs, judged, strict=True):
        if one.value is not None:
            old = found.get(row.id, Solved(0, 0))
            solved = old.solved + (one.value >= limits[row.task])
            found[row.id] = Solved(old.draws + 1, solved)
    return found


def hardest(
    rows: Sequence[CorpusRow],
    solved: Mapping[str, Solved],
    settings: HardSettings,
    items: EvaluationItems,
) -> Hard:
    """Chooses stage 3's rows; same rows, draws and settings give the same ones, bit for bit.

    Args:
        rows: Of the corpus, ids all different.
        solved: As `solvability` gives it; rows that are not in it are left out.
        settings: How.
        items: What must not be trained on.

    Raises:
        RedoneError: A row is an evaluation item, an id comes twice, a setting is not possible, or
            no row has been judged.
    """
    checked(rows, items)
    judged = [row for row in rows if row.id in solved]
    if not judged:
        raise RedoneError(
            f"Of {len(rows)} rows none was judged, so none can be called hard. Rows need a target, "
            "and several drawn answers each (`training.draws.draw`)."
        )
    of_kind = {kind: [row for row in judged if row.general == kind] for kind in (False, True)}
    shares_checked(rarity=settings.rarity or 0.0)
    _shared(judged, settings.shares)
    counts = parted(
        len(of_kind[False]), len(of_kind[True]), settings.general_share, settings.budget
    )
    ids: set[str] = set()
    for kind, count in zip((False, True), counts, strict=True):
        ids |= _hardest(of_kind[kind], solved, count, settings)
    chosen = mixed(judged, ids, f"{settings.seed}|order")
    offered, kept = _kinds(judged, solved), _kinds(chosen, solved)
    return Hard(
        rows=tuple(chosen),
        offered=offered,
        chosen=kept,
        shares=tuple(_shares(judged, chosen, solved)),
        decisions=tuple(_decision(row, solved.get(row.id), row.id in ids) for row in rows),
    )


def _shared(judged: Sequence[CorpusRow], shares: Mapping[str, float]) -> None:
    for task in {row.task for row in judged} if shares else ():
        if not 0 < shares.get(task, 0.0) < math.inf:
            raise RedoneError(
                f"The share {shares.get(task)} of {task} is not possible: a number above 0 is "
                "expected for each task that has rows."
            )


def _hardest(
    rows: Sequence[CorpusRow], solved: Mapping[str, Solved], count: int, settings: HardSettings
) -> set[str]:
    groups: dict[str, list[CorpusRow]] = {}
    for row in rows:
        groups.setdefault(row.task, []).append(row)
    offered = {task: len(own) for task, own in groups.items()}
    quotas = apportioned({t: settings.shares.get(t, n) for t, n in offered.items()}, offered, count)
    ids: set[str] = set()
    for task, quota in quotas.items():
        seed = f"{settings.seed}|hard|{task}"
        cells: dict[tuple[str, str], list[CorpusRow]] = {}
        for row in groups[task]:
            cells.setdefault(("", "") if settings.rarity is None else cell(row), []).append(row)
        sizes = {key: len(own) for key, own in cells.items()}
        wanted = {key: n ** (1 - (settings.rarity or 0.0)) for key, n in sizes.items()}
        for key, part in apportioned(wanted, sizes, quota).items():
            first = sorted(cells[key], key=lambda row: _rank(row, solved[row.id], seed))
            ids |= {row.id for row in first[:part]}
    return ids


def _rank(row: CorpusRow, solved: Solved, seed: str) -> tuple[int, float, bytes]:
    return ORDER.index(solved.kind), solved.solved / solved.draws, place(seed, row.id)


def _kinds(rows: Sequence[CorpusRow], solved: Mapping[str, Solved]) -> dict[Class, int]:
    found = Counter(solved[row.id].kind for row in rows)
    return {kind: found[kind] for kind in ORDER}


def _shares(
    judged: Sequence[CorpusRow], chosen: Sequence[CorpusRow], solved: Mapping[str, Solved]
) -> list[HardShare]:
    offered = Counter(row.task for row in judged)
    own = {task: [row for row in chosen if row.task == task] for task in offered}
    found = [
        HardShare(task, offered[task], len(rows), _kinds(rows, solved), len(rows) / len(chosen))
        for task, rows in own.items()
    ]
    return sorted(found, key=lambda line: (-line.drawn, line.task))


def _decision(row: CorpusRow, solved: Solved | None, kept: bool) -> Decision:
    if solved is None:
        text = "No answer to it was judged: it has no target, or its question is too long."
        return Decision(row.id, row.task, 0, "not judged", text)
    told = f"It was solved in {solved.solved} of {solved.draws} draws"
    more = {"draws": solved.draws, "solved": solved.solved}
    if kept:
        return Decision(row.id, row.task, 1, solved.kind, f"{told}.", more=more)
    text = f"{told}, and its task's share is full of harder ones."
    return Decision(row.id, row.task, 0, f"{solved.kind}, left", text, more=more)
