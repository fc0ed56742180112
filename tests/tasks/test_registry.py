"""The table of tasks, and how figures are put together."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from redone.tasks import registry
from redone.tasks.check import check
from redone.tasks.datasets import datasets
from redone.tasks.errors import IncompleteTask, UnknownName
from redone.tasks.registry import (
    BENCHMARKS,
    SUITES,
    TASKS,
    by_name,
    category_title,
    find,
    table_of,
)
from redone.tasks.task import ROOM


def test_what_there_is():
    assert {name: len(find(name)) for name in SUITES} == {
        "sns": 14,
        "sns-mini": 14,
        "tweeteval": 6,
        "general-mini": 8,
        "general-mini-report": 8,
        "general": 29,
    }
    assert (
        len(BENCHMARKS["sns_bench"].categories) == len(BENCHMARKS["sns_bench_mini"].categories) == 8
    )
    assert len(TASKS) == sum(len(b.tasks) for b in BENCHMARKS.values())


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_task_is_complete(task):
    assert "corrected" in task.scorings
    assert "official" in task.scorings
    assert "en" in task.prompts
    assert category_title(task)
    assert task.chance.known or task.name.startswith(("general/", "lm_eval:"))
    assert [task] == [
        t
        for b in BENCHMARKS.values()
        for t in b.categories.get(task.category, ())
        if t.name == task.name
    ]
    assert task.dataset in (None, *datasets())
    elsewhere = ("sns_mini/", "general_mini/", "general_mini_report/", "general/", "lm_eval:")
    assert (task.dataset is None) == task.name.startswith(elsewhere)
    ours = not task.name.startswith("lm_eval:")  # lm-eval's limits are part of its definitions
    assert task.settings.max_tokens > (ROOM if ours else 0)
    assert bool(task.settings.max_repetition) == ours
    assert task.citation
    assert task.version
    for scoring in task.scorings.values():
        reduced = scoring.without or scoring.needs == ("sandbox",)
        assert not scoring.needs or reduced, "a missing service must be told in the name"


def test_twins_ask_and_judge_alike():
    for task in find("sns"):
        twin = by_name(f"sns_mini/{task.name.partition('/')[2]}")
        assert twin.scorings is task.scorings
        assert twin.prompts is task.prompts
        assert twin.kind == "embedded"


def test_twins_have_both_languages(tmp_path):
    from redone.tasks.sources import samples

    for task in find("sns-mini"):
        found = list(samples(task, tmp_path))
        assert len(found) >= 12
        if task.category not in ("zh_en", "en_zh"):
            assert {s.language for s in found} == {"en", "zh"}


@pytest.mark.parametrize(
    ("suite", "tasks", "count"),
    [
        (None, None, 14),
        ("sns,tweeteval", None, 20),
        (None, "sns_bench/ner", 1),
        (None, "sns_bench/ner,sns_bench/ner , sns_trans/*", 3),
        (None, "*/taxonomy_*", 4),
        (None, "sns_bench", 12),
        (None, "sns", 14),
        ("sns", "*/mrc_*", 2),
    ],
)
def test_find(suite, tasks, count):
    found = find(suite, tasks)
    assert len(found) == count
    order = list(TASKS.values())
    assert found == sorted(found, key=order.index)


@pytest.mark.parametrize(
    ("suite", "tasks", "near"),
    [
        ("sns-min", None, "sns-mini"),
        (None, "sns_bench/taxonomy", "sns_bench/taxonomy_single"),
        (None, "tweeteval/ironie", "tweeteval/irony"),
        ("sns", "tweeteval/irony", ""),
    ],
)
def test_unknown_names(suite, tasks, near):
    with pytest.raises(UnknownName) as caught:
        find(suite, tasks)
    assert near in (*caught.value.near, "")
    with pytest.raises(UnknownName):
        by_name("nothing")


def test_an_unknown_name_tells_the_near_ones_or_all_if_few():
    few = str(UnknownName("mode", "onn", ["on", "off", "auto"]))
    assert few == "Unknown mode 'onn'. Did you mean 'on'? Known: auto, off, on."
    near = str(UnknownName("task", "sns_bench/nre", TASKS))
    assert "'sns_bench/ner'" in near and "redone tasks list" in near
    far = str(UnknownName("task", "???", TASKS))
    assert "redone tasks list" in far
    assert max(len(near), len(far)) < 500


def mean(groups, figures):
    parts = [figures[g] if isinstance(g, str) else mean(g, figures) for g in groups]
    return sum(parts) / len(parts)


def test_means_are_of_means():
    figures = {t.name: float(n) for n, t in enumerate(find("sns"))}
    rows = {(r.level, r.name): r for r in table_of(list(figures))}
    values = {key: mean(row.groups, figures) for key, row in rows.items()}
    assert values["category", "sns_bench/taxonomy"] == 0.5
    assert values["category", "sns_bench/ner"] == 8.0
    assert values["benchmark", "sns_bench"] == pytest.approx(
        (0.5 + 2.5 + 4.5 + 6.5 + 8 + 9 + 10 + 11) / 8
    )
    assert values["benchmark", "sns_trans"] == 12.5
    assert values["suite", "sns"] == pytest.approx((values["benchmark", "sns_bench"] + 12.5) / 2)
    assert rows["suite", "sns"].of == tuple(figures)


def test_a_partial_mean_says_so():
    rows = {(r.level, r.name): r for r in table_of(["sns_bench/ner", "sns_bench/mrc_simple"])}
    assert rows["category", "sns_bench/mrc"].title == "MRC (1 of 2 tasks)"
    assert rows["category", "sns_bench/ner"].title == "NER"
    assert rows["benchmark", "sns_bench"].title == "SNS-Bench (2 of 12 tasks)"
    assert rows["suite", "sns"].title.endswith("(2 of 14 tasks)")
    assert not any(name.startswith("tweeteval") for _, name in rows)


# --- a made-up benchmark: one file and one line ---------------------------------------------------

BENCHMARK_FILE = Path(__file__).with_name("toy_benchmark.py").read_text("utf-8")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Registers the made-up benchmark with a change to its file, and returns the file's path."""

    def register(old="", new="", line=("toy/drink",)):
        module = f"toy_{abs(hash((old, new)))}"
        assert old in BENCHMARK_FILE
        path = tmp_path / f"{module}.py"
        path.write_text(BENCHMARK_FILE.replace(old, new), "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(registry.TABLE, "toy", registry.Line(module, line))
        return path

    return register


def test_one_file_and_one_line_make_a_benchmark(toy, tmp_path):
    toy()
    assert [task.name for task in find(None, "toy")] == ["toy/drink"]
    task = by_name("toy/drink")
    assert (task.category, task.capability, task.language, task.version) == (
        *("drinks", "unknown", "en"),
        1,
    )
    assert not task.chance.known
    assert task.scorings["official"] is task.scorings["corrected"]
    titles = {(row.level, row.name): row.title for row in table_of(["toy/drink"])}
    assert titles == {
        ("category", "toy/drinks"): "Drinks",
        ("task", "toy/drink"): "Which drink",
        ("benchmark", "toy"): "Toys",
    }


def test_a_new_benchmark_passes_the_check(toy, tmp_path):
    toy()
    report = check(by_name("toy/drink"), tmp_path, fuzz=200)
    assert report.problems == []
    assert "chance level is unknown" in report.notes[0]


def test_a_new_benchmark_is_evaluated(toy, tmp_path, capsys):
    from redone.harness.cli import main

    toy()
    argv = ["--backend", "scripted", "--model", "gold", "--tasks", "toy"]
    assert main([*argv, "--output", str(tmp_path / "run")]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))
    scores = results["tasks"]["toy/drink"]["scorings"]
    assert scores["corrected"]["metrics"]["accuracy"] == 100
    assert "Toys" in capsys.readouterr().out


