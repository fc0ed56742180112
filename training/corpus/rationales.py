"""Which rows are asked for their reasoning before the answer, and which can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from ...harness.run_folder import replacing
from ...tasks.errors import BadRow, MissingData, RedoneError
from ..rewards import ROUNDING, Rewards
from ..rows import TrainingRow, behind, worded
from .selection import place

RATIONALE_SHARE = 0.5718
"""Of stage 3's rows (RedOne 2.0, section 3.3)."""

_PROBE = {"en": "First I look at what is asked.", "zh": "先看题目问的是什么。"}
"""Stands in for a rationale where a row has none, to find out whether its task could read one."""


@dataclass(frozen=True, slots=True)
class Rationales:
    """Says of each row whether it is asked with a rationale. Can be pickled.

    Attributes:
        ids: Of the rows that are.
    """

    ids: frozenset[str] = frozenset()

    def __call__(self, row: TrainingRow) -> bool:
        return row.id in self.ids

    def write(self, path: str | Path) -> None:
        """Writes the ids, sorted, whole or not at all."""
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(orjson.dumps(sorted(self.ids), option=orjson.OPT_INDENT_2))

    @classmethod
    def read(cls, path: str | Path) -> Rationales:
        """The ids that `write` wrote.

        Raises:
            MissingData, BadRow: There is no such file, or it is no list of ids.
        """
        try:
            ids = orjson.loads(Path(path).read_bytes())
        except OSError as error:
            raise MissingData(f"{path} cannot be read: {error.strerror}.") from None
        except orjson.JSONDecodeError as error:
            raise BadRow(f"{path}: not valid JSON ({error.msg}).") from None
        if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
            raise BadRow(f"{path}: a list of row ids is expected.")
        return cls(frozenset(ids))


def reasonable(row: TrainingRow, rewards: Rewards | None = None) -> bool:
    """Whether the row's task parses the answer as well behind a rationale as alone.

    It does where answers are extracted from a text, and does not where the whole text is the answer
    (copying, layouts, search queries): asking those for reasons would ask for failure.

    Args:
        row: Of the corpus.
        rewards: The tasks' own scoring, with its services.
    """
    if not row.judgeable:
        return bool(row.rationale)
    text = behind(row.rationale or worded(_PROBE, row.language), row.answer, row.language)
    alone, reasoned = (rewards or Rewards()).score([row] * 2, [row.answer, text])
    if alone.value is None or reasoned.value is None:
        return False
    return reasoned.value >= alone.value - ROUNDING


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
    """A share of the rows, by a seeded order: stage 3.

    Rows come in the order of a hash of seed and id, those of tasks that cannot parse an answer
    behind its reasons skipped, until the share is reached. Where rationales are learnt, rows
    without one are passed over too: they would teach to skip the reasons that are asked for.

    Args:
        rows: All that are trained on; a row may come several times.
        share: Of the rows, 0..1; with too few that can, it stays below.
        seed: Of the order.
        rewards: As `reasonable` uses it.
        learnt: Whether the row's own rationale is learnt; else the model finds one.

    Raises:
        RedoneError: The share is not possible.
    """
    if not 0 <= share <= 1:
        raise RedoneError(f"A rationale share of {share} is not possible: 0 to 1 is expected.")
    times: dict[str, int] = {}
    for row in rows:
        times[row.id] = times.get(row.id, 0) + 1
    left, ids = round(share * len(rows)), set()
    first = {row.id: row for row in rows}
    for row in sorted(first.values(), key=lambda row: place(f"{seed}|rationale", row.id)):
        if left <= 0:
            break
        if learnt and not row.rationale:
            continue
        if times[row.id] <= left and reasonable(row, rewards):
            ids.add(row.id)
            left -= times[row.id]
    return Rationales(frozenset(ids))
