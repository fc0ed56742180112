"""lm-eval's tasks through our harness: the same questions, the same score."""

import random

import numpy as np
import pytest
from general_world import TASKS, lm_eval_model, our_model, write_mirror, write_tasks

from redone.harness.progress import Progress
from redone.harness.results import write_results
from redone.harness.runner import Plan, ask, items_of, prepare
from redone.harness.scores import judge
from redone.harness.store import RunFolder
from redone.tasks.errors import MissingData, RedoneError, UnknownName
from redone.tasks.general import definitions
from redone.tasks.general.metrics import scale_of
from redone.tasks.general.mirrors import mirrors
from redone.tasks.general.world import offline_world
from redone.tasks.registry import by_name, find, table_of
from redone.tasks.schema import Completion, Services
from redone.tasks.sources import samples


@pytest.fixture(autouse=True)
def own_tasks(tmp_path, monkeypatch):
    for name in ("tasks", "mirror"):
        (tmp_path / name).mkdir()
    write_tasks(tmp_path / "tasks")
    write_mirror(tmp_path / "mirror")
    monkeypatch.setenv("REDONE_LM_EVAL_TASKS", str(tmp_path / "tasks"))
    monkeypatch.setenv("REDONE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("REDONE_DATA", str(tmp_path))
    for remembered in (definitions.definition, definitions.manager):
        remembered.cache_clear()


def evaluate(folder, names, model=None, **options):
    tasks = {t.name: t for name in names for t in find(None, f"lm_eval:{name}")}
    plan = Plan(tasks=list(tasks.values()), data=folder, **options)
    model = model or our_model()
    with RunFolder(folder / "run") as run:
        total = prepare(run, plan, model, {})
        with Progress(total) as bar:
            ask(run, plan, model, bar)
        judged = judge(run, items_of(run, plan, model), tasks, Services())
        return write_results(run, judged, tasks, Services(), resamples=50)


def by_lm_eval(folder, name):
    """What lm-eval itself says, with the same answers."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    with offline_world(mirrors(folder)):
        found = simple_evaluate(
            model=lm_eval_model(),
            tasks=[name],
            task_manager=TaskManager(include_defaults=False, include_path=str(folder / "tasks")),
            bootstrap_iters=0,
        )
    return {
        key: value
        for key, value in found["results"][name].items()
        if "," in key and "_stderr" not in key
    }


@pytest.mark.parametrize("name", [*TASKS, "own_half", "own_pool"])
def test_every_figure_is_lm_evals_own(tmp_path, name):
    ours = evaluate(tmp_path, [name])["tasks"][f"lm_eval:{name}"]["scorings"]["corrected"]
    theirs = by_lm_eval(tmp_path, name)
    assert set(ours["metrics"]) == set(theirs)
    for key, value in theirs.items():
        scale = scale_of(key.partition(",")[0])
        assert ours["metrics"][key] == pytest.approx(scale * value, abs=1e-9), key
    assert ours["low"] <= ours["score"] <= ours["high"]
    assert 0 <= ours["mean_value"] <= 1


def test_prompts_are_those_of_a_run_over_all_documents(tmp_path):
    """Few-shot examples are drawn in order, so a choice of documents must not change them."""
    (task,) = find(None, "lm_eval:own_generate")
    whole = {s.id: s.fields["prompts"] for s in samples(task, tmp_path)}
    some = {s.id: s.fields["prompts"] for s in samples(task, tmp_path, limit=4)}
    assert len(whole) == 12
    assert some.items() <= whole.items()
    with offline_world(mirrors(tmp_path)):
        from lm_eval.tasks import TaskManager

        own = TaskManager(include_defaults=False, include_path=str(tmp_path / "tasks"))
        built = own.load(["own_generate"])["tasks"]["own_generate"]
        built.set_fewshot_seed(1234)
        built.build_all_requests()
    assert [p for (p,) in whole.values()] == [i.arguments[0] for i in built.instances]


def test_a_judgement_that_draws_by_chance_is_the_same_each_time(tmp_path, monkeypatch):
    """IFEval checks for a random letter where a document names a character that is none."""
    (task,) = find(None, "lm_eval:own_generate")
    one, two = list(samples(task, tmp_path))[:2]
    judge = task.scorings["corrected"].score
    built = judge.definition().tasks["own_generate"]
    monkeypatch.setattr(
        built, "process_results", lambda *_: {"exact_match": random.random() + np.random.random()}
    )

    def worth(sample):
        return judge(sample, [Completion("7")], Services()).parsed

    random.seed(0)
    expected = random.random()
    random.seed(0)
    assert worth(one) == worth(one) != worth(two)
    assert random.random() == expected  # nobody else's numbers are touched


def test_a_choice_is_one_request_an_option_and_one_without_the_question(tmp_path):
    (task,) = find(None, "lm_eval:own_choice")
    sample = next(samples(task, tmp_path))
    asked = task.requests(sample, task.prompts["en"])
    assert [(r.kind, r.prompt, r.continuation) for r in asked[2:4]] == [
        ("loglikelihood", sample.fields["prompts"][0], " cat and dog"),
        ("loglikelihood", "", " apple tart"),
    ]
    canned = task.scorings["corrected"].score(
        sample, [Completion(task.gold(sample))] * len(asked), Services()
    )
    assert canned.value == 1.0 and canned.failure is None


def test_repeats_are_answers_of_their_own(tmp_path):
    """Three sampled answers to one question: three requests, three seeds, one sample."""
    results = evaluate(tmp_path, ["own_votes"])["tasks"]["lm_eval:own_votes"]
    assert (results["samples"], results["answers"]) == (12, 36)


def test_a_run_that_was_stopped_goes_on(tmp_path):
    class Stops(Exception):
        pass

    model, left = our_model(), [5]
    answer = model._answer

    def few(request):
        if not left[0]:
            raise Stops
        left[0] -= 1
        return answer(request)

    model._answer = few
    with pytest.raises(Stops):
        evaluate(tmp_path, ["own_choice"], model)
    left[0] = 1000
    stopped = evaluate(tmp_path, ["own_choice"], model)
    (tmp_path / "run" / "results.json").unlink()
    assert 1000 - left[0] == 20 * 6 - 5
    assert stopped["complete"]


def test_partitions_split_by_the_question(tmp_path):
    (task,) = find(None, "lm_eval:own_pool")
    found = list(samples(task, tmp_path))
    assert len(found) == 27
    assert {s.tags["task"] for s in found} == {"own_choice", "own_half"}
    by_cluster = {}
    for sample in found:
        by_cluster.setdefault(sample.cluster, set()).add(sample.partition)
    assert len(by_cluster) == 20, "the seven that are in both parts are about the same"
    assert all(len(parts) == 1 for parts in by_cluster.values())


def test_an_opaque_figure_is_marked(tmp_path):
    scoring = by_name("lm_eval:own_flag").scorings["corrected"]
    f1, mcc = scoring.metrics
    assert f1.from_items is None and mcc.from_items is not None
    items = [{"mcc,none": [gold, said]} for gold, said in ((0, 0), (1, 1), (1, 0), (0, 0))]
    assert mcc.point(np.empty(0), items) == pytest.approx(100 * 0.5773502691896258)
    assert np.isnan(mcc.point(np.empty(0), []))


def test_opaque_figures_have_intervals(tmp_path, monkeypatch):
    """A task whose only metric is no function of sums."""
    text = (tmp_path / "tasks" / "own_flag.yaml").read_text()
    kept = "\n".join(line for line in text.splitlines() if "metric: f1" not in line)
    (tmp_path / "tasks" / "own_mcc.yaml").write_text(kept.replace("own_flag", "own_mcc"))
    results = evaluate(tmp_path, ["own_mcc"])
    (row,) = [r for r in results["tables"]["corrected"] if r["level"] == "task"]
    assert row["item_resamples"] == 50
    assert row["low"] <= row["score"] <= row["high"]


def test_names(tmp_path):
    assert [t.name for t in find(None, "lm_eval:own_apart")] == [
        "lm_eval:own_apart/own_choice",
        "lm_eval:own_apart/own_half",
    ]
    names = ["lm_eval:own_apart/own_choice", "lm_eval:own_apart/own_half", "lm_eval:own_text"]
    assert [(r.level, r.name, r.of) for r in table_of(names)] == [
        ("category", "lm_eval:own_apart", tuple(names[:2])),
        ("task", names[0], (names[0],)),
        ("task", names[1], (names[1],)),
        ("category", "lm_eval:own_text", (names[2],)),
        ("task", names[2], (names[2],)),
    ]
    assert by_name("lm_eval:own_pool").version == "2+1.5"
    with pytest.raises(UnknownName, match="own_choice"):
        find(None, "lm_eval:own_choise")
    with pytest.raises(RedoneError, match="variant 'chta' is unknown"):
        find(None, "lm_eval:own_choice+chta")


def test_through_the_chat_template(tmp_path):
    """Messages reach the backend as messages: its own chat template renders them."""
    (task,) = find(None, "lm_eval:own_generate+chat+1shot")
    sample = next(samples(task, tmp_path))
    (request,) = task.requests(sample, task.prompts["en"])
    assert [m["role"] for m in request.prompt] == ["user", "assistant", "user"]
    assert request.prompt[-1]["content"] == "Q: How many legs have 10 cats?\nA:"
    assert request.settings.stop == ("Q:",) and request.settings.max_tokens == 12


def test_a_hostile_answer_stops_nothing(tmp_path, monkeypatch):
    (task,) = find(None, "lm_eval:own_generate")
    sample = next(samples(task, tmp_path))
    built = definitions.definition("own_generate", None, tmp_path).tasks["own_generate"]
    monkeypatch.setattr(built, "process_results", lambda *_: 1 / 0)
    score = task.scorings["corrected"].score(sample, [Completion("x")], Services())
    assert (score.value, score.failure, score.stats) == (0.0, "format", (0.0, 1.0, 0.0, 1.0))


def test_a_data_set_out_of_reach_is_named(tmp_path, monkeypatch):
    import datasets

    def no_network(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", no_network)
    monkeypatch.delenv("REDONE_MIRROR")
    with pytest.raises(MissingData, match=r"own/choices is in no mirror.*redone-tasks mirror"):
        find(None, "lm_eval:own_choice")

    def gated(*_, **__):
        raise PermissionError("Dataset 'own/choices' is a gated dataset on the Hub.")

    monkeypatch.setattr(datasets, "load_dataset", gated)
    with pytest.raises(MissingData, match="https://huggingface.co/datasets/own/choices"):
        find(None, "lm_eval:own_choice")
