"""The loss of a step, against one computed by hand from single sequences."""

import pytest
import torch
from dapo_stage import TASK, Ruled, by_bytes, rows, settings

from redone.tasks.schema import Completion
from redone.training.rewards import ScoredAnswer
from redone.training.trainers.dapo import make_trainer
from redone.training.trainers.rollouts import Rollout
from redone.training.trainers.sampler import CORRECTION_MOST, Group, Part, loss_inputs

PROMPTS = ([10, 11, 12, 13], [10, 11, 12], [40, 41])


def rollout(prompt, answer):
    return Rollout(prompt, answer, Completion("text", tokens=len(answer)))


def group(prompt, answers, values, terms=None, weight=1.0):
    terms = terms or [0.0] * len(values)
    judged = [
        ScoredAnswer(value, None, value + term, {"length": term}, weight)
        for value, term in zip(values, terms, strict=True)
    ]
    return Group(TASK, [rollout(prompt, answer) for answer in answers], judged)


VARIED = group(
    PROMPTS[0], [[20, 21], [20, 22, 23], [24], [20, 21, 25, 26]], [1, 0, 0, 1], [0, 0, -0.5, 0]
)
ALL_WRONG = group(
    PROMPTS[1], [[30], [31, 32], [33], [34, 35, 36]], [0, 0, 0, 0], [0, -0.2, 0, -0.4]
)
ALL_RIGHT = group(PROMPTS[2], [[50, 51]] * 4, [1, 1, 1, 1])
WEIGHTED = group(PROMPTS[2], [[60], [61, 62], [63, 64], [65]], [1, 1, 0, 1], weight=2.0)


@pytest.fixture
def trainer(tiny_model, tmp_path):
    def make(groups=(), **changes):
        made = make_trainer(
            settings(**changes), tiny_model(), rows(), Ruled(by_bytes), tmp_path / "stage"
        )
        made.create_optimizer()
        waiting = list(groups)

        def draw(count):
            given, waiting[:count] = waiting[:count], []
            return given

        made._draw = draw
        return made

    return make


def single(model, prompt, answer):
    """Log-probabilities of one answer, nothing shared and nothing padded."""
    logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0]
    logprobs = logits.log_softmax(-1)
    first = len(prompt) - 1
    return torch.stack([logprobs[first + i, token] for i, token in enumerate(answer)])


def advantage(group):
    rewards = torch.tensor([j.reward for j in group.answers], dtype=torch.float64)
    weights = torch.tensor([j.weight for j in group.answers], dtype=torch.float64)
    return (weights * (rewards - rewards.mean()) / (rewards.std() + 1e-4)).tolist()


def by_hand(model, groups):
    """DAPO's loss over groups, and its gradients: the first update, where all ratios are 1."""
    model.zero_grad()
    tokens = sum(len(r.answer) for group in groups for r in group.rollouts)
    total = torch.zeros(())
    for one in groups:
        for r, a in zip(one.rollouts, advantage(one), strict=True):
            logprobs = single(model, r.prompt, r.answer)
            ratio = (logprobs - logprobs.detach()).exp()
            total = total - torch.min(ratio * a, ratio.clamp(0.8, 1.28) * a).sum() / tokens
    total.backward()
    return float(total.detach()), gradients(model)


def gradients(model):
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("shared", [True, False], ids=["shared prefixes", "padded rows"])
@pytest.mark.parametrize("micro", [1, 3, 32])
def test_dropped_groups_enter_neither_loss_nor_normaliser(trainer, shared, micro):
    made = trainer(
        [VARIED, ALL_WRONG, WEIGHTED, ALL_RIGHT], prompts_per_step=4, micro_batch=micro,
        max_resamples=0, max_grad_norm=1e9,
    )  # fmt: skip
    made.shares_prefixes = shared
    loss = float(made.training_step(made.model, []))
    found = gradients(made.model)
    expected, right = by_hand(made.model, [VARIED, WEIGHTED])
    assert loss == pytest.approx(expected, abs=1e-5)
    assert_same(found, right)
    assert (made.step.kept, made.step.dropped) == (2, 2)
    assert made.step.tokens_trained == 10 + 6


def test_a_length_term_makes_no_group_of_wrong_answers_teach(trainer):
    made = trainer([ALL_WRONG] * 3, max_resamples=0)
    before = {n: p.detach().clone() for n, p in made.model.named_parameters()}
    assert float(made.training_step(made.model, [])) == 0.0
    made.optimizer.step()
    assert made.step.skipped == "every answer was worth 0"
    assert gradients(made.model) == {}
    for name, parameter in made.model.named_parameters():
        assert torch.equal(parameter, before[name]), name


def test_an_answer_that_could_not_be_judged_is_not_trained_on(trainer):
    judged = [*VARIED.answers[:3], ScoredAnswer(None)]
    made = trainer([Group(TASK, VARIED.rollouts, judged)], prompts_per_step=1, max_grad_norm=1e9)
    made.training_step(made.model, [])
    found = gradients(made.model)
    _, right = by_hand(made.model, [Group(TASK, VARIED.rollouts[:3], judged[:3])])
    assert_same(found, right)


