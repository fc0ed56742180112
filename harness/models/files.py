"""The files at a model's path: a folder, a GGUF file or a LoRA adapter, and their fingerprint."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...tasks.errors import RedoneError

_SUFFIXES = {".safetensors", ".json", ".jinja", ".model", ".txt", ".tiktoken"}
PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt"})
"""Endings of files of pickled weights."""
_NO_MATTER = {"training_args.json", "trainer_state.json", "all_results.json", "eval_results.json"}


def fingerprint(
    folder: Path, more: Collection[str] = (), names: Collection[str] | None = None
) -> str:
    """16 hex digits over weights, configuration and tokenizer files: names and contents.

    The hash of each file is kept in the user's cache folder together with what the file system says
    of it, so that gigabytes of weights are read once.

    Args:
        folder: The model's.
        more: Endings of further files that count.
        names: The only files that count; None: all of those endings.
    """
    from platformdirs import user_cache_path

    if names is None:
        endings = _SUFFIXES.union(more)
        found = (p for p in folder.iterdir() if p.suffix in endings and p.name not in _NO_MATTER)
        files = sorted(p for p in found if p.is_file())
    else:
        files = [folder / name for name in sorted(names)]
    cache = user_cache_path("redone") / "fingerprints.json"
    known = _cached(cache)
    changed, whole = False, hashlib.sha256()
    for path in files:
        key = str(path.resolve())
        state = _state(path)
        if known.get(key, ("", ""))[0] != state:
            known[key] = (state, _hash(path))
            changed = True
        whole.update(f"{path.name}\0{known[key][1]}\0".encode())
        if not _settled(path, state):
            del known[key]
    if changed:
        # Another process may write at the same time: replace the file as a whole.
        with contextlib.suppress(OSError):
            cache.parent.mkdir(parents=True, exist_ok=True)
            part = cache.with_suffix(f".{os.getpid()}.part")
            part.write_text(json.dumps(known, indent=0), "utf-8")
            part.replace(cache)
    return whole.hexdigest()[:16]


_SETTLED_SECONDS = 2.0
"""A file that changed less long ago may change again within the resolution of its times."""


def _state(path: Path) -> str:
    """What the file system says of a file; other after every change of its content.

    Size and modification time alone are not: copying tools keep the time. The time of the last
    change of the inode is set by the kernel, and a file that replaces another has another inode.
    """
    status = path.stat()
    times = f"{status.st_mtime_ns}|{status.st_ctime_ns}"
    return f"{status.st_size}|{times}|{status.st_dev}|{status.st_ino}"


def _settled(path: Path, state: str) -> bool:
    """Whether a file is as it was before it was hashed, and was not changed just now."""
    status = path.stat()
    newest = max(status.st_mtime, status.st_ctime)
    return _state(path) == state and abs(time.time() - newest) > _SETTLED_SECONDS


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cached(path: Path) -> dict[str, tuple[str, str]]:
    """State and hash by file; a cache that cannot be read, or an older one, is made again."""
    with contextlib.suppress(OSError, ValueError):
        stored = json.loads(path.read_text("utf-8"))
        if isinstance(stored, dict):
            pairs = {k: v for k, v in stored.items() if isinstance(v, list) and len(v) == 2}
            return {path: (str(state), str(digest)) for path, (state, digest) in pairs.items()}
    return {}


ADAPTER = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Trust:
    """What of a model may run as a program: nothing by default.

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
        path: As the user gave it, for messages.
        folder: Of configuration and weights.
        gguf: The file in the folder that holds everything; None: a folder of transformers.
        pickled, adapter_pickled: Whether the weights are pickles.
        code: Whether the folder's Python files are used.
        adapter: Folder of a LoRA adapter on top of it.
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
        """The folder of the tokenizer: the adapter's own if it has one, else its base's."""
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
    """The files of a model, by what its path is.

    Args:
        path: A folder with weights, a GGUF file, a folder with one, or a LoRA adapter's.
        trust: What of them may run as a program.
        base: The model below an adapter; None: the one that its configuration names.

    Raises:
        RedoneError: Nothing that can be loaded, or that the user has not allowed to be.
    """
    folder = Path(path).expanduser()
    if not folder.exists():
        raise _absent(folder, path)
    refuse_pointers(folder)
    if (folder / ADAPTER).is_file() and not (folder / "config.json").is_file():
        below = model_files(_base_of(folder, path, base), trust)
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


_POINTER = b"version https://git-lfs.github.com/spec/"


def refuse_pointers(path: Path) -> None:
    """Raise if a file of a model is what git has in its place until Git LFS has fetched it."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    endings = {*_SUFFIXES, *PICKLED, ".gguf", ".py"}
    for file in files:
        if file.suffix in endings and file.is_file():
            with file.open("rb") as opened:
                if opened.read(len(_POINTER)) == _POINTER:
                    raise RedoneError(
                        f"{file} is a pointer of Git LFS, not the file itself: run `git lfs pull` "
                        "in the repository, or fetch the model with `hf download`."
                    )


def _pickled(folder: Path, path: str, trust: Trust) -> bool:
    """Whether the weights in a folder are pickles; raises unless that is allowed."""
    if any(folder.glob("*.safetensors")):
        return False
    names = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLED)
    if not names:
        raise RedoneError(f"{path!r} has no weights: no *.safetensors file in it.")
    if not trust.pickles:
        raise RedoneError(
            f"The weights in {path!r} are pickled ({names[0]}): loading them can run code from "
            "the file. Save the model as safetensors where you trust it "
            "(`model.save_pretrained(FOLDER)` in transformers), or pass --allow-pickle here."
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


def _base_of(folder: Path, path: str, given: str | None) -> str:
    """The path of the model that an adapter belongs to; `given` is the user's --base, if any."""
    config = adapter_config(folder)
    kind = config.get("peft_type")
    if kind != "LORA":
        raise RedoneError(
            f"{path!r} is an adapter of type {kind!r}; only LoRA is supported. Merge "
            "it into its base where it was made (`merge_and_unload()` in PEFT) and pass the merged "
            "model."
        )
    named = config.get("base_model_name_or_path") or ""
    places = [p for p in (Path(named).expanduser(), folder / named) if named and p.exists()][:1]
    if given is None:
        if places:
            return str(places[0])
        raise RedoneError(
            f"{path!r} is an adapter for {named or 'a base that it does not name'!r}, which is no "
            "path here. Pass the model that it was made for: --base PATH."
        )
    own = Path(given).expanduser()
    known = [p for p in (own, *places) if (p / "config.json").is_file()]
    if own in known and any(fingerprint(p) != fingerprint(own) for p in known[1:]):
        raise RedoneError(
            f"The adapter {path!r} was made for {str(known[1])!r}, and --base {given!r} is another "
            "model: their files differ. Leave --base out."
        )
    return given


def adapter_config(folder: Path) -> dict[str, Any]:
    """An adapter's configuration.

    Raises:
        RedoneError: It cannot be read.
    """
    path = folder / ADAPTER
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RedoneError(f"{path} cannot be read: {error}.") from None
    if not isinstance(config, dict):
        raise RedoneError(f"{path} is no configuration of an adapter: an object is expected.")
    return config


def adapter_rank(folder: Path) -> int:
    """The largest rank of an adapter's matrices."""
    config = adapter_config(folder)
    ranks = [config.get("r"), *(config.get("rank_pattern") or {}).values()]
    return max((r for r in ranks if isinstance(r, int)), default=0)
