"""What a user may get wrong about a model: one line that names it and the way out."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket

import pytest
from misbehaving_server import MisbehavingServer

from redone.harness.cli import main

TASK = ("--tasks", "sns_mini/mrc_simple", "--limit", "2")


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("REDONE_API_KEY", "OPENAI_API_KEY", "REDONE_DATA"):
        monkeypatch.delenv(name, raising=False)


def said(capsys, *argv):
    """The last line of a command that fails; before it stands the run folder's name at most."""
    capsys.readouterr()  # the making of tiny models
    assert main([*argv, *TASK]) not in (0, None)
    *before, line = capsys.readouterr().err.splitlines()
    assert not [b for b in before if not b.startswith("Run folder: ")]
    assert line.startswith("redone eval: ")
    return line


def lora(folder, base, inside, out):
    """A LoRA adapter of zeros for the queries of three layers."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    stem = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    weights = {stem.format(n, "A"): torch.zeros(2, inside) for n in range(3)}
    weights |= {stem.format(n, "B"): torch.zeros(out, 2) for n in range(3)}
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}
    config["base_model_name_or_path"] = base
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return str(folder)


def test_an_adapter_for_another_base(tiny_model, tmp_path, capsys):
    adapter = lora(tmp_path / "a", "organisation/large", 4096, 4096)
    message = said(capsys, "--model", adapter)
    assert "'organisation/large', which is no path here" in message
    assert "--base PATH" in message
    message = said(capsys, "--model", adapter, "--base", str(tiny_model("llama")))
    assert "does not fit" in message
    assert "is 2x4096, the base's model.layers.0.self_attn.q_proj is 32x32" in message
    assert "give that as --base" in message


def test_a_context_that_is_too_small(tiny_model, tmp_path, capsys):
    small = shutil.copytree(tiny_model("llama"), tmp_path / "small")
    config = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 128}))
    message = said(capsys, "--model", str(small))
    assert "does not fit the model's context" in message
    assert "Lower --max-tokens, or use a longer context" in message


def test_a_servers_context_that_is_too_small(capsys):
    def refuse(body):
        message = "This model's maximum context length is 16 tokens."
        return 400, {"error": {"message": message, "code": "context_length_exceeded"}}

    with MisbehavingServer(answer=refuse) as server:
        message = said(capsys, "--backend", "endpoint", "--model", "tiny", "--base-url", server.url)
    assert "maximum context length is 16 tokens" in message
    assert "with --tokenizer PATH prompts are counted and shortened" in message


@pytest.mark.parametrize("backend", ["hf", "vllm"])
def test_a_model_that_does_not_exist(tmp_path, capsys, backend):
    (tmp_path / "Qwen3-8B").mkdir()
    message = said(capsys, "--backend", backend, "--model", "Qwen3-8b")
    assert "'Qwen3-8b' does not exist. Did you mean Qwen3-8B?" in message
    assert "hf download" in message


def test_a_port_without_a_server(capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        message = said(capsys, "--backend", "endpoint", "--model", "m", "--base-url", url)
    assert f"No answer from {url}" in message
    assert "Is the server running" in message


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed.")
def test_vllm_is_not_installed(tiny_model, capsys):
    message = said(capsys, "--backend", "vllm", "--model", str(tiny_model("llama")))
    assert "pip install 'redone[vllm]'" in message
    assert "--backend hf needs neither" in message
