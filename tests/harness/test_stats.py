"""Bootstrap, intervals, paired tests and corrections against published figures, brute force and
other libraries."""

import itertools
import math

import numpy as np
import pytest

from redone.harness.gate.decision import benjamini_hochberg, holm, holm_levels, tail_p, two_sided_p
from redone.harness.stats import (
    Sums,
    mcnemar,
    nested_mean,
    percentile_interval,
    resampled_sums,
    sign_flip,
    upper_end,
    weights_of,
    wilson_interval,
)

# --- sums and the cluster bootstrap --------------------------------------------------------------


def test_sums_by_cluster():
    sums = Sums.of(np.array([3, 1, 3]), np.array([[1.0, 1], [0, 1], [1, 1]]))
    assert sums.clusters.tolist() == [1, 3]
    assert sums.sums.tolist() == [[0, 1], [2, 2]]
    assert sums.items.tolist() == [1, 2]
    assert sums.total.tolist() == [2, 3]


def test_the_bootstrap_of_a_proportion_has_its_standard_error():
    generator = np.random.default_rng(1)
    hits = (generator.random(400) < 0.3).astype(float)
    stats = np.column_stack([hits, np.ones(400)])
    task = Sums.of(np.arange(400), stats)
    drawn = resampled_sums({"t": task}, 400, 4000, seed=0)["t"]
    shares = drawn[:, 0] / drawn[:, 1]
    share = hits.mean()
    assert shares.std() == pytest.approx(math.sqrt(share * (1 - share) / 400), rel=0.05)


def test_items_of_one_cluster_are_drawn_together():
    stats = np.column_stack([np.repeat([0.0, 1.0] * 10, 20), np.ones(400)])
    alone = resampled_sums({"t": Sums.of(np.arange(400), stats)}, 400, 2000, seed=0)["t"]
    notes = resampled_sums({"t": Sums.of(np.repeat(np.arange(20), 20), stats)}, 20, 2000, seed=0)
    ratio = (notes["t"][:, 0] / notes["t"][:, 1]).std() / (alone[:, 0] / alone[:, 1]).std()
    assert ratio == pytest.approx(math.sqrt(20), rel=0.1)


def test_tasks_share_the_draws_of_their_common_clusters():
    stats = np.column_stack([np.arange(50.0), np.ones(50)])
    one = Sums.of(np.arange(50), stats)
    drawn = resampled_sums({"a": one, "b": one}, 50, 100, seed=3)
    assert np.array_equal(drawn["a"], drawn["b"])


def test_the_same_seed_gives_the_same_draws_whatever_the_chunk(monkeypatch):
    task = Sums.of(np.arange(30), np.random.default_rng(0).random((30, 3)))
    first = resampled_sums({"t": task}, 30, 64, seed=5)["t"]
    monkeypatch.setattr("redone.harness.stats.CHUNK", 200)
    assert np.allclose(first, resampled_sums({"t": task}, 30, 64, seed=5)["t"])


# --- intervals -----------------------------------------------------------------------------------


def test_wilson_against_newcombe_1998():
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3: 81/263, 15/148, 0/20, 1/29.
    for hits, count, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = wilson_interval(hits, count)
        assert found == pytest.approx((100 * low, 100 * high), abs=0.006)


def test_wilson_of_all_and_none_reaches_the_bound_exactly():
    for count in (1, 3, 16, 300, 618):
        assert wilson_interval(count, count)[1] == 100
        assert wilson_interval(0, count)[0] == 0


def test_weights_are_those_of_the_nested_mean():
    groups = ("a", ("b", "c"), (("d",), "e", "e"))
    weights = weights_of(groups)
    figures = {"a": 3.0, "b": 8.0, "c": 2.0, "d": 60.0, "e": -1.0}
    assert sum(weights.values()) == pytest.approx(1)
    assert sum(weights[n] * figures[n] for n in figures) == pytest.approx(
        nested_mean(groups, figures)
    )


def test_wilson_of_nothing_is_undefined():
    assert all(math.isnan(x) for x in wilson_interval(0, 0))


def test_undefined_resamples_are_left_out():
    low, high = percentile_interval(np.array([np.nan, 1.0, 1.0]))
    assert (low, high) == (1.0, 1.0)
    assert all(math.isnan(x) for x in percentile_interval(np.array([np.nan])))


def test_the_upper_end_is_below_a_threshold_exactly_if_the_test_of_it_rejects():
    figures = np.random.default_rng(0).normal(-3, 1, 1000).round(1)
    for alpha in (0.05, 0.025, 0.01, 0.003):
        end = upper_end(figures, alpha)
        for threshold in np.unique(figures):
            assert (end < threshold) == (tail_p(figures, threshold) <= alpha)


