"""Micro F1 as a sum: ours, and the authors' with its smoothing and rounding."""

import math

import numpy as np
import pytest

from redone.tasks.metrics.sets import MICRO_F1, OFFICIAL_F1, OFFICIAL_READ_F1


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
