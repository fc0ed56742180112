"""Chat templates: what is put in comes out, several templates, how a turn ends."""

from __future__ import annotations

import json

import pytest
from tiny_models import CHAT_TEMPLATE, tiny_tokenizer

from redone.harness.cli import main
from redone.harness.models.chat_template import lost
from redone.harness.models.hf import HfModel
from redone.harness.models.rendering import Renderer
from redone.tasks.errors import RedoneError
from redone.tasks.schema import Request, Settings

HEAD = "{% for m in messages %}"
TAIL = "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
TURN = "{{ '<|start|>' + m['role'] + '\n' + m['content'] + '<|end|>\n' }}"
PART = "{% for p in m.content if p['type'] == 'text' %}{{ p['text'] }}{% endfor %}"
PARTS_TURN = "{{ '<|start|>' + m['role'] + '\n' }}" + PART + "{{ '<|end|>\n' }}"

WHOLE = HEAD + TURN + TAIL
NO_SYSTEM = HEAD + "{% if m['role'] != 'system' %}" + TURN + "{% endif %}" + TAIL
LATER_SYSTEM = HEAD + "{% if not (loop.first and m['role'] == 'system') %}" + TURN + "{% endif %}"
PARTS = HEAD + PARTS_TURN + TAIL
PARTS_NO_SYSTEM = HEAD + "{% if m['role'] != 'system' %}" + PARTS_TURN + "{% endif %}" + TAIL
REJECTS = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + WHOLE
)
TRIMS = WHOLE.replace("m['content']", "m['content'] | trim")
ONLY_LAST = "{{ '<|start|>user\n' + messages[-1]['content'] + '<|end|>\n<|start|>assistant\n' }}"
NOTHING = HEAD + "{{ '<|start|>' + m['role'] + '<|end|>' }}" + TAIL

SYSTEM = {"role": "system", "content": "Answer with one word.\n"}
USER = {"role": "user", "content": "  Is it a woman?\n"}
SHOTS = (SYSTEM, USER, {"role": "assistant", "content": "Yes"}, {**USER, "content": "A man?"})


def renderer(template, **options):
    return Renderer(tiny_tokenizer(template), {}, "auto", **options)


@pytest.mark.parametrize(
    ("template", "form"),
    [
        (WHOLE, ""),
        (TRIMS, ""),
        (NO_SYSTEM, "folded"),
        (LATER_SYSTEM + TAIL, "folded"),
        (REJECTS, "folded"),
        (PARTS, "parts"),
        (PARTS_NO_SYSTEM, "folded+parts"),
    ],
)
@pytest.mark.parametrize("conversation", [(SYSTEM, USER), SHOTS, (USER,)])
def test_every_text_that_is_put_in_comes_out(template, form, conversation):
    found = renderer(template)
    text = found.render(conversation).text
    assert all(m["content"].strip() in text for m in conversation)
    assert lost(text, conversation) is None
    assert text.endswith("<|start|>assistant\n")
    assert found.identity().get("chat_template_messages", "") == form
    if form and len(conversation) > 1:
        (note,) = found.notes
        assert "chat template" in note
    elif not form:
        assert found.notes == []


@pytest.mark.parametrize(
    ("template", "conversation", "role"),
    [
        (NOTHING, (USER,), "user"),
        (NOTHING, (SYSTEM, USER), "system"),
        (ONLY_LAST, SHOTS, "system"),
        (HEAD + "{% if m['role'] != 'assistant' %}" + TURN + "{% endif %}" + TAIL, SHOTS, "assi"),
        (WHOLE.replace("m['content']", "m['content'][:5]"), (USER,), "user"),
    ],
)
def test_a_template_that_loses_text_in_every_form_is_refused(template, conversation, role):
    with pytest.raises(RedoneError, match=f"loses the text of the {role}.*--chat-template"):
        renderer(template).render(conversation)


def test_short_texts_are_not_found_in_long_ones_nor_in_the_template():
    said = ({"role": "system", "content": "a"}, {"role": "user", "content": "a banana"})
    assert lost("a banana", said) == said[0]
    assert lost("a a banana", said) is None
    # "user" stands in the template's own text.
    assert "user" in NOTHING or "role" in NOTHING
    with pytest.raises(RedoneError, match="loses the text"):
        renderer(ONLY_LAST).render(({"role": "user", "content": "user"}, *SHOTS[2:]))


def test_what_templates_may_leave_out():
    thought = {"role": "assistant", "content": "<think>Hm.</think>\n\nYes"}
    assert lost("user: ? assistant: Yes", (thought,)) is None
    assert (
        lost("system: Be brief.", ({"role": "system", "content": "Be brief. /no_think"},)) is None
    )