def test_too_few_resamples_for_a_level_leave_the_end_open():
    assert upper_end(np.zeros(999), 0.0009) == math.inf
    assert upper_end(np.zeros(999), 0.001) == 0
    assert math.isnan(upper_end(np.array([1.0, np.nan]), 0.4))


# --- paired tests, corrections, power ------------------------------------------------------------


def pairs(both, fixed, broken, neither):
    base = np.repeat([True, False, True, False], [both, fixed, broken, neither])
    candidate = np.repeat([True, True, False, False], [both, fixed, broken, neither])
    return base, candidate


def test_mcnemar_against_agresti_2002():
    # Agresti, Categorical Data Analysis (2nd ed.), table 10.1, approval of the prime minister:
    # 794, 150, 86, 570; the discordant pairs decide alone.
    found = mcnemar(*pairs(794, 86, 150, 570))
    assert (found.fixed, found.broken) == (86, 150)
    assert found.p == pytest.approx(3.7e-5, rel=0.02)


@pytest.mark.parametrize("fixed, broken", [(0, 0), (1, 0), (3, 9), (20, 20), (41, 17)])
def test_mcnemar_equals_statsmodels(fixed, broken):
    from statsmodels.stats.contingency_tables import mcnemar as other

    found = mcnemar(*pairs(30, fixed, broken, 12))
    if fixed + broken:
        assert found.p == pytest.approx(other([[30, broken], [fixed, 12]], exact=True).pvalue)
    else:
        assert found.p == 1


def enumerated(differences):
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    return np.mean([s >= abs(sum(differences)) - 1e-9 for s in sums])


def test_sign_flips_equal_brute_force():
    generator = np.random.default_rng(0)
    for size in range(1, 11):
        differences = generator.normal(0.3, 1, size).round(2)
        assert sign_flip(differences, 100, seed=0) == pytest.approx(enumerated(differences))


def test_sign_flips_against_darwin_and_fisher_1935():
    # Fisher, The Design of Experiments, section 21, on Darwin's 15 pairs of plants (eighths of an
    # inch): 863 of 32,768 sign patterns reach the observed sum on one side, 1,726 on both.
    darwin = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48.0])
    assert sign_flip(darwin, 200_000, seed=1) == pytest.approx(1726 / 32768, abs=0.002)


def test_sign_flips_leave_out_what_does_not_differ():
    moved = np.array([1.0, 1, -1, 1, 1])
    assert sign_flip(np.concatenate([moved, np.zeros(500)]), 10, 0) == sign_flip(moved, 10, 0)
    assert sign_flip(np.zeros(9), 10, 0) == 1


def test_sign_flips_of_right_and_wrong_are_mcnemar():
    base, candidate = pairs(40, 11, 3, 20)
    found = sign_flip(candidate.astype(float) - base, 100, 0)
    assert found == pytest.approx(mcnemar(base, candidate).p)


@pytest.mark.parametrize("mean", [0.0, 0.01, 0.02])
def test_sign_flips_of_very_many_differences_are_grouped_and_stay_exact(mean):
    differences = np.random.default_rng(2).normal(mean, 1, 20_000)
    z = abs(differences.sum()) / math.sqrt((differences**2).sum())
    found = sign_flip(differences, 10_000, seed=0)
    assert found == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.015)


P = np.array([0.01, 0.04, 0.03, np.nan, 0.005, 0.6, 0.04])


@pytest.mark.parametrize("ours, method", [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
def test_corrections_equal_statsmodels(ours, method):
    from statsmodels.stats.multitest import multipletests

    tested = ~np.isnan(P)
    found = ours(P)
    assert found[tested] == pytest.approx(multipletests(P[tested], method=method)[1])
    assert np.isnan(found[~tested]).all()


def test_holm_against_a_worked_example():
    # Four tests at 0.01, 0.04, 0.03, 0.005: the classical example of the step-down procedure.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize("seed", range(20))
def test_holm_rejects_exactly_what_is_below_its_level(seed):
    generator = np.random.default_rng(seed)
    p = generator.random(6) ** 4
    p[generator.random(6) < 0.2] = np.nan
    levels = holm_levels(p, 0.05)
    assert ((p <= levels) == (holm(p) <= 0.05)).all()
    assert (levels <= 0.05).all() and np.nanmin(levels) >= 0.05 / 6


def test_no_p_value_is_zero_and_nan_stays_nan():
    assert tail_p(np.full(999, -5.0)) == 0.001
    assert two_sided_p(np.zeros(999)) == 1
    assert math.isnan(two_sided_p(np.array([1.0, np.nan])))
