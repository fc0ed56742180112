"""The scripted backend: predictions are post-processed like the answers of any model."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from redone.harness.cli import main
from redone.harness.compare import compare
from redone.harness.diagnosis.diagnose import DiagnosisConfig, diagnose
from redone.harness.display import notes, show_results
from redone.harness.evaluate import Plan, evaluate, rescore, run_info
from redone.harness.gate.decision import decide
from redone.harness.gate.policy import load_policy
from redone.harness.models.scripted import ScriptedModel, load
from redone.harness.scored_run import ScoredRun
from redone.tasks.errors import RedoneError
from redone.tasks.registry import find
from redone.tasks.schema import Completion, Request, Services, Settings
from redone.tasks.sources import samples

INFO = run_info("scripted", [])


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


# --- files of predictions ------------------------------------------------------------------------

GENDER = "sns_mini/gender"


def written(tmp_path, rows, head=""):
    """The path of a file of predictions."""
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "predictions.jsonl"
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text(head + "\n".join(lines), "utf-8")
    return path


def evaluated(tmp_path, path, *more, task=GENDER):
    argv = ["--backend", "scripted", "--model", str(path), "--tasks", task]
    return main([*argv, "--output", str(tmp_path / "run"), *more])


def refusal(tmp_path, rows, capsys, *more):
    """The one line that refuses a file."""
    assert evaluated(tmp_path, written(tmp_path, rows), *more) != 0
    return capsys.readouterr().err.strip().splitlines()[-1]


def by_place(*predictions):
    return [{"task": GENDER, "index": n, "prediction": p} for n, p in enumerate(predictions)]


@pytest.mark.parametrize("form", ["lines", "array"])
def test_a_byte_order_mark_is_skipped(tmp_path, form):
    rows = gold(GENDER)
    path = written(tmp_path, rows if form == "lines" else [json.dumps(rows)], head="\ufeff")
    assert evaluated(tmp_path, path) == 0
    assert score_of(tmp_path / "run")["scorings"]["corrected"]["score"] == 100


def test_two_predictions_for_a_sample_are_refused_with_both_rows(tmp_path, capsys):
    rows = by_place("Yes", "No")
    line = refusal(tmp_path, [*rows, rows[1]], capsys)
    assert "rows 2 and 3" in line and "index 1" in line
    named = gold(GENDER)[1]  # the same sample by its id
    assert "rows 2 and 3" in refusal(tmp_path, [*rows, named], capsys)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"task": GENDER, "index": True, "prediction": "Yes"}, "field 'index'.*not true"),
        ({"task": GENDER, "index": "0", "prediction": "Yes"}, "field 'index'.*not \"0\""),
        ({"task": GENDER, "index": 0.0, "prediction": "Yes"}, "field 'index'.*not 0.0"),
        ({"task": GENDER, "index": -1, "prediction": "Yes"}, "no row -1"),
        ({"task": GENDER, "index": 0, "split": 1, "prediction": "Yes"}, "field 'split'"),
        ({"id": True, "prediction": "Yes"}, "field 'id'.*not true"),
        ({"task": GENDER, "index": 1, "prediction": 1}, "field 'prediction'.*not 1"),
        ({"task": GENDER, "index": 1, "prediction": [1.0, 2.0]}, "field 'prediction'"),
        ({"task": GENDER, "index": 1}, "field 'prediction'.*not null"),
        ("[1]", "row 2: an object"),
    ],
)
def test_a_bad_row_is_refused_with_its_field(tmp_path, capsys, row, expected):
    line = refusal(tmp_path, [*by_place("Yes"), row], capsys)
    assert "row 2" in line
    assert re.search(expected, line)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, None),
        ({"task": GENDER}, None),
        ({"task": GENDER, "index": 1}, None),
        ({"task": GENDER, "index": None}, None),
        ({"task": GENDER, "index": 2}, "index 1; the row also says .*index 2"),
        ({"index": 2}, "index 1; the row also says index 2"),
        ({"index": True}, "the row also says index true"),
        ({"task": "sns_mini/ner", "index": 1}, "gender, index 1; .*sns_mini/ner"),
        ({"task": GENDER, "index": 1, "split": "nowhere"}, 'split "nowhere"'),
        ({"split": ["test"]}, "the row also says split"),
        ({"id": "0" * 16, "task": GENDER, "index": 1}, "no sample of sns_mini/gender"),
        ({"id": "0" * 16, "task": "sns_mini/ner", "index": 1}, None),
        ({"id": "0" * 16, "task": GENDER, "index": [1]}, None),
    ],
)
def test_an_id_and_a_place_must_mean_one_sample(tmp_path, capsys, more, expected):
    rows = gold(GENDER)
    rows[1] |= more
    if "id" in more:
        rows.append(gold(GENDER)[1])
    if expected:
        line = refusal(tmp_path, rows, capsys)
        assert "row 2" in line and re.search(expected, line)
    else:
        assert evaluated(tmp_path, written(tmp_path, rows)) == 0


@pytest.mark.parametrize("content", ["", "\n", "[]", " [ ]"])
def test_a_file_without_predictions_is_named(tmp_path, capsys, content):
    for more in ((), ("--only-predicted",)):
        line = refusal(tmp_path, [content], capsys, *more)
        assert "predictions.jsonl holds no predictions" in line


@pytest.mark.parametrize("form", ["lines", "array"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_another_encoding_is_named(tmp_path, capsys, encoding, form):
    rows = [json.dumps(row, ensure_ascii=False) for row in by_place("Yes", "Ja, schön")]
    text = "\n".join(rows) if form == "lines" else f"[{', '.join(rows)}]"
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(text.encode(encoding))
    assert evaluated(tmp_path, path) == 65
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "the file is not UTF-8" in line and "not valid JSON" not in line


@pytest.mark.parametrize("row", ["id,prediction", '"task","index","prediction"', "a\tb", "0,Yes"])
def test_a_file_of_another_format_gets_an_example(tmp_path, capsys, row):
    line = refusal(tmp_path, [row], capsys)
    assert "row 1" in line and "JSON or JSON lines" in line and '"prediction": "Paris"' in line


def test_a_wrong_task_names_those_of_the_run(tmp_path, capsys):
    row = {"task": "gender_task", "index": 0, "prediction": "Yes"}
    line = refusal(tmp_path, [*by_place("Yes"), row], capsys)
    assert "row 2" in line and line.endswith(f"Known: {GENDER}.")


def test_half_a_character_in_a_file_is_replaced(tmp_path):
    (first, *rest) = gold(GENDER)
    raw = json.dumps({**first, "prediction": "x"}).replace('"x"', '"\\ud83d Yes \\ud83d\\ude00"')
    assert evaluated(tmp_path, written(tmp_path, [raw, *rest])) == 0
    answers = [json.loads(x) for x in (tmp_path / "run" / "responses.jsonl").open()]
    assert "\ufffd Yes 😀" in {a["text"] for a in answers}


def test_only_the_predicted_samples_are_scored(tmp_path, capsys):
    rows = gold(GENDER)[:5]
    assert "--only-predicted" in refusal(tmp_path / "a", rows, capsys)
    assert evaluated(tmp_path / "b", written(tmp_path / "b", rows), "--only-predicted") == 0
    shown = capsys.readouterr().out
    assert "5/16" in shown and "31.2 %" in " ".join(shown.split())
    task = score_of(tmp_path / "b" / "run")
    assert (task["samples"], task["of"], task["missing"]) == (5, 16, 0)
    assert task["scorings"]["corrected"]["score"] == 100
    assert main(["--rescore", str(tmp_path / "b" / "run")]) == 0
    assert score_of(tmp_path / "b" / "run") == task


def test_a_task_without_any_prediction_is_named(tmp_path, capsys):
    line = refusal(
        tmp_path, gold(GENDER), capsys, "--only-predicted", "--tasks", f"{GENDER},sns_mini/ner"
    )
    assert "sns_mini/ner" in line


def test_only_a_file_holds_some_predictions_only(tmp_path, capsys):
    assert evaluated(tmp_path, "gold", "--only-predicted") == 0  # gold has all
    assert score_of(tmp_path / "run")["of"] == 16


def test_partial_runs_are_paired_on_the_shared_samples(tmp_path):
    whole = gold(GENDER)
    for name, rows, more in (("a", whole, ()), ("b", whole[4:9], ("--only-predicted",))):
        assert evaluated(tmp_path / name, written(tmp_path / name, rows), *more) == 0
    found = compare(ScoredRun(tmp_path / "a" / "run"), ScoredRun(tmp_path / "b" / "run"))
    assert [d.samples for d in found.differences if d.level == "task"] == [5]
    assert any("5 samples are in both runs, of 16 and 5" in note for note in found.notes)


# --- hostile text, and a scorer that fails -------------------------------------------------------

HOSTILE = [
    "\ud83d",
    '["caf\\u00e9 \\ud83d"]',
    '<Result>[{"Option": "A\\ud83d", "Reason": "\\udc00"}]</Result>',
    '{"age": 0x' + "f" * 5_000 + "}",
    "[" + "9" * 5_000 + "]",
    "9" * 1_000_000,
    "[" * 100_000,
    '{"a":' * 5_000,
    "[NaN, Infinity, -Infinity, 1e999]",
    "\x00\x01\x02",
    "['\x00']",
    "\\boxed{" * 5_000,
    "<answer>" * 2_000,
    "<|im_start|>" * 1_000,
    "1. a 2. b " * 1_000,
    "based on this " * 1_000,
    "−" * 10_000 + "1",
    "\\ud83d" * 1_000,
]


@pytest.mark.parametrize(
    "task", ["sns_mini/ner", "sns_mini/mrc_simple", "sns_mini/mrc_complex", "sns_mini/chlw",
             "sns_mini/taxonomy_multiple", "sns_mini/query_gen", "sns_mini/en_zh"]
)  # fmt: skip
def test_no_answer_stops_a_run(tmp_path, task):
    (found,) = find(tasks=task)
    ids = [sample.id for sample in samples(found, Path())]
    table = {id_: HOSTILE[n % len(HOSTILE)] for n, id_ in enumerate(ids)}
    plan = Plan([found], Path())
    results = evaluate(tmp_path / "run", plan, ScriptedModel(table), Services(), INFO)
    assert "scorer" not in results["tasks"][task]["scorings"]["corrected"]["failures"]
    assert rescore(tmp_path / "run", Services())["tasks"] == results["tasks"]


def failing(task, text):
    """The task with scorers that raise on a text."""

    def fails(scoring):
        def score(sample, completions, services):
            if completions[0].text == text:
                raise KeyError("half \ud83d")
            return scoring.score(sample, completions, services)

        return replace(scoring, score=score)

    scorings = {role: fails(scoring) for role, scoring in task.scorings.items()}
    return replace(task, scorings=scorings)


def test_a_scorer_that_raises_is_recorded_for_its_sample(tmp_path, capsys):
    (task,) = find(tasks=GENDER)
    texts = {row["id"]: row["prediction"] for row in gold(GENDER)}
    bad = next(s.id for s in samples(task, Path()) if s.partition == "diagnose")
    texts[bad] = "bad"
    plan = Plan([failing(task, "bad")], Path())
    results = evaluate(tmp_path / "run", plan, ScriptedModel(texts), Services(), INFO, resamples=50)
    scored = results["tasks"][GENDER]["scorings"]["corrected"]
    assert scored["failures"] == {"scorer": 1}
    assert (scored["not_scored"], scored["score"]) == (1, 100)
    assert scored["errors"][0].startswith(f"{bad}: KeyError")
    assert any("scorer failed on 1 answers" in note for note in notes(results))
    show_results(results, tmp_path / "run")
    assert "scorer 1" in capsys.readouterr().out
    # Nothing is lost, and everything that reads a run copes.
    run = ScoredRun(tmp_path / "run")
    rows = run.table("corrected", ["sample", "failure", "scored", "parsed"]).to_pylist()
    (row,) = [row for row in rows if row["failure"] == "scorer"]
    assert row["sample"] == bad and not row["scored"] and "KeyError" in row["parsed"]
    assert decide(compare(run, run, resamples=100), load_policy()).outcome
    assert diagnose(run, DiagnosisConfig()).tasks[GENDER].not_scored == 1
    # The task's own scorer scores the answer.
    again = rescore(tmp_path / "run", Services())["tasks"][GENDER]["scorings"]["corrected"]
    assert (again["not_scored"], again["failures"]) == (0, {"format": 1})


def test_an_error_with_a_way_out_stops_the_run(tmp_path):
    (task,) = find(tasks=GENDER)

    def score(*_):
        raise RedoneError("Install it.")

    broken = replace(task, scorings={r: replace(s, score=score) for r, s in task.scorings.items()})
    model = ScriptedModel(lambda _: "Yes")
    with pytest.raises(RedoneError, match="Install it"):
        evaluate(tmp_path / "run", Plan([broken], Path()), model, Services(), INFO)
