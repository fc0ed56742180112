"""The proof of a task, and that it fails where a task is wrong."""

from dataclasses import replace
from random import Random

import pytest

from redone.tasks.check import check, hostile_texts, measured_chance
from redone.tasks.errors import MissingData
from redone.tasks.registry import find
from redone.tasks.schema import Metric, Record, Score, Scoring, Settings
from redone.tasks.task import (
    UNKNOWN_CHANCE,
    Baselines,
    Chance,
    Prompt,
    Task,
    store_chance,
    stored_chance,
)

LABELS = ("tea", "milk", "juice", "water")
CANDIDATES = ", ".join(LABELS)


def read(folder):
    for n in range(200):
        yield Record({"note": f"note {n}"}, LABELS[n % 4], "en", f"note {n}")


def score(sample, text):
    if not text.strip():
        return Score(0.0, (0.0, 1.0), None, "empty")
    right = text == sample.target
    return Score(float(right), (float(right), 1.0), text[:20], None if right else "wrong")


def a_scoring(judge=score):
    accuracy = Metric("accuracy", lambda sums: 100 * sums[..., 0] / sums[..., 1])
    return Scoring(
        "corrected", ("right", "items"), lambda s, c, _: judge(s, c[0].text), (accuracy,)
    )


def a_task(judge=score, **changes):
    task = Task(
        name="toy/drink",
        title="A toy",
        category="toy",
        capability="toy",
        language="en",
        version=1,
        dataset=None,
        read=read,
        prompts={"en": Prompt("", "{note}")},
        settings=Settings(),
        scorings={"corrected": a_scoring(judge)},
        gold=lambda sample: sample.target,
        baselines=Baselines(
            random=lambda sample, random: random.choice(LABELS),
            constants=lambda samples: list(LABELS),
            all_candidates=lambda sample: CANDIDATES,
        ),
        chance=Chance(metric=25.2, value=0.26),
        reward="exact",
        citation="nobody",
    )
    return replace(task, **changes)


def problems(tmp_path, task, fuzz=300):
    return "\n".join(check(task, tmp_path, fuzz=fuzz).problems)


def test_a_right_task_is_proved(tmp_path):
    report = check(a_task(), tmp_path, fuzz=300)
    assert report.problems == []
    assert report.items == 200
    assert report.fuzzed == 300
    assert {s.name for s in report.baselines} >= {"all candidates", "random"}
    assert report.best == pytest.approx((25, 0.25), abs=1)


def lax(sample, text):
    right = sample.target in text
    return Score(float(right), (float(right), 1.0), None, None if right else "wrong")


def lenient_empty(sample, text):
    return score(sample, text) if text.strip() else Score(0.1, (0.0, 1.0), None, "empty")


def unnamed_empty(sample, text):
    return score(sample, text) if text.strip() else Score(0.0, (0.0, 1.0), None, "wrong")


def crashing(sample, text):
    return score(sample, text) if "[" not in text else Score(text.index("]") * 0.0, (0.0, 1.0))


def above_one(sample, text):
    return replace(score(sample, text), value=2.0) if "<" in text else score(sample, text)


def infinite(sample, text):
    return (
        replace(score(sample, text), stats=(float("inf"), 1.0))
        if "<" in text
        else score(sample, text)
    )


def not_json(sample, text):
    return replace(score(sample, text), parsed={1, 2})


def too_few(sample, text):
    return replace(score(sample, text), stats=(1.0,)) if len(text) > 40 else score(sample, text)


def other_failure(sample, text):
    return replace(score(sample, text), failure="odd") if "<" in text else score(sample, text)


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (lax, "`all candidates` has metric 100, above"),
        (lenient_empty, "the answer '' has value 0.1"),
        (unnamed_empty, "failure wrong, not 0 and empty"),
        (crashing, "ValueError"),
        (above_one, "value 2.0"),
        (infinite, "statistics"),
        (too_few, "statistics"),
        (not_json, "not JSON serializable"),
        (other_failure, "failure 'odd'"),
    ],
)
def test_a_bad_judgement_is_found(tmp_path, judge, said):
    assert said in problems(tmp_path, a_task(judge))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gold": lambda sample: "tea"}, "the gold predictions score 25.0000, not 100"),
        ({"gold": lambda sample: "tea"}, "a gold answer has value 0.0000 and failure wrong"),
        ({"chance": Chance(20.0, 0.26)}, "above the stored chance level 20"),
        ({"chance": Chance(25.2, 0.2)}, "above the stored chance level 0.2"),
        ({"chance": Chance(40.0, 0.26)}, "inflated"),
        ({"chance": Chance(25.2, 0.4)}, "inflated"),
        ({"prompts": {"en": Prompt("", "{text}")}}, "{text}, which is no field"),
        ({"read": lambda folder: iter(())}, "there is no sample"),
    ],
)
def test_a_bad_task_is_found(tmp_path, changes, said):
    assert said in problems(tmp_path, a_task(**changes), fuzz=0)


