"""A trained model has the dtype and configuration of the one that it was made from."""

import json

import pytest
import torch
from dapo_stage import Ruled, by_bytes
from dapo_stage import rows as asked
from dapo_stage import settings as dapo_settings
from safetensors.torch import load_file, save_file
from test_dpo import PAIRS
from test_dpo import settings as dpo_settings
from test_sft import rows, settings
from tiny_models import tiny_config, tiny_tokenizer

from redone.training.settings import LoraSettings
from redone.training.trainers.dapo import train_dapo
from redone.training.trainers.dpo import train_dpo
from redone.training.trainers.sft import train_sft


def base(folder, dtype, kind="llama"):
    from transformers import AutoModelForCausalLM

    torch.manual_seed(7)
    AutoModelForCausalLM.from_config(tiny_config(kind)).to(dtype).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def weights(folder):
    return load_file(folder / "model.safetensors")


def config(folder):
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("lora", [None, LoraSettings(r=4)], ids=["full", "lora"])
def test_weights_are_saved_in_the_dtype_of_the_base(tmp_path, dtype, lora):
    start = base(tmp_path / "base", dtype, "qwen2")  # its embedding is tied to its head
    result = train_sft(settings(steps=3, lora=lora), start, rows(), tmp_path / "out")
    before, after = weights(start), weights(result.model)
    assert before.keys() == after.keys()
    assert {w.dtype for w in after.values()} == {dtype}
    assert config(result.model) == config(start)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    if lora is None:
        (checkpoint,) = (tmp_path / "out/checkpoints").glob("checkpoint-*")
        assert {w.dtype for w in weights(checkpoint).values()} == {torch.float32}


@pytest.mark.parametrize("kind", ["dapo", "dpo"])
def test_other_kinds_of_stages_save_alike(tmp_path, kind):
    start = base(tmp_path / "base", torch.bfloat16)
    if kind == "dapo":
        stage = dapo_settings(steps=1)
        result = train_dapo(stage, start, asked(), Ruled(by_bytes), tmp_path / "out")
    else:
        result = train_dpo(dpo_settings(steps=1), start, PAIRS, tmp_path / "out")
    assert {w.dtype for w in weights(result.model).values()} == {torch.bfloat16}
    assert config(result.model) == config(start)


def test_a_weight_of_another_dtype_than_the_rest_keeps_it(tmp_path):
    start = base(tmp_path / "base", torch.bfloat16)
    mixed = weights(start)
    mixed["model.norm.weight"] = mixed["model.norm.weight"].float()
    save_file(mixed, start / "model.safetensors", metadata={"format": "pt"})
    result = train_sft(settings(steps=1), start, rows(), tmp_path / "out")
    after = weights(result.model)
    assert after["model.norm.weight"].dtype == torch.float32
    assert after["lm_head.weight"].dtype == torch.bfloat16


def test_what_rounding_takes_is_told_and_can_be_kept(tmp_path, capsys):
    start = base(tmp_path / "base", torch.bfloat16)
    small = dict(steps=1, learning_rate=1e-6)
    train_sft(settings(**small), start, rows(), tmp_path / "out")
    told = capsys.readouterr().err
    assert "bfloat16 keeps 0% of what training changed" in told
    assert 'train.save_dtype = "float32"' in told
    kept = train_sft(settings(**small, save_dtype="float32"), start, rows(), tmp_path / "kept")
    assert capsys.readouterr().err == ""
    assert {w.dtype for w in weights(kept.model).values()} == {torch.float32}
    assert config(kept.model)["dtype"] == "float32"
    train_sft(settings(steps=3), start, rows(), tmp_path / "fast")
    assert capsys.readouterr().err == ""
