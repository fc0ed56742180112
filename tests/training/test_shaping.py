"""Shaping terms: what is added to a task's value, and that nothing is unless asked for."""

import pytest
from pydantic import ValidationError

from redone.tasks.schema import Completion
from redone.training.settings import DapoSettings
from redone.training.shaping import Shaping, foreign_share, overlong


def parts(shaping, text="", failure=None, tokens=0, models=("a plain answer",)):
    return shaping.parts(Completion(text, tokens=tokens), failure, models)


def test_nothing_is_shaped_by_default():
    assert parts(Shaping(), "随便", "format", 10**6) == {}


@pytest.mark.parametrize(
    ("tokens", "objection"),
    [(0, 0), (4096, 0), (4097, 1 / 4096), (6144, 0.5), (8191, 4095 / 4096), (8192, 1), (9000, 1)],
)
def test_overlong_grows_linearly_over_the_buffer(tokens, objection):
    """The paper's limits: 8,192 tokens, the last 4,096 of them a buffer."""
    assert overlong(tokens, 8192, 4096) == pytest.approx(objection)


def test_without_a_buffer_only_a_full_answer_is_overlong():
    assert [overlong(n, 64, 0) for n in (0, 63, 64)] == [0, 0, 1]


def test_a_row_with_a_lower_limit_is_held_against_that_one():
    """The buffer stays the same share of the limit: half of it here."""
    shaping = Shaping(length=1.0, max_tokens=40, buffer=20)

    def length(tokens, limit):
        return shaping.parts(Completion("", tokens=tokens), None, (), limit)["length"]

    assert [length(n, 12) for n in (6, 9, 12)] == [0, -0.5, -1]
    assert [length(n, 40) for n in (12, 30, 40)] == [0, -0.5, -1]
    assert [length(n, 100) for n in (12, 30, 40)] == [0, -0.5, -1]  # no higher than its own


def test_an_answer_that_ended_in_a_repetition_counts_as_one_that_fills_its_limit():
    shaping = Shaping(length=1.0, max_tokens=40, buffer=20)
    for finish, expected in (("stop", 0), ("length", -1)):
        done = Completion("no, no, no", finish=finish, tokens=12)
        assert shaping.parts(done, None, (), 30)["length"] == expected


def test_settings_of_a_stage_give_the_papers_penalty_and_nothing_else():
    settings = DapoSettings(overlong_buffer=4096, overlong_penalty=1.0)
    shaping = Shaping.of(settings)
    assert parts(shaping, "随便", "format", tokens=6144) == {"length": -0.5}
    assert parts(shaping, tokens=0) == {"length": 0}


def test_each_term_answers_its_failures():
    shaping = Shaping(pattern=0.25, answer=0.5)
    assert parts(shaping, failure="format") == {"pattern": -0.25, "answer": 0}
    assert parts(shaping, failure="empty") == {"pattern": 0, "answer": -0.5}
    assert parts(shaping, failure="refusal") == {"pattern": 0, "answer": -0.5}
    assert parts(shaping, failure="wrong") == {"pattern": 0, "answer": 0}
    assert parts(shaping, failure=None) == {"pattern": 0, "answer": 0}


@pytest.mark.parametrize(
    ("text", "models", "share"),
    [
        ("a plain answer", ["a plain answer"], 0),
        ("一个答案", ["a plain answer"], 1),
        ("half 一二三四", ["a plain answer"], 0.5),
        ("I like iPhone", ["我喜欢手机"], 1),
        ("我喜欢 iPhone 手机", ["我喜欢新的 iPhone 手机"], 0),  # the gold borrows the name too
        ("这句话在说心情", ["joy", "这句话在说心情"], 0),  # a rationale may have its own script
        ("joy", ["joy", "这句话在说心情"], 0),
        ("42", ["我喜欢"], 0),
        ("four", ["42"], 0),
        ("", ["a"], 0),
        ("ответ", ["a plain answer"], 1),
        ("संदेश", ["a plain answer"], 1),
    ],
)
def test_foreign_share_goes_by_the_scripts_of_the_gold_answer(text, models, share):
    assert foreign_share(text, models) == pytest.approx(share, abs=0.06)


def test_a_gold_answer_in_two_scripts_is_not_foreign_to_itself():
    gold = "这个 App 很好用 so good"
    assert foreign_share(gold, [gold]) == 0


def test_language_is_a_share_of_the_ratio():
    assert parts(Shaping(language=0.4), "一个答案") == {"language": -0.4}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"length": 1.0}, "max_tokens"),
        ({"max_tokens": 8, "buffer": 9}, "buffer 9"),
        ({"pattern": 1.5}, "less than or equal to 1"),
        ({"answer": -0.1}, "greater than or equal to 0"),
        ({"format": 0.1}, "Extra inputs"),
    ],
)
def test_ranges_are_kept(wrong, told):
    with pytest.raises(ValidationError, match=told):
        Shaping(**wrong)
