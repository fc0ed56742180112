"""lm-eval's tasks through our harness: the same questions, the same score."""

import json
import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from lm_eval_fixtures import (
    QUESTIONS,
    TASKS,
    lm_eval_model,
    our_model,
    write_mirror,
    write_tasks,
)

from redone.harness.display import Progress
from redone.harness.evaluate import Plan, ask, prepare, records_of
from redone.harness.models.predictions import read_predictions
from redone.harness.results import write_results
from redone.harness.run_folder import RunFolder
from redone.harness.score import score_run
from redone.tasks.errors import BadRow, MissingData, RedoneError, UnknownName
from redone.tasks.general.aggregation import scale_of
from redone.tasks.general.definitions import definition
from redone.tasks.general.lm_eval_tasks import tabled
from redone.tasks.general.mirror import mirrors
from redone.tasks.general.offline import offline_lm_eval
from redone.tasks.registry import by_name, find, table_of
from redone.tasks.schema import Completion, Services
from redone.tasks.sources import DataPaths, samples


@pytest.fixture
def data(tmp_path):
    """A mirror and definitions of our own."""
    for name in ("tasks", "mirror"):
        (tmp_path / name).mkdir()
    write_tasks(tmp_path / "tasks")
    write_mirror(tmp_path / "mirror")
    return DataPaths(tmp_path, (tmp_path / "mirror",), tmp_path / "tasks")


def the_task(name, data):
    (task,) = find(None, f"lm_eval:{name}", data)
    return task


def evaluate(data, names, model=None, **options):
    folder = data.folder
    tasks = {t.name: t for name in names for t in find(None, f"lm_eval:{name}", data)}
    plan = Plan(tasks=list(tasks.values()), data=folder, **options)
    model = model or our_model()
    with RunFolder(folder / "run") as run:
        total = prepare(run, plan, model, {})
        with Progress(total) as bar:
            ask(run, plan, model, bar)
        scored = score_run(run, records_of(run, plan, model), tasks, Services())
        return write_results(run, scored, tasks, Services(), resamples=50)


