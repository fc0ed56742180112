"""Stage 3's emphasis: from the diagnosis of a run to a gradient that is another one."""

import json
from dataclasses import replace

import pytest
from pydantic import ValidationError

from redone.harness.diagnosis.diagnose import DiagnosisConfig, diagnose
from redone.harness.diagnosis.schema import FailureHint
from redone.harness.scored_run import ScoredRun
from redone.tasks.errors import RedoneError, UnknownName
from redone.tasks.registry import find
from redone.tasks.schema import Completion
from redone.training.emphasis import EmphasisSettings, emphasize
from redone.training.rewards import Rewards
from redone.training.rows import TrainingRow
from redone.training.shaping import Shaping

STORIES, FACTS, LISTS = "general_mini/stories", "general_mini/facts", "general_mini/lists"
OWN = Shaping(length=1.0, max_tokens=64, buffer=32)
FORMLESS = {"en": "I have read it with pleasure.", "zh": "我很高兴读到这个故事。"}
EVEN = {STORIES: 1.0, FACTS: 1.0, LISTS: 2.0}


@pytest.fixture(scope="module")
def diagnosis(scripted_run):
    """Of a model that answers stories in no form that can be read, and facts rightly."""

    def spoil(task, sample):
        return FORMLESS[sample.language] if task.name == STORIES and sample.index % 2 else None

    run = scripted_run("formless", spoil, suite="general-mini")
    return diagnose(ScoredRun(run), DiagnosisConfig())


def test_the_hint_of_a_real_diagnosis_raises_ratio_and_share(diagnosis):
    (hint,) = [hint for hint in diagnosis.hints if hint.task == STORIES]
    assert hint.observed == "format" and 0.2 < hint.low < 0.5
    found = emphasize(diagnosis, EVEN, OWN)
    assert found.shaping[STORIES] == OWN.model_copy(update={"pattern": hint.low})
    assert found.shaping[FACTS] == OWN
    more = 1 + hint.low
    assert found.shares == pytest.approx(
        {STORIES: more / (3 + more), FACTS: 1 / (3 + more), LISTS: 2 / (3 + more)}
    )
    assert found.weights == {}


def test_general_tasks_and_the_domain_each_keep_their_part(diagnosis):
    found = emphasize(diagnosis, EVEN, OWN, general={FACTS, STORIES})
    (low,) = [hint.low for hint in diagnosis.hints if hint.task == STORIES]
    assert found.shares[LISTS] == pytest.approx(0.5)
    assert found.shares[STORIES] / found.shares[FACTS] == pytest.approx(1 + low)
    assert found.shares[STORIES] + found.shares[FACTS] == pytest.approx(0.5)


def hinted(diagnosis, *hints):
    made = [
        FailureHint(task, term, ("format",), share=low + 0.1, low=low, n=50)
        for task, term, low in hints
    ]
    return replace(diagnosis, hints=tuple(made))


def test_no_hint_changes_nothing(diagnosis):
    found = emphasize(hinted(diagnosis), EVEN, OWN)
    assert all(shaping == OWN for shaping in found.shaping.values())
    assert found.shares == {STORIES: 0.25, FACTS: 0.25, LISTS: 0.5}


def test_hinted_terms_together_stay_below_the_worth_of_a_right_answer(diagnosis):
    given = hinted(diagnosis, (STORIES, "pattern", 0.6), (STORIES, "language", 0.2))
    shaping = emphasize(given, EVEN, OWN).shaping[STORIES]
    assert (shaping.pattern, shaping.language) == pytest.approx((0.375, 0.125))


def test_a_term_is_never_made_smaller_than_the_recipe_has_it(diagnosis):
    found = emphasize(hinted(diagnosis, (STORIES, "length", 0.3)), EVEN, OWN)
    assert found.shaping[STORIES] == OWN
    assert found.shares[STORIES] > 0.25


def test_loss_weights_keep_their_mean_over_the_sampling(diagnosis):
    given = hinted(diagnosis, (STORIES, "pattern", 0.4), (LISTS, "pattern", 0.2))
    found = emphasize(given, EVEN, OWN, EmphasisSettings(weights=True))
    assert sum(found.shares[name] * found.weights[name] for name in EVEN) == pytest.approx(1)
    assert found.weights[STORIES] / found.weights[FACTS] == pytest.approx(1.4)


def test_the_recipe_overrides_the_rule(diagnosis):
    settings = EmphasisSettings(
        set_ratios={STORIES: {"pattern": 0.05}, FACTS: {"language": 0.2}},
        set_shares={STORIES: 3.0},
        set_weights={LISTS: 0.5},
    )
    found = emphasize(diagnosis, EVEN, OWN, settings)
    assert found.shaping[STORIES].pattern == 0.05
    assert found.shaping[FACTS].language == 0.2
    assert found.shares == pytest.approx({STORIES: 3 / 6, FACTS: 1 / 6, LISTS: 2 / 6})
    assert found.weights == {LISTS: 0.5}


def test_the_rule_can_be_switched_off(diagnosis):
    found = emphasize(diagnosis, EVEN, OWN, EmphasisSettings(ratios=False, shares=False))
    assert all(shaping == OWN for shaping in found.shaping.values())
    assert found.shares == {STORIES: 0.25, FACTS: 0.25, LISTS: 0.5}


