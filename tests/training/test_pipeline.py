"""The whole of `redone2-laptop` with a tiny model on invented tweets: its way, its kills, its gates."""

import json

import pytest
from killing import redone_train

from redone.training.plan import steps_of
from redone.training.recipe import load_recipe
from redone.training.stage_files import processed

KILLED = -9
RL = {
    "train.steps": 2,
    "train.prompts_per_step": 2,
    "train.group_size": 4,
    "train.max_new_tokens": 10,
    "train.overlong_buffer": 2,
    "train.micro_batch": 8,
    "train.max_prompt_tokens": 400,
    "train.learning_rate": 1e-4,
    "train.warmup_steps": 0,
    "train.save_every": 1,
    "train.dtype": "float32",
    "rows.domain": 24,
    "rows.general": 2,
}
SFT = {
    "train.batch": 4,
    "train.micro_batch": 4,
    "train.save_every": 1,
    "train.dtype": "float32",
    "rows.domain": 16,
    "rows.general": 2,
    "rows.soft_labels.candidates": 2,
    "rows.soft_labels.max_tokens": 10,
}
SMALL = {
    "tokens": 6000,
    "evaluation.limit": 8,
    "evaluation.report_limit": 8,
    "data.generated": 3,
    "gates.policy.resamples": 1000,
    # What a few steps do to a model of 160 kB is chance, and not what is tested.
    "gates.policy.suites.tweeteval.margin": 100,
    "gates.policy.suites.general-mini.margin": 100,
    **{f"exploratory.{name}": value for name, value in RL.items()},
    **{f"targeted.{name}": value for name, value in SFT.items()},
    **{f"refinement.{name}": value for name, value in RL.items()},
    "refinement.rows.difficulty.draws": 2,
}
"""What makes a recipe of hours one of seconds."""


def command(recipe, model, output, data, changes, *more):
    words = ["--recipe", recipe, "--model", str(model), "--output", str(output)]
    for name, value in changes.items():
        words += ["--set", f"{name}={json.dumps(value)}"]
    return [*words, "--data-dir", str(data), *more]


def steps(folder):
    return json.loads((folder / "manifest.json").read_text())["steps"]


def end(folder):
    """What a pipeline comes to: the hash of every model, and every figure but times."""
    found = steps(folder)
    models = {
        name: file["sha256"]
        for step in found.values()
        for name, file in step["outputs"].items()
        if name.endswith(".safetensors")
    }
    figures = {}
    for path in sorted(folder.glob("runs/*/results.json")):
        results = json.loads(path.read_text())
        del results["seconds"]
        figures[path.parent.name] = results
    return models, figures


@pytest.fixture(scope="module")
def whole(beginner, tweets, tmp_path_factory):
    """An undisturbed pipeline: its folder, exit code, and what it printed."""
    folder = tmp_path_factory.mktemp("whole")
    log = folder / "log.txt"
    words = command("redone2-laptop", beginner, folder / "out", tweets, SMALL)
    code = redone_train(words, log)
    return folder / "out", code, log.read_text()


def test_it_comes_to_its_end(whole, beginner):
    folder, code, log = whole
    assert code == 0, log
    planned = [step.name for step in steps_of(load_recipe("redone2-laptop"))]
    assert list(steps(folder)) == planned
    assert all(step["state"] == "finished" for step in steps(folder).values())
    (row,) = (folder / "leaderboard").iterdir()
    assert row.name.startswith(f"{beginner.name}_redone2-laptop_refinement-")
    for page in ("report.html", "report-gate.html"):
        assert "<html" in (folder / page).read_text()[:200].lower()
    assert f"Keep the model of stage refinement: {folder}" in log


