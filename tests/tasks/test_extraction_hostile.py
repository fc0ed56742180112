"""Every scorer survives hostile texts: 10,000 seeded ones per task, and endless ones quickly."""

import math
import time
from random import Random

import pytest

from redone.tasks.check import ENDLESS, hostile_texts
from redone.tasks.schema import FAILURES, Completion, Sample, Services
from redone.tasks.sns_bench import chlw, gender, hashtag, ner, query_corr, taxonomy

LEVELS = {
    f"candidates_{n}": "['Tea', 'Tea Time', 'Cake']" for n in ("primary", "secondary", "tertiary")
}
CASES = [
    (taxonomy.SINGLE, {"candidates": "Tea, Tea Time, Cake"}, "Tea"),
    (taxonomy.MULTIPLE, LEVELS, "Tea | Tea Time | Cake"),
    (hashtag.SINGLE, {"candidates": "Tea, #Tea Time, Cake🍰, ?"}, "Cake🍰"),
    (hashtag.MULTIPLE, {"candidates": "Tea, #Tea Time, Cake🍰, ?"}, ["Tea", "Cake🍰"]),
    (gender.TASK, {}, "Yes"),
    (query_corr.EXPLAIN, {}, "否"),
    (query_corr.TOPIC, {}, "-1"),
    (ner.TASK, {"content": "Tea Time and Cake"}, ["Cake"]),
    (chlw.TASK, {"content": "Comment: Tea? ['Tea']"}, []),
]
NAMES = [task.name for task, _, _ in CASES]


def sample(task, fields, target):
    return Sample("0", task.name, fields, target, "en", "0", "test", "gate", {})


@pytest.mark.parametrize(("task", "fields", "target"), CASES, ids=NAMES)
def test_hostile_texts(task, fields, target):
    one, services = sample(task, fields, target), Services()
    own = [task.gold(one), "Tea", "Tea Time", "cake", "🍰"]
    for number, text in enumerate(hostile_texts(10_000, Random(task.name), own)):
        completion = Completion(text, "length" if number % 7 == 0 else "stop")
        for scoring in task.scorings.values():
            score = scoring.score(one, [completion], services)
            assert 0 <= score.value <= 1, text[:200]
            assert len(score.stats) == len(scoring.statistics)
            assert all(map(math.isfinite, score.stats))
            assert score.failure is None or score.failure in FAILURES
            assert (score.failure is None) == (score.value == 1), text[:200]


@pytest.mark.parametrize(("task", "fields", "target"), CASES, ids=NAMES)
def test_endless_texts_take_no_time(task, fields, target):
    one = sample(task, fields, target)
    for text in (*ENDLESS, ("Tea " * 5_000)[:19_990], "Tea" * 250_000):
        for scoring in task.scorings.values():
            start = time.perf_counter()
            scoring.score(one, [Completion(text)], Services())
            assert time.perf_counter() - start < 2, text[:20]


def test_a_megabyte_is_a_format_failure():
    for task, fields, target in CASES:
        score = task.scorings["corrected"].score(
            sample(task, fields, target), [Completion("Tea " * 250_000)], Services()
        )
        assert (score.value, score.failure) == (0.0, "format")