def test_ratios_are_clipped_at_a_fifth_below_and_more_above(trainer):
    """Old log-probabilities are set so that ratios lie inside and outside of both bounds."""
    made = trainer(max_grad_norm=1e9)
    answer, prompt = [20, 21, 22, 23], PROMPTS[0]
    now = single(made.model, prompt, answer).detach()
    shifts = torch.tensor([0.5, -0.5, 0.2, -0.1])
    parts = [Part(prompt, answer, a, old=(now - shifts).tolist()) for a in (1.5, -0.7)]
    loss = float(made._learn(made.model, parts))
    found = gradients(made.model)
    made.model.zero_grad()
    total = torch.zeros(())
    for part in parts:
        ratio = (single(made.model, prompt, answer) - (now - shifts)).exp()
        a = part.advantage
        total = total - torch.min(ratio * a, ratio.clamp(0.8, 1.28) * a).sum() / 8
    total.backward()
    assert loss == pytest.approx(float(total.detach()), abs=1e-5)
    assert_same(found, gradients(made.model))


def test_several_updates_start_from_the_log_probabilities_of_the_rollout(trainer):
    made = trainer([VARIED, WEIGHTED], prompts_per_step=2, updates_per_rollout=2)
    made.training_step(made.model, [])
    (second,) = made._waiting
    for part in second:
        expected = single(made.model, part.prompt, part.answer)
        torch.testing.assert_close(torch.tensor(part.old), expected.detach(), atol=1e-5, rtol=0)
    made.optimizer.step()
    made.model.zero_grad()
    made.state.global_step = 1
    made.training_step(made.model, [])
    assert made.step.kept is None  # nothing was sampled for it
    assert made.step.tokens_trained == 6


def test_a_process_reads_the_old_log_probabilities_of_its_own_share_only(trainer):
    made = trainer(micro_batch=2)
    made.shares_prefixes = False
    made.own_share = lambda count: (count // 2, count)  # as the second of two processes
    answers = ([20, 21], [22], [23, 24, 25], [26], [27, 28], [29])
    parts = [Part(PROMPTS[0], answer, 1.0) for answer in answers]
    read, honest = [], made._get_per_token_logps_and_entropies

    def counted(model, ids, *rest, **options):
        read.append(len(ids))
        return honest(model, ids, *rest, **options)

    made._get_per_token_logps_and_entropies = counted
    found = made._with_old(made.model, parts)
    assert sum(read) == 3
    assert [part.old for part in found[:3]] == [None] * 3
    for part in found[3:]:
        expected = single(made.model, part.prompt, part.answer).detach()
        torch.testing.assert_close(torch.tensor(part.old), expected, atol=1e-5, rtol=0)
    # And learns from that share.
    del read[:]
    made._learn(made.model, found)
    assert sum(read) == 3


def test_passes_that_only_fill_up_count_in_no_figure(trainer):
    """A process with fewer passes than others makes some more, which teach and tell nothing."""
    made = trainer(micro_batch=1, max_grad_norm=1e9)
    parts = [Part(PROMPTS[0], [20, 21], 1.0), Part(PROMPTS[0], [22], -1.0)]
    loss = float(made._learn(made.model, parts))
    right, seen = gradients(made.model), dict(made._seen)
    made.model.zero_grad()
    honest = made._batches
    made._batches = lambda parts: [*honest(parts), [0], [0]]
    assert float(made._learn(made.model, parts)) == pytest.approx(loss)
    assert made._seen == pytest.approx(seen)
    assert_same(gradients(made.model), right)


def test_the_engine_writes_with_the_weights_as_they_are_now(trainer):
    """The fast engine's decoder holds no copy of the weights."""
    made = trainer()
    del made._draw
    question = made.work.asking.question(0, made.work.rows[0])
    before = [r.answer for r in made.writer.write([question])[0]]
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    after = made.writer.write([question])[0]
    assert before != [r.answer for r in after]
    assert_next_token(made, question)


def test_parameters_moved_to_other_memory_are_found_again(trainer):
    """A wrapper for several processes does that when training starts."""
    made = trainer()
    for parameter in made.model.parameters():
        parameter.data = parameter.data.clone() * 1.5
    question = made.work.asking.question(0, made.work.rows[0])
    made.writer.write([question])
    with made.writer._engine() as engine:
        decoder = engine._decoder
    query = made.model.model.layers[0].self_attn.q_proj.weight
    assert query.data_ptr() == decoder.layers[0].qkv._weight.data_ptr()
    assert_next_token(made, question)


def assert_next_token(made, question):
    """The decoder expects what the model expects."""
    from redone.harness.models.cpu.attention import read

    with made.writer._engine() as engine:
        decoder = engine._decoder
    with torch.inference_mode():
        found = decoder.logits(read(decoder, [question.prompt]))
        expected = made.model(input_ids=torch.tensor([question.prompt])).logits[:, -1]
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_vllms_other_arithmetic_is_corrected_for():
    """Ratio of training and sampling probabilities, bounded; a missing one corrects nothing."""
    part = Part([1, 2], [3, 4, 5], 1.0, sampled=[-1.0, float("nan"), -9.0], old=[-1.5, -2.0, -1.0])
    short = Part([1], [3], 1.0, sampled=[-0.5], old=[-0.5])
    ratio = loss_inputs([part, short], 4, pad=0, corrected=True)["importance_sampling_ratio"]
    expected = torch.tensor([[-0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]).exp()
    expected[0, 2] = CORRECTION_MOST
    expected[1, 1:] = 0.0
    torch.testing.assert_close(ratio, expected)
