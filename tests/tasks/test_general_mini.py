"""The generated suite: any number of items, always the same ones, and none to train on twice."""

import json
import re
from itertools import islice

import pytest

from redone.tasks.check import check
from redone.tasks.errors import RedoneError, UnknownName
from redone.tasks.general_mini.items import TRIES, Family, Item, draw
from redone.tasks.general_mini.tasks import (
    FAMILIES,
    GENERAL_MINI,
    GENERAL_MINI_REPORT,
    ITEMS,
    REPORT_ITEMS,
    generate,
    training_rows,
)
from redone.tasks.registry import BENCHMARKS, find
from redone.tasks.schema import Completion, Services
from redone.tasks.sources import data_hash, samples

EVALUATION = [name for name, family in FAMILIES.items() if not family.train]
TRAIN = [name for name, family in FAMILIES.items() if family.train]


def score_of(task, sample, text, scoring="corrected", finish="stop"):
    return task.scorings[scoring].score(sample, [Completion(text, finish=finish)], Services())


@pytest.mark.parametrize("name", FAMILIES)
def test_items_depend_on_family_seed_and_place_only(name):
    hundred = list(generate(name, 7, 100))
    assert list(generate(name, 7, 30)) == hundred[:30]
    assert len({item.question for item in hundred}) == 100
    assert len({item.question for item in generate(name, 8, 100)} - {i.question for i in hundred})
    assert {item.language for item in hundred} == {"en", "zh"}


def test_the_embedded_items_are_these_and_no_others(tmp_path):
    """Generation must not move with a Python version or an edited table without a new version."""
    found = {t.name: data_hash(s.id for s in samples(t, tmp_path)) for t in GENERAL_MINI}
    assert found == {
        "general_mini/facts": "fd491649246febd0",
        "general_mini/word_problems": "4890183a8e411119",
        "general_mini/numerals": "85192826203fad15",
        "general_mini/wording": "3baaa3aa8c812c9e",
        "general_mini/layout": "62c969060b3903f9",
        "general_mini/lists": "99ea9666c4cb760b",
        "general_mini/records": "4c677f709f92252f",
        "general_mini/stories": "3145b397eda0c6bb",
    }


def test_final_figures_have_items_that_nothing_was_decided_on(tmp_path):
    for decided, final in zip(GENERAL_MINI, GENERAL_MINI_REPORT, strict=True):
        items, first = list(samples(final, tmp_path)), list(samples(decided, tmp_path))
        assert {item.partition for item in items} == {"report"}
        assert not {item.cluster for item in items} & {item.cluster for item in first}
        few = {"general_mini_report/facts": 59, "general_mini_report/layout": 183}
        assert len(items) == few.get(final.name, REPORT_ITEMS)
        assert not list(samples(final, tmp_path, partition="train"))
        assert (final.category, final.scorings) == (decided.category, decided.scorings)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_does_not_run_dry_soon(name):
    assert len(list(generate(name, 3, 400 if name != "facts" else 200))) >= 200


def test_a_family_that_runs_dry_says_so():
    few = Family("few", "", lambda random, language: Item(language, "number", ""))
    assert TRIES >= 1000
    with pytest.raises(RedoneError, match="'few' has no more than 1 different items for seed 5"):
        list(draw(few, 5, 3))
    with pytest.raises(RedoneError, match="-1 items"):
        list(draw(few, 0, -1))


def test_unknown_families_are_named():
    with pytest.raises(UnknownName, match="Did you mean 'facts'"):
        generate("fact")


# --- train and evaluation apart -------------------------------------------------------------------


def pieces(text, words=5, characters=10):
    """Runs of words, and of Chinese characters, that two templates would have to share."""
    english = re.findall(r"[a-z]+|\d+", text.lower())
    chinese = re.findall("[\u4e00-\u9fff]", text)
    yield from (tuple(english[n : n + words]) for n in range(len(english) - words + 1))
    yield from (tuple(chinese[n : n + characters]) for n in range(len(chinese) - characters + 1))


def all_items(names):
    return [item for name in names for item in generate(name, 0, 150)]


