"""What happens between the steps of a stage: its log, its checkpoints, its end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PrinterCallback, TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback

from ...tasks.errors import RedoneError
from .checkpoints import PREFIX, mark_complete
from .guards import expected, stop
from .steps import Progress, Step

if TYPE_CHECKING:
    from .dapo_trainer import DapoTrainer
    from .whole_batches import WholeBatches

TENSORBOARD = "tensorboard"
WANDB = "WANDB_PROJECT"
"""Environment variable that logs steps to Weights & Biases too: wandb's own, like its others."""


class Watch(TrainerCallback):
    """Writes the step log, asks for checkpoints where all rollouts are used up, and stops.

    Args:
        trainer: The stage's.
        total: Optimiser steps in all.
        progress: Called after each.
    """

    def __init__(self, trainer: DapoTrainer | WholeBatches, total: int, progress: Progress) -> None:
        self._trainer, self._total, self._progress = trainer, total, progress
        self._saved = trainer.work.log.steps[-1].step if trainer.work.log.steps else 0
        self.stopped: str | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer = self._trainer
        step = trainer.finish_step()
        trainer.work.log.append(step)
        steps, budget = trainer.work.log.steps, trainer.work.settings.token_budget
        self._progress(step.step, expected(steps, self._total, budget), told(step))
        self.stopped = stop(steps, budget)
        if self.stopped:
            control.should_training_stop = True
        due = step.step - self._saved >= trainer.work.settings.save_every
        if due and trainer.between_rollouts and step.step < self._total:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        trainer = self._trainer
        self._saved = state.global_step
        trainer.accelerator.wait_for_everyone()
        if trainer.is_world_process_zero():
            folder = Path(args.output_dir) / f"{PREFIX}{state.global_step}"
            mark_complete(folder, {"step": state.global_step, "place": trainer.place})


def watched(
    trainer: DapoTrainer | WholeBatches, output: Path, total: int, progress: Progress
) -> Watch:
    """Has a stage's trainer watched, and its steps drawn by TensorBoard.

    Raises:
        RedoneError: Weights & Biases is asked for and not installed.
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

    class OneRunAStage(WandbCallback):
        """A process that trains a second stage would go on in the first one's run."""

        def on_train_end(self, *args: Any, **named: Any) -> None:
            super().on_train_end(*args, **named)
            self._wandb.finish()

    try:
        return OneRunAStage()
    except RuntimeError:
        raise RedoneError(
            f"${WANDB} asks for Weights & Biases, which is not installed: pip install wandb, or "
            f"unset {WANDB}. TensorBoard's files are written in any case."
        ) from None


def told(step: Step) -> str:
    """A step in one line: what each task is worth beside what needs no skill."""
    if step.skipped:
        return f"skipped: {step.skipped}"
    tasks = (
        f"{name} {mean.value:.2f} (chance {mean.chance:.2f})" for name, mean in step.tasks.items()
    )
    groups = "" if step.kept is None else f"  {step.kept} groups, {step.dropped} dropped"
    if step.reward is None:
        return "" if step.loss is None else f"loss {step.loss:.3f}"
    reward = f"reward {step.reward:.2f}  "
    return f"{reward}{', '.join(tasks)}{groups}"
