"""Rows for models that can think: an answer stands where the template puts one without thinking."""

import pytest
from tiny_models import CHAT_TEMPLATE, tiny_tokenizer

from redone.harness.models.checkpoint import Checkpoint
from redone.harness.models.rendering import Renderer
from redone.training.trainers.packing import RowTokenizer

TURNS = "{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' }}"
PROMPT = "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}"
OFF = "{% if enable_thinking is defined and enable_thinking is false %}"
EMPTY = "<think>\n\n</think>\n\n"
QWEN3 = (
    TURNS
    + "{% set parts = m['content'].split('</think>') %}"
    + "{% if m['role'] == 'assistant' and loop.last %}{{ '<think>\n' }}{% if parts|length > 1 %}"
    + "{{ parts[0].replace('<think>', '').strip('\n') }}{% endif %}{{ '\n</think>\n\n' }}{% endif %}"
    + "{{ parts[-1].lstrip('\n') + '<|end|>\n' }}{% endfor %}"
    + PROMPT + OFF + "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)  # fmt: skip
"""Writes an empty thought in the last turn, and in the prompt where thinking is off."""
SMOLLM3 = (
    TURNS + "{% if m['role'] == 'assistant' %}" + OFF + "{{ '<think>\n\n</think>\n' }}{% endif %}"
    + "{% endif %}{{ m['content'] + '<|end|>\n' }}{% endfor %}"
    + PROMPT + OFF + "{{ '<think>\n\n</think>\n' }}{% endif %}{% endif %}"
)  # fmt: skip
"""Writes an empty thought only where thinking is off."""
CHANNELS = (
    TURNS + "{% if m['role'] == 'assistant' %}{{ '[final]' }}{% endif %}"
    + "{{ m['content'] + '<|end|>\n' }}{% endfor %}" + PROMPT + "{% endif %}"
)  # fmt: skip
"""The model itself writes the channel of its answer."""
OPENED = CHAT_TEMPLATE.replace("assistant\n' }}", "assistant\n<think>\n' }}")
MESSAGES = [{"role": "user", "content": "Is it?"}]


def tokenizer_of(folder):
    return RowTokenizer.of(Checkpoint(str(folder), "float32", "cpu"))


@pytest.mark.parametrize(
    ("template", "before"),
    [
        (CHAT_TEMPLATE, ""),
        (QWEN3, EMPTY),
        (SMOLLM3, "<think>\n\n</think>\n"),
        (CHANNELS, "[final]"),
        (OPENED, "<think>\n</think>\n\n"),
    ],
    ids=["plain", "qwen3", "smollm3", "channels", "opened"],
)
@pytest.mark.parametrize("answer", ["Yes", " No.\nNo", ""])
def test_an_answer_follows_what_the_template_writes_before_one(
    tiny_model, template, before, answer
):
    """That is read; the model does not learn to write it, and thinks as before where it is to."""
    made = tokenizer_of(tiny_model("llama", template))
    prompt, learned = made.turn(MESSAGES, answer)
    said = tiny_tokenizer().decode
    assert said(prompt) == "<|start|>user\nIs it?<|end|>\n<|start|>assistant\n" + before
    assert said(learned) == f"{answer}<|end|>"


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, QWEN3, SMOLLM3])
def test_the_prompt_is_that_of_an_evaluation_without_thinking(tiny_model, template):
    made = tokenizer_of(tiny_model("llama", template))
    prompt, _ = made.turn(MESSAGES, "Yes")
    renderer = Renderer(tiny_tokenizer(template), {}, "off")
    assert renderer.encode([renderer.render(MESSAGES)]) == [prompt]


def test_the_turn_is_what_qwen3s_template_writes_of_it(tiny_model):
    prompt, learned = tokenizer_of(tiny_model("llama", QWEN3)).turn(MESSAGES, "Yes")
    turns = [*MESSAGES, {"role": "assistant", "content": "Yes"}]
    whole = tiny_tokenizer(QWEN3).apply_chat_template(turns, tokenize=False)
    assert tiny_tokenizer().decode([*prompt, *learned]) == whole.rstrip("\n")


@pytest.mark.parametrize("template", [QWEN3, SMOLLM3, OPENED])
def test_an_answer_that_thinks_is_learned_with_its_thoughts(tiny_model, template):
    prompt, learned = tokenizer_of(tiny_model("llama", template)).turn(
        MESSAGES, "<think>\nHm.\n</think>\n\nYes"
    )
    said = tiny_tokenizer().decode
    assert said([*prompt, *learned]).endswith("assistant\n<think>\nHm.\n</think>\n\nYes<|end|>")
    assert "Hm." in said(learned)
