"""The training loop that all trainers share: optimizer steps, out-of-memory retries, resuming.

The Trainer of transformers cuts a batch into micro-batches before anything is known of them. Here a
step is one call, so that rows of similar length share a pass, running out of memory halves the
passes instead of ending the stage, and a ruined gradient is dropped before the optimizer sees it.
Imports torch and transformers.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback

from ...harness.machine import is_out_of_memory
from ...harness.models.checkpoint import Checkpoint
from ...tasks.errors import RedoneError
from ..rows import write_json
from .arguments import quietly
from .checkpoints import (
    CHECKPOINTS,
    MODEL,
    PREFIX,
    drop_broken,
    full,
    mark_complete,
    out_of_space,
    save_model,
)
from .models import RouterLoss
from .steps import Progress, StageResult, Step, expected, fault, rate, read_steps, stop

TENSORBOARD = "tensorboard"
WANDB = "WANDB_PROJECT"
"""Environment variable that logs steps to Weights & Biases too: wandb's own, like its others."""
LEFT_OUT = "left_out.json"


class StepTrainer(Trainer):
    """A Trainer whose training step is a whole optimizer step; to be listed before TRL's class.

    Attributes:
        work: The stage: its `settings`, and the `log` of the steps so far.
        micro_batch: Rows in one pass; halved when memory runs out.
        step: The latest one.
        place: Where the order of rows resumes.
        between_rollouts: Whether all that was sampled has been trained on.
        started: When the step began.
        source: The model that training started from.
        router: Balances the experts, where that is requested.
    """

    work: Any
    micro_batch: int
    step: Step | None = None
    place: int
    between_rollouts: bool = True
    started = 0.0
    source: Checkpoint
    router: RouterLoss | None = None

    def get_train_dataloader(self) -> DataLoader:
        """One empty batch per step, the same in every process: a step finds its rows itself."""
        return DataLoader(range(self.args.max_steps), batch_size=1, collate_fn=list)  # type: ignore[arg-type]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """TRL's figures and the step's own."""
        if self.step is not None:
            logs |= self.step.scalars()
        super().log(logs, start_time)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The learning rate by `steps.rate`: those of transformers begin with an update at 0."""
        if self.lr_scheduler is None:
            schedule = partial(
                rate,
                warmup=self.args.get_warmup_steps(num_training_steps),
                total=num_training_steps,
                cosine=self.args.lr_scheduler_type == "cosine",
            )
            self.lr_scheduler = LambdaLR(cast(Any, optimizer or self.optimizer), schedule)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def balancing(self, share: float) -> Tensor | float:
        """What the pass just made adds to the loss for its router, given its share of the step."""
        return 0.0 if self.router is None else self.router.of_pass(share)

    def learning_rate_now(self) -> float:
        """Of the next update."""
        optimizer: Any = self.optimizer
        return float(optimizer.param_groups[0]["lr"])

    def own_share(self, count: int) -> tuple[int, int]:
        """The first of `count` rows that are this process's own, and the one after its last."""
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        return count * rank // processes, count * (rank + 1) // processes

    def filled_up(self, batches: list[list[int]], filler: int) -> list[list[int]]:
        """As many batches in every process: forward passes are collective with sharded weights."""
        if self.accelerator.num_processes == 1:
            return batches
        own = torch.tensor([len(batches)], device=self.args.device)
        most = int(self.accelerator.gather(own).max())  # type: ignore[union-attr]
        return batches + [[filler]] * (most - len(batches))

    def backward_passes(
        self, model: Any, batches: Sequence[list[int]], loss_of: Callable[[int, list[int]], Tensor]
    ) -> Tensor:
        """Gradients of the sum of losses, synchronized once, in the last pass.

        Args:
            model: In training.
            batches: Of this process.
            loss_of: From a pass's number and its rows to its loss.

        Returns:
            The loss of all processes together, without gradient.
        """
        model.train()
        total = torch.zeros((), device=self.args.device)
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            self.accelerator.gradient_state._set_sync_gradients(last)
            collecting = contextlib.nullcontext() if last else self.accelerator.no_sync(model)
            with self.router or contextlib.nullcontext(), collecting:
                loss = loss_of(number, batch)
                self.accelerator.backward(loss)
            total += loss.detach()
        return self.accelerator.reduce(total, reduction="mean")  # type: ignore[return-value]

    def within_memory(self, model: Any, passes: Callable[[], Tensor], lower: str) -> Tensor:
        """The loss of `passes`; where memory runs out, `micro_batch` is halved for good.

        Args:
            model: Its gradients are dropped before another try.
            passes: All forward and backward passes of a step, by `micro_batch`.
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
                if self.micro_batch == 1 or self.accelerator.num_processes > 1:
                    raise RedoneError(
                        f"Out of memory with micro_batch {self.micro_batch}: lower {lower}, or "
                        "switch gradient_checkpointing on."
                    ) from error
            self.micro_batch //= 2
            model.zero_grad(set_to_none=True)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def clipped(self, model: Any, step: Step) -> Step:
        """The step with its gradient clipped, or dropped where it is not to be used.

        Its norm is None under DeepSpeed, which clips by itself.

        Raises:
            RedoneError: The gradient is not to be used, and DeepSpeed has used it already.
        """
        norm, log = None, self.work.log
        if not self.is_deepspeed_enabled:
            limit = self.work.settings.max_grad_norm
            norm = float(self.accelerator.clip_grad_norm_(model.parameters(), limit))  # type: ignore[arg-type]
        reason = fault(float(step.loss or 0.0), norm, log.steps)
        if reason and self.is_deepspeed_enabled:
            raise RedoneError(
                f"Stopped at step {step.step}: {reason}. DeepSpeed had taken the step before that "
                "was detected, so the current weights are not kept: rerun the same command to "
                "resume from the last complete checkpoint. A lower learning_rate or a longer "
                "warm-up may help."
            )
        if reason:
            model.zero_grad(set_to_none=True)
        return replace(step, grad_norm=norm, skipped=reason)


def report_left_out(
    output: Path, ids: Sequence[str], count: int, most: int, part: str = "tokens"
) -> None:
    """Reports the rows that are too long, in a file and in a line.

    Args:
        output: Of the stage.
        ids: Of the rows, out of `count`.
        count: Rows in all.
        most: Limit of what `part` names.
        part: For the message.
    """
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / LEFT_OUT, {"max_tokens": most, "rows": ids}, indent=False)
    if ids:
        print(
            f"{len(ids)} of {count} rows have more than {most} {part} and are left out; "
            f"{output / LEFT_OUT} names them.",
            file=sys.stderr,
        )


class Watch(TrainerCallback):
    """Writes the step log, requests checkpoints where all rollouts are used up, and stops."""

    def __init__(self, trainer: StepTrainer, total: int, progress: Progress) -> None:
        self._trainer, self._total, self._progress = trainer, total, progress
        self._saved = trainer.work.log.steps[-1].step if trainer.work.log.steps else 0
        self.stopped: str | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer, work = self._trainer, self._trainer.work
        assert trainer.step is not None
        step = replace(trainer.step, seconds=time.perf_counter() - trainer.started)
        trainer.step = step
        work.log.append(step)
        steps, budget = work.log.steps, work.settings.token_budget
        self._progress(step.step, expected(steps, self._total, budget), progress_line(step))
        self.stopped = stop(steps, budget)
        control.should_training_stop |= self.stopped is not None
        due = step.step - self._saved >= work.settings.save_every
        control.should_save |= due and trainer.between_rollouts and step.step < self._total

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer = self._trainer
        self._saved = state.global_step
        trainer.accelerator.wait_for_everyone()
        if trainer.is_world_process_zero():
            folder = Path(args.output_dir) / f"{PREFIX}{state.global_step}"
            mark_complete(folder, {"step": state.global_step, "place": trainer.place})


def watched(trainer: StepTrainer, output: Path, total: int, progress: Progress) -> Watch:
    """Adds the callbacks of a stage: its step log, checkpoints and end, and TensorBoard.

    Raises:
        RedoneError: Weights & Biases is requested and not installed.
    """
    watch = Watch(trainer, total, progress)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watch)
    if trainer.is_world_process_zero():
        from torch.utils.tensorboard import SummaryWriter

        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(output / TENSORBOARD))))
        if os.environ.get(WANDB):
            trainer.args.run_name = f"{output.absolute().parent.parent.name}/{output.name}"
            trainer.add_callback(_wandb())
    return watch


def _wandb() -> TrainerCallback:
    from transformers.integrations.integration_utils import WandbCallback

    class OneRunPerStage(WandbCallback):
        """A process that trains a second stage would continue the first one's run."""

        def on_train_end(self, *args: Any, **named: Any) -> None:
            super().on_train_end(*args, **named)
            self._wandb.finish()

    try:
        return OneRunPerStage()
    except RuntimeError:
        raise RedoneError(
            f"${WANDB} requests Weights & Biases, which is not installed: pip install wandb, or "
            f"unset {WANDB}. TensorBoard's files are written in any case."
        ) from None


