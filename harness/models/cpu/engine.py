"""The fast engine: shared prefixes once, packed prompts, continuous batching, on a CPU."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice, takewhile
from typing import TYPE_CHECKING, Any

import torch

from ...machine import free_bytes, is_out_of_memory
from ..rows import Row, check_finite, fresh, halved, summed
from .attention import Prefix, read, read_prefix
from .batch import Batch, Group
from .decoder import Decoder, fastest_arithmetic
from .sharing import Node, best_groups, prefix_tree

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_PACKED = 384  # tokens of prompts read in one pass: more gains nothing and spills the caches
_WORTH = 64  # tokens that sharing a prefix has to save
_PROBE = 24  # tokens of the comparison with transformers' own forward pass
_CLOSE = 0.1  # of the logits' norm: 16-bit rounding stays far below, another formula far above


class FastEngine:
    """Continuous batching over one decoder, with shared prefixes computed once.

    Args:
        decoder: The model.
        batch_size: Rows decoded together; halved whenever memory runs out.
    """

    def __init__(self, decoder: Decoder, batch_size: int) -> None:
        self._decoder, self.batch_size = decoder, batch_size

    @staticmethod
    def of(
        model: PreTrainedModel,
        batch_size: int,
        arithmetic: torch.dtype | None = None,
        keep: bool = False,
    ) -> FastEngine | None:
        """The engine for a model, None if the decoder does not compute what transformers does.

        The decoder takes the weights over; its logits are then compared with those that
        transformers' own forward pass gave before.

        Args:
            model: On the CPU, of a kind that the decoder knows; without `keep` not usable
                afterwards.
            batch_size: Rows decoded together.
            arithmetic: The dtype to compute in, None: what this machine is fastest in.
            keep: Share the weights with the model, which is still being trained.

        Raises:
            RedoneError: The model's logits are not finite.
        """
        probe = torch.arange(_PROBE) * 37 % model.config.get_text_config().vocab_size
        # Weights made in inference mode could not be trained.
        with torch.no_grad() if keep else torch.inference_mode():
            expected = model(input_ids=probe[None], use_cache=False).logits[0].float()
            check_finite(expected)
            decoder = Decoder(model, arithmetic or fastest_arithmetic(model), keep)
            found = decoder.logits(read(decoder, [probe.tolist()], wanted=torch.arange(_PROBE)))
        error = float((found - expected).norm() / expected.norm())
        return FastEngine(decoder, batch_size) if error < _CLOSE else None

    def refresh(self) -> None:
        """Take over what has changed in the weights of a model that is kept."""
        self._decoder.refresh()

    def describe(self) -> dict[str, Any]:
        return {"path": "fast", "arithmetic": str(self._decoder.dtype).removeprefix("torch.")}

    def generate(self, rows: list[Row]) -> Iterator[Row]:
        """Finish the answers of rows, each yielded as soon as it is done."""
        yield from (row for row in rows if not row.open)
        queue = _queue([row for row in rows if row.open])
        while queue:
            batch = Batch(self._decoder, self.batch_size, free_bytes() // 3)
            try:
                yield from self._run(batch, queue)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                seats = max(len(batch.seats), 2)
                self.batch_size = halved(min(self.batch_size, seats), error)
                for seat in reversed(batch.seats):
                    _put_back(queue, seat.group, fresh(seat.row))
                for group, _ in queue:
                    group.forget()

    def _run(self, batch: Batch, queue: deque[tuple[Group, deque[Row]]]) -> Iterator[Row]:
        """Decode until queue and batch are empty; every open row is in one of the two."""
        while queue or batch.seats:
            while queue and (count := self._admissible(batch, queue)):
                group, waiting = queue[0]
                new = [waiting.popleft() for _ in range(count)]
                try:
                    with torch.inference_mode():
                        done = batch.admit(group, new)
                except Exception:
                    waiting.extendleft(fresh(row) for row in reversed(new))
                    raise
                if not waiting:
                    queue.popleft()
                yield from done
            if batch.seats:
                with torch.inference_mode():
                    done = batch.step()
                yield from done

    def _admissible(self, batch: Batch, queue: deque[tuple[Group, deque[Row]]]) -> int:
        """How many rows of the first group to read in now.

        As many as make a pass of good length; while too few seats are free for that, it is faster
        to wait for more of them.
        """
        group, waiting = queue[0]
        count = _in_one_pass(len(row.ids) - group.depth for row in waiting)
        rows = list(islice(waiting, count))
        room = min(batch.admits(group, rows), self.batch_size - len(batch.seats))
        if room >= count or 8 * room >= self.batch_size:
            return min(room, count)
        return 0 if batch.seats else 1

    def score(self, rows: list[Row]) -> Iterator[Row]:
        """Sum the log-probabilities of the last `scored` tokens of each row.

        Contexts are read along the tree of their shared beginnings: the prompt of a question once
        for all of its options, the examples before it once for all questions. Options that differ
        in their last token only (A, B, C, D) are one sequence: that token is never read.
        """
        yield from (row for row in rows if not row.scored)
        groups: dict[bytes, list[Row]] = {}
        for row in (row for row in rows if row.scored):
            groups.setdefault(array("q", [row.scored, *row.ids[:-1]]).tobytes(), []).append(row)
        yield from self._score_tree(list(groups.values()))

    def _score_tree(self, groups: list[list[Row]]) -> Iterator[Row]:
        """Score groups of rows that differ in their last token only."""
        groups = sorted(groups, key=lambda group: _context(group[0]))
        contexts = [_context(group[0]) for group in groups]
        todo: list[tuple[Node, Prefix | None]] = [(prefix_tree(contexts)[-1], None)]
        while todo:
            node, before = todo.pop()
            have = before.length if before is not None else 0
            if (node.end - node.first - 1) * (node.depth - have) >= _WORTH:
                with torch.inference_mode():
                    ids = contexts[node.first][have : node.depth]
                    before = read_prefix(self._decoder, ids, before)
            inside = {i for child in node.children for i in range(child.first, child.end)}
            own = [groups[i] for i in range(node.first, node.end) if i not in inside]
            yield from self._score_packed(own, before)
            todo += [(child, before) for child in reversed(node.children)]

    def _score_packed(self, groups: list[list[Row]], prefix: Prefix | None) -> Iterator[Row]:
        """Score groups behind one prefix, packed into passes of good length."""
        before = prefix.length if prefix is not None else 0
        while groups:
            # The last token of a row is only looked up: it is not read.
            count = _in_one_pass(len(group[0].ids) - 1 - before for group in groups)
            pack, groups = groups[:count], groups[count:]
            for row in chain(*pack):
                row.start()
            prompts = [group[0].ids[before:-1] for group in pack]
            counts = [group[0].scored for group in pack]
            ends = accumulate(map(len, prompts))
            wanted = [i for n, end in zip(counts, ends, strict=True) for i in range(end - n, end)]
            with torch.inference_mode():
                hidden = read(self._decoder, prompts, prefix, wanted=torch.tensor(wanted))
                for group, own in zip(pack, hidden.split(counts), strict=True):
                    # A part at a time: the logits of a long text are larger than the model.
                    summed(group, (self._decoder.logits(part) for part in own.split(_PACKED)))
            yield from chain(*pack)


def _in_one_pass(lengths: Iterable[int]) -> int:
    """How many sequences, in this order, make a pass of good length; at least one."""
    return max(1, sum(1 for _ in takewhile(lambda end: end <= _PACKED, accumulate(lengths))))


def _context(row: Row) -> list[int]:
    """The tokens before the first one whose prediction is wanted."""
    return row.ids[: max(len(row.ids) - row.scored - 1, 0)]


def _queue(rows: list[Row]) -> deque[tuple[Group, deque[Row]]]:
    """Rows grouped by shared prefix, in the order to admit them.

    Groups with long answers come first: the others then fill the seats beside the last of them.
    Within a group the longest prompts come first: neighbours are of like length, and memory that
    does not suffice is noticed early.
    """
    rows = sorted(rows, key=_context)
    nodes = best_groups([_context(row) for row in rows], _WORTH)
    shared = [_context(rows[node.first])[: node.depth] for node in nodes]
    queue = []
    for outer in best_groups(shared, _WORTH):
        within = Group(shared[outer.first][: outer.depth]) if outer.depth else None
        for node, ids in zip(nodes[outer.first : outer.end], shared[outer.first :], strict=False):
            members = sorted(rows[node.first : node.end], key=lambda row: -row.room)
            # A group without tokens beyond the outer prefix reads nothing.
            inside = within if within is not None and len(ids) > within.depth else None
            queue.append((Group(ids, inside), deque(members)))
    return deque(sorted(queue, key=lambda pair: -_limit(pair[1])))


def _limit(rows: Sequence[Row]) -> int:
    return max(row.answer.limit for row in rows if row.answer is not None)


def _put_back(queue: deque[tuple[Group, deque[Row]]], group: Group, row: Row) -> None:
    """Return a row to the head of its group."""
    if not (queue and queue[0][0] is group):
        queue.appendleft((group, deque()))
    queue[0][1].appendleft(row)
