"""Readers, ids, clusters, partitions and limits."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redone.tasks.errors import BadRow, MissingData, RedoneError, UnknownName
from redone.tasks.registry import BENCHMARKS, TASKS, by_name, find
from redone.tasks.schema import Record
from redone.tasks.sources import (
    JsonReader,
    cluster_of,
    data_folder,
    data_hash,
    partition_of,
    samples,
)

MODEL = by_name("sns_mini/ner")


def reader(path="x/a.jsonl"):
    return JsonReader(
        path,
        {"text": str, "answer": str},
        lambda raw: Record(
            {"text": raw["text"]}, raw["answer"], "en", raw["text"], raw.get("split", "test")
        ),
    )


def a_task(path="x/a.jsonl", **changes):
    return replace(MODEL, **({"name": "x/a", "read": reader(path), "splits": {}} | changes))


def write(folder, rows, name="a.jsonl", array=False):
    (folder / "x").mkdir(exist_ok=True)
    path = folder / "x" / name
    lines = [r if isinstance(r, str) else json.dumps(r) for r in rows]
    path.write_text(f"[{','.join(lines)}]" if array else "\n".join(lines) + "\n", "utf-8")
    return path


def rows(count, split="test"):
    return [{"text": f"note {n}", "answer": "a", "split": split} for n in range(count)]


def test_array_and_lines_are_the_same(tmp_path):
    write(tmp_path, rows(5))
    write(tmp_path, rows(5), "b.json", array=True)
    assert list(samples(a_task(), tmp_path)) == list(samples(a_task("x/b.json"), tmp_path))


def test_identical_rows_are_samples_of_their_own(tmp_path):
    write(tmp_path, [rows(1)[0]] * 3 + rows(2))
    found = list(samples(a_task(), tmp_path))
    assert len({s.id for s in found}) == 5
    assert len({s.cluster for s in found}) == 2
    assert [s.index for s in found] == [0, 1, 2, 3, 4]
    assert all(len(s.id) == 16 and int(s.id, 16) >= 0 for s in found)


def test_id_depends_on_task_and_content_and_not_on_place(tmp_path):
    write(tmp_path, rows(3))
    first = {s.fields["text"]: s.id for s in samples(a_task(), tmp_path)}
    write(tmp_path, rows(3)[::-1])
    assert {s.fields["text"]: s.id for s in samples(a_task(), tmp_path)} == first
    other = {s.id for s in samples(a_task(name="x/b"), tmp_path)}
    assert not other & set(first.values())


def test_one_split_is_hashed_in_halves(tmp_path):
    write(tmp_path, rows(400))
    parts = Counter(s.partition for s in samples(a_task(), tmp_path))
    assert set(parts) == {"diagnose", "gate"}
    assert min(parts.values()) > 150


def test_several_splits_are_partitions(tmp_path):
    write(tmp_path, rows(9, "train") + rows(30, "val") + rows(5, "test"))
    task = a_task(splits={"train": "train", "val": "hash", "test": "report"})
    every = list(samples(task, tmp_path))
    assert Counter(s.split for s in every) == {"val": 30, "test": 5}
    assert {s.partition for s in every if s.split == "val"} == {"diagnose", "gate"}
    assert {s.partition for s in every if s.split == "test"} == {"report"}
    train = list(samples(task, tmp_path, partition="train"))
    assert len(train) == 9
    assert not {s.id for s in train} & {s.id for s in every}
    parts = [
        s.id for p in ("diagnose", "gate", "report") for s in samples(task, tmp_path, partition=p)
    ]
    assert sorted(parts) == sorted(s.id for s in every)


def test_a_split_without_a_rule_is_never_evaluated(tmp_path):
    write(tmp_path, rows(2, "train"))
    with pytest.raises(ValueError, match="train"):
        list(samples(a_task(), tmp_path))


def test_limit_is_seeded_nested_and_keeps_file_order(tmp_path):
    write(tmp_path, rows(50))
    order = [s.id for s in samples(a_task(), tmp_path)]
    chosen = [[s.id for s in samples(a_task(), tmp_path, limit=n)] for n in (5, 20, 50, 80)]
    assert [len(c) for c in chosen] == [5, 20, 50, 50]
    assert set(chosen[0]) < set(chosen[1]) < set(chosen[2])
    assert all(c == [i for i in order if i in c] for c in chosen)
    other = [s.id for s in samples(a_task(), tmp_path, limit=20, seed=1)]
    assert set(other) != set(chosen[1])
    write(tmp_path, rows(50)[::-1])
    assert {s.id for s in samples(a_task(), tmp_path, limit=20)} == set(chosen[1])


def test_bad_arguments(tmp_path):
    with pytest.raises(UnknownName, match=r"'daignose'.*'diagnose'"):
        samples(a_task(), tmp_path, partition="daignose")
    with pytest.raises(RedoneError, match="0 samples"):
        samples(a_task(), tmp_path, limit=0)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "a"}, r"a\.jsonl, row 2: the field 'answer' is missing"),
        ({"text": 3, "answer": "a"}, r"row 2, field 'text': a string is expected, not a number"),
        ({"text": None, "answer": "a"}, r"row 2, field 'text': a string is expected, not null"),
        ([1], r"row 2: an object is expected, not a list"),
        ('{"text": "a", ', r"row 2: not valid JSON"),
    ],
)
def test_bad_row_names_file_row_and_field(tmp_path, row, said):
    write(tmp_path, [*rows(1), row])
    with pytest.raises(BadRow, match=said):
        list(samples(a_task(), tmp_path))


def test_broken_array_and_value_error(tmp_path):
    write(tmp_path, ["{"], "b.json", array=True)
    with pytest.raises(BadRow, match=r"b\.json, line 1: not valid JSON"):
        list(samples(a_task("x/b.json"), tmp_path))

    def refuse(raw):
        raise ValueError("field 'answer': empty")

    write(tmp_path, rows(1))
    with pytest.raises(BadRow, match="row 1: field 'answer': empty"):
        list(samples(a_task(read=replace(reader(), row=refuse)), tmp_path))


def test_missing_file_says_how_to_get_it(tmp_path):
    with pytest.raises(MissingData, match=r"redone tasks fetch x.*sns-mini"):
        list(samples(a_task(), tmp_path))


def test_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REDONE_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    assert data_folder(tmp_path / "new", create=True) == tmp_path / "new"
    with pytest.raises(MissingData, match="--data-dir"):
        data_folder(tmp_path / "nowhere")
    monkeypatch.setenv("REDONE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(MissingData, match="REDONE_DATA"):
        data_folder()
    monkeypatch.delenv("REDONE_DATA")
    assert data_folder().name == "redone"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Note Title: Tea time\n    Note Content: at four", "Title:\nTea time\nBody: at four"),
        ("Tea Time!", "tea   time ☕️"),
        ("ＡＢＣ茶１２", "abc茶12"),
        ("Café au lait", "CAFE\u0301 AU LAIT"),
        ("笔记，标题。", "笔记标题"),
        ("笔记标题：下午茶\n正文：四点钟", "Title: 下午茶\nBody: 四点钟"),
    ],
)
def test_one_text_is_one_cluster(one, other):
    assert cluster_of(one) == cluster_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tea", "teas"),
        ("茶一", "茶二"),
        ("🍵", "🍶"),
        ("", "🍵"),
        ("tea 茶", "tea"),
        ("café", "cafè"),
    ],
)
def test_other_texts_are_other_clusters(one, other):
    assert cluster_of(one) != cluster_of(other)


@given(st.text())
def test_cluster_of_any_text(text):
    assert len(cluster_of(text)) == 16


def test_partition_follows_the_cluster_across_tasks():
    for text in ("one note", "another note", "第三篇"):
        cluster = cluster_of(text)
        assert len({partition_of(t, "test", cluster) for t in find("sns,sns-mini")}) == 1


def test_data_hash_tells_sets_apart_in_any_order():
    assert data_hash(["a", "b"]) == data_hash(iter(["b", "a"]))
    assert len({data_hash(x) for x in ([], ["a"], ["a", "a"], ["a", "b"], ["ab"])}) == 5


@pytest.mark.shared_data
def test_published_data(data_dir):
    found = {name: list(samples(task, data_dir)) for name, task in TASKS.items() if task.dataset}
    counts = {
        k: sum(len(found[t.name]) for t in BENCHMARKS[k].tasks) for k in ("sns_bench", "sns_trans")
    }
    assert counts["sns_bench"] == 6658
    assert counts["sns_trans"] == 2858
    every = [s for items in found.values() for s in items]
    assert len({s.id for s in every}) == len(every)
    assert not any(s.partition == "train" for s in every)
    for name, items in found.items():
        if not TASKS[name].splits:
            share = sum(s.partition == "diagnose" for s in items) / len(items)
            assert 0.35 < share < 0.65, name
    halves = {}
    for sample in every:
        if sample.partition != "report":
            halves.setdefault(sample.cluster, set()).add(sample.partition)
    assert all(len(parts) == 1 for parts in halves.values())
