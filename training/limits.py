"""How long an answer to a row may be: as long as the evaluation of its task lets it be."""

from __future__ import annotations

import contextlib

from ..tasks.registry import by_name
from .corpus.row import CorpusRow


def answer_limit(row: CorpusRow, most: int | None = None) -> int:
    """The tokens of a plain answer to a row, thinking not counted.

    An answer that an evaluation would cut must not be rewarded, nor learnt. So what samples answers
    may set a lower limit than the task has, but no higher one.

    Args:
        row: Asked without a rationale.
        most: Of whoever samples, 1 or more; None: the task's limit alone.

    Returns:
        1 or more.

    Raises:
        UnknownName: There is no such task.
    """
    task = by_name(row.task)
    limit = task.settings.max_tokens
    if task.limit is not None and row.judgeable:
        # A row that is not its task's has none of its own, and `Rewards` does not judge it.
        with contextlib.suppress(LookupError, TypeError, ValueError, AttributeError):
            limit = min(limit, task.limit(row.sample()))
    return limit if most is None else min(limit, most)
