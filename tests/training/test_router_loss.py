"""Mixture-of-experts models: every kind of stage trains them, their router's loss only on request."""

import json

import pytest
import torch
from dapo_stage import Ruled, by_bytes
from dapo_stage import rows as asked
from dapo_stage import settings as dapo_settings
from safetensors.torch import load_file
from test_dpo import PAIRS
from test_dpo import settings as dpo_settings
from test_sft import rows, settings

from redone.tasks.errors import RedoneError
from redone.training.trainers.dapo import make_trainer, train_dapo
from redone.training.trainers.dpo import train_dpo
from redone.training.trainers.models import RouterLoss
from redone.training.trainers.sft import train_sft
from redone.training.trainers.steps import read_steps

MOE = "qwen3-moe"


def stage(kind, model, output, **changes):
    """A stage of any kind; its step log."""
    if kind == "dapo":
        train_dapo(dapo_settings(**changes), model, asked(), Ruled(by_bytes), output)
    elif kind == "dpo":
        train_dpo(dpo_settings(**changes), model, PAIRS, output)
    else:
        train_sft(settings(**changes), model, rows(), output)
    return list(read_steps(output))


@pytest.mark.parametrize("kind", ["dapo", "sft", "dpo"])
def test_a_mixture_of_experts_is_trained(tiny_model, tmp_path, kind):
    steps = stage(kind, tiny_model(MOE), tmp_path, steps=2, learning_rate=1e-3)
    assert all(step.skipped is None and step.grad_norm > 0 for step in steps)
    before, after = (
        load_file(folder / "model.safetensors") for folder in (tiny_model(MOE), tmp_path / "model")
    )
    assert before.keys() == after.keys()
    assert any("experts" in name and not torch.equal(before[name], after[name]) for name in before)
    saved = json.loads((tmp_path / "model/config.json").read_text())
    assert saved["output_router_logits"] is True  # as the base has it, whatever training needs
    assert saved["router_aux_loss_coef"] == 0.001


@pytest.mark.parametrize("kind", ["dapo", "sft", "dpo"])
def test_the_routers_loss_is_off_and_once_a_step_where_it_is_on(tiny_model, tmp_path, kind):
    """In one pass or in many, it adds its weight times a balance of about 1 or more."""
    model = tiny_model(MOE)

    def first_loss(name, **changes):
        return stage(kind, model, tmp_path / name, steps=1, save_every=9, **changes)[0].loss

    off = first_loss("off")
    assert off == pytest.approx(first_loss("off in passes", micro_batch=1), abs=1e-5)
    whole = first_loss("whole", router_loss=0.5, micro_batch=4) - off
    passes = first_loss("passes", router_loss=0.5, micro_batch=1) - off
    twice = first_loss("twice", router_loss=1.0, micro_batch=4) - off
    assert 0.9 <= whole <= 2  # top 2 of 4 experts: 2 where they are used alike, times 0.5
    assert passes == pytest.approx(whole, rel=0.2)
    assert twice == pytest.approx(2 * whole, rel=1e-3)


@pytest.mark.parametrize("kind", ["dapo", "sft", "dpo"])
def test_a_model_without_a_router_is_refused(tiny_model, tmp_path, kind):
    with pytest.raises(
        RedoneError, match="router_loss 0.1 is of mixture-of-experts models, and ll"
    ):
        stage(kind, tiny_model(), tmp_path, router_loss=0.1)
    assert not list(read_steps(tmp_path))


def test_answers_are_written_without_the_routers_loss(tiny_model, tmp_path):
    """transformers cannot compute it while it generates."""
    made = make_trainer(
        dapo_settings(router_loss=0.1), tiny_model(MOE), asked(), Ruled(by_bytes), tmp_path
    )
    assert isinstance(made.router, RouterLoss)
    assert not made.model.config.output_router_logits
    question = made.work.asking.question(0, asked()[0])
    assert len(made.writer.write([question])[0]) == 4
