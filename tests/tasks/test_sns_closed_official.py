"""The authors' rules for the closed subtasks of SNS-Bench, one case per quirk, and their figures."""

import json
from random import Random

import numpy as np
import pytest

from redone.tasks.errors import BadRow
from redone.tasks.registry import find
from redone.tasks.schema import Completion, Sample, Services
from redone.tasks.sns_bench import base, ner
from redone.tasks.sources import samples

TASKS = {
    task.name.partition("/")[2]: task
    for task in find(None, "sns_bench")
    if task.category in ("taxonomy", "hashtag", "query_corr", "gender", "ner", "chlw")
}


def judge(name, target, text, scoring="official", **fields):
    sample = Sample("0", name, fields, target, "en", "0", "test", "gate", {})
    return TASKS[name].scorings[scoring].score(sample, [Completion(text)], Services())


def point(name, scores, scoring="official"):
    metric = TASKS[name].scorings[scoring].metrics[0]
    return metric.point(np.array([score.stats for score in scores]).sum(axis=0))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: Tea", "Tea"),
        ("Answer:Answer: Tea", "Tea"),
        ("Tea Answer:", "Tea"),
        ("Tea\nbecause", "Tea"),
        ("Tea, Cake", "Tea"),
        ("Tea. It is", "Tea"),
        ("Tea<br>", "Tea"),
        ("> Tea", ""),
        ("Teaendofresponse", "Tea"),
        ("Tea<|im_end|>", "Tea"),
        ("Trends", "Tr"),
        ("Recommendation", "Recomm"),
        ("Mr. Leaf", "Mr"),
        ("TRENDS", "TRENDS"),
        ("**Tea**", "**Tea**"),
        ("", ""),
    ],
)
def test_choice_is_cut_anywhere(text, answer):
    assert base.official_choice(text) == answer


def test_yes_or_no_is_not_cut_at_end():
    assert base.read_official_yes_no(None, Completion("Yes endless")).answer == "Yes endless"
    assert base.read_official_yes_no(None, Completion("Answer: Yes, it does")).answer == "Yes"


@pytest.mark.parametrize("name", ["taxonomy_single", "hashtag_single"])
@pytest.mark.parametrize(
    ("gold", "text", "value"),
    [
        ("Tea", "Tea", 1),
        ("Tea", "tea", 0),
        ("Tea", "**Tea**", 0),
        ("Trends", "Trends", 0),
        ("Tr", "Trends", 1),
    ],
)
def test_choice_by_string_equality(name, gold, text, value):
    assert judge(name, gold, text).value == value


@pytest.mark.parametrize(
    ("gold", "text", "value"),
    [
        ("Food | Baking | Bread", "Food | Baking | Bread", 1),
        ("Food | Baking | Bread", "Food Baking Bread", 1),  # bars are deleted on both sides
        (
            "Food | Baking | Bread",
            "Food |  The Baking | A Bread!",
            1,
        ),  # articles, punctuation, space
        ("Food | Baking | Bread", "food | baking | bread", 0),
        (
            "Food | Baking | Trends",
            "Food | Baking | Trends",
            0,
        ),  # only the prediction is cut at "end"
        ("Food | Baking | Tr. X", "Food | Baking | Tr", 1),  # the gold is cut at the full stop
    ],
)
def test_path(gold, text, value):
    assert judge("taxonomy_multiple", gold, text).value == value


@pytest.mark.parametrize("name", ["hashtag_multiple", "ner"])
@pytest.mark.parametrize(
    ("text", "stats"),
    [
        ("Tea, Cake", (2, 2, 2)),
        ("Answer: Cake ,Tea,", (2, 2, 2)),
        ("Tea, Tea", (1, 1, 2)),
        ("Tea\nCake", (1, 1, 2)),
        ("Tea, Weekend", (1, 2, 2)),  # not cut at "end"
        ("Tea<Cake", (1, 1, 2)),
        ("Tea，Cake", (0, 1, 2)),  # full-width commas do not separate
        ("tea, cake", (0, 2, 2)),
        ("", (0, 0, 2)),
        ("[]", (0, 1, 2)),
    ],
)
def test_sets(name, text, stats):
    assert judge(name, ["Tea", "Cake"], text).stats == stats