def by_lm_eval(data, name):
    """What lm-eval itself says, with the same answers."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    with offline_lm_eval(mirrors(data)):
        found = simple_evaluate(
            model=lm_eval_model(),
            tasks=[name],
            task_manager=TaskManager(include_defaults=False, include_path=str(data.include)),
            bootstrap_iters=0,
        )
    return {
        key: value
        for key, value in found["results"][name].items()
        if "," in key and "_stderr" not in key
    }


@pytest.mark.parametrize("name", [*TASKS, "own_half", "own_pool"])
def test_every_figure_is_lm_evals_own(data, name):
    ours = evaluate(data, [name])["tasks"][f"lm_eval:{name}"]["scorings"]["corrected"]
    theirs = by_lm_eval(data, name)
    assert set(ours["metrics"]) == set(theirs)
    for key, value in theirs.items():
        scale = scale_of(key.partition(",")[0])
        assert ours["metrics"][key] == pytest.approx(scale * value, abs=1e-9), key
    assert ours["low"] <= ours["score"] <= ours["high"]
    assert 0 <= ours["mean_value"] <= 1


def test_prompts_are_those_of_a_run_over_all_documents(data):
    """Few-shot examples are drawn in order, so a choice of documents must not change them."""
    task = the_task("own_generate", data)
    whole = {s.id: s.fields["prompts"] for s in samples(task, data.folder)}
    some = {s.id: s.fields["prompts"] for s in samples(task, data.folder, limit=4)}
    assert len(whole) == 12
    assert some.items() <= whole.items()
    with offline_lm_eval(mirrors(data)):
        from lm_eval.tasks import TaskManager

        own = TaskManager(include_defaults=False, include_path=str(data.include))
        built = own.load(["own_generate"])["tasks"]["own_generate"]
        built.set_fewshot_seed(1234)
        built.build_all_requests()
    assert [p for (p,) in whole.values()] == [i.arguments[0] for i in built.instances]


def test_scoring_that_draws_at_random_is_the_same_each_time(data, monkeypatch):
    """IFEval checks for a random letter where a document names a character that is none."""
    task = the_task("own_generate", data)
    one, two = list(samples(task, data.folder))[:2]
    score = task.scorings["corrected"].score
    built = score.definition().tasks["own_generate"]
    monkeypatch.setattr(
        built, "process_results", lambda *_: {"exact_match": random.random() + np.random.random()}
    )

    def worth(sample):
        return score(sample, [Completion("7")], Services()).parsed

    random.seed(0)
    expected = random.random()
    random.seed(0)
    assert worth(one) == worth(one) != worth(two)
    assert random.random() == expected  # nobody else's numbers are touched


def test_a_choice_is_one_request_an_option_and_one_without_the_question(data):
    task = the_task("own_choice", data)
    sample = next(samples(task, data.folder))
    asked = task.requests(sample, task.prompts["en"])
    assert [(r.kind, r.prompt, r.continuation) for r in asked[2:4]] == [
        ("loglikelihood", sample.fields["prompts"][0], " cat and dog"),
        ("loglikelihood", "", " apple tart"),
    ]
    canned = task.scorings["corrected"].score(
        sample, [Completion(task.gold(sample))] * len(asked), Services()
    )
    assert canned.value == 1.0 and canned.failure is None


CHOSEN = [
    # the choice's text, its letter, its index; alone, marked, or in a sentence
    ("cat and dog", 2),
    (" cat and dog", 2),
    ("**Cat and dog.**", 2),
    ("The answer is bee.", 1),
    ("<answer>bee</answer>", 1),
    ("B", 1),
    ("(b)", 1),
    ("C.", 2),
    ("Answer: B", 1),
    ("B. bee", 1),
    ("2", 2),
    ("0", 0),
    # a letter that is stated, behind the options or another letter
    ("A) apple tart\nB) bee\nC) cat and dog\nAnswer: C", 2),
    ("A: apple tart\nB: bee\nC: cat and dog\n\nThe answer is B", 1),
    ("A: no. The answer is C.", 2),
    ("A) 不对。选C", 2),
    ("A, because B is wrong", 0),
    ("B. bee\n\nExplanation: A is too sweet.", 1),
    ("B) the answer is cat and dog", 2),
    # log-likelihoods as lm-eval logs them, of every request
    ("[-9, -1.5, -3, 0, 0, 0]", 1),
    ("[[-9, false], [-8.5, false], [-3, true], [0, false], [0, false], [0, false]]", 2),
    ('[["-9", "False"], ["-1", "True"], ["-inf", "False"], ["0", "False"], [0, 0], [0, 0]]', None),
    # nothing that can be read is never a choice
    ("", None),
    ("bee or apple tart", None),
    ("B. apple tart", None),
    ("A) or C)", None),
    ("A) B) C)", None),
    ("A、B、C", None),
    ("A, B", None),
    ("(A) and (B)", None),
    ("A: wrong. B: right", None),
    ("A: I choose bee", None),
    ("A) apple tart\nB) bee\nC) cat and dog", None),
    ("The answer is A or C", None),
    ("a dog", None),
    ("D", None),
    ("3", None),
    ("-1", None),
    ("[-9, -1.5]", None),
    ("[NaN, NaN, NaN, NaN, NaN, NaN]", None),
    ('["-9", "-1_0", "-3", 0, 0, 0]', None),
    ("[-9, 1.5, -3, 0, 0, 0]", None),
    ("I think so", None),
]


@pytest.mark.parametrize(("text", "chosen"), CHOSEN)
def test_a_canned_choice(data, text, chosen):
    task = the_task("own_choice", data)
    for sample in list(samples(task, data.folder))[:3]:
        asked = task.requests(sample, task.prompts["en"])
        score = task.scorings["corrected"].score(
            sample, [Completion(text)] * len(asked), Services()
        )
        assert score.value == float(chosen == sample.target)
        kind = "empty" if not text else "format"
        assert score.failure == (
            kind if chosen is None else None if chosen == sample.target else "wrong"
        )


def test_predictions_for_multiple_choice(data, tmp_path, capsys):
    """An index and log-likelihoods as JSON; what cannot be meant is refused with row and field."""
    task = the_task("own_choice", data)
    ids = [sample.id for sample in samples(task, data.folder)]
    targets = [sample.target for sample in samples(task, data.folder)]

    def read(*predictions):
        rows = [{"id": i, "prediction": p} for i, p in zip(ids, predictions, strict=False)]
        path = tmp_path / "predictions.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
        return read_predictions(path, [task], data.folder)

    def logged(target):
        return [[[float(-1 if n == target else -7), n == target]] for n in range(6)]

    for predictions in (targets, [logged(t) for t in targets]):
        table = read(*predictions)
        for sample in samples(task, data.folder):
            canned = [Completion(table[sample.id])] * 6
            assert task.scorings["corrected"].score(sample, canned, Services()).value == 1
    for bad, why in [
        (3, "a choice from 0 to 2, not 3"),
        (True, "not true"),
        (None, "not null"),
        ([-1.0, -2.0], "6 log-likelihoods"),
        ([None] * 6, "6 log-likelihoods"),
        ([-1.0, "-inf", -2.0, 0, 0, 0], "6 log-likelihoods"),
        ([-1.0, "inf", -2.0, 0, 0, 0], "6 log-likelihoods"),
        ([-1.0, "nan", -2.0, 0, 0, 0], "6 log-likelihoods"),
        ([-1.0, 0.5, -2.0, 0, 0, 0], "6 log-likelihoods"),
        ([-1, "-1_0", -2, 0, 0, 0], "6 log-likelihoods"),
        ({"a": 1}, "6 log-likelihoods"),
        ([], "6 log-likelihoods"),
    ]:
        with pytest.raises(BadRow, match=f"row 2, field 'prediction': .*{why}"):
            read("bee", bad)


def test_repeats_are_separate_answers(data):
    """Three sampled answers to one question: three requests, three seeds, one sample."""
    results = evaluate(data, ["own_votes"])["tasks"]["lm_eval:own_votes"]
    assert (results["samples"], results["answers"]) == (12, 36)


def test_a_run_that_was_stopped_resumes(data):
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
        evaluate(data, ["own_choice"], model)
    left[0] = 1000
    stopped = evaluate(data, ["own_choice"], model)
    (data.folder / "run" / "results.json").unlink()
    assert 1000 - left[0] == 20 * 6 - 5
    assert stopped["complete"]


def test_partitions_split_by_the_question(data):
    task = the_task("own_pool", data)
    found = list(samples(task, data.folder))
    assert len(found) == 27
    assert {s.tags["task"] for s in found} == {"own_choice", "own_half"}
    by_cluster = {}
    for sample in found:
        by_cluster.setdefault(sample.cluster, set()).add(sample.partition)
    assert len(by_cluster) == 20, "the seven that are in both parts are about the same"
    assert all(len(parts) == 1 for parts in by_cluster.values())


def test_an_opaque_figure_is_marked(data):
    scoring = by_name("lm_eval:own_flag", data).scorings["corrected"]
    f1, mcc = scoring.metrics
    assert f1.from_items is None and mcc.from_items is not None
    items = [{"mcc,none": [gold, said]} for gold, said in ((0, 0), (1, 1), (1, 0), (0, 0))]
    assert mcc.point(np.empty(0), items) == pytest.approx(100 * 0.5773502691896258)
    assert np.isnan(mcc.point(np.empty(0), []))


def test_opaque_figures_have_intervals(data, monkeypatch):
    """A task whose only metric is no function of sums."""
    text = (data.include / "own_flag.yaml").read_text()
    kept = "\n".join(line for line in text.splitlines() if "metric: f1" not in line)
    (data.include / "own_mcc.yaml").write_text(kept.replace("own_flag", "own_mcc"))
    results = evaluate(data, ["own_mcc"])
    (row,) = [r for r in results["tables"]["corrected"] if r["level"] == "task"]
    assert row["item_resamples"] == 50
    assert row["low"] <= row["score"] <= row["high"]


def test_names(data):
    assert [t.name for t in find(None, "lm_eval:own_apart", data)] == [
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
    assert by_name("lm_eval:own_pool", data).version == "2+1.5"
    with pytest.raises(UnknownName, match="own_choice"):
        find(None, "lm_eval:own_choise", data)
    with pytest.raises(RedoneError, match="variant 'chta' is unknown"):
        find(None, "lm_eval:own_choice+chta", data)


def test_through_the_chat_template(data):
    """Messages reach the backend as messages: its own chat template renders them."""
    task = the_task("own_generate+chat+1shot", data)
    sample = next(samples(task, data.folder))
    (request,) = task.requests(sample, task.prompts["en"])
    assert [m["role"] for m in request.prompt] == ["user", "assistant", "user"]
    assert request.prompt[-1]["content"] == "Q: How many legs have 10 cats?\nA:"
    assert request.settings.stop == ("Q:",) and request.settings.max_tokens == 12


def test_a_hostile_answer_stops_nothing(data, monkeypatch):
    task = the_task("own_generate", data)
    sample = next(samples(task, data.folder))
    built = definition("own_generate", None, data).tasks["own_generate"]
    monkeypatch.setattr(built, "process_results", lambda *_: 1 / 0)
    score = task.scorings["corrected"].score(sample, [Completion("x")], Services())
    assert (score.value, score.failure, score.stats) == (0.0, "format", (0.0, 1.0, 0.0, 1.0))


def test_a_data_set_out_of_reach_is_named(data, monkeypatch):
    import datasets

    def no_network(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", no_network)
    data = replace(data, mirrors=())
    with pytest.raises(MissingData, match=r"own/choices is in no mirror.*redone tasks mirror"):
        find(None, "lm_eval:own_choice", data)

    def gated(*_, **__):
        raise PermissionError("Dataset 'own/choices' is a gated dataset on the Hub.")

    monkeypatch.setattr(datasets, "load_dataset", gated)
    with pytest.raises(MissingData, match="https://huggingface.co/datasets/own/choices"):
        find(None, "lm_eval:own_choice", data)


# --- data ----------------------------------------------------------------------------------------


def other_data(data):
    """Another mirror, with other rows, and other definitions."""
    folder = data.folder / "other"
    for name in ("tasks", "mirror"):
        (folder / name).mkdir(parents=True)
    write_tasks(folder / "tasks")
    write_mirror(folder / "mirror", questions=QUESTIONS[:11])
    (folder / "tasks" / "own_half.yaml").unlink()
    return DataPaths(folder, (folder / "mirror",), folder / "tasks")


def test_two_places_of_data_in_one_process_do_not_see_each_other(data):
    before = dict(os.environ)
    other = other_data(data)
    one, two = (the_task("own_generate", each) for each in (data, other))
    assert [len(list(samples(t, d.folder))) for t, d in ((one, data), (two, other))] == [12, 3]
    assert len(list(samples(one, data.folder))) == 12, "the last place read changes nothing"
    built = [task.scorings["corrected"].score.definition() for task in (one, two)]
    assert [len(b.tasks["own_generate"].eval_docs) for b in built] == [12, 3]
    assert the_task("own_half", data).name == "lm_eval:own_half"
    with pytest.raises(UnknownName):
        the_task("own_half", other)
    assert dict(os.environ) == before


def test_a_task_of_the_table_reads_and_scores_from_the_same_place(data):
    """Its documents and its scorer are built from one place, whatever the environment says."""
    other = other_data(data)
    tasks = [tabled("lm_eval:gsm8k+0shot", each) for each in (data, other)]
    assert [task.read.data for task in tasks] == [data, other]
    assert [task.scorings["corrected"].score.definition.__self__.data for task in tasks] == [
        *(data, other),
    ]
    assert tasks[0].read.using(other) == tasks[1].read


def test_threads_that_score_build_a_task_once(data):
    """Tasks are built under process-wide patches, so two threads must not build at a time."""
    task = tabled("lm_eval:gsm8k", data)
    (data.mirrors[0] / "mirror.toml").write_text(
        '[[dataset]]\nhub = "openai/gsm8k"\n'
        'files = { train = "q/train.jsonl", test = "q/test.jsonl" }\n'
    )
    build = task.scorings["corrected"].score.definition
    with ThreadPoolExecutor(8) as threads:
        built = list(threads.map(lambda _: build(), range(8)))
    assert all(each is built[0] for each in built)
