"""Which rows are asked for their reasoning before the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from ...harness.store import replacing
from ...tasks.errors import BadRow, MissingData, RedoneError
from ..rewards import Rewards
from .files import reasonable
from .quotas import place
from .row import CorpusRow

RATIONALE_SHARE = 0.5718
"""Of stage 3's rows (RedOne 2.0, section 3.3)."""


@dataclass(frozen=True, slots=True)
class Rationales:
    """Says of each row whether it is asked with a rationale. Can be pickled.

    Attributes:
        ids: Of the rows that are.
    """

    ids: frozenset[str] = frozenset()

    def __call__(self, row: CorpusRow) -> bool:
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


def written(rows: Sequence[CorpusRow]) -> Rationales:
    """Every general row that has a rationale: stage 1."""
    return Rationales(frozenset(row.id for row in rows if row.general and row.rationale))


def assigned(
    rows: Sequence[CorpusRow],
    share: float,
    seed: int,
    rewards: Rewards | None = None,
    learnt: bool = False,
) -> Rationales:
    """A share of the rows, by a seeded order: stage 3.

    Rows come in the order of a hash of seed and id, those of tasks that cannot read an answer
    behind its reasons passed over, until the share is reached. Where rationales are learnt, rows
    without one are passed over too: they would teach to skip the reasons that are asked for.

    Args:
        rows: All that are trained on; a row may come several times.
        share: Of the rows, 0..1; with too few that can, it stays below.
        seed: Of the order.
        rewards: As `corpus.reasonable` uses it.
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
