"""Dynamic sampling without a model: which groups are kept, and in what order rows are asked."""

from collections import Counter

import pytest
from dapo_stage import TASK, rows

from redone.tasks.schema import Completion
from redone.training.rewards import SPREAD, ScoredAnswer
from redone.training.trainers.rollouts import Rollout
from redone.training.trainers.sampler import Group, PromptOrder, sample_batch
from redone.training.trainers.steps import (
    BAD,
    BARREN,
    NOT_FINITE,
    SPIKE,
    SPIKED,
    Step,
    expected,
    fault,
    stop,
)

METRIC = "sns_trans/zh_en"


def group(values, task=TASK, terms=None):
    terms = terms or [0.0] * len(values)
    judged = [
        ScoredAnswer(v, None, None if v is None else v + t, {"length": t})
        for v, t in zip(values, terms, strict=True)
    ]
    return Group(task, [Rollout([1], [2], Completion("")) for _ in values], judged)


@pytest.mark.parametrize(
    ("values", "teaches"),
    [
        ([1, 1, 1, 1], False),
        ([0, 0, 0, 0], False),
        ([0, 1, 0, 0], True),
        ([None, None, None, None], False),
        ([None, 1, None, None], False),
        ([None, 1, None, 0], True),
        ([1, float("nan"), 1, 1], False),
    ],
)
def test_a_group_teaches_if_its_values_differ(values, teaches):
    assert group(values).teaches is teaches


def test_shaping_does_not_make_a_group_teach():
    assert not group([0, 0, 0, 0], terms=[0, -1, -0.5, -0.2]).teaches


def test_a_metric_has_to_differ_by_more_than_a_comma():
    bound = SPREAD["metric"]
    assert not group([0.5, 0.5 + 0.9 * bound], METRIC).teaches
    assert group([0.5, 0.5 + 1.1 * bound], METRIC).teaches


def test_advantages_are_in_standard_deviations_of_the_shaped_reward():
    found = group([1, 0, None, 1], terms=[0, 0, 0, -0.5]).advantages()
    assert found[2] is None
    # Rewards 1, 0, 0.5: mean 0.5, deviation 0.5.
    assert [a for a in found if a is not None] == pytest.approx([1, -1, 0], abs=1e-3)


def source(groups):
    waiting = list(groups)
    asked = []

    def draw(count):
        asked.append(count)
        given, waiting[:count] = waiting[:count], []
        return given

    return draw, asked


def test_sampling_goes_on_for_the_groups_that_are_missing():
    good, bad = group([0, 1]), group([1, 1])
    draw, asked = source([good, bad, bad, bad, good, good, bad])
    found = sample_batch(draw, wanted=3, resamples=5)
    assert asked == [3, 2, 1]
    assert (len(found.kept), found.dropped, found.rounds) == (3, 3, 3)


def test_sampling_is_bounded():
    draw, asked = source([group([0, 0])] * 100)
    found = sample_batch(draw, wanted=4, resamples=2)
    assert asked == [4, 4, 4]
    assert (found.kept, found.dropped, found.rounds) == ([], 12, 3)
    assert found.barren == "every answer was worth 0"


def test_a_batch_that_stays_half_full_is_used_as_it_is():
    draw, _ = source([group([0, 1]), *[group([1, 1])] * 20])
    found = sample_batch(draw, wanted=4, resamples=1)
    assert len(found.kept) == 1


def test_means_are_over_all_groups_also_the_dropped():
    draw, _ = source([group([0, 1], terms=[0, -0.5]), group([1, 1]), group([None, None])])
    found = sample_batch(draw, wanted=3, resamples=0)
    assert found.tasks()[TASK].value == pytest.approx(0.75)
    assert found.tasks()[TASK].n == 4
    assert found.reward() == pytest.approx(2.5 / 4)
    assert found.parts() == {"length": pytest.approx(-0.125)}


def test_every_row_is_asked_once_an_epoch_in_an_order_of_its_own():
    order = PromptOrder(rows(10), seed=3)
    epochs = [[order[10 * e + i] for i in range(10)] for e in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_the_order_depends_on_the_seed_alone():
    one, other = PromptOrder(rows(10), seed=3), PromptOrder(rows(10), seed=3)
    assert other[57] == one[57]
    assert [one[i] for i in range(40)] == [other[i] for i in range(40)]
    assert [one[i] for i in range(10)] != [PromptOrder(rows(10), seed=4)[i] for i in range(10)]


def test_a_row_of_twice_the_weight_comes_twice_as_often():
    order = PromptOrder([*rows(5), *rows(5, weight=2.0)], seed=0)
    times = Counter(order[i] for i in range(6000))
    light = sum(times[i] for i in range(5))
    assert light / 6000 == pytest.approx(1 / 3, abs=0.02)


def taken(number, norm=1.0):
    return Step(number, loss=0.1, grad_norm=norm)


def test_a_gradient_far_above_the_recent_ones_is_a_spike():
    before = [taken(i) for i in range(1, 11)]
    assert fault(0.1, SPIKE * 0.9, before) is None
    assert fault(0.1, SPIKE * 1.1, before) == SPIKED
    assert fault(0.1, SPIKE * 1.1, before[:5]) is None  # too few to tell


def test_what_is_not_finite_is_not_used():
    assert fault(float("nan"), 1.0, []) == NOT_FINITE
    assert fault(0.1, float("inf"), []) == NOT_FINITE
    assert fault(0.1, None, []) is None


def test_training_stops_after_some_bad_steps_in_a_row():
    bad = [Step(i, skipped=SPIKED) for i in range(2, 2 + BAD)]
    assert stop([taken(1), *bad[:-1]]) is None
    assert "the gradient spiked 3 times in a row" in stop([taken(1), *bad])
    assert stop([*bad, taken(9)]) is None


def test_training_stops_after_many_barren_steps_in_a_row():
    barren = [Step(i, kept=0, skipped="every answer was worth 0") for i in range(1, BARREN + 1)]
    assert stop(barren[:-1]) is None
    assert "every answer was worth 0" in stop(barren)
    assert stop([*barren[:-1], Step(BARREN, skipped=SPIKED), barren[-1]]) is None


def test_it_is_rollouts_that_are_barren_not_the_updates_made_of_them():
    def rollout(number, updates=4):
        first = Step(updates * number + 1, kept=0, skipped="every answer was worth 0")
        rest = [Step(first.step + i, skipped="no group was left for it") for i in range(1, updates)]
        return [first, *rest]

    barren = [step for number in range(BARREN) for step in rollout(number)]
    assert stop(barren[:-4]) is None
    assert f"{BARREN} rollouts in a row had nothing to learn from (every answer" in stop(barren)


def test_the_steps_to_come_are_those_that_the_budget_reaches():
    steps = [Step(1, tokens_read=60, tokens_generated=40), Step(2, tokens_read=100)]
    assert expected(steps, total=50) == 50
    assert expected(steps, total=50, budget=950) == 10
    assert expected(steps, total=5, budget=950) == 5
    assert expected(steps, total=50, budget=150) == 2  # spent: the stage ends here
    assert expected([Step(1)], total=50, budget=150) == 50  # nothing seen yet