def test_an_incomplete_benchmark_stops_a_run_before_it_starts(toy, tmp_path, capsys):
    from redone.harness.cli import main

    toy("    gold=lambda sample: sample.target,\n")
    argv = ["--backend", "scripted", "--model", "empty", "--tasks", "toy"]
    assert main([*argv, "--output", str(tmp_path / "run")]) == 64
    assert "argument: 'gold'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    gold=lambda sample: sample.target,\n", "", "argument: 'gold'"),
        ("    read=records,\n", "", "argument: 'read'"),
        ('    title="Which drink",\n', "", "argument: 'title'"),
        ('name="toy/drink"', 'name="drink"', "'drink': the name must be `benchmark/subtask`"),
        ('name="toy/drink"', 'name="toy/tea"', "where its module has 'toy/tea'"),
        ('prompts={"en"', 'prompts={"zh"', "`prompts` has no entry 'en'"),
        ('        "corrected": accuracy', '        "own": accuracy', "no entry 'corrected'"),
        ('Benchmark("Toys", {', "Benchmark({", "argument: 'categories'"),
        ('Category("Drinks", (DRINK,))', "Category((DRINK,))", "argument: 'tasks'"),
        ("(DRINK,)", "()", "has 0 in its categories"),
        ("BENCHMARK = ", "OTHER = ", "does not define BENCHMARK"),
        ("    read=records", '    dataset="toys",\n    read=records', "no entry in datasets.toml"),
        ("    read=records", '    category="tea",\n    read=records', "category 'drinks'"),
        ("LABELS[n % 2]", "LABELS[n % 2", "does not match opening parenthesis"),
        ("task import Baselines", "task import Basis", "cannot import name 'Basis'"),
    ],
)
def test_what_is_left_out_is_named_before_anything_runs(toy, old, new, message):
    toy(old, new)
    with pytest.raises(IncompleteTask, match="toy") as caught:
        find(None, "toy")
    assert message in str(caught.value)


