"""What a stage cost in tokens: those of training, which have a budget, and those of choosing rows.

The budget holds what the model reads, writes and learns in training (docs/training.md). Answers
that the choice of rows took are counted beside it: not every way of choosing has any, so a
comparison of recipes has to name both.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..harness.store import Journal

if TYPE_CHECKING:
    from .manifest import Facts
    from .trainers.steps import StageResult

JOURNALS = ("draws.jsonl", "soft-labels/candidates.jsonl", "soft-labels/ratings.jsonl")
"""Of a stage's folder: answers for difficulty or pairs, for soft labels, and a judge's replies."""


def tokens_of_choosing(folder: Path) -> int:
    """Tokens of all answers that a stage's choice took, those of earlier starts included."""
    journals = [folder / name for name in JOURNALS]
    return sum(r["tokens"] for path in journals if path.is_file() for r in Journal(path))


def training_facts(result: StageResult, budget: int | None, choosing: int) -> Facts:
    """Of a stage's training, for the manifest.

    Args:
        result: What came of it.
        budget: Tokens that it may process; None: as many as it takes.
        choosing: Tokens of the answers that its rows were chosen by, which no budget holds.
    """
    return {
        "steps": result.steps,
        "skipped": result.skipped,
        "tokens_read": result.tokens_read,
        "tokens_generated": result.tokens_generated,
        "tokens_trained": result.tokens_trained,
        "token_budget": budget,
        "tokens_of_choosing": choosing,
        "seconds": round(result.seconds, 1),
        "stopped": result.stopped,
    }


def processed(facts: Facts) -> int:
    """Tokens that a stage's training read, generated and trained on: what its budget is of."""
    return sum(facts[f"tokens_{what}"] for what in ("read", "generated", "trained"))


def spent(facts: Facts) -> str:
    """`1,010 tokens of a budget of 1,000, and 250 beside it to choose the rows`."""
    own = processed(facts)
    budget, choosing = facts["token_budget"], facts["tokens_of_choosing"]
    of = "" if budget is None else f" of a budget of {budget:,}"
    return f"{own:,} tokens{of}, and {choosing:,} beside it to choose the rows"
