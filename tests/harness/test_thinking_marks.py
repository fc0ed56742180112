"""Thinking is taken off whatever marks it stands between, and alike as text and token by token."""

from __future__ import annotations

import json
import time

import pytest
from tiny_models import tiny_tokenizer

from redone.harness.cli import main
from redone.harness.models.base import THINKING_TOKENS, thinking_budget
from redone.harness.models.output import Answer, postprocess
from redone.harness.models.rendering import Renderer
from redone.harness.models.thinking import Marks, ending, of_vocabulary, tag
from redone.tasks.schema import Settings

HARMONY = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes"
PAIRS = (
    "<think> </think>",
    "<thinking> </thinking>",
    "<thought> </thought>",
    "<reasoning> </reasoning>",
    "<seed:think> </seed:think>",
    "[THINK] [/THINK]",
    "◁think▷ ◁/think▷",
    "<|START_THINKING|> <|END_THINKING|>",
    "<|begin_of_thought|> <|end_of_thought|>",
    "<|thinking_start|> <|thinking_end|>",
    "<my_thoughts> </my_thoughts>",
    "<scratchpad> </scratchpad>",
    "<|channel>thought <channel|>",
)


def token_by_token(text, opened=None, marks=None, **settings):
    """The answer of a model whose tokens are bytes."""
    more = {} if marks is None else {"marks": marks}
    decode = lambda ids: bytes(ids).decode("utf-8", "replace")  # noqa: E731
    answer = Answer(
        Settings(**{"max_tokens": 400, **settings}), decode, frozenset(), opened, **more
    )
    for token in text.encode():
        if answer.add(token):
            break
    else:
        answer.finish = "stop"
    return answer.completion(0, 0.0)


@pytest.mark.parametrize("pair", PAIRS)
def test_every_pair_is_taken_off_as_text_and_token_by_token(pair):
    opening, closing = pair.split()
    text = f"\n{opening}\nYes? No?\nNo.\n{closing}\n\nYes\nand more"
    assert postprocess(text, ["\n"]) == ("Yes? No?\nNo.", "Yes", "stop")
    done = token_by_token(text, stop=("\nand",))
    assert (done.thinking, done.text, done.finish) == ("Yes? No?\nNo.", "Yes", "stop")


@pytest.mark.parametrize("pair", PAIRS)
def test_a_prompt_that_opens_the_thinking(pair):
    opening, closing = pair.split()
    marks = ending(f"user: ?\nassistant: {opening}\n")
    assert marks is not None
    assert marks.close == closing
    assert postprocess(f"Hm.{closing}Yes", opened=marks) == ("Hm.", "Yes", "stop")
    assert postprocess("Hm. Yes", opened=marks) == ("Hm. Yes", "", "length")
    assert token_by_token(f"a\nb{closing}Yes\n", marks, stop=("\n",)).text == "Yes"


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        (f"{HARMONY}<|return|>", "Hm.", "Yes"),
        (f"<|start|>assistant{HARMONY}<|end|>", "Hm.", "Yes"),
        (HARMONY.replace("<|end|><|start|>", ""), "Hm.", "Yes"),
        (HARMONY.replace("analysis", "commentary"), "Hm.", "Yes"),
        (HARMONY.replace("final<", "final <|constrain|>json<"), "Hm.", "Yes"),
        ("<|channel|>final<|message|>Yes<|return|>", None, "Yes"),
        ("analysisHm.assistantfinalYes", "Hm.", "Yes"),  # special tokens dropped by a server
        ("analysis is what this needs", None, "analysis is what this needs"),
        ("<|channel|>analysis<|message|>Hm. Yes", "Hm. Yes", ""),
    ],
)
def test_harmonys_channels(text, thinking, answer):
    assert postprocess(text)[:2] == (thinking, answer)
    if "<|" in text:
        done = token_by_token(text)
        assert (done.thinking, done.text) == (thinking, answer)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("hidden[/THINK]Yes", "Yes"),
        ("hidden</seed:think>Yes", "Yes"),
        ("Yes <reasoning>because</reasoning>", "Yes <reasoning>because</reasoning>"),
        ("<thinker> Yes", "<thinker> Yes"),  # no mark unless it is closed
        ("[reason] Yes", "[reason] Yes"),
        ("<b>Yes</b>", "<b>Yes</b>"),
        ("<|START_THINKING|>Hm<|END_THINKING|><|START_RESPONSE|>Yes<|END_RESPONSE|>", "Yes"),
        ("<think>Hm</think><response>Yes</response>", "Yes"),
    ],
)
def test_what_else_is_and_is_not_thinking(text, answer):
    assert postprocess(text)[1] == answer


