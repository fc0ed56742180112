"""Folders of weights that are there whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from ...harness.errors import DiskFull, disk_full
from ...harness.store import replacing

MODEL = "model"
CHECKPOINTS = "checkpoints"
KEPT = 2
"""Checkpoints: should the newest not come to its end, there is the one before."""
PREFIX = "checkpoint-"
MARK = "complete.json"
"""Written last: a checkpoint without it was being saved when something happened."""


def mark_complete(checkpoint: Path, record: Mapping[str, Any]) -> None:
    """Say that a checkpoint is whole, and what else a resumed stage has to know.

    Raises:
        DiskFull: No space left.
    """
    with replacing(checkpoint / MARK) as temporary:
        temporary.write_bytes(orjson.dumps(dict(record)))


def newest_complete(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest whole checkpoint and its record, None if there is none."""
    for checkpoint in reversed(_checkpoints(folder)):
        with contextlib.suppress(OSError, orjson.JSONDecodeError):
            return checkpoint, orjson.loads((checkpoint / MARK).read_bytes())
    return None


def drop_broken(folder: Path) -> None:
    """Delete checkpoints that are not whole: they would count among those that are kept."""
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
    """A temporary folder beside `folder` that takes its place if the block ends well.

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
    """Whether an error says that the disk is full, in the words of whoever was writing."""
    if isinstance(error, OSError):
        return disk_full(error)
    text = str(error).casefold()
    # safetensors and torch put the system's message, or only that writing failed, into their own.
    return "no space left" in text or "file write failed" in text or "enforce fail" in text


def full(folder: Path) -> DiskFull:
    """The error for a full disk."""
    return DiskFull(
        f"No space left on the disk while saving {folder}. The last whole checkpoint is intact: "
        "free some space and start again to go on from it."
    )


def save_model(trainer: Any, folder: Path) -> None:
    """Write a trained model, adapters merged, and its tokenizer: whole or not at all.

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
