"""Stage 1's mixture: tasks in balance, 15 rows of social networks to a general one, repeatable."""

from collections import Counter
from pathlib import Path

import pytest
from corpora import row

from redone.tasks.errors import RedoneError
from redone.tasks.registry import by_name
from redone.training.corpus.balanced import balanced_rows
from redone.training.corpus.contamination import EvaluationItems
from redone.training.corpus.selection import (
    GENERAL_SHARE,
    SelectionSettings,
    apportioned,
    assigned,
    drawn,
    parted,
    written,
)
from redone.training.corpus.sources import generated_rows
from redone.training.rows import counted, write_decisions

SIZES = {"tweeteval/irony": 900, "tweeteval/hate": 100, "tweeteval/stance": 25}
LABELS = {"tweeteval/irony": "irony", "tweeteval/hate": "hate", "tweeteval/stance": "favor"}


@pytest.fixture(scope="module")
def items():
    class Fewer(EvaluationItems):
        """The rows here are of tasks whose data are not needed."""

        def __init__(self):
            super().__init__([by_name("general_mini/facts")], Path())
            self.tasks = frozenset({*SIZES, *(row.task for row in GENERAL)})

    return Fewer()


GENERAL = tuple(generated_rows(count=40))
SOCIAL = tuple(row(n, t, LABELS[t]) for t, size in SIZES.items() for n in range(size))
ROWS = (*SOCIAL, *GENERAL)


def drawn_of(mixture):
    return Counter(row.task for row in mixture.rows if not row.general)


# --- the mixture ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("balance", "wanted"),
    [
        # Of 150 rows: by size; by root of size (30 : 10 : 5); the same, as far as rows go (25).
        (1.0, {"tweeteval/irony": 132, "tweeteval/hate": 14, "tweeteval/stance": 4}),
        (0.5, {"tweeteval/irony": 100, "tweeteval/hate": 33, "tweeteval/stance": 17}),
        (0.0, {"tweeteval/irony": 63, "tweeteval/hate": 62, "tweeteval/stance": 25}),
    ],
)
def test_tasks_share_by_a_power_of_their_size(balance, wanted, items):
    mixture = balanced_rows(ROWS, SelectionSettings(budget=160, balance=balance), items)
    assert len(mixture.rows) == 160 and sum(r.general for r in mixture.rows) == 10
    assert {t: pytest.approx(n, abs=1) for t, n in wanted.items()} == drawn_of(mixture)


def test_the_general_part_is_one_in_sixteen_and_has_rationales(items):
    mixture = balanced_rows(ROWS, SelectionSettings(), items)
    assert GENERAL_SHARE == 1 / 16
    assert mixture.general_share == pytest.approx(1 / 16, abs=1e-3)
    general = [row for row in mixture.rows if row.general]
    asked = written(mixture.rows)
    assert all(row.rationale and asked(row) for row in general)
    assert not any(asked(row) for row in mixture.rows if not row.general)
    # Every row of social networks is there; the general share is what limits nothing here.
    assert len(mixture.rows) - len(general) == len(SOCIAL)


def test_the_same_seed_gives_the_same_mixture_bit_for_bit_whatever_the_order(items):
    settings = SelectionSettings(budget=200, seed=3)
    one, same = balanced_rows(ROWS, settings, items), balanced_rows(ROWS[::-1], settings, items)
    assert [r.to_json() for r in one.rows] == [r.to_json() for r in same.rows]
    other = balanced_rows(ROWS, SelectionSettings(budget=200, seed=4), items)
    assert {r.id for r in other.rows} != {r.id for r in one.rows}
    # The order is mixed: the tasks do not come one after the other.
    assert len({r.task for r in one.rows[:40]}) >= 3


def test_weights_make_rows_more_frequent(items):
    rows = [row(n, weight=9.0 if n < 100 else 1.0) for n in range(1000)]
    mixture = balanced_rows(rows, SelectionSettings(budget=190, general_share=0), items)
    heavy = sum(r.weight == 9.0 for r in mixture.rows)
    # 190 draws over 100 rows of weight 9 and 900 of weight 1: 95 of each kind are expected.
    assert heavy == pytest.approx(95, abs=6)


def test_rarity_draws_the_labels_of_a_task_alike(items):
    rows = [row(n, tags={"label": "irony" if n < 100 else "non_irony"}) for n in range(1000)]

    def ironic(label_balance):
        mixture = balanced_rows(
            rows, SelectionSettings(budget=100, general_share=0, label_balance=label_balance), items
        )
        return sum(r.tags["label"] == "irony" for r in mixture.rows)

    assert ironic(0.0) == pytest.approx(10, abs=6)
    assert ironic(1.0) == pytest.approx(50, abs=8)


def test_emphasis_multiplies_a_tasks_share(items):
    settings = SelectionSettings(budget=90, balance=0, general_share=0)
    plain = drawn_of(balanced_rows(SOCIAL, settings, items))
    stressed = SelectionSettings(
        budget=90, balance=0, general_share=0, emphasis={"tweeteval/hate": 4.0}
    )
    assert plain["tweeteval/hate"] == pytest.approx(32, abs=1)
    assert drawn_of(balanced_rows(SOCIAL, stressed, items))["tweeteval/hate"] == 60
    with pytest.raises(RedoneError, match="emphasis of 0 for tweeteval/hate"):
        balanced_rows(
            SOCIAL, SelectionSettings(emphasis={"tweeteval/hate": 0}, general_share=0), items
        )


