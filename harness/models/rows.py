"""The rows of a batch: what the engines of the hf backend generate and score."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ...tasks.errors import RedoneError
from ...tasks.schema import Completion, Request, Settings
from .output import Answer

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(slots=True, eq=False)
class Row:
    """One sequence.

    Attributes:
        request: The request that it belongs to.
        ids: Tokens of the prompt, followed by the continuation's for a log-likelihood.
        answer: The answer so far, None for a log-likelihood.
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
    started: float = 0.0

    def start(self) -> None:
        self.started = self.started or time.perf_counter()

    @property
    def open(self) -> bool:
        """Whether it has an answer that is not finished."""
        return self.answer is not None and self.answer.finish is None

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
    """Generates answers and scores continuations."""

    batch_size: int

    def generate(self, rows: list[Row]) -> Iterator[Row]:
        """Finish the answers of rows, each yielded as soon as it is done."""
        ...

    def score(self, rows: list[Row]) -> Iterator[Row]:
        """Sum the log-probabilities of the last `scored` tokens of each row."""
        ...

    def describe(self) -> dict[str, Any]:
        """What is recorded in run.json about the computation."""
        ...


def fresh(row: Row) -> Row:
    """The row before its first token: after running out of memory it starts again."""
    if row.answer is not None:
        row.answer = row.answer.again()
    if row.source is not None:
        row.source = row.source.manual_seed(row.source.initial_seed())
    return row


def halved(batch_size: int, error: BaseException) -> int:
    """The next batch size after running out of memory.

    Raises:
        RedoneError: There was one row only.
    """
    if batch_size <= 1:
        raise RedoneError(
            f"Out of memory with a single row ({str(error)[:200]}). Use a smaller model, "
            "--dtype bfloat16, or a smaller --max-tokens."
        ) from error
    gc.collect()
    return batch_size // 2


def summed(rows: Sequence[Row], logits: Iterable[Tensor]) -> None:
    """Fill in the log-likelihood of rows that differ in their last token at most.

    `logits` are the model's at the last `scored` tokens, in parts of shape [tokens, vocabulary].
    """
    import torch

    ends = [len(row.ids) - row.scored for row in rows]
    for row in rows:
        row.logprob, row.greedy = 0.0, True
    for part in logits:
        part = check_finite(part.float(), rows[:1])
        total, best = part.logsumexp(-1).double(), part.argmax(-1)
        for number, row in enumerate(rows):
            end = ends[number]
            target = torch.tensor(row.ids[end : end + len(part)], device=part.device)
            chosen = part.gather(-1, target[:, None])[:, 0].double()
            row.logprob += float((chosen - total).sum())
            row.greedy = row.greedy and bool((best == target).all())
            ends[number] += len(part)


def check_finite(logits: Tensor, rows: Sequence[Row] = ()) -> Tensor:
    """The logits, shape [..., vocabulary], if all of them are finite.

    Args:
        logits: In float32 for an exact sum.
        rows: Whose logits they are, in this order, if it is known.

    Raises:
        RedoneError: One is NaN or infinite. No answer of such a model means anything.
    """
    # One pass over the memory: the sum is finite only if no term is NaN or infinite.
    if not logits.sum(-1).isfinite().all():
        finite = logits.isfinite().all(-1)
        if not finite.all():
            first = int(finite.flatten().logical_not().nonzero()[0]) if rows else 0
            where = rows[min(first, len(rows) - 1)].request.sample if rows else ""
            raise RedoneError(
                f"The model's logits are not finite (NaN or infinite)"
                f"{f' for sample {where!r}' if where else ''}: its weights are damaged, or its "
                f"arithmetic overflows (often float16). Restore the weights, or pass another "
                "--dtype (float32)."
            )
    return logits


def generator(seed: int | None) -> Generator:
    """A generator of one row's draws, on the CPU whatever the device, so that devices agree."""
    import torch

    return torch.Generator().manual_seed((seed or 0) % 2**63)


def draw(logits: Tensor, settings: Settings, source: Generator) -> int:
    """Sample a token.

    One uniform number is looked up in the cumulative distribution, in the order of the vocabulary:
    the draw depends on the row's seed and distribution alone, and the rounding noise of a different
    batch changes it only if the number falls on a border.

    Args:
        logits: Shape [vocabulary].
        settings: `temperature` > 0, `top_k` (0: off), `top_p` (1: off), applied in this order.
        source: The row's generator.
    """
    import torch

    scores = logits.detach().to("cpu", torch.float64) / settings.temperature
    if 0 < settings.top_k < len(scores):
        least = scores.topk(settings.top_k).values[-1]
        scores = scores.masked_fill(scores < least, float("-inf"))
    probabilities = scores.softmax(-1)
    if settings.top_p < 1.0:
        ordered, order = probabilities.sort(descending=True, stable=True)
        # A token stays if those before it do not yet reach top_p: the first one always does.
        dropped = ordered.cumsum(-1) - ordered >= settings.top_p
        dropped[0] = False
        probabilities = probabilities.index_fill(0, order[dropped], 0.0)
    cumulative = probabilities.cumsum(-1)
    at = torch.rand((), generator=source, dtype=torch.float64) * cumulative[-1]
    token = int(torch.searchsorted(cumulative, at, right=True))
    return min(token, int(probabilities.nonzero()[-1]))
