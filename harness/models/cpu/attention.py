"""Attention on a CPU over a prefix that many sequences share, and prefill: reading prompts so.

Keys and values of a shared prefix are stored, and attended to, once. A softmax over prefix and own
keys is merged from one over each: with outputs a, b and log-sum-exps A, B of their scores the
whole is a*w + b*(1-w), w = sigmoid(A-B) (the merge that FlashAttention does between its blocks,
Dao et al. 2022; across a shared prefix: Juravsky et al. 2024, "Hydragen").

torch's flash kernel for CPUs returns the log-sum-exp, takes fewer key-value heads than query heads
without repeating them, and reads strided caches in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor

from .decoder import Decoder

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


@dataclass(frozen=True, slots=True)
class Own:
    """Keys and values of neighbouring rows in one layer, the new token included.

    Attributes:
        rows: Their place in the batch.
        keys: Shape [rows, key-value heads, head size, length].
        values: Shape [rows, key-value heads, length, head size].
        mask: Added to the scores: 0 or -inf, shape [rows * key-value heads, 1, length].
    """

    rows: slice
    keys: Tensor
    values: Tensor
    mask: Tensor


@dataclass(frozen=True, slots=True)
class Shared:
    """The rows of a batch that begin with the same prefix, and its keys and values in one layer.

    Attributes:
        rows: Indices into the batch, None for all of it.
        keys, values: Shape [1, key-value heads, prefix length, head size].
    """

    rows: Tensor | None
    keys: Tensor
    values: Tensor


def prompt_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    spans: Sequence[slice],
    prefix: tuple[Tensor, Tensor] | None,
    scale: float,
    last: bool = False,
) -> Tensor:
    """Causal attention of packed sequences, each over the common prefix and itself.

    Args:
        queries: Shape [tokens, heads, head size]; with `last`, those of each sequence's last token.
        keys: Shape [tokens, key-value heads, head size].
        values: Shape as of the keys.
        spans: The sequences, in order, without gaps.
        prefix: Keys and values, shape [1, key-value heads, prefix length, head size].
        scale: Factor of the scores.
        last: For the last token of each sequence only.

    Returns:
        Shape [queries, heads * head size].
    """
    q, k, v = (t.transpose(0, 1)[None] for t in (queries, keys, values))
    asking = [slice(i, i + 1) for i in range(len(spans))] if last else spans
    own = [
        _flash(q[:, :, a], k[:, :, s], v[:, :, s], 0.0, not last, scale=scale)
        for a, s in zip(asking, spans, strict=True)
    ]
    out, logsum = own[0] if len(own) == 1 else (torch.cat([o[i] for o in own], 2) for i in (0, 1))
    if prefix is not None:
        before, before_logsum = _flash(q, *prefix, 0.0, False, scale=scale)
        # Two attentions over disjoint keys are merged into one over their union.
        weight = torch.sigmoid(before_logsum - logsum).unsqueeze(-1)
        out = torch.lerp(out, before, weight.to(out.dtype))
    return out.transpose(1, 2).reshape(len(queries), -1)


def step_attention(
    queries: Tensor, own: Sequence[Own], shared: Sequence[Shared], scale: float
) -> Tensor:
    """Attention of one new token per row, over its shared prefix and its own cache.

    The prefix counts as one more key of a row: its score is the log-sum-exp over the prefix, its
    value the attention over it. So one softmax does the merge.

    Args:
        queries: Shape [rows, heads, head size].
        own: The caches, in the order of the rows.
        shared: Prefixes; a row is in one of them at most.
        scale: Factor of the scores.

    Returns:
        Shape [rows, heads * head size].
    """
    rows, heads, size = queries.shape
    # The query heads of one key-value head take the place of a sequence: one matrix product.
    grouped = queries.view(rows, own[0].keys.shape[1], -1, size)
    before = _over_prefixes(grouped, shared, scale) if shared else None
    out = torch.empty_like(grouped)
    for part in own:
        q = grouped[part.rows].flatten(0, 1)
        scores = torch.baddbmm(part.mask, q, part.keys.flatten(0, 1), alpha=scale)
        values, result = part.values.flatten(0, 1), out[part.rows].flatten(0, 1)
        if before is None:
            torch.bmm(scores.softmax(-1), values, out=result)
            continue
        prefix, logsum = (t[part.rows].flatten(0, 1) for t in before)
        weights = torch.cat([scores, logsum.to(scores.dtype).unsqueeze(-1)], -1).softmax(-1)
        torch.bmm(weights[..., :-1], values, out=result)
        result.addcmul_(weights[..., -1:], prefix)
    return out.view(rows, heads * size)


def _over_prefixes(
    grouped: Tensor, shared: Sequence[Shared], scale: float
) -> tuple[Tensor, Tensor]:
    """Attention of each row over its prefix, and the log-sum-exp of its scores.

    Returns:
        Shapes [rows, key-value heads, group, head size] and [rows, key-value heads, group]; 0 and
        -inf for rows without a prefix.
    """
    if len(shared) == 1 and shared[0].rows is None:
        return _over_prefix(grouped, shared[0], scale)
    before = torch.zeros_like(grouped)
    logsum = grouped.new_full(grouped.shape[:-1], float("-inf"))
    for one in shared:
        part, part_logsum = _over_prefix(grouped, one, scale)
        before[one.rows] = part
        logsum[one.rows] = part_logsum.to(logsum.dtype)
    return before, logsum


def _over_prefix(grouped: Tensor, shared: Shared, scale: float) -> tuple[Tensor, Tensor]:
    """Outputs [rows, key-value heads, group, head size] and log-sum-exps of one prefix's rows."""
    chosen = grouped if shared.rows is None else grouped[shared.rows]
    rows, heads, group, size = chosen.shape
    folded = chosen.transpose(0, 1).reshape(1, heads, rows * group, size)
    out, logsum = _flash(folded, shared.keys, shared.values, 0.0, False, scale=scale)
    return (
        out[0].reshape(heads, rows, group, size).transpose(0, 1),
        logsum[0].reshape(heads, rows, group).transpose(0, 1),
    )