def test_a_frequent_gold_is_tried_as_a_constant(tmp_path):
    def mostly_tea(folder):
        for n in range(200):
            yield Record({"note": f"{n}"}, "tea" if n % 2 else LABELS[n % 4], "en", f"{n}")

    silent = replace(a_task().baselines, constants=lambda samples: [])
    assert "always 'tea'" in problems(tmp_path, a_task(read=mostly_tea, baselines=silent), fuzz=0)


def test_identical_ids_are_found(tmp_path, monkeypatch):
    import redone.tasks.check as module

    plain = module.samples
    monkeypatch.setattr(
        module, "samples", lambda *a, **k: (replace(s, id="0" * 16) for s in plain(*a, **k))
    )
    assert "ids are not unique" in problems(tmp_path, a_task(), fuzz=0)


def test_an_undefined_metric_counts_as_nothing(tmp_path):
    nan = Metric("nothing", lambda sums: sums[..., 0] * float("nan"))
    task = a_task()
    broken = replace(
        task, scorings={"corrected": replace(task.scorings["corrected"], metrics=(nan,))}
    )
    assert "the gold predictions score 0.0000" in problems(tmp_path, broken, fuzz=0)


def test_reduced_scoring_is_told(tmp_path):
    whole = replace(
        a_scoring(), needs=("embedder",), without=replace(a_scoring(), name="corrected-less")
    )
    report = check(
        a_task(scorings={"corrected": whole}, chance=Chance(90.0, 0.9)), tmp_path, fuzz=0
    )
    assert report.problems == []
    assert "checked under corrected-less" in report.notes[0]


def test_hostile_texts_are_seeded_and_varied():
    texts = list(hostile_texts(3000, Random(1), ["gold", "a, b"]))
    assert texts == list(hostile_texts(3000, Random(1), ["gold", "a, b"]))
    assert max(map(len, texts)) >= 1_000_000
    assert any("\x1b" in t for t in texts)
    assert any("[" * 1000 in t for t in texts)
    assert any("\ud800" in t for t in texts)
    assert any("__import__" in t for t in texts)


@pytest.mark.parametrize("task", find("sns-mini"), ids=lambda t: t.name)
def test_embedded_tasks_are_proved(task, tmp_path):
    assert check(task, tmp_path, fuzz=200).problems == []


@pytest.mark.shared_data
@pytest.mark.parametrize("task", find("sns,tweeteval"), ids=lambda t: t.name)
def test_published_tasks_are_proved(task, data_dir, monkeypatch):
    import redone.tasks.check as module

    monkeypatch.setattr(module, "CONSTANTS", 5)
    assert check(task, data_dir, fuzz=100).problems == []


def test_chance_levels_are_measured_and_stored(tmp_path):
    unknown = check(a_task(chance=UNKNOWN_CHANCE), tmp_path, fuzz=0)
    assert unknown.problems == []
    assert "its chance level is unknown" in unknown.notes[0]
    report = check(a_task(chance=Chance(40.0, 0.4)), tmp_path, fuzz=0, measure=True)
    assert report.problems == []
    level = measured_chance(report)
    assert level is not None
    assert (level.metric, level.value) == pytest.approx((25, 0.25), abs=1)
    assert measured_chance(check(a_task(chance=level), tmp_path, fuzz=0)) is None
    file = tmp_path / "chance.toml"
    file.write_text('# Levels.\n\n"a/b" = { metric = 1.5, value = 0.1 }\n', "utf-8")
    store_chance({"toy/drink": level}, file)
    assert stored_chance(file) == {"a/b": Chance(1.5, 0.1), "toy/drink": level}
    assert file.read_text("utf-8").startswith("# Levels.\n\n")


def test_missing_data_is_not_a_proof(tmp_path):
    with pytest.raises(MissingData):
        check(find("sns")[0], tmp_path)
