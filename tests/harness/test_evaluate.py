"""An evaluation: what is requested, in which form, and what the run folder keeps."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from redone.harness.display import Progress
from redone.harness.evaluate import Plan, ask, evaluate, prepare, request_of, sample_records
from redone.harness.models.scripted import ScriptedModel, load
from redone.harness.records import seed_of
from redone.harness.results import write_results
from redone.harness.run_folder import RunFolder, RunMismatch
from redone.harness.score import score_run
from redone.tasks.errors import RedoneError
from redone.tasks.registry import find
from redone.tasks.schema import Completion, Services

TASKS = find("sns-mini")
GOLD = load("gold", TASKS, Path("."))


def run(path, model=GOLD, services=None, **options):
    """Evaluates; returns results.json."""
    plan = Plan(tasks=options.pop("tasks", TASKS), data=Path("."), **options)
    return evaluate(path, plan, model, services or Services(), {}, resamples=50)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Refusing(ScriptedModel):
    """A model that must not be asked."""

    def run(self, requests):
        if next(iter(requests), None) is not None:
            raise AssertionError("a request was sent again")
        return iter(())


def test_gold_predictions_score_100_in_every_task_and_mean(tmp_path):
    results = run(tmp_path / "r")
    assert results["complete"]
    rows = results["tables"]["corrected"]
    assert {row["level"] for row in rows} == {"task", "category", "benchmark", "suite"}
    assert [row for row in rows if row["score"] != pytest.approx(100)] == []


def test_empty_predictions_fail_as_empty(tmp_path):
    results = run(tmp_path / "r", ScriptedModel(lambda request: "", name="empty"))
    for name, task in results["tasks"].items():
        scoring = task["scorings"]["corrected"]
        assert scoring["failures"] == {"empty": task["samples"]}, name
        assert scoring["mean_value"] == 0, name


def test_the_folder_holds_every_sample_and_answer_once(tmp_path):
    run(tmp_path / "r")
    samples, responses = lines(tmp_path / "r/samples.jsonl"), lines(tmp_path / "r/responses.jsonl")
    assert len({s["id"] for s in samples}) == len(samples) == len(responses)
    asked = {(s["id"], s["requests"][0]["hash"]) for s in samples}
    assert {(r["sample"], r["request"]) for r in responses} == asked
    table = pq.read_table(tmp_path / "r/scores.parquet")
    assert table.num_rows == sum(2 for _ in samples)


def test_a_complete_run_sends_no_request_again(tmp_path):
    first = run(tmp_path / "r")
    again = Refusing({}, name=GOLD.name, fingerprint=GOLD.identity()["fingerprint"])
    second = run(tmp_path / "r", again)
    assert second == first


def test_another_request_on_the_folder_is_refused(tmp_path):
    run(tmp_path / "r", limit=2)
    with pytest.raises(RunMismatch, match="limit: there 2, now 3"):
        run(tmp_path / "r", limit=3)


def test_a_run_stopped_while_preparing_starts_over(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r/samples.jsonl").write_text('{"id": "half')
    assert run(tmp_path / "r")["complete"]


def test_limits_are_nested_choices_of_the_seed(tmp_path):
    def chosen(n, seed):
        plan = Plan(tasks=TASKS, data=Path("."), limit=n, seed=seed)
        return [record.sample.id for record in sample_records(plan, GOLD)]

    four, eight = chosen(4, 0), chosen(8, 0)
    assert set(four) < set(eight) and len(four) == 4 * len(TASKS)
    assert chosen(4, 1) != four


def test_without_texts_the_folder_keeps_none_and_the_scores_are_the_same(tmp_path):
    kept, bare = run(tmp_path / "kept"), run(tmp_path / "bare", texts=False)
    assert not (tmp_path / "bare/samples.jsonl").exists()
    assert bare["tables"] == kept["tables"]


def test_draws_have_seeds_of_their_own_and_greedy_has_none(tmp_path):
    seen = []

    def answer(request):
        seen.append((request.sample, request.draw, request.seed))
        return "x"

    plan = {"overrides": {"temperature": 0.7}, "draws": 3, "tasks": TASKS[:1], "limit": 2}
    results = run(tmp_path / "r", ScriptedModel(answer), **plan)
    assert len(seen) == len({seed for *_, seed in seen}) == 6
    for sample, draw, seed in seen:
        request = next(
            r["request"] for r in lines(tmp_path / "r/responses.jsonl") if r["sample"] == sample
        )
        assert seed == seed_of(0, sample, request, draw)
    (task,) = results["tasks"].values()
    assert (task["samples"], task["answers"]) == (2, 6)

    seen.clear()
    run(tmp_path / "greedy", ScriptedModel(answer), tasks=TASKS[:1], limit=2)
    assert [seed for *_, seed in seen] == [None, None]


def test_draws_of_one_sample_count_as_one_item(tmp_path):
    task = next(t for t in TASKS if t.name == "sns_mini/taxonomy_single")
    gold = GOLD._answer

    def mostly(request):
        return gold(request) if request.draw else "no such label"

    model = ScriptedModel(mostly)
    results = run(tmp_path / "r", model, tasks=[task], draws=4, overrides={"temperature": 1.0})
    scoring = results["tasks"][task.name]["scorings"]["corrected"]
    assert scoring["score"] == pytest.approx(75)
    assert scoring["mean_value"] == pytest.approx(0.75)


def test_the_request_hash_covers_what_changes_an_answer():
    def hashes(model=GOLD, **options):
        plan = Plan(tasks=TASKS[:1], data=Path("."), limit=1, **options)
        return [record.requests[0].hash for record in sample_records(plan, model)]

    base = hashes()
    assert hashes() == base
    assert hashes(ScriptedModel({}, fingerprint="other")) != base
    assert hashes(system="You are terse.") != base
    assert hashes(overrides={"max_tokens": 7}) != base
    assert hashes(overrides={"temperature": 0.5}) != base


def test_a_prompt_longer_than_the_context_is_shortened_counted_and_listed(tmp_path):
    class Short(ScriptedModel):
        context = 900

        def overflow(self, request):
            return sum(len(m["content"]) for m in request.prompt) - self.context

    task = next(t for t in TASKS if t.name == "sns_mini/mrc_simple")
    system = "Answer."
    shortened = run(tmp_path / "r", Short(lambda r: "[]"), tasks=[task], system=system)
    items_ = lines(tmp_path / "r/samples.jsonl")
    long = [item for item in items_ if "shortened" in item]
    assert shortened["tasks"][task.name]["shortened"] == [item["id"] for item in long]
    for item in items_:
        prompt = item["requests"][0]["prompt"]
        assert sum(len(m["content"]) for m in prompt) <= 900


def test_an_empty_partition_is_an_error_that_names_the_task(tmp_path):
    with pytest.raises(RedoneError, match="sns_mini/.*'report'"):
        run(tmp_path / "r", partition="report")


def test_partitions_divide_the_samples_by_cluster():
    def part(name):
        plan = Plan(tasks=TASKS, data=Path("."), partition=name)
        found = [record.sample for record in sample_records(plan, GOLD)]
        return {sample.id for sample in found}, {sample.cluster for sample in found}

    (diagnose, notes), (gate, others), (both, _) = part("diagnose"), part("gate"), part("all")
    assert diagnose | gate == both and not diagnose & gate
    assert not notes & others


def test_a_partly_answered_run_is_scored_as_provisional(tmp_path):
    plan = Plan(tasks=TASKS[:1], data=Path("."))
    tasks = {TASKS[0].name: TASKS[0]}

    class Dying(ScriptedModel):
        def run(self, requests):
            for n, pair in enumerate(super().run(requests)):
                if n == 5:
                    raise KeyboardInterrupt
                yield pair

    model = Dying(GOLD._answer, fingerprint="dying")
    with RunFolder(tmp_path / "r") as folder:
        total = prepare(folder, plan, model, {})
        with pytest.raises(KeyboardInterrupt), Progress(total) as progress:
            ask(folder, plan, model, progress)
        scores = score_run(folder, folder.sample_records(), tasks, Services())
        results = write_results(folder, scores, tasks, Services(), resamples=20)
    assert not results["complete"]
    task = results["tasks"][TASKS[0].name]
    assert task["samples"] - task["missing"] == 5


def test_runs_that_differ_have_different_signatures(tmp_path):
    def signature(name, **options):
        results = run(tmp_path / name, tasks=TASKS[:1], **options)
        return results["tasks"][TASKS[0].name]["scorings"]["corrected"]["signature"]

    base = signature("a")
    assert signature("b") == base
    for n, options in enumerate(
        ({"limit": 3}, {"seed": 1}, {"system": "x"}, {"partition": "gate"})
    ):
        assert signature(f"c{n}", **options) != base
    assert base.startswith(f"{TASKS[0].name}|v:") and "|scoring:corrected|" in base


def test_hostile_answers_are_kept_and_scored_as_text(tmp_path):
    texts = ["<script>alert(1)</script>", "\x00\x1b[31m\ud800", "[" * 100_000, "__import__('os')"]

    def answer(request):
        return texts[int(request.sample, 16) % len(texts)]

    results = run(tmp_path / "r", ScriptedModel(answer), limit=8)
    assert results["complete"]


def test_request_of_is_plain_json_and_settings_are_in_it():
    plan = Plan(tasks=TASKS[:1], data=Path("."), overrides={"max_tokens": 5})
    request = request_of(plan, GOLD, {})
    assert json.loads(json.dumps(request)) == request
    assert request["tasks"][TASKS[0].name]["settings"]["max_tokens"] == 5


def test_thinking_is_kept_beside_the_answer(tmp_path):
    def answer(request):
        return Completion("x", thinking="hm", finish="length", tokens=9)

    run(tmp_path / "r", ScriptedModel(answer), tasks=TASKS[:1], limit=1)
    (line,) = lines(tmp_path / "r/responses.jsonl")
    assert (line["thinking"], line["finish"], line["tokens"]) == ("hm", "length", 9)


def test_the_official_scoring_says_when_a_service_was_missing(tmp_path):
    results = run(tmp_path / "r", tasks=[t for t in TASKS if t.name.endswith("query_gen")])
    scorings = results["tasks"]["sns_mini/query_gen"]["scorings"]
    assert scorings["official"]["scoring"] == "official-anls"
    assert "|scoring:official-anls|" in scorings["official"]["signature"]


def test_a_plan_is_values(tmp_path):
    plan = Plan(tasks=TASKS[:1], data=tmp_path)
    assert replace(plan, seed=1).seed == 1
