"""What became of each corpus row, and why: the reports of cleaning, mixing and selecting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ...harness.store import replacing


@dataclass(frozen=True, slots=True)
class Decision:
    """One row's fate.

    Attributes:
        row, task: Its id and task.
        kept: How often it is in the result; 0: dropped.
        reason: In one sentence.
        why: The reason in one word, to count by.
        bucket: The failure bucket that it counts for, "" for none.
        more: Figures behind the decision.
    """

    row: str
    task: str
    kept: int
    why: str
    reason: str
    bucket: str = ""
    more: dict[str, Any] = field(default_factory=dict)


def write_decisions(decisions: Iterable[Decision], path: str | Path) -> None:
    """Writes a JSON line for each row, whole or not at all.

    Raises:
        DiskFull: No space; a file that was there is as before.
    """
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        for decision in decisions:
            record = {name: v for name, v in asdict(decision).items() if v != "" and v != {}}
            file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def counted(decisions: Iterable[Decision]) -> dict[str, int]:
    """Rows by `why`, the most frequent first."""
    return dict(Counter(decision.why for decision in decisions).most_common())
