"""Prompts beyond the context: one rule for every backend, counted and listed."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from misbehaving_server import MisbehavingServer
from tiny_models import tiny_tokenizer

from redone.harness.cli import main
from redone.harness.evaluate import _within_context
from redone.harness.models.endpoint import EndpointModel, EndpointOptions
from redone.harness.models.hf import HfModel
from redone.harness.models.rendering import Renderer
from redone.tasks.errors import RedoneError
from redone.tasks.prompts import left_truncated
from redone.tasks.schema import Request, Settings

SHOTS = " ".join(f"Question {n}: {n} + {n} = ? Answer: {2 * n}." for n in range(40))
CHAT = (
    {"role": "system", "content": "Compute."},
    *(
        {"role": role, "content": f"{text} {n}" + "." * 30}
        for n in range(9)
        for role, text in (("user", "Question"), ("assistant", "Answer"))
    ),
    {"role": "user", "content": "The last question, which must stay whole."},
)


def words_over(most):
    """A context of so many words."""

    def over(prompt):
        text = prompt if isinstance(prompt, str) else " ".join(m["content"] for m in prompt)
        return len(text.split()) - most

    return over


@pytest.mark.parametrize("most", [1, 2, 7, 100, 359])
def test_a_raw_text_keeps_as_much_of_its_end_as_fits(most):
    cut = left_truncated(SHOTS, over=words_over(most))
    assert cut is not None
    assert SHOTS.endswith(cut.prompt)
    assert cut.characters == len(SHOTS) - len(cut.prompt)
    assert len(cut.prompt.split()) == most
    assert words_over(most)(SHOTS[cut.characters - 1 :]) > 0  # a character more is too much


def test_nothing_is_left_where_nothing_fits():
    assert left_truncated(SHOTS, over=lambda prompt: 1) is None
    assert left_truncated("", over=lambda prompt: 1) is None
    assert left_truncated(CHAT, over=lambda prompt: 1) is None


def test_it_is_found_in_few_steps():
    asked = []

    def over(prompt):
        asked.append(prompt)
        return len(prompt) - 4321

    cut = left_truncated("x" * 100_000, over=over)
    assert cut is not None
    assert len(cut.prompt) == 4321
    assert len(asked) < 12


def test_a_chat_loses_its_first_examples_and_keeps_system_and_question():
    cut = left_truncated(CHAT, over=words_over(16))
    assert cut is not None
    assert [m["role"] for m in cut.prompt] == ["system", *["user", "assistant"] * 2, "user"]
    assert (cut.prompt[0], cut.prompt[-1]) == (CHAT[0], CHAT[-1])
    assert cut.prompt[1] == CHAT[15]
    assert cut.characters == sum(len(m["content"]) for m in CHAT[1:15])
    cut = left_truncated(CHAT, over=words_over(4))
    assert cut is not None
    assert [m["content"] for m in cut.prompt] == ["Compute.", " must stay whole."]


def long_requests(kind="generate"):
    settings = Settings(max_tokens=40)
    more = {"continuation": " 80."} if kind == "loglikelihood" else {}
    return [
        Request("raw", SHOTS * 2, settings, kind, **more),
        Request("chat", CHAT, settings, kind, **more),
        Request("fits", "Question: 1?", settings, kind, **more),
    ]


@pytest.fixture
def models(tiny_model, tmp_path):
    """The same context behind every backend that renders here."""
    tiny_tokenizer().save_pretrained(tmp_path / "tokenizer")
    options = EndpointOptions(context=512)
    with MisbehavingServer() as server:
        endpoint = EndpointModel(
            "tiny", server.url, tokenizer=tmp_path / "tokenizer", options=options
        )
        yield {"hf": HfModel(tiny_model("llama")), "endpoint": endpoint}
        endpoint.close()


@pytest.mark.parametrize("kind", ["generate", "loglikelihood"])
def test_every_backend_gets_prompts_that_fit(models, kind):
    task = SimpleNamespace(name="lm_eval:sums")
    sent = {}
    for name, model in models.items():
        for request in long_requests(kind):
            (found,), cut = _within_context(task, [request], model)
            assert model.overflow(found) <= 0
            assert (cut is None) == (request.sample == "fits") == (found == request)
            if cut:
                assert cut["field"] == "prompt"
                assert cut["characters"] > 0
            if kind == "generate":
                # The answer keeps its room, and the prompt uses what is left of the context.
                sent[name, request.sample] = found.prompt
    if sent:
        assert all(sent["hf", s] == sent["endpoint", s] for s in ("raw", "chat", "fits"))
        assert models["hf"].overflow(Request("", sent["hf", "raw"], Settings(max_tokens=40))) == 0


def test_answers_to_cut_prompts_are_answers(models):
    task = SimpleNamespace(name="lm_eval:sums")
    asked, cut = _within_context(task, long_requests(), models["hf"])
    assert cut is not None
    for request, completion in models["hf"].run(asked):
        assert completion.tokens > 0
        assert completion.prompt_tokens + request.settings.max_tokens <= 512


def test_an_answer_as_long_as_the_context_is_refused_with_a_way_out(models):
    task = SimpleNamespace(name="lm_eval:sums")
    request = Request("s", SHOTS, Settings(max_tokens=512))
    told = r"512 tokens.*Lower --max-tokens.*The context is 512 tokens .config.json."
    with pytest.raises(RedoneError, match=told):
        _within_context(task, [request], models["hf"])
    with pytest.raises(RedoneError, match="The context is 512 tokens .--backend-args.;"):
        _within_context(task, [request], models["endpoint"])


def test_a_prompt_of_a_log_likelihood_is_read_once_for_its_options():
    renderer = Renderer(tiny_tokenizer(), {}, "auto")
    counted = []
    right = renderer.encode
    renderer.encode = lambda rendered: counted.append(1) or right(rendered)
    for option in (" A", " B", " C"):
        request = Request("s", SHOTS, Settings(), "loglikelihood", option)
        assert renderer.overflow(request, len(SHOTS) + 9) <= 0
    assert len(counted) <= 1


def limited(folder, where, limit):
    """A copy of a model with 2048 positions, whose tokenizer says another length."""
    import shutil

    from transformers import AutoTokenizer

    copy = shutil.copytree(folder, where)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2048}))
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.model_max_length = limit
    tokenizer.save_pretrained(copy)
    return copy


def test_who_says_what_the_context_is_and_how_to_set_another(tiny_model, tmp_path, capsys):
    folder = limited(tiny_model("llama"), tmp_path / "m", 48)
    argv = ["--model", str(folder), "--tasks", "sns_mini/gender", "--limit", "1"]
    assert main([*argv, "--output", str(tmp_path / "one")]) == 64
    told = " ".join(capsys.readouterr().err.split())
    assert re.search(r"context is 48 tokens \(model_max_length of the tokenizer", told)
    assert "config.json says 2048" in told
    assert '"context": N' in told
    more = ["--backend-args", '{"context": 2000}', "--output", str(tmp_path / "two")]
    assert main([*argv, "--thinking", "off", *more]) == 0
    line = json.loads((tmp_path / "two/responses.jsonl").read_text().splitlines()[0])
    assert 48 < line["prompt_tokens"] < 2000
    with pytest.raises(RedoneError, match="3000 is more than the 2048 positions"):
        HfModel(folder, context=3000)


def test_shortened_prompts_are_in_the_tables_notes(tiny_model, tmp_path, capsys):
    folder = limited(tiny_model("llama"), tmp_path / "m", 700)
    argv = ["--model", str(folder), "--tasks", "sns_mini/gender", "--thinking", "off"]
    assert main([*argv, "--output", str(tmp_path / "r")]) == 0
    results = json.loads((tmp_path / "r/results.json").read_text())
    shortened = results["tasks"]["sns_mini/gender"]["shortened"]
    assert shortened
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{len(shortened)} prompts were longer than the context" in printed
    answers = [json.loads(x) for x in (tmp_path / "r/responses.jsonl").read_text().splitlines()]
    assert all(a["tokens"] > 0 for a in answers)