def test_the_share_rules_where_rows_are_short(items):
    few = [*SOCIAL, *[r for r in GENERAL if r.rationale][:5]]
    mixture = balanced_rows(few, SelectionSettings(budget=1000), items)
    assert len(mixture.rows) == 80 and mixture.general_share == 1 / 16
    with pytest.raises(RedoneError, match="there is no general row to draw"):
        balanced_rows(SOCIAL, SelectionSettings(), items)
    with pytest.raises(RedoneError, match="no domain row to draw"):
        balanced_rows(GENERAL, SelectionSettings(), items)
    assert (
        len(balanced_rows(GENERAL, SelectionSettings(general_share=1, reasoned=False), items).rows)
        == 320
    )


def test_every_row_has_a_decision_with_a_reason(items, tmp_path):
    untargeted = row("x", target=None)
    mixture = balanced_rows([*ROWS, untargeted], SelectionSettings(budget=160), items)
    assert len(mixture.decisions) == len(ROWS) + 1
    assert counted(mixture.decisions) == {
        "share": len(ROWS) - 160 - 160,
        "drawn": 160,
        "rationale": 160,
        "target": 1,
    }
    assert "for SFT only" in mixture.decisions[-1].reason
    write_decisions(mixture.decisions, tmp_path / "d.jsonl")
    assert len((tmp_path / "d.jsonl").read_text().splitlines()) == len(ROWS) + 1
    assert sum(line.drawn for line in mixture.shares) == 160
    sft = balanced_rows([*ROWS, untargeted], SelectionSettings(judgeable=False), items)
    assert untargeted in sft.rows


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"balance": 2}, "balance of 2"),
        ({"label_balance": -1}, "label balance of -1"),
        ({"budget": 0}, "budget of 0 rows"),
        ({"general_share": 1.5}, "general share of 1.5"),
    ],
)
def test_impossible_settings_are_refused(setting, told, items):
    with pytest.raises(RedoneError, match=told):
        balanced_rows(ROWS, SelectionSettings(**setting), items)


# --- the arithmetic ------------------------------------------------------------------------------


def test_a_total_is_parted_by_weight_within_capacities():
    assert apportioned({"a": 3, "b": 1}, {"a": 100, "b": 100}, 40) == {"a": 30, "b": 10}
    assert apportioned({"a": 3, "b": 1, "c": 1}, {"a": 10, "b": 9, "c": 99}, 40) == {
        "a": 10,
        "b": 9,
        "c": 21,
    }
    assert apportioned({"b": 1, "a": 1, "c": 1}, dict.fromkeys("abc", 9), 4) == {
        "a": 2,
        "b": 1,
        "c": 1,
    }
    assert apportioned({"a": 1, "b": 5}, {"a": 3, "b": 0}, 10) == {"a": 3, "b": 0}


@pytest.mark.parametrize("count", [0, 1, 7, 50, 99, 100])
def test_draws_are_as_many_as_asked_for(count):
    rows = [row(n) for n in range(100)]
    assert len(drawn(rows, [1.0 + (n % 7) ** 2 for n in range(100)], count, "s")) == count


def test_chances_are_in_proportion_to_weights():
    rows = [row(n) for n in range(20)]
    weights = [3.0] * 10 + [1.0] * 10
    seen = Counter()
    for seed in range(400):
        seen.update(drawn(rows, weights, 8, str(seed)))
    heavy = sum(seen[r.id] for r in rows[:10])
    assert heavy / (400 * 8) == pytest.approx(0.75, abs=0.02)
    assert min(seen[r.id] for r in rows[:10]) > 200  # expected 240 each


def test_a_smaller_draw_is_among_a_larger_one_and_a_new_row_changes_little():
    rows = [row(n) for n in range(200)]
    few, many = (drawn(rows, [1.0] * 200, count, "s") for count in (40, 90))
    assert few < many
    more = drawn([*rows, row(200)], [1.0] * 201, 40, "s")
    assert len(few - more) <= 1


def test_both_kinds_keep_their_share():
    assert parted(750_000, 50_000, 1 / 16, None) == (750_000, 50_000)
    assert parted(750_000, 9_999_999, 1 / 16, 1600) == (1500, 100)
    assert parted(10, 10, 0, None) == (10, 0)
    assert parted(0, 10, 1, 4) == (0, 4)


# --- rationales ----------------------------------------------------------------------------------


def test_a_share_of_rows_is_asked_for_reasons_where_their_task_can_read_them():
    rows = [*SOCIAL, *GENERAL]
    found = assigned(rows, 0.5718, seed=1)
    assert len(found.ids) == round(0.5718 * len(rows))
    unreadable = {r.id for r in GENERAL if not r.rationale}
    assert not found.ids & unreadable and unreadable
    assert found == assigned(rows[::-1], 0.5718, seed=1) != assigned(rows, 0.5718, seed=2)
    # Rows that cannot are passed over, so with few that can the share stays below.
    copying = [r for r in GENERAL if r.id in unreadable]
    assert assigned([*copying, row(1)], 0.9, seed=1).ids == {row(1).id}


def test_where_rationales_are_learnt_only_rows_that_have_one_are_asked_for_it():
    rows = [*SOCIAL, *GENERAL]
    found = assigned(rows, 0.05, seed=1, learnt=True)
    assert len(found.ids) == round(0.05 * len(rows))
    assert all(row.rationale for row in rows if found(row))


def test_an_impossible_share_of_rationales_is_refused():
    with pytest.raises(RedoneError, match="rationale share of 2"):
        assigned([row(1)], 2, seed=0)