@pytest.mark.parametrize(
    "before",
    [
        "",
        "\ufeff",
        "\u200b ",
        "<|im_start|>assistant\n",
        "<｜Assistant｜>",
        "</s>\n",
        "assistant\n",
    ],
)
@pytest.mark.parametrize("mark", ["<think>", "<THINK>", "<Thinking>"])
def test_thinking_that_is_never_closed_is_no_answer(before, mark):
    text = f"{before}{mark}The answer\nis no"
    assert postprocess(text, ["\n"]) == ("The answer\nis no", "", "length")
    done = token_by_token(text, stop=("\nis",))
    assert (done.thinking, done.text, done.finish) == ("The answer\nis no", "", "length")
    closed = f"{text}{mark.replace('<', '</')}\n\nYes\nand more"
    assert postprocess(closed, ["\n"])[1:] == ("Yes", "stop")
    assert token_by_token(closed, stop=("\n",)).text == "Yes"


@pytest.mark.parametrize(
    ("text", "thinking"),
    [
        ("<think>a\nb</think><think>no</think>", "a\nb\nno"),
        ("<think>a\nb</think>\n\n<think>no</think>", "a\nb\nno"),
        ("<think>a<think>b</think>no\n</think>", "a<think>b</think>no"),
        ("<think>no</thinking>", "no"),
        ("<thinking>no</think>", "no"),
        ("<think><think>no</think>", "<think>no"),  # one is closed for both
    ],
)
def test_thinking_within_and_behind_thinking(text, thinking):
    assert postprocess(f"{text}Yes\nNo", ["\n"]) == (thinking, "Yes", "stop")
    done = token_by_token(f"{text}Yes\nNo", stop=("\n",))
    assert (done.thinking, done.text) == (thinking, "Yes")
    assert postprocess("<think>a</think><think>no") == ("a\nno", "", "length")


def test_a_tag_that_only_looks_like_one_still_ends_at_its_limit_and_keeps_its_text():
    done = token_by_token("<thinker> Yes\nNo", stop=("\n",))
    assert (done.thinking, done.text) == (None, "<thinker> Yes")


@pytest.mark.parametrize("part", ["<think", "think", " ", "<|channel|>", "analysis", "[THINK"])
def test_hostile_texts_take_no_time(part):
    start = time.perf_counter()
    for text in (part * 20_000, "<" + part * 20_000, "analysis" + part * 20_000):
        postprocess(text)
    assert time.perf_counter() - start < 2


def test_marks_of_ones_own():
    own = (Marks("(hm)", "(/hm)"),)
    assert postprocess("(hm)No?(/hm) Yes", marks=own) == ("No?", "Yes", "stop")
    done = token_by_token("(hm)a\nb(/hm)Yes\n", marks=own, stop=("\n",))
    assert (done.thinking, done.text) == ("a\nb", "Yes")
    assert tag("<end_of_thought>") is None


@pytest.mark.parametrize("pair", PAIRS)
def test_predictions_made_elsewhere_lose_theirs(tmp_path, monkeypatch, pair):
    assert scored_predictions(tmp_path, monkeypatch, pair.split()) == 100


def test_predictions_with_marks_of_their_own(tmp_path, monkeypatch):
    marks = ("My thoughts:", "My answer:")
    assert scored_predictions(tmp_path, monkeypatch, marks, "--thinking-marks", *marks) == 100
    request = json.loads((tmp_path / "r/run.json").read_text())["request"]
    assert request["model"]["thinking_marks"] == list(marks)


