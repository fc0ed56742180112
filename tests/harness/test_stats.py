"""Intervals: against closed forms and published figures."""

import math

import numpy as np
import pytest

from redone.harness.stats import Sums, percentile_interval, resampled_sums, wilson_interval


def test_sums_by_cluster():
    sums = Sums.of(np.array([3, 1, 3]), np.array([[1.0, 1], [0, 1], [1, 1]]))
    assert sums.clusters.tolist() == [1, 3]
    assert sums.sums.tolist() == [[0, 1], [2, 2]]
    assert sums.items.tolist() == [1, 2]
    assert sums.total.tolist() == [2, 3]


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


def test_wilson_of_nothing_is_undefined():
    assert all(math.isnan(x) for x in wilson_interval(0, 0))


def test_the_bootstrap_of_a_proportion_has_its_standard_error():
    generator = np.random.default_rng(1)
    hits = (generator.random(400) < 0.3).astype(float)
    stats = np.column_stack([hits, np.ones(400)])
    task = Sums.of(np.arange(400), stats)
    drawn = resampled_sums({"t": task}, 400, 4000, seed=0)["t"]
    shares = drawn[:, 0] / drawn[:, 1]
    share = hits.mean()
    assert shares.std() == pytest.approx(math.sqrt(share * (1 - share) / 400), rel=0.05)


def test_items_of_one_cluster_stand_or_fall_together():
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


def test_undefined_resamples_are_left_out():
    low, high = percentile_interval(np.array([np.nan, 1.0, 1.0]))
    assert (low, high) == (1.0, 1.0)
    assert all(math.isnan(x) for x in percentile_interval(np.array([np.nan])))
