"""HaluEval and translation: the general benchmarks that lm-eval lacks."""

import json

import numpy as np
import pytest

from redone.tasks.check import check
from redone.tasks.errors import BadRow, MissingData
from redone.tasks.registry import by_name
from redone.tasks.schema import Completion, Services
from redone.tasks.sources import DataPaths, samples

HALUEVAL = by_name("general/halueval")


@pytest.fixture
def folder(tmp_path):
    general = tmp_path / "general"
    for name in ("halueval", "wmt22"):
        (general / name).mkdir(parents=True)
    rows = [
        {
            "ID": str(n),
            "user_query": f"Query {n}?",
            "chatgpt_response": f"Response {n}.",
            "hallucination": "yes" if n % 4 == 0 else "no",
            "hallucination_spans": [],
        }
        for n in range(8)
    ]
    pairs = [{"source": "The river is high today.", "target": "今天河水很高。"}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (general / "halueval" / "general_data.json").write_text(lines)
    (general / "wmt22" / "en-zh.jsonl").write_text(json.dumps(pairs[0]) + "\n")
    (general / "mirror.toml").write_text("")
    return tmp_path


def score_of(role, sample, text):
    return HALUEVAL.scorings[role].score(sample, [Completion(text)], Services())


def test_always_the_frequent_answer_is_worth_nothing(folder):
    found = list(samples(HALUEVAL, folder))
    assert [s.target for s in found[:2]] == ["Yes", "No"]
    scoring = HALUEVAL.scorings["corrected"]
    sums = np.sum([score_of("corrected", s, "No").stats for s in found], axis=0)
    recall, _, accuracy = (m.point(sums) for m in scoring.metrics)
    assert (recall, accuracy) == (50.0, 75.0)


@pytest.mark.parametrize(
    ("text", "corrected", "official"),
    [
        ("Yes", 1, 1),
        ("yes.", 1, 0),
        ("Answer: Yes, it invents a date.", 1, 1),
        ("Yes and No", 0, 0),
        ("", 0, 0),
        ("No", 0, 0),
    ],
)
def test_reading(folder, text, corrected, official):
    sample = next(samples(HALUEVAL, folder))
    assert score_of("corrected", sample, text).value == corrected
    assert score_of("official", sample, text).value == official


def test_a_label_that_is_none(folder):
    path = folder / "general" / "halueval" / "general_data.json"
    path.write_text(path.read_text().replace('"yes"', '"maybe"', 1))
    with pytest.raises(BadRow, match="row 1.*yes or no"):
        list(samples(HALUEVAL, folder))


@pytest.mark.shared_data
def test_published_halueval_is_proved(data_dir):
    report = check(HALUEVAL, data_dir, fuzz=200)
    assert (report.items, report.problems) == (4507, [])


def test_translation_is_read_from_the_users_files(folder):
    task = by_name("general/wmt22_en_zh")
    (sample,) = samples(task, folder)
    assert (sample.fields["en"], sample.target) == ("The river is high today.", "今天河水很高。")
    gold = task.scorings["corrected"].score(sample, [Completion(sample.target)], Services())
    assert gold.value == 1.0
    with pytest.raises(MissingData, match=r"flores/en-zh\.jsonl is in no mirror"):
        list(samples(by_name("general/flores_en_zh"), folder))


def test_two_places_of_data_in_one_process_do_not_see_each_other(folder, tmp_path):
    """A reader that is bound to a mirror searches it, and no other reader does."""
    empty, elsewhere = tmp_path / "empty", tmp_path / "elsewhere"
    for each in (empty, elsewhere / "halueval"):
        each.mkdir(parents=True)
    (elsewhere / "mirror.toml").write_text("")
    text = (folder / "general" / "halueval" / "general_data.json").read_text()
    (elsewhere / "halueval" / "general_data.json").write_text(text.splitlines()[0] + "\n")
    bound = HALUEVAL.read.using(DataPaths(empty, (elsewhere,)))
    assert len(list(bound(empty))) == 1
    assert len(list(HALUEVAL.read(folder))) == 8
    with pytest.raises(MissingData, match="in no mirror"):
        list(HALUEVAL.read(empty))
    assert (bound.place(), HALUEVAL.read.place(DataPaths(empty))) == (
        "mirror",
        "yours: halueval/general_data.json",
    )
