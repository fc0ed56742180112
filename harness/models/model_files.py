"""What lies at a model's path: a folder, a GGUF file or an adapter, and what may be read of it."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from ...tasks.errors import RedoneError
from .fingerprint import PICKLED, fingerprint

ADAPTER = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Trust:
    """What of a model may run as a program: nothing, unless the user says so.

    Attributes:
        pickles: Weights saved as pickles may be loaded.
        code: Python files of the folder may be imported.
    """

    pickles: bool = False
    code: bool = False


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one model.

    Attributes:
        path: What the user gave, for messages.
        folder: Of configuration and weights.
        gguf: The file in the folder that holds everything; None: a folder of transformers.
        pickled: Whether its weights are pickles.
        code: Whether the folder's own Python files are used.
        adapter: Folder of a LoRA adapter on top of it.
        adapter_pickled: Whether the adapter's weights are pickles.
    """

    path: str
    folder: Path
    gguf: str | None = None
    pickled: bool = False
    code: bool = False
    adapter: Path | None = None
    adapter_pickled: bool = False

    @property
    def tokenizer(self) -> Path:
        """The folder to take the tokenizer from: the adapter's own goes before its base's."""
        if self.adapter is not None and (self.adapter / "tokenizer_config.json").is_file():
            return self.adapter
        return self.folder

    def fingerprint(self) -> str:
        """16 hex digits over everything that changes an answer."""
        names = [self.gguf] if self.gguf else None
        more = (PICKLED if self.pickled else frozenset()) | ({".py"} if self.code else set())
        base = fingerprint(self.folder, more, names)
        if self.adapter is None:
            return base
        over = fingerprint(self.adapter, PICKLED if self.adapter_pickled else frozenset())
        return hashlib.sha256(f"{base}+{over}".encode()).hexdigest()[:16]


def model_files(path: str, trust: Trust, base: str | None = None) -> ModelFiles:
    """Finds out what a path is.

    Args:
        path: A folder with weights, a GGUF file, a folder with one, or a LoRA adapter's.
        trust: What may run.
        base: The model below an adapter; None: the one that its configuration names.

    Raises:
        RedoneError: Nothing that can be loaded, or that may.
    """
    folder = Path(path).expanduser()
    if not folder.exists():
        raise _absent(folder, path)
    if (folder / ADAPTER).is_file() and not (folder / "config.json").is_file():
        from .adapter import base_of

        below = model_files(base_of(folder, path, base), trust)
        pickled = _pickled(folder, path, trust)
        return replace(below, path=path, adapter=folder, adapter_pickled=pickled)
    if base is not None:
        raise RedoneError(
            f"--base is for adapters, and {path!r} is none: it has no {ADAPTER}. Leave it out."
        )
    if folder.is_file() and folder.suffix == ".gguf":
        return ModelFiles(path, folder.parent, gguf=folder.name)
    if not (folder / "config.json").is_file():
        found = sorted(p.name for p in folder.glob("*.gguf")) if folder.is_dir() else []
        if len(found) == 1:
            return ModelFiles(path, folder, gguf=found[0])
        if found:
            raise RedoneError(
                f"{path!r} holds several models: {', '.join(found[:6])}. Give the path of one file."
            )
        raise RedoneError(
            f"{path!r} is not a model folder: it has no config.json. Give the folder that holds "
            "config.json, the tokenizer and the safetensors weights, a GGUF file, or the folder "
            f"of an adapter ({ADAPTER})."
        )
    return ModelFiles(path, folder, pickled=_pickled(folder, path, trust), code=trust.code)


def _pickled(folder: Path, path: str, trust: Trust) -> bool:
    """Whether the weights in a folder are pickles; raises if they may not be."""
    if any(folder.glob("*.safetensors")):
        return False
    names = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLED)
    if not names:
        raise RedoneError(f"{path!r} has no weights: no *.safetensors file in it.")
    if not trust.pickles:
        raise RedoneError(
            f"The weights in {path!r} are pickled ({names[0]}): loading them can run code from "
            "the file. Save the model as safetensors where you trust it "
            "(`model.save_pretrained(FOLDER)` in transformers), or say --allow-pickle here."
        )
    return True


def _absent(folder: Path, path: str) -> RedoneError:
    parent = folder.parent if folder.parent.is_dir() else Path()
    names = [p.name for p in parent.iterdir() if p.is_dir() or p.suffix == ".gguf"]
    near = difflib.get_close_matches(folder.name, names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(str(parent / n) for n in near)}?" if near else ""
    return RedoneError(
        f"Model path {path!r} does not exist.{hint} Expected a folder with config.json, a "
        "tokenizer and safetensors weights; models of the Hugging Face Hub are fetched with "
        "`hf download ORGANISATION/NAME --local-dir FOLDER`."
    )
