"""Common beginnings computed once: values and gradients as if each sequence stood alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from redone.training.trainers.packing import (
    TokenTree,
    micro_batches,
    padded,
    supports_trees,
    tree_logprobs,
)

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=8)
SEQUENCES = [
    [7, 8, 9, 20, 21],
    [7, 8, 9, 20, 22, 23],
    [7, 8, 9, 20, 21],  # the same answer twice
    [7, 8, 30, 31],  # another prompt that begins alike
    [40, 41, 42],
]
PROMPTS = [3, 3, 3, 2, 1]


@given(st.lists(TOKENS, min_size=1, max_size=8))
def test_a_path_through_the_tree_is_its_sequence(sequences):
    tree = TokenTree.of(sequences)
    for sequence, path in zip(sequences, tree.paths, strict=True):
        assert [tree.tokens[node] for node in path] == sequence
        assert [tree.depths[node] for node in path] == list(range(len(sequence)))
        assert [tree.parents[node] for node in path] == [-1, *path[:-1]]


@given(st.lists(TOKENS, min_size=1, max_size=8))
def test_each_beginning_stands_once(sequences):
    beginnings = {tuple(s[: i + 1]) for s in sequences for i in range(len(s))}
    assert len(TokenTree.of(sequences).tokens) == len(beginnings)


@given(st.lists(TOKENS, min_size=1, max_size=8))
def test_a_token_sees_its_ancestors_and_itself(sequences):
    tree = TokenTree.of(sequences)
    sight = tree.sight()
    for path in tree.paths:
        for i, node in enumerate(path):
            assert sight[node].nonzero()[:, 0].tolist() == sorted(path[: i + 1])


@given(st.lists(TOKENS, min_size=1, max_size=12), st.integers(1, 5), st.booleans())
def test_every_sequence_is_in_one_micro_batch(sequences, size, shared):
    batches = micro_batches(sequences, size, shared)
    assert sorted(i for batch in batches for i in batch) == list(range(len(sequences)))
    if shared:
        longest = max(map(len, sequences))
        for batch in batches:
            tree = TokenTree.of([sequences[i] for i in batch])
            assert len(tree.tokens) <= size * longest
    else:
        assert max(map(len, batches)) <= size


def test_lists_are_padded_on_either_side():
    rows, mask = padded([[1, 2], [3]], 0, left=True)
    assert rows.tolist() == [[1, 2], [0, 3]]
    assert mask.tolist() == [[1, 1], [0, 1]]
    assert padded([[1], [3, 4]], 9)[0].tolist() == [[1, 9], [3, 4]]


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "gpt2"])
def test_values_and_gradients_are_those_of_single_sequences(tiny_model, kind):
    model = AutoModelForCausalLM.from_pretrained(tiny_model(kind)).eval()
    weights = torch.randn(sum(len(s) - p for s, p in zip(SEQUENCES, PROMPTS, strict=True)))
    found, entropies = tree_logprobs(model, SEQUENCES, PROMPTS, temperature=0.7)
    (torch.cat(found) * weights).sum().backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    right, spread = [], []
    for ids, prompt in zip(SEQUENCES, PROMPTS, strict=True):
        logits = model(input_ids=torch.tensor([ids])).logits[0] / 0.7
        logprobs = logits.log_softmax(-1)
        places = range(prompt - 1, len(ids) - 1)
        right.append(torch.stack([logprobs[i, ids[i + 1]] for i in places]))
        spread.append(-(logprobs.exp() * logprobs).sum(-1)[prompt - 1 : -1])
    (torch.cat(right) * weights).sum().backward()
    torch.testing.assert_close(torch.cat(found), torch.cat(right), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat(entropies), torch.cat(spread), atol=1e-5, rtol=1e-5)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_a_model_that_does_not_see_all_earlier_tokens_is_not_packed(tiny_model):
    def of(kind):
        return AutoModelForCausalLM.from_pretrained(tiny_model(kind))

    assert supports_trees(of("llama"))
    assert supports_trees(of("gpt2"))
    assert not supports_trees(of("sliding"))