@pytest.mark.parametrize("name", ["gender", "query_corr_explain"])
@pytest.mark.parametrize(
    ("text", "value"), [("Yes", 1), ("Yes, it does", 1), ("yes", 0), ("Yes!", 0), ("Y", 0)]
)
def test_yes_or_no(name, text, value):
    assert judge(name, "Yes", text).value == value


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("2", "2"),
        ("10", "1"),
        ("5 - 1", "1"),
        ("level-1", "-1"),
        ("3 or 2", "3"),
        ("4", None),
        ("two", None),
    ],
)
def test_level_is_the_first_match_anywhere(text, level):
    score = judge("query_corr_topic", "2", text)
    assert score.parsed == level
    assert score.stats[-2:] == (float(level is not None), 1.0)
    if level is None:
        assert not any(score.stats[:-1])  # left out of the counts


def test_levels_are_smoothed_and_multiplied_by_the_readable_share():
    scores = [judge("query_corr_topic", level, level) for level in ("-1", "0", "1", "2", "3")]
    assert point("query_corr_topic", scores) == pytest.approx(99.99899, abs=1e-4)
    scores.append(judge("query_corr_topic", "3", "?"))
    assert point("query_corr_topic", scores) == pytest.approx(99.99899 * 5 / 6, abs=1e-3)


@pytest.mark.parametrize(
    ("gold", "text", "stats"),
    [
        (["Tea"], "['Tea']", (1, 1, 1, 1, 1)),
        (["Tea"], "Look: ['Tea'] and ['Cake']", (1, 1, 1, 1, 1)),  # the first brackets
        (["Tea"], "[['Tea'], 'Cake']", (1, 1, 1, 1, 1)),  # without inner brackets
        ([], "[]", (1, 1, 1, 1, 1)),  # an empty list is the list of ""
        ([], "['']", (1, 1, 1, 1, 1)),
        (["Tea"], "[]", (0, 1, 1, 1, 1)),
        (["Tea"], "['tea']", (0, 1, 1, 1, 1)),
        (["Tea"], "['Te' 'a']", (1, 1, 1, 1, 1)),  # a Python literal
        (["Tea"], "Tea", (0, 0, 0, 0, 1)),  # an error, left out
        (["Tea"], "'Tea'", (0, 0, 0, 0, 1)),
        (["Tea"], "[Tea]", (0, 0, 0, 0, 1)),
        (["Tea"], "[1]", (0, 0, 0, 0, 1)),
        (["Tea"], "('Tea',)", (0, 0, 0, 0, 1)),
        (["Tea"], "['Tea'.strip()]", (0, 0, 0, 0, 1)),  # code is never run
        ([], "", (0, 0, 0, 0, 1)),
    ],
)
def test_words(gold, text, stats):
    assert judge("chlw", gold, text).stats == stats


def test_words_round_the_f1_before_the_share():
    scores = [judge("chlw", ["Tea"], t) for t in ("['Tea']", "['Cake']", "['Mug']", "?")]
    assert point("chlw", scores) == pytest.approx(33.33 * 3 / 4)


def test_macro_f1_counts_a_failure_against_its_level():
    right = [judge("query_corr_topic", g, g, "corrected") for g in ("0", "1")]
    assert point("query_corr_topic", right, "corrected") == 100
    failed = [*right, judge("query_corr_topic", "1", "?", "corrected")]
    assert point("query_corr_topic", failed, "corrected") == pytest.approx((100 + 200 / 3) / 2)


@pytest.mark.parametrize("name", TASKS)
def test_prompts_ask_in_both_languages_for_the_fields_of_an_item(name):
    task = TASKS[name]
    places = [f"{{{field}}}" for field in task.read.fields if field != "answer"]
    for prompt in task.prompts.values():
        assert prompt.system
        assert all(place in prompt.user for place in places)
        assert not any(place in prompt.system for place in places)