def test_the_record_tells_rule_input_and_result(diagnosis):
    given = hinted(diagnosis, (STORIES, "pattern", 0.4), ("sns_mini/ner", "answer", 0.1))
    record = json.loads(json.dumps(emphasize(given, EVEN, OWN).record))
    assert "low * min(1, most / form)" in record["rule"]["ratios"]
    told = record["tasks"][STORIES]
    assert told["hints"] == [
        {"task": STORIES, "term": "pattern", "share": 0.5, "low": 0.4, "n": 50}
    ]
    assert told["ratios"]["pattern"] == [0.0, 0.4]
    assert told["share"] == pytest.approx([0.25, 1.4 / 4.4])
    assert [hint["task"] for hint in record["not trained"]] == ["sns_mini/ner"]


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("partition", ["gate", "report", "all"])
def test_only_the_partition_diagnose_may_be_looked_at(diagnosis, partition):
    with pytest.raises(RedoneError, match="'diagnose' only"):
        emphasize(replace(diagnosis, partition=partition), EVEN, OWN)


def test_an_override_of_a_task_that_is_not_trained_is_named(diagnosis):
    with pytest.raises(UnknownName, match="storys.*Did you mean 'general_mini/stories'"):
        emphasize(diagnosis, EVEN, OWN, EmphasisSettings(set_shares={"general_mini/storys": 2.0}))


def test_a_share_of_nothing_is_refused(diagnosis):
    with pytest.raises(RedoneError, match="0.0 of general_mini/facts"):
        emphasize(diagnosis, {STORIES: 1.0, FACTS: 0.0}, OWN)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            {"set_ratios": {FACTS: {"pattern": 2.0}}},
            "the ratio 2.0 of pattern for general_mini/fac",
        ),
        ({"set_ratios": {FACTS: {"style": 0.1}}}, "style"),
        ({"set_shares": {FACTS: 0}}, "greater than 0"),
        ({"most": 1.0}, "less than 1"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, told):
    with pytest.raises(ValidationError, match=told):
        EmphasisSettings(**wrong)


def test_without_a_token_limit_a_length_hint_changes_the_share_only(diagnosis):
    given = hinted(diagnosis, (STORIES, "length", 0.3), (STORIES, "pattern", 0.1))
    found = emphasize(given, EVEN, Shaping())
    assert found.shaping[STORIES] == Shaping(pattern=0.1)
    assert found.shares[STORIES] == pytest.approx(1.4 / 4.4)


# --- the gradient ------------------------------------------------------------------------------------


def gradient(rewards, weight=1.0):
    """Of DAPO's loss on one group, with respect to the log-probability of each answer.

    Before the first update all ratios are 1, so the loss is the mean of `advantage * ratio`.
    """
    torch = pytest.importorskip("torch")
    logprobs = torch.zeros(len(rewards), dtype=torch.float64, requires_grad=True)
    rewards = torch.tensor(rewards, dtype=torch.float64)
    advantages = (rewards - rewards.mean()) / rewards.std()
    loss = -(weight * advantages * torch.exp(logprobs - logprobs.detach())).mean()
    loss.backward()
    return logprobs.grad.tolist()


def group_rewards(emphasis):
    """One right answer, two wrong ones, one of which is in no form."""
    from pathlib import Path

    from redone.tasks.sources import samples

    (task,) = find(tasks=STORIES)
    sample = next(samples(task, Path("unused")))
    row = TrainingRow(
        sample.id, task.name, ({"role": "user", "content": "?"},), task.gold(sample),
        fields=sample.fields, target=sample.target,
    )  # fmt: skip
    wrong = next(o for o in sample.fields["options"] if o != sample.target["answer"])
    rewards = Rewards(shaping=emphasis.shaping, weights=emphasis.weights)
    texts = [task.gold(sample), wrong, FORMLESS[sample.language]]
    judged = rewards.score([row] * 3, [Completion(text) for text in texts])
    assert [j.failure for j in judged] == [None, "wrong", "format"]
    return [j.reward for j in judged], judged[0].weight


def test_scaling_a_tasks_whole_reward_leaves_its_gradient_as_it_is():
    rewards = [1.0, 0.0, 0.0, 0.5]
    assert gradient([3 * r for r in rewards]) == pytest.approx(gradient(rewards))


def test_a_ratio_changes_the_gradient(diagnosis):
    before, _ = group_rewards(emphasize(hinted(diagnosis), EVEN, OWN))
    after, _ = group_rewards(emphasize(diagnosis, EVEN, OWN))
    assert before == [1.0, 0.0, 0.0]
    assert after[:2] == [1.0, 0.0] and -0.5 < after[2] < -0.2
    plain, emphasized = gradient(before), gradient(after)
    assert plain[1] == plain[2]
    assert emphasized[2] > emphasized[1]  # the formless answer is pushed down, the wrong one less
    assert emphasized[1] < plain[1]


def test_a_loss_weight_changes_the_gradient(diagnosis):
    settings = EmphasisSettings(ratios=False, weights=True)
    rewards, weight = group_rewards(emphasize(diagnosis, EVEN, OWN, settings))
    assert weight > 1
    assert gradient(rewards, weight) == pytest.approx([weight * g for g in gradient(rewards)])
