"""Gradients of one optimiser step inside a Trainer: within memory, clipped, and fit to be used."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...harness.models.memory import is_out_of_memory
from ...tasks.errors import RedoneError
from .guards import fault, taken_already
from .steps import Step


def within_memory(trainer: Any, model: Any, passes: Callable[[], Tensor], lower: str) -> Tensor:
    """What `passes` returns; where memory runs out, `trainer.micro_batch` is halved for good.

    Args:
        trainer: transformers' Trainer, with a `micro_batch` that `passes` goes by.
        model: Whose gradients are dropped before another try.
        passes: All forward and backward passes of a step.
        lower: What the message advises to lower.

    Raises:
        RedoneError: Out of memory with a single row, or in one process of several.
    """
    while True:
        try:
            return passes()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if trainer.micro_batch == 1 or trainer.accelerator.num_processes > 1:
                raise RedoneError(
                    f"Out of memory with micro_batch {trainer.micro_batch}: lower {lower}, or "
                    "switch gradient_checkpointing on."
                ) from error
        trainer.micro_batch //= 2
        model.zero_grad(set_to_none=True)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def clipped(
    trainer: Any, model: Any, loss: float, limit: float, before: Sequence[Step], step: int
) -> tuple[float | None, str | None]:
    """Clips the gradients, and drops them where they are not to be used.

    Args:
        trainer: transformers' Trainer.
        model: Whose gradients they are.
        loss: Of the step.
        limit: Of their norm.
        before: The steps so far.
        step: Number of this one, from 1.

    Returns:
        Their norm before clipping (None under DeepSpeed, which clips by itself), and why they were
        dropped, None if they were not.

    Raises:
        RedoneError: They are not to be used, and DeepSpeed has used them already.
    """
    norm = None
    if not trainer.is_deepspeed_enabled:
        norm = float(trainer.accelerator.clip_grad_norm_(model.parameters(), limit))
    reason = fault(loss, norm, before)
    if reason and trainer.is_deepspeed_enabled:
        raise taken_already(step, reason)
    if reason:
        model.zero_grad(set_to_none=True)
    return norm, reason