def test_a_line_that_names_other_tasks_is_refused(toy, monkeypatch):
    toy(line=("toy/drink", "toy/food"))
    with pytest.raises(IncompleteTask, match="names 2 tasks .toy/drink, toy/food.*has 1"):
        find(None, "toy/drink")
    monkeypatch.setitem(registry.TABLE, "toy", registry.Line("no_such_module", ("toy/drink",)))
    with pytest.raises(IncompleteTask, match="No module named 'no_such_module'"):
        find(None, "toy")


def test_a_dataset_without_an_entry_is_not_fetched(toy, capsys):
    from redone.tasks.cli import main

    toy("    read=records", '    dataset="toys",\n    read=records')
    assert main(["fetch", "toy", "--yes"]) == 64
    assert "'toys' has no entry in datasets.toml" in capsys.readouterr().err


# --- laziness ------------------------------------------------------------------------------------


def imported(program):
    """The task modules that a program imports."""
    program += "; import sys; print([m[13:] for m in sys.modules if m.startswith('redone.tasks.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(ast.literal_eval(done.stdout.splitlines()[-1]))


def test_names_import_nothing():
    names = "list(r.TASKS), len(r.TASKS), r.suite_names('general'), 'sns_bench/ner' in r.TASKS"
    found = imported(f"from redone.tasks import registry as r; {names}")
    assert found == {"registry", "errors", "schema", "sources", "task", "text"}


def test_one_task_imports_no_other_benchmark():
    found = imported(
        "from redone.tasks import registry as r; r.find(None, 'sns_mini/taxonomy_single');"
        "r.table_of(['sns_mini/taxonomy_single'])"
    )
    assert {"mini", "sns_bench.taxonomy"} <= found
    assert not {"tweeteval", "sns_trans", "sns_bench.ner", "sns_bench.mrc_simple"} & found
    assert not any(name.startswith("general") for name in found)
