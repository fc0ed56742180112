"""`redone train`: what is refused before anything is begun, and how it is said."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from redone.training.cli import main


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def told(capsys, *words):
    code = main(list(words))
    return code, capsys.readouterr()


def test_recipes_are_listed_and_shown(capsys):
    assert main(["--list"]) == 0
    assert "redone2-laptop" in capsys.readouterr().out
    assert main(["--show-recipe", "sft-only"]) == 0
    assert capsys.readouterr().out.startswith("title = ")
    assert main(["--show-recipe", "sft-onyl"]) == 64
    assert "Did you mean 'sft-only'" in capsys.readouterr().err


def test_help_answers_without_the_trainers():
    code = (
        "import sys; from redone.training.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'trl', 'transformers', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--on-regression" in done.stdout


@pytest.mark.parametrize("left_out", ["--recipe", "--model", "--output"])
def test_what_is_needed(capsys, left_out):
    words = {"--recipe": "sft-only", "--model": "m", "--output": "o"}
    given = [word for name, value in words.items() if name != left_out for word in (name, value)]
    with pytest.raises(SystemExit) as end:
        main(given)
    assert end.value.code == 64
    assert f"{left_out} is required" in capsys.readouterr().err


def test_a_model_that_is_none(tmp_path, capsys):
    words = ["--recipe", "sft-only", "--model", str(tmp_path), "--output", str(tmp_path / "out")]
    code, out = told(capsys, *words)
    assert code == 66
    assert "no config.json" in out.err
    assert not (tmp_path / "out").exists()


def test_a_recipe_that_needs_rows(model, tmp_path, capsys):
    words = ["--recipe", "redone2", "--model", str(model), "--output", str(tmp_path / "out")]
    code, out = told(capsys, *words)
    assert code == 66
    assert "--corpus FILE" in out.err
    code, out = told(capsys, *words, "--corpus", "nowhere.jsonl")
    assert code == 66
    assert "nowhere.jsonl does not exist" in out.err
    assert not (tmp_path / "out").exists()


def test_a_stage_that_the_recipe_has_not(model, tmp_path, capsys):
    code, out = told(
        capsys, "--recipe", "redone2-laptop", "--model", str(model), "--output",
        str(tmp_path / "out"), "--stage", "refinment",
    )  # fmt: skip
    assert code == 64
    assert "Did you mean 'refinement'" in out.err


def test_an_accelerate_configuration_that_is_not_there(model, tmp_path, capsys):
    code, out = told(
        capsys, "--recipe", "sft-only", "--model", str(model), "--output",
        str(tmp_path / "out"), "--accelerate", "fdsp",
    )  # fmt: skip
    assert code == 64
    assert "Did you mean 'fsdp'" in out.err
    assert "zero3" in out.err


def test_open_shows_the_report_in_the_browser(model, tmp_path, monkeypatch, capsys):
    page, opened = tmp_path / "report.html", []
    ending = SimpleNamespace(regressed=(), branches=(), report=page, exit_code=0)
    monkeypatch.setattr("redone.training.pipeline.Pipeline.run", lambda self: ending)
    monkeypatch.setattr("webbrowser.open", opened.append)
    words = ["--recipe", "sft-only", "--model", str(model), "--output", str(tmp_path / "out")]
    assert main(words) == 0
    assert opened == []
    assert main([*words, "--open"]) == 0
    assert opened == [page.as_uri()]
    assert f"Report: {page}" in capsys.readouterr().out
