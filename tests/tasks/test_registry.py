"""The table of tasks, and how figures are put together."""

import pytest

from redone.tasks.datasets import datasets
from redone.tasks.errors import UnknownName
from redone.tasks.registry import (
    BENCHMARKS,
    CATEGORIES,
    SUITES,
    TASKS,
    by_name,
    find,
    table_of,
)
from redone.tasks.sources import JsonReader


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
    assert task.category in CATEGORIES
    assert [task] == [
        t
        for b in BENCHMARKS.values()
        for t in b.categories.get(task.category, ())
        if t.name == task.name
    ]
    assert task.dataset in (None, *datasets())
    elsewhere = ("sns_mini/", "general_mini/", "general_mini_report/", "general/", "lm_eval:")
    assert (task.dataset is None) == task.name.startswith(elsewhere)
    assert task.settings.max_tokens > 0
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
        assert isinstance(twin.read, JsonReader)
        assert twin.read.embedded


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
    assert "'sns_bench/ner'" in near and "redone-tasks list" in near
    far = str(UnknownName("task", "???", TASKS))
    assert "redone-tasks list" in far
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
