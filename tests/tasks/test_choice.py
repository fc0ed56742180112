"""Accuracy as a sum."""

import math

import numpy as np

from redone.tasks.metrics.choice import ACCURACY


def test_accuracy_is_a_percentage_of_the_count():
    assert ACCURACY.point(np.array([3.0, 4.0])) == 75
    assert math.isnan(ACCURACY.point(np.array([0.0, 0.0])))


def test_accuracy_over_resamples():
    sums = np.array([[[1.0, 2.0], [2.0, 2.0]], [[0.0, 2.0], [0.0, 0.0]]])
    assert ACCURACY.from_sums(sums).shape == (2, 2)
    np.testing.assert_equal(ACCURACY.from_sums(sums), [[50, 100], [0, np.nan]])
