"""A stage from start to end: resuming, skipping, stopping, saving."""

import errno
import json
from types import SimpleNamespace

import pytest
import torch
from dapo_stage import TASK, Ruled, by_bytes, rows, settings
from safetensors.torch import load_file

from redone.harness.models.hf import PlainEngine
from redone.harness.run_folder import DiskFull
from redone.tasks.errors import RedoneError
from redone.tasks.registry import by_name
from redone.training.settings import LoraSettings
from redone.training.trainers import checkpoints, dapo
from redone.training.trainers.checkpoints import newest_complete
from redone.training.trainers.dapo import make_trainer, train_dapo
from redone.training.trainers.steps import BARREN, NOT_FINITE, read_steps


class Killed(BaseException):
    """A kill, as near as a test can come to it."""


def weights(folder):
    return load_file(folder / "model.safetensors")


def run(model, output, rule=by_bytes, progress=lambda *_: None, **changes):
    return train_dapo(settings(**changes), model, rows(), Ruled(rule), output, progress=progress)


def assert_same_weights(one, other):
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert torch.equal(weight, other[name]), name


@pytest.mark.parametrize(
    "changes", [{}, {"lora": LoraSettings(r=2, dropout=0.1)}, {"updates_per_rollout": 3}],
    ids=["full weights", "lora", "three updates"],
)  # fmt: skip
def test_a_killed_stage_ends_as_an_undisturbed_one(tiny_model, tmp_path, changes):
    model = tiny_model()
    whole = run(model, tmp_path / "whole", **changes)

    def kill(done, total, line):
        if done == 3 * changes.get("updates_per_rollout", 1):
            raise Killed

    with pytest.raises(Killed):
        run(model, tmp_path / "cut", progress=kill, **changes)
    assert not (tmp_path / "cut" / "model").exists()
    resumed = run(model, tmp_path / "cut", **changes)
    assert_same_weights(whole.model, resumed.model)
    assert (resumed.steps, resumed.tokens_generated) == (whole.steps, whole.tokens_generated)
    before, after = (list(read_steps(tmp_path / name)) for name in ("whole", "cut"))
    assert [s.loss for s in before] == [s.loss for s in after]
    assert before[0].loss is not None


def test_a_finished_stage_is_not_trained_again(tiny_model, tmp_path):
    first = run(tiny_model(), tmp_path)
    assert run(tiny_model(), tmp_path, rule=None) == first


