"""Tiny random models with a byte-level tokenizer and invented items, in temporary folders."""

from __future__ import annotations

import pytest
from tiny_models import CHAT_TEMPLATE, tiny_config, tiny_tokenizer


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A function: kind -> folder of a tiny random model."""
    made = {}

    def make(kind: str = "llama", template: str | None = CHAT_TEMPLATE):
        if (kind, template) not in made:
            import torch
            from transformers import AutoModelForCausalLM

            torch.manual_seed(7)
            folder = tmp_path_factory.mktemp(kind)
            model = AutoModelForCausalLM.from_config(tiny_config(kind))
            with torch.no_grad():  # biases and norms at their initial 0 and 1 would hide mistakes
                for name, weight in model.named_parameters():
                    if name.endswith("bias") or "norm" in name:
                        weight.add_(torch.randn_like(weight) * 0.2)
            model.save_pretrained(folder)
            tiny_tokenizer(template).save_pretrained(folder)
            made[kind, template] = folder
        return made[kind, template]

    return make


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A data folder of invented items."""
    from planted import write_items

    return write_items(tmp_path_factory.mktemp("data"))
