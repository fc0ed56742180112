"""Preferences: pairs by the task's own value, and a trainer that learns them."""

from dataclasses import replace

import pytest
from tiny_models import tiny_tokenizer

from redone.harness.models.scripted import ScriptedModel
from redone.tasks.errors import BadRow, RedoneError
from redone.tasks.schema import Completion
from redone.training.corpus.draws import DrawSettings
from redone.training.corpus.preferences import Pair, preferences, read_pairs, write_pairs
from redone.training.rows import TrainingRow
from redone.training.settings import DpoSettings, LoraSettings
from redone.training.trainers.dpo import train_dpo
from redone.training.trainers.steps import read_steps

IRONY = "tweeteval/irony"


def row(name, target="irony"):
    return TrainingRow(
        name, IRONY, ({"role": "user", "content": f"Tweet {name}: irony?"},), "Yes",
        fields={"text": "t"}, target=target,
    )  # fmt: skip


# --- pairs --------------------------------------------------------------------------------------------

ANSWERS = {
    "mixed": ["No", "Yes", Completion("x" * 9, "length"), "irony"],
    "right": ["Yes", "irony", "Yes", "irony"],
    "wrong": ["No", "non_irony", "maybe", ""],
    "cut": [Completion("irony", "length"), "No", "No", "No"],
    "endless": [Completion("Yes", "length")] * 4,
}


def scripted(request):
    return ANSWERS[request.sample][request.draw]


def made(*names, **options):
    rows = [row(name) for name in names]
    return preferences(rows, ScriptedModel(scripted), DrawSettings(draws=4), **options)


def test_the_best_and_the_worst_answer_are_a_pair():
    (pair,) = made("mixed").pairs
    first_right = next(text for text in ANSWERS["mixed"] if text in ("Yes", "irony"))
    assert (pair.chosen, pair.values) == (first_right, (1.0, 0.0))
    assert (pair.rejected, pair.cut) == ("No", False)
    assert pair.messages == row("mixed").messages


@pytest.mark.parametrize(
    ("name", "why"), [("right", "alike"), ("wrong", "alike"), ("endless", "no whole answer")]
)
def test_a_row_without_a_preference_says_why(name, why):
    found = made(name)
    assert found.pairs == () and [d.why for d in found.decisions] == [why]


def test_a_row_that_cannot_be_judged_has_no_pair():
    found = preferences([row("mixed", target=None)], ScriptedModel(scripted), DrawSettings(draws=4))
    assert [d.why for d in found.decisions] == ["not judged"]


def test_a_stopped_call_goes_on(tmp_path):
    journal = tmp_path / "answers.jsonl"
    whole = made("mixed", "right", journal=journal)
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:3]) + lines[3][:9])  # killed while writing the fourth
    asked = []
    again = made("mixed", "right", journal=journal, on_answer=asked.append)
    assert again == whole and len(asked) == 5


def test_pairs_are_read_as_they_were_written(tmp_path):
    pairs = [*made("mixed").pairs, Pair("b", IRONY, row("b").messages, "Yes", "", (1, 0), True)]
    write_pairs(pairs, tmp_path / "pairs.jsonl")
    assert read_pairs(tmp_path / "pairs.jsonl") == pairs


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"id": "a"}', "row 1, field 'task'"),
        ('{"id": "a", "task": "t", "chosen": "x", "rejected": 3}', "field 'rejected'"),
        ('{"id": "a", "task": "t", "chosen": "x", "rejected": "y"}', "field 'messages'"),
        ("[", "not valid JSON"),
        (
            '{"id": "a", "task": "t", "chosen": "x", "rejected": "y", "values": 3, '
            '"messages": [{"role": "user", "content": "?"}]}',
            "field 'values'",
        ),
    ],
)
def test_what_is_no_pair_is_named(tmp_path, line, told):
    (tmp_path / "pairs.jsonl").write_text(f"{line}\n")
    with pytest.raises(BadRow, match=told):
        read_pairs(tmp_path / "pairs.jsonl")


# --- training ---------------------------------------------------------------------------------------------

