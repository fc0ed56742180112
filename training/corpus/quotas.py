"""Shares of a budget in whole rows: apportioned among groups, then drawn within each.

All of it is arithmetic on a seed: the same rows, weights and seed give the same draw, bit for bit,
whatever the order of the rows.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from ...tasks.errors import RedoneError
from .row import CorpusRow

Key = TypeVar("Key")


def apportioned(
    weights: Mapping[Key, float], capacities: Mapping[Key, int], total: int
) -> dict[Key, int]:
    """Parts a total in proportion to weights, none above its capacity.

    What one group cannot take goes to the others in proportion (water-filling); fractions go to
    the largest remainders, the first by name among equals.

    Args:
        weights: Above 0 each.
        capacities: Of the same keys.
        total: To be parted; what exceeds all capacities together is left.
    """
    total = min(total, sum(capacities.values()))
    filled: dict[Key, int] = {}
    open_ = {key: weight for key, weight in weights.items() if capacities[key] > 0}
    left = total
    while open_:
        whole = math.fsum(open_.values())
        over = [k for k, weight in open_.items() if left * weight / whole >= capacities[k]]
        if not over:
            break
        for key in over:
            filled[key] = capacities[key]
            left -= filled[key]
            del open_[key]
    whole = math.fsum(open_.values())
    exact = {key: left * weight / whole for key, weight in open_.items()}
    floors = {key: math.floor(value) for key, value in exact.items()}
    rest = left - sum(floors.values())
    order = sorted(exact, key=lambda key: (floors[key] - exact[key], str(key)))
    for key in order[:rest]:
        floors[key] += 1
    return {key: filled.get(key, floors.get(key, 0)) for key in weights}


def shares_checked(**shares: float) -> None:
    """Settings that are 0 to 1, by name.

    Raises:
        RedoneError: One is not.
    """
    for name, value in shares.items():
        if not 0 <= value <= 1:
            told = name.replace("_", " ")
            raise RedoneError(f"A {told} of {value} is not possible: 0 to 1 is expected.")


def cell(row: CorpusRow) -> tuple[str, str]:
    """Language and label of a row: rows that have both in common stand for one another."""
    return row.language, row.tags.get("label", "")


def by_label(rows: Sequence[CorpusRow], rarity: float) -> list[float]:
    """What each row weighs in a draw: its weight times `n ** -rarity`, n the rows of its cell.

    So 0 leaves labels as frequent as they are, and 1 draws each alike.

    Args:
        rows: Of one task.
        rarity: 0..1.
    """
    cells = Counter(map(cell, rows))
    return [row.weight * cells[cell(row)] ** -rarity for row in rows]


def drawn(rows: Sequence[CorpusRow], weights: Sequence[float], count: int, seed: str) -> set[str]:
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
    found: set[str] = set()
    ranks = []
    for row, chance in zip(rows, _chances(weights, count), strict=True):
        if chance >= 1:
            found.add(row.id)
        elif chance > 0:
            number = (int.from_bytes(place(seed, row.id)[:6], "big") + 0.5) / (1 << 48)
            ranks.append((number / (1 - number) * (1 - chance) / chance, row.id))
    return found | {identity for _, identity in sorted(ranks)[: count - len(found)]}


def _chances(weights: Sequence[float], count: int) -> list[float]:
    """In proportion to weights, none above 1, `count` together."""
    if count >= len(weights):
        return [1.0] * len(weights)
    chances = [0.0] * len(weights)
    open_, left = list(range(len(weights))), count
    while open_:
        whole = math.fsum(weights[i] for i in open_)
        over = {i for i in open_ if left * weights[i] / whole >= 1}
        if not over:
            for i in open_:
                chances[i] = left * weights[i] / whole
            break
        for i in over:
            chances[i] = 1.0
        left -= len(over)
        open_ = [i for i in open_ if i not in over]
    return chances


def place(seed: str, identity: str) -> bytes:
    """Where a row stands in the order of a seed."""
    return hashlib.sha256(f"{seed}|{identity}".encode()).digest()


def mixed(rows: Sequence[CorpusRow], ids: Collection[str], seed: str) -> list[CorpusRow]:
    """The rows with these ids, in the order of a seed."""
    return sorted((r for r in rows if r.id in ids), key=lambda row: place(seed, row.id))


def parted(social: int, general: int, share: float, budget: int | None) -> tuple[int, int]:
    """The most rows of both kinds that keep the general share.

    Args:
        social: How many rows of social networks there are to draw.
        general: How many general ones.
        share: Of general rows in the whole, 0..1.
        budget: Rows in all, None for as many as there are.

    Returns:
        Rows to draw of each kind.

    Raises:
        RedoneError: The share or the budget is not possible, or a kind that the share asks for has
            no row.
    """
    shares_checked(general_share=share)
    if budget is not None and budget < 1:
        raise RedoneError(f"A budget of {budget} rows is not possible: 1 or more is expected.")
    if share > 0 and not general:
        raise RedoneError(
            f"A general share of {share:.3g} is asked for and there is no general row to draw. Add "
            "some (`training.sources.generated_rows` makes them), or ask for a share of 0."
        )
    if share < 1 and not social:
        raise RedoneError(
            "There is no row of social networks to draw. Add rows, or ask for a general share of 1."
        )
    total = social + general if budget is None else budget
    if share > 0:
        total = min(total, round(general / share))
    if share < 1:
        total = min(total, round(social / (1 - share)))
    of_general = min(general, round(total * share))
    return min(social, total - of_general), of_general
