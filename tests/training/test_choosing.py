"""What a stage's rows are chosen by: the corpus is any task's, and the model is asked as ever."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from redone.harness.models.scripted import ScriptedModel
from redone.tasks.errors import RedoneError
from redone.tasks.registry import find
from redone.tasks.schema import Completion, Services
from redone.tasks.sources import DataPaths, cluster_of
from redone.training.corpus.sources import generated_rows, read_corpus, registry_rows, write_corpus
from redone.training.evaluations import Evaluator
from redone.training.recipe import load_recipe
from redone.training.recipe_stages import Difficulty, SoftLabels
from redone.training.stage_files import token_summary, training_facts
from redone.training.stages import Choice, choose
from redone.training.trainers.steps import StageResult

RECIPE = load_recipe("redone2-laptop")
TOKENS = 7
"""Of each answer."""


class Thinker(ScriptedModel):
    """Knows of thinking; keeps what it is asked."""

    thinks = True

    def __init__(self):
        self.asked = []
        super().__init__(self._said, name="thinker")

    def _said(self, request):
        self.asked.append(request)
        return Completion("x", thinking="hm", tokens=TOKENS)

    def budgets(self):
        return {request.settings.max_thinking_tokens for request in self.asked}


class World:
    """A corpus of invented tweets and generated rows; general-mini alone is evaluated."""

    def __init__(self, folder, data, **evaluation):
        self.model = Thinker()
        asked = {"domain": ("general-mini",), "robustness": (), "limit": 2, **evaluation}
        self.evaluator = Evaluator(
            RECIPE.evaluation.model_copy(update=asked),
            DataPaths(data),
            Services(),
            lambda path: self.model,
        )
        self.folder = folder / "stage"
        self.folder.mkdir()
        self.corpus = folder / "corpus.jsonl"
        self.rows = [
            *registry_rows(find(None, "tweeteval/irony,tweeteval/hate"), data),
            *generated_rows(None, 0, 2),
        ]
        write_corpus(self.rows, self.corpus)

    def choose(self, **rows):
        stage = RECIPE.stage("exploratory")
        rows = {"choose": "balanced", "domain": 12, "general": 4, "rationales": 0.0, **rows}
        stage = stage.model_copy(update={"rows": stage.rows.model_copy(update=rows)})
        choice = Choice(stage, Path("model"), self.corpus, None, self.folder)
        return choose(choice, self.evaluator)

    def chosen(self):
        return read_corpus(self.folder / "rows.jsonl", Services())


HARD = {"choose": "difficulty", "difficulty": Difficulty(draws=2, pool=1.0)}
SOFT = {"soft_labels": SoftLabels(candidates=2)}


def test_rows_of_a_task_that_is_not_evaluated_can_be_learnt(tmp_path, tweets):
    world = World(tmp_path, tweets)
    world.choose()
    assert {"tweeteval/irony", "tweeteval/hate"} < {row.task for row in world.chosen()}


def test_but_none_that_is_an_evaluation_item_of_its_task(tmp_path, tweets):
    world = World(tmp_path, tweets)
    text = (tweets / "tweeteval/irony/val_text.txt").read_text().splitlines()[0]
    first = world.rows[0]
    write_corpus([replace(first, cluster=cluster_of(text)), *world.rows[1:]], world.corpus)
    with pytest.raises(RedoneError, match="repeat evaluation items"):
        world.choose()


@pytest.mark.parametrize(
    ("evaluation", "budget"),
    [({}, 4096), ({"max_thinking_tokens": 77}, 77), ({"thinking": "off"}, 0)],
)
def test_a_thinking_model_thinks_alike_when_evaluated_and_when_rows_are_chosen(
    tmp_path, tweets, evaluation, budget
):
    world = World(tmp_path, tweets, **evaluation)
    world.evaluator.run(Path("model"), tmp_path / "run", "gate", "thinker")
    assert world.model.budgets() == {budget}
    run = orjson.loads((tmp_path / "run/run.json").read_bytes())
    asked = [task["settings"] for task in run["request"]["tasks"].values()]
    assert {settings["max_thinking_tokens"] for settings in asked} == {budget}
    for rows in (HARD, SOFT):
        world.model.asked.clear()
        world.choose(**rows)
        assert world.model.budgets() == {budget}


def test_the_mode_of_thinking_reaches_the_model(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "redone.harness.models.loading.load_model", lambda options, *rest: seen.append(options)
    )
    evaluation = RECIPE.evaluation.model_copy(update={"thinking": "off"})
    Evaluator(evaluation, DataPaths(Path()), Services()).load(Path("model"))
    assert seen[0].thinking == "off"


@pytest.mark.parametrize(
    ("rows", "answers"),
    [({}, 0), (HARD, 2 * 16), (SOFT, 2 * 4), ({**HARD, **SOFT}, 2 * 16 + 2 * 4)],
)
def test_the_tokens_of_choosing_are_counted_over_all_starts(tmp_path, tweets, rows, answers):
    world = World(tmp_path, tweets)
    assert world.choose(**rows)["tokens_of_choosing"] == TOKENS * answers
    # A second start finds every answer, and what they cost.
    world.model.asked.clear()
    assert world.choose(**rows)["tokens_of_choosing"] == TOKENS * answers
    assert not world.model.asked


def test_they_are_reported_separately_from_the_budget():
    result = StageResult(Path("model"), 3, 0, 200, 400, 410, 1.0)
    text = "1,010 tokens of a budget of 1,000, plus 250 to choose the rows"
    assert token_summary(training_facts(result, 1000, 250)) == text
    assert token_summary(training_facts(result, None, 0)).startswith("1,010 tokens, plus 0 to")
