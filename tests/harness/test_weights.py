"""A model is what its folder holds: nothing is filled in, left out or broken without a word."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from redone.harness.cli import main
from redone.harness.models.checkpoint import Checkpoint
from redone.harness.models.files import Trust
from redone.harness.models.hf import HfModel
from redone.tasks.errors import RedoneError
from redone.tasks.schema import Request, Settings

ROOT = Path(__file__).resolve().parents[2]


def load(folder, trust=None):
    return Checkpoint(str(folder), "float32", "cpu", trust=trust).load()


def weights_of(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def changed(folder, copy, change=None, **config):
    """A copy of a model with other weights or another configuration."""
    from safetensors.torch import save_file

    shutil.copytree(folder, copy)
    if change is not None:
        weights = weights_of(copy)
        change(weights)
        save_file(weights, copy / "model.safetensors", {"format": "pt"})
    stored = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(stored | config))
    return copy


def saved(kind, folder, tiny_model, **config):
    """What another class of transformers saves of a tiny model."""
    import transformers
    from tiny_models import tiny_config, tiny_tokenizer

    made = tiny_config(config.pop("of", "llama"))
    for name, value in config.items():
        setattr(made, name, value)
    getattr(transformers, kind).from_config(made).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "config", "told"),
    [
        ("AutoModel", {}, r"\(a LlamaModel\).*missing lm_head\.weight\."),
        ("AutoModel", {"of": "mistral"}, r"missing lm_head\.weight"),
        ("AutoModelForSequenceClassification", {}, r"lm_head\.weight; unexpected score\.weight"),
        ("AutoModelForSequenceClassification", {"of": "qwen2"}, r"unexpected score\.weight"),
        ("AutoModelForTokenClassification", {"of": "qwen3"}, r"unexpected score\."),
        ("AutoModelForSequenceClassification", {"of": "gpt2"}, r"unexpected score\.weight"),
    ],
)
def test_models_with_another_head(tiny_model, tmp_path, kind, config, told):
    with pytest.raises(RedoneError, match=told):
        load(saved(kind, tmp_path / "m", tiny_model, **config))


@pytest.mark.parametrize(
    ("kind", "config", "told"),
    [
        ("llama", {"num_hidden_layers": 4}, r"missing model\.layers\.3\..* and 6 more"),
        ("llama", {"num_hidden_layers": 2}, r"unexpected model\.layers\.2\."),
        (
            "llama",
            {"intermediate_size": 40},
            r"another shape .*down_proj.* \(32x48, expected 32x40",
        ),
        ("qwen2", {"vocab_size": 300}, r"embed_tokens\.weight \(260x32, expected 300x32\)"),
        ("qwen2", {"tie_word_embeddings": False}, r"missing lm_head\.weight"),
        ("llama", {"attention_bias": True}, r"missing .*self_attn\..*bias"),
        ("gpt2", {"n_layer": 3}, r"missing transformer\.h\.2"),
    ],
)
def test_configurations_of_another_model(tiny_model, tmp_path, kind, config, told):
    with pytest.raises(RedoneError, match=told) as error:
        load(changed(tiny_model(kind), tmp_path / "m", **config))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model.layers.1.self_attn.k_proj.weight", "missing"),
        ("model.norm.weight", "missing"),
        ("v_head.summary.weight", "unexpected"),
        ("model.layers.0.self_attn.q_proj.bias", "unexpected"),
    ],
)
def test_single_tensors(tiny_model, tmp_path, name, told):
    import torch

    def change(weights):
        if told == "missing":
            del weights[name]
        else:
            weights[name] = torch.zeros(32)

    folder = changed(tiny_model("llama"), tmp_path / "m", change)
    with pytest.raises(RedoneError, match=f"{told} {re.escape(name)}"):
        load(folder)
    with pytest.raises(RedoneError, match=f"{told} {re.escape(name)}"):
        Checkpoint(str(folder), "float32", "cpu").check_names()


@pytest.mark.parametrize("pickled", [False, True])
def test_in_shards_and_in_pickles(tiny_model, tmp_path, pickled):
    import torch
    from transformers import AutoModelForCausalLM

    folder = shutil.copytree(tiny_model("llama"), tmp_path / "m")
    if pickled:
        weights = weights_of(folder)
        del weights["model.layers.0.mlp.up_proj.weight"]
        (folder / "model.safetensors").unlink()
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        (folder / "model.safetensors").unlink()
        network = AutoModelForCausalLM.from_pretrained(tiny_model("llama"))
        network.save_pretrained(folder, max_shard_size="30KB")
        assert load(folder) is not None
        index = folder / "model.safetensors.index.json"
        stored = json.loads(index.read_text())
        lost = stored["weight_map"].pop("model.layers.0.mlp.up_proj.weight")
        from safetensors.torch import load_file, save_file

        shard = load_file(folder / lost)
        del shard["model.layers.0.mlp.up_proj.weight"]
        save_file(shard, folder / lost, {"format": "pt"})
        index.write_text(json.dumps(stored))
    with pytest.raises(RedoneError, match=r"missing model\.layers\.0\.mlp\.up_proj\.weight"):
        load(folder, Trust(pickles=True))


def test_a_shard_that_is_not_there(tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM

    folder = shutil.copytree(tiny_model("llama"), tmp_path / "m")
    (folder / "model.safetensors").unlink()
    network = AutoModelForCausalLM.from_pretrained(tiny_model("llama"))
    network.save_pretrained(folder, max_shard_size="30KB")
    sorted(folder.glob("*.safetensors"))[1].unlink()
    with pytest.raises(RedoneError, match="cannot be loaded"):
        load(folder)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("qwen2", {"lm_head.weight": (260, 32)}),  # tied, stored twice
        ("llama", {"model.layers.0.self_attn.rotary_emb.inv_freq": (4,)}),
        ("gpt2", {"transformer.h.0.attn.bias": (1, 1, 8, 8), "h.1.attn.masked_bias": ()}),
    ],
)
def test_tied_weights_and_old_buffers_are_no_fault(tiny_model, tmp_path, kind, names):
    import torch

    def change(weights):
        for name, shape in names.items():
            weights[name] = torch.zeros(shape)
        if "lm_head.weight" in names:
            weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()

    assert load(changed(tiny_model(kind), tmp_path / "m", change)) is not None


def test_a_tied_model_that_stores_its_head_only(tiny_model, tmp_path):
    def change(weights):
        weights["lm_head.weight"] = weights.pop("model.embed_tokens.weight")

    assert load(changed(tiny_model("qwen2"), tmp_path / "m", change)) is not None


def test_the_base_of_an_adapter(tiny_model, tmp_path):
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(tiny_model("llama"))
    config = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"])
    peft.get_peft_model(network, config).save_pretrained(tmp_path / "adapter")
    base = changed(tiny_model("llama"), tmp_path / "m", lambda w: w.pop("lm_head.weight"))
    stored = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    stored["base_model_name_or_path"] = str(base)
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(stored))
    with pytest.raises(RedoneError, match=r"missing lm_head\.weight"):
        load(tmp_path / "adapter")


def test_weights_are_read_in_one_place():
    """Evaluation, training and packaging share it, so that none of them can leave the check out."""
    readers = {
        path.relative_to(ROOT).as_posix()
        for package in ("harness", "training", "tasks", "reports", "leaderboards")
        for path in (ROOT / package).rglob("*.py")
        if "AutoModelForCausalLM.from_pretrained" in path.read_text("utf-8")
    }
    assert readers == {"harness/models/checkpoint.py"}


def test_on_the_command_line(tiny_model, tmp_path, capsys):
    config = {"num_hidden_layers": 4, "max_position_embeddings": 1 << 16}
    folder = changed(tiny_model("llama"), tmp_path / "m", **config)
    arguments = ["--model", str(folder), "--tasks", "sns_mini/gender", "--limit", "1"]
    assert main([*arguments, "--output", str(tmp_path / "r")]) != 0
    assert "missing model.layers.3.input_layernorm.weight" in capsys.readouterr().err


# Encoders


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertModel", "BertLMHeadModel"])
def test_encoders(tmp_path, kind):
    import transformers
    from tiny_models import tiny_tokenizer

    config = transformers.BertConfig(
        vocab_size=260, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48,
    )  # fmt: skip
    getattr(transformers, kind)(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(RedoneError, match=r"encoder-only model \(bert\)"):
        Checkpoint(str(tmp_path), "float32", "cpu")


@pytest.mark.parametrize("kind", ["BartForConditionalGeneration", "BartForCausalLM"])
def test_encoder_decoders(tmp_path, kind):
    import transformers
    from tiny_models import tiny_tokenizer

    config = transformers.BartConfig(
        vocab_size=260, d_model=32, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=48,
        decoder_ffn_dim=48, encoder_attention_heads=4, decoder_attention_heads=4,
    )  # fmt: skip
    getattr(transformers, kind)(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(RedoneError, match=r"encoder-decoder model \(bart\)"):
        Checkpoint(str(tmp_path), "float32", "cpu")


# Numbers that are none


ASKED = {
    "generate": Request("s", "Once upon", Settings(max_tokens=4)),
    "sampled": Request("s", "Once upon", Settings(max_tokens=4, temperature=1.0), seed=1),
    "loglikelihood": Request("s", "Once upon", Settings(), "loglikelihood", " a time"),
    "rolling": Request("s", "Once upon a time", Settings(), "rolling"),
}
BROKEN = {
    "one NaN": ("model.layers.1.mlp.down_proj.weight", (3, 5), float("nan")),
    "infinity": ("model.norm.weight", (0,), float("inf")),
    "a row of the head": ("lm_head.weight", (77,), float("nan")),
    "one direction only": ("lm_head.weight", (77,), float("-inf")),
}


@pytest.mark.parametrize("kind", ASKED)
@pytest.mark.parametrize("engine", ["auto", "plain"])
@pytest.mark.parametrize("name", BROKEN)
def test_logits_that_are_not_finite_end_the_run(tiny_model, tmp_path, kind, engine, name):
    def change(weights):
        tensor, place, value = BROKEN[name]
        weights[tensor][place] = value

    model = HfModel(changed(tiny_model("llama"), tmp_path / "m", change), engine=engine)
    with pytest.raises(RedoneError, match="not finite.*--dtype") as error:
        list(model.run([ASKED[kind]]))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("engine", ["auto", "plain"])
@pytest.mark.parametrize("kind", ASKED)
def test_a_token_that_breaks_the_logits_is_found_when_it_comes(tiny_model, kind, engine):
    """The embedding of one letter is NaN: what is tried while loading does not contain it."""
    import torch

    model = HfModel(tiny_model("llama"), engine=engine, dtype="float32")
    model.load()
    running = model._engine
    fast = hasattr(running, "_decoder")
    rows = running._decoder._embedding if fast else running._model.model.embed_tokens.weight
    with torch.inference_mode():
        rows[model._renderer.tokenizer("u")["input_ids"][0]] = float("nan")
    with pytest.raises(RedoneError, match="not finite.* for sample 's'"):
        list(model.run([ASKED[kind]]))


# Tokens that the model does not know


def with_added_token(folder, copy, template):
    from transformers import AutoTokenizer

    shutil.copytree(folder, copy)
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|new|>"]})
    if template:
        tokenizer.chat_template = "<|new|>" + tokenizer.chat_template
    tokenizer.save_pretrained(copy)
    return copy


SAID = ({"role": "user", "content": "Hello"},)


def test_a_token_beyond_the_embedding(tiny_model, tmp_path):
    model = HfModel(with_added_token(tiny_model("llama"), tmp_path / "m", template=True))
    with pytest.raises(RedoneError, match=r"token 260 \('<\|new\|>'\).*260 tokens only"):
        list(model.run([Request("s", SAID, Settings(max_tokens=2))]))


def test_a_token_beyond_the_embedding_that_nothing_uses(tiny_model, tmp_path):
    model = HfModel(with_added_token(tiny_model("llama"), tmp_path / "m", template=False))
    ((_, completion),) = model.run([Request("s", SAID, Settings(max_tokens=2))])
    assert completion.tokens == 2


def test_a_padding_token_beyond_the_embedding(tiny_model, tmp_path):
    from transformers import AutoTokenizer

    folder = shutil.copytree(tiny_model("gpt2"), tmp_path / "m")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    tokenizer.save_pretrained(folder)
    asked = [Request(f"{n}", "Once " * n, Settings(max_tokens=3)) for n in (1, 4)]
    assert len(list(HfModel(folder, batch_size=2).run(asked))) == 2
