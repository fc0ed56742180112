"""The rows that are decoded together, and their keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..rows import Row, check_finite, draw
from .attention import Own, Prefix, Shared, read, read_prefix, step_attention
from .decoder import Decoder

_STEP = 64  # capacities are multiples of this


class Slots:
    """Pre-allocated keys and values of the rows of a batch, without the shared prefix.

    Rows occupy the slots 0, 1, ... without gaps. The capacity of a slot depends on the rows in the
    batch: memory, not a fixed number of rows, is what bounds the batch.

    Keys are stored transposed: with few query heads per key-value head, the product of queries and
    keys is bound by memory reads, which are faster that way.

    Args:
        layers, heads, size: Layers, key-value heads and head size of the model.
        dtype: Of keys and values.
        rows: Slots wanted.
        tokens: Tokens that memory suffices for, in all slots together.
    """

    def __init__(
        self, layers: int, heads: int, size: int, dtype: torch.dtype, rows: int, tokens: int
    ) -> None:
        self._shape, self._dtype = (heads, size), dtype
        self._most, self._tokens = rows, tokens
        self.capacity = self.rows = 0
        self.keys: list[Tensor] = [torch.empty(0)] * layers
        self.values: list[Tensor] = [torch.empty(0)] * layers

    def fitting(self, needs: Sequence[int]) -> int:
        """How many of these rows, in this order, memory has room for; at least one."""
        longest = 0
        for count, need in enumerate(needs):
            longest = max(longest, -(-need // _STEP) * _STEP)
            if count >= self._most or (count and (count + 1) * longest > self._tokens):
                return count
        return len(needs)

    def reserve(self, needs: Sequence[int], used: Sequence[int]) -> None:
        """Make room for rows that may come to `needs` tokens and have `used` now.

        Those in the slots come first.
        """
        capacity = -(-max(needs) // _STEP) * _STEP
        # A batch that is small because of a row that has left may grow again.
        small = self.rows < self._most and 2 * capacity <= self.capacity
        if capacity <= self.capacity and len(needs) <= self.rows and not small:
            return
        rows = max(len(needs), min(self._most, self._tokens // capacity))
        heads, size = self._shape
        length = max(used, default=0)
        for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            # Zeros: masked values are still multiplied, and uninitialized memory may hold a NaN.
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


_PART = 8  # rows that attend together
_MOVING = 4  # moving a token's keys and values costs as much as attending to it so many times


@dataclass(slots=True, eq=False)
class Group:
    """Rows whose prompts begin with the same tokens.

    Attributes:
        ids: The shared tokens, maybe none.
        within: A group of groups, whose shared tokens are the beginning of this one's.
        prefix: Their keys and values while the group has rows in a batch.
    """

    ids: list[int]
    within: Group | None = None
    prefix: Prefix | None = None

    @property
    def depth(self) -> int:
        return len(self.ids)

    def read(self, decoder: Decoder) -> Prefix:
        """The keys and values of the shared tokens, computed unless they are known."""
        if self.prefix is None:
            before = self.within.read(decoder) if self.within is not None else None
            known = before.length if before is not None else 0
            self.prefix = read_prefix(decoder, self.ids[known:], before)
        return self.prefix

    def forget(self) -> None:
        """Release the memory; keys and values are computed again when needed."""
        self.prefix = None
        if self.within is not None:
            self.within.forget()


@dataclass(slots=True, eq=False)
class Seat:
    """A row in a batch.

    Attributes:
        length: Its tokens in the cache, the shared prefix not counted.
        token: The newest token, not yet in the cache.
    """

    row: Row
    group: Group
    length: int
    token: int = 0

    @property
    def need(self) -> int:
        """Tokens that its slot may have to hold."""
        return self.row.room - self.group.depth


class Batch:
    """Rows in slots: new ones are prefilled, all take a step together, finished ones leave.

    Args:
        decoder: The model.
        rows: Slots wanted.
        memory: Bytes for keys and values.
    """

    def __init__(self, decoder: Decoder, rows: int, memory: int) -> None:
        self.seats: list[Seat] = []
        self._wasted = 0
        self._decoder = decoder
        shape = len(decoder.layers), decoder.kv_heads, decoder.size
        self._slots = Slots(*shape, decoder.dtype, rows, max(1, memory // decoder.token_bytes))

    def admits(self, group: Group, rows: Sequence[Row]) -> int:
        """How many of these rows, in this order, fit in addition to those in the batch."""
        needs = [s.need for s in self.seats] + [row.room - group.depth for row in rows]
        return max(0, self._slots.fitting(needs) - len(self.seats))

    def admit(self, group: Group, rows: Sequence[Row]) -> list[Row]:
        """Prefill prompts and choose first tokens; returns the rows that are finished already."""
        if group.depth:
            group.read(self._decoder)
        for row in rows:
            row.start()
        new = [Seat(row, group, len(row.ids) - group.depth) for row in rows]
        self._slots.reserve([s.need for s in (*self.seats, *new)], [s.length for s in self.seats])
        first = len(self.seats)

        def keep(layer: int, spans: Sequence[slice], keys: Tensor, values: Tensor) -> None:
            for number, span in enumerate(spans, first):
                self._slots.write(layer, number, keys[span], values[span])

        prompts = [row.ids[group.depth :] for row in rows]
        hidden = read(self._decoder, prompts, group.prefix, keep)
        self.seats += new
        return self._choose(self._decoder.logits(hidden), first)

    def step(self) -> list[Row]:
        """One token for every row; returns the rows that it finished."""
        self._arrange()
        seats, decoder, slots = self.seats, self._decoder, self._slots
        lengths = torch.tensor([s.length for s in seats])
        positions = lengths + torch.tensor([s.group.depth for s in seats])
        where = (torch.arange(len(seats)), lengths)
        parts = self._parts(lengths)
        sharing = self._sharing()

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            slots.append(layer, where, keys, values)
            shared = [Shared(rows, *prefix.at(layer)) for rows, prefix in sharing]
            k, v = slots.keys[layer], slots.values[layer]
            own = [
                Own(rows, k[rows, ..., : mask.shape[-1]], v[rows, :, : mask.shape[-1]], mask)
                for rows, mask in parts
            ]
            return step_attention(queries, own, shared, decoder.scale)

        hidden = decoder.forward(torch.tensor([s.token for s in seats]), positions, attend)
        for seat in seats:
            seat.length += 1
        return self._choose(decoder.logits(hidden), 0)

    def _parts(self, lengths: Tensor) -> list[tuple[slice, Tensor]]:
        """Neighbours that attend together, each part only as far as its longest row needs."""
        heads, parts = self._decoder.kv_heads, []
        for start in range(0, len(lengths), _PART):
            some = lengths[start : start + _PART]
            places = torch.arange(int(some.max()) + 1)
            mask = torch.zeros(len(some), 1, 1, len(places), dtype=self._decoder.dtype)
            mask.masked_fill_(places > some[:, None, None, None], float("-inf"))
            mask = mask.expand(-1, heads, -1, -1).flatten(0, 1)
            parts.append((slice(start, start + len(some)), mask))
        return parts

    def _arrange(self) -> None:
        """Sort the rows by length when that pays.

        A part reads keys and values of all its rows up to the length of its longest. The reads in
        excess of those of sorted rows are added up; when they have cost as much as sorting, the
        rows are sorted.
        """
        lengths = [s.length for s in self.seats]
        order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        self._wasted += _read(lengths) - _read([lengths[i] for i in order])
        if self._wasted <= _MOVING * sum(lengths):
            return
        self._wasted = 0
        self._slots.arrange(order, max(lengths))
        self.seats = [self.seats[i] for i in order]

    def _sharing(self) -> list[tuple[Tensor | None, Prefix]]:
        """The prefixes in use, each with the rows that begin with it."""
        rows: dict[Group, list[int]] = {}
        for number, seat in enumerate(self.seats):
            if seat.group.prefix is not None:
                rows.setdefault(seat.group, []).append(number)
        everyone = len(rows) == 1 and len(next(iter(rows.values()))) == len(self.seats)
        return [
            (None if everyone else torch.tensor(numbers), group.prefix)
            for group, numbers in rows.items()
            if group.prefix is not None
        ]

    def _choose(self, logits: Tensor, first: int) -> list[Row]:
        """Choose the next tokens of the rows from `first` on; finished rows leave."""
        check_finite(logits, [seat.row for seat in self.seats[first:]])
        tokens = logits.argmax(-1).tolist()
        done: list[int] = []
        for number, seat in enumerate(self.seats[first:]):
            row, token = seat.row, tokens[number]
            if row.source is not None:
                token = draw(logits[number], row.request.settings, row.source)
            seat.token = token
            if row.answer is None or row.answer.add(token):
                done.append(first + number)
        return [self._leave(number) for number in reversed(done)]

    def _leave(self, number: int) -> Row:
        """Free a slot; the last row moves into it."""
        gone, last = self.seats[number], self.seats.pop()
        if last is not gone:
            self._slots.move(len(self.seats), number, last.length)
            self.seats[number] = last
        return gone.row


def _read(lengths: Sequence[int]) -> int:
    """Tokens whose keys and values a step reads with rows of these lengths in the slots."""
    parts = (lengths[i : i + _PART] for i in range(0, len(lengths), _PART))
    return sum(len(part) * max(part) for part in parts)