def test_the_trained_model_differs_and_can_be_read(tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result = run(tiny_model(), tmp_path)
    before, after = weights(tiny_model()), weights(result.model)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    AutoModelForCausalLM.from_pretrained(result.model)
    AutoTokenizer.from_pretrained(result.model)
    assert not list(tmp_path.glob(".*"))


def test_an_adapter_is_merged_into_the_model(tiny_model, tmp_path):
    result = run(tiny_model(), tmp_path, lora=LoraSettings(r=2, target_modules=("q_proj",)))
    before, after = weights(tiny_model()), weights(result.model)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("q_proj" in name for name in changed)


def test_the_log_tells_each_task_beside_its_chance_level(tiny_model, tmp_path):
    run(tiny_model(), tmp_path)
    for step in read_steps(tmp_path):
        mean = step.tasks[TASK]
        assert 0 <= mean.value <= 1
        assert mean.chance == by_name(TASK).chance.value
        assert mean.n == 4 * (step.kept + step.dropped)
        assert step.rounds <= 3
        assert step.seconds >= step.seconds_generating + step.seconds_training


def test_tensorboard_draws_the_seconds_of_every_step(tiny_model, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tiny_model(), tmp_path)
    drawn = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    seconds = {event.step: event.value for event in drawn.Scalars("train/seconds")}
    taken = {step.step: step.seconds for step in read_steps(tmp_path)}
    assert seconds == pytest.approx(taken, rel=1e-3)
    assert min(seconds.values()) > 0


def test_a_step_without_anything_to_learn_changes_nothing(tiny_model, tmp_path):
    result = run(tiny_model(), tmp_path, rule=lambda row, completion: (0.0, -completion.tokens))
    assert (result.skipped, result.tokens_trained, result.stopped) == (4, 0, None)
    assert_same_weights(tiny_model(), result.model)
    for step in read_steps(tmp_path):
        assert step.skipped == "every answer was worth 0"
        assert (step.rounds, step.kept, step.dropped) == (3, 0, 9)


def test_a_stage_that_never_has_anything_to_learn_ends(tiny_model, tmp_path):
    result = run(tiny_model(), tmp_path, rule=lambda *_: 1.0, steps=50, max_resamples=0)
    assert result.steps == BARREN
    assert result.stopped is not None
    assert "nothing to learn from (the answers of every group were worth alike)" in result.stopped


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_judge_that_answers_nonsense_trains_nothing(tiny_model, tmp_path, value):
    result = run(tiny_model(), tmp_path, rule=lambda *_: value, steps=1)
    assert result.skipped == 1
    assert next(read_steps(tmp_path)).skipped == "no answer could be scored"


def test_a_ruined_gradient_is_not_used_and_ends_the_stage(tiny_model, tmp_path, monkeypatch):
    from redone.training.trainers.dapo import DapoTrainer

    honest = DapoTrainer._compute_loss

    def ruin(self, model, inputs):
        loss = honest(self, model, inputs)
        return loss * float("nan") if self.state.global_step >= 2 else loss

    monkeypatch.setattr(DapoTrainer, "_compute_loss", ruin)
    result = run(tiny_model(), tmp_path, steps=20, save_every=50)
    assert result.stopped is not None
    assert result.stopped.startswith(f"Stopped at step 5: {NOT_FINITE} 3 times in a row")
    assert result.skipped == 3
    assert all(torch.isfinite(w).all() for w in weights(result.model).values())


def test_a_full_disk_leaves_the_last_good_checkpoint(tiny_model, tmp_path, monkeypatch):
    honest, calls = torch.save, []

    def full(thing, file, *arguments, **options):
        calls.append(str(file))
        if "checkpoint-4" in str(file):
            raise OSError(errno.ENOSPC, "No space left on device")
        return honest(thing, file, *arguments, **options)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DiskFull, match="The last complete checkpoint is intact"):
        run(tiny_model(), tmp_path, steps=6)
    monkeypatch.setattr(torch, "save", honest)
    checkpoint, record = newest_complete(tmp_path / "checkpoints")
    assert (checkpoint.name, record["step"]) == ("checkpoint-2", 2)
    whole = run(tiny_model(), tmp_path.with_name("whole"), steps=6)
    assert_same_weights(run(tiny_model(), tmp_path, steps=6).model, whole.model)


def test_a_disk_that_fills_while_the_model_is_saved(tiny_model, tmp_path, monkeypatch):
    from transformers import LlamaForCausalLM

    def full(self, folder, **_):
        (folder / "half").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LlamaForCausalLM, "save_pretrained", full)
    with pytest.raises(DiskFull):
        run(tiny_model(), tmp_path, save_every=50)
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".*"))


def test_memory_that_runs_out_makes_smaller_micro_batches(tiny_model, tmp_path, monkeypatch):
    from redone.training.trainers.dapo import DapoTrainer

    honest, sizes = DapoTrainer._compute_loss, []

    def small(self, model, inputs):
        sizes.append(len(inputs["completion_ids"]))
        if sizes[-1] > 2:
            raise RuntimeError("not enough memory: you tried to allocate 1 bytes")
        return honest(self, model, inputs)

    monkeypatch.setattr(dapo, "_choose_ways", _padded(dapo._choose_ways))
    whole = run(tiny_model(), tmp_path / "roomy", micro_batch=2)
    monkeypatch.setattr(DapoTrainer, "_compute_loss", small)
    tight = run(tiny_model(), tmp_path / "tight", micro_batch=12)
    assert max(sizes) > 2
    for name, weight in weights(whole.model).items():
        torch.testing.assert_close(weights(tight.model)[name], weight, atol=1e-6, rtol=1e-4)


def _padded(choose):
    def chosen(trainer, source):
        choose(trainer, source)
        trainer.shares_prefixes = False

    return chosen


def test_memory_for_not_even_one_answer_is_told(tiny_model, tmp_path, monkeypatch):
    from redone.training.trainers.dapo import DapoTrainer

    def never(self, model, inputs):
        raise MemoryError

    monkeypatch.setattr(DapoTrainer, "_compute_loss", never)
    with pytest.raises(RedoneError, match="Out of memory with micro_batch 1: lower it"):
        run(tiny_model(), tmp_path)


def test_a_row_that_cannot_be_judged_is_refused(tiny_model, tmp_path):
    from dataclasses import replace

    bad = [replace(rows(1)[0], target=None)]
    with pytest.raises(RedoneError, match="'row 0'.*SFT only"):
        train_dapo(settings(), tiny_model(), bad, Ruled(by_bytes), tmp_path)


