"""Runs of lm-eval's tasks, in a table or not: every command that shows figures reads them."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from lm_eval_fixtures import write_mirror, write_tasks

from redone.harness.cli import main as evaluate
from redone.harness.diagnosis.cli import main as diagnose
from redone.harness.gate.cli import main as gate
from redone.harness.scored_run import ScoredRun, load_baseline, save_baseline
from redone.leaderboards.board import board
from redone.leaderboards.cli import main as leaderboard
from redone.leaderboards.submission import problems, submission_of
from redone.reports.cli import main as report
from redone.tasks.cli import main as tasks_command
from redone.tasks.errors import BadRow, MissingData, UnknownName
from redone.tasks.general import definitions, offline
from redone.tasks.registry import by_name, find, of_run, record_of
from redone.tasks.sources import DataPaths, samples

NAMES = {
    "tabled": "lm_eval:gsm8k",
    "variants": "lm_eval:gsm8k+chat,lm_eval:gsm8k+2shot",
    "own": "lm_eval:own_choice,lm_eval:own_choice+0shot,lm_eval:own_pool,lm_eval:own_generate",
    "parts": "lm_eval:own_apart,lm_eval:own_text",
    "mixed": "lm_eval:own_choice,lm_eval:gsm8k+chat,general_mini/lists",
}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Definitions of our own, and a mirror that has their data and GSM8K's."""
    folder = tmp_path_factory.mktemp("general")
    for name in ("tasks", "mirror"):
        (folder / name).mkdir()
    write_tasks(folder / "tasks")
    write_mirror(folder / "mirror")
    manifest = folder / "mirror" / "mirror.toml"
    gsm8k = (
        '[[dataset]]\nhub = "openai/gsm8k"\n'
        'files = { train = "q/train.jsonl", test = "q/test.jsonl" }\n'
    )
    manifest.write_text(gsm8k + manifest.read_text())
    return folder


