"""The rows that are being decoded together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .attention import Shared, Span, last_attention, prompt_attention, step_attention
from .cache import Prefix, Slots
from .decoder import Decoder
from .rows import Row
from .sampling import draw

Keep = Callable[[int, Sequence[Span], Tensor, Tensor], None]
"""Called with layer, spans, keys and values [tokens, key-value heads, size]."""


@dataclass(slots=True, eq=False)
class Group:
    """Rows whose prompts begin with the same tokens.

    Attributes:
        ids: The shared tokens, maybe none.
        prefix: Their keys and values while rows of the group are about.
    """

    ids: list[int]
    prefix: Prefix | None = None
    users: int = 0

    @property
    def depth(self) -> int:
        return len(self.ids)


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
    """Rows in slots: new ones are read in, all take a step together, finished ones leave.

    Args:
        decoder: The model.
        rows: Slots wanted.
        memory: Bytes for keys and values.
    """

    def __init__(self, decoder: Decoder, rows: int, memory: int) -> None:
        self.seats: list[Seat] = []
        self._decoder = decoder
        self._slots = Slots(
            len(decoder.layers),
            decoder.kv_heads,
            decoder.size,
            decoder.dtype,
            rows,
            max(1, memory // decoder.token_bytes),
        )

    def admits(self, group: Group, rows: Sequence[Row]) -> int:
        """How many of these rows, in this order, find room beside those that are in."""
        needs = [s.need for s in self.seats] + [row.room - group.depth for row in rows]
        return max(0, self._slots.fitting(needs) - len(self.seats))

    def admit(self, group: Group, rows: Sequence[Row]) -> list[Row]:
        """Read the prompts of rows and choose their first tokens.

        Returns:
            Rows that are finished already; the others have a seat.
        """
        if group.depth and group.prefix is None:
            group.prefix = read_prefix(self._decoder, group.ids)
        for row in rows:
            row.start()
        new = [Seat(row, group, len(row.ids) - group.depth) for row in rows]
        self._slots.reserve([s.need for s in (*self.seats, *new)], [s.length for s in self.seats])
        first = len(self.seats)

        def keep(layer: int, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
            for number, span in enumerate(spans):
                part = slice(span.start, span.end)
                self._slots.write(layer, first + number, keys[part], values[part])

        prompts = [row.ids[group.depth :] for row in rows]
        hidden = read(self._decoder, prompts, group.prefix, keep)
        self.seats += new
        return self._choose(self._decoder.logits(hidden), first)

    def step(self) -> list[Row]:
        """One token for every row.

        Returns:
            The rows that it finished.
        """
        seats, decoder, slots = self.seats, self._decoder, self._slots
        count = len(seats)
        lengths = torch.tensor([s.length for s in seats])
        positions = lengths + torch.tensor([s.group.depth for s in seats])
        longest = max(s.length for s in seats) + 1
        mask = torch.zeros(count, 1, 1, longest, dtype=decoder.dtype)
        mask.masked_fill_(torch.arange(longest) > lengths[:, None, None, None], float("-inf"))
        where = (torch.arange(count), lengths)
        sharing = self._sharing()

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            slots.append(layer, where, keys, values)
            shared = [Shared(rows, *prefix.at(layer)) for rows, prefix in sharing]
            own_keys = slots.keys[layer][:count, ..., :longest]
            own_values = slots.values[layer][:count, :, :longest]
            return step_attention(queries, own_keys, own_values, mask, shared, decoder.scale)

        hidden = decoder.forward(torch.tensor([s.token for s in seats]), positions, attend)
        for seat in seats:
            seat.length += 1
        return self._choose(decoder.logits(hidden), 0)

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
        """Give the rows from `first` on their next tokens and let the finished ones go."""
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
