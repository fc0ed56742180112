"""The run folder: append-only journals, one writer, no answer lost.

run.json         what was asked (written once, after samples.jsonl is complete)
samples.jsonl    an item a line: sample, messages, request hashes (absent with --no-texts)
responses.jsonl  a completion a line, flushed as it comes
scores.parquet, results.json    derived; `redone-eval --rescore` makes them again
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from .errors import DiskFull, RunInUse, RunMismatch, RunUnreadable, disk_full

SCHEMA_VERSION = 1


class Journal:
    """A file of JSON lines that survives a kill at any moment.

    A line counts once its newline is written. Opening a journal drops a torn last line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def repair(self) -> int:
        """Cuts off a torn last line; returns the number of bytes dropped."""
        if not self.path.exists():
            return 0
        with self.path.open("rb+") as file:
            size = end = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - 65536)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    end = start + newline + 1
                    break
                end = start
            if end < size:
                file.truncate(end)
            return size - end

    def append(self, record: Mapping[str, Any], *, flush: bool = True) -> None:
        """Adds a line.

        Raises:
            DiskFull: No space; the journal is as before but for a torn line, which `repair` drops.
        """
        try:
            if self._file is None:
                self._file = self.path.open("ab")
            self._file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
            if flush:
                self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Writes what is buffered."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            file.close()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> Exception:
        if self._file is not None:
            # Closing would flush the buffer into the full disk a second time.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        return full(self.path) if disk_full(error) else error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for _, record in self.located():
            yield record

    def located(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Offset and record of every line, in order; a torn last line does not count."""
        if not self.path.exists():
            return
        offset = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield offset, orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise RunUnreadable(
                        f"{self.path}, line {number}: not valid JSON ({error.msg}). "
                        "Delete that line to have the sample asked again."
                    ) from None
                offset += len(line)


class ResponseIndex:
    """Where the responses of each sample stand in the journal: 16 bytes a response in memory."""

    def __init__(self, journal: Journal) -> None:
        ids, offsets = [], []
        chunk_ids: list[int] = []
        chunk_offsets: list[int] = []

        def pack() -> None:
            ids.append(np.array(chunk_ids, dtype=np.uint64))
            offsets.append(np.array(chunk_offsets, dtype=np.int64))
            chunk_ids.clear()
            chunk_offsets.clear()

        for offset, record in journal.located():
            chunk_ids.append(int(record["sample"], 16))
            chunk_offsets.append(offset)
            if len(chunk_ids) == 16384:
                pack()
        pack()
        all_ids, all_offsets = np.concatenate(ids), np.concatenate(offsets)
        order = np.argsort(all_ids, kind="stable")
        self._ids, self._offsets = all_ids[order], all_offsets[order]
        self._file = journal.path.open("rb") if journal.path.exists() else None

    def of(self, sample: str) -> list[dict[str, Any]]:
        """The responses of a sample, in the order in which they came."""
        if self._file is None:
            return []
        key = np.uint64(int(sample, 16))
        first, last = (
            np.searchsorted(self._ids, key, "left"),
            np.searchsorted(self._ids, key, "right"),
        )
        found = []
        for offset in self._offsets[first:last]:
            self._file.seek(int(offset))
            found.append(orjson.loads(self._file.readline()))
        return found

    def close(self) -> None:
        """Closes the journal's file."""
        if self._file is not None:
            self._file.close()


class RunFolder:
    """One run on disk. Use as a context manager: it holds the folder's lock.

    Raises:
        RunInUse: Another process holds it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.samples = Journal(self.path / "samples.jsonl")
        self.responses = Journal(self.path / "responses.jsonl")

    def __enter__(self) -> RunFolder:
        import filelock

        self._new = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunUnreadable(f"{self.path} cannot be made a run folder: {error}.") from error
        self._lock = filelock.FileLock(self.path / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise RunInUse(
                f"{self.path} is in use by another process. Wait for it, or name another --output."
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.samples.close()
            self.responses.close()
        finally:
            if self._new and not (self.path / "run.json").exists():
                self._discard()
            self._lock.release()

    def _discard(self) -> None:
        """Takes away a folder that never became a run: there is nothing to go on with."""
        with contextlib.suppress(OSError):
            self.samples.path.unlink(missing_ok=True)
            (self.path / ".lock").unlink(missing_ok=True)
            self.path.rmdir()

    @property
    def run(self) -> dict[str, Any] | None:
        """The content of run.json, None before the run was prepared."""
        path = self.path / "run.json"
        if not path.exists():
            return None
        try:
            run = orjson.loads(path.read_bytes())
        except orjson.JSONDecodeError as error:
            raise RunUnreadable(f"{path} is not valid JSON ({error.msg}).") from None
        if not isinstance(run, dict):
            raise RunUnreadable(f"{path} is no file of a run: an object is expected.")
        if run.get("schema_version", 0) > SCHEMA_VERSION:
            raise RunUnreadable(
                f"{path} has schema version {run['schema_version']}, this redone reads up to "
                f"{SCHEMA_VERSION}. Upgrade redone."
            )
        return run

    def start(self, run: Mapping[str, Any]) -> None:
        """Writes run.json: from now on the folder belongs to this request."""
        self.samples.close()
        record = {"schema_version": SCHEMA_VERSION, "created": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        self.write("run.json", record | dict(run))

    def refuse_if_different(self, request: Mapping[str, Any]) -> None:
        """Raises RunMismatch, naming every field, if the folder is of another request."""
        run = self.run
        if run is None:
            return
        old, new = flatten(run["request"]), flatten(request)
        lines = [
            f"  {name}: there {shown(old.get(name))}, now {shown(new.get(name))}"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        if lines:
            raise RunMismatch(
                f"{self.path} holds a run of another request:\n"
                + "\n".join(lines[:20])
                + (f"\n  and {len(lines) - 20} more" if len(lines) > 20 else "")
                + "\nName another --output, or repeat the first request to go on with it."
            )

    def answered(self) -> set[tuple[str, str, int]]:
        """Keys (sample, request hash, draw) that have an answer; torn lines are dropped first."""
        self.responses.repair()
        return {(r["sample"], r["request"], r["draw"]) for r in self.responses}

    def write(self, name: str, record: Mapping[str, Any]) -> None:
        """Writes a JSON file so that it is there whole or not at all."""
        with replacing(self.path / name) as temporary:
            temporary.write_bytes(
                orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            )


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place if the block ends well."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise (full(path) if disk_full(error) else error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def no_run(path: Path) -> RunUnreadable:
    """The error for a folder that is no run, with the runs that are in it."""
    inside = sorted(str(p.parent) for p in path.glob("runs/*/run.json"))
    hint = f" Runs are in it: {', '.join(inside)}." if inside else ""
    return RunUnreadable(f"{path} is not a run folder: there is no run.json in it.{hint}")


def full(path: Path) -> DiskFull:
    """The error for a full disk."""
    return DiskFull(
        f"No space left on the disk while writing {path}. Nothing that was answered is lost: free "
        "some space and run the same command to go on."
    )


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def shown(value: Any) -> str:
    """A value for a message, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