@pytest.fixture(scope="module")
def runs(places, tmp_path_factory):
    """Gold predictions and empty ones of a set of tasks, evaluated with the definitions at hand."""
    folder, found = tmp_path_factory.mktemp("runs"), {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("REDONE_LM_EVAL_TASKS", str(places / "tasks"))
        for kind, names in NAMES.items():
            found[kind] = [folder / f"{kind}-{model}" for model in ("gold", "empty")]
            for model, output in zip(("gold", "empty"), found[kind], strict=True):
                command = ["--backend", "scripted", "--model", model, "--tasks", names]
                command += ["--mirror", str(places / "mirror"), "--output", str(output)]
                assert evaluate(command) == 0
    return found


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """A shell that has neither the definitions, nor their data, nor lm-eval."""
    monkeypatch.delenv("REDONE_LM_EVAL_TASKS", raising=False)
    monkeypatch.setenv("REDONE_DATA", str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)

    def unwanted(*_):
        raise AssertionError("a definition was built")

    monkeypatch.setattr("redone.tasks.general.lm_eval_tasks.definition", unwanted)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", NAMES)
def test_every_command_reads_them_without_lm_eval(kind, runs, elsewhere, capsys):
    gold, empty = map(str, runs[kind])
    assert gate([gold, empty]) in (1, 2)
    assert diagnose([empty, "--partition", "all"]) == 0
    assert report([gold, empty, "--output", "page.html"]) == 0
    assert report([empty, gold, "--output", "page.md"]) == 0
    assert leaderboard(["--run", gold, "--output", "board.html"]) == 0
    assert gate([gold, "--save-baseline", kind]) == 0
    assert gate(["--baseline", kind, empty]) in (1, 2)
    page = (elsewhere / "page.html").read_text("utf-8")
    for task in ScoredRun(gold).tasks.values():
        assert task.title in page or task.name in page
    assert "Traceback" not in capsys.readouterr().err


def test_figures_are_those_of_the_definition(runs, places, elsewhere):
    gold, empty = runs["own"]
    for name, task in ScoredRun(empty).tasks.items():
        result = ScoredRun(empty).results["tasks"][name]
        sums = result["scorings"]["corrected"]["sums"]
        for metric in task.scorings["corrected"].metrics:
            expected = result["scorings"]["corrected"]["metrics"][metric.name]
            assert metric.point(np.array(sums)) == pytest.approx(expected)
    assert gate([str(gold), str(gold)]) in (0, 2)


def test_a_submission_checks_by_its_own_record(runs, elsewhere):
    gold, _ = runs["own"]
    submission = submission_of(ScoredRun(gold), baselines=True)
    assert list(problems(submission)) == []
    assert any("own_choice" in c.title for s in board([], [submission]) for c in s.columns)
    bad = submission.definitions["lm_eval:own_choice"] | {"columns": []}
    broken = submission.model_copy(
        update={"definitions": {**submission.definitions, "lm_eval:own_choice": bad}}
    )
    assert any("record of lm_eval:own_choice" in text for text in problems(broken))


def test_targets_weights_and_protected_tasks_may_name_them(runs, elsewhere, capsys):
    gold, empty = map(str, runs["own"])
    command = [empty, "--partition", "all", "--target", "lm_eval:own_choice=60"]
    assert diagnose([*command, "--weight", "lm_eval:own_choice=2"]) == 0
    assert (
        json.loads((runs["own"][1] / "diagnosis.json").read_text())["tasks"]["lm_eval:own_choice"][
            "reference"
        ]["score"]
        == 60
    )
    (elsewhere / "policy.toml").write_text('[protected]\n"lm_eval:own_choice" = 5\n')
    assert gate([gold, empty, "--policy", "policy.toml"]) == 1
    assert "own_choice" in capsys.readouterr().out


def test_scoring_again_needs_the_definition_and_says_so(runs, monkeypatch, capsys):
    monkeypatch.delenv("REDONE_LM_EVAL_TASKS", raising=False)
    gold, _ = runs["own"]
    assert evaluate(["--rescore", str(gold)]) == 64
    told = capsys.readouterr().err
    assert "$REDONE_LM_EVAL_TASKS" in told and "'own_choice'" in told
    assert len(told.strip().splitlines()) == 1


def test_a_record_is_typed_and_only_of_tasks_that_no_table_has(places):
    data = DataPaths(places, (places / "mirror",), places / "tasks")
    assert record_of(by_name("sns_mini/ner")) is None
    assert record_of(by_name("lm_eval:gsm8k+chat")) is None
    record = record_of(by_name("lm_eval:own_choice", data))
    assert record is not None and record["schema_version"] == 1
    assert of_run("lm_eval:own_choice", {"lm_eval:own_choice": record}).version == "1.5"
    for wrong in ({"schema_version": 2}, {"columns": [{"key": "a"}]}, {"title": ""}):
        with pytest.raises(BadRow, match="The record of lm_eval:own_choice"):
            of_run("lm_eval:own_choice", {"lm_eval:own_choice": record | wrong})


# --- chance --------------------------------------------------------------------------------------

OWN = {
    # The same three choices, of which the first two count as right in every second document.
    "several": """
dataset_path: own/choices
output_type: multiple_choice
test_split: test
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{[0, 1] if flag else [gold]}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "written": """
dataset_path: own/choices
output_type: generate_until
test_split: test
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: gold
metric_list: [{metric: exact_match}]
""",
    "references": """
dataset_path: own/choices
output_type: generate_until
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{choices}}"
metric_list: [{metric: exact_match}]
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 77, do_sample: false}
""",
}


@pytest.fixture
def own(tmp_path):
    """Definitions with several right choices, written choices, several references."""
    for name in ("tasks", "mirror"):
        (tmp_path / name).mkdir()
    write_tasks(tmp_path / "tasks")
    write_mirror(tmp_path / "mirror")
    for name, text in OWN.items():
        metadata = "metadata: {version: 1}\n"
        (tmp_path / "tasks" / f"{name}.yaml").write_text(f"task: {name}{text}{metadata}")
    return DataPaths(tmp_path, (tmp_path / "mirror",), tmp_path / "tasks")


@pytest.mark.parametrize(
    ("name", "percent", "value"),
    [
        ("own_choice", 100 / 3, 1 / 3),
        ("own_flag", 50.0, 0.5),
        ("own_half", 100 / 3, 1 / 3),
        ("own_pool", 100 / 3, 1 / 3),
        ("several", 50.0, 0.5),
        ("written", 100 / 3, 1 / 3),
        ("own_generate", None, None),
        ("own_text", None, None),
        ("own_last_word", None, None),
        ("own_translation", None, None),
    ],
)
def test_chance_is_that_of_a_random_choice_or_unknown(own, name, percent, value):
    chance = by_name(f"lm_eval:{name}", own).chance
    assert chance.known == (percent is not None)
    if percent is not None:
        assert chance.metric == pytest.approx(percent, abs=0.01)
        assert chance.value == pytest.approx(value, abs=0.001)


def test_where_chance_is_unknown_there_is_no_skill(runs, elsewhere, capsys):
    _, empty = runs["own"]
    assert diagnose([str(empty), "--partition", "all"]) == 0
    found = json.loads((empty / "diagnosis.json").read_text())
    unknown, known = (found["tasks"][f"lm_eval:own_{n}"] for n in ("generate", "choice"))
    assert unknown["chance"] is None and unknown["skill"]["value"] is None
    assert unknown["gap"] is None and unknown["reference"]["skill"] is None
    assert known["chance"] == pytest.approx(33.33) and known["gap"]["value"] > 0
    notes = [note for task in found["tasks"].values() for note in task["notes"]]
    assert any("chance level is unknown" in note for note in notes)
    assert not any("a service was missing" in note for note in notes)
    results = ScoredRun(empty).results["tasks"]
    assert results["lm_eval:own_generate"]["chance"] == {"metric": None, "value": None}
    assert "unknown" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["several", "written", "references", "own_choice", "own_generate"])
def test_gold_predictions_score_full(own, name, monkeypatch, tmp_path):
    monkeypatch.setenv("REDONE_LM_EVAL_TASKS", str(own.include))
    command = ["--backend", "scripted", "--model", "gold", "--tasks", f"lm_eval:{name}"]
    command += ["--mirror", str(own.mirrors[0]), "--output", str(tmp_path / "run")]
    assert evaluate(command) == 0
    scored = ScoredRun(tmp_path / "run").results["tasks"][f"lm_eval:{name}"]
    assert scored["scorings"]["corrected"]["score"] == pytest.approx(100.0)


def test_gold_of_several_references_is_one_of_them(own):
    task = by_name("lm_eval:references", own)
    assert {task.gold(sample) for sample in samples(task, own.folder)} == {"apple tart"}


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("references", "limit: 77 tokens, stop ['\\n\\n']"),
        ("own_generate", "limit: 12 tokens, stop ['Q:']"),
        ("own_votes", "limit: 8 tokens, stop [], temperature 0.5"),
        ("own_choice", "limit: none: log-likelihoods"),
    ],
)
def test_the_limits_that_are_shown_are_those_of_the_requests(own, name, limit, monkeypatch, capsys):
    monkeypatch.setenv("REDONE_LM_EVAL_TASKS", str(own.include))
    monkeypatch.setenv("REDONE_MIRROR", str(own.mirrors[0]))
    assert tasks_command(["show", f"lm_eval:{name}"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert " ".join(limit.split()) in out.replace("\\\\", "\\")
    assert "256 tokens" not in out


# --- offline -------------------------------------------------------------------------------------


def test_an_unknown_name_is_refused_before_the_index_is_read(monkeypatch):
    monkeypatch.setattr(definitions, "manager", lambda *_: pytest.fail("an index was read"))
    for name in ("no_such_task_at_all", "gsm8kk", "no_such_group/part"):
        with pytest.raises(UnknownName, match="REDONE_LM_EVAL_TASKS"):
            find(None, f"lm_eval:{name}")


def test_no_name_of_lm_evals_counts_as_unknown():
    """Templates without an ending, tags in lists, groups inside groups."""
    for name in ("acp_bench", "ntrex_tasks", "bigbench_multiple_choice_a", "truthfulqa_mc1"):
        definitions._refuse_unknown(name, None, None)


def test_a_hub_out_of_reach_is_not_tried_again(own, monkeypatch):
    import datasets
    from huggingface_hub import constants

    seen = []

    def load(*_, **__):
        seen.append((constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE))
        raise ConnectionError("Cannot reach it (OfflineModeIsEnabled)")

    monkeypatch.setattr(offline, "_hub_answers", lambda: False)
    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(MissingData, match=r"is in no mirror.*does not answer within 2 s"):
        find(None, "lm_eval:own_flag", replace(own, mirrors=()))
    assert seen == [(True, True)] and not constants.HF_HUB_OFFLINE


# --- what is left behind -------------------------------------------------------------------------


def predictions(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["--backend", "scripted", "--model", str(path), "--tasks", "sns_mini/gender"]


def test_a_wrong_predictions_file_leaves_no_run(tmp_path):
    count = len(list(samples(by_name("sns_mini/gender"), tmp_path)))
    rows = [{"task": "sns_mini/gender", "index": n, "prediction": "Yes"} for n in range(count)]
    output = tmp_path / "run"
    for wrong in (
        rows[:5],
        rows[1:],
        [*rows[:-1], {"task": "sns_mini/gender", "index": count - 1}],
    ):
        command = predictions(tmp_path / "p.jsonl", wrong)
        assert evaluate([*command, "--output", str(output)]) != 0
        assert not output.exists()
    command = predictions(tmp_path / "p.jsonl", rows)
    assert evaluate([*command, "--output", str(output)]) == 0
    finished = (output / "results.json").read_bytes()
    command = predictions(tmp_path / "p.jsonl", rows[:-1])
    assert evaluate([*command, "--output", str(output)]) == 3  # and a finished run stays
    assert (output / "results.json").read_bytes() == finished


def test_a_folder_that_was_there_is_kept(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "note.txt").write_text("mine")
    command = predictions(tmp_path / "p.jsonl", [{"id": "0" * 16, "prediction": "Yes"}])
    assert evaluate([*command, "--output", str(tmp_path / "run")]) != 0
    assert {p.name for p in (tmp_path / "run").iterdir()} - {".lock"} == {"note.txt"}


def test_a_baseline_is_not_replaced_unasked(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    gold, empty = runs["tabled"]
    assert gate([str(gold), "--save-baseline", "v1"]) == 0
    assert gate([str(empty), "--save-baseline", "v1"]) == 64
    assert gate([str(gold), str(empty), "--save-baseline", "v1"]) == 64
    assert "--replace" in capsys.readouterr().err
    assert load_baseline("v1").model == ScoredRun(gold).model
    assert gate([str(empty), "--save-baseline", "v1", "--replace"]) == 0
    assert load_baseline("v1").model == ScoredRun(empty).model
    assert save_baseline(ScoredRun(gold), "v2").is_dir()
