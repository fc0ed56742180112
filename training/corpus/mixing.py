"""Stage 1's mixture: every task in sight, general rows with rationales beside (RedOne 2.0, 3.1).

A task's share is its size to the power of `balance`: 1 is proportional, 0.5 the square root, 0 the
same for each (the exponent is one over the temperature of multilingual sampling, Conneau and Lample
2019). Its size is the sum of its rows' weights. Within a task rows are drawn by weight, labels as
evenly as `rarity` asks: RL on a task with a frequent label learns that label first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...tasks.errors import RedoneError
from .contamination import EvaluationItems
from .decisions import Decision
from .quotas import apportioned, by_label, drawn, mixed, parted, shares_checked
from .rationales import Rationales, written
from .row import CorpusRow

GENERAL_SHARE = 50 / 800
"""750K rows of social networks beside 50K general ones."""


@dataclass(frozen=True, slots=True)
class MixSettings:
    """How a mixture is drawn.

    Attributes:
        budget: Rows in all; None: as many as there are and keep the general share.
        balance: 0..1, see the module.
        rarity: How far rare labels are preferred inside a task, 0 (not) to 1 (all labels alike).
        general_share: Of general rows in the whole, 0..1.
        reasoned: Whether general rows without a rationale are left out, as in the paper.
        judgeable: Whether rows without a target are left out: RL needs one, SFT does not.
        emphasis: By task: what its share is multiplied by, above 0; 1 where it is not named.
        seed: Of the draw.
    """

    budget: int | None = None
    balance: float = 0.5
    rarity: float = 0.0
    general_share: float = GENERAL_SHARE
    reasoned: bool = True
    judgeable: bool = True
    emphasis: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TaskShare:
    """One task's part of a mixture.

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


@dataclass(frozen=True, slots=True)
class Mixture:
    """What is trained on.

    Attributes:
        rows: In the order of training, mixed.
        rationale: Which of them are asked for their reasoning.
        shares: By task, those of social networks first.
        decisions: For every row that was offered.
    """

    rows: tuple[CorpusRow, ...]
    rationale: Rationales
    shares: tuple[TaskShare, ...]
    decisions: tuple[Decision, ...]

    @property
    def general_share(self) -> float:
        """Of general rows, 0..1."""
        return sum(row.general for row in self.rows) / max(1, len(self.rows))


def mix(rows: Sequence[CorpusRow], settings: MixSettings, items: EvaluationItems) -> Mixture:
    """Draws a mixture; the same rows, settings and seed give the same one, bit for bit.

    Args:
        rows: Of the corpus, ids all different.
        settings: How.
        items: What must not be trained on.

    Raises:
        RedoneError: A row is an evaluation item, an id comes twice, a setting is not possible, or a
            kind of row that is asked for is not there.
    """
    checked(rows, items)
    shares_checked(balance=settings.balance, rarity=settings.rarity)
    refused = {row.id: why for row in rows if (why := _unfit(row, settings))}
    fit = [row for row in rows if row.id not in refused]
    groups: dict[tuple[bool, str], list[CorpusRow]] = {}
    for row in fit:
        groups.setdefault((row.general, row.task), []).append(row)
    offered = {
        kind: sum(len(group) for (general, _), group in groups.items() if general == kind)
        for kind in (False, True)
    }
    social, general = parted(offered[False], offered[True], settings.general_share, settings.budget)
    ids: set[str] = set()
    for kind, count in ((False, social), (True, general)):
        own = {task: group for (is_general, task), group in groups.items() if is_general == kind}
        quotas = balanced(own, count, settings.balance, settings.emphasis)
        for task, quota in quotas.items():
            weights = by_label(own[task], settings.rarity)
            ids |= drawn(own[task], weights, quota, f"{settings.seed}|mix|{task}")
    chosen = mixed(fit, ids, f"{settings.seed}|order")
    return Mixture(
        rows=tuple(chosen),
        rationale=written(chosen),
        shares=tuple(_shares(groups, ids, len(chosen))),
        decisions=tuple(_decision(row, refused, ids) for row in rows),
    )


def balanced(
    groups: Mapping[str, Sequence[CorpusRow]],
    count: int,
    balance: float,
    emphasis: Mapping[str, float] | None = None,
) -> dict[str, int]:
    """Rows to draw of each task, so that the long tail stays visible.

    Args:
        groups: The rows of each task.
        count: Rows to draw of all.
        balance: Power of a task's size, 0..1.
        emphasis: Factors of the shares, by task.
    """
    factors = emphasis or {}
    if bad := [task for task, factor in factors.items() if not 0 < factor < math.inf]:
        raise RedoneError(
            f"An emphasis of {factors[bad[0]]} for {bad[0]} is not possible: a number above 0 is "
            "expected."
        )
    return apportioned(
        {task: size**balance * factors.get(task, 1.0) for task, size in sizes(groups).items()},
        {task: len(group) for task, group in groups.items()},
        count,
    )


def shares_of(rows: Sequence[CorpusRow], balance: float, general_share: float) -> dict[str, float]:
    """What each task is to have of a mixture; their sum is 1 where both kinds have rows.

    Args:
        rows: Of the corpus; a kind of row that gets no share is left out with its tasks.
        balance: Power of a task's size, 0..1.
        general_share: Of general rows in the whole, 0..1.
    """
    found: dict[str, float] = {}
    for kind, part in ((False, 1 - general_share), (True, general_share)):
        groups: dict[str, list[CorpusRow]] = {}
        for row in rows:
            if part > 0 and row.general == kind:
                groups.setdefault(row.task, []).append(row)
        own = {task: size**balance for task, size in sizes(groups).items()}
        whole = math.fsum(own.values())
        for task, weight in own.items():
            found[task] = found.get(task, 0.0) + part * weight / whole
    return found


def sizes(groups: Mapping[str, Sequence[CorpusRow]]) -> dict[str, float]:
    """The sum of the rows' weights, by task."""
    return {task: math.fsum(row.weight for row in group) for task, group in groups.items()}


def checked(rows: Sequence[CorpusRow], items: EvaluationItems) -> None:
    """What every choice of rows asks of them.

    Raises:
        RedoneError: A row is an evaluation item, or an id comes twice.
    """
    items.refuse_named(rows)
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise RedoneError(
                f"Two rows have the id {row.id!r}. Ids name rows in reports and seeds, so they "
                "must differ: rename one, or leave the copy out."
            )
        seen.add(row.id)


def _unfit(row: CorpusRow, settings: MixSettings) -> tuple[str, str] | None:
    if settings.judgeable and not row.judgeable:
        return "target", "It has no target, so no answer to it can be judged: for SFT only."
    if settings.reasoned and row.general and not row.rationale:
        return "rationale", "General rows are to have a rationale, and it has none."
    return None


def _decision(row: CorpusRow, refused: dict[str, tuple[str, str]], ids: set[str]) -> Decision:
    if row.id in refused:
        return Decision(row.id, row.task, 0, *refused[row.id])
    if row.id in ids:
        return Decision(row.id, row.task, 1, "drawn", "Drawn for its task's share.")
    return Decision(row.id, row.task, 0, "share", "The share of its task is full without it.")


def _shares(
    groups: dict[tuple[bool, str], list[CorpusRow]], ids: set[str], total: int
) -> list[TaskShare]:
    found = []
    for (general, task), group in groups.items():
        count = sum(row.id in ids for row in group)
        found.append(TaskShare(task, general, len(group), count, count / max(1, total)))
    return sorted(found, key=lambda line: (line.general, -line.drawn, line.task))
