"""Stages on several processes: the job as a file, the launch, and what it says when it fails."""

from pathlib import Path

import orjson
import pytest

from redone.harness.gate.policy import load_policy
from redone.tasks.errors import RedoneError, UnknownName
from redone.tasks.sources import DataPaths
from redone.training.corpus.sources import generated_rows, write_corpus
from redone.training.evaluations import write_report
from redone.training.job import (
    JOB,
    Job,
    Launch,
    LaunchFailed,
    check_devices,
    config_of,
    launched,
    load_job,
    main,
    save_job,
)
from redone.training.settings import SftSettings
from redone.training.trainers.steps import read_steps


def job_in(folder, model):
    folder.mkdir()
    write_corpus(list(generated_rows("bullets", 0, 12)), folder / "rows.jsonl")
    settings = SftSettings(
        steps=2, batch=4, micro_batch=2, max_tokens=1024, dtype="float32", save_every=1
    )
    return Job(
        stage="sft",
        kind="sft",
        sft=settings,
        model=model,
        rows=folder / "rows.jsonl",
        output=folder,
    )


def test_a_job_survives_its_file(tmp_path):
    job = job_in(tmp_path / "stage", tmp_path)
    save_job(job, tmp_path / JOB)
    assert load_job(tmp_path / JOB) == job


def test_shipped_configurations():
    for name in ("fsdp", "multi-cpu", "zero3"):
        assert config_of(name).name == f"{name}.yaml"
    with pytest.raises(UnknownName, match="Did you mean 'zero3'"):
        config_of("zero-3")


def test_two_processes_train_a_stage_as_one_does(beginner, tmp_path):
    from redone.training.job import train

    together = launched(config_of("multi-cpu"), DataPaths.resolve())(
        job_in(tmp_path / "two", beginner), lambda done, total, line: None
    )
    told = (tmp_path / "two/launch.log").read_text()
    assert all(f"sft: process {rank} of 2" in told for rank in (1, 2))
    alone = train(job_in(tmp_path / "one", beginner), lambda done, total, line: None)
    assert (together.steps, together.tokens_trained) == (alone.steps, alone.tokens_trained)
    two, one = (list(read_steps(tmp_path / name)) for name in ("two", "one"))
    assert [s.loss for s in two] == pytest.approx([s.loss for s in one], rel=1e-4)
    assert [s.learning_rate for s in two] == [s.learning_rate for s in one]
    assert (tmp_path / "two/model/model.safetensors").is_file()


def test_a_launch_of_another_size_than_its_configuration_is_refused(beginner, tmp_path):
    """accelerate starts one process for a kind that it does not distribute."""
    config = tmp_path / "three.yaml"
    config.write_text("distributed_type: 'NO'\nnum_processes: 3\nnum_machines: 1\n")
    with pytest.raises(LaunchFailed, match="1 processes were started, .* num_processes 3"):
        launched(config, DataPaths.resolve())(
            job_in(tmp_path / "stage", beginner), lambda done, total, line: None
        )


@pytest.mark.parametrize("text", ["", "- a", "distributed_type: FSDP\nnum_processes: many", "{"])
def test_a_file_that_is_no_configuration(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(RedoneError, match="x.yaml is no configuration of accelerate"):
        Launch.of(tmp_path / "x.yaml")


def test_processes_of_machines_that_train_together():
    launch = Launch(
        Path("x.yaml"), "MULTI_CPU", 6, 2,
        {"machine_rank": 1, "main_process_ip": "10.0.0.1", "main_process_port": 29500},
    )  # fmt: skip
    assert launch.here == 3
    assert "--nnodes=2 --node_rank=1 --master_addr=10.0.0.1" in " ".join(launch.command())


def test_a_stage_that_an_earlier_start_still_trains_is_refused(beginner, tmp_path, capsys):
    from filelock import FileLock

    job = job_in(tmp_path / "stage", beginner)
    save_job(job, tmp_path / "stage" / JOB)
    with FileLock(tmp_path / "stage" / ".training.lock"):
        assert main([str(tmp_path / "stage" / JOB)]) != 0
    assert "Processes of an earlier start still train in" in capsys.readouterr().err
    assert not list(read_steps(tmp_path / "stage"))


# --- devices --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpus", "config", "told"),
    [
        (1, None, None),
        (0, None, None),
        (2, None, "2 GPUs are visible.* --accelerate fsdp .* CUDA_VISIBLE_DEVICES=0"),
        (8, None, "8 GPUs are visible"),
        (8, "fsdp", None),
        (2, "fsdp", r"fsdp.yaml starts 8 processes .* 2 GPUs are visible: .* num_processes"),
        (0, "fsdp", "0 GPUs are visible"),
        (8, "zero3", "needs DeepSpeed, which is not installed: pip install deepspeed"),
        (4, "multi-cpu", None),
    ],
)
def test_devices_that_do_not_fit_are_told(monkeypatch, gpus, config, told):
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    config = config and config_of(config)
    if told is None:
        check_devices(config)
    else:
        with pytest.raises(RedoneError, match=told):
            check_devices(config)


def test_several_gpus_are_told_in_one_line_before_anything_is_evaluated(
    beginner, tmp_path, monkeypatch, capsys
):
    from redone.training.cli import main

    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr("redone.training.pipeline.Pipeline.run", lambda self: pytest.fail("ran"))
    words = ["--recipe", "sft-only", "--model", str(beginner), "--output", str(tmp_path / "out")]
    assert main(words) == 64
    assert main([*words, "--dry-run"]) == 64
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert all(line.startswith("redone train: 4 GPUs are visible") for line in told)
    assert not (tmp_path / "out").exists()


def test_a_launch_that_fails_says_why(beginner, tmp_path):
    job = job_in(tmp_path / "stage", beginner)
    (tmp_path / "stage/rows.jsonl").write_bytes(orjson.dumps({"id": "x"}))
    with pytest.raises(LaunchFailed, match=r"launch\.log") as error:
        launched(config_of("multi-cpu"), DataPaths.resolve())(job, lambda done, total, line: None)
    assert "rows.jsonl, row 1, field 'task'" in (tmp_path / "stage/launch.log").read_text()
    assert "multi-cpu.yaml ended with code" in str(error.value)


def test_a_report_that_fails_says_why(tmp_path):
    with pytest.raises(RedoneError, match="nowhere"):
        write_report(load_policy(), [tmp_path / "nowhere"], tmp_path / "r.html", chain=True)
