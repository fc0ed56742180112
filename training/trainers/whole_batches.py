"""Optimiser steps over whole batches of fixed rows, inside a Trainer. Imports torch.

The Trainer of transformers cuts a batch into micro-batches before anything is known of them. Here a
step is one call, so that rows alike in length share a pass, running out of memory halves the passes
instead of ending the stage, and a ruined gradient can be dropped before the optimiser sees it.
"""

from __future__ import annotations

import contextlib
import math
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer

from .gradients import clipped, within_memory
from .settings import Supervised
from .steps import Step, StepLog


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
        batch = settings.batch
        last = settings.steps * batch if settings.steps else 0
        if settings.epochs:
            last = max(1, round(settings.epochs * size))
        return Order(size, batch, last, settings.seed)

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
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
    """What a stage is made of.

    Attributes:
        settings: Of the stage.
        order: Which rows each step learns from.
        log: The steps so far, to which the trainer adds its own.
    """

    settings: Supervised
    order: Order
    log: StepLog


class WholeBatches(Trainer):
    """A Trainer whose training step takes a whole batch; to stand before TRL's in the bases.

    Attributes:
        work: The stage; set before training.
        micro_batch: Rows in one pass; halved when memory runs out.
    """

    work: Work
    micro_batch: int
    step: Step | None = None

    def begin(self, work: Work) -> None:
        """Say what is to be trained."""
        self.work, self.micro_batch = work, work.settings.micro_batch

    @abstractmethod
    def loss_of(self, model: Any, chosen: Sequence[int], whole: Sequence[int]) -> Tensor:
        """What some rows add to the loss of the batch `whole`."""

    @abstractmethod
    def passes(self, chosen: Sequence[int]) -> list[list[int]]:
        """Rows shared out to forward passes of `micro_batch`."""

    @abstractmethod
    def learnt(self, chosen: Sequence[int]) -> int:
        """Tokens of some rows whose log-probabilities enter the loss."""

    @abstractmethod
    def read(self, chosen: Sequence[int]) -> int:
        """Tokens of the prompts of some rows."""

    @property
    def place(self) -> int:
        """Where the order of rows goes on."""
        return self.state.global_step

    between_rollouts = True

    def get_train_dataloader(self) -> DataLoader:
        """One empty batch a step, the same in every process: a step finds its rows itself."""
        return DataLoader(range(self.args.max_steps), batch_size=1, collate_fn=list)  # type: ignore[arg-type]

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """The gradients of one optimiser step.

        Returns:
            The loss, without gradient; 0 for a step that is skipped, which leaves no gradients, so
            that the optimiser changes nothing.

        Raises:
            RedoneError: A ruined gradient under DeepSpeed, where it cannot be dropped; or out of
                memory with a single row, or in one process of several.
        """
        self._started = time.perf_counter()
        chosen = self.work.order[self.state.global_step]
        loss = within_memory(
            self, model, lambda: self._all_passes(model, chosen), "it or max_tokens"
        )
        limit, before = self.work.settings.max_grad_norm, self.work.log.steps
        number = self.state.global_step + 1
        norm, reason = clipped(self, model, float(loss), limit, before, number)
        assert self.optimizer is not None
        self.step = Step(
            number,
            loss=float(loss),
            grad_norm=norm,
            learning_rate=float(self.optimizer.param_groups[0]["lr"]),  # type: ignore[union-attr]
            tokens_read=self.read(chosen),
            tokens_trained=self.learnt(chosen),
            skipped=reason,
        )
        return torch.zeros_like(loss) if reason else loss

    def finish_step(self) -> Step:
        """The step just taken, with its time."""
        assert self.step is not None
        self.step = replace(self.step, seconds=time.perf_counter() - self._started)
        return self.step

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """TRL's figures and the step's own."""
        if self.step is not None:
            logs |= self.step.scalars()
        super().log(logs, start_time)

    def _all_passes(self, model: Any, chosen: Sequence[int]) -> Tensor:
        model.train()
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        first, end = (len(chosen) * r // processes for r in (rank, rank + 1))
        batches = self.passes(chosen[first:end])
        own = len(batches)
        if processes > 1:
            # Forward passes are collective when weights are sharded: every process makes as many.
            mine = torch.tensor([own], device=self.args.device)
            most = int(self.accelerator.gather(mine).max())  # type: ignore[union-attr]
            batches += [[chosen[0]]] * (most - own)
        total = torch.zeros((), device=self.args.device)
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            self.accelerator.gradient_state._set_sync_gradients(last)
            waits = contextlib.nullcontext() if last else self.accelerator.no_sync(model)
            with waits:
                # Gradients are averaged over processes, the loss is a sum over their rows.
                loss = self.loss_of(model, batch, chosen) * processes * (number < own)
                self.accelerator.backward(loss)
            total += loss.detach()
        return self.accelerator.reduce(total, reduction="mean")  # type: ignore[return-value]
