"""A stage's rows: from the hint of a diagnosis, through every choice, to the files of the trainer."""

import json
from collections import Counter

import pytest
from corpora import NAMES, diagnosed, write_tweets
from tiny_models import tiny_config, tiny_tokenizer
from transformers import AutoModelForCausalLM

from redone.harness.models.scripted import ScriptedModel
from redone.tasks.registry import find
from redone.tasks.schema import Services
from redone.tasks.sources import DataPaths
from redone.training.evaluations import Evaluator
from redone.training.recipe import Evaluation, load_recipe
from redone.training.recipe_stages import SftStage
from redone.training.stages import Choice, choose, gather

IRONY, HATE = "tweeteval/irony", "tweeteval/hate"
SMALL = (
    "data.generated=30",
    "refinement.rows.domain=300",
    "refinement.rows.general=20",
    "refinement.rows.difficulty.draws=2",
)


class Trainable(Evaluation):
    """An evaluation of the tasks whose data are invented here."""

    def tasks(self, data=None):
        return [*find(None, NAMES), *find("general-mini")]


class World:
    """A corpus, a diagnosis of a model that answers irony in no form, and that model."""

    def __init__(self, folder):
        self.folder, self.recipe = folder, load_recipe("redone2-laptop", SMALL)
        self.data = write_tweets(folder / "data")
        self.diagnosis = diagnosed(
            folder, self.data, lambda task, _: "I would rather not" if task.name == IRONY else None
        )
        evaluation = Trainable(domain=("tweeteval",), robustness=("general-mini",))
        self.evaluator = Evaluator(evaluation, DataPaths(self.data), Services(), self.model)
        self.tokenizer = folder / "model"
        AutoModelForCausalLM.from_config(tiny_config("llama")).save_pretrained(self.tokenizer)
        tiny_tokenizer().save_pretrained(self.tokenizer)
        self.corpus = folder / "corpus.jsonl"
        gather(self.recipe, [], self.evaluator, self.corpus)
        lines = self.corpus.read_text().splitlines()
        self.rows = {row["id"]: row for row in map(json.loads, lines)}

    def model(self, path):
        """Solves one in ten ironic rows sometimes, and all others in one of two draws."""

        def answer(request):
            row = self.rows[request.sample]
            can = row["task"] != IRONY or int(row["cluster"], 16) % 10 == 0
            return row["answer"] if can and request.draw == 0 else "I would rather not"

        return ScriptedModel(answer)

    def chosen(self, name, stage):
        """What `choose` writes: rows and record."""
        folder = self.folder / name
        folder.mkdir()
        report = self.folder / "diagnosis.json"
        choice = Choice(stage, self.tokenizer, self.corpus, report, folder)
        choose(choice, self.evaluator)
        rows = map(json.loads, (folder / "rows.jsonl").read_text().splitlines())
        return list(rows), json.loads((folder / "choice.json").read_text())


def sft(**rows):
    """A stage of supervised fine-tuning on such rows."""
    stage = load_recipe("sft-only").stage("sft").model_dump()
    return SftStage.model_validate({**stage, "rows": rows})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


# --- emphasis ------------------------------------------------------------------------------------


def test_a_hint_becomes_the_share_of_the_rows_that_are_trained_on(world):
    (hint,) = [hint for hint in world.diagnosis.hints if hint.task == IRONY]
    assert hint.low > 0.9
    rows, record = world.chosen("emphasis", world.recipe.stage("refinement"))
    counts = Counter(row["task"] for row in rows)
    assert len(rows) == 320 and sum(row.get("general", False) for row in rows) == 20
    # The few ironic rows that are solved sometimes do not keep the task from its share.
    assert counts[IRONY] / counts[HATE] == pytest.approx(1 + hint.low, rel=0.05)
    told = record["emphasis"]["tasks"]
    for task, count in counts.items():
        assert told[task]["share"][1] == pytest.approx(count / 320, abs=1 / 320)
        assert told[task]["drawn"] == count / 320
    assert sum(task["drawn"] for task in told.values()) == pytest.approx(1)
    shares = {line["task"]: line for line in record["choice"]["shares"]}
    assert shares[IRONY]["kinds"]["sometimes"] < shares[IRONY]["drawn"] / 2
    assert shares[IRONY]["kinds"]["never"] > 0


def test_without_emphasis_tasks_share_as_the_recipe_has_it(world):
    stage = world.recipe.stage("refinement")
    plain = stage.model_copy(update={"reward": stage.reward.model_copy(update={"emphasis": None})})
    rows, record = world.chosen("plain", plain)
    counts = Counter(row["task"] for row in rows if row["task"].startswith("tweeteval/"))
    assert len(counts) == 5 and max(counts.values()) - min(counts.values()) <= 1
    assert record["emphasis"] == {}


def test_a_share_that_the_rows_do_not_reach_is_told_as_it_came_out(world):
    changes = [f'refinement.reward.emphasis.set_shares={{ "{IRONY}" = 100.0 }}']
    recipe = load_recipe("redone2-laptop", [*SMALL, *changes])
    rows, record = world.chosen("short", recipe.stage("refinement"))
    told = record["emphasis"]["tasks"][IRONY]
    assert told["share"][1] > 0.85
    assert told["drawn"] == Counter(row["task"] for row in rows)[IRONY] / 320 < 0.65


# --- rationales ----------------------------------------------------------------------------------


@pytest.mark.parametrize("choose", ["balanced", "failures", "difficulty"])
def test_sft_asks_for_reasons_only_where_it_has_some_to_teach(choose, world):
    more = {"difficulty": {"draws": 2, "pool": 1.0}} if choose == "difficulty" else {}
    stage = sft(choose=choose, domain=40, general=20, rationales=0.2, **more)
    rows, record = world.chosen(f"sft-{choose}", stage)
    reasons = {row["id"]: row.get("rationale", "") for row in rows}
    assert 0 < record["reasoned"] == len(record["rationales"]) <= 12
    assert all(reasons[name] for name in record["rationales"])


def test_a_row_whose_rationale_went_with_its_soft_label_is_not_asked_for_one(world):
    stage = sft(choose="balanced", domain=40, general=20, rationales=0.2, soft_labels={})
    rows, record = world.chosen("sft-soft", stage)
    assert record["choice"]["soft_labels"]["soft label"] > 0
    assert record["rationales"] == []
    assert not any(row.get("rationale") for row in rows)
