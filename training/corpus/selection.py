"""Choosing the rows of a stage: apportion a budget, then draw. One algorithm, three ways to weigh.

The budget is split between domain and general rows by `general_share`; then each half goes down a
tree. At each node it is apportioned among the parts in proportion to their weights, in whole rows
and never beyond what a part has; a leaf draws its rows. The three ways of choosing (`choose` in a
recipe) differ in tree, weights and draw only:

- `balanced.py`: tasks, by a power of their size;
- `failures.py`: capabilities, then the failure buckets of a diagnosis;
- `difficulty.py`: tasks, then labels; a leaf gives its hardest rows first.

All of it is arithmetic on a seed: the same rows, weights and seed give the same draw, bit for bit,
whatever the order of the rows. `assigned` then says which rows reason before they answer.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ...tasks.errors import RedoneError
from ..rewards import Rewards, reasonable
from ..rows import RowDecision, TrainingRow
from .contamination import EvaluationItems

GENERAL_SHARE = 50 / 800
"""Stages 1 and 3: 750K domain rows and 50K general ones."""

Share = TypeVar("Share")
Key = TypeVar("Key")
Draw = Callable[[Sequence[TrainingRow], int], set[str]]
"""From the rows of a leaf and a number of them to the ids of those that are drawn."""


@dataclass(frozen=True, slots=True)
class Part:
    """A node of the tree; a leaf has `rows` and `draw`, any other node has `parts`.

    Attributes:
        key: Different from its siblings'; decides between equal remainders.
        weight: Its share relative to its siblings', above 0.
    """

    key: Any
    weight: float
    rows: Sequence[TrainingRow] = ()
    draw: Draw | None = None
    parts: Sequence[Part] = ()

    @property
    def size(self) -> int:
        """Rows below it."""
        return len(self.rows) + sum(part.size for part in self.parts)


def draw_tree(parts: Sequence[Part], count: int) -> set[str]:
    """The ids of `count` rows, apportioned among the parts and drawn in the leaves."""
    weights = {part.key: part.weight for part in parts}
    quotas = apportioned(weights, {part.key: part.size for part in parts}, count)
    ids: set[str] = set()
    for part in parts:
        quota = quotas[part.key]
        ids |= part.draw(part.rows, quota) if part.draw else draw_tree(part.parts, quota)
    return ids


def grouped(
    rows: Iterable[TrainingRow], key: Callable[[TrainingRow], Key]
) -> dict[Key, list[TrainingRow]]:
    """The rows by a key, in the order in which keys are first seen."""
    groups: dict[Key, list[TrainingRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def by_task(rows: Iterable[TrainingRow]) -> dict[str, list[TrainingRow]]:
    """The rows by task, in the order in which tasks are first seen."""
    return grouped(rows, lambda row: row.task)


def _filled(
    weights: Mapping[Key, float], capacities: Mapping[Key, int], total: int
) -> dict[Key, float]:
    """A total in proportion to weights, none above its capacity (water-filling).

    What a full key cannot take goes to the others in proportion.
    """
    exact: dict[Key, float] = {}
    open_, left = dict(weights), total
    while open_:
        whole = math.fsum(open_.values())
        full = [key for key, weight in open_.items() if left * weight / whole >= capacities[key]]
        if not full:
            exact |= {key: left * weight / whole for key, weight in open_.items()}
            break
        for key in full:
            exact[key] = capacities[key]
            left -= capacities[key]
            del open_[key]
    return exact


def apportioned(
    weights: Mapping[Key, float], capacities: Mapping[Key, int], total: int
) -> dict[Key, int]:
    """Splits a total in proportion to weights, in whole numbers and none above its capacity.

    Fractions go to the largest remainders, the first by name among equals.

    Args:
        weights: Above 0 each.
        capacities: Of the same keys.
        total: What exceeds all capacities together is left.
    """
    total = min(total, sum(capacities.values()))
    exact = _filled(weights, capacities, total)
    counts = {key: math.floor(exact[key]) for key in weights}
    partial = [key for key in exact if exact[key] < capacities[key]]
    partial.sort(key=lambda key: (counts[key] - exact[key], str(key)))
    for key in partial[: total - sum(counts.values())]:
        counts[key] += 1
    return counts


def shares_checked(**shares: float) -> None:
    """Settings that are 0 to 1, by name.

    Raises:
        RedoneError: One is not.
    """
    for name, value in shares.items():
        if not 0 <= value <= 1:
            words = name.replace("_", " ")
            raise RedoneError(f"A {words} of {value} is not possible: 0 to 1 is expected.")


def cell(row: TrainingRow) -> tuple[str, str]:
    """Language and label of a row: rows that share both are interchangeable."""
    return row.language, row.tags.get("label", "")


def by_label(rows: Sequence[TrainingRow], label_balance: float) -> list[float]:
    """The weight of each row in a draw: its own times `n ** -label_balance`, n rows in its cell.

    So 0 leaves labels as frequent as they are, and 1 draws each equally often.

    Args:
        rows: Of one task.
        label_balance: 0..1.
    """
    cells = Counter(map(cell, rows))
    return [row.weight * cells[cell(row)] ** -label_balance for row in rows]


def drawn(rows: Sequence[TrainingRow], weights: Sequence[float], count: int, seed: str) -> set[str]:
    """Draws rows with unequal chances: Pareto sampling (Rosen 1997) by a seeded number of each row.

    A row's chance is `count * weight / sum(weights)`, at most 1. Its number does not depend on the
    others, so with equal weights a smaller count draws among the rows of a larger one, and a new
    row changes little.

    Args:
        rows: To draw from, ids all different.
        weights: Above 0, of each row.
        count: Rows to draw, at most `len(rows)`.
        seed: Any text.

    Returns:
        The ids of the rows that are drawn.
    """
    if count >= len(rows):
        return {row.id for row in rows}
    chances = _filled(dict(enumerate(weights)), dict.fromkeys(range(len(rows)), 1), count)
    found: set[str] = set()
    ranks = []
    for number, row in enumerate(rows):
        chance = chances[number]
        if chance >= 1:
            found.add(row.id)
        elif chance > 0:
            random = (int.from_bytes(place(seed, row.id)[:6], "big") + 0.5) / (1 << 48)
            ranks.append((random / (1 - random) * (1 - chance) / chance, row.id))
    return found | {identity for _, identity in sorted(ranks)[: count - len(found)]}


def weighted(label_balance: float, seed: str) -> Draw:
    """Draws at random: by weight, rare labels preferred as far as `label_balance` says."""
    return lambda rows, count: drawn(rows, by_label(rows, label_balance), count, seed)


def place(seed: str, identity: str) -> bytes:
    """The position of a row in the order of a seed."""
    return hashlib.sha256(f"{seed}|{identity}".encode()).digest()


def mixed(rows: Sequence[TrainingRow], ids: Collection[str], seed: str) -> list[TrainingRow]:
    """The rows with these ids, in the order of a seed."""
    return sorted((r for r in rows if r.id in ids), key=lambda row: place(seed, row.id))


def parted(domain: int, general: int, share: float, budget: int | None) -> tuple[int, int]:
    """The most rows of both kinds that keep the general share.

    Args:
        domain: Domain rows available.
        general: General rows available.
        share: Of general rows in the whole, 0..1.
        budget: Rows in all, None for as many as there are.

    Returns:
        Rows to draw of each kind.

    Raises:
        RedoneError: The share or the budget is not possible, or a required kind has no row.
    """
    shares_checked(general_share=share)
    if budget is not None and budget < 1:
        raise RedoneError(f"A budget of {budget} rows is not possible: 1 or more is expected.")
    if share > 0 and not general:
        raise RedoneError(
            f"A general share of {share:.3g} is requested and there is no general row to draw. Add "
            "some (`training.corpus.sources.generated_rows` makes them), or request a share of 0."
        )
    if share < 1 and not domain:
        raise RedoneError(
            "There is no domain row to draw. Add rows, or request a general share of 1."
        )
    total = domain + general if budget is None else budget
    if share > 0:
        total = min(total, round(general / share))
    if share < 1:
        total = min(total, round(domain / (1 - share)))
    of_general = min(general, round(total * share))
    return min(domain, total - of_general), of_general


@dataclass(frozen=True, slots=True)
class SelectionSettings:
    """How rows are chosen; each way of choosing uses what belongs to it.

    Attributes:
        budget: Rows in all; None: as many as there are and keep the general share.
        general_share: Of general rows in the whole, 0..1; None: the paper's, 6.25 % (stages 1 and
            3) or 5.6 % (`failures`).
        seed: Of the draw.
        label_balance: How far rare labels of a task are preferred (with `failures` small buckets
            too), 0 (not) to 1 (all equal); None: 0, with `failures` 0.5; with `difficulty` labels
            are ignored then.
        balance: Of `balanced`: power of a task's size, 0..1.
        emphasis: Of `balanced`, by task: factor of its share, above 0; 1 where it is not named.
        reasoned: Of `balanced`: whether general rows without a rationale are left out, as in the
            paper.
        judgeable: Of `balanced`: whether rows without a target are left out: RL needs one, SFT
            does not.
        evenness: Of `failures`: how far capabilities share equally, 0 (by priority) to 1 (the same
            for each).
        background_weight: Of `failures`: weight of the rest of a task relative to its weak slices,
            above 0 and up to 1.
        shares: Of `difficulty`: of the tasks among domain rows and among general ones, any scale,
            above 0; empty: in proportion to the rows that are offered.
    """

    budget: int | None = None
    general_share: float | None = None
    seed: int = 0
    label_balance: float | None = None
    balance: float = 0.5
    emphasis: Mapping[str, float] = field(default_factory=dict)
    reasoned: bool = True
    judgeable: bool = True
    evenness: float = 0.5
    background_weight: float = 0.5
    shares: Mapping[str, float] = field(default_factory=dict)

    def share_or(self, default: float) -> float:
        """The general share, or the default of a way of choosing."""
        return default if self.general_share is None else self.general_share


@dataclass(frozen=True, slots=True)
class Selection(Generic[Share]):
    """The rows that a stage learns from.

    Attributes:
        rows: In the order of training, mixed.
        shares: What each task or bucket got.
        decisions: For every row that was offered.
        offered, chosen: Of `difficulty`: rows by `sometimes`, `never` and `always`.
    """

    rows: tuple[TrainingRow, ...]
    shares: tuple[Share, ...]
    decisions: tuple[RowDecision, ...]
    offered: Mapping[Any, int] = field(default_factory=dict)
    chosen: Mapping[Any, int] = field(default_factory=dict)

    @property
    def general_share(self) -> float:
        """Of general rows, 0..1."""
        return sum(row.general for row in self.rows) / max(1, len(self.rows))


def checked(rows: Sequence[TrainingRow], items: EvaluationItems) -> None:
    """What every choice of rows requires of them.

    Raises:
        RedoneError: A row is an evaluation item, or an id comes twice.
    """
    items.refuse_named(rows)
    identity, count = Counter(row.id for row in rows).most_common(1)[0] if rows else ("", 0)
    if count > 1:
        raise RedoneError(
            f"Two rows have the id {identity!r}. Ids name rows in reports and seeds, so they "
            "must differ: rename one, or leave the copy out."
        )


def draw_kinds(
    domain: Sequence[Part],
    general: Sequence[Part],
    settings: SelectionSettings,
    default: float = GENERAL_SHARE,
) -> set[str]:
    """The ids of the rows drawn of both kinds; `default` is the general share if none is set."""
    own, other = (sum(part.size for part in parts) for parts in (domain, general))
    counts = parted(own, other, settings.share_or(default), settings.budget)
    return draw_tree(domain, counts[0]) | draw_tree(general, counts[1])


def task_parts(
    rows: Sequence[TrainingRow],
    balance: float,
    draw: Callable[[str], Draw],
    factors: Mapping[str, float] | None = None,
) -> list[Part]:
    """A leaf for each task, weighted by a power of its size so that the long tail stays visible."""
    groups = by_task(rows)
    weights = sizes(groups, balance)
    return [
        Part(task, weights[task] * (factors or {}).get(task, 1.0), own, draw(task))
        for task, own in groups.items()
    ]


def sizes(groups: Mapping[str, Sequence[TrainingRow]], balance: float) -> dict[str, float]:
    """The sum of the rows' weights to a power, by task."""
    return {t: math.fsum(row.weight for row in own) ** balance for t, own in groups.items()}