def test_a_run_says_what_was_done(tiny_model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    short = {"sns_mini/gender": {"system": "Yes or No?", "user": "A woman?\n{content}"}}
    (tmp_path / "short.json").write_text(json.dumps(short))
    tokens = {}
    for name, template in (("whole", WHOLE), ("folded", NO_SYSTEM), ("parts", PARTS)):
        model = tiny_model("llama", template=template)
        task = ["--tasks", "sns_mini/gender", "--limit", "1", "--prompts", "short.json"]
        assert main(["--model", str(model), *task, "--output", name]) == 0
        run = json.loads((tmp_path / name / "run.json").read_text())
        results = json.loads((tmp_path / name / "results.json").read_text())
        (response,) = (tmp_path / name / "responses.jsonl").read_text().splitlines()
        tokens[name] = json.loads(response)["prompt_tokens"]
        signed = results["tasks"]["sns_mini/gender"]["scorings"]["corrected"]["signature"]
        printed = " ".join(capsys.readouterr().out.split())
        if name == "whole":
            assert "notes" not in results
            assert "messages:" not in signed
            continue
        assert f"|messages:{name}|" in signed
        assert run["request"]["model"]["chat_template_messages"] == name
        (note,) = run["environment"]["notes"]
        assert results["notes"] == [note]
        assert note.split(":")[-1].strip(" .") in printed
    assert tokens["parts"] == tokens["whole"]
    assert abs(tokens["folded"] - tokens["whole"]) < 20


@pytest.fixture
def several(tmp_path):
    tokenizer = tiny_tokenizer(None)
    tokenizer.chat_template = {"chat": WHOLE, "tool_use": PARTS}
    return tokenizer


def test_several_templates_without_a_default_are_chosen_by_name(several, tmp_path):
    with pytest.raises(RedoneError, match=r"\(chat, tool_use\).*--chat-template NAME"):
        Renderer(several, {}, "auto")
    chat = Renderer(several, {}, "auto", "chat")
    assert chat.template_hash == renderer(WHOLE).template_hash
    assert chat.render((USER,)).text == renderer(WHOLE).render((USER,)).text
    with pytest.raises(RedoneError, match="Known: chat, tool_use"):
        Renderer(several, {}, "auto", "chta")
    several.chat_template = {"default": TRIMS, "chat": WHOLE}
    assert Renderer(several, {}, "auto").template_hash == renderer(TRIMS).template_hash
    several.chat_template = {"chat": WHOLE}
    assert Renderer(several, {}, "auto").template_hash == chat.template_hash


def test_a_template_of_a_file_replaces_the_models(tmp_path):
    (tmp_path / "mine.jinja").write_text(WHOLE)
    mine = renderer(NOTHING, chosen=str(tmp_path / "mine.jinja"))
    assert mine.render((SYSTEM, USER)).text == renderer(WHOLE).render((SYSTEM, USER)).text
    with pytest.raises(RedoneError, match="neither a file nor a name"):
        renderer(WHOLE, chosen="nobody.jinja")


@pytest.mark.parametrize("backend", [[], ["--backend", "endpoint", "--base-url", "http://x/v1"]])
def test_several_templates_on_the_command_line(several, tiny_model, tmp_path, capsys, backend):
    import shutil

    folder = shutil.copytree(tiny_model("llama"), tmp_path / "m")
    for path in folder.glob("*token*"):
        path.unlink()
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    several.save_pretrained(folder)
    more = ["--tokenizer", str(folder)] if backend else []
    argv = ["--model", str(folder), *backend, *more, "--tasks", "sns_mini/gender", "--limit", "1"]
    assert main([*argv, "--output", str(tmp_path / "r")]) == 64
    assert "choose one with --chat-template NAME" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_the_end_of_a_turn_ends_an_answer(tiny_model, tmp_path, engine):
    """A model whose own end of text is another token: answers equal those with the right one."""
    import shutil

    from transformers import AutoTokenizer, GenerationConfig

    right = tiny_model("llama")
    wrong = shutil.copytree(right, tmp_path / "wrong")
    config = json.loads((wrong / "config.json").read_text())
    (wrong / "config.json").write_text(json.dumps({**config, "eos_token_id": 5}))
    GenerationConfig(eos_token_id=5).save_pretrained(wrong)
    tokenizer = AutoTokenizer.from_pretrained(wrong)
    tokenizer.eos_token = "&"
    tokenizer.save_pretrained(wrong)
    asked = [
        Request(f"s{i}", ({"role": "user", "content": f"{i}?"},), Settings(max_tokens=3))
        for i in range(3)
    ]
    models = [HfModel(path, dtype="float32", engine=engine) for path in (right, wrong)]
    assert models[1]._renderer.turn_end == 256
    assert 256 in models[1]._eos
    texts = [{r.sample: c.text for r, c in model.run(asked)} for model in models]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHAT_TEMPLATE, "<|end|>"),
        (TRIMS, "<|end|>"),
        (PARTS, "<|end|>"),
        (WHOLE.replace("<|end|>", ""), None),
        (WHOLE.replace("<|end|>", "<eot>"), None),  # a text: it is a stop text
        ("{{ raise_exception('never') }}", None),
    ],
)
def test_how_a_template_ends_a_turn(template, end):
    found = renderer(template)
    assert found.turn_end == (end and found.tokenizer.convert_tokens_to_ids(end))
    stops = found.ended(Settings(stop=("x",))).stop
    assert stops == (("x", "<eot>") if "<eot>" in template else ("x",))


