"""Slices: false ones are rare (family-wise), and planted ones are found among many."""

from itertools import combinations

import numpy as np
import pytest

from redone.harness.diagnosis.schema import Slice
from redone.harness.diagnosis.slices import (
    ALPHA,
    Candidates,
    adjusted_p,
    permutations_for,
    significant,
)

LABELS = [Slice("label", "", str(n), None) for n in range(100)]


def task(values, codes, clusters=None, slices=None):
    """Candidates from one column of slice numbers."""
    members = codes[:, None] == np.arange(slices or codes.max() + 1)
    clusters = np.arange(len(values)) if clusters is None else clusters
    names = tuple(LABELS[: members.shape[1]])
    return Candidates(names, members, np.asarray(values, float), clusters)


def null_tasks(generator):
    """Four tasks whose values have nothing to do with their slices: skewed, graded, clustered."""
    notes = np.repeat(np.arange(60), 4)
    return {
        "nearly right": task(generator.random(300) < 0.95, generator.integers(0, 12, 300)),
        "half right": task(generator.random(120) < 0.5, generator.integers(0, 2, 120)),
        "graded": task(generator.beta(5, 2, 200), generator.integers(0, 5, 200)),
        # All items of a note are right or wrong together, and slices are made of whole notes.
        "notes": task(
            np.repeat(generator.random(60) < 0.6, 4),
            np.repeat(generator.integers(0, 3, 60), 4),
            notes,
        ),
    }


def test_the_family_wise_error_rate_is_controlled():
    false = 0
    for seed in range(120):
        p = adjusted_p(null_tasks(np.random.default_rng(seed)), seed, 300)
        false += min(column.min() for column in p.values()) <= ALPHA
    assert false <= 0.05 * 120


def test_ignoring_clusters_would_give_false_slices():
    false = 0
    for seed in range(60):
        notes = null_tasks(np.random.default_rng(seed))["notes"]
        alone = Candidates(notes.slices, notes.members, notes.values, np.arange(240))
        false += adjusted_p({"notes": alone}, seed, 400)["notes"].min() <= ALPHA
    assert false > 0.1 * 60


def test_a_weak_label_is_the_clearest_of_many_slices():
    others = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        tasks = null_tasks(generator)
        codes = generator.integers(0, 20, 400)
        tasks["planted"] = task(generator.random(400) < np.where(codes == 7, 0.2, 0.8), codes)
        p = adjusted_p(tasks, seed, 1000)
        found = {name: significant(tasks[name], column, seed) for name, column in p.items()}
        assert found["planted"][0] == 7
        others += sum(map(len, found.values())) > 1
    assert others <= 2


def test_a_large_slight_slice_is_not_hidden_by_small_skewed_ones():
    generator = np.random.default_rng(0)
    small = task(generator.random(2000) < 0.97, np.arange(2000) // 20)
    large = task(
        np.arange(1000) % 10 < np.where(np.arange(1000) < 500, 6, 8), np.arange(1000) // 500
    )
    p = adjusted_p({"small": small, "large": large}, 1, 1000)
    assert p["large"].max() <= ALPHA
    assert p["small"].min() > ALPHA


def test_the_p_value_of_a_single_slice_is_that_of_the_exact_permutation_test():
    values = np.array([0.1, 0.4, 0.35, 0.8, 0.7, 0.9, 0.6, 0.95, 0.2])
    members = np.arange(9) < 4
    means = np.array([values[list(c)].mean() for c in combinations(range(9), 4)])
    from scipy.stats import skew

    # Of the smaller and the larger tail, made comparable by skewness as the module says.
    assert abs(skew(means)) < 0.1
    exact = (
        np.abs(means - means.mean()) >= abs(values[members].mean() - means.mean()) - 1e-12
    ).mean()
    found = adjusted_p({"t": task(values, (~members).astype(int))}, 0, 20_000)["t"]
    assert found == pytest.approx([exact, exact], abs=0.01)


def test_clusters_change_places_only_with_clusters_of_their_size():
    # The one cluster of three cannot move, so nothing distinguishes its slice from chance.
    clusters = np.array([0, 0, 0, *range(1, 30)])
    members = clusters == 0
    values = np.where(members, 0.0, 1.0)
    assert adjusted_p({"t": task(values, (~members).astype(int), clusters)}, 0, 500)[
        "t"
    ].tolist() == [1, 1]


def test_a_slice_explained_by_another_is_left_out():
    generator = np.random.default_rng(2)
    weak = generator.random(800) < 0.3
    # Weak items are long more often, and long items are weak by them alone.
    long = generator.random(800) < np.where(weak, 0.7, 0.2)
    tagged = generator.random(800) < 0.5
    right = generator.random(800) < np.where(weak, 0.1, 0.9) * np.where(tagged, 0.6, 1.0)
    members = np.column_stack([weak, ~weak, long, tagged])
    planted = Candidates(tuple(LABELS[:4]), members, right.astype(float), np.arange(800))
    p = adjusted_p({"t": planted}, 0, 1000)["t"]
    assert p[2] <= ALPHA
    assert significant(planted, p, 0) == [0, 3]


def test_equal_values_and_no_slices_have_no_p():
    p = adjusted_p({"t": task(np.ones(40), np.arange(40) % 2)}, 0, 200)
    assert p["t"].tolist() == [1, 1]
    none = Candidates((), np.empty((5, 0), bool), np.ones(5), np.arange(5))
    assert adjusted_p({"t": none}, 0, 200)["t"].shape == (0,)


def test_the_same_seed_gives_the_same_p():
    tasks = null_tasks(np.random.default_rng(3))
    first = adjusted_p(tasks, 5, 300)
    assert all(np.array_equal(first[n], p) for n, p in adjusted_p(tasks, 5, 300).items())
    assert any(not np.array_equal(first[n], p) for n, p in adjusted_p(tasks, 6, 300).items())


def test_a_million_items_get_fewer_permutations():
    assert permutations_for(5_000) == 5000
    assert permutations_for(1_000_000) == 1000
