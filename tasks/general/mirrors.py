"""Where data sets of the hub are found on a machine that has no internet.

A mirror is a folder with a manifest, `mirror.toml`:

    [[dataset]]
    hub = "openai/gsm8k"                      # as lm-eval's task names it
    config = "main"                           # left out: any; {config} in a path is its name
    files = { train = "gsm8k/train.jsonl", test = "gsm8k/test.jsonl" }
    server = "https://mirror.example/data/"   # left out: beside the manifest
    drop = [""]                               # columns that the hub's data set does not have

    [sha256]
    "gsm8k/train.jsonl" = "17f347..."

    [nltk]
    folder = "nltk_data"                      # what NLTK would download

Files are JSON lines, JSON, CSV (all values are texts) or parquet, by their ending. A folder without
a manifest is taken for one that is laid out like the packaged `mirrors.toml`. Every file is held
against its hash before it is read.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import BadRow, MissingData, RedoneError
from ..sources import data_folder, json_objects
from .in_use import MIRROR_VARIABLE

MANIFEST = "mirror.toml"
LAYOUT = Path(__file__).parent / "mirrors.toml"


@dataclass(frozen=True, slots=True)
class Mirrored:
    """One data set of a mirror.

    Attributes:
        hub: Its name on the hub.
        config: The configuration, None for any.
        files: Paths by split, relative to the mirror's folder or server.
        server: Base URL, None for the mirror's folder.
        drop: Columns that are left out.
    """

    hub: str
    config: str | None
    files: Mapping[str, tuple[str, ...]]
    server: str | None = None
    drop: tuple[str, ...] = ()

    def serves(self, hub: str, config: str | None) -> bool:
        """Whether it is this data set."""
        return self.hub.lower() == hub.lower() and self.config in (None, config)


@dataclass(frozen=True, slots=True)
class Mirror:
    """A manifest that has been read.

    Attributes:
        folder: What its paths are relative to.
        datasets: What it serves.
        hashes: SHA-256 by path.
        nltk: Folder of NLTK's data, None where it has none.
    """

    folder: Path
    datasets: tuple[Mirrored, ...]
    hashes: Mapping[str, str] = field(default_factory=dict)
    nltk: Path | None = None

    def files(self, hub: str, config: str | None) -> dict[str, list[Path]]:
        """The files of a data set by split, fetched and held against their hashes.

        Returns:
            Nothing where the mirror does not serve it; only splits whose files are all there.

        Raises:
            RedoneError: A file is not what the manifest says.
            MissingData: A server does not give a file.
        """
        found: dict[str, list[Path]] = {}
        for dataset in self.datasets:
            if not dataset.serves(hub, config):
                continue
            for split, patterns in dataset.files.items():
                names = [p.replace("{config}", config or "default") for p in patterns]
                paths = [self._path(name, dataset.server) for name in names]
                there = [(n, p) for n, p in zip(names, paths, strict=True) if p is not None]
                if len(there) == len(names):
                    found[split] = [self._proved(name, path) for name, path in there]
        return found

    def has(self, hub: str) -> bool:
        """Whether some of a data set is here (or on the mirror's server)."""
        return any(
            dataset.server is not None or any(self.folder.glob(path.replace("{config}", "*")))
            for dataset in self.datasets
            if dataset.serves(hub, dataset.config)
            for paths in dataset.files.values()
            for path in paths
        )

    def drop(self, hub: str, config: str | None) -> tuple[str, ...]:
        """Columns that are left out of a data set."""
        return tuple(c for d in self.datasets if d.serves(hub, config) for c in d.drop)

    def _path(self, name: str, server: str | None) -> Path | None:
        if server is not None:
            return _fetched(server.rstrip("/") + "/" + name, self.hashes.get(name))
        path = self.folder / name
        return path if path.is_file() else None

    def _proved(self, name: str, path: Path) -> Path:
        wanted = self.hashes.get(name)
        if wanted is not None and sha256(path) != wanted:
            raise RedoneError(
                f"{path} is not the file that the mirror's manifest means (SHA-256 "
                f"{sha256(path)[:12]}..., expected {wanted[:12]}...). Copy it again; or, if it "
                f"is meant to be another, write a manifest for the folder as it is: "
                f"`redone-tasks mirror --manifest {self.folder}`."
            )
        return path


def sha256(path: Path) -> str:
    """Hash of a file, 64 hex digits; remembered as long as the file is not written to."""
    state = path.stat()
    return _sha256(path, state.st_mtime_ns, state.st_size)


@cache
def _sha256(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetched(url: str, wanted: str | None) -> Path:
    """A file of a server, kept in the user's cache under its URL and hash."""
    import httpx
    import platformdirs

    kept = Path(platformdirs.user_cache_dir("redone", appauthor=False)) / "mirror"
    path = kept / hashlib.sha256(f"{url}|{wanted}".encode()).hexdigest()[:24] / url.split("/")[-1]
    if path.is_file():
        return path
    try:
        answer = httpx.get(url, follow_redirects=True, timeout=60)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise MissingData(f"The mirror's server does not give {url}: {error}.") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + f".{os.getpid()}")
    part.write_bytes(answer.content)
    part.replace(path)
    return path


def read_mirror(path: Path) -> Mirror:
    """The mirror at a manifest, or in a folder.

    Raises:
        MissingData: Neither is there.
        BadRow: The manifest has another form.
    """
    if path.is_dir():
        manifest = path / MANIFEST
        return _read(manifest if manifest.is_file() else LAYOUT, path)
    if path.is_file():
        return _read(path, path.parent)
    raise MissingData(f"The mirror {str(path)!r} is neither a folder nor a manifest.")


def _read(manifest: Path, folder: Path) -> Mirror:
    try:
        raw = tomllib.loads(manifest.read_text("utf-8"))
        datasets = tuple(_dataset(each) for each in raw.get("dataset", ()))
        nltk = raw.get("nltk", {}).get("folder")
        hashes = {str(k): str(v) for k, v in raw.get("sha256", {}).items()}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRow(f"{manifest} is not TOML: {error}.") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadRow(
            f"{manifest}: {error}. Each [[dataset]] needs `hub` (a text) and `files` "
            "(paths by split)."
        ) from None
    return Mirror(folder, datasets, hashes, folder / nltk if nltk else None)


def _dataset(raw: Mapping[str, Any]) -> Mirrored:
    files = {
        split: (paths,) if isinstance(paths, str) else tuple(paths)
        for split, paths in raw["files"].items()
    }
    return Mirrored(
        str(raw["hub"]), raw.get("config"), files, raw.get("server"), tuple(raw.get("drop", ()))
    )


def mirrors(folder: Path | None = None) -> list[Mirror]:
    """The mirrors in use: those of $REDONE_MIRROR, and `general` in the data folder.

    Args:
        folder: The data folder; None: the user's.

    Raises:
        MissingData: $REDONE_MIRROR names something that is not there.
    """
    named = [p for p in os.environ.get(MIRROR_VARIABLE, "").split(os.pathsep) if p]
    found = [read_mirror(Path(p).expanduser()) for p in named]
    beside = (folder or data_folder()) / "general"
    return [*found, read_mirror(beside)] if beside.is_dir() else found


def file_of(name: str, folder: Path) -> Path:
    """A file by its place in a mirror's folder, for tasks that read it themselves.

    Raises:
        MissingData: No mirror has it.
        RedoneError: It is not what the manifest says.
    """
    for mirror in mirrors(folder):
        path = mirror.folder / name
        if path.is_file():
            return mirror._proved(name, path)
    raise MissingData(
        f"{name} is in no mirror. Put it into {folder / 'general' / name}, or name the folder of "
        f"your mirror: --mirror DIR or ${MIRROR_VARIABLE}."
    )


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, by its ending.

    Raises:
        BadRow: It cannot be read, or a row is no object.
    """
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        yield from pq.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        import csv

        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file)
    else:
        for number, row in enumerate(json_objects(path), 1):
            if not isinstance(row, dict):
                raise BadRow(f"{path}, row {number}: an object is expected.")
            yield row


def load(used: Sequence[Mirror], hub: str, config: str | None) -> dict[str, list[dict]] | None:
    """The rows of a data set by split, None if no mirror serves it.

    Raises:
        RedoneError: A file is not what its manifest says.
        BadRow: A file breaks its format.
    """
    for mirror in used:
        files = mirror.files(hub, config)
        if files:
            drop = set(mirror.drop(hub, config))
            return {
                split: [
                    {k: v for k, v in row.items() if k not in drop}
                    for path in paths
                    for row in rows_of(path)
                ]
                for split, paths in files.items()
            }
    return None
