"""`redone gate`: verdicts, decisions, policies, baselines, exit codes."""

import json
import math
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from redone.harness.compare import compare, differences
from redone.harness.gate.cli import main
from redone.harness.gate.decision import decide, decide_on, verdict_of
from redone.harness.gate.output import markdown, read_gate, record, write_gate
from redone.harness.gate.policy import load_policy, policy_of
from redone.harness.scored_run import ScoredRun, save_baseline
from redone.tasks.errors import RedoneError, UnknownName

NER = "sns_mini/ner"


def spoiled(tasks, every):
    """Wrong on each `every`-th item of tasks whose name ends so."""

    def spoil(task, sample):
        hit = task.name.endswith(tasks) and sample.index % every == 0
        return "I cannot tell." if hit else None

    return spoil


@pytest.fixture(scope="module")
def gold(scripted_run):
    return scripted_run("gold")


@pytest.fixture(scope="module")
def ruined(scripted_run):
    return scripted_run("ruined", spoiled("", 1))


@pytest.fixture(scope="module")
def middling(scripted_run):
    """Worse on some tasks by about the margin: 16 items each cannot tell."""
    return scripted_run("middling", spoiled(("ner", "gender", "chlw", "query_gen", "single"), 3))


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def gate(base, candidate, **policy):
    policy = {"other": {"role": "domain", "margin": 10.0}, "resamples": 2000} | policy
    return decide(
        compare(ScoredRun(base), ScoredRun(candidate), resamples=2000), policy_of(policy, "p")
    )


def write(path, text):
    path.write_text(text, "utf-8")
    return str(path)


