"""Small runs with both axes of the seesaw."""

import shutil

import pytest
from reading import Page

from redone.reports.cli import main

SMALL = ("--limit", "24")
"""Items a task: enough for every verdict, and quick."""


def wrong(*tasks, every=1):
    """Spoils each `every`-th item of the tasks whose name ends in one of `tasks`."""

    def spoil(task, sample):
        hit = task.name.endswith(tasks) and sample.index % every == 0
        return "I cannot tell." if hit else None

    return spoil


@pytest.fixture(scope="session")
def run_both(scripted_run):
    """As `scripted_run`, on both embedded suites: a domain, and one whose role is robustness."""

    def run(name, spoil=lambda task, sample: None, *arguments):
        return scripted_run(name, spoil, *SMALL, *arguments, suite="sns-mini,general-mini")

    return run


@pytest.fixture(scope="session")
def base(run_both):
    """Wrong on a third of everything, and on all of CHLW."""

    def spoil(task, sample):
        return wrong("", every=3)(task, sample) or wrong("chlw")(task, sample)

    return run_both("base", spoil)


@pytest.fixture(scope="session")
def tuned(run_both):
    """Better on SNS work, worse in general."""

    def spoil(task, sample):
        general = task.benchmark == "general_mini" and sample.index % 4 != 3
        return "I cannot tell." if general else wrong("ner", every=2)(task, sample)

    return run_both("tuned", spoil)


@pytest.fixture(scope="session")
def refined(run_both):
    """Right nearly everywhere."""
    return run_both("refined", wrong("gender", every=4))


@pytest.fixture
def copied(tmp_path):
    """`copied(run, name) -> folder`: a copy of a run that a test may change."""

    def copy(run, name):
        return shutil.copytree(run, tmp_path / name)

    return copy


@pytest.fixture
def report(tmp_path, capsys):
    """`report(runs..., options...) -> Page`."""

    def make(*arguments):
        target = tmp_path / "report.html"
        assert main([*map(str, arguments), "--output", str(target)]) == 0, capsys.readouterr().err
        return Page(target.read_text("utf-8"))

    return make
