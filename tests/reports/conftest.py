"""Small runs with both axes of the seesaw, and a page read back into its parts."""

import json
import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from redone.reports.cli import main
from redone.reports.packing import unpacked
from redone.tasks import registry

SUITES = "sns-mini,trans-mini"


def wrong(*tasks, every=1):
    """Spoils each `every`-th item of the tasks whose name ends in one of `tasks`."""

    def spoil(task, sample):
        hit = task.name.endswith(tasks) and sample.index % every == 0
        return "I cannot tell." if hit else None

    return spoil


@pytest.fixture(scope="package", autouse=True)
def two_suites():
    """The embedded demonstration as two suites: a domain, and one whose role is robustness."""
    whole = registry.SUITES["sns-mini"]
    registry.SUITES["sns-mini"] = registry.Suite("Demonstration", ("sns_bench_mini",))
    registry.SUITES["trans-mini"] = registry.Suite("Translation", ("sns_trans_mini",))
    yield
    registry.SUITES["sns-mini"] = whole
    del registry.SUITES["trans-mini"]


@pytest.fixture(scope="package")
def base(two_suites, scripted_run):
    """Wrong on a third of everything, and on all of CHLW."""

    def spoil(task, sample):
        return wrong("", every=3)(task, sample) or wrong("chlw")(task, sample)

    return scripted_run("base", spoil, suite=SUITES)


@pytest.fixture(scope="package")
def tuned(two_suites, scripted_run):
    """Better on SNS work, worse on translation."""

    def spoil(task, sample):
        return wrong("zh_en", "en_zh", every=2)(task, sample) or wrong("ner", every=2)(task, sample)

    return scripted_run("tuned", spoil, suite=SUITES)


@pytest.fixture(scope="package")
def refined(two_suites, scripted_run):
    """Right nearly everywhere."""
    return scripted_run("refined", wrong("gender", every=4), suite=SUITES)


@pytest.fixture
def copied(tmp_path):
    """`copied(run, name) -> folder`: a copy of a run that a test may change."""

    def copy(run, name):
        return shutil.copytree(run, tmp_path / name)

    return copy


@dataclass
class Page(HTMLParser):
    """An HTML page read back.

    Attributes:
        source: The file's content.
        tags: (name, attributes) of every element.
        text: All that a reader sees, in order.
        data: (path, value, words) of every `<data>`; the path is the `data-row`, `data-task` or
            `data-stage` of the elements around it, outermost first.
        scripts: Content by id; the page's own script has "".
    """

    source: str
    tags: list = field(default_factory=list)
    text: str = ""
    data: list = field(default_factory=list)
    scripts: dict = field(default_factory=dict)

    NAMES = ("data-row", "data-task", "data-stage")
    VOID = {"meta", "input", "br", "link", "img"}

    def __post_init__(self):
        super().__init__()
        self.open = []
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag not in self.VOID:
            self.open.append((tag, attrs))
        if tag == "data":
            path = [a[n] for _, a in self.open for n in ("id", *self.NAMES) if a.get(n)]
            self.data.append([path, float(attrs["value"]), ""])

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tag, attrs = self.open[-1] if self.open else ("", {})
        if tag == "script":
            self.scripts[attrs.get("id", "")] = data
        elif tag != "style":
            self.text += data
            if tag == "data":
                self.data[-1][2] += data

    def unpacked(self, name):
        return json.loads(unpacked(self.scripts[f"packed-{name}"]))

    def values(self, *path):
        """Values of the figures that stand within all of these."""
        return [value for places, value, _ in self.data if set(path) <= set(places)]

    def table(self, name):
        """A data table of the page, as records."""
        table = self.unpacked("data")["tables"][name]
        return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


@pytest.fixture
def report(tmp_path, capsys):
    """`report(runs..., options...) -> Page`."""

    def make(*arguments):
        target = tmp_path / "report.html"
        assert main([*map(str, arguments), "--output", str(target)]) == 0, capsys.readouterr().err
        return Page(target.read_text("utf-8"))

    return make