def test_an_output_that_cannot_be_written_ends_with_64(gold, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main([str(gold), str(gold), "--output", "file"]) == 64
    assert "cannot be written" in capsys.readouterr().err


def test_a_decision_needs_no_run_folders(gold, middling):
    base, candidate = ScoredRun(gold).scores(), ScoredRun(middling).scores()
    matched = {name: (base[name], candidate[name]) for name in base}
    found = decide_on(differences(matched, resamples=2000), load_policy())
    whole = decide(compare(ScoredRun(gold), ScoredRun(middling), resamples=2000), load_policy())
    assert (found.outcome, found.reasons) == (whole.outcome, whole.reasons)
    assert [(j.low, j.high) for j in found.rows] == [(j.low, j.high) for j in whole.rows]


class TestVerdicts:
    @pytest.mark.parametrize(
        "low, high, verdict",
        [
            (-9, -2.1, "regressed"),
            (-9, -2.0, "undecided"),
            (-2.1, 5, "undecided"),
            (-2.0, 5, "not worse"),
            (0.0, 5, "not worse"),
            (0.1, 5, "improved"),
            (-1, -0.5, "not worse"),
            (math.nan, 5, "undecided"),
            (math.nan, math.nan, "undecided"),
        ],
    )
    def test_follow_from_interval_and_margin(self, low, high, verdict):
        assert verdict_of(low, high, 2.0) == verdict

    def test_equal_runs_pass(self, gold):
        found = gate(gold, gold)
        assert (found.outcome, found.exit_code) == ("pass", 0)

    def test_a_ruined_model_regresses_everywhere(self, gold, ruined):
        found = gate(gold, ruined)
        assert (found.outcome, found.exit_code) == ("regression", 1)
        assert {j.verdict for j in found.rows} == {"regressed"}

    def test_too_few_samples_are_undecided_and_the_number_needed_is_reported(self, gold, middling):
        found = gate(gold, middling)
        assert (found.outcome, found.exit_code) == ("undecided", 2)
        (suite,) = found.deciding
        assert suite.settle > 224
        assert f"about {suite.settle:,} samples (now 224) would settle it" in found.reasons[0]

    def test_only_suites_and_protected_tasks_decide(self, gold, scripted_run):
        one = scripted_run("one", spoiled("ner", 1))
        inform = gate(gold, one)
        assert inform.outcome == "pass"
        assert [j.verdict for j in inform.rows if j.row.name == NER] == ["regressed"]
        protect = gate(gold, one, protected={NER: 20.0})
        assert protect.outcome == "regression"
        assert any("NER" in reason for reason in protect.reasons)

    def test_holm_is_over_what_decides(self, gold, ruined):
        found = gate(gold, ruined, protected={NER: 20.0})
        assert [j.p_adjusted for j in found.deciding] == [
            pytest.approx(2 * j.p_regressed) for j in found.deciding
        ]
        assert all(j.p_adjusted is None for j in found.rows if not j.decides)

    def test_a_rise_is_required_if_the_policy_requires_it(self, gold, ruined):
        rules = {"sns-mini": {"role": "domain", "margin": 10, "require_rise": True}}
        still = gate(gold, gold, suites=rules)
        assert still.outcome == "undecided"
        assert "was to rise" in still.reasons[0]
        assert gate(ruined, gold, suites=rules).outcome == "pass"

    def test_alpha_is_divided_over_the_planned_gates(self, gold, middling):
        once, often = (gate(gold, middling, gates=n).deciding[0] for n in (1, 10))
        assert often.low < once.low and often.high > once.high

    @pytest.mark.parametrize("means, code", [("stop", 2), ("fail", 1), ("pass", 0)])
    def test_the_policy_sets_the_exit_code_of_undecided(self, gold, middling, means, code):
        found = gate(gold, middling, undecided=means)
        assert (found.outcome, found.exit_code) == ("undecided", code)

    def test_a_suite_that_was_not_run_is_no_pass(self, gold):
        found = gate(gold, gold, suites={"sns": {"role": "robustness", "margin": 2}})
        assert found.outcome == "undecided"
        assert "suite sns, which these runs do not have" in found.reasons[0]
        found = gate(gold, gold, protected={"sns_bench/ner": 2})
        assert found.outcome == "undecided"

    def test_no_deciding_suite_is_no_pass(self, gold):
        assert gate(gold, gold, other=None).outcome == "undecided"

    def test_one_sample_decides_nothing(self, scripted_run):
        alone = scripted_run("alone", lambda t, s: None, "--limit", "1", "--tasks", NER)
        found = gate(alone, alone)
        assert found.outcome == "undecided"
        assert found.deciding[0].row.samples == 1

    def test_undefined_figures_decide_nothing(self, gold):
        comparison = compare(ScoredRun(gold), ScoredRun(gold), resamples=1000)
        for row in comparison.differences:
            row.resampled[:] = math.nan
        found = decide(comparison, policy_of({"other": {"role": "domain", "margin": 5}}, "p"))
        assert found.outcome == "undecided"
        assert "no defined difference" in found.reasons[0]
        write_gate(record(found), Path("gate.json"))
        assert read_gate(Path("gate.json")).rows[0].low is None


class TestPolicy:
    def test_the_default_is_valid_and_documents_every_key(self):
        from redone.harness.gate.policy import DEFAULT, Policy

        policy = load_policy()
        assert policy.other is not None
        text = DEFAULT.read_text("utf-8")
        assert all(f"{name}" in text for name in Policy.model_fields)

    @pytest.mark.parametrize(
        "text, message",
        [
            ("alpha = 0.7", r"alpha: .*less than 0.5 \(given: 0.7\)"),
            ("margins = 2", r"margins: .*\nKnown keys: alpha"),
            ('[suites.sns]\nrole = "star"\nmargin = 1', "suites.sns.role"),
            ('[suites.sns]\nrole = "domain"\nmargin = 0', "suites.sns.margin: .*greater than 0"),
            ('[suites.sns]\nrole = "domain"', "suites.sns.margin: Field required"),
            ("alpha = ", "is not TOML"),
            ('[protected]\n"sns_bench/ner" = -2', "not in"),
        ],
    )
    def test_an_invalid_value_is_named(self, tmp_path, text, message):
        with pytest.raises(RedoneError, match=message):
            load_policy(write(tmp_path / "p.toml", text))

    def test_unknown_names_get_the_nearest(self, tmp_path):
        with pytest.raises(UnknownName, match="Did you mean 'sns"):
            load_policy(write(tmp_path / "p.toml", '[suites.snz]\nrole = "domain"\nmargin = 1'))
        with pytest.raises(UnknownName, match="sns_bench/ner"):
            load_policy(write(tmp_path / "p.toml", '[protected]\n"sns_bench/nerr" = 2'))
        with pytest.raises(RedoneError, match="cannot be read"):
            load_policy(tmp_path / "nowhere.toml")


class TestCommand:
    def test_exit_codes_are_the_verdicts(self, gold, ruined, middling, capsys):
        assert main([str(gold), str(gold)]) == 0
        assert "PASS" in capsys.readouterr().out
        assert main([str(gold), str(ruined)]) == 1
        assert "REGRESSION" in capsys.readouterr().out
        policy = write(
            gold.parent / "p.toml", '[other]\nrole = "domain"\nmargin = 10\n[protected]\n'
        )
        assert main([str(gold), str(middling), "--policy", policy]) == 2

    def test_runs_that_differ_end_with_3_and_the_fields(self, gold, scripted_run, capsys):
        other = scripted_run("brief", lambda t, s: None, "--system", "Be brief.", "--limit", "9")
        assert main([str(gold), str(other)]) == 3
        err = capsys.readouterr().err
        assert "differ in samples, prompt, system" in err
        assert "--allow samples,prompt,system" in err
        found = json.loads((other / "gate.json").read_text())
        assert found["outcome"] == "not comparable"
        assert {m["field"] for m in found["mismatches"]} == {"samples", "prompt", "system"}
        assert main([str(gold), str(other), "--allow", "samples,prompt,system"]) == 0
        assert "allowed by hand" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "arguments",
        [(), ("--policy",), ("a", "b", "c"), ("a",), ("a", "b", "--allow", "x"), ("--nothing",)],
    )
    def test_bad_usage_ends_with_64(self, gold, arguments, capsys):
        arguments = [str(gold) if a in ("a", "b", "c") else a for a in arguments]
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
        assert code == 64
        assert "redone gate: " in capsys.readouterr().err

    def test_a_folder_that_is_no_run_ends_with_3(self, gold, tmp_path, capsys):
        assert main([str(gold), str(tmp_path)]) == 3
        assert "not a run folder" in capsys.readouterr().err

    def test_files_for_pipelines(self, gold, ruined, tmp_path):
        assert main([str(gold), str(ruined), "--output", "out", "--flips", "flips.jsonl"]) == 1
        found = json.loads((tmp_path / "out/gate.json").read_text())
        assert found["outcome"] == "regression"
        assert found["base"]["signatures"]["sns-mini"].startswith("sns-mini|v:2|scoring:corrected")
        rows = {r["name"]: r for r in found["rows"]}
        assert rows["sns-mini"]["role"] == "domain"
        assert rows[NER]["sign_flip_p"] < 0.05
        suite = ET.parse(tmp_path / "out/gate.xml").getroot().find("testsuite")
        assert suite.get("failures") == "1"
        assert int(suite.get("tests")) == len(found["rows"])
        failed = [c.get("name") for c in suite.iter("testcase") if c.find("failure") is not None]
        assert failed == ["sns-mini"]
        summary = (tmp_path / "out/gate.md").read_text()
        assert summary.startswith("## redone gate: regression")
        assert "| **Embedded demonstration** | 224 |" in summary
        flips = [json.loads(line) for line in (tmp_path / "flips.jsonl").open()]
        assert {f["kind"] for f in flips} == {"broken"}

    def test_the_file_is_read_back_as_it_was_written(self, gold, ruined, scripted_run, tmp_path):
        main([str(gold), str(ruined), "--output", "out"])
        found = read_gate(tmp_path / "out/gate.json")
        assert found.outcome == "regression"
        assert {r.name: r.role for r in found.rows}["sns-mini"] == "domain"
        write_gate(found, tmp_path / "again.json")
        assert (tmp_path / "again.json").read_bytes() == (tmp_path / "out/gate.json").read_bytes()
        brief = scripted_run("brief-2", lambda t, s: None, "--system", "Be brief.")
        assert main([str(gold), str(brief), "--output", "out"]) == 3
        refusal = read_gate(tmp_path / "out/gate.json")
        assert (refusal.outcome, refusal.candidate.name) == ("not comparable", "brief-2")
        assert [m.field for m in refusal.mismatches if m.field == "system"] == ["system"]

    @pytest.mark.parametrize(
        "content, message",
        [
            ("{", "not JSON"),
            ("[]", "not an object"),
            ('{"schema_version": 9}', "schema version 9"),
            ('{"schema_version": 1, "outcome": "pass"}', "field .*exit_code: .*required"),
        ],
    )
    def test_a_file_of_another_form_is_refused(self, tmp_path, content, message):
        with pytest.raises(RedoneError, match=message):
            read_gate(Path(write(tmp_path / "gate.json", content)))
        with pytest.raises(RedoneError, match="cannot be read"):
            read_gate(tmp_path / "nowhere.json")

    def test_the_policy_can_be_printed_and_used(self, gold, tmp_path, capsys):
        assert main(["--show-policy"]) == 0
        policy = write(tmp_path / "own.toml", capsys.readouterr().out)
        assert main([str(gold), str(gold), "--policy", policy]) == 0

    def test_markdown_keeps_hostile_names_as_text(self, gold):
        found = gate(gold, gold)
        found.comparison.notes.append("<script>|x</script> **bold**")
        assert "\\<script\\>\\|x\\</script\\> \\*\\*bold" in markdown(found)


