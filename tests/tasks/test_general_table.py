"""The table of general benchmarks is what the installed lm-eval defines."""

from pathlib import Path

import numpy as np
import pytest

from redone.tasks.cli import main
from redone.tasks.errors import RedoneError
from redone.tasks.general.definitions import Wanted, manager
from redone.tasks.general.lm_eval_tasks import tabled
from redone.tasks.general.table import ENTRIES, UNAVAILABLE
from redone.tasks.registry import SUITES, find, suite_tasks, table_of

TABLED = [e for categories in ENTRIES.values() for es in categories.values() for e in es]


def leaves(index, name):
    entry = index.task_index[name]
    if entry.kind.name == "TAG":
        return [leaf for each in sorted(entry.tags) for leaf in leaves(index, each)]
    if entry.kind.name == "GROUP":
        return [leaf for each in entry.cfg["task"] for leaf in leaves(index, each)]
    return [entry.cfg]


def version(cfg):
    return str(cfg.get("metadata", {}).get("version", "Yaml"))


@pytest.mark.parametrize("entry", TABLED, ids=lambda e: e.name)
def test_entry(entry):
    """Name, versions, data sets and filters, read from the definitions; no data set is loaded."""
    from lm_eval import tasks

    index = manager(Path(tasks.__file__).parent / entry.folder)
    own = index.task_index[entry.name]
    parts = leaves(index, entry.name)
    versions = [version(own.cfg)] if own.kind.name == "GROUP" else []
    assert entry.version == "+".join([*versions, *sorted({version(p) for p in parts})])
    assert {p["dataset_path"] for p in parts} == {entry.hub}
    for part in parts:
        filters = {f["name"] for f in part.get("filter_list") or [{"name": "none"}]}
        assert {key.partition(",")[2] for key in entry.metrics} <= filters
        names = [m["metric"] for m in part["metric_list"]]
        if all(isinstance(name, str) for name in names) and not entry.code:
            assert {key.partition(",")[0] for key in entry.metrics} <= set(names)
        assert bool(part.get("unsafe_code")) == entry.code
    if own.kind.name == "GROUP":
        listed = own.cfg["aggregate_metric_list"]
        assert entry.metrics[0].partition(",")[0] == listed[0]["metric"]
        assert all(each["weight_by_size"] for each in listed)


def test_the_suite_and_its_variants():
    names = [t.name for t in suite_tasks("general")]
    assert {"lm_eval:mmlu", "lm_eval:gsm8k", "lm_eval:ifeval", "general/halueval"} <= set(names)
    chat = [t.name for t in suite_tasks("general+chat")]
    assert [n.removesuffix("+chat") for n in chat] == names
    assert "general/halueval" in chat, "native tasks always go through the chat template"
    assert [t.name for t in find(None, "lm_eval:gsm8k+chat,lm_eval:cmmlu")] == [
        "lm_eval:cmmlu",
        "lm_eval:gsm8k+chat",
    ]


def test_a_table_of_variants():
    rows = {(r.level, r.name): r for r in table_of(["lm_eval:gsm8k+chat", "lm_eval:ifeval"])}
    assert rows["task", "lm_eval:gsm8k+chat"].title == "GSM8K, chat"
    assert rows["benchmark", "general_mathematics"].title == "General: mathematics (1 of 3 tasks)"
    assert rows["suite", "general"].groups == ("lm_eval:gsm8k+chat", "lm_eval:ifeval")


def test_scoring_of_the_table():
    ifeval = tabled("lm_eval:ifeval").scorings["corrected"]
    assert ifeval.name == "lm_eval"
    assert [m.name for m in ifeval.metrics][:2] == ["mean_of_4", "prompt_level_strict_acc,none"]
    # sum and count of each of the four: 1 of 2, 3 of 4, 2 of 2, 4 of 4
    sums = np.array([1, 2, 3, 4, 2, 2, 4, 4], dtype=float)
    assert ifeval.metrics[0].point(sums) == pytest.approx((50 + 75 + 100 + 100) / 4)
    assert ifeval.metrics[2].point(sums) == pytest.approx(75)
    for name in ("humaneval", "mbpp"):
        assert tabled(f"lm_eval:{name}").needs() == ("sandbox",)


def test_names_are_parsed():
    assert Wanted.of("lm_eval:a/b+chat+3shot") == Wanted("a", "b", True, 3)
    assert Wanted.of("a") == Wanted("a")
    with pytest.raises(RedoneError, match="variant"):
        Wanted.of("a+")


def test_list_reports_what_is_unavailable_and_why(capsys):
    assert main(["list", "--suite", "general"]) == 0
    out = capsys.readouterr().out
    assert all(f"not here: {a.title}: {a.reason}" in out for a in UNAVAILABLE)
    assert all(t.name in out for t in suite_tasks("general"))
    assert "general" in SUITES