LATE = (
    HEAD
    + "{{ '<|start|>' + m['role'] + '\n' + m['content'] }}"
    + "{% if not loop.last %}{{ '<|end|>\n' }}{% endif %}{% endfor %}"
    + "{% if add_generation_prompt %}{{ '<|end|>\n<|start|>assistant\n' }}{% endif %}"
)
OWN_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|start|>system\nx<|end|>\n' }}{% endif %}"
)
ROLES = HEAD + "{{ '<|' + m['role'] + '|>\n' + m['content'] + '\n' }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (LATE, "<|end|>"),
        (OWN_SYSTEM + LATE, "<|end|>"),
        (LATE.replace("<|end|>", "<eot>"), "<eot>"),
        (LATE.replace("'<|start|>' + m['role'] + '\n' + ", ""), "<|end|>"),
        ("{{ bos_token }}" + LATE, "<|end|>"),
        # The beginning of the next turn is no end.
        (LATE.replace("<|end|>", ""), ""),
        ("{{ bos_token }}" + LATE.replace("<|end|>", ""), ""),
        (OWN_SYSTEM.replace("<|end|>", "") + LATE.replace("<|end|>", ""), ""),
        (ROLES, ""),
        ("{{ '<|system|>\nx\n' }}" + ROLES, ""),
        (HEAD + "{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}", ""),
    ],
)
def test_an_end_that_is_written_with_the_next_turn_only(template, end):
    found = renderer(template)
    assert found.template.turn_end.strip() == end
    if end == "<|end|>":
        assert found.turn_end == found.tokenizer.convert_tokens_to_ids(end)
        assert found.ended(Settings()).stop == ()
    else:
        assert found.turn_end is None
        assert found.ended(Settings()).stop == ((end,) if end else ())


@pytest.mark.parametrize("end", ["<|end|>", "<|return|>"])
def test_what_ends_thinking_too_does_not_end_an_answer(end):
    """gpt-oss ends each of its messages with <|end|>, the thinking one too."""
    from tokenizers import AddedToken

    begun = "'<|start|>assistant<|channel|>final<|message|>' + m['content'] + '" + end + "'"
    turn = "{% if m['role'] == 'assistant' %}{{ " + begun + " }}{% else %}" + TURN + "{% endif %}"
    tokenizer = tiny_tokenizer(HEAD + turn + TAIL)
    more = ("<|channel|>", "<|message|>", "<|return|>")
    tokenizer.add_tokens([AddedToken(t, special=True) for t in more])
    found = Renderer(tokenizer, {}, "auto").turn_end
    assert found == (tokenizer.convert_tokens_to_ids("<|return|>") if "return" in end else None)


QWEN3 = (
    HEAD
    + "{% if m['role'] == 'assistant' and loop.last %}"
    + "{{ '<|start|>assistant\n<think>\n\n</think>\n\n' + m['content'] + '<|end|>\n' }}"
    + "{% else %}"
    + TURN
    + "{% endif %}"
    + TAIL
    + "{% if enable_thinking is defined and not enable_thinking and add_generation_prompt %}"
    + "{{ '<think>\n\n</think>\n\n' }}{% endif %}"
)
OPENS = WHOLE.replace("'<|start|>assistant\n'", "'<|start|>assistant\n<think>\n'")


@pytest.mark.parametrize(
    ("template", "thinking", "between"),
    [
        (WHOLE, "auto", ""),
        (NO_SYSTEM, "auto", ""),
        (PARTS, "auto", ""),
        (QWEN3, "auto", "<think>\n\n</think>\n\n"),
        (QWEN3, "off", ""),
        (OPENS, "auto", "</think>\n\n"),
        (OPENS.replace("<think>", "[THINK]"), "auto", "[/THINK]\n\n"),
        (None, "auto", ""),
    ],
)
def test_what_stands_between_a_prompt_and_an_answer_without_thinking(template, thinking, between):
    found = Renderer(tiny_tokenizer(template), {}, thinking)
    assert found.before_answer((SYSTEM, USER)) == between
