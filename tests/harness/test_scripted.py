"""The scripted backend: predictions are post-processed like the answers of any model."""

import json
from pathlib import Path

import pytest

from redone.harness.cli import main
from redone.harness.models.scripted import ScriptedModel, load
from redone.tasks.registry import find
from redone.tasks.schema import Completion, Request, Settings
from redone.tasks.sources import samples


def scored(tmp_path, predictions, task, *more):
    """The primary score and the responses of a run on a predictions file."""
    file, output = tmp_path / "predictions.jsonl", tmp_path / "run"
    tmp_path.mkdir(exist_ok=True)
    file.write_text("\n".join(map(json.dumps, predictions)), "utf-8")
    argv = ["--backend", "scripted", "--model", str(file), "--tasks", task, *more]
    assert main([*argv, "--output", str(output)]) == 0
    return score_of(output), [json.loads(x) for x in (output / "responses.jsonl").open()]


def score_of(run):
    (task,) = json.loads((run / "results.json").read_text("utf-8"))["tasks"].values()
    return task


def gold(task, change=lambda text: text):
    """Predictions with the gold answers, changed."""
    (found,) = find(tasks=task)
    answers = load("gold", [found], Path())
    requests = [Request(s.id, "", Settings()) for s in samples(found, Path())]
    return [
        {"id": request.sample, "prediction": change(completion.text)}
        for request, completion in answers.run(requests)
    ]


def test_thinking_is_taken_off_predictions(tmp_path):
    plain, _ = scored(tmp_path / "a", gold("sns_mini/gender"), "sns_mini/gender")
    thought = gold("sns_mini/gender", lambda text: f"<think>Male? Female?</think>\n\n{text}")
    full, answers = scored(tmp_path / "b", thought, "sns_mini/gender")
    assert full["scorings"] == plain["scorings"]
    assert {a["thinking"] for a in answers} == {"Male? Female?"}


def test_thinking_that_never_ends_is_a_truncated_answer(tmp_path):
    open_end = gold("sns_mini/gender", lambda text: f"<think>{text}")
    _, answers = scored(tmp_path, open_end, "sns_mini/gender")
    assert {(a["text"], a["finish"]) for a in answers} == {("", "length")}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("one\ntwo", Completion("one")),
        ("caf\u00e9 \ud83d", Completion("caf\u00e9 \ufffd")),
        ("<think>\ud83d</think>yes", Completion("yes", thinking="\ufffd")),
        (Completion("one\ntwo", "length"), Completion("one\ntwo", "length")),
    ],
)
def test_a_text_is_post_processed_and_a_completion_taken_as_it_is(answer, expected):
    request = Request("s", "prompt", Settings(stop=("\n",)))
    ((_, completion),) = ScriptedModel(lambda _: answer).run([request])
    assert completion == expected


def test_the_identity_of_a_table_is_that_of_its_texts():
    one, two = (
        ScriptedModel({"a": "x", "b": ["y", "z"]}),
        ScriptedModel({"b": ["y", "z"], "a": "x"}),
    )
    assert one.identity() == two.identity() != ScriptedModel({"a": "x"}).identity()
