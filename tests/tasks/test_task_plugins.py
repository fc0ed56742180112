"""Tasks in code: `file.py:NAME`, `module:NAME`, and packages that announce theirs."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from redone.tasks.errors import RedoneError
from redone.tasks.registry import by_name, find
from redone.tasks.sources import DataPaths
from redone.tasks.task_file import locate

TOY = Path(__file__).with_name("toy_benchmark.py")


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch):
    """Announces entry points: name -> value."""

    def announce(points: dict[str, str]) -> None:
        found = [metadata.EntryPoint(n, value, locate.GROUP) for n, value in points.items()]
        monkeypatch.setattr(locate.metadata, "entry_points", lambda group: found)
        locate.plugins.cache_clear()

    yield announce
    locate.plugins.cache_clear()


def test_a_task_of_a_python_file_is_found_by_path_and_name():
    (task,) = find(None, f"{TOY}:BENCHMARK")
    assert find(None, f"{TOY}:BENCHMARK")[0].name == task.name


def test_a_module_that_cannot_be_loaded_is_named(tmp_path: Path):
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_this_name")
    with pytest.raises(RedoneError, match="broken.py:TASK.*No module named 'nothing_of_this_name'"):
        find(None, f"{path}:TASK")


def test_what_is_no_task_is_refused(tmp_path: Path):
    path = tmp_path / "number.py"
    path.write_text("TASK = 3")
    with pytest.raises(RedoneError, match="is int: a Task, a Benchmark"):
        find(None, f"{path}:TASK")


def test_a_package_announces_its_tasks(announced):
    announced({"toy": f"{TOY}:BENCHMARK"})
    name = find(None, f"{TOY}:BENCHMARK")[0].name
    assert by_name(name).name == name
    assert [task.name for task in find(None, name.partition("/")[0] + "/*")] == [name]


def test_a_broken_package_is_named_and_does_not_stop_the_others(
    announced, capsys: pytest.CaptureFixture[str]
):
    announced({"bad": "no_such_module:TASKS", "toy": f"{TOY}:BENCHMARK"})
    assert len(locate.plugins()) == 1
    assert "The plugin 'bad' is left out" in capsys.readouterr().err


def test_a_package_that_ends_the_process_is_left_out_too(announced, tmp_path: Path):
    path = tmp_path / "leaves.py"
    path.write_text("import sys; sys.exit(0)")
    announced({"bad": f"{path}:TASK"})
    assert not locate.plugins()
    with pytest.raises(RedoneError, match="SystemExit"):
        find(None, f"{path}:TASK")


def test_redone_tasks_names_files_for_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    examples = Path(__file__).parents[2] / "examples"
    monkeypatch.setenv("REDONE_TASKS", str(examples / "topic.toml"))
    data = DataPaths.resolve(tmp_path)
    assert by_name("examples/topic", data).title == "Topic of a post"
    assert DataPaths.resolve(tmp_path).variables()["REDONE_TASKS"].endswith("topic.toml")
