"""What a page says when something is missing: a second run, a suite, a task, a diagnosis."""

import json

import pytest

from redone.harness.gate.policy import policy_of
from redone.reports.cli import main
from redone.reports.stages import compare_runs, labels_of


def gold(task, sample):
    return None


def edited(run, name, change):
    path = run / name
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")
    return run


@pytest.fixture(scope="module")
def fewer(run_both):
    """A run without NER (and numerals)."""
    return run_both("fewer", gold, "--tasks", "*/[!n]*")


class TestRuns:
    def test_one_run_has_scores_and_says_what_is_missing(self, report, base):
        page = report(base)
        assert "The seesaw, changes and flips need a second run" in page.text
        wanted = json.loads((base / "results.json").read_text("utf-8"))["tables"]["corrected"]
        for row in wanted:
            if row["level"] == "task":
                assert page.values("scores", row["name"]) == [row["score"]]
        assert not {"seesaw", "tasks", "examples"} & {a.get("id") for _, a in page.tags}

    def test_runs_of_one_suite_have_no_seesaw(self, report, scripted_run):
        def bad(task, sample):
            return "no" if sample.index % 2 else None

        one = scripted_run("half-right", bad, suite="sns-mini")
        two = scripted_run("all-right", gold, suite="sns-mini")
        page = report(one, two)
        assert "Robustness was not measured" in page.text
        assert page.scripts.get("packed-plotly", "") == ""
        (place,) = page.table("seesaw")[:1]
        assert place["domain"] > 0 and place["robustness"] is None

    def test_without_a_robustness_suite_another_is_used(self, base, tuned, tmp_path, report):
        policy = tmp_path / "policy.toml"
        policy.write_text('[other]\nrole = "domain"\nmargin = 3.0\n', "utf-8")
        page = report(base, tuned, "--policy", policy)
        assert "General skills, generated and embedded is used instead" in page.text

    def test_equal_runs_have_no_flips(self, report, base, copied):
        page = report(base, copied(base, "again"))
        assert "No example was fixed or broken." in page.text
        assert page.values("seesaw", "again") == [0, 0]

    def test_candidates_are_counted(self, report, base, tuned, refined):
        page = report(base, tuned, refined, "--candidates")
        assert "1 of 2 candidates pass against base: refined." in page.text
        assert "Candidates compared with base" in page.text

    def test_a_chain_has_the_verdict_of_its_end(self, report, base, tuned, refined):
        page = report(base, tuned, refined)
        assert "refined improves on base" in page.text
        assert "traded: domain up, robustness down" in page.text

    @pytest.mark.parametrize(
        ("rule", "words"),
        [
            ("margin = 30.0", "but non-inferiority is not established"),
            (
                "margin = 99.0\nrequire_rise = true",
                "but the required improvement is not established",
            ),
        ],
    )
    def test_an_undecided_gate_names_what_is_not_established(
        self, base, tuned, tmp_path, report, rule, words
    ):
        policy = tmp_path / "policy.toml"
        policy.write_text(f'[other]\nrole = "robustness"\n{rule}\n', "utf-8")
        page = report(base, tuned, "--policy", policy)
        assert f"No significant regression of tuned against base, {words}" in page.text

    def test_labels_tell_runs_apart(self, tmp_path):
        paths = [tmp_path / p for p in ("a/run", "b/run", "b/other", "b/run")]
        assert labels_of(paths) == ["a/run", "run (1)", "other", "run (2)"]

    def test_a_link_gives_a_run_a_title(self, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "SFT only").symlink_to("run")
        paths = [tmp_path / p for p in ("SFT only", "run/../run")]
        assert labels_of(paths) == ["SFT only", "run"]