@dataclass(slots=True, eq=False)
class Prefix:
    """Keys and values of tokens that several rows begin with.

    Attributes:
        keys, values: One tensor per layer, shape [1, key-value heads, length, head size].
    """

    length: int
    keys: list[Tensor]
    values: list[Tensor]

    def at(self, layer: int) -> tuple[Tensor, Tensor]:
        return self.keys[layer], self.values[layer]


Keep = Callable[[int, Sequence[slice], Tensor, Tensor], None]
"""Called with layer, spans, keys and values [tokens, key-value heads, size]."""


def read_prefix(decoder: Decoder, ids: Sequence[int], before: Prefix | None = None) -> Prefix:
    """Keys and values of tokens, behind those of an earlier prefix."""
    stored: list[tuple[Tensor, Tensor]] = []

    def keep(layer: int, spans: Sequence[slice], keys: Tensor, values: Tensor) -> None:
        pair = [t.transpose(0, 1)[None].contiguous() for t in (keys, values)]
        if before is not None:
            pair = [torch.cat(both, 2) for both in zip(before.at(layer), pair, strict=True)]
        stored.append((pair[0], pair[1]))

    read(decoder, [ids], before, keep, wanted=torch.empty(0, dtype=torch.long))
    keys, values = (list(t) for t in zip(*stored, strict=True))
    return Prefix(keys[0].shape[2], keys, values)


def read(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    prefix: Prefix | None = None,
    keep: Keep | None = None,
    wanted: Tensor | None = None,
) -> Tensor:
    """Pass prompts through the model, packed one behind the other: nothing is padded.

    Args:
        decoder: The model.
        prompts: Token ids behind the prefix, none empty.
        prefix: What they all begin with.
        keep: Called with layer, spans, keys and values.
        wanted: Indices of the tokens whose hidden states are wanted; by default those of the last
            token of each prompt.

    Returns:
        Hidden states, shape [wanted, hidden size].
    """
    ends = list(accumulate(map(len, prompts)))
    spans = [slice(end - len(prompt), end) for prompt, end in zip(prompts, ends, strict=True)]
    ids = torch.tensor([i for prompt in prompts for i in prompt])
    before = prefix.length if prefix is not None else 0
    positions = torch.cat([torch.arange(before, before + len(p)) for p in prompts])

    def attend(layer: int, q: Tensor, keys: Tensor, values: Tensor, last: bool = False) -> Tensor:
        if keep is not None:
            keep(layer, spans, keys, values)
        if not len(q):
            return q
        shared = prefix.at(layer) if prefix is not None else None
        return prompt_attention(q, keys, values, spans, shared, decoder.scale, last)

    if wanted is not None and len(wanted):
        return decoder.forward(ids, positions, attend)[wanted]
    if wanted is None:
        wanted = torch.tensor(ends) - 1
    return decoder.forward(ids, positions, attend, (wanted, partial(attend, last=True)))