def scored_predictions(tmp_path, monkeypatch, marks, *more):
    from redone.tasks.registry import find
    from redone.tasks.sources import data_folder, samples

    monkeypatch.chdir(tmp_path)
    (task,) = find(None, "sns_mini/gender")
    opening, closing = marks
    with open("p.jsonl", "w", encoding="utf-8") as file:
        for sample in samples(task, data_folder(None)):
            text = f"{opening}It is No. Is it Yes?{closing}\n{task.gold(sample)}"
            file.write(json.dumps({"id": sample.id, "prediction": text}) + "\n")
    argv = ["--backend", "scripted", "--model", "p.jsonl", "--tasks", "sns_mini/gender"]
    assert main([*argv, "--output", "r", *more]) == 0
    results = json.loads((tmp_path / "r/results.json").read_text())
    return results["tasks"]["sns_mini/gender"]["scorings"]["corrected"]["score"]


CHAT = (
    "{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' + m['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)
STRIPS = CHAT.replace("m['content']", "m['content'].split('</think>')[-1]")


def renderer(template, *tokens, special=True, thinking="auto"):
    from tokenizers import AddedToken

    tokenizer = tiny_tokenizer(template)
    tokenizer.add_tokens([AddedToken(t, special=special) for t in tokens])
    return Renderer(tokenizer, {}, thinking)


@pytest.mark.parametrize(
    ("template", "thinks"),
    [
        (CHAT, False),
        (CHAT + "{% if add_generation_prompt %}{{ '<reasoning>\n' }}{% endif %}", True),
        (CHAT + "{% if add_generation_prompt %}[THINK]{% endif %}", True),
        (CHAT + "{% if add_generation_prompt %}{{ '<think>\n\n</think>\n\n' }}{% endif %}", False),
        (CHAT + "{% if enable_thinking %}{{ '<seed:think>' }}{% endif %}", True),
        (CHAT.replace("+ m['content']", "+ '<thought>' + m.get('thinking', '')"), True),
    ],
)
def test_who_thinks_is_seen_from_what_the_template_writes(template, thinks):
    assert renderer(template).thinks is thinks


def test_a_template_that_only_takes_thinking_off_is_none_of_a_model_that_thinks():
    from transformers import PreTrainedTokenizerFast

    tokenizer = tiny_tokenizer(STRIPS)
    without = {t: i for t, i in tokenizer.get_vocab().items() if t not in ("<think>", "</think>")}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=_bytes(without), eos_token="<|end|>", pad_token="<|end|>"
    )
    fast.chat_template = STRIPS
    assert not Renderer(fast, {}, "auto").thinks
    # With tokens for the marks (DeepSeek-R1's distilled models) it is.
    assert Renderer(tokenizer, {}, "auto").thinks


def _bytes(vocabulary):
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    special = [t for t in vocabulary if t.startswith("<|")]
    plain = {t: i for t, i in vocabulary.items() if t not in special}
    tokenizer = Tokenizer(models.BPE(vocab=plain, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in special])
    return tokenizer


@pytest.mark.parametrize(
    "tokens",
    [
        ("[THINK]", "[/THINK]"),
        ("<seed:think>", "</seed:think>"),
        ("<|channel|>", "<|message|>"),
        ("<|thinking_start|>", "<|thinking_end|>"),
    ],
)
def test_marks_that_are_special_tokens_survive_decoding(tokens):
    found = renderer(CHAT, *tokens)
    (pair,) = (p for p in of_vocabulary(tokens))
    ids = found.tokenizer(f"{pair.open}Hm.{pair.close}Yes<|end|>", add_special_tokens=False)
    text = found.decode(ids["input_ids"])
    assert postprocess(text, marks=found.marks) == ("Hm.", "Yes", "stop")


def test_the_budget_is_at_most_half_the_context():
    assert thinking_budget(True, "auto", None) == THINKING_TOKENS
    assert thinking_budget(True, "auto", None, 32_768) == THINKING_TOKENS
    assert thinking_budget(True, "auto", None, 4096) == 2048
    assert thinking_budget(True, "off", None, 4096) == 0
    assert thinking_budget(True, "auto", 3000, 4096) == 3000
    assert thinking_budget(False, "auto", None, 4096) == 0