class TestRefusals:
    def test_a_stage_that_lacks_a_task_is_compared_on_the_others(
        self, report, base, fewer, refined
    ):
        page = report(base, fewer, refined)
        rows = {r["stage"]: r for r in page.table("seesaw") if r["source"] == "these runs"}
        assert rows["fewer"]["outcome"] == "not comparable"
        assert rows["refined"]["outcome"] == "pass"
        assert "fewer tasks than the base" in page.text
        assert "Only the 20 tasks that both runs have are compared" in page.text
        # the base's own figure and that of the stage that has the task
        assert len(page.values("heatmap", "sns_mini/ner")) == 2

    def test_other_prompts_are_not_compared_and_say_so(self, report, base, tuned, copied):
        def change(run):
            run["request"]["tasks"]["sns_mini/ner"]["prompt"] = "other"

        page = report(base, edited(copied(tuned, "asked"), "run.json", change))
        assert "asked cannot be compared with base: they differ in prompt." in page.text
        assert "asked was not compared" in page.text
        assert page.table("changes") == []
        wanted = json.loads((tuned / "results.json").read_text("utf-8"))["tables"]["corrected"]
        suites = [r["score"] for r in wanted if r["level"] == "suite"]
        assert page.values("tasks") == suites

    def test_other_scoring_is_not_compared_unless_allowed(self, report, base, tuned, copied):
        def change(results):
            record = results["tasks"]["sns_mini/query_gen"]["scorings"]["corrected"]
            record["signature"] = record["signature"].replace("|seed", "|embedder:other|seed")

        run = edited(copied(tuned, "scored"), "results.json", change)
        assert "they differ in scoring" in report(base, run).text
        page = report(base, run, "--allow", "scoring")
        assert "The runs differ in scoring; the comparison was allowed by hand." in page.text
        assert page.table("changes")

    def test_nothing_in_common_is_not_compared(self, report, scripted_run):
        only = scripted_run("only", gold, "--tasks", "sns_mini/ner")
        other = scripted_run("other", gold, "--tasks", "sns_mini/chlw")
        assert "other cannot be compared with only" in report(only, other).text

    def test_a_gate_that_said_otherwise_is_mentioned(self, report, base, tuned, copied):
        run = copied(tuned, "gated")
        record = {"base": {"name": "base"}, "candidate": {"name": "gated"}, "outcome": "pass"}
        (run / "gate.json").write_text(json.dumps(record), "utf-8")
        assert "gate.json in gated says 'pass', under another policy" in report(base, run).text

    def test_a_run_without_scores_is_an_error(self, base, tmp_path, copied, capsys):
        run = copied(base, "torn")
        (run / "scores.parquet").unlink()
        assert main([str(base), str(run), "--output", str(tmp_path / "x.html")]) == 3
        assert "no scores yet" in capsys.readouterr().err
        assert not (tmp_path / "x.html").exists()


class TestDiagnoses:
    def test_none_names_the_command(self, report, base):
        assert f"Not diagnosed yet: run redone diagnose {base}" in report(base).text

    @pytest.mark.parametrize("content", ["{", "[]", '{"schema_version": 1}', '{"tasks": "x"}'])
    def test_one_that_cannot_be_read_is_reported(self, report, base, copied, content):
        run = copied(base, "diagnosed")
        (run / "diagnosis.json").write_text(content, "utf-8")
        assert f"{run}/diagnosis.json" in report(run).text

    def test_an_empty_one_says_so(self, report, copied, run_both):
        from redone.harness.diagnosis.cli import main as diagnose

        run = copied(run_both("perfect", gold), "diagnosed")
        assert diagnose([str(run), "--target", "sns_mini/ner=1"]) == 0
        assert "No weakness: no gap is statistically significant." in report(run).text


def test_verdicts_follow_the_policy(base, tuned):
    def outcome(margin):
        other = {"role": "robustness", "margin": margin}
        policy = policy_of({"other": other, "resamples": 1000}, "p")
        return compare_runs([base, tuned], policy).stages[0].outcome

    assert outcome(0.5) == "regression"
    assert outcome(99.0) == "pass"
