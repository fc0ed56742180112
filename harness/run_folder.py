"""The run folder on disk: append-only journals, one writer, no answer lost.

Its files are defined in `records`. Here are the errors that stop a run, too: a failed *sample* is
recorded data (`Score.failure`), these end a command with one message, and every answer so far stays
in the folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from ..tasks.errors import RedoneError
from .records import SCHEMA_VERSION, ResponseRecord, Results, RunRecord, RunRequest, SampleRecord


class RunMismatch(RedoneError):
    """The folder holds a run of another request; the message lists the fields that differ."""

    exit_code = 3


class RunInUse(RedoneError):
    """Another process is working on the folder."""

    exit_code = 75


class RunUnreadable(RedoneError):
    """The folder is not a run, or was written by a newer version."""

    exit_code = 65


class RunUnfinished(RedoneError):
    """The run has no scores yet, or samples without an answer: nothing may be decided on it."""

    exit_code = 3


class NotComparable(RedoneError):
    """Two runs differ in what must match: the `mismatches`."""

    exit_code = 3

    def __init__(self, message: str, mismatches: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.mismatches = list(mismatches)


class DiskFull(RedoneError):
    """No space left; what was written before is intact."""

    exit_code = 74


def disk_full(error: OSError) -> bool:
    """Whether the operating system ran out of space or quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


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
                        "Delete that line, and the rerun generates its answer again."
                    ) from None
                offset += len(line)


class ResponseIndex:
    """Offsets of each sample's responses in responses.jsonl: 16 bytes per response in memory."""

    def __init__(self, journal: Journal) -> None:
        ids, offsets = array("Q"), array("q")
        for offset, record in journal.located():
            ids.append(int(record["sample"], 16))
            offsets.append(offset)
        order = np.argsort(np.asarray(ids), kind="stable")
        self._ids, self._offsets = np.asarray(ids)[order], np.asarray(offsets)[order]
        self._file = journal.path.open("rb") if journal.path.exists() else None

    def of(self, sample: str) -> list[ResponseRecord]:
        """The responses of a sample, in the order in which they were written."""
        if self._file is None:
            return []
        key = np.uint64(int(sample, 16))
        first, last = (np.searchsorted(self._ids, key, side) for side in ("left", "right"))
        found = []
        for offset in self._offsets[first:last]:
            self._file.seek(int(offset))
            found.append(ResponseRecord.parse(orjson.loads(self._file.readline())))
        return found

    def close(self) -> None:
        """Closes the journal's file."""
        if self._file is not None:
            self._file.close()


class RunFolder:
    """One run on disk. As a context manager it holds the folder's lock.

    Attributes:
        samples: samples.jsonl (`SampleRecord`).
        responses: responses.jsonl (`ResponseRecord`).

    Raises:
        RunInUse: Another process holds the lock.
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
                self.discard()
            self._lock.release()

    def discard(self) -> None:
        """Removes what a run wrote that never was one: there is nothing to resume."""
        self.samples.close()
        self.responses.close()
        names = (self.path / "run.json", self.samples.path, self.responses.path)
        with contextlib.suppress(OSError):
            for path in names:
                path.unlink(missing_ok=True)
            if self._new:
                (self.path / ".lock").unlink(missing_ok=True)
                self.path.rmdir()

    @property
    def run(self) -> RunRecord | None:
        """The content of run.json; None before the run was prepared."""
        path = self.path / "run.json"
        if not path.exists():
            return None
        try:
            run = orjson.loads(path.read_bytes())
        except orjson.JSONDecodeError as error:
            raise RunUnreadable(f"{path} is not valid JSON ({error.msg}).") from None
        run = _with_keys(run, path, "request")
        if run.get("schema_version", 0) > SCHEMA_VERSION:
            raise RunUnreadable(
                f"{path} has schema version {run['schema_version']}, this redone reads up to "
                f"{SCHEMA_VERSION}. Upgrade redone."
            )
        return run

    @property
    def results(self) -> Results:
        """The content of results.json."""
        path = self.path / "results.json"
        try:
            results = orjson.loads(path.read_bytes())
        except (OSError, orjson.JSONDecodeError) as error:
            raise unreadable(path, error) from None
        return _with_keys(results, path, "tables", "tasks")

    def start(
        self,
        request: RunRequest,
        answers: int = 0,
        environment: Mapping[str, Any] | None = None,
        info: Mapping[str, Any] | None = None,
        definitions: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes run.json: from now on the folder belongs to this request.

        `answers` is the number of responses of the complete run; `environment` that of the model,
        `info` (`evaluate.run_info`) and `definitions` are recorded beside the request.
        """
        self.samples.close()
        record = {
            "schema_version": SCHEMA_VERSION,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "request": request,
            "answers": answers,
            "environment": environment or {},
            **(info or {}),
            **({"definitions": definitions} if definitions else {}),
        }
        self.write("run.json", record)

    def note(self, environment: Mapping[str, Any]) -> None:
        """Records what became known of the environment while the run was under way."""
        run = self.run
        if run is not None and environment.get("left_out"):
            known = run["environment"]
            left_out = {**known.get("left_out", {}), **environment["left_out"]}
            if left_out != known.get("left_out"):
                self.write("run.json", {**run, "environment": {**known, "left_out": left_out}})

    def sample_records(self) -> Iterator[SampleRecord]:
        """The lines of samples.jsonl."""
        return map(SampleRecord.parse, self.samples)

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
                + "\nName another --output, or repeat the first request to resume it."
            )

    def answered(self) -> set[tuple[str, str, int]]:
        """Keys (sample, request hash, draw) that have an answer; a torn line is dropped first."""
        self.responses.repair()
        return {(r["sample"], r["request"], r["draw"]) for r in self.responses}

    def write(self, name: str, record: Mapping[str, Any]) -> None:
        """Writes a JSON file so that it is there whole or not at all."""
        with replacing(self.path / name) as temporary:
            temporary.write_bytes(
                orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            )


def _with_keys(content: Any, path: Path, *keys: str) -> Any:
    if not isinstance(content, dict) or not set(keys) <= content.keys():
        raise RunUnreadable(f"{path} is no file of a run: {', '.join(keys)} expected.")
    return content


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


def unreadable(path: Path, error: Exception) -> RunUnreadable:
    """The error for a derived file that cannot be read."""
    return RunUnreadable(
        f"{path} cannot be read ({error}). `redone eval --rescore {path.parent}` makes it again."
    )


def full(path: Path) -> DiskFull:
    """The error for a full disk."""
    return DiskFull(
        f"No space left on the disk while writing {path}. Progress is saved: free some space and "
        "rerun the same command to resume."
    )


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        nested = isinstance(value, Mapping)
        flat |= flatten(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


def shown(value: Any) -> str:
    """A value for a message, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