# --- rationales ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rationales:
    """Whether a row reasons before its answer: a predicate of rows that can be pickled.

    Attributes:
        ids: Of the rows that do.
    """

    ids: frozenset[str] = frozenset()

    def __call__(self, row: TrainingRow) -> bool:
        return row.id in self.ids


def written(rows: Sequence[TrainingRow]) -> Rationales:
    """Every general row that has a rationale: stage 1."""
    return Rationales(frozenset(row.id for row in rows if row.general and row.rationale))


def assigned(
    rows: Sequence[TrainingRow],
    share: float,
    seed: int,
    rewards: Rewards | None = None,
    learnt: bool = False,
) -> Rationales:
    """A share of the rows, by a seeded order: stage 3 (0.5718 in RedOne 2.0, section 3.3).

    Rows come in the order of a hash of seed and id until the share is reached. Tasks that cannot
    parse an answer behind its reasons are skipped. Where rationales are learned, rows without one
    are skipped too: they would teach to leave out the requested reasons.

    Args:
        rows: All that are trained on; a row may come several times.
        share: Of the rows, 0..1; with too few that can, it stays below.
        seed: Of the order.
        rewards: The tasks' own scoring, with its services.
        learnt: Whether the row's own rationale is learned; else the model finds one.

    Raises:
        RedoneError: The share is not possible.
    """
    shares_checked(rationale_share=share)
    times = Counter(row.id for row in rows)
    unique = {row.id: row for row in rows}.values()
    left, ids = round(share * len(rows)), set()
    for row in sorted(unique, key=lambda row: place(f"{seed}|rationale", row.id)):
        if left <= 0:
            break
        usable = row.rationale or not learnt
        if usable and times[row.id] <= left and reasonable(row, rewards):
            ids.add(row.id)
            left -= times[row.id]
    return Rationales(frozenset(ids))
