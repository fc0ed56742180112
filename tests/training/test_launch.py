"""Stages on several processes: the job as a file, the launch, and what it says when it fails."""

import orjson
import pytest

from redone.harness.gate.policy import load_policy
from redone.tasks.errors import RedoneError, UnknownName
from redone.tasks.sources import DataPaths
from redone.training.corpus.sources import generated_rows, write_corpus
from redone.training.evaluations import write_report
from redone.training.job import JOB, Job, LaunchFailed, config_of, launched, load_job, save_job
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
    alone = train(job_in(tmp_path / "one", beginner), lambda done, total, line: None)
    assert (together.steps, together.tokens_trained) == (alone.steps, alone.tokens_trained)
    two, one = (list(read_steps(tmp_path / name)) for name in ("two", "one"))
    assert [s.loss for s in two] == pytest.approx([s.loss for s in one], rel=1e-4)
    assert (tmp_path / "two/model/model.safetensors").is_file()


def test_a_launch_that_fails_says_why(beginner, tmp_path):
    job = job_in(tmp_path / "stage", beginner)
    (tmp_path / "stage/rows.jsonl").write_bytes(orjson.dumps({"id": "x"}))
    with pytest.raises(LaunchFailed, match=r"launch\.log") as error:
        launched(config_of("multi-cpu"), DataPaths.resolve())(job, lambda done, total, line: None)
    assert "rows.jsonl, row 1, field 'task'" in (tmp_path / "stage/launch.log").read_text()
    assert "accelerate launch ended with code" in str(error.value)


def test_a_report_that_fails_says_why(tmp_path):
    with pytest.raises(RedoneError, match="nowhere"):
        write_report(load_policy(), [tmp_path / "nowhere"], tmp_path / "r.html", chain=True)
