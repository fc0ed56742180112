"""Stage 3's rows: what the model solves sometimes, then never, then always."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from corpora import row

from redone.harness.models.scripted import ScriptedModel
from redone.tasks.errors import RedoneError
from redone.tasks.registry import by_name
from redone.tasks.schema import Completion
from redone.tasks.sources import samples
from redone.training.corpus.contamination import EvaluationItems
from redone.training.corpus.difficulty import Solved, hard_rows, solvability
from redone.training.corpus.draws import Draws, DrawSettings, draw
from redone.training.corpus.selection import SelectionSettings, assigned
from redone.training.corpus.sources import generated_rows
from redone.training.rows import counted

SOCIAL = [row(n) for n in range(60)] + [row(n, "tweeteval/emotion", "joy") for n in range(240)]
GENERAL = list(generated_rows(count=15))
ROWS = [*SOCIAL, *GENERAL]


@pytest.fixture(scope="module")
def items():
    held = EvaluationItems([by_name("general_mini/facts")], Path())
    held.tasks = frozenset(r.task for r in ROWS)
    return held


def skill(number):
    """How often row `number` is solved of four draws: 0, 4, 1, 3, 2, then again."""
    return (0, 4, 1, 3, 2)[number % 5]


@pytest.fixture(scope="module")
def solved():
    place = {r.id: n for n, r in enumerate(ROWS)}
    answers = {r.id: r.answer for r in ROWS}

    def answer(request):
        right = request.draw < skill(place[request.sample])
        return answers[request.sample] if right else "I do not know what to say"

    found = draw(ROWS, ScriptedModel(answer), DrawSettings(draws=4))
    return solvability(ROWS, found)


def test_solvability_is_the_tasks_own_judgement_of_several_draws(solved):
    for number, r in enumerate(ROWS):
        assert solved[r.id] == Solved(4, skill(number))
    assert [Solved(4, n).kind for n in (0, 1, 3, 4)] == [
        "never",
        "sometimes",
        "sometimes",
        "always",
    ]


def test_graded_answers_count_as_solved_from_half():
    task = by_name("sns_mini/zh_en")
    sample = next(samples(task, Path()))
    graded = row(1, task.name, fields=sample.fields, target=sample.target, answer=task.gold(sample))
    gold = graded.answer
    texts = [gold, gold[: len(gold) * 3 // 4], gold[:6], "nothing like it"]
    found = solvability([graded], Draws({graded.id: [Completion(t) for t in texts]}))
    assert found[graded.id] == Solved(4, 2)


def test_sometimes_comes_before_never_and_never_before_always(solved, items):
    share = {"general_share": 0.0}
    few = hard_rows(ROWS, solved, SelectionSettings(budget=100, **share), items)
    assert few.offered == {"sometimes": 252, "never": 84, "always": 84}
    assert few.chosen == {"sometimes": 100, "never": 0, "always": 0}
    more = hard_rows(ROWS, solved, SelectionSettings(budget=220, **share), items)
    assert more.chosen == {"sometimes": 180, "never": 40, "always": 0}
    most = hard_rows(ROWS, solved, SelectionSettings(budget=290, **share), items)
    assert most.chosen == {"sometimes": 180, "never": 60, "always": 50}


def test_among_rows_solved_sometimes_the_harder_come_first(solved, items):
    emotion = [r for r in SOCIAL if r.task == "tweeteval/emotion"]
    found = hard_rows(emotion, solved, SelectionSettings(budget=60, general_share=0.0), items)
    assert Counter(solved[r.id].solved for r in found.rows) == {1: 48, 2: 12}


def test_tasks_keep_their_shares_and_so_do_general_rows(solved, items):
    found = hard_rows(ROWS, solved, SelectionSettings(budget=80, general_share=0.25), items)
    tasks = Counter(r.task for r in found.rows if not r.general)
    assert tasks == {"tweeteval/irony": 12, "tweeteval/emotion": 48}  # of 60 and 240 rows
    assert sum(r.general for r in found.rows) == 20


def test_a_task_s_share_is_filled_with_its_own_hardest_rows(solved, items):
    even = dict.fromkeys({r.task for r in ROWS}, 1.0)
    settings = SelectionSettings(budget=100, general_share=0.0, shares=even)
    found = hard_rows(SOCIAL, solved, settings, items)
    shares = {line.task: line for line in found.shares}
    # Irony has 36 rows that are solved sometimes; emotion has 108 more, and no claim to the rest.
    assert shares["tweeteval/irony"].kinds == {"sometimes": 36, "never": 12, "always": 2}
    assert shares["tweeteval/emotion"].kinds == {"sometimes": 50, "never": 0, "always": 0}
    assert shares["tweeteval/irony"].share == 0.5 and shares["tweeteval/irony"].rows == 60


def test_labels_that_are_always_solved_keep_their_share_where_labels_are_to_be_alike(items):
    # A model that says joy: it solves those rows always, the others never, one of sadness once.
    rows = [row(n, "tweeteval/emotion", ("joy", "sadness", "joy")[n % 3]) for n in range(90)]
    solved = {r.id: Solved(4, 4 if r.tags["label"] == "joy" else 0) for r in rows}
    solved[rows[1].id] = Solved(4, 1)

    def labels(**how):
        settings = SelectionSettings(budget=20, general_share=0.0, **how)
        found = hard_rows(rows, solved, settings, items).rows
        assert rows[1].id in {r.id for r in found}
        return Counter(r.tags["label"] for r in found)

    assert labels() == {"sadness": 20}
    assert labels(label_balance=0.0) == {"joy": 13, "sadness": 7}
    assert labels(label_balance=1.0) == {"joy": 10, "sadness": 10}
    with pytest.raises(RedoneError, match="A label balance of 1.5 is not possible"):
        labels(label_balance=1.5)


@pytest.mark.parametrize("shares", [{"tweeteval/irony": 1.0}, dict.fromkeys(("x",), 1.0)])
def test_a_share_is_needed_of_every_task(shares, solved, items):
    with pytest.raises(RedoneError, match="The share None of tweeteval/"):
        hard_rows(SOCIAL, solved, SelectionSettings(general_share=0.0, shares=shares), items)


def test_the_rationale_share_is_assigned_by_seed(solved, items):
    found = hard_rows(ROWS, solved, SelectionSettings(budget=200), items)
    again = hard_rows(ROWS[::-1], solved, SelectionSettings(budget=200), items)
    assert [r.to_json() for r in again.rows] == [r.to_json() for r in found.rows]
    asked = assigned(found.rows, 0.5718, seed=0)
    assert len(asked.ids) / len(found.rows) == pytest.approx(0.5718, abs=1 / 200)
    assert asked == assigned(again.rows, 0.5718, seed=0)
    assert asked != assigned(found.rows, 0.5718, seed=1)
    # Both sources are there, and both are asked for reasons.
    for general in (True, False):
        assert any(asked(r) for r in found.rows if r.general == general)


def test_every_row_has_a_decision(solved, items):
    untargeted = row("x", target=None)
    found = hard_rows([*ROWS, untargeted], solved, SelectionSettings(budget=100), items)
    assert len(found.decisions) == len(ROWS) + 1
    why = counted(found.decisions)
    assert why["sometimes"] == 100 and why["not judged"] == 1
    assert found.decisions[2].reason.startswith("It was solved in 1 of 4 draws")
    assert found.decisions[-1].kept == 0


def test_without_a_judged_row_there_is_nothing_to_choose(items):
    with pytest.raises(RedoneError, match="Of 1 rows none has a scored answer"):
        hard_rows([row(1)], {}, SelectionSettings(), items)


def test_draws_depend_on_row_and_seed_not_on_order():
    def answer(request):
        return f"{Random(request.seed).random()}"

    settings = DrawSettings(draws=3, seed=5)
    one = draw(ROWS[:20], ScriptedModel(answer), settings)
    two = draw(ROWS[19::-1], ScriptedModel(answer), settings)
    assert one.answers == two.answers
    texts = [a.text for found in one.answers.values() for a in found]
    assert len(set(texts)) == 60
    other = draw(ROWS[:20], ScriptedModel(answer), DrawSettings(draws=3, seed=6))
    assert other.answers != one.answers
