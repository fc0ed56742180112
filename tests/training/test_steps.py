"""The step log: what reports draw and what a resumed stage counts on."""

from pathlib import Path

from redone.training.trainers.steps import STEPS, StageResult, Step, StepLog, TaskMean, read_steps


def step(number, **fields):
    return Step(
        number,
        loss=0.5,
        tokens_read=20,
        tokens_generated=10,
        tokens_trained=8,
        seconds=2.0,
        **fields,
    )


def test_a_step_is_read_as_it_was_written(tmp_path):
    tasks = {"tweeteval/irony": TaskMean(value=0.6, chance=0.61, n=32)}
    written = step(1, tasks=tasks, parts={"length": -0.1}, kept=3, dropped=1, skipped=None)
    log = StepLog(tmp_path)
    log.append(written)
    log.close()
    assert list(read_steps(tmp_path)) == [written]


def test_what_a_trainer_does_not_have_is_not_in_the_line(tmp_path):
    log = StepLog(tmp_path)
    log.append(Step(1, loss=1.0))
    log.close()
    assert "kept" not in (tmp_path / STEPS).read_text()


def test_a_resumed_stage_drops_what_came_after_its_checkpoint(tmp_path):
    log = StepLog(tmp_path)
    for number in range(1, 6):
        log.append(step(number))
    log.close()
    resumed = StepLog(tmp_path, after=3)
    resumed.append(step(4, skipped="no group varied"))
    resumed.close()
    assert [s.step for s in read_steps(tmp_path)] == [1, 2, 3, 4]
    assert StageResult.of(resumed.steps, Path("m"), "stopped early") == StageResult(
        model=Path("m"), steps=4, skipped=1, tokens_read=80, tokens_generated=40, tokens_trained=32, seconds=8.0,
        stopped="stopped early",
    )  # fmt: skip


def test_a_new_stage_in_an_old_folder_starts_empty(tmp_path):
    log = StepLog(tmp_path)
    log.append(step(1))
    log.close()
    assert StepLog(tmp_path).steps == []
    assert list(read_steps(tmp_path)) == []


def test_a_line_torn_by_a_kill_is_dropped(tmp_path):
    log = StepLog(tmp_path)
    log.append(step(1))
    log.append(step(2))
    log.close()
    path = tmp_path / STEPS
    path.write_bytes(path.read_bytes()[:-5])
    assert [s.step for s in StepLog(tmp_path, after=2).steps] == [1]


def test_a_line_of_a_newer_version_is_read(tmp_path):
    (tmp_path / STEPS).write_text('{"step": 1, "loss": 0.25, "a_new_figure": 7}\n')
    assert [s.loss for s in read_steps(tmp_path)] == [0.25]


def test_numbers_for_tensorboard_are_flat():
    tasks = {"a/b": TaskMean(0.5, 0.25, 4)}
    scalars = step(3, tasks=tasks, parts={"length": -0.5}, kept=2).scalars()
    assert scalars["tasks/a/b/value"] == 0.5
    assert scalars["tasks/a/b/chance"] == 0.25
    assert scalars["parts/length"] == -0.5
    assert scalars["kept"] == 2.0
    assert scalars["skipped"] == 0.0
    assert "step" not in scalars
