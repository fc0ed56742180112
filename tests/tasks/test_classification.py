"""Metrics of closed answers as functions of sums: accuracy, and micro F1, ours and the authors'."""

import math

import numpy as np
import pytest

from redone.tasks.metrics.classification import ACCURACY, MICRO_F1, OFFICIAL_F1, OFFICIAL_READ_F1


def test_accuracy_is_a_percentage_of_the_count():
    assert ACCURACY.point(np.array([3.0, 4.0])) == 75
    assert math.isnan(ACCURACY.point(np.array([0.0, 0.0])))


def test_accuracy_over_resamples():
    sums = np.array([[[1.0, 2.0], [2.0, 2.0]], [[0.0, 2.0], [0.0, 0.0]]])
    assert ACCURACY.from_sums(sums).shape == (2, 2)
    np.testing.assert_equal(ACCURACY.from_sums(sums), [[50, 100], [0, np.nan]])


def test_micro_f1_from_summed_counts():
    assert MICRO_F1.point(np.array([3.0, 5.0, 7.0])) == pytest.approx(50)
    assert MICRO_F1.point(np.array([7.0, 7.0, 7.0])) == 100
    assert math.isnan(MICRO_F1.point(np.array([0.0, 0.0, 0.0])))


def test_official_f1_rounds_only_what_it_prints():
    sums = np.array([1.0, 3.0, 3.0])
    assert OFFICIAL_F1.point(sums) == 33.33
    assert OFFICIAL_F1.from_sums(sums) == pytest.approx(100 * 2 / 6.0001)


def test_official_f1_of_nothing_is_zero():
    assert OFFICIAL_F1.point(np.zeros(3)) == 0


def test_unreadable_answers_come_back_as_a_share():
    assert OFFICIAL_READ_F1.point(np.array([9.0, 9.0, 9.0, 9.0, 10.0])) == pytest.approx(90)
    assert math.isnan(OFFICIAL_READ_F1.point(np.zeros(5)))


def test_resamples_keep_their_shape():
    assert MICRO_F1.from_sums(np.ones((4, 3, 3))).shape == (4, 3)
    assert OFFICIAL_READ_F1.from_sums(np.ones((4, 3, 5))).shape == (4, 3)
