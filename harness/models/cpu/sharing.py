"""Which prompts begin alike, by token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Tokens = Sequence[int]


@dataclass(slots=True, eq=False)
class Node:
    """Neighbours in sorted order that share their first tokens.

    Attributes:
        depth: How many tokens they share.
        first, end: The range in sorted order.
        children: Ranges inside this one that share more.
    """

    depth: int
    first: int
    end: int = 0
    children: list[Node] = field(default_factory=list)

    @property
    def saved(self) -> int:
        """Tokens that need not be computed if the shared ones are computed once."""
        return (self.end - self.first - 1) * self.depth


def common_length(a: Tokens, b: Tokens) -> int:
    """Length of the common beginning of two token lists."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        # Slices compare at C speed; what lies before `low` is known to be equal.
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def prefix_tree(keys: Sequence[Tokens]) -> list[Node]:
    """The tree of shared beginnings.

    Args:
        keys: Token lists in sorted order.

    Returns:
        The nodes, children before parents, the root (depth 0 or more, all keys) last.
    """
    stack, nodes = [Node(0, 0)], []
    for end in range(1, len(keys) + 1):
        depth = common_length(keys[end - 1], keys[end]) if end < len(keys) else 0
        first, orphan = end - 1, None
        while stack[-1].depth > depth:
            node = stack.pop()
            node.end, first, orphan = end, node.first, node
            nodes.append(node)
            if stack[-1].depth >= depth:
                stack[-1].children.append(node)
                orphan = None
        if stack[-1].depth < depth:
            stack.append(Node(depth, first, children=[orphan] if orphan else []))
    stack[0].end = len(keys)
    return [*nodes, stack[0]]


def best_groups(keys: Sequence[Tokens], least: int) -> list[Node]:
    """Disjoint groups of keys that save the most tokens, each sharing one prefix.

    Args:
        keys: Token lists in sorted order.
        least: A group that saves less than this is none.

    Returns:
        Groups in sorted order; keys that share nothing worth it are in groups of depth 0.
    """
    best: dict[int, tuple[int, list[Node]]] = {}
    for node in prefix_tree(keys):
        parts = [best.pop(id(child)) for child in node.children]
        inner = sum(saved for saved, _ in parts)
        if node.saved > inner and node.saved >= least:
            best[id(node)] = (node.saved, [node])
        else:
            best[id(node)] = (inner, [group for _, groups in parts for group in groups])
    ((_, groups),) = best.values()
    out, at = [], 0
    for group in [*groups, Node(0, len(keys), len(keys))]:
        if group.first > at:
            out.append(Node(0, at, group.first))
        at = group.end
        out.append(group)
    return out[:-1]
