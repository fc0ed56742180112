"""An answer to train on ends where the evaluation of its task cuts it, and is judged as cut."""

from dataclasses import replace
from pathlib import Path

import pytest
from dapo_stage import TASK, rows, settings
from tiny_models import CHAT_TEMPLATE, tiny_tokenizer

from redone.harness.evaluate import Plan, sample_records
from redone.harness.models.output import Answer
from redone.harness.models.rendering import Renderer
from redone.harness.models.scripted import ScriptedModel
from redone.tasks.registry import by_name, find
from redone.tasks.schema import Services
from redone.tasks.sources import samples
from redone.training.corpus.draws import answer_limit
from redone.training.rewards import Rewards
from redone.training.rows import TrainingRow
from redone.training.shaping import Shaping
from redone.training.trainers.dapo import make_trainer
from redone.training.trainers.rollouts import Asking, TrainerWriter

LATE = "Well, let me think. Yes"
"""Right, but 23 tokens of the tiny tokenizer: an evaluation of the short task cuts it after 12."""
OWN = 12
ROW = rows(1)[0]
PLAIN = CHAT_TEMPLATE.partition("{% if enable_thinking")[0]
"""A template that knows of no thinking."""


@pytest.fixture(autouse=True)
def short_task():
    """The task with so low a limit that a sentence does not fit."""
    task = by_name(TASK)
    own = task.settings
    object.__setattr__(task, "settings", replace(own, max_tokens=OWN))
    yield
    object.__setattr__(task, "settings", own)


def asking(most=40, reasoned=False, thinks=False):
    renderer = Renderer(tiny_tokenizer(CHAT_TEMPLATE if thinks else PLAIN), {}, "auto")
    assert renderer.thinks == thinks
    return Asking(renderer, settings(max_new_tokens=most), None, lambda row: reasoned)


def tokens(text):
    """With the one that ends a text."""
    return [*tiny_tokenizer().encode(text), 256]


def answered(text, **options):
    """The rollout of a model that writes a text, asked the way a stage asks."""
    made = asking(**options)

    def generate(prompts):
        return [tokens(text)] * len(prompts), None

    writer = TrainerWriter(generate, made.renderer, frozenset({256}), group=1, seed=0)
    question = made.question(0, ROW)
    ((rollout,),) = writer.write([question])
    return rollout, question.limit(rollout.completion)


def test_an_answer_beyond_the_tasks_limit_is_cut_and_judged_as_an_evaluation_judges_it():
    task = by_name(TASK)
    assert task.settings.max_tokens == OWN
    evaluated = Answer(task.settings, asking().renderer.decode, frozenset({256}))
    for token in tokens(LATE):
        if evaluated.add(token):
            break
    score = task.scorings["corrected"].score(
        ROW.sample(), [evaluated.completion(0, 0.0)], Services()
    )
    rollout, limit = answered(LATE)
    (judged,) = Rewards().score([ROW], [rollout.completion], [limit])
    assert (judged.value, judged.failure) == (score.value, score.failure) == (0.0, "truncated")
    assert (len(rollout.answer), rollout.completion.finish, limit) == (OWN, "length", OWN)
    # The same text is right where there is room for it: it is the cut that makes it wrong.
    assert Rewards().score([ROW], [LATE])[0].value == 1.0


def test_an_answer_behind_its_reasons_has_all_the_room_there_is():
    rollout, limit = answered(LATE, reasoned=True)
    (judged,) = Rewards().score([ROW], [rollout.completion], [limit])
    assert (judged.value, len(rollout.answer), limit) == (1.0, 24, 40)


def test_thinking_has_the_room_that_the_answer_leaves():
    thought, limit = answered("<think>no, or yes?</think>Yes", thinks=True)
    assert (thought.completion.text, thought.completion.finish, limit) == ("Yes", "stop", 40)
    plain, limit = answered(LATE, thinks=True)
    assert (len(plain.answer), limit) == (OWN, OWN)
    endless, _ = answered("<think>" + 50 * "hm ", thinks=True)
    assert (len(endless.answer), endless.completion.finish) == (40, "length")


def test_the_stage_may_have_a_lower_limit_than_the_task():
    assert (answer_limit(ROW), answer_limit(ROW, 6), answer_limit(ROW, 99)) == (OWN, 6, OWN)


def test_the_limit_of_a_row_is_the_one_that_its_evaluation_asks_with():
    (task,) = find(tasks="general_mini/facts")
    of = {sample.id: sample for sample in samples(task, Path("unused"))}
    found = set()
    for record in sample_records(Plan([task], Path("unused")), ScriptedModel({})):
        (request,) = record.requests
        asked = (request.settings or {"max_tokens": task.settings.max_tokens})["max_tokens"]
        sample = of[record.sample.id]
        row = TrainingRow(
            sample.id, task.name, (), task.gold(sample), fields=sample.fields, target=sample.target
        )
        assert answer_limit(row) == asked
        found.add(asked)
    assert len(found) > 1  # the items differ in what they need


@pytest.mark.parametrize("kind", ["llama", "gpt2"], ids=["fast engine", "transformers"])
def test_a_stage_rewards_no_token_beyond_the_limit(tiny_model, tmp_path, kind):
    """The over-long penalty goes by the row's own limit, its buffer shrunk in proportion."""
    shaping = Shaping(length=1.0, max_tokens=40, buffer=20)
    made = make_trainer(
        settings(max_new_tokens=40, group_size=8, overlong_buffer=20), tiny_model(kind, PLAIN), rows(),
        Rewards(shaping=shaping), tmp_path,
    )  # fmt: skip
    made._generating = made._scoring = 0.0
    pairs = [pair for g in made._draw(3) for pair in zip(g.rollouts, g.answers, strict=True)]
    assert max(len(rollout.answer) for rollout, _ in pairs) == OWN
    for rollout, judged in pairs:
        expected = min(1.0, max(0.0, (len(rollout.answer) - 6) / 6))
        assert judged.parts["length"] == pytest.approx(-expected)
