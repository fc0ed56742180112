"""The reward of an answer is its evaluation: same parser, same score, for every task."""

import math
import pickle
from random import Random

import pytest

from redone.tasks.hostile import hostile_texts
from redone.tasks.prompts import messages, prompt_for
from redone.tasks.registry import TASKS, find
from redone.tasks.schema import Completion, Outcome, Services
from redone.tasks.sources import data_folder, samples
from redone.training.corpus import CorpusRow
from redone.training.rewards import SPREAD, Raw, Rewards, columns_of
from redone.training.shaping import Shaping

PAIRS = 1_000
EMBEDDED = [task.name for task in find("sns-mini,general-mini")]
PUBLISHED = [
    name
    for name, task in TASKS.items()
    if name not in EMBEDDED and not name.startswith("lm_eval:")
]


def row_of(task, sample):
    """A corpus row that asks what a sample asks."""
    return CorpusRow(
        id=sample.id,
        task=task.name,
        messages=messages(prompt_for(task, sample.language, {}), sample.fields),
        answer=task.gold(sample),
        language=sample.language,
        fields=sample.fields,
        target=sample.target,
        tags=sample.tags,
    )


def rows_of(name, folder=None, limit=60):
    task = TASKS[name]
    return [row_of(task, s) for s in samples(task, folder or data_folder(None), limit=limit)]


def random_texts(name, rows, random, count):
    """Gold answers, broken ones, other rows' golds, everything at once, and hostile texts."""
    task = TASKS[name]
    golds = [row.answer for row in rows]
    hostile = hostile_texts(count, random, [*golds[:20], task.guesses.everything(rows[0].sample())])
    for text in hostile:
        row = random.choice(rows)
        at = random.randrange(len(row.answer) + 1)
        texts = (
            row.answer,
            row.answer[:at] + random.choice((" ", "x", "不", "\n\nBecause")) + row.answer[at:],
            random.choice(golds),
            task.guesses.random(row.sample(), random),
            text[:20_000],
        )
        yield row, Completion(random.choice(texts), random.choice(("stop", "stop", "length")))


def evaluated(name, pairs, services):
    """Value and failure of (row, completion) pairs as `redone-eval` finds them: `harness.scores`."""
    from redone.harness.scores import _scores

    scoring = TASKS[name].scorings["corrected"].given(services)
    return [_scores(scoring, row.sample(), [[done]], services)[0] for row, done in pairs]


def same_as_evaluation(name, rows):
    pairs = list(random_texts(name, rows, Random(name), PAIRS))
    judged = Rewards().judge([row for row, _ in pairs], [done for _, done in pairs])
    wanted = evaluated(name, pairs, Services())
    assert [j.value for j in judged] == [s.value for s in wanted]
    assert [j.failure for j in judged] == [s.failure for s in wanted]
    assert all(j.reward == j.value for j in judged)  # nothing is added unless asked for


@pytest.mark.parametrize("name", EMBEDDED)
def test_reward_equals_evaluation(name):
    same_as_evaluation(name, rows_of(name))


@pytest.mark.shared_data
@pytest.mark.parametrize("name", PUBLISHED)
def test_reward_equals_evaluation_of_published_tasks(name, data_dir):
    same_as_evaluation(name, rows_of(name, data_dir))
