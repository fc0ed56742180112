"""The page that the ablation ends in: its intervals, its claims, and that it can be read half done."""

import argparse
import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import table3
from table3 import Table
from table3_figures import estimate, figures, with_errors
from table3_page import markdown
from table3_pooled import pooled
from table3_read import chosen, counted, read

from redone.harness.cli import main
from redone.harness.options import parser
from redone.harness.scored import ScoredRun
from redone.tasks.errors import RedoneError
from redone.tasks.registry import by_name
from redone.tasks.sources import samples

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

SUITE = "general-mini-report"
COLUMNS = ("Domain", "Robustness", "By part")
PLAN = {
    "title": "Does it hold?",
    "rows": [
        {"title": "Some", "recipe": "some", "seeds": [0, 1, 2]},
        {"title": "One", "recipe": "one", "seeds": [0]},
        {"title": "Absent", "recipe": "absent", "seeds": [0]},
    ],
    "columns": [
        {"title": "Domain", "tasks": ["*/facts", "*/lists"]},
        {"title": "Robustness", "tasks": ["*/stories"]},
        {"title": "By part", "tasks": ["*/wording"], "metric": "instruction_accuracy"},
        {"title": "Elsewhere", "tasks": ["tweeteval/*"]},
    ],
    "claims": [
        {"claim": "up", "row": "some", "beside": "base", "column": "Domain", "above": 0.0},
        {"claim": "far up", "row": "some", "beside": "base", "column": "Domain", "above": 0.0,
         "least": 99.0},
        {"claim": "down", "row": "some", "beside": "base", "column": "Domain", "below": 0.0},
        {"claim": "tips", "row": "some", "beside": "base", "column": "Robustness", "below": 0.0},
        {"claim": "one seed", "row": "one", "beside": "base", "column": "Domain", "above": 0.0},
        {"claim": "beside another", "row": "some", "beside": "twin", "column": "Domain",
         "above": -99.0},
        {"claim": "no run", "row": "absent", "beside": "base", "column": "Domain", "above": 0.0},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(scripted_run):
    """A base that knows little; three trainings that learn the domain and forget some stories."""

    def knows(domain, stories):
        def spoil(task, sample):
            share = stories if task.name.endswith("stories") else domain
            return None if sample.index % 10 < share else "I cannot tell."

        return spoil

    def run(name, *shares):
        return scripted_run(name, knows(*shares), suite=SUITE)

    some = [run("seed0", 7, 6), run("seed1", 8, 6), run("seed2", 7, 5)]
    twin = [*some[1:], some[0]]
    return {"base": [run("base", 2, 6)], "some": some, "one": some[:1], "twin": twin}


@pytest.fixture(scope="module")
def found(runs):
    return figures(PLAN, runs)


class TestEstimate:
    def test_of_one_pair_has_the_items_alone(self):
        found = estimate([4.0], np.array([[3.0, 5.0] * 500]))
        assert found.seed_error is None
        assert found.low == pytest.approx(4 - 1.96, abs=0.01)
        assert found.high == pytest.approx(4 + 1.96, abs=0.01)

    def test_of_three_pairs_without_noise_of_items_is_students(self):
        found = estimate([1.0, 2.0, 3.0], np.full((3, 10), 2.0))
        assert found.points == 2
        assert found.high - found.points == pytest.approx(4.3027 / 3**0.5, rel=1e-4)

    def test_errors_add_in_squares(self):
        items = np.tile([1.0, 3.0], 500)
        found = estimate([1.0, 2.0, 3.0], np.array([items] * 3))
        assert found.item_error == pytest.approx(1.0, rel=1e-3)
        assert found.seed_error == pytest.approx(1 / 3**0.5)
        freedom = (1 + 1 / 3) ** 2 * 2 / (1 / 9)
        assert freedom == pytest.approx(32)
        assert found.high - 2 == pytest.approx(2.0369 * (4 / 3) ** 0.5, rel=1e-3)


class TestFigures:
    def test_a_row_is_the_mean_of_its_seeds(self, found):
        row = found["rows"]["some"]["corrected"]["Domain"]
        assert row["score"] == pytest.approx(np.mean(row["scores"]))
        base = found["rows"]["base"]["corrected"]["Domain"]["score"]
        assert row["difference"]["points"] == pytest.approx(row["score"] - base)

    def test_columns_without_tasks_are_left_out(self, found):
        assert tuple(found["columns"]) == COLUMNS

    def test_a_column_may_have_a_metric_of_its_own(self, found):
        row = found["rows"]["base"]["corrected"]
        primary = row["general_mini_report/wording"]["score"]
        assert row["By part"]["score"] != pytest.approx(primary)
        assert found["without_skill"]["By part"] is None
        assert found["without_skill"]["general_mini_report/wording"] >= 0

    def test_and_its_tasks_are_told_in_that_metric(self, found):
        row = found["rows"]["base"]["corrected"]
        own = row["general_mini_report/wording instruction_accuracy"]
        assert own["score"] == pytest.approx(row["By part"]["score"])  # a mean over one task

    def test_flips_add_up_to_what_right_answers_moved_by(self, found):
        rows = found["rows"]
        assert all(not any(moved.values()) for moved in rows["base"]["flips"].values())
        stories = rows["some"]["flips"]["general_mini_report/stories"]
        assert stories == {"fixed": 0, "broken": 0}  # the first seed forgets none
        facts = rows["some"]["flips"]["general_mini_report/facts"]
        assert facts["fixed"] > 0 == facts["broken"]

    def test_claims_hold_fail_or_stay_open(self, found):
        verdicts = {claim["claim"]: claim["verdict"] for claim in found["claims"]}
        assert verdicts == {
            "up": "holds",
            "far up": "fails",
            "down": "fails",
            "tips": "open",  # one seed fell, two did not
            "one seed": "open",
            "beside another": "holds",
        }

    def test_rows_are_compared_seed_by_seed(self, found):
        claim = next(c for c in found["claims"] if c["claim"] == "beside another")
        assert claim["seeds"] == 3
        assert claim["points"] == pytest.approx(0)  # the same three models in another order
        first, second, third = found["rows"]["some"]["corrected"]["Domain"]["scores"]
        assert claim["by_seed"] == pytest.approx([first - second, second - third, third - first])


class TestPooled:
    """Two seeds in one record, the third in another."""

    @pytest.fixture
    def records(self, runs):
        def record(jobs, costs, **seeds):
            found = figures(PLAN, {"base": runs["base"], **seeds})
            beside = {"general": dict.fromkeys(costs)}
            made = {"machine": {}, "jobs": jobs, "plan": PLAN, "recipes": {}, "costs": costs}
            return {**made, "beside": beside, **found}

        some, twin = runs["some"], runs["twin"]
        costs = {"some-0": {}, "some-1": {}}
        first = record(2, costs, some=some[:2], twin=twin[:2], one=runs["one"])
        return first, record(4, {"some-2": {}}, some=some[2:], twin=twin[2:])

    def test_means_and_the_error_of_training_are_those_of_all_seeds(self, records, found):
        ours, exact = (one["rows"]["some"] for one in (pooled(records), found))
        assert (ours["seeds"], ours["labels"]) == (exact["seeds"], exact["labels"])
        assert ours["flips"] == exact["flips"]
        for title, cell in exact["corrected"].items():
            assert ours["corrected"][title]["score"] == pytest.approx(cell["score"])
            assert ours["corrected"][title]["scores"] == cell["scores"]
            own, whole = ours["corrected"][title]["difference"], cell["difference"]
            assert own["by_seed"] == whole["by_seed"]
            assert own["seed_error"] == pytest.approx(whole["seed_error"])

    def test_no_interval_is_narrower_than_with_all_runs_at_hand(self, records, found):
        differences = pooled(records)["rows"]["some"]["corrected"]
        for title, cell in found["rows"]["some"]["corrected"].items():
            own, whole = differences[title]["difference"], cell["difference"]
            assert own["high"] - own["low"] >= (whole["high"] - whole["low"]) * 0.999
            assert own["item_error"] == pytest.approx(whole["item_error"], rel=0.5)

    def test_claims_are_judged_anew(self, records, found):
        verdicts = {claim["claim"]: claim["verdict"] for claim in found["claims"]}
        rows = pooled(records)["claims"]
        assert {claim["claim"]: claim["verdict"] for claim in rows} == verdicts
        assert "open" in {
            c["verdict"] for c in records[0]["claims"] if verdicts[c["claim"]] == "holds"
        }

    def test_what_one_record_alone_has_stays_as_it_is(self, records):
        found = pooled(records)
        assert found["rows"]["one"] == records[0]["rows"]["one"]
        assert found["rows"]["base"] == records[1]["rows"]["base"]
        assert [machine["jobs"] for machine in found["machines"]] == [2, 4]
        assert (
            list(found["costs"])
            == ["some-0", "some-1", "some-2"]
            == list(found["beside"]["general"])
        )

    def test_a_pooled_record_can_be_pooled(self, records):
        again = pooled([pooled(records[:1]), records[1]])
        assert again["rows"]["some"]["corrected"] == pooled(records)["rows"]["some"]["corrected"]
        assert again["machines"] == pooled(records)["machines"]

    def test_of_many_records_the_items_may_have_moved_all_alike(self, records):
        def record(number, points):
            pair = {"by_seed": [points], "item_error": 3.4}
            row = {title: {"scores": [points], "difference": pair} for title in COLUMNS}
            part = {"seeds": 1, "labels": [], "corrected": row, "official": row}
            first = records[0]
            rows = {"base": first["rows"]["base"], "some": part}
            return {**first, "costs": {f"some-{number}": {}}, "rows": rows, "claims": []}

        found = pooled([record(at, points) for at, points in enumerate([0.0, 4.8, 2.4])])
        own = found["rows"]["some"]["corrected"]["Domain"]["difference"]
        assert own["high"] == pytest.approx(with_errors([0.0, 4.8, 2.4], 3.4).high)

    def test_records_of_different_tables_are_told_apart(self, records):
        first, second = records
        with pytest.raises(RedoneError, match="some-0, some-1: in two records"):
            pooled([first, first])
        with pytest.raises(RedoneError, match="Record 2 has other claims in its plan"):
            pooled([first, {**second, "plan": PLAN | {"claims": []}}])
        with pytest.raises(RedoneError, match="Record 2 has no finished pipeline"):
            pooled([first, {"plan": PLAN, "costs": {}}])
        other = {"corrected": {title: {"score": -1.0} for title in first["columns"]}}
        with pytest.raises(RedoneError, match="Record 2 is of another base: Domain -1.0, and"):
            pooled([first, {**second, "rows": {"base": other}}])


def test_the_page_shows_what_there_is(found):
    stage = {"steps": 9, "tokens_of_choosing": 50}
    cost = {"seconds": 1800, "tokens": 1234, "stages": {"sft": stage}, "gates": {"sft": "pass"}}
    told = {"beside": "base", "level": 90.0, "name": "some", "difference": 2, "low": 1, "high": 3}
    cost["decided"] = {"sft": [told]}
    record = {
        "machine": {"processor": "A processor", "threads": 2, "versions": {"torch": "2"}},
        "jobs": 2,
        "plan": PLAN,
        "recipes": {"some": {"sft (sft)": 1000}},
        "costs": {"some-0": cost, "some-2": cost},
        "beside": {"general": {}},
        **found,
    }
    page = markdown(record, "seesaw.svg")
    assert "![The seesaw, first seed of each](seesaw.svg)" in page
    assert "2 of 5 pipelines" in page
    domain = found["rows"]["base"]["corrected"]["Domain"]["score"]
    assert f"| Base |  | {domain:.1f} | " in page
    assert f"| Without skill |  | {found['without_skill']['Domain']:.1f} | " in page
    assert "By part is their instruction_accuracy." in page
    assert "| general_mini_report/wording instruction_accuracy |" in page
    assert "Labels read" not in page
    assert "| up | 3 | +" in page
    second = found["rows"]["some"]["corrected"]["Domain"]["scores"][1]
    assert f"| Some, 2 | {second:.1f} | " in page
    flipped = " | ".join(
        f"+{m['fixed']} -{m['broken']}" for m in found["rows"]["one"]["flips"].values()
    )
    assert f"| One | {flipped} |" in page
    assert "| some-0 | 0.50 | 1,234 | 50 | sft: 9 | sft: pass |" in page
    assert "| some-0 | sft | base | some | +2.0, +1.0 to +3.0 | 90 % |" in page
    assert "Absent" not in page
    assert "Beside" not in page


@pytest.mark.shared_data
def test_a_constant_answer_is_seen_for_what_it_is(tmp_path, data_dir):
    task = by_name("tweeteval/emotion")
    sheet, run = tmp_path / "angry.jsonl", tmp_path / "run"
    items = samples(task, data_dir, partition="report")
    sheet.write_text("".join(f'{{"id": "{s.id}", "prediction": "anger"}}\n' for s in items))
    words = ["--backend", "scripted", "--model", sheet, "--tasks", task.name, "--limit", 20]
    words += ["--partition", "report", "--data-dir", data_dir, "--output", run]
    assert main([str(word) for word in words]) == 0
    plan = {
        "columns": [
            {"title": "Emotion", "tasks": ["tweeteval/emotion"]},
            {"title": "Skill", "tasks": ["tweeteval/emotion"], "metric": "informedness"},
        ],
        "claims": [],
        "rows": [],
    }
    found = figures(plan, {"base": [run]})
    angry = {"anger": 20, "joy": 0, "optimism": 0, "sadness": 0}
    assert found["rows"]["base"]["labels"] == [{"tweeteval/emotion": angry}]
    own = found["rows"]["base"]["corrected"]
    assert own["Skill"]["score"] == found["without_skill"]["Skill"] == 0
    assert own["Emotion"]["score"] > 0


def test_what_was_measured_beside_has_intervals_where_there_are_some(found):
    scores = {"task": {"corrected": {"score": 50.0, "low": 40.0, "high": 60.0}}}
    few = {"task": {"corrected": {"score": 25.0, "low": None, "high": None}}}
    record = {
        "machine": {"processor": "A processor", "threads": 2, "versions": {}},
        "jobs": 2,
        "plan": PLAN,
        "recipes": {},
        "costs": {},
        "beside": {"general": {"base": scores, "some-0": few}},
        **found,
    }
    page = markdown(record, None)
    assert "The seesaw" not in page
    assert "| base | 50.0 (40.0 to 60.0) |" in page
    assert "| some-0 | 25.0 |" in page


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
        shutil.copytree(scripted_run("base", suite=SUITE), folder / "runs/base-report")
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
