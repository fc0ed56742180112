"""Adapters, GGUF files, pickles, code of a model's own: what loads, and what is refused."""

from __future__ import annotations

import json
import shutil

import pytest

from redone.harness.cli import main
from redone.harness.models.files import Trust
from redone.harness.models.hf import HfModel
from redone.tasks.errors import RedoneError
from redone.tasks.schema import Request, Settings

ASKED = [Request(f"{n}", f"Once {n} upon", Settings(max_tokens=12)) for n in range(3)]


def answers(model):
    found = {r.sample: c.text for r, c in model.run(ASKED)}
    model.close()
    return found


# Adapters


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory):
    """A function: folder of a LoRA adapter for a tiny model, and the model with it merged."""
    pytest.importorskip("peft")

    def make(kind="llama", **settings):
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(11)
        folder = tmp_path_factory.mktemp("adapter")
        base = AutoModelForCausalLM.from_pretrained(tiny_model(kind))
        chosen = {"r": 4, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj", "down_proj"]}
        config = LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **chosen | settings)
        adapted = get_peft_model(base, config)
        adapted.save_pretrained(folder / "adapter")
        merged = shutil.copytree(tiny_model(kind), folder / "merged")
        adapted.merge_and_unload().save_pretrained(merged)
        return folder / "adapter", merged

    return make


def test_an_adapter_is_put_on_the_base_that_it_names(tiny_model, adapter):
    folder, merged = adapter()
    found = answers(HfModel(folder))
    assert found == answers(HfModel(merged))
    assert found != answers(HfModel(tiny_model("llama")))


def test_an_adapter_runs_on_the_fast_engine(adapter):
    model = HfModel(adapter()[0])
    assert model.environment()["path"] == "fast"


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["embed_tokens", "o_proj"]},
        {"target_modules": "all-linear", "use_dora": True},
        {"modules_to_save": ["lm_head"], "rank_pattern": {"q_proj": 2}},
        {"layers_to_transform": [1]},
    ],
)
def test_kinds_of_lora(adapter, settings):
    folder, merged = adapter(**settings)
    assert answers(HfModel(folder)) == answers(HfModel(merged))


@pytest.fixture(scope="module")
def with_new_tokens(tiny_model, tmp_path_factory):
    """A function: folder of an adapter that was trained with three tokens more, and merged."""
    pytest.importorskip("peft")

    def make(kind="llama", more=3, **settings):
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(5)
        folder = tmp_path_factory.mktemp("tokens")
        base = AutoModelForCausalLM.from_pretrained(tiny_model(kind))
        base.resize_token_embeddings(260 + more, mean_resizing=False)
        chosen = {"target_modules": ["q_proj"], "init_lora_weights": False}
        adapted = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **chosen | settings))
        with torch.no_grad():
            for weight in adapted.get_base_model().get_input_embeddings().parameters():
                weight.add_(torch.randn_like(weight) * 0.1)
        adapted.save_pretrained(folder / "adapter")
        merged = shutil.copytree(tiny_model(kind), folder / "merged")
        adapted.merge_and_unload().save_pretrained(merged)
        return folder / "adapter", merged

    return make


@pytest.mark.parametrize(
    ("kind", "more", "settings"),
    [
        ("llama", 3, {"modules_to_save": ["embed_tokens", "lm_head"]}),
        ("llama", 1, {"modules_to_save": ["embed_tokens", "lm_head"]}),
        ("llama", -2, {"modules_to_save": ["embed_tokens", "lm_head"]}),
        ("mistral", 60, {"target_modules": ["q_proj", "embed_tokens", "lm_head"]}),
        ("llama", 5, {}),  # PEFT saves an embedding that was resized without being asked
        ("qwen2", 4, {}),  # tied
    ],
)
def test_an_adapter_with_tokens_of_its_own(with_new_tokens, kind, more, settings):
    folder, merged = with_new_tokens(kind, more, **settings)
    model = HfModel(folder)
    assert model._checkpoint.rows == 260 + more
    assert answers(model) == answers(HfModel(merged))


def test_a_pickled_adapter_with_tokens_of_its_own(with_new_tokens, tmp_path):
    folder, merged = with_new_tokens(modules_to_save=["embed_tokens", "lm_head"])
    copy = pickled(folder, tmp_path / "a")
    assert answers(HfModel(copy, trust=Trust(pickles=True))) == answers(HfModel(merged))


