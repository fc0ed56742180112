"""The record of an output folder: every step with the hashes of what it read and what it made.

    DIR/manifest.json   {"steps": {NAME: {"inputs": {...}, "outputs": {FILE: sha256}, ...}}}

A step that is recorded as finished is not done again. It is refused where it can no longer be
vouched for: an input has another hash than when the step ran, or an output was changed or removed.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from ..harness.store import flatten, replacing, shown
from ..tasks.errors import RedoneError
from .errors import FolderInUse, StepChanged

SCHEMA_VERSION = 1
if TYPE_CHECKING:
    from pydantic import BaseModel

Facts = dict[str, Any]


class Manifest:
    """The manifest of one folder. As a context manager it holds the folder's lock.

    Args:
        folder: The output folder; made on entering.

    Raises:
        FolderInUse: Another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "manifest.json"
        self.steps: dict[str, dict[str, Any]] = _read(self.path)
        self._again: str | None = None

    def __enter__(self) -> Manifest:
        import filelock

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RedoneError(
                f"--output {self.folder} cannot be a folder: {error.strerror}."
            ) from None
        self._lock = filelock.FileLock(self.folder / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise FolderInUse(
                f"{self.folder} is in use by another process. Wait for it, or name another "
                "--output."
            ) from None
        self.steps = _read(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def finished(self, step: str) -> bool:
        """Whether a step is recorded as done, and not to be done again."""
        return step != self._again and self.steps.get(step, {}).get("state") == "finished"

    def do(
        self,
        step: str,
        inputs: Mapping[str, str],
        outputs: Iterable[Path],
        work: Callable[[], Facts],
        workspace: Sequence[Path] = (),
    ) -> Facts:
        """Does a step, or finds that it was done.

        Args:
            step: Its name.
            inputs: All that its result depends on: hashes of files, settings as text, by name.
            outputs: Files and folders inside the folder that it makes.
            work: Makes them; returns what is worth knowing. May find its own half-done work.
            workspace: What else it makes and needs to go on; dropped with it, not vouched for.

        Returns:
            What `work` returned, now or then.

        Raises:
            StepChanged: The step was begun or finished with other inputs, or its outputs were
                changed since.
        """
        outputs = list(outputs)
        if step == self._again:
            # Only now: the steps before it are as this pipeline wants them.
            self._again = None
            print("Dropped:", ", ".join(self.forget(step)), file=sys.stderr)
        record = self.steps.get(step)
        if record is not None and record["state"] == "begun" and not self._left(record):
            record = None
        if record is not None:
            self._refuse_changed_inputs(step, record, inputs)
            if record["state"] == "finished":
                self._refuse_changed_outputs(step, record)
                return record["facts"]
        else:
            owned = [str(p.relative_to(self.folder)) for p in (*outputs, *workspace)]
            self.steps[step] = {"state": "begun", "inputs": dict(inputs), "owns": owned}
            self.save()
        start = time.monotonic()
        facts = work()
        self.steps[step] |= {
            "state": "finished",
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seconds": round(time.monotonic() - start, 3),
            "outputs": {
                str(file.relative_to(self.folder)): _described(file)
                for output in outputs
                for file in _files(output)
            },
            "facts": facts,
        }
        self.save()
        return facts

    def hashes(self, step: str) -> dict[str, str]:
        """The outputs of a finished step as inputs of another."""
        return {name: file["sha256"] for name, file in self.steps[step]["outputs"].items()}

    def again(self, step: str) -> None:
        """Has a step done again, with all after it, once `do` comes to it.

        Raises:
            RedoneError: There is no such step.
        """
        if step not in self.steps:
            raise RedoneError(
                f"There is no step {step!r} in {self.path} to do again. "
                f"It has: {', '.join(self.steps) or 'none yet'}."
            )
        self._again = step

    def forget(self, step: str) -> list[str]:
        """Drops a step and all that came after it, with everything that they made.

        Returns:
            Names of the steps that were dropped.
        """
        names = list(self.steps)
        dropped = names[names.index(step) :]
        for name in dropped:
            for owned in self.steps[name]["owns"]:
                path = self.folder / owned
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            del self.steps[name]
        self.save()
        return dropped

    def save(self) -> None:
        """Writes the file whole or not at all."""
        with replacing(self.path) as temporary:
            temporary.write_bytes(
                orjson.dumps(
                    {"schema_version": SCHEMA_VERSION, "steps": self.steps},
                    option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
                )
            )

    def _left(self, record: Mapping[str, Any]) -> bool:
        """Whether a step that was begun left anything to go on with."""
        return any((self.folder / owned).exists() for owned in record["owns"])

    def _refuse_changed_inputs(
        self, step: str, record: Mapping[str, Any], inputs: Mapping[str, str]
    ) -> None:
        then = record["inputs"]
        changed = [n for n in sorted({*then, *inputs}) if then.get(n) != inputs.get(n)]
        if changed:
            told = "".join(
                f"\n  {n}: then {shown(then.get(n))}, now {shown(inputs.get(n))}"
                for n in changed[:8]
            )
            raise StepChanged(
                f"Step {step} in {self.folder} was {record['state']} with other inputs:{told}\n"
                f"{self._way_out(step)}"
            )

    def _refuse_changed_outputs(self, step: str, record: dict[str, Any]) -> None:
        for name, then in record["outputs"].items():
            path = self.folder / name
            if not path.is_file():
                raise StepChanged(
                    f"{path}, made by step {step}, is not there any more.\n{self._way_out(step)}"
                )
            status = path.stat()
            if (status.st_size, status.st_mtime_ns) == (then["bytes"], then["modified"]):
                continue
            if (now := digest_of_file(path)) != then["sha256"]:
                raise StepChanged(
                    f"{path}, made by step {step}, was changed since: sha256 then "
                    f"{then['sha256'][:16]}, now {now[:16]}.\n{self._way_out(step)}"
                )

    def _way_out(self, step: str) -> str:
        return (
            f"Restore what was changed, name another --output, or give --redo {step}: that step "
            "and all after it are dropped and made anew."
        )


def digest_of_file(path: Path) -> str:
    """The sha256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def told(name: str, settings: BaseModel) -> dict[str, str]:
    """Settings as inputs of a step: a line for each field, so that a change can be named."""
    return {
        f"{name}.{field}": orjson.dumps(value).decode()
        for field, value in flatten(settings.model_dump(mode="json")).items()
        if value is not None
    }


def _files(output: Path) -> Iterator[Path]:
    """The files of an output; locks and other hidden files are none."""
    if output.is_file():
        yield output
    elif output.is_dir():
        for path in sorted(output.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path
    else:
        raise FileNotFoundError(f"{output} was to be made, and is not there.")


def _described(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {
        "sha256": digest_of_file(path),
        "bytes": status.st_size,
        "modified": status.st_mtime_ns,
    }


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    try:
        found = orjson.loads(path.read_bytes())
        version = found["schema_version"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise StepChanged(
            f"{path} is no manifest of redone-train. Name another --output."
        ) from None
    if version != SCHEMA_VERSION:
        raise StepChanged(
            f"{path} has schema version {version}; this redone reads {SCHEMA_VERSION}. Use the "
            "redone that wrote it, or name another --output."
        )
    return found["steps"]
