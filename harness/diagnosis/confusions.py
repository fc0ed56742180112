"""Which label is given for which: confusion pairs of closed tasks, and answers that never vary."""

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
SAME, OTHERWISE, ENOUGH = 0.9, 0.75, 20
"""A constant answer: given in this share of answers, gold in at most that one, of so many items."""


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


def constant_answer(items: TaskItems) -> str | None:
    """A sentence on one label that nearly every answer gives though many items have another.

    Such a task's score is that of a constant answer, whatever its metric makes of that. None where
    answers vary, or hardly could.
    """
    answers, labels = items.answers, items.labels
    if len(items) < ENOUGH or not all(labels):
        return None
    given = Counter(_label(parsed) for parsed in answers.parsed)
    label, count = given.most_common(1)[0]
    if label is None or count < SAME * len(answers.parsed):
        return None
    gold = sum(key(label) == key(own) for own in labels)
    if gold > OTHERWISE * len(labels):
        return None
    return (
        f'{count} of {len(answers.parsed)} answers are "{label}", gold of {gold} of {len(labels)} '
        "items: the score is that of a constant answer and shows no skill."
    )


def _label(parsed: str | None) -> str | None:
    answer = orjson.loads(parsed) if parsed else None
    if isinstance(answer, list) and answer:
        answer = answer[0]
    return answer if isinstance(answer, str) else None
