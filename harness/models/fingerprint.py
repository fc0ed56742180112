"""The content of a model folder as one hash."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path

_SUFFIXES = {".safetensors", ".json", ".jinja", ".model", ".txt", ".tiktoken"}
PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt"})
"""Endings of files of pickled weights."""
_NO_MATTER = {"training_args.json", "trainer_state.json", "all_results.json", "eval_results.json"}


def fingerprint(
    folder: Path, more: Collection[str] = (), names: Collection[str] | None = None
) -> str:
    """16 hex digits over weights, configuration and tokenizer files: names and contents.

    The hash of each file is kept in the user's cache folder under path, size and modification time,
    so that gigabytes of weights are read once.

    Args:
        folder: The model's.
        more: Endings of further files that count.
        names: The only files that count; None: all of those endings.
    """
    known = _Known()
    whole = hashlib.sha256()
    if names is None:
        files = _files(folder, _SUFFIXES.union(more))
    else:
        files = map(folder.joinpath, sorted(names))
    for path in files:
        whole.update(f"{path.name}\0{known.digest(path)}\0".encode())
    known.save()
    return whole.hexdigest()[:16]


def _files(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.suffix in suffixes and path.name not in _NO_MATTER and path.is_file():
            yield path


class _Known:
    """Hashes of files that were read before."""

    def __init__(self) -> None:
        from platformdirs import user_cache_path

        self._path = user_cache_path("redone") / "fingerprints.json"
        self._digests: dict[str, str] = {}
        self._new = False
        # A cache that cannot be read is no cache.
        with contextlib.suppress(OSError, ValueError):
            stored = json.loads(self._path.read_text("utf-8"))
            if isinstance(stored, dict):
                self._digests = stored

    def digest(self, path: Path) -> str:
        status = path.stat()
        key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
        if key not in self._digests:
            with path.open("rb") as file:
                self._digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
            self._new = True
        return self._digests[key]

    def save(self) -> None:
        if not self._new:
            return
        # Another process may write at the same time: replace the file as a whole.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(f".{os.getpid()}.part")
            part.write_text(json.dumps(self._digests, indent=0), "utf-8")
            part.replace(self._path)
