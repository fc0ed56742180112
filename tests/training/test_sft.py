"""Supervised fine-tuning: what is learnt, what is not, and that a stage survives what happens to it."""

import errno
import json
import math
import os
from dataclasses import replace

import pytest
from tiny_models import CHAT_TEMPLATE, tiny_tokenizer

from redone.harness.run_folder import DiskFull
from redone.tasks.errors import RedoneError
from redone.training.rows import TrainingRow
from redone.training.settings import LoraSettings, SftSettings
from redone.training.trainers.packing import TokenRow, packed_logprobs, packs_of, padded_logprobs
from redone.training.trainers.sft import train_sft
from redone.training.trainers.steps import read_steps

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

END = 256  # <|end|> of the tiny tokenizer, whose other ids are bytes


def rows(count=12):
    return [
        TrainingRow(
            f"row {n}",
            "tweeteval/irony",
            (
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": f"What is {n} and {n}?"},
            ),
            answer="It is " + "x" * (n % 5),
            rationale=f"{n} stands twice." if n % 2 else "",
        )
        for n in range(count)
    ]


def settings(**changes):
    small = dict(
        steps=6, batch=4, micro_batch=2, max_tokens=200, learning_rate=1e-2, warmup_ratio=0.0,
        schedule="constant", save_every=2, dtype="float32",
    )  # fmt: skip
    return SftSettings(**{**small, **changes})


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True))


def lines(output):
    """The step log without its times."""
    return [replace(step, seconds=0.0) for step in read_steps(output)]


def logprobs_by_hand(model, row):
    """Of the answer's tokens, one row at a time."""
    with torch.no_grad():
        logits = model(torch.tensor([row.tokens])).logits[0].double()
    found = logits.log_softmax(-1)[range(len(row) - 1), row.tokens[1:]]
    return found[len(row.prompt) - 1 :]


