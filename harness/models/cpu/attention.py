"""Attention on a CPU over a prefix that many sequences share.

Keys and values of a shared prefix are stored, and attended to, once. A softmax over prefix and own
keys is merged from one over each: with outputs a, b and log-sum-exps A, B of their scores the
whole is a*w + b*(1-w), w = sigmoid(A-B) (the merge that FlashAttention does between its blocks,
Dao et al. 2022; across a shared prefix: Juravsky et al. 2024, "Hydragen").

torch's flash kernel for CPUs returns the log-sum-exp, takes fewer key-value heads than query heads
without repeating them, and reads strided caches in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


@dataclass(frozen=True, slots=True)
class Span:
    """One sequence's place in a packed prompt: tokens `start` to `end`."""

    start: int
    end: int


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
    spans: Sequence[Span],
    prefix: tuple[Tensor, Tensor] | None,
    scale: float,
) -> Tensor:
    """Causal attention of packed sequences, each over the common prefix and itself.

    Args:
        queries: Shape [tokens, heads, head size].
        keys: Shape [tokens, key-value heads, head size].
        values: Shape as of the keys.
        spans: The sequences, in order, without gaps.
        prefix: Keys and values, shape [1, key-value heads, prefix length, head size].
        scale: Factor of the scores.

    Returns:
        Shape [tokens, heads * head size].
    """
    q, k, v = (t.transpose(0, 1)[None] for t in (queries, keys, values))
    own = [
        _flash(q[:, :, s.start : s.end], k[:, :, s.start : s.end], v[:, :, s.start : s.end],
               0.0, True, scale=scale)
        for s in spans
    ]  # fmt: skip
    out, logsum = own[0] if len(own) == 1 else (torch.cat([o[i] for o in own], 2) for i in (0, 1))
    if prefix is not None:
        before, before_logsum = _flash(q, *prefix, 0.0, False, scale=scale)
        out = _merged(before, before_logsum, out, logsum)
    return out.transpose(1, 2).reshape(len(queries), -1)


def last_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    spans: Sequence[Span],
    prefix: tuple[Tensor, Tensor] | None,
    scale: float,
) -> Tensor:
    """The same for the last token of each sequence only.

    Args:
        queries: Shape [sequences, heads, head size].
        keys: Shape [tokens, key-value heads, head size].
        values: Shape as of the keys.
        spans: As for `prompt_attention`.
        prefix: As for `prompt_attention`.
        scale: Factor of the scores.

    Returns:
        Shape [sequences, heads * head size].
    """
    k, v = (t.transpose(0, 1)[None] for t in (keys, values))
    q = queries.transpose(0, 1)[None]
    own = [
        _flash(q[:, :, i : i + 1], k[:, :, s.start : s.end], v[:, :, s.start : s.end],
               0.0, False, scale=scale)
        for i, s in enumerate(spans)
    ]  # fmt: skip
    out, logsum = own[0] if len(own) == 1 else (torch.cat([o[i] for o in own], 2) for i in (0, 1))
    if prefix is not None:
        before, before_logsum = _flash(q, *prefix, 0.0, False, scale=scale)
        out = _merged(before, before_logsum, out, logsum)
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


def _merged(first: Tensor, first_logsum: Tensor, second: Tensor, second_logsum: Tensor) -> Tensor:
    """Two attentions over disjoint keys merged into one over their union."""
    weight = torch.sigmoid(first_logsum - second_logsum).unsqueeze(-1)
    return torch.lerp(second, first, weight.to(second.dtype))
