"""Which label is given for which: the confusion pairs of closed tasks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import orjson

from ...tasks.answers import key
from ...tasks.schema import FAILURES
from .items import TaskItems
from .task_schema import Confusion

MOST = 10
FEWEST = 2
"""Answers of which a pair must consist; once is no pattern."""


def confusions(items: TaskItems) -> tuple[Confusion, ...]:
    """The most frequent pairs of gold label and wrong label; none for an open task.

    Of a path of labels (taxonomy in three levels) the first is compared.
    """
    labels = items.labels
    if not any(labels):
        return ()
    answers = items.answers
    golds = Counter(labels[row] for row in answers.rows)
    pairs: Counter[tuple[str, str]] = Counter()
    for place in np.flatnonzero(answers.kinds == FAILURES.index("wrong")):
        gold, answer = labels[answers.rows[place]], _label(answers.parsed[place])
        if gold and answer and key(gold) != key(answer):
            pairs[gold, answer] += 1
    frequent = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST]
    return tuple(
        Confusion(gold, answer, count, golds[gold])
        for (gold, answer), count in frequent
        if count >= FEWEST
    )


def _label(parsed: str | None) -> str | None:
    answer = orjson.loads(parsed) if parsed else None
    if isinstance(answer, list) and answer:
        answer = answer[0]
    return answer if isinstance(answer, str) else None
