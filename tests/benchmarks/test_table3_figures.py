"""What the ablation ends in: its intervals, its claims, its page, which can be read half done."""

import numpy as np
import pytest
from table3_figures import estimate, figures, with_errors
from table3_page import markdown
from table3_pooled import pooled

from redone.harness.cli import main
from redone.tasks.errors import RedoneError
from redone.tasks.registry import by_name
from redone.tasks.sources import samples

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

    def test_three_seeds_cover_a_little_less_than_they_say_at_worst(self):
        chance = np.random.default_rng(0)
        for items in (0.0, 0.2, 0.6, 3.0):  # beside an error of training of 1 / 3**0.5
            seeds, moved = chance.normal(size=(4000, 3)), chance.normal(0.0, items, 4000)
            found = [with_errors(list(own), items) for own in seeds + moved[:, None]]
            covered = np.mean([one.low <= 0 <= one.high for one in found])
            assert 0.91 < covered < 0.96


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
        assert list(found["costs"]) == ["some-0", "some-1", "some-2"]
        assert list(found["beside"]["general"]) == list(found["costs"])

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
    assert "seesaw" not in page
    assert "| base | 50.0 (40.0 to 60.0) |" in page
    assert "| some-0 | 25.0 |" in page
