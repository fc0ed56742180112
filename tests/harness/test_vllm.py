"""The vllm backend against the hf backend, on the small real model.

vLLM wants an environment of its own; `make test-vllm` makes it and runs this file there.
"""

import importlib.util

import pytest

from redone.harness.models.vllm import VllmModel
from redone.tasks.errors import RedoneError
from redone.tasks.schema import Request, Settings

installed = importlib.util.find_spec("vllm") is not None
on_vllm = pytest.mark.skipif(not installed, reason="vLLM is not installed: `make test-vllm`.")

ARGS = {"max_model_len": 1024, "max_num_seqs": 8, "enforce_eager": True}


def chat(text):
    return ({"role": "user", "content": text},)


@pytest.mark.skipif(installed, reason="vLLM is installed.")
def test_without_vllm_it_says_what_to_install(tiny_model):
    with pytest.raises(RedoneError, match=r"pip install 'redone\[vllm\]'.*--backend hf"):
        VllmModel(tiny_model("llama"))


@pytest.fixture(scope="module")
def models(real_model):
    from redone.harness.models.hf import HfModel

    vllm = VllmModel(real_model, dtype="float32", args=ARGS)
    hf = HfModel(real_model, dtype="float32")
    hf.context = 1024
    yield vllm, hf
    vllm.close()


def both(models, requests):
    """Completions by sample, of vllm and hf."""
    return [{r.sample: c for r, c in model.run(requests)} for model in models]


def known(completion):
    return (completion.text, completion.finish, completion.prompt_tokens, completion.tokens)


@on_vllm
def test_greedy_answers_are_those_of_hf(models):
    questions = ("Count to ten.", "What is a cat?", "日本の首都は？", "Say yes.")
    requests = [Request(q, chat(q), Settings(max_tokens=12)) for q in questions]
    requests += [
        Request("raw", "One, two, three,", Settings(max_tokens=8)),
        Request("stop", "One, two, three,", Settings(max_tokens=30, stop=(" six", "zzz"))),
        Request("stop later", "One, two,", Settings(8, stop=(" five",), max_thinking_tokens=22)),
    ]
    vllm, hf = both(models, requests)
    assert vllm.keys() == hf.keys() == {r.sample for r in requests}
    texts = {name: (c.text, c.finish, c.prompt_tokens) for name, c in vllm.items()}
    assert texts == {name: (c.text, c.finish, c.prompt_tokens) for name, c in hf.items()}
    assert vllm["stop"].text == " four, five,"
    assert vllm["stop"].finish == "stop"
    assert known(vllm["Say yes."]) == known(hf["Say yes."])


@on_vllm
def test_log_likelihoods_are_those_of_hf(models):
    start = "The capital of France is"
    requests = [
        Request("likely", start, Settings(), "loglikelihood", " Paris"),
        Request("unlikely", start, Settings(), "loglikelihood", " banana bread"),
        Request("chat", chat("Say yes."), Settings(), "loglikelihood", "Yes"),
        Request("rolling", "Once upon a time there was a girl.", Settings(), "rolling"),
        Request("nothing", "", Settings(), "rolling"),
    ]
    vllm, hf = both(models, requests)
    for name in vllm:
        assert vllm[name].logprob == pytest.approx(hf[name].logprob, abs=2e-3), name
        assert vllm[name].greedy == hf[name].greedy, name
    assert vllm["likely"].greedy


@on_vllm
def test_long_texts_are_scored_in_windows(models):
    vllm, _ = models
    text = "word " * 1500
    ((_, done),) = vllm.run([Request("r", text, Settings(), "rolling")])
    assert done.prompt_tokens > 1500
    assert done.logprob < 0


@on_vllm
def test_a_sampled_answer_depends_on_its_seed_only(models):
    vllm, _ = models
    settings = Settings(max_tokens=8, temperature=1.0, top_p=0.95, top_k=50)
    requests = [
        Request(f"{n}", chat("Tell a story."), settings, draw=n, seed=(1 << 62) + n)
        for n in range(4)
    ]
    first = {r.sample: c.text for r, c in vllm.run(requests)}
    again = {r.sample: c.text for r, c in vllm.run(requests[::-1])}
    assert first == again
    assert len(set(first.values())) > 1


