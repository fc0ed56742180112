"""The page says what results.json, gate.json and diagnosis.json say, and nothing runs in it."""

import base64
import hashlib
import json
import re

import pytest

from redone.harness.diagnosis.cli import main as diagnose
from redone.harness.display import MINUS
from redone.harness.gate.cli import main as gate
from redone.harness.html import SHARED


@pytest.fixture
def judged(base, tuned, tmp_path):
    gate([str(base), str(tuned), "--output", str(tmp_path / "gate")])
    return json.loads((tmp_path / "gate" / "gate.json").read_text("utf-8"))


def results(run):
    return json.loads((run / "results.json").read_text("utf-8"))


class TestFigures:
    def test_of_the_comparison_are_those_of_gate_json(self, report, base, tuned, judged):
        page = report(base, tuned)
        rows = {(r["level"], r["name"]): r for r in page.table("changes")}
        assert len(rows) == len(judged["rows"])
        for row in judged["rows"]:
            found = rows[row["level"], row["name"]]
            for name in ("samples", "base", "candidate", "difference", "low", "high", "margin"):
                assert found[name] == row[name], (row["name"], name)
            for name in ("q", "p_adjusted", "verdict", "role"):
                assert found[name] == row[name], (row["name"], name)

    def test_on_the_page_are_those_of_gate_json(self, report, base, tuned, judged):
        page = report(base, tuned)
        tasks = [r for r in judged["rows"] if r["level"] == "task"]
        assert len(tasks) == 22
        for row in tasks:
            shown = page.values("tasks", "tuned", row["name"])
            assert shown == [row["base"], row["candidate"], row["difference"]]
        for row in judged["rows"]:
            if row["role"]:
                assert page.values("verdict", row["name"]) == [row["difference"]]

    def test_of_the_heat_map_are_those_of_every_gate(self, report, base, tuned, refined, judged):
        page = report(base, tuned, refined)
        table = results(base)["tables"]["corrected"]
        own = {row["name"]: row["score"] for row in table}
        for row in judged["rows"]:
            if row["level"] == "task":
                shown = page.values("heatmap", row["name"])
                assert shown[:2] == [own[row["name"]], row["difference"]]
                assert len(shown) == 3

    def test_of_single_runs_are_those_of_results_json(self, report, base, tuned):
        page = report(base, tuned)
        table = page.table("scores")
        for run in (base, tuned):
            found = {(r["level"], r["name"]): r for r in table if r["run"] == run.name}
            wanted = results(run)["tables"]["corrected"]
            assert len(found) == len(wanted)
            for row in wanted:
                mine = found[row["level"], row["name"]]
                for name in ("score", "low", "high", "signature"):
                    assert mine[name] == row[name]

    def test_of_failures_are_those_of_results_json(self, report, base, tuned):
        page = report(base, tuned)
        for name, task in results(base)["tasks"].items():
            counts = task["scorings"]["corrected"]["failures"]
            other = results(tuned)["tasks"][name]["scorings"]["corrected"]["failures"]
            shown = page.values("failures", name)
            assert sorted(shown) == sorted([*counts.values(), *other.values()])

    def test_of_the_seesaw_are_those_of_the_suites(self, report, base, tuned, judged):
        page = report(base, tuned)
        suites = {r["name"]: r for r in judged["rows"] if r["level"] == "suite"}
        place = page.table("seesaw")[0]
        for axis, name in (("domain", "sns-mini"), ("robustness", "general-mini")):
            assert place[axis] == suites[name]["difference"]
            assert (place[f"{axis}_low"], place[f"{axis}_high"]) == (
                suites[name]["low"],
                suites[name]["high"],
            )
        assert place["quadrant"] == "traded: domain up, robustness down"
        assert page.values("seesaw", "tuned") == [place["domain"], place["robustness"]]

    def test_of_the_diagnosis_are_those_of_diagnosis_json(self, report, base, copied):
        run = copied(base, "diagnosed")
        assert diagnose([str(run)]) == 0
        wanted = json.loads((run / "diagnosis.json").read_text("utf-8"))
        page = report(run)
        shown = page.values("diagnosis")
        expected = [c["skill"]["value"] for c in wanted["capabilities"]]
        for weakness in wanted["weaknesses"][:12]:
            expected += [weakness["gap"]["value"], weakness["priority"]]
        assert shown[: len(expected)] == [value for value in expected if value is not None]
        assert [r["gap"] for r in page.table("weaknesses")] == [
            w["gap"]["value"] for w in wanted["weaknesses"]
        ]

    def test_are_written_as_they_are(self, report, base, tuned):
        page = report(base, tuned)
        assert len(page.data) > 100
        for _, value, words in page.data:
            digits = len(words.partition(".")[2])
            assert float(words.replace(MINUS, "-").replace(",", "")) == round(value, digits)


class TestSafety:
    def test_the_page_names_no_other_file(self, report, base, tuned):
        page = report(base, tuned)
        for tag, attributes in page.tags:
            assert tag not in {"link", "iframe", "img", "object", "embed", "base"}
            for name, value in attributes.items():
                assert not name.startswith("on")
                if name in ("src", "href", "action"):
                    assert value.startswith("#")

    def test_only_scripts_with_a_named_hash_may_run(self, report, base, tuned):
        page = report(base, tuned)
        (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv")]
        named = set(re.findall(r"'(sha256-[^']+)'", policy))
        own = hashlib.sha256(page.scripts[""].encode()).digest()
        assert f"sha256-{base64.b64encode(own).decode()}" in named
        assert len(named) == 2
        assert policy.startswith("default-src 'none'")
        assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
        assert "unsafe-eval" not in policy

    def test_hostile_answers_and_names_are_never_markup(self, report, base, run_both, copied):
        attacks = ["<script>alert(1)</script>", "</script><img src=x onerror=alert(1)>", "{{7*7}}"]

        def spoil(task, sample):
            return attacks[sample.index // 3 % 3] if task.name.endswith("ner") else None

        clean = report(base, base)
        run = copied(run_both("hostile", spoil), "<b onclick=x>&{{7*7}}")
        page = report(base, run)
        assert [t for t, _ in page.tags].count("script") == [t for t, _ in clean.tags].count(
            "script"
        )
        assert not [a for _, a in page.tags if any(n.startswith("on") for n in a)]
        assert "<b onclick=x>&{{7*7}}" in page.text
        assert set(attacks) <= set(page.unpacked("examples")["texts"])

    def test_control_characters_of_names_are_shown(self, report, base, copied):
        page = report(base, copied(base, "a\x1b[31m\u202eb"))
        assert "a⟨1B⟩[31m⟨RLO⟩b" in page.text
        assert "\x1b" not in page.source and "\u202e" not in page.source


def test_the_page_has_the_style_that_it_shares_with_the_leaderboard(report, base):
    assert (SHARED / "shared.css").read_text("utf-8") in report(base).source


def test_the_same_runs_make_the_same_page(report, base, tuned):
    assert report(base, tuned).source == report(base, tuned).source


def test_the_command_that_makes_the_page_again_is_in_it(report, base, tuned):
    page = report(base, tuned, "--seed", "3")
    assert f"redone report {base} {tuned} --seed 3 --output" in page.text


def test_ids_are_unique_and_every_section_is_reached(report, base, tuned):
    page = report(base, tuned)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = {a["href"][1:] for t, a in page.tags if t == "a"}
    sections = {a["id"] for t, a in page.tags if t == "section"}
    assert links == sections