def test_no_template_is_shared():
    train = {piece for item in all_items(TRAIN) for piece in pieces(item.question)}
    shared = {piece for item in all_items(EVALUATION) for piece in pieces(item.question)} & train
    assert not shared


def test_no_answer_and_no_skill_is_shared():
    def answers(items):
        return {
            piece for item in items for piece in (*item.options, item.text) if not piece.isdigit()
        }

    train, evaluation = all_items(TRAIN), all_items(EVALUATION)
    assert not answers(train) & answers(evaluation)
    assert not {i.skill for i in train} & {i.skill for i in evaluation}
    rules = ({name for i in items for name, _ in i.rules} for items in (train, evaluation))
    assert set.intersection(*rules) == {"mentions"}


@pytest.mark.parametrize("task", GENERAL_MINI, ids=lambda t: t.name)
def test_train_families_are_the_train_partition(task, tmp_path):
    train = list(samples(task, tmp_path, partition="train"))
    evaluated = list(samples(task, tmp_path))
    assert len(train) == len(evaluated) == ITEMS
    assert {FAMILIES[s.tags["family"]].train for s in train} == {True}
    assert {FAMILIES[s.tags["family"]].train for s in evaluated} == {False}
    assert not {s.cluster for s in train} & {s.cluster for s in evaluated}
    assert {s.partition for s in evaluated} == {"diagnose", "gate"}


@pytest.mark.parametrize("task", GENERAL_MINI, ids=lambda t: t.name)
def test_train_items_are_scored_as_any_other(task, tmp_path):
    for sample in samples(task, tmp_path, partition="train"):
        score = score_of(task, sample, task.gold(sample))
        assert (score.value, score.failure) == (1.0, None), sample.fields
        assert score_of(task, sample, "").failure == "empty"
        assert score_of(task, sample, "zzz").value == 0


def test_training_rows_have_rationales():
    rows = list(training_rows(count=12))
    assert {row.family for row in rows} == set(TRAIN)
    assert all(row.rationale and row.answer and row.question for row in rows)
    tasks = {t.name: t for t in GENERAL_MINI}
    for row in rows:
        found = samples(tasks[row.task], None, partition="train")
        sample = next(s for s in found if s.fields["question"] == row.question)
        assert row.answer == tasks[row.task].gold(sample)
    assert len(list(islice(training_rows("animals", seed=4), 5))) == 5


def test_nothing_is_trained_on_an_evaluation_family():
    with pytest.raises(RedoneError, match="'facts' is for evaluation only.*animals"):
        next(training_rows("facts"))
    with pytest.raises(UnknownName):
        next(training_rows("nothing"))


# --- as tasks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", GENERAL_MINI, ids=lambda t: t.name)
def test_tasks_are_proved(task, tmp_path):
    assert check(task, tmp_path, fuzz=200).problems == []


def test_two_roles_one_rule(tmp_path):
    for task in GENERAL_MINI:
        sample = next(samples(task, tmp_path))
        for text in (task.gold(sample), "nothing of that"):
            assert score_of(task, sample, text) == score_of(task, sample, text, "official")


def test_the_suite():
    assert find("general-mini") == list(GENERAL_MINI)
    assert list(BENCHMARKS["general_mini"].categories) == [
        *("knowledge", "mathematics", "instructions", "transformation", "reading"),
    ]
    assert {t.reward for t in GENERAL_MINI if t.category == "instructions"} == {"pattern"}
    assert {t.reward for t in GENERAL_MINI if t.category != "instructions"} == {"exact"}


@pytest.mark.parametrize("task", GENERAL_MINI, ids=lambda t: t.name)
def test_a_gold_answer_fits_the_token_limit(task, tmp_path):
    for sample in samples(task, tmp_path):
        size = len(task.gold(sample).encode())
        most = min(task.settings.max_tokens, task.limit(sample) if task.limit else 999)
        # The small model's tokeniser needs three tokens for two Chinese characters on average.
        assert most >= size / 2, sample.fields


def test_targets_survive_a_run_folder(tmp_path):
    for task in GENERAL_MINI:
        for sample in samples(task, tmp_path):
            assert json.loads(json.dumps(sample.target)) == sample.target
            assert json.loads(json.dumps(sample.fields)) == sample.fields
