"""The board in terminal, Markdown, CSV and HTML: the same scores, and names that stay text."""

import csv
import io
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from redone.harness.display import MINUS
from redone.leaderboards.board import board, findings
from redone.leaderboards.cli import main
from redone.leaderboards.display import markdown, page, spreadsheet

HOSTILE = (
    "<script>alert(1)</script>",
    "</td><img src=x onerror=alert(2)>",
    "a | b `c` [link](javascript:alert(3)) **bold**",
    "[red]rich[/red] {{ 7*7 }} {% raw %}",
    "=HYPERLINK(\"http://x\")",
    "مرحبا بالعالم 汉字",
)  # fmt: skip


class Cells(HTMLParser):
    """Texts of the page, names of its elements, and the value of every figure by sheet and model."""

    def __init__(self, source):
        super().__init__()
        self.text, self.tags, self.values, self.sheet, self.model = "", [], {}, None, None
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.sheet = attrs.get("data-sheet", self.sheet)
        self.model = attrs.get("data-model", self.model)
        if tag == "data":
            self.values.setdefault((self.sheet, self.model), []).append(float(attrs["value"]))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(params=HOSTILE)
def hostile(request, paper, changed):
    found = board([paper], [changed(lambda r: None, name=request.param)])
    return request.param, found


@pytest.fixture
def whole(paper, submission):
    return board([paper], [submission])


def test_the_page_has_every_figure_of_the_board(whole, paper):
    shown = Cells(page(whole, findings(paper))).values
    for sheet in whole:
        by_model = {}
        for row in sheet.rows:
            values = [row.cells[c.key].value for c in sheet.columns if c.key in row.cells]
            by_model.setdefault(row.label, []).extend(values)
        for model, values in by_model.items():
            assert shown[sheet.name, model] == values


def test_the_spreadsheet_has_every_figure_of_the_board(whole):
    lines = list(csv.DictReader(io.StringIO(spreadsheet(whole))))
    assert len(lines) == sum(len(row.cells) for sheet in whole for row in sheet.rows)
    wrong = [line for line in lines if line["printed_otherwise"]]
    assert {(w["model"], w["score"], w["printed_otherwise"]) for w in wrong} == {
        ("Qwen3-30B-A3B", "43.4075", "37.05")
    }
    measured = [line for line in lines if line["origin"] == "measured"]
    assert all("|data:" in line["signatures"] for line in measured)
    assert all(line["low"] for line in measured if line["level"] != "part")
    assert not any(line["low"] for line in lines if line["origin"] == "printed")


def test_every_form_tells_printed_from_measured_and_shows_the_flaw(whole, paper, capsys):
    from redone.leaderboards.display import print_board

    print_board(whole, findings(paper))
    for text in (
        capsys.readouterr().out,
        markdown(whole, findings(paper)),
        Cells(page(whole, findings(paper))).text,
    ):
        text = text.replace("\\", "")
        for words in (
            "43.41 ≠ 37.05",
            "37.05 printed, 43.41 from its own row",
            "+8.74 claimed",
            "+2.41 claimed",
            "● finished.jsonl",
            "measured, corrected, subset: 168 samples, 12 per task",
            "not to be quoted as a result",
        ):
            assert words in re.sub(r"\s+", " ", text)


class TestNames:
    def test_on_the_page_are_text(self, hostile):
        name, found = hostile
        shown = Cells(page(found, []))
        assert name in shown.text
        assert {tag for tag, _ in shown.tags} & {"img", "iframe", "object"} == set()
        assert [tag for tag, _ in shown.tags].count("script") == 1
        assert not any(key.startswith("on") for _, attrs in shown.tags for key in attrs)
        assert "49" not in shown.text.split("Leaderboard")[0]

    def test_in_markdown_are_text(self, hostile):
        name, found = hostile
        lines = [ln for ln in markdown(found, []).splitlines() if "measured" in ln and "|" in ln]
        assert lines
        for line in lines:
            bare = re.sub(r"\\.", "", line)
            assert not re.search(r"[<>`\[\]]", re.sub(r"\[[\d., \u00a0]*\]", "", bare))
            assert bare.count("|") == len(re.findall(r"(?<!\\)\|", line))

    def test_in_a_terminal_are_text(self, hostile, capsys):
        from redone.leaderboards.display import print_board

        name, found = hostile
        print_board(found, [])
        shown = capsys.readouterr().out
        assert name[:30] in shown and "\x1b" not in shown

    def test_in_a_spreadsheet_run_nothing(self, hostile):
        name, found = hostile
        models = {line["model"] for line in csv.DictReader(io.StringIO(spreadsheet(found)))}
        assert (f"'{name}" if name.startswith("=") else name) in models
        assert not any(model.startswith(("=", "+", "-", "@")) for model in models)


class TestCommand:
    def test_prints_a_board_that_can_be_piped(self, capsys):
        assert main([]) == 0
        shown = capsys.readouterr().out
        assert "RedOne-2.0-30B-A3B" in shown and "SmolLM2-135M-Instruct" in shown
        assert "\x1b" not in shown and "…" not in shown

    def test_a_run_stands_beside_the_submitted_ones(self, finished, tmp_path, capsys):
        target = tmp_path / "deep" / "board.md"
        assert main(["--run", str(finished), "--output", str(target)]) == 0
        assert "● finished.jsonl" in target.read_text("utf-8")

    def test_a_run_that_was_submitted_stands_there_once(self, finished, tmp_path, capsys):
        assert main(["submit", str(finished), "--output", str(tmp_path)]) == 0
        target = str(tmp_path / "b.csv")
        command = ["--run", str(finished), "--results", str(tmp_path), "--output", target]
        assert main([*command, "--suite", "general-mini"]) == 0
        lines = list(csv.DictReader((tmp_path / "b.csv").open(encoding="utf-8")))
        assert len([line for line in lines if line["column"] == "general-mini"]) == 1

    def test_check_derives_the_headline(self, capsys):
        assert main(["--check"]) == 0
        shown = capsys.readouterr().out
        assert f"62.01 {MINUS} 53.28 = +8.74" in shown and f"62.01 {MINUS} 59.61 = +2.41" in shown

    def test_a_suite_that_nobody_has_figures_of(self, tmp_path, capsys):
        assert main(["--suite", "tweeteval", "--results", str(tmp_path)]) != 0
        assert "--run RUN" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--output", "board.pdf"], ".html, .md or .csv"),
            (["--suite", "sms"], "Did you mean 'sns'"),
            (["--results", "nowhere"], "not a folder of submitted results"),
            (["--run", "nowhere"], "is not a run folder"),
        ],
    )
    def test_errors_name_the_way_out(self, arguments, message, capsys):
        assert main(arguments) != 0
        assert message in capsys.readouterr().err

    def test_a_wrong_result_is_never_shown(self, changed, tmp_path, capsys):
        from redone.leaderboards.schema import save

        save(changed(lambda r: r["request"].update(seed=5)), tmp_path)
        assert main(["--results", str(tmp_path)]) == 64
        assert "redone leaderboard validate" in capsys.readouterr().err

    def test_help_imports_nothing_heavy(self):
        code = (
            "import sys; from redone.leaderboards.cli import parser; parser().format_help();"
            "heavy = {'jinja2', 'numpy', 'scipy', 'pyarrow', 'pydantic', 'rich'};"
            "print(sorted(heavy & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == "[]", done.stderr
