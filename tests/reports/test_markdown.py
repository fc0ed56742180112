"""The Markdown twin: the same figures, and hostile texts that stay texts."""

import json
import re

import pytest

from redone.harness.display import cell, change, score
from redone.harness.gate.cli import main as gate
from redone.reports.cli import main
from redone.tasks.command import visible


@pytest.fixture
def written(tmp_path):
    """`written(runs..., options...) -> text`."""

    def make(*arguments):
        target = tmp_path / "report.md"
        assert main([*map(str, arguments), "--output", str(target)]) == 0
        return target.read_text("utf-8")

    return make


def test_figures_are_those_of_gate_json(written, base, tuned, tmp_path):
    text = written(base, tuned)
    gate([str(base), str(tuned), "--output", str(tmp_path)])
    rows = json.loads((tmp_path / "gate.json").read_text("utf-8"))["rows"]
    tasks = [r for r in rows if r["level"] == "task"]
    assert len(tasks) == 22
    for row in tasks:
        (line,) = [x for x in text.splitlines() if x.startswith(f"| {cell(row['title'])} |")]
        for figure in (score(row["base"]), score(row["candidate"]), change(row["difference"])):
            assert figure in line


def test_it_has_every_part(written, base, tuned, refined):
    text = written(base, tuned, refined)
    for part in ("The seesaw", "Tasks: tuned", "Change by stage", "Diagnosis", "Provenance"):
        assert f"### {part}" in text
    assert f"redone report {base}" in text
    assert "- tuned: 10 of " in text


def test_a_single_run_says_what_is_missing(written, base):
    assert "The seesaw, changes and flips need a second run" in written(base)


ATTACKS = (
    "```\n<script>alert(1)</script>\n```",
    "````` </details> \n`````\n# headline",
    "a\r```\rb\u2028```\u2028c alert",
    "\x1b[31mred\x07 \u202eesrever alert",
    "<img src=x onerror=alert(1)>",
)


@pytest.mark.parametrize("number", range(len(ATTACKS)))
def test_hostile_answers_stay_in_their_fence(written, run_both, base, number):
    def spoil(task, sample):
        return ATTACKS[number] if task.name.endswith("ner") else None

    run = run_both(f"hostile-{number}", spoil)
    text = written(base, run, "--examples", "60")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u202a-\u202e]", text)
    fence, outside, inside = None, [], []
    for line in text.splitlines():
        opened = re.fullmatch(r"(`{3,})(text|sh)", line)
        if fence is None and opened:
            fence = opened[1]
        elif fence is not None and re.fullmatch(f" {{0,3}}`{{{len(fence)},}} *", line):
            fence = None
        else:
            (outside if fence is None else inside).append(line)
    assert fence is None
    assert any("alert" in line or "headline" in line for line in inside)
    loose = "\n".join(outside)
    assert "alert" not in loose and "headline" not in loose
    assert loose.count("<details>") == loose.count("</details>") > 0


@pytest.mark.parametrize("text", ["a|b", "<b>x</b>", "[x](y)", "*a* _b_ `c`", "@team #1", "a\nb"])
def test_cells_hold_no_markup(text):
    found = cell(text)
    assert "\n" not in found
    assert not re.search(r"(?<!\\)[|<>`*_\[\]@#]", found)


def test_control_and_direction_characters_are_shown():
    hostile = "\x1b\x7f\x9b\r\r\n\u202e\u2066"
    assert visible(hostile) == "⟨1B⟩⟨7F⟩⟨9B⟩⟨0D⟩\n⟨RLO⟩⟨LRI⟩"


def test_joiners_and_marks_of_right_to_left_scripts_stay():
    text = "\U0001f469\u200d\U0001f467 \u200f\u0645\u0631\u062d\u0628\u0627\n\t\u6c49"
    assert visible(text) == text
