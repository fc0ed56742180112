"""Shared beginnings of prompts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from redone.harness.models.cpu.sharing import best_groups, common_length, prefix_tree

KEYS = st.lists(st.lists(st.integers(0, 2), max_size=12), min_size=1, max_size=20).map(sorted)


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_common_length(a, b):
    found = common_length(a, b)
    assert a[:found] == b[:found]
    assert found in (len(a), len(b)) or a[found] != b[found]


@given(KEYS)
@settings(deadline=None)
def test_every_node_shares_its_depth(keys):
    nodes = prefix_tree(keys)
    assert (nodes[-1].first, nodes[-1].end) == (0, len(keys))
    for node in nodes:
        inside = keys[node.first : node.end]
        assert all(key[: node.depth] == inside[0][: node.depth] for key in inside)
        assert all(len(key) >= node.depth for key in inside)
        ends = [node.first]
        for child in sorted(node.children, key=lambda c: c.first):
            assert child.first >= ends[-1]
            assert child.end <= node.end
            assert child.depth > node.depth
            ends.append(child.end)


@given(KEYS)
@settings(deadline=None)
def test_groups_are_a_partition_and_save_what_one_could(keys):
    groups = best_groups(keys, least=1)
    covered = [i for g in groups for i in range(g.first, g.end)]
    assert covered == list(range(len(keys)))
    saved = sum(g.saved for g in groups)
    whole = common_length(keys[0], keys[-1]) * (len(keys) - 1)
    assert saved >= whole


def test_two_tasks():
    keys = sorted([[1, *([2] * 50), i] for i in range(5)] + [[1, *([3] * 40), i] for i in range(4)])
    assert [(g.depth, g.first, g.end) for g in best_groups(keys, least=30)] == [
        (51, 0, 5),
        (41, 5, 9),
    ]
    assert [g.depth for g in best_groups(keys, least=10**6)] == [0]
