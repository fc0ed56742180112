"""Intervals of scores: Wilson's for a proportion, and as careful for everything else."""

import json
import math
from itertools import product

import numpy as np
import pytest

from redone.harness.diagnosis.cli import main
from redone.harness.intervals import Figure, interval
from redone.harness.stats import Sums, wilson_interval
from redone.tasks.metrics.classification import ACCURACY, INFORMEDNESS, MACRO_F1, MICRO_F1, counts
from redone.tasks.schema import Metric

LABELS = ("a", "b", "c")


def figure(metric, stats, clusters=None, first=0):
    stats = np.asarray(stats, dtype=float)
    clusters = first + np.arange(len(stats)) if clusters is None else np.asarray(clusters)
    return Figure.of(metric, Sums.of(clusters, stats))


def right(hits, count, first=0, clusters=None):
    """An accuracy: so many right answers out of so many."""
    values = np.repeat([1.0, 0.0], [hits, count - hits])
    return figure(ACCURACY, np.column_stack([values, np.ones(count)]), clusters, first)


def mean_of(*tasks):
    """The mean over tasks, (hits, count) each, that share no note."""
    figures = [right(hits, count, 10_000 * k) for k, (hits, count) in enumerate(tasks)]
    return interval(figures, [1 / len(tasks)] * len(tasks))


# --- one task ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hits, count", [(0, 16), (1, 16), (15, 16), (16, 16), (1, 1), (0, 1), (81, 263), (618, 618)]
)
def test_a_proportion_has_wilsons_interval(hits, count):
    assert interval([right(hits, count)]) == pytest.approx(wilson_interval(hits, count))


def test_samples_about_one_note_count_as_its_share_of_the_notes():
    notes = np.concatenate([np.arange(300), np.arange(300), np.arange(18)])
    assert interval([right(618, 618, clusters=notes)]) == pytest.approx(wilson_interval(300, 300))
    # Independent answers about the same notes are as good as others; equal ones are half as many.
    alike = np.repeat(np.arange(150), 2)
    low, high = interval([right(150, 300, clusters=alike)])
    assert (low, high) == pytest.approx(wilson_interval(75, 150), abs=0.3)


def test_one_wrong_answer_never_makes_the_interval_better():
    notes = np.concatenate([np.arange(300), np.arange(300), np.arange(18)])
    lows = [interval([right(hits, 618, clusters=notes)])[0] for hits in range(618, 608, -1)]
    assert lows == sorted(lows, reverse=True)


def sets(hit):
    return figure(MICRO_F1, [(3.0 * hit, 3.0, 3.0)] * 12)


def labels(pairs, metric):
    return figure(metric, [counts(LABELS, answer, gold) for gold, answer in pairs])


@pytest.mark.parametrize(
    "found, at_bound",
    [
        (sets(0), 0),
        (sets(1), 100),
        (labels([(x, x) for x in "aaaaabbbbc"], MACRO_F1), 100),
        (labels([(x, None) for x in "aaaaabbbbc"], MACRO_F1), 0),
        (labels([(x, x) for x in "aaaaabbbbcc"], INFORMEDNESS), 100),
        (figure(Metric("mean", lambda s: 100 * s[..., 0] / s[..., 1]), [(0.0, 1.0)] * 12), 0),
    ],
)
def test_no_metric_is_certain_at_its_bound(found, at_bound):
    low, high = interval([found])
    assert found.point == pytest.approx(at_bound)
    wide = wilson_interval(0, 12)[1]
    assert high - low > 0.9 * wide and found.lowest <= low <= high <= 100


def test_a_mean_over_labels_is_known_no_better_than_its_rarest_label():
    many = [(x, x) for x in "a" * 60 + "b" * 38 + "c" * 2]
    even = [(x, x) for x in "a" * 34 + "b" * 33 + "c" * 33]
    rare, common = (interval([labels(pairs, MACRO_F1)])[0] for pairs in (many, even))
    assert rare < 80 < 95 < common


def test_a_figure_below_zero_keeps_its_range():
    worse = labels([("a", "b"), ("b", "a"), ("c", "a")] * 5, INFORMEDNESS)
    low, high = interval([worse])
    assert -100 <= low < worse.value < high < 0


def test_without_a_bound_it_is_students():
    from scipy.stats import t

    values = np.random.default_rng(0).exponential(20, 25)
    metric = Metric("loss", lambda s: s[..., 0] / s[..., 1], lowest=0.0, highest=math.inf)
    low, high = interval([figure(metric, np.column_stack([values, np.ones(25)]))])
    half = t.ppf(0.975, 24) * values.std(ddof=1) / 5
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half))
    # Values without bounds that are all alike say nothing about others.
    assert all(math.isnan(x) for x in interval([figure(metric, [(7.0, 1.0)] * 9)]))
    assert interval([figure(metric, [(x, 1.0) for x in (0.1, 0.1, 60)])])[0] == 0


def test_values_beyond_the_stated_range_have_no_bounds():
    metric = Metric("mine", lambda s: s[..., 0] / s[..., 1])
    low, high = interval([figure(metric, [(x, 1.0) for x in (300.0, 400, 500)])])
    assert low < 400 < high and high > 500


