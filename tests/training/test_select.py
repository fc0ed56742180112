"""Stage 2's rows: a weakness that was planted is what is selected for."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from corpora import NAMES, bucket, diagnosed, diagnosis, row, write_tweets

from redone.harness.diagnosis.schema import Slice
from redone.tasks.errors import RedoneError
from redone.tasks.registry import by_name, find
from redone.tasks.sources import samples
from redone.training.corpus.contamination import EvaluationItems, tasks_of
from redone.training.corpus.failures import GENERAL_SHARE, failure_rows, name_of, share_table
from redone.training.corpus.selection import SelectionSettings
from redone.training.corpus.sources import generated_rows, registry_rows
from redone.training.rows import counted

IRONY, EMOTION, FACTS = "tweeteval/irony", "tweeteval/emotion", "general_mini/facts"
NO_GENERAL = SelectionSettings(general_share=0)


# --- from a run to the rows ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A model that calls sad tweets joyful and every hateful one harmless: run and diagnosis."""
    folder = tmp_path_factory.mktemp("planted")
    data = write_tweets(folder / "data", train=300, sadness=0.1)

    def wrong(task, sample):
        if task.name == EMOTION and sample.target == "sadness":
            return "joy"
        return "No" if task.name == "tweeteval/hate" else None

    found = diagnosed(folder, data, wrong)
    rows = [*registry_rows(find(None, NAMES), data), *generated_rows(count=20)]
    items = EvaluationItems(tasks_of(rows, ()), data)
    return data, rows, found, items


def test_a_planted_weakness_ends_up_in_the_selected_rows_with_its_share(planted):
    data, rows, found, items = planted
    selection = failure_rows(rows, found, SelectionSettings(budget=100), items)
    assert len(selection.rows) == 100
    tasks = Counter(r.task for r in selection.rows if not r.general)
    assert set(tasks) == {EMOTION, "tweeteval/hate"}
    # 300 train rows of emotion, 30 of them sad: all of the share of emotion's weak slice is sad.
    shares = {s.name: s for s in selection.shares}
    sad = shares[f"{EMOTION} label=sadness"]
    assert sad.failure == "wrong" and sad.rows == 30
    labels = Counter(r.tags["label"] for r in selection.rows if r.task == EMOTION)
    assert labels["sadness"] == sad.drawn and sad.share == sad.drawn / 100
    assert labels["sadness"] / tasks[EMOTION] > 0.3  # ten percent of the corpus
    hate = Counter(r.tags["label"] for r in selection.rows if r.task == "tweeteval/hate")
    assert hate["hate"] > 1.9 * hate["not-hate"] > 0  # half and half in the corpus


def test_selected_rows_are_train_rows_and_never_items_of_the_evaluation(planted):
    data, rows, found, items = planted
    selection = failure_rows(rows, found, SelectionSettings(), items)
    evaluated = {s.id for t in find(None, NAMES) for s in samples(t, data)}
    assert any(b.items for b in found.buckets)
    assert not {r.id for r in selection.rows} & evaluated
    with pytest.raises(RedoneError, match="repeat evaluation items"):
        failure_rows(
            [*rows, row("x", id=found.buckets[0].items[0])], found, SelectionSettings(), items
        )


def test_every_row_has_a_decision_with_its_reason(planted):
    _, rows, found, items = planted
    selection = failure_rows(rows, found, SelectionSettings(budget=100), items)
    assert [d.row for d in selection.decisions] == [r.id for r in rows]
    why = counted(selection.decisions)
    drawn = sum(not r.general for r in selection.rows)
    assert why["bucket"] == drawn and why["general"] == 100 - drawn
    assert why["not weak"] == 900  # irony, offensive and stance are always right
    of_bucket = [d for d in selection.decisions if d.why == "bucket"]
    assert all(d.bucket and d.bucket in d.reason and d.kept == 1 for d in of_bucket)
    assert sum(d.kept for d in selection.decisions) == 100
    table = share_table(selection.shares)
    assert f"| {EMOTION} label=sadness | content understanding | wrong |" in table
    assert "general: general_mini/facts" in table


def test_the_same_seed_gives_the_same_selection_bit_for_bit(planted):
    _, rows, found, items = planted
    settings = SelectionSettings(budget=90, seed=7)
    one, same = (
        failure_rows(rows, found, settings, items),
        failure_rows(rows[::-1], found, settings, items),
    )
    assert [r.to_json() for r in one.rows] == [r.to_json() for r in same.rows]
    other = failure_rows(rows, found, SelectionSettings(budget=90, seed=8), items)
    assert {r.id for r in one.rows} != {r.id for r in other.rows}


def test_the_general_share_is_five_point_six_percent(planted):
    _, rows, found, items = planted
    assert round(GENERAL_SHARE, 3) == 0.056
    selection = failure_rows(rows, found, SelectionSettings(budget=180), items)
    assert sum(r.general for r in selection.rows) == 10
    everything = failure_rows(rows, found, SelectionSettings(), items)
    share = sum(r.general for r in everything.rows) / len(everything.rows)
    assert share == pytest.approx(GENERAL_SHARE, abs=0.002)


# --- the rules -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def items():
    held = EvaluationItems([by_name(FACTS)], Path())
    held.tasks = frozenset({IRONY, EMOTION, FACTS, "tweeteval/hate", "tweeteval/stance"})
    return held


def drawn_by_bucket(selection):
    return {share.name: share.drawn for share in selection.shares}