def test_every_stage_trains(whole):
    folder, _, log = whole
    found = steps(folder)
    models, _ = end(folder)
    assert len(set(models.values())) == 3
    for stage in ("exploratory", "targeted", "refinement"):
        facts = found[f"{stage}/train"]["facts"]
        assert facts["steps"] >= 2, log
        assert facts["tokens_trained"] > 0
        assert not (folder / "stages" / stage / "checkpoints").exists()
        lines = (folder / "stages" / stage / "steps.jsonl").read_text().splitlines()
        assert len(lines) == facts["steps"]
    assert found["targeted/train"]["facts"]["tokens_generated"] == 0
    choosing = {
        stage: found[f"{stage}/train"]["facts"]["tokens_of_choosing"]
        for stage in ("exploratory", "targeted", "refinement")
    }
    assert choosing["exploratory"] == 0
    assert choosing["targeted"] == found["targeted/select"]["facts"]["tokens_of_choosing"] > 0
    assert choosing["refinement"] > 0
    assert f"plus {choosing['refinement']:,} to choose the rows" in log
    assert processed(found["targeted/train"]["facts"]) == pytest.approx(2400, rel=0.2)  # 40 %


def test_the_second_stage_learns_what_the_first_is_weak_in(whole):
    folder, _, _ = whole
    diagnosis = json.loads((folder / "runs/exploratory-diagnose/diagnosis.json").read_text())
    weak = {bucket["task"] for bucket in diagnosis["buckets"]}
    rows = map(json.loads, (folder / "stages/targeted/rows.jsonl").read_text().splitlines())
    learnt = {row["task"] for row in rows if row["task"].startswith("tweeteval/")}
    assert learnt
    assert learnt <= weak
    choice = json.loads((folder / "stages/targeted/choice.json").read_text())
    assert sum(choice["choice"]["soft_labels"].values()) == choice["general"] == 2


def test_the_third_stage_tries_rows_and_follows_the_hints(whole):
    folder, _, _ = whole
    choice = json.loads((folder / "stages/refinement/choice.json").read_text())
    assert sum(choice["choice"]["offered"].values()) == round(26 * 1.5)
    assert choice["emphasis"]["diagnosis"]["run"] == "targeted-diagnose"
    assert choice["reasoned"] > 0
    job = json.loads((folder / "stages/refinement/job.json").read_text())
    assert set(job["shaping"]) == set(choice["emphasis"]["tasks"])


def test_each_partition_has_its_use(whole):
    folder, _, _ = whole
    asked = {
        path.parent.name: json.loads(path.read_text())["request"]["partition"]
        for path in folder.glob("runs/*/run.json")
    }
    assert asked == {
        "base": "gate",
        "exploratory": "gate",
        "targeted": "gate",
        "refinement": "gate",
        "exploratory-diagnose": "diagnose",
        "targeted-diagnose": "diagnose",
        "base-report": "report",
        "refinement-report": "report",
    }


def test_the_final_page_is_on_items_that_nothing_was_decided_on(whole):
    folder, _, _ = whole
    final, chain = ((folder / f"{name}.html").read_text() for name in ("report", "report-gate"))
    assert "partition report" in final
    assert "base-report → refinement-report" in final
    assert "partition gate" in chain
    assert "base → exploratory → targeted → refinement" in chain


def test_a_second_start_finds_everything_done(whole, beginner, tweets, tmp_path):
    folder, _, _ = whole
    before = end(folder)
    log = tmp_path / "log.txt"
    assert redone_train(command("redone2-laptop", beginner, folder, tweets, SMALL), log) == 0
    assert "final/report: already done" in log.read_text()
    assert end(folder) == before


def test_another_recipe_in_the_same_folder_is_refused(whole, beginner, tweets, tmp_path):
    folder, _, _ = whole
    log = tmp_path / "log.txt"
    changed = {**SMALL, "targeted.train.learning_rate": 1e-4}
    assert redone_train(command("redone2-laptop", beginner, folder, tweets, changed), log) == 3
    told = log.read_text()
    assert "Step targeted/train" in told
    assert "train.learning_rate: then '0.00005', now '0.0001'" in told
    assert "--redo targeted/train" in told


