"""Token log-probabilities of many sequences, what they have in common computed once.

The G answers to one prompt repeat its tokens G times, the prompts of one task repeat its
instruction, and many answers to a closed question are the same. In a padded batch all of that is
computed, and its gradient too, again and again. Here the sequences become a tree of tokens in which
every common beginning stands once; the tree goes through the model as one sequence, each token at
its own position and seeing only its ancestors. Values and gradients are those of the padded batch:
a shared token's gradient is the sum of what its descendants send back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..harness.models.sharing import common_length

if TYPE_CHECKING:
    from torch import Tensor

    Model = Any


@dataclass(frozen=True, slots=True)
class TokenTree:
    """Sequences as a tree, nodes in the order of a walk from the root, parents first.

    Attributes:
        tokens: Token id of each node.
        parents: Node before each node, -1 for a first token.
        depths: Position of each node in its sequences, from 0.
        ends: One more than the last node below each node: the nodes from a node to its end are
            those that begin with it.
        paths: The nodes of each sequence, in the order in which the sequences were given.
    """

    tokens: list[int]
    parents: list[int]
    depths: list[int]
    ends: list[int]
    paths: list[list[int]]

    @staticmethod
    def of(sequences: Sequence[Sequence[int]]) -> TokenTree:
        """The tree of some token lists, none of them empty."""
        tokens: list[int] = []
        parents: list[int] = []
        depths: list[int] = []
        paths: list[list[int]] = [[] for _ in sequences]
        before: Sequence[int] = []
        path: list[int] = []
        # In sorted order neighbours share the most, and nodes come in the order of the walk.
        for number in sorted(range(len(sequences)), key=lambda i: list(sequences[i])):
            now = list(sequences[number])
            shared = common_length(before, now)
            path = path[:shared] + list(range(len(tokens), len(tokens) + len(now) - shared))
            tokens += now[shared:]
            parents += [path[i - 1] if i else -1 for i in range(shared, len(now))]
            depths += range(shared, len(now))
            paths[number], before = path, now
        ends = list(range(1, len(tokens) + 1))
        for node in range(len(tokens) - 1, -1, -1):
            if (parent := parents[node]) >= 0:
                ends[parent] = max(ends[parent], ends[node])
        return TokenTree(tokens, parents, depths, ends, paths)

    def sight(self, device: Any = None) -> Tensor:
        """What each token sees: bool, shape [nodes, nodes], True where column precedes row."""
        import torch

        ends = torch.tensor(self.ends, device=device)
        nodes = torch.arange(len(self.tokens), device=device)
        return (nodes[:, None] >= nodes) & (nodes[:, None] < ends)


def tree_logprobs(
    model: Model,
    sequences: Sequence[Sequence[int]],
    prompts: Sequence[int],
    temperature: float = 1.0,
) -> tuple[list[Tensor], list[Tensor]]:
    """Log-probabilities of answers, and the entropies of the distributions they were drawn from.

    Args:
        model: A causal language model of transformers whose every layer attends to all earlier
            tokens (or its DDP wrapper); gradients flow through the log-probabilities.
        sequences: Token ids, prompt and answer.
        prompts: How many tokens of each sequence are the prompt, 1 or more.
        temperature: Logits are divided by it.

    Returns:
        For each sequence the log-probabilities of its answer's tokens, and the entropies in nats
        (without gradient), shape [tokens of the answer], float32.
    """
    import torch

    tree = TokenTree.of(sequences)
    answers = [path[length:] for path, length in zip(tree.paths, prompts, strict=True)]
    scored = sorted({node for answer in answers for node in answer})
    sources = sorted({tree.parents[node] for node in scored})
    place = {node: i for i, node in enumerate(sources)}
    device = next(model.parameters()).device
    logits = model(
        input_ids=torch.tensor([tree.tokens], device=device),
        attention_mask=tree.sight(device)[None, None],
        position_ids=torch.tensor([tree.depths], device=device),
        use_cache=False,
        logits_to_keep=torch.tensor(sources, device=device),
    ).logits[0]
    logits = logits.float() / temperature
    total = logits.logsumexp(-1)
    with torch.no_grad():
        entropies = total - (logits.softmax(-1) * logits).sum(-1)
    rows = torch.tensor([place[tree.parents[node]] for node in scored], device=device)
    targets = torch.tensor([tree.tokens[node] for node in scored], device=device)
    logprobs = logits[rows, targets] - total[rows]
    entropies = entropies[rows]
    index = {node: i for i, node in enumerate(scored)}
    chosen = [torch.tensor([index[n] for n in answer], device=device) for answer in answers]
    return [logprobs[c] for c in chosen], [entropies[c] for c in chosen]