@pytest.mark.parametrize(
    ("name", "row", "named"),
    [
        ("gender", {"content": "x", "answer": "Maybe"}, "answer"),
        ("query_corr_topic", {"content": "x", "answer": "4"}, "answer"),
        ("chlw", {"content": "x", "answer": "['a'"}, "answer"),
        ("chlw", {"content": "x", "answer": "[1]"}, "answer"),
        ("ner", {"content": "x", "question": "y", "answer": 3}, "answer"),
        ("taxonomy_single", {"content": "x", "answer": "y"}, "candidates"),
    ],
)
def test_a_bad_row_names_its_field(name, row, named, tmp_path):
    task = TASKS[name]
    path = tmp_path / task.read.path
    path.parent.mkdir()
    path.write_text(json.dumps([row]))
    with pytest.raises(BadRow, match=f"row 1.*{named}"):
        list(task.read(tmp_path))


def test_a_chinese_row_keeps_its_language(tmp_path):
    path = tmp_path / ner.TASK.read.path
    path.parent.mkdir()
    row = {
        "question": "找出所有“颜色”实体",
        "content": "红色和白色",
        "answer": "红色，白色",
        "language": "zh",
    }
    path.write_text(json.dumps([row]))
    (sample,) = samples(ner.TASK, tmp_path)
    assert (sample.language, sample.target, sample.tags["entity"]) == (
        "zh",
        ["红色", "白色"],
        "颜色",
    )
    assert set(sample.fields) == {"question", "content"}
    assert judge("ner", sample.target, "红色、白色", "corrected", **sample.fields).value == 1


GOLD_SCORE = {"taxonomy_single": 98.01, "taxonomy_multiple": 95.12, "hashtag_single": 96.0}


@pytest.mark.shared_data
@pytest.mark.parametrize("name", TASKS)
def test_official_agrees_with_the_authors(name, data_dir):
    task = TASKS[name]
    parity = json.loads((data_dir.parent / "parity" / "sns_bench.json").read_text())[
        task.prompt_key
    ]
    items = list(samples(task, data_dir))
    scoring = task.scorings["official"]
    scores = [
        scoring.score(items[i], [Completion(text)], Services())
        for i, text in zip(parity["index"], parity["prediction"], strict=True)
    ]
    assert point(name, scores) == pytest.approx(parity["reference"]["reported"], abs=0.01)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", TASKS)
def test_gold_sheet(name, data_dir):
    task = TASKS[name]
    items = list(samples(task, data_dir))
    for scoring, expected in (("official", GOLD_SCORE.get(name, 100.0)), ("corrected", 100.0)):
        judge_one = task.scorings[scoring].score
        scores = [judge_one(s, [Completion(task.gold(s))], Services()) for s in items]
        assert point(name, scores, scoring) == pytest.approx(expected, abs=0.01)
    assert all(score.value == 1 and score.failure is None for score in scores)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", TASKS)
def test_no_trivial_baseline_beats_the_stored_chance(name, data_dir):
    task = TASKS[name]
    items = list(samples(task, data_dir))
    judge_one = task.scorings["corrected"].score

    def sheet(texts):
        scores = [
            judge_one(s, [Completion(t)], Services()) for s, t in zip(items, texts, strict=True)
        ]
        return point(name, scores, "corrected"), float(np.mean([score.value for score in scores]))

    sheets = [sheet([text] * len(items)) for text in task.baselines.constants(items)]
    sheets.append(sheet([task.baselines.all_candidates(s) for s in items]))
    random = Random(0)
    sheets.append(
        tuple(
            np.mean(
                [sheet([task.baselines.random(s, random) for s in items]) for _ in range(5)], axis=0
            )
        )
    )
    metric, value = (max(column) for column in zip(*sheets, strict=True))
    noise = 3 / np.sqrt(5 * len(items)) if metric == sheets[-1][0] else 0.0
    assert metric <= task.chance.metric + 100 * noise
    assert value <= task.chance.value + noise
    assert sheet([""] * len(items)) == (0.0, 0.0)