def test_the_budget_goes_by_capability_then_by_priority_and_rarity(items):
    rows = [
        *(row(n, IRONY) for n in range(400)),
        *(row(n, EMOTION, "joy") for n in range(100)),
        *(row(n, "tweeteval/hate", "hate") for n in range(400)),
    ]
    found = diagnosis(
        bucket(IRONY, "one", 0.6), bucket(EMOTION, "one", 0.2), bucket("tweeteval/hate", "two", 0.2)
    )
    selection = failure_rows(rows, found, SelectionSettings(budget=200, general_share=0), items)
    # Half of 200 is shared alike, half by priority 0.8 : 0.2 (130 and 70); within the first,
    # 0.6 * 20 to 0.2 * 10, the roots of 400 and 100.
    assert drawn_by_bucket(selection) == {IRONY: 111, EMOTION: 19, "tweeteval/hate": 70}
    even = SelectionSettings(budget=200, general_share=0, evenness=1.0, label_balance=1.0)
    assert drawn_by_bucket(failure_rows(rows, found, even, items)) == {
        IRONY: 75,
        EMOTION: 25,
        "tweeteval/hate": 100,
    }
    by_priority = SelectionSettings(budget=200, general_share=0, evenness=0.0, label_balance=0.0)
    assert drawn_by_bucket(failure_rows(rows, found, by_priority, items)) == {
        IRONY: 148,
        EMOTION: 12,
        "tweeteval/hate": 40,
    }


def test_a_row_counts_for_its_slice_before_its_task_and_once(items):
    rows = [row(n, label="irony" if n % 4 == 0 else "non_irony") for n in range(80)]
    # The slice has fewer items, so a wider interval and the lower priority; it still comes first.
    found = diagnosis(bucket(IRONY, "c", 0.5), bucket(IRONY, "c", 0.3, "irony"))
    selection = failure_rows(rows, found, NO_GENERAL, items)
    shares = {s.name: s for s in selection.shares}
    assert shares[f"{IRONY} label=irony"].rows == 20 and shares[IRONY].rows == 60
    assert len(selection.rows) == len({r.id for r in selection.rows}) == 80
    half = failure_rows(rows, found, SelectionSettings(budget=30, general_share=0), items)
    # 0.5 * 20 ** 0.5 to the rest's half of 0.5 * 60 ** 0.5: more of the slice than its quarter.
    assert drawn_by_bucket(half) == {IRONY: 14, f"{IRONY} label=irony": 16}


def test_rare_labels_are_weighted_up_inside_a_bucket(items):
    labels = ["anger"] * 320 + ["joy"] * 60 + ["optimism"] * 20
    rows = [row(n, EMOTION, label) for n, label in enumerate(labels)]
    found = diagnosis(bucket(EMOTION, "c", 0.5))

    def mean(label_balance):
        total = Counter()
        for seed in range(50):
            settings = SelectionSettings(
                budget=40, general_share=0, label_balance=label_balance, seed=seed
            )
            total.update(r.target for r in failure_rows(rows, found, settings, items).rows)
        return [total[label] / 50 for label in ("anger", "joy", "optimism")]

    assert mean(label_balance=0.0) == pytest.approx([32, 6, 2], abs=0.8)
    # Roots of 320, 60 and 20.
    assert mean(label_balance=0.5) == pytest.approx([23.6, 10.2, 5.9], abs=0.8)


def test_what_a_bucket_cannot_fill_goes_to_others_and_empty_ones_are_told(items):
    rows = [*(row(n, IRONY) for n in range(5)), *(row(n, EMOTION, "joy") for n in range(100))]
    found = diagnosis(
        bucket(IRONY, "c", 0.9), bucket(EMOTION, "c", 0.1), bucket("tweeteval/stance", "d", 0.9)
    )
    selection = failure_rows(rows, found, SelectionSettings(budget=60, general_share=0), items)
    assert drawn_by_bucket(selection) == {IRONY: 5, EMOTION: 55, "tweeteval/stance": 0}
    assert {name_of(b) for b in found.buckets} == set(drawn_by_bucket(selection))


def test_lengths_are_matched_by_the_text_of_the_fields(items):
    short, long = (row(n, fields={"text": "x" * n}) for n in (20, 300))
    part = bucket(IRONY, "c", 0.5)
    found = diagnosis(replace(part, slice=Slice("length", "", "long", (100, None))))
    selection = failure_rows([short, long], found, NO_GENERAL, items)
    assert selection.rows == (long,)
    assert [d.why for d in selection.decisions] == ["outside", "bucket"]


def test_without_a_bucket_or_a_row_for_one_there_is_nothing_to_select(items):
    with pytest.raises(RedoneError, match="has no failure bucket.*leave stage 2 out"):
        failure_rows([row(1)], diagnosis(), NO_GENERAL, items)
    with pytest.raises(RedoneError, match="No row of the corpus belongs to one of the 1 failure"):
        failure_rows([row(1)], diagnosis(bucket(EMOTION, "c", 0.5)), NO_GENERAL, items)


def test_evidence_of_the_diagnosis_is_refused_by_its_id_alone(items):
    found = diagnosis(bucket(IRONY, "c", 0.5, items=["0123456789abcdef"]))
    with pytest.raises(RedoneError, match="'0123456789abcdef' is an item on which the diagnosis"):
        failure_rows([row(1, id="0123456789abcdef")], found, NO_GENERAL, items)


@pytest.mark.parametrize(
    "setting", [{"evenness": 2}, {"background_weight": 0}, {"label_balance": -1}]
)
def test_impossible_settings_are_refused(setting, items):
    found = diagnosis(bucket(IRONY, "c", 0.5))
    with pytest.raises(RedoneError, match="not possible"):
        failure_rows([row(1)], found, SelectionSettings(general_share=0, **setting), items)
