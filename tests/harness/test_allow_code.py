"""`--allow-code`: without it nothing that a model wrote is run, and its tasks are not scored."""

import dataclasses
import json

import pytest

from redone.harness.cli import main
from redone.tasks import registry
from redone.tasks.metrics.classification import ACCURACY
from redone.tasks.schema import Score, Scoring

NAME = "sns_mini/gender"
RIGHT, WRONG = "def f():\n    return 1", "import os; os._exit(0)"


def score(sample, completions, services):
    outcome = services.sandbox.run(completions[-1].text, "assert f() == 1", seconds=5)
    passed = float(outcome.passed)
    return Score(passed, (passed, 1.0), outcome.reason, outcome.failure)


@pytest.fixture(autouse=True)
def code_task(tmp_path, monkeypatch):
    """A task of the registry whose scoring runs programs."""
    monkeypatch.chdir(tmp_path)
    metric = dataclasses.replace(ACCURACY, name="pass@1")
    scorings = {
        role: Scoring(role, ("passed", "count"), score, (metric,), needs=("sandbox",))
        for role in ("official", "corrected")
    }
    task = dataclasses.replace(registry.by_name(NAME), scorings=scorings)
    monkeypatch.setattr(registry, "TASKS", {**registry.TASKS, NAME: task})
    rows = [{"task": NAME, "index": n, "prediction": RIGHT if n < 12 else WRONG} for n in range(16)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))


RUN = ("--backend", "scripted", "--model", "p.jsonl", "--tasks", NAME, "--output", "run")


def result(capsys, *argv):
    assert main([*argv, "--json"]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out)["tasks"][NAME]["scorings"]["corrected"], captured.err


def test_without_the_flag_the_task_is_not_scored_and_says_so(capsys):
    scoring, _ = result(capsys, *RUN)
    assert scoring["score"] is None
    assert scoring["mean_value"] is None
    assert scoring["not_scored"] == 16
    assert scoring["failures"] == {}
    assert "sandbox:none" in scoring["signature"]
    assert main(["--rescore", "run"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "not scored" in shown
    assert "--allow-code" in shown


def test_with_the_flag_programs_are_run_and_the_isolation_is_reported(capsys):
    scoring, said = result(capsys, *RUN, "--allow-code")
    assert scoring["score"] == 75
    assert scoring["failures"] == {"wrong": 4}
    assert "Sandbox: " in said
    assert "|sandbox:fork-1-py3" in scoring["signature"]


def test_a_run_without_it_can_be_scored_later(capsys):
    result(capsys, *RUN)
    scoring, _ = result(capsys, "--rescore", "run", "--allow-code")
    assert scoring["score"] == 75
