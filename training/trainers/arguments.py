"""Arguments of TRL's trainers, adapters, and checks of the installed version."""

from __future__ import annotations

import contextlib
import inspect
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...tasks.errors import RedoneError
from ..settings import LoraSettings, Optimized
from .checkpoints import CHECKPOINTS, KEPT

PINNED: Mapping[str, tuple[str, ...]] = {
    "_compute_loss": ("self", "model", "inputs"),
    "_get_per_token_logps_and_entropies": (
        "self", "model", "input_ids", "attention_mask", "logits_to_keep",
    ),
    "_generate_single_turn": (
        "self", "prompt_ids", "images", "multimodal_fields", "num_generations",
    ),
    "training_step": ("self", "model", "inputs", "num_items_in_batch"),
    "get_train_dataloader": ("self",),
    "log": ("self", "logs", "start_time"),
}  # fmt: skip
"""What is used of GRPOTrainer beyond its constructor, with the first parameters of each.

Besides, `_metrics["train"]` (the loss writes entropy and clip ratios there), `_tokenizer` and
`eos_token_ids`. `tests/training/test_dapo_trl.py` checks all of them against the installed TRL.
"""


def check_grpo() -> None:
    """Checks that the installed TRL is one that the DAPO trainer is made for.

    Raises:
        RedoneError: It is not installed, or lacks what is needed of it.
    """
    try:
        import trl
        from trl.trainer.grpo_trainer import GRPOTrainer
    except ImportError as error:
        raise _not_installed("Reinforcement learning", error) from error
    for name, parameters in PINNED.items():
        method = getattr(GRPOTrainer, name, None)
        found = tuple(inspect.signature(method).parameters)[: len(parameters)] if method else ()
        if found != parameters:
            raise RedoneError(
                f"TRL {trl.__version__} has no GRPOTrainer.{name}({', '.join(parameters)}): this "
                f"trainer is made for TRL 1.16. {_INSTALL}"
            )


def check_trl() -> None:
    """Checks that TRL is installed, in a known version.

    Raises:
        RedoneError: It is not.
    """
    try:
        import trl
    except ImportError as error:
        raise _not_installed("Training", error) from error
    if not trl.__version__.startswith("1.16."):
        raise RedoneError(
            f"TRL {trl.__version__} is installed; this trainer is made for 1.16. {_INSTALL}"
        )


_INSTALL = "Install that: pip install 'trl>=1.16,<1.17'."


def _not_installed(what: str, error: ImportError) -> RedoneError:
    return RedoneError(f"{what} needs TRL ({error}). Install it: pip install 'redone[train]'.")


def trainer_arguments(
    settings: Optimized, output: Path, steps: int, warmup_steps: int
) -> dict[str, Any]:
    """The arguments that all trainers share.

    There are `steps` optimizer steps; over the first `warmup_steps` the learning rate rises.
    """
    import torch

    deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED", "false") == "true"
    return {
        "output_dir": str(output / CHECKPOINTS),
        "max_steps": steps,
        "learning_rate": settings.learning_rate,
        "warmup_steps": warmup_steps,
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
    }


def lora_config(settings: LoraSettings | None) -> Any:
    """The `peft.LoraConfig` of some settings; None trains the full weights."""
    if settings is None:
        return None
    from peft import LoraConfig

    modules = settings.target_modules
    return LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        task_type="CAUSAL_LM",
    )


def mixed(settings: Optimized) -> bool:
    """Whether forward and backward passes are in bfloat16.

    On a CPU they are only where it has matrix units for it (AMX). Others convert back and forth:
    a pass of a 135M model took 1.7 times as long with AVX-512's bfloat16 as in float32.
    """
    if settings.dtype != "bfloat16":
        return False
    import torch

    return torch.cuda.is_available() or torch.cpu._is_amx_tile_supported()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the warnings that TRL's own use of transformers brings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def placeholder(**columns: Any) -> Any:
    """A data set for a constructor that requires one; a step finds its rows itself."""
    from datasets import Dataset

    return Dataset.from_dict({name: [value] for name, value in (columns or {"row": 0}).items()})
