"""Code tasks of lm-eval's: their own scoring, our sandbox; programs run nowhere else."""

import json
import math
from contextlib import closing
from dataclasses import replace

import pytest

from redone.tasks.errors import RedoneError
from redone.tasks.general.offline import CodeEval, programs_run_in
from redone.tasks.registry import by_name
from redone.tasks.schema import Completion, Outcome, Services
from redone.tasks.sources import DataPaths, samples

HUMANEVAL = {
    "task_id": "own/0",
    "prompt": 'def double(n):\n    """Twice n."""\n',
    "canonical_solution": "    return 2 * n\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "entry_point": "double",
}
MBPP = {
    "text": "Write a function to double a number.",
    "code": "def double(n):\n    return 2 * n",
    "task_id": 1,
    "test_setup_code": "",
    "test_list": ["assert double(1) == 2", "assert double(2) == 4", "assert double(0) == 0"],
    "challenge_test_list": [],
}


class Box:
    """A sandbox that runs nothing: it knows the programs that pass."""

    identity = "box"

    def __init__(self, *passing):
        self.passing, self.asked = passing, []

    def run(self, program, tests, *, seconds=10.0):
        self.asked.append((program, tests, seconds))
        passed = any(good in program for good in self.passing)
        return Outcome(None if passed else "failed")


@pytest.fixture
def data(tmp_path):
    """A mirror with one problem of each kind."""
    for name, row in (("humaneval", HUMANEVAL), ("mbpp", MBPP)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "mirror.toml").write_text(
        '[[dataset]]\nhub = "openai/openai_humaneval"\nfiles = { test = "humaneval.jsonl" }\n'
        '[[dataset]]\nhub = "google-research-datasets/mbpp"\nconfig = "full"\n'
        'files = { test = "mbpp.jsonl" }\n'
    )
    return DataPaths(tmp_path, (tmp_path,))


@pytest.mark.parametrize(
    ("name", "answer", "program", "tests"),
    [
        (
            "lm_eval:humaneval",
            "    return 2 * n\n",
            HUMANEVAL["prompt"] + "    return 2 * n\n",
            HUMANEVAL["test"] + "\ncheck(double)",
        ),
        ("lm_eval:mbpp", MBPP["code"], MBPP["code"], "\n".join(MBPP["test_list"])),
    ],
)
def test_program_and_tests_go_to_the_sandbox(data, name, answer, program, tests):
    task = by_name(name, data)
    (sample,) = samples(task, data.folder)
    scoring = task.scorings["corrected"]
    box = Box("return 2 * n")
    right = scoring.score(sample, [Completion(answer)], Services(sandbox=box))
    assert box.asked == [(program, tests, 3.0)]
    assert (right.value, right.failure, right.stats) == (1.0, None, (1.0, 1.0))
    wrong = scoring.score(sample, [Completion("    return n\n")], Services(sandbox=box))
    assert (wrong.value, wrong.failure, wrong.stats) == (0.0, "wrong", (0.0, 1.0))


def test_the_real_sandbox_tells_right_from_wrong(data):
    from redone.harness.sandbox.service import ForkSandbox

    (sample,) = samples(task := by_name("lm_eval:humaneval", data), data.folder)
    score = task.scorings["corrected"].score
    with closing(ForkSandbox(workers=1)) as sandbox:
        box = Services(sandbox=sandbox)
        values = {
            answer: score(sample, [Completion(answer)], box).value
            for answer in ("    return 2 * n\n", "    return n\n", "    raise SystemExit(0)\n")
        }
    assert list(values.values()) == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["lm_eval:humaneval", "lm_eval:mbpp"])
def test_the_gold_answer_is_the_reference_program(data, name):
    task = by_name(name, data)
    (sample,) = samples(task, data.folder)
    box = Services(sandbox=Box("return 2 * n"))
    assert task.scorings["corrected"].score(sample, [Completion(task.gold(sample))], box).value == 1


def test_a_sandbox_that_fails_stops_the_run(data):
    class Broken(Box):
        def run(self, program, tests, *, seconds=10.0):
            raise RedoneError("The sandbox is gone.")

    (sample,) = samples(task := by_name("lm_eval:humaneval", data), data.folder)
    with pytest.raises(RedoneError, match="is gone"):
        task.scorings["corrected"].score(
            sample, [Completion("    return n\n")], Services(sandbox=Broken())
        )


def test_without_a_sandbox_nothing_is_scored(data):
    task = by_name("lm_eval:humaneval", data)
    (sample,) = samples(task, data.folder)
    score = task.scorings["corrected"].score(sample, [Completion("x")], Services())
    assert not score.scored and math.isnan(score.value)
    assert task.needs() == ("sandbox",)


def test_a_task_that_runs_code_by_itself_is_refused(data):
    folder = data.folder / "tasks"
    folder.mkdir()
    (folder / "own.yaml").write_text(
        "task: own_unsafe\ndataset_path: openai/openai_humaneval\ntest_split: test\n"
        'unsafe_code: true\ndoc_to_text: "{{prompt}}"\ndoc_to_target: "{{test}}"\n'
    )
    with pytest.raises(RedoneError, match="inside lm-eval's own process"):
        by_name("lm_eval:own_unsafe", replace(data, include=folder))


def test_pass_at_k_is_the_unbiased_estimate():
    """Chen et al. 2021: 1 - C(n-c, k) / C(n, k), and the mean over problems."""
    box = Box("good")
    with programs_run_in(box):
        figures, _ = CodeEval().compute(
            references=["t", "t"],
            predictions=[["good", "bad", "bad", "bad"], ["bad"] * 4],
            k=[1, 2, 10],
        )
    assert figures == {"pass@1": pytest.approx(0.125), "pass@2": pytest.approx(0.25)}
    assert CodeEval().compute(["t"], [["good"]], k=[1])[0] == {"pass@1": 0.0}, "nothing is run"
