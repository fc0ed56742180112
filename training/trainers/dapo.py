"""Stage 1 and 3: reinforcement learning by DAPO, on TRL's GRPOTrainer.

Yu et al. 2025, "DAPO: An Open-Source LLM Reinforcement Learning System at Scale"
(arXiv:2503.14476), as RedOne 2.0 uses it: advantages in standard deviations of the group, a loss
over tokens, clipped at 0.2 below and 0.28 above, no KL term, dynamic sampling by the tasks' own
values, and a soft penalty for over-long answers, which comes as a shaping term of the rewards.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tasks.errors import RedoneError
from ..corpus.row import CorpusRow
from ..rewards import Rewards
from .adapters import lora_config
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
from .settings import DapoSettings
from .steps import Progress, StageResult, StepLog
from .supervised import tell_left_out

if TYPE_CHECKING:
    from ...harness.models.checkpoint import Checkpoint
    from .dapo_trainer import DapoTrainer

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
`eos_token_ids`. `tests/training/test_dapo_trl.py` holds all of them against the installed TRL.
"""


def check_trl() -> None:
    """Whether the installed TRL is one that this trainer is made for.

    Raises:
        RedoneError: It is not installed, or lacks what is needed of it.
    """
    try:
        import trl
        from trl.trainer.grpo_trainer import GRPOTrainer
    except ImportError as error:
        raise RedoneError(
            f"Reinforcement learning needs TRL ({error}). Install it: pip install 'redone[train]'."
        ) from error
    for name, parameters in PINNED.items():
        method = getattr(GRPOTrainer, name, None)
        found = tuple(inspect.signature(method).parameters)[: len(parameters)] if method else ()
        if found != parameters:
            raise RedoneError(
                f"TRL {trl.__version__} has no GRPOTrainer.{name}({', '.join(parameters)}): this "
                "trainer is made for TRL 1.16. Install that: pip install 'trl>=1.16,<1.17'."
            )


def train_dapo(
    settings: DapoSettings,
    model: Path,
    rows: Sequence[CorpusRow],
    rewards: Rewards,
    output: Path,
    *,
    rationale: Callable[[CorpusRow], bool] = lambda row: False,
    progress: Progress = lambda done, total, line: None,
) -> StageResult:
    """Train a model by reinforcement, or go on where an earlier start stopped.

    Args:
        settings: Of the stage.
        model: Folder of the model to start from.
        rows: What is asked; each needs a target. Those whose prompts are too long are left out, and
            named in `left_out.json`.
        rewards: Judges the answers, shaping terms and loss weights included.
        output: Gets `model/`, `checkpoints/`, `steps.jsonl` and `tensorboard/`.
        rationale: Whether a row is asked to reason first.
        progress: Called after each optimiser step.

    Returns:
        What came of it; `stopped` says why it ended early.

    Raises:
        RedoneError: The model cannot be read, no row fits, memory does not suffice for one answer.
        DiskFull: No space left; the last whole checkpoint is intact.
    """
    total = settings.steps * settings.updates_per_rollout
    if (output / MODEL).is_dir():
        log = StepLog(output, total, writes=False)
        return log.result(output / MODEL, stop(log.steps, settings.token_budget))
    found = newest_complete(output / CHECKPOINTS)
    resumed, record = found if found else (None, {"step": 0, "place": 0})
    trainer = make_trainer(
        settings, model, rows, rewards, output, rationale, record["step"], record["place"]
    )
    if trainer.is_world_process_zero():
        drop_broken(output / CHECKPOINTS)
    from .watch import watched

    watch = watched(trainer, output, total, progress)
    log = trainer.work.log
    try:
        trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    except Exception as error:
        if out_of_space(error):
            raise full(output / CHECKPOINTS) from error
        raise
    finally:
        log.close()
    save_model(trainer, output / MODEL)
    return log.result(output / MODEL, watch.stopped)


