"""How a stage of supervised training begins, goes on, and ends: what SFT and DPO share."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from ...harness.store import replacing
from ...tasks.errors import RedoneError
from .arithmetic import mixed
from .checkpoints import (
    CHECKPOINTS,
    KEPT,
    MODEL,
    check_mergeable,
    drop_broken,
    full,
    newest_complete,
    out_of_space,
    save_model,
)
from .guards import stop
from .settings import Supervised
from .steps import Progress, StageResult, StepLog, read_steps

if TYPE_CHECKING:
    from .whole_batches import Order, WholeBatches

LEFT_OUT = "left_out.json"


def trained(settings: Supervised, output: Path) -> StageResult | None:
    """What came of a stage that has its model; None if it has not."""
    if not (output / MODEL).is_dir():
        return None
    steps = list(read_steps(output))
    log = StepLog(output, len(steps), writes=False)
    log.close()
    return log.result(output / MODEL, stop(steps, settings.token_budget) if steps else None)


def check_trl() -> None:
    """Whether TRL is there, in a version that is known.

    Raises:
        RedoneError: It is not.
    """
    try:
        import trl
    except ImportError as error:
        raise RedoneError(
            f"Training needs TRL ({error}). Install it: pip install 'redone[train]'."
        ) from error
    if not trl.__version__.startswith("1.16."):
        raise RedoneError(
            f"TRL {trl.__version__} is installed; this trainer is made for 1.16. Install that: pip "
            "install 'trl>=1.16,<1.17'."
        )


def arguments(settings: Supervised, output: Path, steps: int) -> dict[str, Any]:
    """What the trainers of transformers and TRL are told."""
    import torch

    deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED", "false") == "true"
    constant = settings.schedule == "constant"
    return {
        "output_dir": str(output / CHECKPOINTS),
        "max_steps": steps,
        "per_device_train_batch_size": 1,  # a step finds its rows itself
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if constant else "cosine",
        "warmup_steps": round(settings.warmup_ratio * steps),
        "weight_decay": settings.weight_decay,
        "optim": "adamw_torch_fused",
        # Clipped in the training step, where a ruined gradient can still be dropped.
        "max_grad_norm": settings.max_grad_norm if deepspeed else 0.0,
        "bf16": mixed(settings),
        "gradient_checkpointing": settings.gradient_checkpointing,
        "use_cpu": not torch.cuda.is_available(),
        "seed": settings.seed,
        "save_strategy": "no",
        "save_total_limit": KEPT,
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "log_level": "error",
        "ddp_find_unused_parameters": False,
        "remove_unused_columns": False,
    }


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the warnings that TRL's own use of transformers brings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def placeholder(**columns: Any) -> Any:
    """A data set for a constructor that asks for one; a step finds its rows itself."""
    from datasets import Dataset

    return Dataset.from_dict({name: [value] for name, value in (columns or {"row": 0}).items()})


def tell_left_out(
    output: Path, ids: list[str], count: int, most: int, part: str = "tokens"
) -> None:
    """Name the rows that are too long, in a file and in a line.

    Args:
        output: Of the stage.
        ids: Of the rows.
        count: Rows in all.
        most: Limit.
        part: Of what.
    """
    output.mkdir(parents=True, exist_ok=True)
    with replacing(output / LEFT_OUT) as temporary:
        temporary.write_bytes(orjson.dumps({"max_tokens": most, "rows": ids}))
    if ids:
        print(
            f"{len(ids)} of {count} rows have more than {most} {part} and are left out; "
            f"{output / LEFT_OUT} names them.",
            file=sys.stderr,
        )


def run(
    trainer: WholeBatches, settings: Supervised, order: Order, output: Path, progress: Progress
) -> StageResult:
    """Train to the end, from the newest whole checkpoint if there is one, and write the model.

    Raises:
        DiskFull: No space left; the last whole checkpoint is intact.
    """
    from .watch import watched
    from .whole_batches import Work

    check_mergeable(trainer)
    checkpoints = output / CHECKPOINTS
    leads = trainer.is_world_process_zero()
    found = newest_complete(checkpoints)
    if leads:
        drop_broken(checkpoints)
    log = StepLog(output, int(found[1]["step"]) if found else 0, writes=leads)
    trainer.begin(Work(settings, order, log))
    watch = watched(trainer, output, order.steps, progress)
    try:
        with quietly():
            trainer.train(resume_from_checkpoint=str(found[0]) if found else None)
    except Exception as error:
        if out_of_space(error):
            raise full(checkpoints) from error
        raise
    finally:
        log.close()
    save_model(trainer, output / MODEL)
    return log.result(output / MODEL, watch.stopped)
