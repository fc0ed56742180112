"""Folders of weights that are complete, or not there at all."""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
from safetensors import safe_open

from ...harness.models.checkpoint import Checkpoint
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

    Weights are in the dtype that they have in the model that training started from, so that both
    are evaluated in the same arithmetic; its configuration is the same, too.

    Args:
        trainer: A `StepTrainer`, in every process.
        folder: Takes its place when everything is written.

    Raises:
        DiskFull: No space left.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    weights: Mapping[str, Any] = {}
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        # Sharded weights are gathered from every process; only the first one writes.
        whole = trainer.deepspeed if trainer.is_deepspeed_enabled else trainer.model
        weights = trainer.accelerator.get_state_dict(whole)
    if trainer.is_world_process_zero():
        with whole_folder(folder) as temporary:
            if hasattr(model, "merge_and_unload"):
                model = model.merge_and_unload()
            saved = Saved.of(trainer.source, trainer.work.settings.save_dtype)
            model.save_pretrained(temporary, state_dict=saved.cast(weights or model.state_dict()))
            saved.write_config(temporary)
            trainer.processing_class.save_pretrained(temporary)
            if told := saved.lost():
                print(f"{folder}: {told}", file=sys.stderr)
    trainer.accelerator.wait_for_everyone()


@dataclass
class Saved:
    """The dtypes in which a trained model is saved, and what their rounding takes.

    Attributes:
        source: The model that training started from.
        dtypes: Of the source's weights, by name in its files; "" for all others.
    """

    source: Checkpoint
    dtypes: Mapping[str, Any]
    _changed: float = 0.0
    _kept: float = 0.0

    @staticmethod
    def of(source: Checkpoint, wanted: Literal["base", "float32"]) -> Saved:
        """The dtypes of a source's weights, or float32."""
        import torch

        if wanted == "float32":
            return Saved(source, {"": torch.float32})
        found: dict[str, Any] = {}
        for path in sorted(source.folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (no mapping)
                    dtype = getattr(torch, _DTYPES.get(file.get_slice(name).get_dtype(), ""), None)
                    if dtype is not None:
                        found[name] = dtype
        own = getattr(source.config.get_text_config(), "dtype", None)
        most = Counter(found.values()).most_common(1)
        # Names of files and of modules may differ: experts are one weight in memory, not on disk.
        return Saved(source, {"": most[0][0] if most else own or torch.float32, **found})

    def cast(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """Weights in these dtypes; those that share their memory still do."""
        made: dict[tuple[int, Any], Any] = {}
        out = {}
        for name, weight in weights.items():
            if weight.is_floating_point():
                dtype = self.dtypes.get(name, self.dtypes[""])
                place = (weight.data_ptr(), weight.shape)
                if place not in made:
                    made[place] = weight.detach().to(dtype)
                    self._compare(name, weight.detach(), made[place])
                out[name] = made[place]
            else:
                out[name] = weight
        return out

    def _compare(self, name: str, trained: Any, rounded: Any) -> None:
        if rounded.dtype == trained.dtype or name not in self.dtypes:
            return
        for path in self.source.folder.glob("*.safetensors"):
            with safe_open(path, framework="pt") as file:
                if name in file.keys():  # noqa: SIM118 (no mapping)
                    before = file.get_tensor(name).to(trained.device, trained.dtype)
                    change = trained - before
                    self._changed += float((change**2).sum())
                    self._kept += float(((rounded.to(trained.dtype) - before) * change).sum())
                    return

    def lost(self) -> str | None:
        """A line if rounding to the dtype takes more than half of what was learned."""
        if self._kept >= self._changed / 2:
            return None
        kept, dtype = max(0.0, self._kept / self._changed), str(self.dtypes[""])
        return (
            f"{dtype.removeprefix('torch.')} keeps {kept:.0%} of what training changed: the "
            "changes are smaller than its steps. Train more or faster, or keep all of it with "
            'train.save_dtype = "float32".'
        )

    def write_config(self, folder: Path) -> None:
        """Writes the configuration of the source, with the dtype that most weights have."""
        config = copy.deepcopy(self.source.config)
        for part in (config, config.get_text_config()):
            part.dtype = self.dtypes[""]
        config.save_pretrained(folder)


_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