def test_rows_with_a_long_prompt_are_left_out_and_named(tiny_model, tmp_path, capsys):
    from dataclasses import replace

    some = rows(4)
    wide = {"role": "user", "content": "Why? " * 40}
    some[2] = replace(some[2], messages=(wide,))
    train_dapo(settings(steps=1), tiny_model(), some, Ruled(by_bytes), tmp_path)
    told = capsys.readouterr().err
    assert "1 of 4 rows have more than 100 tokens in their prompts and are left out" in told
    named = json.loads((tmp_path / "left_out.json").read_text())
    assert named == {"max_tokens": 100, "rows": ["row 2"]}


def under(monkeypatch, **given):
    """Trainers that find themselves launched in another way; the rest is as it is here."""
    from transformers import Trainer

    honest = Trainer.create_accelerator_and_postprocess

    def create(self):
        honest(self)
        for name, value in given.items():
            setattr(self, name, value)

    monkeypatch.setattr(Trainer, "create_accelerator_and_postprocess", create)


def test_adapters_on_sharded_weights_are_refused_at_the_start(tiny_model, tmp_path, monkeypatch):
    under(monkeypatch, is_fsdp_enabled=True)
    with pytest.raises(RedoneError, match="sharded by FSDP. Leave `lora` out"):
        run(tiny_model(), tmp_path, lora=LoraSettings(r=2))
    assert not list(read_steps(tmp_path))
    make_trainer(settings(), tiny_model(), rows(), Ruled(by_bytes), tmp_path)  # full weights may be


def test_zero_shards_weights_in_its_third_stage_only():
    def trainer(stage):
        state = SimpleNamespace(deepspeed_plugin=SimpleNamespace(zero_stage=stage))
        accelerator = SimpleNamespace(
            state=state, unwrap_model=lambda model: SimpleNamespace(merge_and_unload=None)
        )
        return SimpleNamespace(accelerator=accelerator, model=None, is_fsdp_enabled=False)

    checkpoints.check_mergeable(trainer(2))
    with pytest.raises(RedoneError, match="sharded by ZeRO-3"):
        checkpoints.check_mergeable(trainer(3))


def test_a_step_that_deepspeed_has_taken_is_not_called_skipped(tiny_model, tmp_path, monkeypatch):
    from redone.training.trainers.dapo import DapoTrainer

    made = make_trainer(settings(), tiny_model(), rows(), Ruled(by_bytes), tmp_path)
    made.create_optimizer()
    honest = DapoTrainer._compute_loss

    def ruin(self, model, inputs):
        return honest(self, model, inputs) * float("nan")

    monkeypatch.setattr(DapoTrainer, "_compute_loss", ruin)
    made.is_deepspeed_enabled = True
    with pytest.raises(RedoneError, match=f"Stopped at step 1: {NOT_FINITE}. DeepSpeed had taken"):
        made.training_step(made.model, [])


def test_rows_that_are_all_too_long_are_refused(tiny_model, tmp_path):
    with pytest.raises(RedoneError, match="None of 10 rows has a prompt of 3 tokens or fewer"):
        run(tiny_model(), tmp_path, max_prompt_tokens=3)


@pytest.mark.parametrize("kind", ["gpt2", "sliding"])
def test_a_model_without_fast_ways_is_trained_by_plain_ones(tiny_model, tmp_path, kind):
    made = make_trainer(settings(), tiny_model(kind), rows(), Ruled(by_bytes), tmp_path / "made")
    with made.writer._engine() as engine:
        assert isinstance(engine, PlainEngine)
    assert made.shares_prefixes == (kind == "gpt2")
    one = run(tiny_model(kind), tmp_path / "one", steps=2)
    other = run(tiny_model(kind), tmp_path / "other", steps=2)
    assert one.tokens_trained > 0
    assert_same_weights(one.model, other.model)
    before, after = (
        json.loads((folder / "generation_config.json").read_text())
        for folder in (tiny_model(kind), one.model)
    )
    assert after["eos_token_id"] == before["eos_token_id"]


def test_a_checkpoint_that_was_being_written_is_passed_over(tmp_path):
    for number in (2, 4, 10):
        (tmp_path / f"checkpoint-{number}").mkdir()
    checkpoints.mark_complete(tmp_path / "checkpoint-2", {"step": 2})
    checkpoints.mark_complete(tmp_path / "checkpoint-4", {"step": 4})
    checkpoint, record = newest_complete(tmp_path)
    assert (checkpoint.name, record) == ("checkpoint-4", {"step": 4})
    checkpoints.drop_broken(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-4"]
