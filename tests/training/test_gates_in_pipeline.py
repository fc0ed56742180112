"""What a gate's verdict does to the chain: models that are mere numbers, and the real gate."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from redone.harness.models.scripted import ScriptedModel
from redone.harness.run_folder import RunMismatch
from redone.tasks.registry import find
from redone.tasks.schema import Services
from redone.tasks.sources import DataPaths, samples
from redone.training import pipeline as module
from redone.training.evaluations import Evaluator
from redone.training.manifest import Manifest, StepChanged
from redone.training.pipeline import GateStopped, Order, Pipeline, Workers
from redone.training.plan import steps_of
from redone.training.recipe import load_recipe
from redone.training.trainers.steps import StageResult

ANSWERS = {
    sample.id: task.gold(sample)
    for task in find("general-mini")
    for sample in samples(task, Path())
}


def model_of(folder):
    """A model that is right on a share of the items: the number in its configuration."""
    share = orjson.loads((folder / "config.json").read_bytes())["share"]

    def answer(request):
        return ANSWERS[request.sample] if int(request.sample[:4], 16) / 65536 < share else "no"

    return ScriptedModel(answer, fingerprint=f"{share}")


def write_model(folder, share):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(f'{{"share": {share}}}')
    return folder


class World:
    """Three stages whose models are right on the given shares of the items."""

    nothing_for = None

    def __init__(self, folder, shares, base=0.6, **gates):
        recipe = load_recipe("redone2-laptop")
        stages = tuple(
            stage.model_copy(
                update={"rows": stage.rows.model_copy(update={"choose": "balanced"})}
                | ({"reward": stage.reward.model_copy(update={"emphasis": None})}
                   if stage.kind == "dapo" else {})
            )
            for stage in recipe.stages
        )  # fmt: skip
        policy = {
            "resamples": 1000,
            "undecided": "pass",
            "suites": {"general-mini": {"role": "robustness", "margin": 8.0}},
        }
        changes = {"policy": policy | gates.pop("policy", {}), "against": "base", **gates}
        self.recipe = recipe.model_copy(
            update={
                "stages": stages,
                "evaluation": recipe.evaluation.model_copy(
                    update={"domain": ("general-mini",), "robustness": (), "limit": 40}
                ),
                "gates": recipe.gates.model_copy(update=changes),
            }
        )
        self.folder, self.shares = folder / "out", shares
        self.model = write_model(folder / "base", base)
        self.started_from = {}

    def run(self, services=None, **order):
        asked = Order(recipe=self.recipe, name="test", model=self.model)
        evaluator = Evaluator(
            self.recipe.evaluation, DataPaths(Path()), services or Services(), model_of
        )
        workers = Workers(self.gather, self.choose, self.train)
        with Manifest(self.folder) as manifest:
            return Pipeline(replace(asked, **order), manifest, evaluator, workers).run()

    def gather(self, recipe, files, evaluator, path):
        path.write_text("")
        path.with_suffix(".json").write_text("{}")
        return {}

    def choose(self, choice, evaluator):
        weak = choice.stage.name != self.nothing_for
        facts = {} if weak else {"nothing": "No task is weak."}
        for name in ("rows.jsonl", "decisions.jsonl"):
            (choice.folder / name).write_text("")
        record = {"rationales": [], "shaping": {}, "weights": {}}
        (choice.folder / "choice.json").write_bytes(orjson.dumps(record))
        return facts

    def train(self, job, progress):
        origin = job.model.parent.name if job.model.name == "model" else "base"
        self.started_from[job.stage] = origin
        write_model(job.output / "model", self.shares[job.stage])
        (job.output / "steps.jsonl").write_text("")
        return StageResult(job.output / "model", 1, 0, 5, 0, 1, 0.1)


@pytest.fixture(autouse=True)
def no_pages(monkeypatch):
    def page(policy, runs, path, *, chain):
        path.write_text("\n".join(run.name for run in runs))
        return {}

    monkeypatch.setattr(module, "write_report", page)
    monkeypatch.setattr("redone.training.plan.has_board", lambda: False)


RISING = {"exploratory": 0.7, "targeted": 0.8, "refinement": 0.9}
FALLING = {"exploratory": 0.7, "targeted": 0.2, "refinement": 0.9}


def test_a_chain_that_rises_passes_every_gate(tmp_path):
    world = World(tmp_path, RISING)
    ending = world.run()
    assert ending.exit_code == 0
    assert ending.kept.label == "refinement"
    assert world.started_from == {
        "exploratory": "base",
        "targeted": "exploratory",
        "refinement": "targeted",
    }
    assert list(Manifest(world.folder).steps) == [step.name for step in steps_of(world.recipe)]
    assert ending.report.read_text().split() == ["base", *RISING]


def test_a_stage_with_nothing_to_learn_is_left_out(tmp_path, capsys):
    world = World(tmp_path, RISING)
    world.nothing_for = "targeted"
    ending = world.run()
    assert "Stage targeted is skipped. No task is weak." in capsys.readouterr().err
    assert ending.exit_code == 0
    assert world.started_from == {"exploratory": "base", "refinement": "exploratory"}
    assert not {"targeted/train", "targeted/evaluate", "targeted/gate"} & set(
        Manifest(world.folder).steps
    )
    assert ending.report.read_text().split() == ["base", "exploratory", "refinement"]


def test_another_pipeline_s_answers_of_the_base_are_taken_over(tmp_path):
    first = World(tmp_path / "a", RISING)
    first.run()
    second = World(tmp_path / "b", RISING)
    second.run(reuse=first.folder)
    # With the times that the answers took then.
    one, two = (w.folder / "runs/base/responses.jsonl" for w in (first, second))
    assert one.read_bytes() == two.read_bytes()
    better = World(tmp_path / "c", RISING, base=0.65)
    with pytest.raises(RunMismatch, match="--reuse .* is of another model or evaluation"):
        better.run(reuse=first.folder)
    better.run()


def test_a_regression_stops_and_names_the_model_to_keep(tmp_path):
    world = World(tmp_path, FALLING)
    with pytest.raises(GateStopped) as stopped:
        world.run()
    told = str(stopped.value)
    assert stopped.value.exit_code == 1
    assert "Stage targeted did not pass its gate: regression." in told
    assert f"Keep the model of stage exploratory: {world.folder}/stages/exploratory/model" in told
    assert "regressed" in told
    assert "refinement" not in world.started_from
    # The same again says the same, without any work.
    world.started_from.clear()
    with pytest.raises(GateStopped):
        world.run()
    assert not world.started_from


def test_continue_goes_on_and_the_end_counts(tmp_path):
    world = World(tmp_path, FALLING)
    ending = world.run(on_regression="continue")
    assert ending.exit_code == 0
    assert ending.regressed == ["targeted"]
    assert world.started_from["refinement"] == "targeted"


def test_continue_to_a_bad_end_is_no_success(tmp_path):
    world = World(tmp_path, {**RISING, "refinement": 0.1})
    ending = world.run(on_regression="continue")
    assert ending.exit_code == 1
    assert ending.kept.label == "targeted"


def test_rollback_goes_on_from_what_passed(tmp_path):
    world = World(tmp_path, FALLING)
    ending = world.run(on_regression="rollback")
    assert ending.exit_code == 0
    assert world.started_from["refinement"] == "exploratory"


def test_rollback_to_the_base_is_no_success(tmp_path):
    world = World(tmp_path, dict.fromkeys(RISING, 0.1))
    ending = world.run(on_regression="rollback")
    assert ending.exit_code == 1
    assert ending.kept.label == "base"
    assert set(world.started_from.values()) == {"base"}


def test_an_undecided_gate_stops_with_its_own_code(tmp_path):
    world = World(tmp_path, {**RISING, "exploratory": 0.55}, policy={"undecided": "stop"})
    with pytest.raises(GateStopped) as stopped:
        world.run()
    assert stopped.value.exit_code == 2
    assert f"Keep the base model: {world.model}" in str(stopped.value)


def test_against_the_base_a_fall_from_the_previous_passes(tmp_path):
    shares = {"exploratory": 0.95, "targeted": 0.65, "refinement": 0.7}
    assert World(tmp_path / "one", shares).run().exit_code == 0
    with pytest.raises(GateStopped, match="Stage targeted"):
        World(tmp_path / "two", shares, against="previous").run()


def test_against_both_a_fall_from_either_stops(tmp_path):
    fallen_from_previous = {"exploratory": 0.95, "targeted": 0.65, "refinement": 0.7}
    world = World(tmp_path / "previous", fallen_from_previous, against="both")
    with pytest.raises(GateStopped, match="Stage targeted .*\n  Against exploratory: .*regressed"):
        world.run()
    found = {
        where: orjson.loads((world.folder / "gates/targeted" / where / "gate.json").read_bytes())
        for where in (".", "previous")
    }
    assert {where: gate["outcome"] for where, gate in found.items()} == {
        ".": "pass",
        "previous": "regression",
    }
    assert found["previous"]["base"]["name"] == "exploratory"
    shown = (world.folder / "gates/targeted/report.html").read_text().split()
    assert shown == ["base", "exploratory", "targeted"]
    # Little by little, too, no stage may fall below the base.
    drifting = {"exploratory": 0.55, "targeted": 0.5, "refinement": 0.4}
    with pytest.raises(GateStopped, match="Stage refinement .*\n  Against base: .*regressed"):
        World(tmp_path / "base", drifting, against="both").run()


def test_against_both_the_level_is_shared_among_all_comparisons(tmp_path):
    world = World(tmp_path, RISING, against="both")
    assert world.run().exit_code == 0
    gates = [world.folder / "gates/exploratory", *(
        world.folder / "gates" / stage / where
        for stage in ("targeted", "refinement") for where in (".", "previous")
    )]  # fmt: skip
    levels = [orjson.loads((gate / "gate.json").read_bytes())["alpha"] for gate in gates]
    assert levels == [0.05 / 5] * 5
    assert not (world.folder / "gates/exploratory/previous").exists()


def ungated(world, *names):
    stages = tuple(
        stage.model_copy(update={"gate": stage.name not in names}) for stage in world.recipe.stages
    )
    world.recipe = world.recipe.model_copy(update={"stages": stages})
    return world


def test_a_model_that_no_gate_judged_is_trained_on_and_not_kept(tmp_path):
    world = ungated(World(tmp_path, RISING), "targeted", "refinement")
    ending = world.run()
    assert world.started_from["refinement"] == "targeted"
    assert ending.kept.label == "exploratory"
    assert ending.branches[0].last.label == "refinement"
    assert ending.exit_code == 0


def test_rollback_never_goes_to_a_model_that_no_gate_judged(tmp_path):
    world = ungated(World(tmp_path, {"exploratory": 0.1, "targeted": 0.1, "refinement": 0.9}),
                    "exploratory")  # fmt: skip
    world.run(on_regression="rollback")
    assert world.started_from["targeted"] == "exploratory"
    assert world.started_from["refinement"] == "base"


def test_an_unjudged_model_on_top_of_a_regression_is_no_success(tmp_path):
    world = ungated(World(tmp_path, FALLING), "refinement")
    ending = world.run(on_regression="continue")
    assert ending.kept.label == "exploratory"
    assert ending.exit_code == 1


def siblings(world):
    stages = tuple(stage.model_copy(update={"start": "base"}) for stage in world.recipe.stages)
    world.recipe = world.recipe.model_copy(update={"stages": stages})
    return world


def test_siblings_are_no_ground_of_one_another(tmp_path):
    shares = {"exploratory": 0.95, "targeted": 0.65, "refinement": 0.1}
    # Against "previous" the second is compared with the base, as it was made from it.
    world = siblings(World(tmp_path, shares, against="previous"))
    with pytest.raises(GateStopped) as stopped:
        world.run()
    assert "Stage refinement" in str(stopped.value)
    assert f"Keep the base model: {world.model}" in str(stopped.value)
    ending = world.run(on_regression="rollback")
    assert set(world.started_from.values()) == {"base"}
    assert [branch.kept.label for branch in ending.branches] == ["exploratory", "targeted", "base"]
    assert [branch.last.label for branch in ending.branches] == ["exploratory", "targeted", "base"]
    assert ending.exit_code == 1


def test_stage_ends_behind_a_stage(tmp_path):
    world = World(tmp_path, RISING)
    ending = world.run(until="targeted")
    assert ending.report is None
    assert ending.kept.label == "targeted"
    assert "refinement" not in world.started_from
    assert world.run().kept.label == "refinement"


def test_another_base_model_is_refused(tmp_path):
    world = World(tmp_path, RISING)
    world.run(until="exploratory")
    (world.model / "config.json").write_text('{"share": 0.5}')
    with pytest.raises(Exception, match="Step base/evaluate .* other inputs"):
        world.run()


def test_two_corpora_of_one_name_are_both_vouched_for(tmp_path):
    world = World(tmp_path, RISING)
    files = [tmp_path / folder / "rows.jsonl" for folder in ("one", "two")]
    for file in files:
        file.parent.mkdir()
        file.write_text("first")
    world.run(corpora=tuple(files), until="exploratory")
    files[0].write_text("second")
    with pytest.raises(StepChanged, match="corpus 1, rows.jsonl"):
        world.run(corpora=tuple(files))


class Vectors:
    """An embedder in name."""

    identity = "minilm@1"


@pytest.mark.parametrize(
    ("services", "named"),
    [(Services(embedder=Vectors()), "embedder"), (Services(sandbox=Vectors()), "allow_code")],
)
def test_what_judging_may_use_is_part_of_every_step_that_judges(tmp_path, services, named):
    world = World(tmp_path, RISING)
    world.run(services, until="exploratory")
    steps = Manifest(world.folder).steps
    with_it = {name for name, step in steps.items() if named in step.inputs}
    assert with_it == {
        "corpus", "base/evaluate", "exploratory/select", "exploratory/train",
        "exploratory/evaluate",
    }  # fmt: skip
    with pytest.raises(StepChanged, match=f"{named}: then"):
        world.run(until="exploratory")
