"""Requests on their way through an engine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ...tasks.schema import Completion, Request
from .answer import Answer

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(slots=True, eq=False)
class Row:
    """One sequence.

    Attributes:
        request: What was asked.
        ids: Tokens of the prompt, for a log-likelihood those of the continuation behind them.
        answer: The answer in the making, None for a log-likelihood.
        scored: How many of the last `ids` have their log-probability summed.
        source: Generator of the draws, None when greedy.
        logprob, greedy: The result of a log-likelihood.
        started: Clock when the row was taken into a batch.
    """

    request: Request
    ids: list[int]
    answer: Answer | None = None
    scored: int = 0
    source: Generator | None = None
    logprob: float = 0.0
    greedy: bool = True
    started: float = field(default=0.0)

    def start(self) -> None:
        self.started = self.started or time.perf_counter()

    @property
    def room(self) -> int:
        """Tokens that the row may need at most, prompt and answer."""
        return len(self.ids) + (max(self.answer.limit, 0) if self.answer else 0)

    def completion(self) -> Completion:
        seconds = time.perf_counter() - self.started if self.started else 0.0
        if self.answer is not None:
            return self.answer.completion(len(self.ids), seconds)
        return Completion(
            text="",
            prompt_tokens=len(self.ids),
            seconds=seconds,
            logprob=self.logprob,
            greedy=self.greedy,
        )


class Engine(Protocol):
    """Something that carries rows to their end."""

    batch_size: int

    def generate(self, rows: list[Row]) -> Iterator[Row]:
        """Finish the answers of rows, each yielded as soon as it is done."""
        ...

    def score(self, rows: list[Row]) -> Iterator[Row]:
        """Sum the log-probabilities of the last `scored` tokens of each row."""
        ...

    def describe(self) -> dict[str, Any]:
        """What is recorded about the way of computing."""
        ...


def fresh(row: Row) -> Row:
    """The row before its first token: what memory cut short is made again from the start."""
    if row.answer is not None:
        row.answer = row.answer.again()
    if row.source is not None:
        row.source = row.source.manual_seed(row.source.initial_seed())
    return row


def summed(rows: Sequence[Row], logits: Iterable[Tensor]) -> None:
    """Fill in the log-likelihood of rows that differ in their last token at most.

    Args:
        rows: `scored` says how many of their last tokens count.
        logits: What the model expected at those tokens, in parts of shape [tokens, vocabulary].
    """
    import torch

    ends = [len(row.ids) - row.scored for row in rows]
    for row in rows:
        row.logprob, row.greedy = 0.0, True
    for part in logits:
        part = part.float()
        total, best = part.logsumexp(-1).double(), part.argmax(-1)
        for number, row in enumerate(rows):
            end = ends[number]
            target = torch.tensor(row.ids[end : end + len(part)], device=part.device)
            chosen = part.gather(-1, target[:, None])[:, 0].double()
            row.logprob += float((chosen - total).sum())
            row.greedy = row.greedy and bool((best == target).all())
            ends[number] += len(part)