@on_vllm
def test_closing_the_answers_leaves_the_engine_free(models):
    vllm, _ = models
    requests = [Request(f"{n}", f"{n},", Settings(max_tokens=4 + n)) for n in range(12)]
    answers = vllm.run(requests)
    next(answers)
    answers.close()
    assert {r.sample for r, _ in vllm.run(requests)} == {r.sample for r in requests}


@on_vllm
def test_the_identity_is_that_of_hf_and_the_engine_is_recorded(models):
    vllm, hf = models
    assert vllm.identity() == hf.identity()
    told = vllm.environment()
    assert (told["backend"], told["dtype"], told["engine_args"]) == ("vllm", "float32", ARGS)
    assert vllm.context == 1024


@on_vllm
@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"tensor_parallel_sise": 2}, "tensor_parallel_size"),
        ({"trust_remote_code": True}, "Leave it out"),
        ({"data_parallel_size": 2}, "--backend endpoint"),
    ],
)
def test_arguments_are_checked(real_model, args, told):
    with pytest.raises(RedoneError, match=told):
        VllmModel(real_model, args=args)


@on_vllm
def test_a_context_that_the_model_has_not(real_model):
    model = VllmModel(real_model, args={"max_model_len": 1 << 20})
    with pytest.raises(RedoneError, match="max_model_len"):
        model.load()


@pytest.fixture(scope="module")
def adapted(real_model, tmp_path_factory):
    """A LoRA adapter of random weights for the real model, and the model with it merged by hand."""
    import json
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("lora")
    merged = shutil.copytree(real_model, folder / "merged")
    (path,) = merged.glob("*.safetensors")
    weights, lora = load_file(path), {}
    source = torch.Generator().manual_seed(3)
    for name in [n for n in weights if n.endswith(("q_proj.weight", "down_proj.weight"))]:
        out, inside = weights[name].shape
        a = torch.randn(12, inside, generator=source) / inside**0.5
        b = torch.randn(out, 12, generator=source) * 0.02
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        lora |= {f"{stem}.lora_A.weight": a, f"{stem}.lora_B.weight": b}
        weights[name] = (weights[name].float() + 2 * b @ a).to(weights[name].dtype)
    save_file(weights, path, {"format": "pt"})
    adapter = folder / "adapter"
    adapter.mkdir()
    save_file(lora, adapter / "adapter_model.safetensors", {"format": "pt"})
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 12, "lora_alpha": 24, "bias": "none",
        "target_modules": ["q_proj", "down_proj"], "base_model_name_or_path": str(real_model),
    }  # fmt: skip
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    return adapter, merged


@on_vllm
def test_an_adapter_answers_like_the_merged_model(adapted, real_model):
    from redone.harness.models.hf import HfModel

    adapter, merged = adapted
    questions = ("Count to ten.", "What is a cat?", "Say yes.")
    requests = [Request(q, chat(q), Settings(max_tokens=12)) for q in questions]
    found = []
    for model in (
        VllmModel(adapter, dtype="float32", args=ARGS),
        HfModel(merged, dtype="float32"),
        HfModel(real_model, dtype="float32"),
    ):
        found.append({r.sample: c.text for r, c in model.run(requests)})
        if not isinstance(model, VllmModel):
            continue
        if model.environment()["device"] == "cpu":
            likely = Request("likely", "Paris is", Settings(), "loglikelihood", " big")
            with pytest.raises(RedoneError, match="--backend hf can"):
                list(model.run([likely]))
        model.close()
    vllm, hf, base = found
    assert vllm == hf != base
    assert VllmModel(adapter).identity() != VllmModel(real_model).identity()


@on_vllm
def test_a_gguf_file_goes_elsewhere(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"")
    with pytest.raises(RedoneError, match="--backend hf does"):
        VllmModel(tmp_path / "m.gguf")
