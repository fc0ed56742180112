"""The hf backend: the fast engine against transformers' own generate, and what both promise."""

from __future__ import annotations

from collections import deque

import pytest

from redone.harness.models.cpu.batch import Group
from redone.harness.models.hf import HfModel
from redone.tasks.schema import Request, Settings

SHARED = "Read the note and answer with one of the labels. " * 3
FAST = ("llama", "llama3-rope", "mistral", "qwen2", "qwen3")


def requests(count: int = 14, **settings) -> list[Request]:
    """Two tasks with a shared instruction each, and prompts that share nothing."""
    out = []
    for i in range(count):
        note = f"note {i} " + "abc défg 笔记 " * (i * 7 % 5)
        system = (SHARED, "Translate this. " * 8, f"{i} alone")[i % 3]
        prompt = ({"role": "system", "content": system}, {"role": "user", "content": note})
        limits = {"max_tokens": 5 + i * 3 % 17, **settings}
        out.append(Request(f"s{i}", prompt, Settings(**limits), seed=1000 + i, hash=f"h{i}"))
    return out


def answers(folder, asked, **options):
    model = HfModel(folder, dtype=options.pop("dtype", "float32"), **options)
    found = {r.sample: c for r, c in model.run(iter(asked))}
    assert set(found) == {r.sample for r in asked}
    return found, model


@pytest.mark.parametrize(
    ("maker", "keep", "packed"),
    [("AuthenticAMD", False, True), ("AuthenticAMD", True, False), ("GenuineIntel", False, False)],
)
def test_each_layout_of_the_weights_is_fast_and_equal(tiny_model, monkeypatch, maker, keep, packed):
    import torch
    from transformers import AutoModelForCausalLM

    from redone.harness.models.cpu import decoder
    from redone.harness.models.cpu.engine import FastEngine

    monkeypatch.setattr(decoder, "_vendor", lambda: maker)
    model = AutoModelForCausalLM.from_pretrained(tiny_model("qwen2"), dtype=torch.float32)
    # `of` compares the logits with the model's own and returns None where they differ.
    engine = FastEngine.of(model, 4, keep=keep)
    assert engine is not None
    mixed = engine._decoder.layers[0].qkv
    assert (mixed._packed is not None) == packed == (engine._decoder._head._packed is not None)
    assert (mixed._weight.numel() == 0) == packed  # not kept twice


@pytest.mark.parametrize("kind", FAST)
@pytest.mark.parametrize("batch_size", [3, "auto"])
def test_fast_equals_plain(tiny_model, kind, batch_size):
    asked = requests()
    fast, model = answers(tiny_model(kind), asked, batch_size=batch_size)
    plain, other = answers(tiny_model(kind), asked, engine="plain", batch_size=1)
    assert model.environment()["path"] == "fast"
    assert other.environment()["path"] == "plain (requested)"
    for name, completion in fast.items():
        assert completion.text == plain[name].text
        assert completion.tokens == plain[name].tokens > 0
        assert completion.finish == plain[name].finish
        assert completion.prompt_tokens == plain[name].prompt_tokens > 0
        assert completion.seconds > 0


def test_rows_that_stand_in_order_already_stay_where_they_are():
    import torch

    from redone.harness.models.cpu.batch import Slots

    slots = Slots(1, 1, 2, torch.float32, rows=2, tokens=64)
    slots.reserve([3, 3], [])
    slots.keys[0].normal_()
    before = slots.keys[0].clone()
    slots.arrange([0, 1], 3)
    assert torch.equal(slots.keys[0], before)
    slots.arrange([1, 0], 3)
    assert torch.equal(slots.keys[0][0, ..., :3], before[1, ..., :3])


def test_rows_are_sorted_by_length_when_that_pays(tiny_model, monkeypatch):
    from redone.harness.models.cpu.batch import Slots

    moved, right = [], Slots.arrange

    def arrange(self, order, length):
        moved.append(order)
        right(self, order, length)

    prompts = ["x" * (300 if i % 8 == 0 else 5 + i) + f" {i}" for i in range(24)]
    asked = [Request(f"s{i}", p, Settings(max_tokens=30)) for i, p in enumerate(prompts)]
    with monkeypatch.context() as patch:
        patch.setattr(Slots, "arrange", arrange)
        # One task's rows are taken in by length; those of several, in a mixed order like this.
        unsorted = lambda rows: deque([(Group([]), deque(rows))])  # noqa: E731
        patch.setattr("redone.harness.models.cpu.engine._queue", unsorted)
        fast, _ = answers(tiny_model("llama"), asked)
    assert moved
    plain, _ = answers(tiny_model("llama"), asked, engine="plain", batch_size=1)
    assert {k: c.text for k, c in fast.items()} == {k: c.text for k, c in plain.items()}


