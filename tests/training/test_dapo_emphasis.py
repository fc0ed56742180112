"""What a diagnosis changes in the gradient of the trainer itself, from the judging of answers on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from dapo_stage import settings

from redone.harness.diagnosis.diagnose import DiagnosisConfig, diagnose
from redone.harness.scored_run import ScoredRun
from redone.tasks.registry import find
from redone.tasks.schema import Completion
from redone.tasks.sources import samples
from redone.training.emphasis import EmphasisSettings, emphasize
from redone.training.rewards import Rewards
from redone.training.rows import TrainingRow
from redone.training.shaping import Shaping
from redone.training.trainers.dapo import make_trainer
from redone.training.trainers.rollouts import Rollout

STORIES, FACTS = "general_mini/stories", "general_mini/facts"
EVEN = {STORIES: 1.0, FACTS: 1.0}
OWN = Shaping()
FORMLESS = {"en": "I have read it with pleasure.", "zh": "我很高兴读到这个故事。"}


@pytest.fixture(scope="module")
def diagnosis(scripted_run):
    """Of a model that answers every second story in no form that can be read."""

    def spoil(task, sample):
        return FORMLESS[sample.language] if task.name == STORIES and sample.index % 2 else None

    return diagnose(
        ScoredRun(scripted_run("shapeless", spoil, suite="general-mini")), DiagnosisConfig()
    )


def story():
    """A row, and the texts of a right answer, a wrong one, and one in no form."""
    (task,) = find(tasks=STORIES)
    sample = next(samples(task, Path("unused")))
    row = TrainingRow(
        sample.id, task.name, ({"role": "user", "content": "?"},), task.gold(sample),
        fields=sample.fields, target=sample.target,
    )  # fmt: skip
    wrong = next(o for o in sample.fields["options"] if o != sample.target["answer"])
    return row, [task.gold(sample), wrong, FORMLESS[sample.language]]


class Written:
    """A model that wrote the same texts to every question."""

    collective = False

    def __init__(self, texts):
        self.texts = texts

    def write(self, questions):
        answers = [[*text.encode()[:12], 256] for text in self.texts]
        return [
            [
                Rollout(q.prompt, ids, Completion(text, tokens=len(ids)))
                for text, ids in zip(self.texts, answers, strict=True)
            ]
            for q in questions
        ]


class Threefold(Rewards):
    """Every reward three times as large: the factor that does nothing."""

    def score(self, rows, completions, limits=None):
        judged = super().score(rows, completions, limits)
        return [replace(one, reward=3 * one.reward) for one in judged]


@pytest.fixture
def learnt(tiny_model, tmp_path):
    """The gradient of one step on the group, and the step."""
    row, texts = story()

    def gradient(rewards):
        chosen = settings(prompts_per_step=1, group_size=3, max_grad_norm=1e9, learning_rate=1e-4)
        made = make_trainer(chosen, tiny_model(), [row], rewards, tmp_path / "stage")
        made.create_optimizer()
        made.writer = Written(texts)
        made.training_step(made.model, [])
        assert (made.step.kept, made.step.skipped) == (1, None)
        found = torch.cat([p.grad.flatten() for p in made.model.parameters() if p.grad is not None])
        return found.double(), made.step

    return gradient


def cosine(one, other):
    return float(one @ other / (one.norm() * other.norm()))


def test_a_hinted_ratio_turns_the_gradient(learnt, diagnosis):
    plain, before = learnt(Rewards(shaping=OWN))
    emphasis = emphasize(diagnosis, EVEN, OWN)
    assert emphasis.shaping[STORIES].pattern > 0.2
    hinted, after = learnt(Rewards(shaping=emphasis.shaping, weights=emphasis.weights))
    assert cosine(plain, hinted) < 0.999
    assert before.parts == {}
    assert after.parts["pattern"] == pytest.approx(-emphasis.shaping[STORIES].pattern / 3)
    assert after.tasks == before.tasks  # the value is the evaluation's, whatever is added to it


def test_a_task_without_a_hint_has_the_gradient_that_it_had(learnt, diagnosis):
    plain, _ = learnt(Rewards(shaping=OWN))
    other = emphasize(replace(diagnosis, hints=()), EVEN, OWN)
    same, _ = learnt(Rewards(shaping=other.shaping, weights=other.weights))
    assert torch.equal(plain, same)


def test_a_loss_weight_lengthens_the_gradient_and_does_not_turn_it(learnt, diagnosis):
    plain, _ = learnt(Rewards(shaping=OWN))
    emphasis = emphasize(diagnosis, EVEN, OWN, EmphasisSettings(ratios=False, weights=True))
    assert emphasis.weights[STORIES] > 1.05
    longer, _ = learnt(Rewards(shaping=emphasis.shaping, weights=emphasis.weights))
    torch.testing.assert_close(longer, emphasis.weights[STORIES] * plain, rtol=1e-3, atol=1e-6)


def test_a_factor_on_the_whole_reward_of_a_task_does_nothing(learnt):
    plain, _ = learnt(Rewards(shaping=OWN))
    scaled, _ = learnt(Threefold(shaping=OWN))
    assert cosine(plain, scaled) == pytest.approx(1, abs=1e-6)
    assert float(scaled.norm() / plain.norm()) == pytest.approx(1, abs=1e-3)
