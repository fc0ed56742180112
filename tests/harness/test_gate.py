"""`redone gate`: verdicts, decisions, policies, baselines, exit codes."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from redone.harness.compare import Difference, compare, differences
from redone.harness.gate.cli import main
from redone.harness.gate.decision import decide, decide_on, verdict_of
from redone.harness.gate.output import markdown, read_gate, record, write_gate
from redone.harness.gate.policy import load_policy, policy_of
from redone.harness.scored_run import ScoredRun, save_baseline
from redone.tasks import registry
from redone.tasks.errors import RedoneError, UnknownName
from redone.tasks.registry import suite_names

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


NORMAL = np.array([NormalDist().inv_cdf((k + 0.5) / 2000) for k in range(2000)])


def row(name, difference, error, samples=500, level="suite"):
    """A difference with normal resamples around it."""
    of = tuple(suite_names(name)) if level == "suite" else (name,)
    moved = difference + error * NORMAL
    return Difference(level, name, name, of, samples, 50.0, 50.0 + difference, moved, 100.0)


def rules(**margins):
    return {
        "suites": {
            name.replace("_", "-"): {"role": "domain", "margin": margin, "optional": True}
            for name, margin in margins.items()
        }
    }


class TestIntervals:
    """The interval that is shown is the one that decides."""

    def test_two_suites_share_the_chance_of_a_false_regression(self):
        # Alone below the margin, but not after the correction for two rows.
        first, second = row("sns", -9.1, 1.75), row("general-mini", 0.0, 1.0)
        policy = policy_of(rules(sns=6.0, general_mini=6.0), "p")
        alone, both = decide_on([first], policy), decide_on([first, second], policy)
        assert (alone.outcome, alone.rows[0].verdict) == ("regression", "regressed")
        assert both.outcome == "undecided"
        assert both.rows[0].verdict == "undecided"
        assert alone.rows[0].high < -6 <= both.rows[0].high
        assert both.rows[0].low == alone.rows[0].low
        assert (both.rows[0].alpha_low, both.rows[0].alpha_high) == (0.05, 0.025)

    @pytest.mark.parametrize("correction", ["holm", "none"])
    @pytest.mark.parametrize("seed", range(25))
    def test_no_row_contradicts_its_interval_or_the_outcome(self, seed, correction):
        generator = np.random.default_rng(seed)
        names = ("sns", "general-mini", "tweeteval", "general")
        moved = [row(n, -generator.uniform(0, 6), generator.uniform(0.2, 2)) for n in names]
        margins = {n: float(generator.uniform(0.5, 5)) for n in ("sns", "tweeteval", "general")}
        policy = policy_of(rules(**margins) | {"correction": correction, "gates": 2}, "p")
        found = decide_on(moved, policy)
        for j in found.rows:
            assert verdict_of(j.low, j.high, j.margin) == j.verdict
            if j.decides:
                assert (j.verdict == "regressed") == (j.p_adjusted <= policy.level)
        regressed = any(j.verdict == "regressed" for j in found.deciding)
        assert (found.outcome == "regression") == regressed
        assert (found.outcome == "pass") == all(j.passes for j in found.deciding)

    @pytest.mark.parametrize("level", ["benchmark", "category", "task"])
    def test_rows_of_the_same_tasks_show_the_same_interval_and_verdict(self, level):
        # Against the margin, the suite's corrected interval is undecided, a 90 % one regressed.
        suite, other = row("general-mini", -9.1, 1.75), row("sns", 0.0, 1.0)
        policy = policy_of(rules(sns=6.0, general_mini=6.0), "p")
        twin = replace(suite, level=level, name="twin")
        half = replace(twin, name="half", of=suite.of[:4])
        for rows in ([twin, half, suite, other], [suite, other, half, twin]):
            found = {j.row.name: j for j in decide_on(rows, policy).rows}
            shown, decides = found["twin"], found["general-mini"]
            assert decides.verdict == shown.verdict == "undecided"
            for name in ("low", "high", "margin", "alpha_high", "p_regressed"):
                assert getattr(shown, name) == getattr(decides, name)
            assert (shown.row, shown.decides, shown.p_adjusted) == (twin, False, None)
            assert (shown.q is not None) == (level == "task")
            assert found["half"].alpha_high == 0.05 != decides.alpha_high

    def test_three_suites_that_fall_by_their_margins_are_rarely_a_regression(self):
        # Simulated runs whose true falls are exactly the margins, which is no regression yet.
        names, generator = ("sns", "tweeteval", "general"), np.random.default_rng(1)
        policy = policy_of(rules(sns=3.0, tweeteval=3.0, general=3.0), "p")
        outcomes = [
            decide_on([row(n, generator.normal(-3, 1), 1.0) for n in names], policy).outcome
            for _ in range(600)
        ]
        assert outcomes.count("regression") / 600 < 0.05 + 2.5 * (0.05 * 0.95 / 600) ** 0.5
        assert outcomes.count("pass") / 600 < 0.01

    def test_none_leaves_what_is_possible(self, gold, ruined):
        for pair in ((gold, ruined), (ruined, gold), (gold, gold)):
            for j in gate(*pair).rows:
                assert -100 <= j.low < j.high <= 100

    def test_their_levels_are_printed(self, gold, capsys):
        main([str(gold), str(gold)])
        assert "90 % intervals" in capsys.readouterr().out
        two = gate(gold, gold, protected={NER: 30.0})
        assert "rows that decide, and of those that hold the same tasks, are corrected" in markdown(
            two
        )
        assert "97.5 %" in markdown(two)


class TestUndecided:
    """Undecided says what is so and what to do."""

    POLICY = policy_of(rules(sns=6.0, sns_mini=6.0), "p")

    def reason(self, difference, error, name="sns-mini", more=""):
        found = decide_on([row(name, difference, error, 224)], self.POLICY, more)
        assert found.outcome == "undecided"
        return found.reasons[0], found.rows[0].settle

    def test_a_fall_as_large_as_the_margin_is_no_lack_of_samples(self):
        for difference in (-5.9, -6.02, -6.0, -6.6):
            for more in ("", "evaluate both without --limit"):
                text, settle = self.reason(difference, 1.5, more=more)
                assert "about as large as the margin" in text and "--policy" in text
                assert settle is None and "would settle" not in text

    def test_more_samples_are_suggested_only_where_there_are_some(self):
        text, settle = self.reason(-3.0, 2.5, more="evaluate both without --limit")
        assert settle > 224
        assert f"about {settle:,} samples (now 224) would settle it" in text
        assert text.endswith("evaluate both without --limit.")
        text, _ = self.reason(-3.0, 2.5)
        assert "would settle" not in text
        assert "all 224 samples are too few" in text
        assert "Compare suite sns." in text and "fall of up to 7.1 points" in text
        assert "More samples of the same tasks are needed." in self.reason(-3.0, 2.5, "sns")[0]

    def test_a_suite_of_other_tasks_is_not_named(self):
        policy = policy_of(rules(general_mini=6.0), "p")
        (text,) = decide_on([row("general-mini", -3.0, 2.5, 800)], policy).reasons
        assert "all 800 samples are too few" in text and "suite" not in text
        assert "More samples of the same tasks are needed. Or accept a fall of up to 7.1" in text

    def test_no_number_is_given_that_is_out_of_reach(self):
        text, settle = self.reason(-0.5, 15.0, more="evaluate both without --limit")
        assert settle is None
        assert "as large as the margin" not in text and "would settle" not in text
        assert "known to" in text and "without --limit" in text

    def test_an_embedded_suite_has_no_more_samples(self, gold, middling, scripted_run):
        text = gate(gold, middling, other={"role": "domain", "margin": 8.0}).reasons[0]
        assert "all 224 samples are too few" in text and "suite sns" in text
        less = [
            scripted_run(f"{name}-12", spoil, "--limit", "12")
            for name, spoil in (
                ("gold", lambda task, sample: None),
                ("middling", spoiled(("ner", "gender", "chlw", "query_gen", "single"), 3)),
            )
        ]
        text = gate(*less, other={"role": "domain", "margin": 13.5}).reasons[0]
        assert "would settle" in text and "without --limit" in text
        half = gate(gold, middling, other={"role": "domain", "margin": 9.0}, partition="gate")
        assert half.outcome == "undecided"

    def test_the_headline_claims_no_lack_of_samples(self, gold, middling, tmp_path, capsys):
        policy = write(tmp_path / "p.toml", '[other]\nrole = "domain"\nmargin = 10')
        assert main([str(gold), str(middling), "--policy", policy]) == 2
        assert "not enough samples" not in capsys.readouterr().out


class TestTasksInNoSuite:
    """They decide together, as the suite `own`."""

    @pytest.fixture
    def loose(self, monkeypatch):
        """The registry without the suite of these runs."""
        monkeypatch.setitem(registry.SUITES, "sns-mini", registry.Suite("None", ()))

    def test_a_fall_is_a_regression(self, loose, gold, ruined, capsys):
        assert main([str(gold), str(ruined)]) == 1
        out = capsys.readouterr().out
        assert "REGRESSION" in out and "Tasks in no suite" in out
        assert main([str(gold), str(gold)]) in (0, 2)

    def test_they_are_not_called_robustness_unasked(self, loose, gold, ruined, capsys):
        main([str(gold), str(ruined)])
        assert "robustness)" not in capsys.readouterr().out
        rows = read_gate(ruined / "gate.json").rows
        assert [(r.name, r.role) for r in rows if r.role] == [("own", "other")]

    def test_the_message_has_lines_that_make_a_policy(self, loose, gold, ruined, tmp_path, capsys):
        main([str(gold), str(ruined)])
        advice = read_gate(ruined / "gate.json").advice
        assert advice.splitlines()[-1] in capsys.readouterr().out
        main(["--show-policy"])
        policy = capsys.readouterr().out + advice.partition("\n\n")[2].replace("2.0", "7.5")
        assert main([str(gold), str(ruined), "--policy", write(tmp_path / "p.toml", policy)]) == 1
        found = read_gate(ruined / "gate.json")
        assert found.advice == ""
        (own,) = (r for r in found.rows if r.role)
        assert (own.name, own.role, own.margin) == ("own", "domain", 7.5)

    def test_the_lines_for_a_suite_of_the_default_policy_have_its_margins(self, gold, tmp_path):
        found = gate(gold, gold, other={"role": "other", "margin": 2.0})
        assert "append to your policy file:" in found.advice
        lines = found.advice.partition("\n\n")[2]
        listed = load_policy(write(tmp_path / "p.toml", lines)).suites["sns-mini"]
        default = load_policy().suites["sns-mini"]
        assert (listed.margin, listed.task_margin) == (default.margin, default.task_margin)
        assert listed.role == default.role

    def test_a_policy_without_other_says_how_to_list_them(self, loose, gold):
        found = gate(gold, gold, other=None)
        assert found.outcome == "undecided"
        assert "[suites.own]" in found.advice and "sns_mini/" in found.advice
        assert "```toml\n[suites.own]" in markdown(found)

    def test_tasks_of_a_suite_and_others_decide_separately(self, gold, monkeypatch):
        monkeypatch.setitem(
            registry.SUITES, "sns-mini", registry.Suite("Half", ("sns_bench_mini",))
        )
        rows = {j.row.name: j.row.of for j in gate(gold, gold).deciding}
        assert rows["own"] == ("sns_mini/zh_en", "sns_mini/en_zh")
        assert len(rows["sns-mini"]) == 12

    def test_no_task_is_left_over_where_all_have_a_suite(self, gold):
        assert gate(gold, gold).comparison.row("suite", "own") is None


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

    def test_a_file_of_version_1_is_still_read(self, gold, ruined, tmp_path):
        main([str(gold), str(ruined), "--output", "out"])
        old = json.loads((tmp_path / "out/gate.json").read_text())
        old["schema_version"] = 1
        del old["advice"]
        for line in old["rows"]:
            del line["alpha_low"], line["alpha_high"]
        found = read_gate(Path(write(tmp_path / "old.json", json.dumps(old))))
        assert found.outcome == "regression" and found.rows[0].alpha_high is None

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
