"""When a step is not taken, and when training is stopped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from ...tasks.errors import RedoneError
from .steps import Step

BAD = 3
"""Steps in a row with a ruined gradient after which training stops."""
BARREN = 20
"""Rollouts in a row without a group to learn from after which training stops."""
SPIKE = 20.0
"""A gradient so many times the recent median is not trusted."""
_RECENT, _ENOUGH = 50, 10

NOT_FINITE = "the loss or its gradient was not finite"
SPIKED = "the gradient spiked"


def fault(loss: float, norm: float | None, before: Sequence[Step]) -> str | None:
    """Why a gradient is not to be used, None if it is.

    Args:
        loss: Of the step.
        norm: Of its gradient, before clipping; None where it is not known.
        before: The steps so far.
    """
    if not math.isfinite(loss) or (norm is not None and not math.isfinite(norm)):
        return NOT_FINITE
    taken = [s.grad_norm for s in before[-_RECENT:] if s.skipped is None and s.grad_norm]
    if norm is not None and len(taken) >= _ENOUGH and norm > SPIKE * median(taken):
        return SPIKED
    return None


def taken_already(step: int, reason: str) -> RedoneError:
    """The error for a fault under DeepSpeed: the backward pass has moved the weights by then.

    Args:
        step: In which it was found, from 1.
        reason: As of `fault`.
    """
    return RedoneError(
        f"Stopped at step {step}: {reason}. DeepSpeed had taken the step before that was seen, "
        "so the weights of now are not kept: starting again goes on from the last whole "
        "checkpoint. A lower learning_rate or a longer warm-up may help."
    )


def expected(steps: Sequence[Step], total: int, budget: int | None = None) -> int:
    """How many steps there will be, by what those so far have processed.

    Args:
        steps: So far, one or more.
        total: Steps, if the budget lets them all be taken.
        budget: Tokens that may be processed, over all steps.
    """
    spent = sum(step.tokens for step in steps)
    if budget is None or not spent:
        return total
    return min(total, max(len(steps), math.ceil(len(steps) * budget / spent)))


def stop(steps: Sequence[Step], budget: int | None = None) -> str | None:
    """Why training should end after these steps, None if it should go on.

    Args:
        steps: So far.
        budget: Tokens that may be processed, over all steps.
    """
    spent = sum(step.tokens for step in steps)
    if budget is not None and spent >= budget:
        return f"Ended at step {steps[-1].step}: its {budget:,} tokens are processed ({spent:,})."
    skipped = []
    for step in reversed(steps):
        if step.skipped is None:
            break
        skipped.append(step.skipped)
    if not skipped:
        return None
    number, newest = steps[-1].step, skipped[0]
    bad = [reason in (NOT_FINITE, SPIKED) for reason in skipped]
    if len(bad) >= BAD and all(bad[:BAD]):
        return (
            f"Stopped at step {number}: {newest} {BAD} times in a row. A lower learning_rate or a "
            "longer warm-up may help."
        )
    if any(bad):
        skipped = skipped[: bad.index(True)]
    # A rollout is told with the first of its updates; the others have nothing of their own to say.
    barren = [s.skipped for s in steps[len(steps) - len(skipped) :] if s.kept is not None]
    if len(barren) >= BARREN:
        return (
            f"Stopped at step {number}: {BARREN} rollouts in a row had nothing to learn from "
            f"({barren[-1]}). Rows that the model solves sometimes, or a larger group_size, may "
            "help."
        )
    return None