def load(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def as_tokens(folder, given, raw_text=False, rationale=lambda row: False):
    from redone.harness.models.checkpoint import Checkpoint
    from redone.training.trainers.packing import RowTokenizer, token_rows

    tokenizer = RowTokenizer.of(Checkpoint(str(folder), "float32", "cpu"))
    found, _ = token_rows(
        tokenizer, given, rationale=rationale, weight=lambda row: 1.0, raw_text=raw_text,
        max_tokens=10_000,
    )  # fmt: skip
    return found


def said(ids):
    return tiny_tokenizer().decode(ids)


# --- what is read, and what is learnt ----------------------------------------------------------------


def test_the_prompt_is_the_evaluations_and_the_answer_ends_the_turn(tiny_model):
    (row,) = as_tokens(tiny_model(), rows(1))
    assert said(row.prompt).endswith("user\nWhat is 0 and 0?<|end|>\n<|start|>assistant\n")
    assert said(row.answer) == "It is <|end|>"


def test_a_rationale_comes_before_the_answer(tiny_model):
    given = rows(2)[1]
    (row,) = as_tokens(tiny_model(), [given], rationale=lambda row: True)
    assert said(row.answer) == f"{given.learnt(True)}<|end|>" and given.rationale in said(
        row.answer
    )
    assert "Reason in a few sentences" in said(row.prompt)


def test_a_template_that_opens_the_thinking_has_it_closed(tiny_model):
    template = CHAT_TEMPLATE.replace("assistant\n' }}", "assistant\n<think>\n' }}")
    (row,) = as_tokens(tiny_model("llama", template), rows(1))
    assert said(row.prompt).endswith("<think>\n</think>\n\n")
    assert said(row.answer) == "It is <|end|>"


def test_raw_text_is_learnt_whole(tiny_model):
    (row,) = as_tokens(tiny_model(), rows(1), raw_text=True)
    assert len(row.prompt) == 1
    assert said(row.answer) == "Be brief.\n\nWhat is 0 and 0?\n\nIt is <|end|>"


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2"])
def test_batches_and_packs_give_the_log_probabilities_of_single_rows(tiny_model, kind):
    model, found = load(tiny_model(kind)), as_tokens(tiny_model(kind), rows(5))
    wanted = [logprobs_by_hand(model, row) for row in found]
    with torch.no_grad():
        ways = [padded_logprobs(model, found, END), packed_logprobs(model, found)]
    for way in ways:
        for got, want in zip(way, wanted, strict=True):
            assert torch.allclose(got.double(), want, atol=1e-4)


def one_step(tiny_model, tmp_path, given, name="run", **changes):
    model = tiny_model()
    weight = changes.pop("weight", lambda row: 1.0)
    asked = settings(steps=1, batch=len(given), micro_batch=1, **changes)
    result = train_sft(asked, model, given, tmp_path / name, weight=weight)
    (step,) = read_steps(tmp_path / name)
    return result, step


@pytest.mark.parametrize("way", [{}, {"packed": True}, {"raw_text": True}], ids=str)
def test_the_loss_is_the_mean_over_the_learnt_tokens(tiny_model, tmp_path, way):
    _, step = one_step(tiny_model, tmp_path, rows(6), **way)
    found = as_tokens(tiny_model(), rows(6), **{k: v for k, v in way.items() if k == "raw_text"})
    model = load(tiny_model())
    by_hand = torch.cat([logprobs_by_hand(model, row) for row in found])
    if "packed" in way:  # six rows are one sequence here, so a step of six takes it again and again
        assert step.tokens_trained % len(by_hand) == 0
    else:
        assert step.tokens_trained == len(by_hand)
    assert step.loss == pytest.approx(-by_hand.mean().item(), rel=1e-4)


def test_weights_count_as_rows_that_come_again(tiny_model, tmp_path):
    given = rows(3)
    _, again = one_step(tiny_model, tmp_path, [given[1], *given], "again")
    _, weighted = one_step(
        tiny_model, tmp_path, given, "weighted", weight=lambda row: 2.0 if row is given[1] else 1.0
    )
    assert weighted.tokens_trained < again.tokens_trained
    # Weights are divided by their mean over the learnt tokens, so the sums agree, not only ratios.
    assert weighted.loss == pytest.approx(again.loss, rel=1e-4)


def test_the_micro_batch_changes_nothing(tiny_model, tmp_path, monkeypatch):
    model = tiny_model()
    for name, shares, micro in (("a", True, 1), ("b", False, 4), ("c", False, 1)):
        monkeypatch.setattr(
            "redone.training.trainers.sft.supports_trees", lambda model, shares=shares: shares
        )
        train_sft(settings(steps=2, micro_batch=micro), model, rows(), tmp_path / name)
    a, b, c = (weights(tmp_path / name / "model") for name in "abc")
    for other in (b, c):
        assert all(torch.allclose(a[name], other[name], atol=1e-3) for name in a)


def test_training_teaches(tiny_model, tmp_path):
    train_sft(settings(steps=30, save_every=100), tiny_model(), rows(), tmp_path)
    steps = lines(tmp_path)
    assert steps[-1].loss < steps[0].loss / 2
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_weights_and_biases_gets_a_run_for_each_stage(tiny_model, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name, value in (("PROJECT", "redone"), ("MODE", "offline"), ("DIR", str(tmp_path))):
        monkeypatch.setenv(f"WANDB_{name}", value)
    for stage in ("one", "two"):
        train_sft(settings(steps=2), tiny_model(), rows(), tmp_path / "stages" / stage)
    logs = [log.read_bytes() for log in tmp_path.glob("wandb/offline-run-*/*.wandb")]
    for stage in ("one", "two"):
        (own,) = (log for log in logs if f"{tmp_path.name}/{stage}".encode() in log)
        assert b"train/loss" in own and b"tokens_trained" in own


def test_weights_and_biases_that_is_not_installed_is_named(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "redone")
    monkeypatch.setattr(
        "transformers.integrations.integration_utils.is_wandb_available", lambda: False
    )
    with pytest.raises(RedoneError, match="pip install wandb, or unset WANDB_PROJECT"):
        train_sft(settings(steps=2), tiny_model(), rows(), tmp_path)


def test_every_row_comes_once_an_epoch(tiny_model, tmp_path):
    result = train_sft(settings(steps=None, epochs=1.5), tiny_model(), rows(), tmp_path)
    assert (result.steps, result.stopped) == (5, None)  # 18 rows, 4 a step
    found = [len(row.answer) for row in as_tokens(tiny_model(), rows())]
    assert sum(step.tokens_trained for step in lines(tmp_path)[:3]) == sum(found)


def test_adapters_are_merged_into_whole_weights(tiny_model, tmp_path):
    lora = LoraSettings(r=4, alpha=8)
    train_sft(settings(lora=lora), tiny_model(), rows(), tmp_path)
    before, after = weights(tiny_model()), weights(tmp_path / "model")
    assert set(after) == set(before)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("proj" in name for name in changed)
    assert not (tmp_path / "model" / "adapter_config.json").exists()


def test_long_rows_are_left_out_and_named(tiny_model, tmp_path, capsys):
    long = replace(rows(1)[0], id="long", answer="x" * 300)
    train_sft(settings(), tiny_model(), [*rows(), long], tmp_path)
    assert json.loads((tmp_path / "left_out.json").read_text())["rows"] == ["long"]
    assert "1 of 13 rows have more than 200 tokens and are left out" in capsys.readouterr().err
    with pytest.raises(RedoneError, match="None of the 1 rows has 200 tokens or fewer"):
        train_sft(settings(), tiny_model(), [long], tmp_path / "none")


def test_rows_are_packed_tightly_and_each_once():
    lengths = [5, 9, 2, 7, 3, 1, 8]
    packs = packs_of(lengths, 10)
    assert sorted(i for pack in packs for i in pack) == list(range(7))
    assert all(sum(lengths[i] for i in pack) <= 10 for pack in packs) and len(packs) == 4


# --- what happens to a stage -----------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a process that ends at once: nothing that the trainer has catches it."""


def killed_at(step):
    def progress(done, total, line):
        if done == step:
            raise Killed

    return progress


def test_a_killed_stage_ends_as_an_undisturbed_one(tiny_model, tmp_path):
    lora = LoraSettings(r=4, alpha=8, dropout=0.3)  # chance is to go on where it was, too
    asked = settings(lora=lora, schedule="cosine", warmup_ratio=0.2)
    train_sft(asked, tiny_model(), rows(), tmp_path / "whole")
    for step in (1, 3, 5):
        with pytest.raises(Killed):
            train_sft(asked, tiny_model(), rows(), tmp_path / "killed", progress=killed_at(step))
        assert not (tmp_path / "killed/model").exists()
        torn = tmp_path / "killed/checkpoints/checkpoint-90"
        torn.mkdir()  # as if it was being saved when the process ended
    result = train_sft(asked, tiny_model(), rows(), tmp_path / "killed")
    assert result.steps == 6 and not torn.exists()
    assert same(weights(tmp_path / "whole/model"), weights(tmp_path / "killed/model"))
    assert lines(tmp_path / "whole") == lines(tmp_path / "killed")


def test_a_finished_stage_is_not_trained_again(tiny_model, tmp_path):
    first = train_sft(settings(), tiny_model(), rows(), tmp_path)
    again = train_sft(settings(), tiny_model(), rows(), tmp_path, progress=killed_at(1))
    assert again == first


@pytest.fixture
def spoilt(monkeypatch):
    """Spoils the loss from a step on."""
    from redone.training.trainers.sft import SftTrainer

    right = SftTrainer.loss_of

    def spoil(first, factor):
        def loss_of(self, model, chosen, whole):
            loss = right(self, model, chosen, whole)
            return loss * factor if first <= self.state.global_step + 1 else loss

        monkeypatch.setattr(SftTrainer, "loss_of", loss_of)

    return spoil


def test_a_ruined_loss_ends_the_command_where_deepspeed_has_taken_the_step(
    tiny_model, tmp_path, spoilt, monkeypatch
):
    from redone.training.trainers.sft import SftTrainer

    honest = SftTrainer.training_step

    def launched(self, *arguments):
        self.is_deepspeed_enabled = True
        return honest(self, *arguments)

    spoilt(0, math.nan)
    monkeypatch.setattr(SftTrainer, "training_step", launched)
    with pytest.raises(RedoneError, match="Stopped at step 1: .*DeepSpeed had taken the step"):
        train_sft(settings(steps=3), tiny_model(), rows(), tmp_path)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_ruined_loss_stops_with_a_line_and_the_weights_of_before(
    tiny_model, tmp_path, spoilt, factor
):
    train_sft(settings(steps=3), tiny_model(), rows(), tmp_path / "good")
    spoilt(4, factor)
    result = train_sft(settings(steps=9), tiny_model(), rows(), tmp_path / "bad")
    assert result.stopped.startswith("Stopped at step 6: the loss or its gradient was not finite 3")
    assert (result.steps, result.skipped) == (6, 3)
    assert same(weights(tmp_path / "good/model"), weights(tmp_path / "bad/model"))
    newest = tmp_path / "bad/checkpoints/checkpoint-6"
    assert (newest / "complete.json").exists()
    assert same(weights(tmp_path / "good/model"), weights(newest))
    again = train_sft(settings(steps=9), tiny_model(), rows(), tmp_path / "bad")
    assert again.stopped == result.stopped


def test_one_spike_is_passed_over(tiny_model, tmp_path, monkeypatch, spoilt):
    from redone.training.trainers.sft import SftTrainer

    right = SftTrainer.loss_of

    def loss_of(self, model, chosen, whole):
        loss = right(self, model, chosen, whole)
        return loss * 1e4 if self.state.global_step == 14 else loss

    monkeypatch.setattr(SftTrainer, "loss_of", loss_of)
    result = train_sft(settings(steps=16), tiny_model(), rows(), tmp_path)
    assert (result.steps, result.skipped, result.stopped) == (16, 1, None)
    assert lines(tmp_path)[14].skipped == "the gradient spiked"


def test_out_of_memory_halves_the_passes(tiny_model, tmp_path, monkeypatch):
    from redone.training.trainers.sft import SftTrainer

    right, seen = SftTrainer.loss_of, []

    def loss_of(self, model, chosen, whole):
        seen.append(len(chosen))
        if len(chosen) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return right(self, model, chosen, whole)

    monkeypatch.setattr("redone.training.trainers.sft.supports_trees", lambda model: False)
    train_sft(settings(steps=2), tiny_model(), rows(), tmp_path / "whole")
    monkeypatch.setattr(SftTrainer, "loss_of", loss_of)
    result = train_sft(settings(steps=2), tiny_model(), rows(), tmp_path / "halved")
    assert (result.steps, result.skipped) == (2, 0) and seen == [2] + [1] * 8
    a, b = weights(tmp_path / "whole/model"), weights(tmp_path / "halved/model")
    assert all(torch.allclose(a[name], b[name], atol=1e-3) for name in a)


def test_out_of_memory_with_one_row_says_what_to_lower(tiny_model, tmp_path, monkeypatch):
    from redone.training.trainers.sft import SftTrainer

    def loss_of(self, model, chosen, whole):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(SftTrainer, "loss_of", loss_of)
    with pytest.raises(RedoneError, match="micro_batch 1: lower it or max_tokens"):
        train_sft(settings(), tiny_model(), rows(), tmp_path)


def test_a_full_disk_leaves_the_last_whole_checkpoint(tiny_model, tmp_path, monkeypatch):
    from transformers import Trainer

    right = Trainer._save_optimizer_and_scheduler

    def full(self, output_dir):
        if output_dir.endswith("-4"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        right(self, output_dir)

    monkeypatch.setattr(Trainer, "_save_optimizer_and_scheduler", full)
    with pytest.raises(DiskFull, match="The last complete checkpoint is intact"):
        train_sft(settings(), tiny_model(), rows(), tmp_path / "full")
    assert (tmp_path / "full/checkpoints/checkpoint-2/complete.json").exists()
    monkeypatch.undo()
    train_sft(settings(), tiny_model(), rows(), tmp_path / "full")
    train_sft(settings(), tiny_model(), rows(), tmp_path / "whole")
    assert same(weights(tmp_path / "full/model"), weights(tmp_path / "whole/model"))


def test_a_token_budget_ends_the_stage(tiny_model, tmp_path):
    result = train_sft(settings(token_budget=600), tiny_model(), rows(), tmp_path)
    assert 600 <= result.tokens_read + result.tokens_trained < 900 and result.steps < 6
    assert result.tokens_read > result.tokens_trained > 0
    assert "tokens are processed" in result.stopped


def test_a_weight_below_nothing_is_refused(tiny_model, tmp_path):
    with pytest.raises(RedoneError, match="'row 0' has the weight -1"):
        train_sft(settings(), tiny_model(), rows(), tmp_path, weight=lambda row: -1)


def test_a_row_is_its_prompt_and_its_answer():
    row = TokenRow([1, 2], [3])
    assert (row.tokens, len(row)) == ([1, 2, 3], 3)
