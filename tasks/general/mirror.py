"""Reading mirrors: where data sets of the hub are found on a machine without internet access.

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
a manifest is assumed to be laid out like the packaged `mirrors.toml`. Every file is checked against
its hash before it is read.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ..errors import BadRow, MissingData, RedoneError
from ..schema import Record
from ..sources import MIRROR_VARIABLE, DataPaths, JsonReader, json_objects

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
        drop: Columns to leave out.
    """

    hub: str
    config: str | None
    files: Mapping[str, tuple[str, ...]]
    server: str | None = None
    drop: tuple[str, ...] = ()

    def serves(self, hub: str, config: str | None) -> bool:
        """Whether it is the data set of this name."""
        return self.hub.lower() == hub.lower() and self.config in (None, config)


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror, as its manifest describes it.

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
        """The files of a data set by split, fetched and checked against their hashes.

        Returns:
            Empty where the mirror does not serve it; only splits whose files are all present.

        Raises:
            RedoneError: A file does not match its hash.
            MissingData: A server does not deliver a file.
        """
        found: dict[str, list[Path]] = {}
        for dataset in self.datasets:
            if not dataset.serves(hub, config):
                continue
            for split, patterns in dataset.files.items():
                names = [p.replace("{config}", config or "default") for p in patterns]
                paths = [self._path(name, dataset.server) for name in names]
                present = [(n, p) for n, p in zip(names, paths, strict=True) if p is not None]
                if len(present) == len(names):
                    found[split] = [self.verified(name, path) for name, path in present]
        return found

    def has(self, hub: str) -> bool:
        """Whether some of a data set is in the folder (or on the mirror's server)."""
        return any(
            dataset.server is not None or any(self.folder.glob(path.replace("{config}", "*")))
            for dataset in self.datasets
            if dataset.serves(hub, dataset.config)
            for paths in dataset.files.values()
            for path in paths
        )

    def drop(self, hub: str, config: str | None) -> tuple[str, ...]:
        """Columns of a data set to leave out."""
        return tuple(c for d in self.datasets if d.serves(hub, config) for c in d.drop)

    def _path(self, name: str, server: str | None) -> Path | None:
        if server is not None:
            return _fetched(server.rstrip("/") + "/" + name, self.hashes.get(name))
        path = self.folder / name
        return path if path.is_file() else None

    def verified(self, name: str, path: Path) -> Path:
        """The path of a file, if the file matches its hash in the manifest.

        Raises:
            RedoneError: It does not.
        """
        wanted = self.hashes.get(name)
        if wanted is not None and sha256(path) != wanted:
            raise RedoneError(
                f"{path} does not match the mirror's manifest (SHA-256 {sha256(path)[:12]}..., "
                f"expected {wanted[:12]}...). Copy it again; or, if the file was changed on "
                f"purpose, write a manifest for the folder as it is: "
                f"`redone tasks mirror --manifest {self.folder}`."
            )
        return path


def sha256(path: Path) -> str:
    """Hash of a file, 64 hex digits; cached until the file is written to."""
    state = path.stat()
    return _sha256(path, (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino))


@cache
def _sha256(path: Path, state: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetched(url: str, wanted: str | None) -> Path:
    """A file of a server, cached for the user under its URL and hash."""
    import httpx
    import platformdirs

    cached = Path(platformdirs.user_cache_dir("redone", appauthor=False)) / "mirror"
    path = cached / hashlib.sha256(f"{url}|{wanted}".encode()).hexdigest()[:24] / url.split("/")[-1]
    if path.is_file():
        return path
    try:
        answer = httpx.get(url, follow_redirects=True, timeout=60)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise MissingData(f"The mirror's server does not deliver {url}: {error}.") from None
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


def mirrors(data: DataPaths | None = None) -> list[Mirror]:
    """The mirrors to search, in order: those that are named, then `general` in the data folder.

    Args:
        data: Where to search; None: as the environment says.

    Raises:
        MissingData: A mirror that is named does not exist.
    """
    data = data or DataPaths.resolve()
    found = [read_mirror(path) for path in data.mirrors]
    default = data.folder / "general"
    return [*found, read_mirror(default)] if default.is_dir() else found


def at_folder(data: DataPaths | None, folder: Path) -> DataPaths:
    """The same mirrors (None: as the environment says) with another data folder."""
    return replace(data or DataPaths.resolve(create=True), folder=folder)


@dataclass(frozen=True, slots=True)
class MirrorReader(JsonReader):
    """Reads a file from the first mirror that has it; `path` is relative to the mirror's folder.

    Attributes:
        data: Where to search; None: as the environment says.
    """

    kind: Literal["mirror"] = "mirror"
    data: DataPaths | None = None

    def using(self, data: DataPaths) -> MirrorReader:
        """The same reader, which searches these mirrors."""
        return replace(self, data=data)

    def place(self, data: DataPaths | None = None) -> str:
        """Where the file is, in a few words: `mirror`, or what the user has to supply."""
        found = any((m.folder / self.path).is_file() for m in mirrors(data or self.data))
        return "mirror" if found else f"yours: {self.path}"

    def locate(self, folder: Path) -> Path:
        """The file, checked against its mirror's hash.

        Raises:
            MissingData: No mirror has the file.
            RedoneError: It does not match its hash.
        """
        for mirror in mirrors(at_folder(self.data, folder)):
            path = mirror.folder / self.path
            if path.is_file():
                return mirror.verified(self.path, path)
        raise MissingData(
            f"{self.path} is in no mirror. Put it into {folder / 'general' / self.path}, or name "
            f"the folder of your mirror: --mirror DIR or ${MIRROR_VARIABLE}."
        )

    def __call__(self, folder: Path) -> Iterator[Record]:
        """The records in file order.

        Raises:
            MissingData: No mirror has the file.
            BadRow: A row breaks the format; names file, row and field.
        """
        path = self.locate(folder)
        return JsonReader(path.name, self.fields, self.row)(path.parent)


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


def load(mirrors: Sequence[Mirror], hub: str, config: str | None) -> dict[str, list[dict]] | None:
    """The rows of a data set by split, None if no mirror serves it.

    Raises:
        RedoneError: A file does not match its hash.
        BadRow: A file breaks its format.
    """
    for mirror in mirrors:
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