PAIRS = [
    Pair(f"pair {n}", IRONY, ({"role": "user", "content": f"Number {n}?"},), "Yes" * (n % 3), "No")
    for n in range(1, 9)
]


def settings(**changes):
    small = dict(
        steps=4, batch=4, micro_batch=2, max_tokens=200, learning_rate=1e-3, warmup_ratio=0.0,
        schedule="constant", save_every=2, dtype="float32", beta=0.5,
    )  # fmt: skip
    return DpoSettings(**{**small, **changes})


def load(folder):
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def logprob(model, pair, answer, end=True):
    """Of an answer, by hand."""
    import torch

    tokenizer = tiny_tokenizer()
    text = tokenizer.apply_chat_template(
        list(pair.messages), tokenize=False, add_generation_prompt=True
    )
    prompt, ids = tokenizer.encode(text), tokenizer.encode(answer) + [256] * end
    with torch.no_grad():
        logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
    return float(logits.log_softmax(-1)[range(len(ids)), ids].sum())


def margin(model, reference, pair):
    """How much more than the reference a model prefers the chosen answer, in nats."""
    ends = (True, not pair.cut)
    now, then = (
        logprob(m, pair, pair.chosen, ends[0]) - logprob(m, pair, pair.rejected, ends[1])
        for m in (model, reference)
    )
    return now - then


def test_the_first_loss_is_that_of_no_preference(tiny_model, tmp_path):
    train_dpo(settings(), tiny_model(), PAIRS, tmp_path)
    steps = list(read_steps(tmp_path))
    assert steps[0].loss == pytest.approx(0.6931, abs=1e-3)  # log 2
    assert steps[-1].loss < 0.65


def test_later_losses_are_those_computed_by_hand(tiny_model, tmp_path):
    import math

    pairs = [replace(PAIRS[0], cut=True), *PAIRS[1:4]]
    reference = load(tiny_model())
    for name, steps in (("one", 1), ("two", 2)):
        asked = settings(steps=steps, save_every=9)
        train_dpo(asked, tiny_model(), pairs, tmp_path / name)
    after_one = load(tmp_path / "one/model")
    wanted = [math.log1p(math.exp(-0.5 * margin(after_one, reference, p))) for p in pairs]
    second = list(read_steps(tmp_path / "two"))[1]
    assert second.loss == pytest.approx(sum(wanted) / 4, abs=1e-4)


def test_the_chosen_answers_are_preferred_afterwards(tiny_model, tmp_path):
    train_dpo(settings(steps=8), tiny_model(), PAIRS, tmp_path)
    model, reference = load(tmp_path / "model"), load(tiny_model())
    assert all(margin(model, reference, pair) > 0 for pair in PAIRS)


class Killed(BaseException):
    """Stands for a process that ends at once."""


@pytest.mark.parametrize("lora", [None, LoraSettings(r=4, alpha=8)], ids=["full", "lora"])
def test_a_killed_stage_ends_as_an_undisturbed_one(tiny_model, tmp_path, lora):
    import torch
    from safetensors.torch import load_file

    def killed(done, total, line):
        if done == 3:
            raise Killed

    train_dpo(settings(lora=lora), tiny_model(), PAIRS, tmp_path / "whole")
    with pytest.raises(Killed):
        train_dpo(settings(lora=lora), tiny_model(), PAIRS, tmp_path / "killed", progress=killed)
    train_dpo(settings(lora=lora), tiny_model(), PAIRS, tmp_path / "killed")
    a, b = (load_file(tmp_path / n / "model/model.safetensors") for n in ("whole", "killed"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    a, b = (
        [replace(s, seconds=0.0) for s in read_steps(tmp_path / n)] for n in ("whole", "killed")
    )
    assert a == b


def test_pairs_that_are_too_long_are_left_out(tiny_model, tmp_path):
    long = replace(PAIRS[0], rejected="x" * 300)
    train_dpo(settings(steps=1, batch=2), tiny_model(), [long, *PAIRS], tmp_path / "some")
    assert "pair 1" in (tmp_path / "some/left_out.json").read_text()
    with pytest.raises(RedoneError, match="None of 1 pairs has 200 tokens or fewer"):
        train_dpo(settings(), tiny_model(), [long], tmp_path / "none")
