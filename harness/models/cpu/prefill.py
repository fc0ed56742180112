"""Prefill: prompts passed through the decoder, packed, behind a shared prefix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .attention import Span, last_attention, prompt_attention
from .decoder import Decoder


@dataclass(slots=True, eq=False)
class Prefix:
    """Keys and values of tokens that several rows begin with.

    Attributes:
        keys, values: One tensor a layer, shape [1, key-value heads, length, head size].
    """

    length: int
    keys: list[Tensor]
    values: list[Tensor]

    def at(self, layer: int) -> tuple[Tensor, Tensor]:
        return self.keys[layer], self.values[layer]


Keep = Callable[[int, Sequence[Span], Tensor, Tensor], None]
"""Called with layer, spans, keys and values [tokens, key-value heads, size]."""


def read_prefix(decoder: Decoder, ids: Sequence[int], before: Prefix | None = None) -> Prefix:
    """Keys and values of tokens, behind those of an earlier prefix."""
    stored: list[tuple[Tensor, Tensor]] = []

    def keep(layer: int, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
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
    spans, start = [], 0
    for prompt in prompts:
        spans.append(Span(start, start + len(prompt)))
        start += len(prompt)
    ids = torch.tensor([i for prompt in prompts for i in prompt])
    before = prefix.length if prefix is not None else 0
    positions = torch.cat([torch.arange(before, before + len(p)) for p in prompts])

    def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if keep is not None:
            keep(layer, spans, keys, values)
        shared = prefix.at(layer) if prefix is not None else None
        return prompt_attention(queries, keys, values, spans, shared, decoder.scale)

    if wanted is not None and len(wanted):
        return decoder.forward(ids, positions, attend)[wanted]

    def attend_last(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if keep is not None:
            keep(layer, spans, keys, values)
        if not len(queries):
            return queries
        shared = prefix.at(layer) if prefix is not None else None
        return last_attention(queries, keys, values, spans, shared, decoder.scale)

    if wanted is None:
        wanted = torch.tensor([span.end - 1 for span in spans])
    return decoder.forward(ids, positions, attend, (wanted, attend_last))
