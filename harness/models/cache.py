"""Keys and values: of shared prefixes, and of the rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_STEP = 64  # capacities are multiples of this


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


class Slots:
    """Pre-allocated keys and values of the rows of a batch, the shared prefix not among them.

    Rows stand in the slots 0, 1, ... without gaps. The capacity of a slot follows the rows that are
    in: memory, not a fixed number of rows, is what bounds the batch.

    Keys are kept transposed: with three query heads to a key-value head, the product of queries and
    keys reads memory and does little else, and reads it faster that way.

    Args:
        layers, heads, size: Layers, key-value heads and head size of the model.
        dtype: Of keys and values.
        rows: Slots wanted.
        tokens: Tokens that memory is given for, in all slots together.
    """

    def __init__(
        self, layers: int, heads: int, size: int, dtype: torch.dtype, rows: int, tokens: int
    ) -> None:
        self._shape = (heads, size)
        self._dtype, self._most, self._tokens = dtype, rows, tokens
        self.capacity = 0
        self.rows = 0
        self.keys: list[Tensor] = [torch.empty(0)] * layers
        self.values: list[Tensor] = [torch.empty(0)] * layers

    def fitting(self, needs: Sequence[int]) -> int:
        """How many rows of these needs, in this order, memory has room for; at least one."""
        longest = 0
        for count, need in enumerate(needs):
            longest = max(longest, -(-need // _STEP) * _STEP)
            if count >= self._most or (count and (count + 1) * longest > self._tokens):
                return count
        return len(needs)

    def reserve(self, needs: Sequence[int], used: Sequence[int]) -> None:
        """Make room for rows of these needs.

        Args:
            needs: Tokens that each row may come to, those in the slots first.
            used: Tokens that each row in a slot has now.
        """
        capacity = -(-max(needs) // _STEP) * _STEP
        # A batch that memory holds small because of a row long gone may grow again.
        small = self.rows < self._most and 2 * capacity <= self.capacity
        if capacity <= self.capacity and len(needs) <= self.rows and not small:
            return
        rows = max(len(needs), min(self._most, self._tokens // capacity))
        heads, size = self._shape
        length = max(used, default=0)
        for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            # Zeros: what a mask hides is still multiplied, and old memory may hold a NaN.
            self.keys[layer] = torch.zeros((rows, heads, size, capacity), dtype=self._dtype)
            self.values[layer] = torch.zeros((rows, heads, capacity, size), dtype=self._dtype)
            if length:
                kept = len(used)
                self.keys[layer][:kept, ..., :length] = keys[:kept, ..., :length]
                self.values[layer][:kept, :, :length] = values[:kept, :, :length]
        self.rows, self.capacity = rows, capacity

    def write(self, layer: int, slot: int, keys: Tensor, values: Tensor) -> None:
        """Fill a slot from its beginning; shapes [tokens, heads, size]."""
        self.keys[layer][slot, ..., : len(keys)] = keys.permute(1, 2, 0)
        self.values[layer][slot, :, : len(values)] = values.transpose(0, 1)

    def append(
        self, layer: int, where: tuple[Tensor, Tensor], keys: Tensor, values: Tensor
    ) -> None:
        """Add one token to slots 0..n-1; `where` is their numbers and the places, shape [n]."""
        slots, places = where
        self.keys[layer][slots, ..., places] = keys
        self.values[layer][slots, :, places] = values

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first tokens of one slot to another."""
        for keys, values in zip(self.keys, self.values, strict=True):
            keys[target, ..., :length] = keys[source, ..., :length]
            values[target, :, :length] = values[source, :, :length]

    def arrange(self, order: Sequence[int], length: int) -> None:
        """Put the rows in slots 0..n-1 into another order; `length` is that of the longest."""
        moved = [i for i, source in enumerate(order) if i != source]
        if not moved:
            return
        targets, sources = torch.tensor(moved), torch.tensor([order[i] for i in moved])
        for keys, values in zip(self.keys, self.values, strict=True):
            keys[..., :length][targets] = keys[..., :length][sources]
            values[:, :, :length][targets] = values[:, :, :length][sources]