def progress_line(step: Step) -> str:
    """A step in one line: the mean value of each task and its chance level."""
    if step.skipped:
        return f"skipped: {step.skipped}"
    if step.reward is None:
        return "" if step.loss is None else f"loss {step.loss:.3f}"
    tasks = ", ".join(
        f"{name} {mean.value:.2f} (chance {mean.chance:.2f})" for name, mean in step.tasks.items()
    )
    groups = "" if step.kept is None else f"  {step.kept} groups, {step.dropped} dropped"
    return f"reward {step.reward:.2f}  {tasks}{groups}"


def trained(output: Path, budget: int | None) -> StageResult | None:
    """The result of a stage that has its model already; None if it has not."""
    if not (output / MODEL).is_dir():
        return None
    steps = list(read_steps(output))
    return StageResult.of(steps, output / MODEL, stop(steps, budget) if steps else None)


def run(
    trainer: StepTrainer, resumed: Path | None, output: Path, total: int, progress: Progress
) -> StageResult:
    """Trains for `total` optimizer steps from a checkpoint, if any, and writes the model.

    Raises:
        DiskFull: No space left; the last complete checkpoint is intact.
    """
    checkpoints = output / CHECKPOINTS
    if trainer.is_world_process_zero():
        drop_broken(checkpoints)
    watch = watched(trainer, output, total, progress)
    try:
        with quietly():
            trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    except Exception as error:
        if out_of_space(error):
            raise full(checkpoints) from error
        raise
    finally:
        trainer.work.log.close()
    save_model(trainer, output / MODEL)
    return StageResult.of(trainer.work.log.steps, output / MODEL, watch.stopped)
