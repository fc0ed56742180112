"""Folders of weights that are complete, or not there at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from ...harness.run_folder import DiskFull, disk_full
from ...tasks.errors import RedoneError
from ..rows import write_json

MODEL = "model"
CHECKPOINTS = "checkpoints"
KEPT = 2
"""Checkpoints: should the newest be incomplete, there is the one before."""
PREFIX = "checkpoint-"
MARK = "complete.json"
"""Written last: a checkpoint without it was interrupted while being saved."""


def mark_complete(checkpoint: Path, record: Mapping[str, Any]) -> None:
    """Marks a checkpoint as complete, with what else a resumed stage has to know.

    Raises:
        DiskFull: No space left.
    """
    write_json(checkpoint / MARK, dict(record), indent=False)


def newest_complete(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest complete checkpoint and its record, None if there is none."""
    for checkpoint in reversed(_checkpoints(folder)):
        with contextlib.suppress(OSError, orjson.JSONDecodeError):
            return checkpoint, orjson.loads((checkpoint / MARK).read_bytes())
    return None


def drop_broken(folder: Path) -> None:
    """Deletes incomplete checkpoints: they would count among those that are kept."""
    for checkpoint in _checkpoints(folder):
        if not (checkpoint / MARK).is_file():
            shutil.rmtree(checkpoint, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    numbered = {
        int(number): path
        for path in folder.glob(f"{PREFIX}*")
        if (number := path.name.removeprefix(PREFIX)).isdecimal()
    }
    return [path for _, path in sorted(numbered.items())]


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder next to `folder` that replaces it if the block ends well.

    Raises:
        DiskFull: No space left; what was at `folder` before is still there.
    """
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    except Exception as error:
        if out_of_space(error):
            raise full(folder) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def out_of_space(error: BaseException) -> bool:
    """Whether an error says that the disk is full, in the words of any library."""
    if isinstance(error, OSError):
        return disk_full(error)
    text = str(error).casefold()
    # safetensors and torch put the system's message, or only that writing failed, into their own.
    return "no space left" in text or "file write failed" in text or "enforce fail" in text


def full(folder: Path) -> DiskFull:
    """The error for a full disk."""
    return DiskFull(
        f"No space left on the disk while saving {folder}. The last complete checkpoint is intact: "
        "free some space and rerun the same command to resume from it."
    )


def check_mergeable(trainer: Any) -> None:
    """Checks, before anything is trained, that the trained model can be written in the end.

    Args:
        trainer: A Trainer of transformers.

    Raises:
        RedoneError: Adapters on sharded weights; no process has the matrices that they belong to.
    """
    if not hasattr(trainer.accelerator.unwrap_model(trainer.model), "merge_and_unload"):
        return
    if is_sharded(trainer):
        by = "FSDP" if trainer.is_fsdp_enabled else "ZeRO-3"
        raise RedoneError(
            f"LoRA adapters cannot be merged into weights sharded by {by}. Leave `lora` out to "
            "train the full weights, or launch without sharding: on one GPU, or by a "
            "configuration of accelerate with distributed_type MULTI_GPU."
        )


def is_sharded(trainer: Any) -> bool:
    """Whether each process holds only a part of the weights."""
    plugin = getattr(trainer.accelerator.state, "deepspeed_plugin", None)
    return trainer.is_fsdp_enabled or (plugin is not None and plugin.zero_stage == 3)


def save_model(trainer: Any, folder: Path) -> None:
    """Writes a trained model, adapters merged, and its tokenizer: whole or not at all.

    Args:
        trainer: A Trainer of transformers, in every process.
        folder: Takes its place when everything is written.

    Raises:
        DiskFull: No space left.
    """
    if not trainer.is_world_process_zero():
        # Sharded weights are gathered from every process; only the first one writes.
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            trainer.save_model(str(folder))
        trainer.accelerator.wait_for_everyone()
        return
    model = trainer.accelerator.unwrap_model(trainer.model)
    with whole_folder(folder) as temporary:
        if hasattr(model, "merge_and_unload"):
            model.merge_and_unload().save_pretrained(temporary)
        elif trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            trainer.save_model(str(temporary))
        else:
            model.save_pretrained(temporary)
        trainer.processing_class.save_pretrained(temporary)
    trainer.accelerator.wait_for_everyone()
