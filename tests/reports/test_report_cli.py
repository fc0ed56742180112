"""`redone report` on the command line."""

import subprocess
import sys

import pytest

from redone.reports.cli import main
from redone.reports.report import ReportConfig, make_report


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_it_prints_the_verdict_and_the_page(base, tuned, tmp_path, capsys):
    assert main([str(base), str(tuned)]) == 0
    sentence, page = capsys.readouterr().out.splitlines()[-2:]
    assert "tuned" in sentence and page == "report.html"
    assert (tmp_path / "report.html").stat().st_size < 6_000_000


def test_markdown_is_chosen_by_format_or_ending(base, tmp_path):
    assert main([str(base), "--format", "md"]) == 0
    assert main([str(base), "--output", "deep/folder/x.md"]) == 0
    for path in ("report.md", "deep/folder/x.md"):
        assert (tmp_path / path).read_text("utf-8").startswith("## One run")


def test_open_shows_the_page_in_the_browser(base, tmp_path, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    assert main([str(base), "--open"]) == 0
    assert opened == [(tmp_path / "report.html").as_uri()]
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    assert main([str(base), "--open"]) == 0
    assert "could not start a browser; open report.html" in capsys.readouterr().err


def test_an_evaluation_ends_by_naming_the_page_and_can_open_it(tmp_path, capsys, monkeypatch):
    from redone.harness.cli import main as evaluate

    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    command = ["--backend", "scripted", "--model", "gold", "--limit", "2", "--output", "a run"]
    assert evaluate(command) == 0
    assert "redone report 'a run'" in capsys.readouterr().out
    assert not (tmp_path / "opened").exists()
    assert evaluate(["--rescore", "a run", "--open", "--json"]) == 0
    page = tmp_path / "a run" / "report.html"
    assert page.is_file() and (tmp_path / "opened").read_text().strip() == page.as_uri()
    assert capsys.readouterr().out.startswith("{")


def test_the_seesaw_is_drawn_beside_the_page(base, tuned, tmp_path):
    assert main([str(base), str(tuned), "--seesaw", "seesaw.svg"]) == 0
    assert (tmp_path / "seesaw.svg").read_text("utf-8").startswith("<svg")


def test_names_cannot_write_to_the_terminal(base, copied, capsys):
    assert main([str(base), str(copied(base, "\x1b]0;owned\x07"))]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--seesaw", "x.jpg"], ".svg or .png"),
        (["--examples", "-1"], "0 or more"),
        (["--allow", "prompts"], "Did you mean 'prompt'"),
        (["--partition", "test"], "--partition test"),
        (["--policy", "none.toml"], "none.toml cannot be read"),
        (["--output", "file/report.html"], "Name another --output"),
        (["--output", "report.pdf"], ".html or .md is expected"),
        (["--output", "report"], ".html or .md is expected"),
        (["--output", "report.md", "--open"], "needs an .html file"),
    ],
)
def test_errors_name_the_way_out(base, tuned, arguments, message, capsys, tmp_path):
    (tmp_path / "file").write_text("no folder", "utf-8")
    assert main([str(base), str(tuned), *arguments]) != 0
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("watch", [[], ["--watch"]])
def test_a_folder_of_runs_names_them(watch, tmp_path, capsys):
    (tmp_path / "runs/base").mkdir(parents=True)
    (tmp_path / "runs/base/run.json").write_text("{}")
    assert main([*watch, str(tmp_path)]) == 65
    assert f"Runs are in it: {tmp_path / 'runs' / 'base'}." in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_named(base, tmp_path, capsys):
    assert main([str(base), str(tmp_path)]) == 65
    assert f"{tmp_path} is not a run folder" in capsys.readouterr().err


class TestMakeReport:
    """What the command does, as a function."""

    def test_returns_what_the_command_prints(self, base, tuned, tmp_path, capsys):
        made = make_report(ReportConfig([base, tuned], tmp_path / "x" / "page.html"))
        assert capsys.readouterr().out == ""
        assert made.path == tmp_path / "x" / "page.html" and made.path.is_file()
        assert main([str(base), str(tuned), "--output", str(tmp_path / "page.html")]) == 0
        assert made.sentence == capsys.readouterr().out.splitlines()[0]
        assert made.outcome == "regression"

    def test_the_report_names_a_command_that_reproduces_it(self, base, tuned, refined, tmp_path):
        made = make_report(ReportConfig([base, tuned, refined], tmp_path / "r.md", chain=False))
        command = f"redone report {base} {tuned} {refined} --output {tmp_path}/r.md --candidates"
        assert command in made.path.read_text("utf-8")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from redone.reports.cli import parser; parser().format_help();"
        "print(sorted({'plotly', 'jinja2', 'numpy', 'scipy', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