def test_what_prompts_of_several_groups_share_is_read_once(tiny_model, monkeypatch):
    """Several answers to each of several questions that begin with one instruction."""
    from redone.harness.models.cpu import batch

    seen, right = [], batch.read_prefix

    def reading(decoder, ids, before=None):
        seen.append((before.length if before else 0, len(ids)))
        return right(decoder, ids, before)

    prompts = ["Instruction. " * 10 + f"{name} " * 40 for name in ("one", "two", "three")]
    asked = [
        Request(f"s{i}", prompts[i // 4], Settings(max_tokens=8, temperature=1.0), seed=i)
        for i in range(12)
    ]
    monkeypatch.setattr(batch, "read_prefix", reading)
    fast, _ = answers(tiny_model("llama"), asked)
    (start, shared), *groups = seen
    assert start == 0
    assert shared == len("Instruction. " * 10)
    assert [before for before, _ in groups] == [shared] * 3
    plain, _ = answers(tiny_model("llama"), asked, engine="plain")
    assert {k: c.text for k, c in fast.items()} == {k: c.text for k, c in plain.items()}


def test_sixteen_bits_in_sixteen_bit_arithmetic(tiny_model):
    import torch

    from redone.harness.models.checkpoint import Checkpoint
    from redone.harness.models.cpu.engine import FastEngine

    for dtype in (torch.bfloat16, torch.float32):
        model = Checkpoint(str(tiny_model("qwen3")), "bfloat16", "cpu").load()
        engine = FastEngine.of(model, 4, arithmetic=dtype)
        assert engine is not None
        assert engine.describe()["arithmetic"] == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("kind", ["gpt2", "sliding"])
def test_other_architectures_take_the_plain_path(tiny_model, kind):
    asked = requests(6)
    batched, model = answers(tiny_model(kind), asked, batch_size=4)
    single, _ = answers(tiny_model(kind), asked, batch_size=1)
    assert model.environment()["path"].startswith("plain (")
    assert {k: c.text for k, c in batched.items()} == {k: c.text for k, c in single.items()}


def test_a_decoder_that_differs_is_not_used(tiny_model, monkeypatch):
    from redone.harness.models.cpu.decoder import Decoder

    right = Decoder._normed
    monkeypatch.setattr(Decoder, "_normed", lambda self, x, w: right(self, x, w) + 0.3)
    _, model = answers(tiny_model("llama"), requests(2))
    assert model.environment()["path"] == "plain (decoder differs)"


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_stop_texts(tiny_model, engine):
    folder = tiny_model("llama")
    free, _ = answers(folder, requests(), engine=engine)
    whole = free["s5"].text
    assert len(whole) > 4
    stop = whole[2:4]
    cut, _ = answers(folder, requests(stop=(stop, "never seen")), engine=engine)
    assert cut["s5"].text == whole[: whole.index(stop)]
    assert cut["s5"].finish == "stop"
    assert cut["s5"].tokens < free["s5"].tokens
    for name, completion in cut.items():
        expected = free[name].text.partition(stop)[0]
        assert completion.text == expected


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_eos_of_the_generation_configuration(tiny_model, tmp_path, engine):
    import shutil

    from transformers import GenerationConfig

    free, model = answers(tiny_model("llama"), requests(), engine=engine)
    end = next(c for c in free["s5"].text if c.isascii())
    (token,) = model._renderer.tokenizer(end)["input_ids"]
    folder = shutil.copytree(tiny_model("llama"), tmp_path / "copy")
    GenerationConfig(eos_token_id=[token, 256], repetition_penalty=3.0).save_pretrained(folder)
    ended, _ = answers(folder, requests(), engine=engine)
    assert ended["s5"].finish == "stop"
    assert {k: c.text for k, c in ended.items()} == {
        k: c.text.partition(end)[0] for k, c in free.items()
    }


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_sampling_is_the_rows_own(tiny_model, engine):
    folder = tiny_model("qwen2")
    asked = requests(temperature=0.9, top_p=0.95, top_k=40)
    together, _ = answers(folder, asked, engine=engine, batch_size=8)
    apart, _ = answers(folder, asked[::-1], engine=engine, batch_size=1)
    assert {k: c.text for k, c in together.items()} == {k: c.text for k, c in apart.items()}
    greedy, _ = answers(folder, requests(), engine=engine)
    assert any(greedy[k].text != together[k].text for k in greedy)


def test_both_engines_draw_alike(tiny_model):
    asked = requests(temperature=1.3)
    fast, _ = answers(tiny_model("llama"), asked)
    plain, _ = answers(tiny_model("llama"), asked, engine="plain")
    assert {k: c.text for k, c in fast.items()} == {k: c.text for k, c in plain.items()}


@pytest.mark.parametrize("engine", ["auto", "plain"])
@pytest.mark.parametrize("where", ["first", "later"])
def test_out_of_memory_halves_the_batch(tiny_model, monkeypatch, engine, where):
    folder = tiny_model("llama")
    asked = requests(temperature=0.7)
    expected, _ = answers(folder, asked, engine=engine)
    model = HfModel(folder, dtype="float32", engine=engine, batch_size=8)
    model.load()
    calls, limit = 0, {"first": 1, "later": 6}[where]
    owner, name = _forward(model)
    right = getattr(owner, name)

    def forward(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == limit:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return right(*args, **kwargs)

    monkeypatch.setattr(owner, name, forward)
    found = {r.sample: c for r, c in model.run(asked)}
    assert {k: c.text for k, c in found.items()} == {k: c.text for k, c in expected.items()}
    assert model.environment()["batch_size"] <= 4


def test_out_of_memory_with_one_row_is_an_error(tiny_model, monkeypatch):
    from redone.tasks.errors import RedoneError

    model = HfModel(tiny_model("llama"), dtype="float32", batch_size=2)
    model.load()

    def forward(*_, **__):
        raise MemoryError

    monkeypatch.setattr(*_forward(model), forward)
    with pytest.raises(RedoneError, match="single row"):
        list(model.run(requests(3)))


def _forward(model):
    """Owner and name of a loaded model's forward pass."""
    engine = model._engine
    return (
        (engine._decoder, "forward") if hasattr(engine, "_decoder") else (engine._model, "forward")
    )


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_loglikelihood_equals_direct_computation(tiny_model, kind):
    import torch
    from transformers import AutoModelForCausalLM

    folder = tiny_model(kind)
    asked = [
        Request(f"q{q}o{o}", SHARED + f"Question {q}? ", Settings(), "loglikelihood", option)
        for q in range(4)
        for o, option in enumerate((" yes", " no", " perhaps not"))
    ]
    found, model = answers(folder, asked)
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for request in asked:
        tokens = model._renderer.tokenizer(
            request.prompt.rstrip() + "  "[:1] + request.continuation
        )
        ids = torch.tensor(tokens["input_ids"])
        start = len(model._renderer.tokenizer(request.prompt.rstrip())["input_ids"])
        with torch.inference_mode():
            logs = reference(ids[None]).logits[0].log_softmax(-1)
        chosen = logs[start - 1 : -1].gather(-1, ids[start:, None])
        assert found[request.sample].logprob == pytest.approx(float(chosen.sum()), abs=1e-3)
        greedy = bool((logs[start - 1 : -1].argmax(-1) == ids[start:]).all())
        assert found[request.sample].greedy is greedy
        assert found[request.sample].text == ""


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_rolling_goes_in_windows_beyond_the_context(tiny_model, kind):
    import torch
    from transformers import AutoModelForCausalLM

    folder = tiny_model(kind)
    text = "A longer text, seen once. " * 30  # 780 bytes, context 512
    found, model = answers(folder, [Request("r", text, Settings(), "rolling")])
    ids = [256, *model._renderer.tokenizer(text)["input_ids"]]
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    total = 0.0
    # Every token counts once; the last window reaches back as far as the context does.
    for start, end in ((1, 513), (513, len(ids))):
        part = torch.tensor(ids[max(0, end - 513) : end])
        with torch.inference_mode():
            logs = reference(part[None, :-1]).logits[0].log_softmax(-1)
        total += float(logs.gather(-1, part[1:, None])[start - end :].sum())
    assert found["r"].logprob == pytest.approx(total, rel=1e-4)


def test_the_context_bounds_an_answer(tiny_model):
    model = HfModel(tiny_model("llama"))
    over = len(model._renderer.encode([model._renderer.render(said("x" * 430))])[0]) - 430
    asked = [
        Request("fits", said("x" * (500 - over)), Settings(max_tokens=12)),
        Request("long", said("x" * (500 - over)), Settings(max_tokens=40)),
        Request("none", said("x" * 600), Settings(max_tokens=4)),
    ]
    found, model = answers(tiny_model("llama"), asked)
    assert [model.overflow(r) for r in asked] == [0, 28, 92 + over]
    assert model.overflow(Request("s", "short", Settings(max_tokens=4))) < 0
    assert found["long"].tokens <= 12
    assert (found["none"].text, found["none"].finish, found["none"].tokens) == ("", "length", 0)


def said(text):
    return ({"role": "user", "content": text},)


def test_a_raw_text_that_is_too_long_loses_its_beginning(tiny_model):
    """What lm-eval does: the answer keeps its room, the end of the text is what is asked."""
    text = "".join(chr(97 + n * n % 26) for n in range(700))
    asked = [
        Request("whole", text, Settings(max_tokens=40)),
        Request("end", text[-(512 - 40) :], Settings(max_tokens=40)),
    ]
    found, _ = answers(tiny_model("llama"), asked)
    assert found["whole"].text == found["end"].text
    assert found["whole"].prompt_tokens == 472


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_options_that_differ_in_their_last_token_are_scored_alike(tiny_model, engine):
    """The fast engine reads such options once; so does no option of a lonely request."""
    model = HfModel(tiny_model("llama"), engine=engine, dtype="float32")
    asked = [
        Request(f"{n}{option}", f"Question {n}? Answer:", Settings(), "loglikelihood", option)
        for n in range(3)
        for option in (" A", " B", " AB", "")
    ]
    together = {r.sample: c for r, c in model.run(asked)}
    for request in asked:
        ((_, alone),) = model.run([request])
        assert together[request.sample].logprob == pytest.approx(alone.logprob, abs=1e-4)
        assert together[request.sample].greedy == alone.greedy
    assert together["0"].logprob == 0.0


def test_overflow_counts_the_chat_template(tiny_model):
    model = HfModel(tiny_model("llama"))
    prompt = ({"role": "user", "content": "é" * 230},)
    rendered = model._renderer.encode([model._renderer.render(prompt)])[0]
    request = Request("s", prompt, Settings(max_tokens=30))
    assert model.overflow(request) == len(rendered) + 30 - 512


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_thinking_mode_reaches_the_template(tiny_model, engine):
    folder = tiny_model("llama")
    asked = requests(3, max_tokens=4, max_thinking_tokens=6)
    found, model = answers(folder, asked, engine=engine, thinking="on")
    assert model.identity()["thinking"] == "on"
    assert model.identity()["chat_template_args"] == {"enable_thinking": True}
    for completion in found.values():  # a random model does not close its thinking
        assert (completion.text, completion.finish) == ("", "length")
        assert completion.thinking is not None
        assert completion.tokens <= 10


def test_identity_is_of_the_content(tiny_model, tmp_path):
    import shutil

    folder = tiny_model("llama")
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    assert HfModel(folder).identity() == HfModel(copy).identity()
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(config.replace("1e-06", "1e-05"))
    assert HfModel(folder).identity() != HfModel(copy).identity()
    assert HfModel(folder).identity()["model"] != HfModel(tiny_model("qwen2")).identity()["model"]


def test_models_without_a_template_and_templates_without_system(tiny_model):
    strict = (
        "{% for m in messages %}{% if m['role'] == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}"
        "{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    )
    asked = requests(1)[0]
    system, user = (m["content"] for m in asked.prompt)
    base = HfModel(tiny_model("llama", template=None))
    assert base._renderer.render(asked.prompt).text == f"{system}\n\n{user}\n"
    assert base.identity()["chat_template"] is None
    folding = HfModel(tiny_model("llama", template=strict))
    assert folding._renderer.render(asked.prompt).text == f"user: {system}\n\n{user}\n"


def test_an_answer_that_is_begun_is_gone_on_with(tiny_model):
    model = HfModel(tiny_model("llama"))
    begun = (*said("Count to three."), {"role": "assistant", "content": "One, two,"})
    assert model._renderer.render(begun).text.endswith("One, two,")
    assert not model._renderer.render(said("Count to three.")).text.endswith("Count to three.")