def test_an_adapter_whose_new_tokens_have_no_head(with_new_tokens, tmp_path):
    from safetensors.torch import load_file, save_file

    folder, _ = with_new_tokens(modules_to_save=["embed_tokens", "lm_head"])
    copy = shutil.copytree(folder, tmp_path / "a")
    weights = load_file(copy / "adapter_model.safetensors")
    without = {k: v for k, v in weights.items() if "lm_head" not in k}
    save_file(without, copy / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(RedoneError, match="263 tokens.*does not bring the new rows of lm_head"):
        HfModel(copy)


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_an_adapter_without_all_of_its_weights(adapter, tmp_path, change):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(adapter()[0], tmp_path / "a")
    weights = load_file(folder / "adapter_model.safetensors")
    name = next(k for k in weights if "layers.1" in k and "v_proj.lora_B" in k)
    if change == "missing":
        del weights[name]
    else:
        weights[name.replace("lora_B.weight", "lora_magnitude_vector")] = weights[name][
            :, 0
        ].clone()
    save_file(weights, folder / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(RedoneError, match=rf"{change} .*layers\.1\.self_attn\.v_proj\.lora_"):
        HfModel(folder).load()


def test_gpt2_keeps_its_matrices_the_other_way_round(adapter):
    folder, merged = adapter("gpt2", target_modules=["c_attn"], fan_in_fan_out=True)
    assert answers(HfModel(folder)) == answers(HfModel(merged))


def named(folder, copy, base):
    """A copy of an adapter that names another base."""
    shutil.copytree(folder, copy)
    config = json.loads((copy / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = base
    (copy / "adapter_config.json").write_text(json.dumps(config))
    return copy


def test_the_base_can_be_given(tiny_model, adapter, tmp_path):
    folder, merged = adapter()
    copy = named(folder, tmp_path / "a", "organisation/model")
    assert answers(HfModel(copy, base=str(tiny_model("llama")))) == answers(HfModel(merged))
    with pytest.raises(RedoneError, match=r"'organisation/model', which is no path.*--base PATH"):
        HfModel(copy)


def test_the_identity_is_of_adapter_and_base(tiny_model, adapter, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    folder, merged = adapter()
    base = tiny_model("llama")
    changed = shutil.copytree(base, tmp_path / "base")
    weights = load_file(changed / "model.safetensors")
    weights["model.norm.weight"] += torch.ones(1)
    save_file(weights, changed / "model.safetensors", {"format": "pt"})
    free = named(folder, tmp_path / "free", "")
    models = [
        HfModel(base),
        HfModel(merged),
        HfModel(free, base=str(base)),
        HfModel(free, base=str(changed)),
        HfModel(named(folder, tmp_path / "other", "x"), base=str(base)),
    ]
    assert len({m.identity()["model"] for m in models}) == len(models)
    again = HfModel(shutil.copytree(free, tmp_path / "again"), base=str(base))
    assert again.identity() == models[2].identity()


def test_an_adapter_for_a_base_of_other_sizes(tiny_model, adapter, tmp_path):
    folder = named(adapter()[0], tmp_path / "a", "")
    # Of the same width, but its values are 2 heads of 16.
    with pytest.raises(RedoneError, match=r"does not fit.*v_proj.*another base.*--base"):
        HfModel(folder, base=str(tiny_model("qwen3")))
    with pytest.raises(RedoneError, match=r"does not fit.*no layer model\.layers"):
        HfModel(folder, base=str(tiny_model("gpt2")))


def test_an_adapter_for_a_base_of_fewer_layers(tiny_model, adapter, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = named(adapter()[0], tmp_path / "a", "")
    weights = load_file(folder / "adapter_model.safetensors")
    fewer = {k: v for k, v in weights.items() if ".layers.2." not in k}
    save_file(fewer, folder / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(RedoneError, match=r"no weights for the base's model\.layers\.2"):
        HfModel(folder, base=str(tiny_model("llama")))


def test_an_adapter_for_a_base_of_the_same_sizes_and_other_weights(tiny_model, adapter, tmp_path):
    other = shutil.copytree(tiny_model("llama"), tmp_path / "other")
    (other / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(RedoneError, match=r"was made for .* another model.*Leave --base out"):
        HfModel(adapter()[0], base=str(other))


def test_other_adapters_than_lora(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "PREFIX_TUNING"}')
    with pytest.raises(RedoneError, match=r"type 'PREFIX_TUNING'; only LoRA is supported"):
        HfModel(tmp_path)


def test_an_adapter_without_peft(adapter, monkeypatch):
    import sys

    model = HfModel(adapter()[0])
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(RedoneError, match="pip install peft"):
        model.load()


# GGUF


@pytest.fixture(scope="module")
def gguf(tiny_model, tmp_path_factory):
    return as_gguf(tiny_model("llama"), tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def as_gguf(folder, path, without="nothing"):
    """The tiny Llama as a GGUF file, some of its tensors left out."""
    library = pytest.importorskip("gguf")
    import numpy
    from tiny_models import CHAT_TEMPLATE, MARKS, SPECIAL
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder)
    vocabulary = AutoTokenizer.from_pretrained(folder).get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    kinds = library.TokenType
    writer = library.GGUFWriter(str(path), "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(32)
    writer.add_block_count(3)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    special = {t: kinds.CONTROL for t in SPECIAL} | {t: kinds.USER_DEFINED for t in MARKS}
    writer.add_token_types([special.get(t, kinds.NORMAL) for t in tokens])
    writer.add_eos_token_id(256)
    writer.add_chat_template(CHAT_TEMPLATE)
    names = library.get_tensor_name_map(library.MODEL_ARCH.LLAMA, 3)
    for name, tensor in model.state_dict().items():
        if without in name:
            continue
        array = tensor.float().numpy()
        if heads := 4 if "q_proj" in name else 2 if "k_proj" in name else 0:
            # llama.cpp keeps the halves that are rotated together side by side.
            rows = array.reshape(heads, 2, len(array) // heads // 2, -1)
            array = rows.swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(names.get_name(name, (".weight",)), numpy.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_answers_like_the_folder_that_it_was_made_of(tiny_model, gguf):
    model = HfModel(gguf)
    assert model.environment()["path"] == "fast"
    message = ({"role": "user", "content": "Who?"},)
    there = HfModel(tiny_model("llama"))
    assert model._renderer.render(message) == there._renderer.render(message)
    assert model._checkpoint.eos == there._checkpoint.eos
    assert answers(model) == answers(there)


def test_a_folder_with_one_gguf_file_is_that_model(gguf, tmp_path):
    assert HfModel(gguf.parent).identity() == HfModel(gguf).identity()
    for name in ("a.gguf", "b.gguf"):
        shutil.copy(gguf, tmp_path / name)
    with pytest.raises(RedoneError, match=r"several models: a\.gguf, b\.gguf"):
        HfModel(tmp_path)


def test_a_gguf_file_that_is_none(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF but no more")
    with pytest.raises(RedoneError, match="transformers cannot read"):
        HfModel(tmp_path / "m.gguf")


def test_a_gguf_file_without_one_of_its_tensors(tiny_model, tmp_path):
    path = as_gguf(tiny_model("llama"), tmp_path / "m.gguf", without="layers.1.mlp.up_proj")
    with pytest.raises(RedoneError, match=r"missing model\.layers\.1\.mlp\.up_proj"):
        HfModel(path).load()


# Pickles, code, quantized weights


def pickled(folder, copy):
    import torch
    from safetensors.torch import load_file

    shutil.copytree(folder, copy)
    (weights,) = copy.glob("*.safetensors")
    name = "adapter_model.bin" if weights.stem == "adapter_model" else "pytorch_model.bin"
    torch.save(load_file(weights), copy / name)
    weights.unlink()
    return copy


def test_pickled_weights_load_where_that_is_allowed(tiny_model, tmp_path):
    folder = pickled(tiny_model("llama"), tmp_path / "m")
    with pytest.raises(RedoneError, match=r"pickled.*run code.*--allow-pickle"):
        HfModel(folder)
    model = HfModel(folder, trust=Trust(pickles=True))
    first = model.identity()
    assert answers(model) == answers(HfModel(tiny_model("llama")))
    with (folder / "pytorch_model.bin").open("ab") as file:
        file.write(b"x")
    assert HfModel(folder, trust=Trust(pickles=True)).identity() != first


def test_a_pickled_adapter_loads_where_that_is_allowed(adapter, tmp_path):
    folder, merged = adapter()
    copy = pickled(folder, tmp_path / "a")
    with pytest.raises(RedoneError, match="--allow-pickle"):
        HfModel(copy)
    assert answers(HfModel(copy, trust=Trust(pickles=True))) == answers(HfModel(merged))


CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own"

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


def test_code_of_the_models_own_runs_where_that_is_allowed(tiny_model, tmp_path, monkeypatch):
    import transformers.dynamic_module_utils as modules

    monkeypatch.setattr(modules, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = shutil.copytree(tiny_model("llama"), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (folder / "config.json").write_text(
        json.dumps(config | {"model_type": "own", "auto_map": classes})
    )
    (folder / "own.py").write_text(CODE)
    with pytest.raises(RedoneError, match="--trust-remote-code"):
        HfModel(folder)
    assert not (tmp_path / "modules").exists()
    model = HfModel(folder, trust=Trust(code=True))
    first = model.identity()
    assert answers(model) == answers(HfModel(tiny_model("llama")))
    (folder / "own.py").write_text(CODE + "# changed\n")
    assert HfModel(folder, trust=Trust(code=True)).identity() != first


def test_quantized_weights_whose_package_is_not_here(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model("llama"), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 32}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(RedoneError, match=r"quantized \(gptq\).*--backend vllm"):
        HfModel(folder).load()


# Files that are not what they seem


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_pointers_of_git_lfs(tiny_model, tmp_path, name):
    folder = shutil.copytree(tiny_model("llama"), tmp_path / "m")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 269060552\n"
    (folder / name).write_text(pointer)
    with pytest.raises(RedoneError, match=rf"{name} is a pointer of Git LFS.*git lfs pull"):
        HfModel(folder)


def test_pointers_of_git_lfs_in_adapters_and_gguf(adapter, tmp_path):
    folder = shutil.copytree(adapter()[0], tmp_path / "a")
    for path in (folder / "adapter_model.safetensors", tmp_path / "m.gguf"):
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2\n")
    for path in (folder, tmp_path / "m.gguf"):
        with pytest.raises(RedoneError, match="git lfs pull"):
            HfModel(path)


def test_weights_replaced_at_the_same_path_with_the_same_size_and_time(tiny_model, tmp_path):
    import os

    from redone.harness.models.files import fingerprint

    folder = shutil.copytree(tiny_model("llama"), tmp_path / "m")
    path = folder / "model.safetensors"
    long_ago = 1_700_000_000_000_000_000
    os.utime(path, ns=(long_ago, long_ago))
    content = bytearray(path.read_bytes())
    seen = {fingerprint(folder)}
    for way in ("in place", "other file"):
        content[-1] ^= 1 + len(seen)
        if way == "other file":
            (tmp_path / "new").write_bytes(content)
            (tmp_path / "new").replace(path)
        else:
            with path.open("r+b") as file:
                file.write(content)
        os.utime(path, ns=(long_ago, long_ago))
        assert path.stat().st_mtime_ns == long_ago
        seen.add(fingerprint(folder))
    assert len(seen) == 3


def test_a_file_that_stays_is_hashed_once(tiny_model, tmp_path, monkeypatch):
    import platformdirs

    from redone.harness.models import files

    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    hashed, right = [], files._hash
    monkeypatch.setattr(files, "_hash", lambda path: hashed.append(path) or right(path))
    first = files.fingerprint(tiny_model("llama"))
    count = len(hashed)
    assert count
    monkeypatch.setattr(files, "_SETTLED_SECONDS", 0.0)
    assert files.fingerprint(tiny_model("llama")) == first
    hashed.clear()
    assert files.fingerprint(tiny_model("llama")) == first
    assert not hashed
    (tmp_path / "redone" / "fingerprints.json").write_text('{"/m|12|34": "abc"}')  # older layout
    assert files.fingerprint(tiny_model("llama")) == first


# On the command line


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--base", "x"), "--base is for adapters"),
        (("--backend", "scripted", "--base", "x"), "--base does not apply to the backend scripted"),
        (("--backend", "scripted", "--allow-pickle"), "--allow-pickle does not apply"),
        (("--backend", "endpoint", "--trust-remote-code"), "--trust-remote-code does not apply"),
    ],
)
def test_flags_of_other_backends(tiny_model, capsys, argv, told):
    assert main(["--model", str(tiny_model("llama")), *argv]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_why_the_flags_are_needed_is_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "loading a pickle can run code" in shown
    assert "they run with all your rights and without a sandbox" in shown
