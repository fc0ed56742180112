"""How the ablation is run, kept and read: what is trained, in which order, and what is left of it."""

import argparse
import json
import shutil
import tomllib
from pathlib import Path

import pytest
import table3
from table3 import Table
from table3_read import chosen, counted, read

from redone.harness.cli import parser
from redone.harness.scored_run import ScoredRun
from redone.tasks.errors import RedoneError

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SUITE = "general-mini-report"


def test_the_plan_asks_beside_what_redone_eval_knows():
    plan = tomllib.loads((BENCHMARKS / "table3.toml").read_text("utf-8"))
    recipes = {row["recipe"] for row in plan["rows"]}
    for asked in plan["beside"]:
        words = [word for name, value in asked["ask"].items() for word in (f"--{name}", str(value))]
        assert parser().parse_args(["--model", "M", *words])
        assert recipes.issuperset(asked["recipes"])


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The table as planned; nothing is trained or measured, only its order is kept."""

    def make(only=None):
        table = Table(
            argparse.Namespace(
                model="M", data_dir=None, output=tmp_path, only=only, jobs=1, name="table3"
            )
        )
        table.order = []
        monkeypatch.setattr(table, "train", lambda *pair: table.order.append(pair))
        monkeypatch.setattr(table, "measure", lambda asked, *who: table.order.append(who[0]))
        monkeypatch.setattr(table, "write", lambda: None)
        return table

    return make


def test_the_base_is_measured_first_and_the_others_after_their_training(table):
    whole = table()
    whole.fill()
    questions = len(whole.plan["beside"])
    assert whole.order[:questions] == [None] * questions
    assert whole.order[questions : -2 * questions] == whole.pipelines()
    assert whole.order[-2 * questions :] == ["sft-only", "redone2-laptop"] * questions


def test_one_pipeline_can_be_asked_for_and_the_table_keeps_the_others(table):
    one = table(only=["sft-only:1"])
    one.fill()
    assert one.order == [("sft-only", 1)]
    assert len(one.pipelines()) == 11


@pytest.fixture
def trained(tmp_path, scripted_run):
    """What two finished pipelines leave in `--output`, as far as the table reads it."""

    def make(name, answers):
        folder = tmp_path / "output" / name
        shutil.copytree(scripted_run("whole", suite=SUITE), folder / "runs/base-report")
        shutil.copytree(
            scripted_run(name, lambda task, sample: answers, suite=SUITE),
            folder / "runs/sft-report",
        )
        tokens = ("skipped", "tokens_read", "tokens_generated", "tokens_trained")
        facts = dict.fromkeys(tokens, 1) | {"steps": 3, "tokens_of_choosing": 0, "seconds": 1.0}
        steps = {
            "sft/train": {"facts": facts | {"stopped": ""}, "seconds": 2.0},
            "sft/gate": {"facts": {"outcome": "pass"}, "seconds": 1.0},
            "final/report": {"facts": {}, "seconds": 1.0, "state": "finished"},
        }
        (folder / "manifest.json").write_text(json.dumps({"steps": steps}))
        row = {"level": "suite", "name": "tweeteval", "difference": 1.0, "low": 0.5, "high": 1.5}
        rows = [row | {"role": "domain"}, row | {"role": None, "level": "task"}]
        gate = folder / "gates/sft/gate.json"
        gate.parent.mkdir(parents=True)
        gate.write_text(json.dumps({"base": {"name": "base"}, "alpha": 0.05, "rows": rows}))
        return folder

    return [make("sft-only-0", "I cannot tell."), make("sft-only-1", "None")]


def test_the_figures_can_be_computed_from_what_is_kept(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(table3, "HERE", tmp_path)
    monkeypatch.setattr(Table, "report", lambda *_: None)

    def record(output):
        options = {"model": "M", "data_dir": None, "only": None, "jobs": 1, "name": "table3"}
        table = Table(argparse.Namespace(output=output, **options))
        table.write()
        return json.loads((tmp_path / "results/table3.json").read_text())

    (tmp_path / "results").mkdir()
    first = record(tmp_path / "output")
    assert first["rows"]["sft-only"]["seeds"] == 2
    assert [row["name"] for row in first["costs"]["sft-only-0"]["decided"]["sft"]] == ["tweeteval"]
    kept = tmp_path / "results/table3"
    assert sorted(path.name for path in kept.iterdir()) == ["base", "sft-only-0", "sft-only-1"]
    assert record(kept) == first  # without the folders of the trainings

    lost, copied = trained[0], tmp_path / "output/sft-only-0"
    shutil.rmtree(lost)
    shutil.copytree(kept / "sft-only-0", copied)
    assert record(tmp_path / "output") == first  # one training and one that is only kept

    shutil.rmtree(copied)
    assert record(tmp_path / "output")["rows"]["sft-only"]["seeds"] == 1
    assert not (kept / "sft-only-0").exists()  # so the folder is what the figures are of


def test_what_is_kept_spares_a_training_but_has_no_model_to_measure(table, monkeypatch):
    whole = table()
    monkeypatch.undo()
    monkeypatch.setattr(whole, "_run", lambda *_: pytest.fail("nothing was to be run"))
    kept = whole.output("sft-only", 0)
    kept.mkdir()
    (kept / "baseline.json").touch()
    whole.train("sft-only", 0)
    with pytest.raises(RedoneError, match="its model is gone"):
        whole.measure(whole.plan["beside"][0], "sft-only", 0)


def test_a_pipeline_that_is_not_planned_is_named(table):
    with pytest.raises(RedoneError, match="sft-only:9: the plan has no such pipeline"):
        table(only=["sft-only:9"]).fill()


def test_a_training_that_broke_is_not_taken_for_a_regression(monkeypatch, table):
    broken = table()
    monkeypatch.undo()
    monkeypatch.setattr(broken, "_run", lambda *_: None)  # Python ends with 1 after an error
    with pytest.raises(RedoneError, match="sft-only:0 ended before its report"):
        broken.train("sft-only", 0)


def test_the_plan_names_rows_and_columns_that_it_has():
    plan = tomllib.loads((BENCHMARKS / "table3.toml").read_text("utf-8"))
    rows = {row["recipe"]: row["seeds"] for row in plan["rows"]}
    columns = {column["title"] for column in plan["columns"]}
    for claim in plan["claims"]:
        assert len(rows[claim["row"]]) >= 3
        assert claim["beside"] == "base" or len(rows[claim["beside"]]) >= 3
        assert claim["column"] in columns
        assert ("above" in claim) != ("below" in claim)


def test_outputs_to_read_are_the_same_items_of_every_run(scripted_run):
    gold = ScoredRun(scripted_run("gold"))
    wrong = ScoredRun(scripted_run("wrong", lambda task, sample: "\x1b[2J I cannot tell."))
    ids = chosen(gold, 28, seed=0)
    assert ids == chosen(wrong, 28, seed=0) != chosen(gold, 28, seed=1)
    found = list(read(wrong, ids))
    assert [one["answer"] for one in found] == ["\x1b[2J I cannot tell."] * 28
    assert {one["task"] for one in found} == set(gold.tasks)  # 14 tasks, two items of each
    assert all(one["failure"] == "" and one["value"] == 1 for one in read(gold, ids))


def test_counts_are_of_all_answers(scripted_run):
    run = scripted_run(
        "brief", lambda task, sample: "" if sample.index % 2 else "one two", suite=SUITE
    )
    found = counted(ScoredRun(run))
    assert found["empty"] > 0
    assert 0 < found["words a general answer"] < 2
    assert found["answered with a number of the question"] == 0 < found["word problems"]