def make_trainer(
    settings: DapoSettings,
    model: Path,
    rows: Sequence[CorpusRow],
    rewards: Rewards,
    output: Path,
    rationale: Callable[[CorpusRow], bool] = lambda row: False,
    step: int = 0,
    place: int = 0,
) -> DapoTrainer:
    """The trainer of a stage, before its first step.

    Args:
        settings: Of the stage.
        model: Folder of the model to start from.
        rows: What is asked.
        rewards: Judges the answers.
        output: Gets the step log.
        rationale: Whether a row is asked to reason first.
        step: Optimiser steps that an earlier start has made.
        place: Prompts that it has drawn.
    """
    check_trl()
    from transformers.utils import logging

    from ...harness.models.checkpoint import Checkpoint
    from ...harness.models.rendering import Renderer
    from .rollouts import Asking

    logging.disable_progress_bar()  # they would stand in the middle of ours
    arguments = _arguments(settings, output / CHECKPOINTS)
    # On a GPU, too, the trainer moves it: which device is this process's own, only it knows.
    source = Checkpoint(str(model), "float32", "cpu")
    asking = Asking(Renderer(source.tokenizer, {}, "auto"), settings, source.context, rationale)
    fitting, lost = asking.fitting(rows)
    if arguments.process_index == 0:
        tell_left_out(output, lost, len(rows), asking.most, "tokens in their prompts")
    from .dapo_trainer import DapoTrainer, Work

    log = StepLog(output, step, writes=arguments.process_index == 0)
    trainer = DapoTrainer(
        Work(settings, fitting, rewards, asking, log, place),
        model=source.load(),
        reward_funcs=rewards,  # asked for by the constructor; answers are judged by `judge`
        args=arguments,
        train_dataset=_placeholder(),
        processing_class=source.tokenizer,
        peft_config=lora_config(settings.lora),
    )
    check_mergeable(trainer)
    _choose_ways(trainer, source)
    return trainer


def _arguments(settings: DapoSettings, checkpoints: Path) -> Any:
    import torch
    from trl.trainer.grpo_config import GRPOConfig

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED", "false") == "true"
    updates = settings.updates_per_rollout
    vllm = {"vllm-server": "server", "vllm-colocate": "colocate"}.get(settings.engine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of TRL's own use of transformers
        return GRPOConfig(
            output_dir=str(checkpoints),
            max_steps=settings.steps * updates,
            per_device_train_batch_size=-(-settings.prompts_per_step // processes)
            * settings.group_size,
            num_generations=settings.group_size,
            max_completion_length=settings.max_new_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            loss_type="dapo",
            beta=0.0,
            epsilon=settings.clip_low,
            epsilon_high=settings.clip_high,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=settings.warmup_steps * updates,
            weight_decay=settings.weight_decay,
            optim="adamw_torch_fused",
            # Clipped in the training step, where a ruined gradient can still be dropped.
            max_grad_norm=settings.max_grad_norm if deepspeed else 0.0,
            bf16=mixed(settings),
            gradient_checkpointing=settings.gradient_checkpointing,
            use_cpu=not torch.cuda.is_available(),
            seed=settings.seed,
            save_strategy="no",
            save_total_limit=KEPT,
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            log_level="error",
            ddp_find_unused_parameters=False,
            use_vllm=vllm is not None,
            vllm_mode=vllm or "colocate",
            vllm_server_base_url=settings.vllm_server,
        )


def _placeholder() -> Any:
    """A data set for a constructor that asks for one; prompts are drawn elsewhere."""
    from datasets import Dataset

    return Dataset.from_dict({"prompt": ["none"]})


def _choose_ways(trainer: DapoTrainer, source: Checkpoint) -> None:
    """The fastest way of writing and of learning that is right for model and device."""
    from ...harness.models.decoder import unsupported
    from ...harness.models.engine import FastEngine
    from ...harness.models.hf import FAST_BATCH
    from .packing import packs
    from .rollouts import FastWriter, TrainerWriter

    settings = trainer.work.settings
    eos = source.eos | frozenset(trainer.eos_token_ids)
    renderer = trainer.work.asking.renderer
    plain: Any = trainer.accelerator.unwrap_model(trainer.model)
    inner = plain.get_base_model() if settings.lora else plain
    on_cpu = trainer.args.device.type == "cpu"
    trainer.shares_prefixes = on_cpu and packs(inner)
    engine = None
    if on_cpu and settings.engine == "hf" and unsupported(inner) is None:
        engine = FastEngine.of(inner, FAST_BATCH, inner.dtype, keep=True)
    if engine is not None:
        trainer.writer = FastWriter(engine, renderer, eos, settings.group_size, settings.seed)
        return
    size = settings.group_size

    def generate(prompts: Any) -> Any:
        return trainer._generate_single_turn(prompts, None, {}, size)

    rank = trainer.accelerator.process_index
    trainer.writer = TrainerWriter(generate, renderer, eos, size, settings.seed, rank)
