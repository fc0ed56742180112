"""Supervised training over fixed rows: what SFT and DPO share. Imports torch."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..settings import Supervised
from .arguments import trainer_arguments
from .checkpoints import CHECKPOINTS, check_mergeable, newest_complete
from .loop import StepTrainer, run
from .steps import Progress, StageResult, Step, StepLog


@dataclass(frozen=True, slots=True)
class Order:
    """Which rows each step learns from: every one once in an epoch, each epoch in its own order.

    Attributes:
        size: Rows.
        batch: Rows of a step; the last one of all may have fewer.
        last: Rows of all steps together.
        seed: Of the orders.
    """

    size: int
    batch: int
    last: int
    seed: int

    @staticmethod
    def of(settings: Supervised, size: int) -> Order:
        """The order of a stage; `epochs` may end in the middle of one."""
        last = (settings.steps or 0) * settings.batch
        if settings.epochs:
            last = max(1, round(settings.epochs * size))
        return Order(size, settings.batch, last, settings.seed)

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return math.ceil(self.last / self.batch)

    def __getitem__(self, step: int) -> list[int]:
        """The rows of a step, counted from 0."""
        places = range(step * self.batch, min((step + 1) * self.batch, self.last))
        return [int(_shuffled(self.size, self.seed, p // self.size)[p % self.size]) for p in places]


@lru_cache(maxsize=2)
def _shuffled(size: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(size)


@dataclass(frozen=True, slots=True)
class Work:
    """Everything a stage consists of; the trainer appends to the log."""

    settings: Supervised
    order: Order
    log: StepLog


class WholeBatches(StepTrainer):
    """A trainer of whole batches of fixed rows.

    Attributes:
        work: The stage; set before training.
    """

    work: Work

    @abstractmethod
    def loss_of(self, model: Any, chosen: Sequence[int], whole: Sequence[int]) -> Tensor:
        """What some rows add to the loss of the batch `whole`."""

    @abstractmethod
    def passes(self, chosen: Sequence[int]) -> list[list[int]]:
        """Rows distributed to forward passes of `micro_batch`."""

    @abstractmethod
    def learned(self, chosen: Sequence[int]) -> int:
        """Tokens of some rows whose log-probabilities enter the loss."""

    @abstractmethod
    def read(self, chosen: Sequence[int]) -> int:
        """Tokens of the prompts of some rows."""

    @property
    def place(self) -> int:
        """Where the order of rows resumes."""
        return self.state.global_step

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """The gradients of one optimizer step.

        Returns:
            The loss, without gradient; 0 for a step that is skipped, which leaves no gradients, so
            that the optimizer changes nothing.

        Raises:
            RedoneError: A ruined gradient under DeepSpeed, where it cannot be dropped; or out of
                memory with a single row, or in one process of several.
        """
        self.started = time.perf_counter()
        chosen = self.work.order[self.state.global_step]
        lower = "it or max_tokens"
        loss = self.within_memory(model, lambda: self._all_passes(model, chosen), lower)
        step = Step(
            self.state.global_step + 1,
            loss=float(loss),
            learning_rate=self.learning_rate_now(),
            tokens_read=self.read(chosen),
            tokens_trained=self.learned(chosen),
        )
        self.step = self.clipped(model, step)
        return torch.zeros_like(loss) if self.step.skipped else loss

    def _all_passes(self, model: Any, chosen: Sequence[int]) -> Tensor:
        first, end = self.own_share(len(chosen))
        batches = self.passes(chosen[first:end])
        own, processes = len(batches), self.accelerator.num_processes

        def loss_of(number: int, batch: list[int]) -> Tensor:
            # Gradients are averaged over processes, the loss is a sum over their rows.
            return self.loss_of(model, batch, chosen) * processes * (number < own)

        return self.backward_passes(model, self.filled_up(batches, chosen[0]), loss_of)


def arguments(settings: Supervised, output: Path, steps: int) -> dict[str, Any]:
    """The arguments of a trainer of transformers and TRL."""
    warmup = round(settings.warmup_ratio * steps)
    constant = settings.schedule == "constant"
    return {
        **trainer_arguments(settings, output, steps, warmup),
        "per_device_train_batch_size": 1,  # a step finds its rows itself
        "lr_scheduler_type": "constant_with_warmup" if constant else "cosine",
        "remove_unused_columns": False,
    }


def train(
    trainer: WholeBatches, settings: Supervised, order: Order, output: Path, progress: Progress
) -> StageResult:
    """Trains to the end, from the newest complete checkpoint if there is one; writes the model.

    Raises:
        DiskFull: No space left; the last complete checkpoint is intact.
    """
    check_mergeable(trainer)
    found = newest_complete(output / CHECKPOINTS)
    step = int(found[1]["step"]) if found else 0
    log = StepLog(output, step, writes=trainer.is_world_process_zero())
    trainer.work, trainer.micro_batch = Work(settings, order, log), settings.micro_batch
    return run(trainer, found[0] if found else None, output, order.steps, progress)