def test_resampled_figures_are_as_careful():
    correlation = Metric("mcc", lambda s: s[..., 0], lowest=-100.0)
    clusters = np.arange(40)
    agreed = Figure.of_resamples(correlation, 100.0, np.full(100, 100.0), clusters)
    low, high = interval([agreed])
    assert 70 < low < 90 and high == 100
    varied = Figure.of_resamples(correlation, 10.0, np.linspace(-20, 40, 100), clusters)
    low, high = interval([varied])
    assert -30 < low < -15 and 35 < high < 50
    nothing = Figure.of_resamples(correlation, math.nan, np.full(100, math.nan), clusters)
    assert all(math.isnan(x) for x in interval([nothing]))


# --- means over tasks ----------------------------------------------------------------------------


def test_tasks_that_are_all_wrong_pool_their_samples():
    assert mean_of((0, 16), (0, 16)) == pytest.approx(wilson_interval(0, 32))
    assert mean_of(*[(16, 16)] * 14) == pytest.approx(wilson_interval(224, 224), abs=1e-3)


def test_a_large_task_does_not_hide_a_small_one():
    assert mean_of((0, 16), (0, 1000))[1] == pytest.approx(wilson_interval(0, 16)[1] / 2)
    _, high = mean_of((0, 4), *[(0, 5000)] * 9)
    assert high == pytest.approx(wilson_interval(0, 4)[1] / 10, abs=0.05)


def test_each_end_takes_the_tasks_that_can_move_that_way():
    # A task at 0 can only be better, one at 100 only worse.
    reach = wilson_interval(0, 16)[1] / 2
    assert mean_of((0, 16), (16, 16)) == pytest.approx((50 - reach, 50 + reach))


def test_it_is_the_profile_of_the_score_statistic():
    tasks = [(1, 16), (9, 20)]
    grid = np.linspace(0.0005, 0.9995, 2000)
    statistic = [n * (h / n - grid) ** 2 / (grid * (1 - grid)) for h, n in tasks]
    fits = statistic[0][:, None] + statistic[1] <= 1.959964**2
    means = 50 * (grid[:, None] + grid)
    assert mean_of(*tasks) == pytest.approx((means[fits].min(), means[fits].max()), abs=0.1)


def test_tasks_about_the_same_notes_are_not_independent():
    alone = [right(0, 16), right(0, 16, first=100)]
    shared = [right(0, 16), right(0, 16)]
    assert interval(shared, [0.5, 0.5]) == pytest.approx(wilson_interval(0, 16))
    assert interval(alone, [0.5, 0.5])[1] < interval(shared, [0.5, 0.5])[1]
    middle = [right(8, 16), right(8, 16)]
    assert interval(middle, [0.5, 0.5]) == pytest.approx(wilson_interval(8, 16), abs=2.5)


def test_coverage_of_a_mean_of_two_small_tasks():
    # All 81 outcomes of two tasks of 8 samples; Wilson's own coverage falls to 83 % near a bound.
    from scipy.stats import binom

    outcomes = list(product(range(9), repeat=2))
    ends = np.array([mean_of((a, 8), (b, 8)) for a, b in outcomes])
    for p, q in product((0.02, 0.1, 0.3, 0.5, 0.9, 0.98), repeat=2):
        weight = np.array([binom.pmf(a, 8, p) * binom.pmf(b, 8, q) for a, b in outcomes])
        true = 50 * (p + q)
        held = weight[(ends[:, 0] <= true) & (true <= ends[:, 1])].sum()
        assert held > 0.91, (p, q)


@pytest.mark.parametrize("seed", range(8))
def test_no_interval_leaves_the_range_or_is_a_point(seed):
    generator = np.random.default_rng(seed)
    figures = []
    for k in range(generator.integers(1, 6)):
        count = int(generator.integers(1, 30))
        hits = int(generator.choice([0, 1, count - 1, count, count // 2]))
        figures.append(right(max(0, hits), count, 100 * k))
    weights = generator.dirichlet(np.ones(len(figures)))
    low, high = interval(figures, weights)
    point = sum(w * f.value for w, f in zip(weights, figures, strict=True))
    assert 0 <= low <= point + 1e-9 and point - 1e-9 <= high <= 100 and high - low > 1


def test_nothing_scored_has_no_interval():
    assert all(math.isnan(x) for x in interval([right(3, 4), right(0, 0)], [0.5, 0.5]))


# --- whole runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name, spoil", [("gold", None), ("refused", "I cannot tell.")])
def test_no_row_of_a_run_is_certain(scripted_run, name, spoil):
    run = scripted_run(name, lambda task, sample: spoil)
    results = json.loads((run / "results.json").read_text("utf-8"))
    rows = [row for role in results["tables"].values() for row in role]
    rows += [s for task in results["tasks"].values() for s in task["scorings"].values()]
    assert {row["score"] is None for row in rows} == {False}
    for row in rows:
        assert 0 <= row["low"] <= row["score"] <= row["high"] <= 100
        assert row["high"] - row["low"] > 1
    # One rule, also for the diagnosis.
    assert main([str(run), "--partition", "all"]) == 0
    found = json.loads((run / "diagnosis.json").read_text("utf-8"))
    for task, own in found["tasks"].items():
        ours = results["tasks"][task]["scorings"]["corrected"]
        assert own["score"]["low"] == pytest.approx(ours["low"])
        assert own["score"]["high"] == pytest.approx(ours["high"])
    for capability in found["capabilities"]:
        skill = capability["skill"]
        assert 0 <= skill["low"] <= skill["value"] <= skill["high"] <= 100
        # All of it below chance is no skill, for certain.
        assert skill["high"] > skill["low"] or skill["high"] == 0