KILLS = [
    ("base", "responses.jsonl", 20),
    ("exploratory", "steps.jsonl", 2),
    ("soft-labels", "candidates.jsonl", 1),
    ("targeted", "steps.jsonl", 3),
    ("refinement", "draws.jsonl", 9),
    ("refinement", "steps.jsonl", 2),
]


def test_killed_in_every_stage_it_comes_to_the_same_end(whole, beginner, tweets, tmp_path):
    folder, _, _ = whole
    out, log = tmp_path / "out", tmp_path / "log.txt"
    words = command("redone2-laptop", beginner, out, tweets, SMALL)
    for kill in KILLS:
        assert redone_train(words, log, kill) == KILLED, log.read_text()
    assert redone_train(words, log) == 0, log.read_text()
    assert end(out) == end(folder)


def test_a_ruinous_learning_rate_ends_at_the_gate(beginner, tweets, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log.txt"
    changes = {
        "tokens": 2000,
        "evaluation.limit": 16,
        "evaluation.report_limit": 16,
        "data.generated": 3,
        "gates.policy.resamples": 1000,
        **{f"sft.{n}": v for n, v in SFT.items() if "soft_labels" not in n},
        "sft.train.learning_rate": 30.0,
    }
    words = command("sft-only", beginner, out, tweets, changes)
    assert redone_train(words, log) == 1, log.read_text()
    told = log.read_text()
    assert "Stage sft did not pass its gate: regression." in told
    assert f"Keep the base model: {beginner}" in told
    assert (out / "gates/sft/report.html").is_file()
    # To go on all the same is another decision about the same gate.
    assert redone_train([*words, "--on-regression", "continue"], log) == 1
    told = log.read_text()
    assert "sft/train: already done" in told
    assert "Stage sft did not pass its gate." in told
    assert (out / "report.html").is_file()


def test_a_dry_run_measures_and_leaves_nothing(beginner, tweets, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log.txt"
    words = command("redone2-laptop", beginner, out, tweets, SMALL, "--dry-run")
    assert redone_train(words, log) == 0, log.read_text()
    lines = {line.split()[0]: line for line in log.read_text().splitlines() if line.strip()}
    for stage in ("exploratory", "targeted", "refinement"):
        assert "steps" in lines[f"{stage}/train"]
    assert "2 steps" in lines["exploratory/train"]
    assert "its checkpoints take another" in log.read_text()
    assert "106 items" in lines["base/evaluate"]
    assert "4 answers" in lines["targeted/select"]
    assert "78 answers" in lines["refinement/select"]
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


def test_a_dry_run_of_a_finished_pipeline_has_nothing_to_do(whole, beginner, tweets, tmp_path):
    folder, _, _ = whole
    log = tmp_path / "log.txt"
    words = command("redone2-laptop", beginner, folder, tweets, SMALL, "--dry-run")
    assert redone_train(words, log) == 0
    assert "base/evaluate                   done" in log.read_text()
    assert "0 s" in log.read_text().splitlines()[-2]


def test_the_predecessor_s_order(beginner, tweets, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log.txt"
    plain = {name: value for name, value in SFT.items() if "soft_labels" not in name}
    changes = {
        **{name: value for name, value in SMALL.items() if name.startswith(("gates", "data"))},
        "tokens": 4000,
        "evaluation.limit": 4,
        "evaluation.report_limit": 4,
        **{f"{stage}.{n}": v for stage in ("pretraining", "sft") for n, v in plain.items()},
        **{f"preference.{n}": v for n, v in plain.items() if n != "rows.general"},
        "preference.pairs.max_tokens": 10,
    }
    words = command("redone1", beginner, out, tweets, changes)
    assert redone_train(words, log) == 0, log.read_text()
    found = steps(out)
    for stage in ("pretraining", "sft", "preference"):
        assert found[f"{stage}/train"]["facts"]["tokens_trained"] > 0
    assert found["preference/select"]["facts"]["pairs"] > 0
    assert "pretraining/gate" not in found