class TestBaselines:
    def test_a_saved_baseline_replaces_the_run(self, gold, ruined, tmp_path, capsys):
        assert main([str(gold), "--save-baseline", "v1"]) == 0
        assert main(["--baseline", "v1", str(ruined)]) == 1
        assert main(["--baseline", "v1", str(gold)]) == 0
        files = sorted(p.name for p in (tmp_path / "baselines/v1").iterdir())
        assert files == ["baseline.json", "results.json", "run.json", "scores.parquet"]

    def test_it_holds_no_answers(self, gold):
        import pyarrow.parquet as pq

        saved = save_baseline(ScoredRun(gold), "v1")
        assert pq.read_table(saved / "scores.parquet")["parsed"].null_count == 448

    def test_an_edited_baseline_is_refused(self, gold, capsys):
        saved = save_baseline(ScoredRun(gold), "v1")
        with (saved / "results.json").open("a") as file:
            file.write("\n")
        assert main(["--baseline", "v1", str(gold)]) == 3
        assert "results.json is not the file that was saved" in capsys.readouterr().err

    def test_names_are_names(self, gold, capsys):
        assert main([str(gold), "--save-baseline", "../v1"]) == 64
        assert main(["--baseline", "v2", str(gold)]) == 64
        assert "holds none" in capsys.readouterr().err
        save_baseline(ScoredRun(gold), "v1")
        assert main(["--baseline", "v2", str(gold)]) == 64
        assert "Did you mean 'v1'" in capsys.readouterr().err

    def test_saving_again_replaces(self, gold, ruined):
        save_baseline(ScoredRun(ruined), "v1")
        save_baseline(ScoredRun(gold), "v1")
        assert main(["--baseline", "v1", str(gold)]) == 0

    def test_a_copy_elsewhere_is_the_same_baseline(self, gold, tmp_path):
        saved = save_baseline(ScoredRun(gold), "v1")
        shutil.copytree(saved, tmp_path / "other/v1")
        assert main(["--baseline", "v1", "--baselines", "other", str(gold)]) == 0
