"""The next token of a row: greedy, or drawn with the row's own generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...tasks.schema import Settings

if TYPE_CHECKING:
    from torch import Generator, Tensor


def generator(seed: int | None) -> Generator:
    """A generator of one row's draws, on the CPU whatever the device, so that devices agree."""
    import torch

    return torch.Generator().manual_seed((seed or 0) % 2**63)


def draw(logits: Tensor, settings: Settings, source: Generator) -> int:
    """Sample a token.

    One uniform number is read against the cumulative distribution in the order of the vocabulary:
    the draw depends on the row's seed and distribution alone, and the rounding noise that batch
    mates bring into the logits moves it only if the number falls on a border.

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
