"""The first update counts, and probability ratios compare a model with itself."""

import pytest
import torch
from dapo_stage import Ruled, by_bytes, settings
from dapo_stage import rows as asked
from test_dpo import PAIRS
from test_dpo import settings as dpo_settings
from test_sft import rows as sft_rows
from test_sft import settings as sft_settings

from redone.training.settings import LoraSettings
from redone.training.trainers.dapo import DapoTrainer, train_dapo
from redone.training.trainers.dpo import train_dpo
from redone.training.trainers.sft import train_sft
from redone.training.trainers.steps import rate, read_steps


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize(("warmup", "total"), [(0, 1), (1, 1), (2, 13), (5, 5), (10, 100), (7, 3)])
def test_no_update_is_at_a_rate_of_zero(warmup, total, cosine):
    rates = [rate(step, warmup, total, cosine) for step in range(total)]
    assert all(0 < share <= 1 for share in rates)
    rising = rates[: min(warmup, total)]
    assert rising == sorted(rising)
    assert total <= warmup or rates[warmup] == 1


def rates(output):
    return [step.learning_rate for step in read_steps(output)]


def test_the_first_update_of_a_warm_up_changes_the_model(tiny_model, tmp_path):
    changes = dict(steps=3, warmup_steps=2, learning_rate=3e-3)
    train_dapo(settings(**changes), tiny_model(), asked(), Ruled(by_bytes), tmp_path / "dapo")
    assert rates(tmp_path / "dapo") == pytest.approx([1e-3, 2e-3, 3e-3])
    changes = dict(steps=4, warmup_ratio=0.5, learning_rate=3e-3)
    for schedule, last in (("constant", 3e-3), ("cosine", 1.5e-3)):
        folder = tmp_path / schedule
        train_sft(sft_settings(**changes, schedule=schedule), tiny_model(), sft_rows(), folder)
        assert rates(folder) == pytest.approx([1e-3, 2e-3, 3e-3, last])


# --- dropout --------------------------------------------------------------------------------------

DROPOUT = LoraSettings(r=2, dropout=0.5)


@pytest.mark.parametrize(
    ("kind", "lora"), [("llama", DROPOUT), ("sliding", DROPOUT), ("gpt2", None)]
)
def test_the_ratio_is_one_before_the_first_update(tiny_model, tmp_path, monkeypatch, kind, lora):
    """gpt2 has dropout of its own, 0.1."""
    honest, seen, found = DapoTrainer._compute_loss, [], []

    def probabilities(self, *arguments, **options):
        result = DapoTrainer.__mro__[0]._honest(self, *arguments, **options)
        found.append(result[0].detach())
        return result

    def compare(self, model, inputs):
        loss = honest(self, model, inputs)
        assert model.training
        apart = (found[-1] - inputs["old_per_token_logps"]) * inputs["completion_mask"]
        seen.append((self.state.global_step, float(apart.abs().max())))
        return loss

    name = "_get_per_token_logps_and_entropies"
    monkeypatch.setattr(DapoTrainer, "_honest", getattr(DapoTrainer, name), raising=False)
    monkeypatch.setattr(DapoTrainer, name, probabilities)
    monkeypatch.setattr(DapoTrainer, "_compute_loss", compare)
    changes = dict(steps=1, updates_per_rollout=3, lora=lora, learning_rate=1e-2)
    train_dapo(settings(**changes), tiny_model(kind), asked(), Ruled(by_bytes), tmp_path)
    assert max(apart for step, apart in seen if step == 0) < 1e-5
    assert max(apart for step, apart in seen if step == 2) > 1e-4  # later ones are of another model


def test_the_reference_of_preferences_is_the_model_without_dropout(tiny_model, tmp_path, capsys):
    train_dpo(dpo_settings(lora=DROPOUT, steps=1), tiny_model(), PAIRS, tmp_path)
    (step,) = read_steps(tmp_path)
    assert step.loss == pytest.approx(0.693147, abs=1e-5)  # log 2: no preference yet
    assert "lora.dropout 0.5 is for SFT" in capsys.readouterr().err


def test_supervised_training_has_its_dropout(tiny_model, tmp_path):
    losses = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        lora = LoraSettings(r=2, dropout=0.5)
        folder = tmp_path / str(seed)
        stage = sft_settings(steps=4, batch=12, micro_batch=12, lora=lora, seed=seed)
        train_sft(stage, tiny_model(), sft_rows(), folder)
        losses.append([step.loss for step in read_steps(folder)])
    assert losses[0][0] == pytest.approx(losses[1][0], abs=1e-5)  # a new adapter adds nothing
    assert losses[0][-1] != pytest.approx(losses[1][-1], abs=1e-6)
