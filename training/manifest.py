"""DIR/manifest.json: every step of an output folder with the hashes of its inputs and outputs.

A step that is recorded as finished is not done again. It is refused where the record no longer
holds: an input has another hash than when the step ran, or an output was changed or removed.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ValidationError

from ..harness.run_folder import flatten, shown
from ..tasks.errors import RedoneError
from .rows import write_json

SCHEMA_VERSION = 1
Facts = dict[str, Any]
RENAMED = {"rows.rarity": "rows.label_balance", "rows.contrast": "rows.background_weight"}
"""Inputs of steps that were recorded under an older name of a recipe's field."""


class StepChanged(RedoneError):
    """The inputs of a finished or begun step have changed; resuming would mix two pipelines."""

    exit_code = 3


class FolderInUse(RedoneError):
    """Another process works on the output folder."""

    exit_code = 75


class OutputFile(BaseModel):
    """A file that a step made.

    Attributes:
        sha256: Of its content.
        bytes: Its size.
        modified, changed: Times of content and inode, in nanoseconds; a file with the same size and
            times is not hashed again. Tools that copy a file keep the first one only.
    """

    sha256: str
    bytes: int
    modified: int
    changed: int = 0

    @classmethod
    def of(cls, path: Path) -> OutputFile:
        """A file as it is now."""
        status = path.stat()
        return cls(
            sha256=digest_of_file(path),
            bytes=status.st_size,
            modified=status.st_mtime_ns,
            changed=status.st_ctime_ns,
        )


class StepRecord(BaseModel):
    """A step in the manifest; the fields after `owns` are set when it is finished.

    Attributes:
        state: `begun` or `finished`.
        inputs: All that its result depends on, by name.
        owns: Paths that it makes or needs to resume, relative to the folder.
        finished: When, in ISO 8601.
        seconds: Wall time.
        outputs: By path relative to the folder.
        facts: Figures for the user.
    """

    state: Literal["begun", "finished"]
    inputs: dict[str, str]
    owns: list[str]
    finished: str | None = None
    seconds: float = 0.0
    outputs: dict[str, OutputFile] = {}
    facts: Facts = {}


class ManifestFile(BaseModel):
    """manifest.json.

    Attributes:
        schema_version: Of this class; another one is refused.
        steps: By name, in the order in which they were begun.
    """

    schema_version: int
    steps: dict[str, StepRecord]

    def write(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        write_json(path, self.model_dump(exclude_unset=True), newline=True)

    @classmethod
    def read(cls, path: Path) -> ManifestFile:
        """Reads the file; one that is not there has no steps.

        Raises:
            StepChanged: It is no manifest, or one of another schema version.
        """
        if not path.is_file():
            return cls(schema_version=SCHEMA_VERSION, steps={})
        try:
            raw = orjson.loads(path.read_bytes())
            version = raw["schema_version"]
            if version != SCHEMA_VERSION:
                raise StepChanged(
                    f"{path} has schema version {version}; this redone reads {SCHEMA_VERSION}. Use "
                    "the redone that wrote it, or name another --output."
                )
            return cls.model_validate(raw)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValidationError):
            raise StepChanged(
                f"{path} is no manifest of redone train. Name another --output."
            ) from None


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
        self.steps: dict[str, StepRecord] = ManifestFile.read(self.path).steps
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
        self.steps = ManifestFile.read(self.path).steps
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def finished(self, step: str) -> bool:
        """Whether a step is recorded as done, and not to be done again."""
        record = self.steps.get(step)
        return step != self._again and record is not None and record.state == "finished"

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
            work: Makes them, resuming its own half-done work; returns facts.
            workspace: Other paths that it needs to resume; dropped with it, not checked.

        Returns:
            The facts that `work` returned, now or then.

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
        if record is not None and record.state == "begun":
            left = any((self.folder / owned).exists() for owned in record.owns)
            record = record if left else None  # nothing to resume from
        if record is not None:
            self._refuse_changed_inputs(step, record, inputs)
            if record.state == "finished":
                self._refuse_changed_outputs(step, record)
                return record.facts
        else:
            owned = [str(p.relative_to(self.folder)) for p in (*outputs, *workspace)]
            record = StepRecord(state="begun", inputs=dict(inputs), owns=owned)
            self.steps[step] = record
            self.save()
        start = time.monotonic()
        facts = work()
        self.steps[step] = StepRecord(
            state="finished",
            inputs=record.inputs,
            owns=record.owns,
            finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            seconds=round(time.monotonic() - start, 3),
            outputs={
                str(file.relative_to(self.folder)): OutputFile.of(file)
                for output in outputs
                for file in _files(output)
            },
            facts=facts,
        )
        self.save()
        return facts

    def hashes(self, step: str) -> dict[str, str]:
        """The outputs of a finished step as inputs of another."""
        return {name: file.sha256 for name, file in self.steps[step].outputs.items()}

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
            for owned in self.steps[name].owns:
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
        ManifestFile(schema_version=SCHEMA_VERSION, steps=self.steps).write(self.path)

    def _refuse_changed_inputs(
        self, step: str, record: StepRecord, inputs: Mapping[str, str]
    ) -> None:
        then = {RENAMED.get(name, name): value for name, value in record.inputs.items()}
        changed = [n for n in sorted({*then, *inputs}) if then.get(n) != inputs.get(n)]
        if changed:
            lines = "".join(
                f"\n  {n}: then {shown(then.get(n))}, now {shown(inputs.get(n))}"
                for n in changed[:8]
            )
            raise StepChanged(
                f"Step {step} in {self.folder} was {record.state} with other inputs:{lines}\n"
                f"{self._way_out(step)}"
            )

    def _refuse_changed_outputs(self, step: str, record: StepRecord) -> None:
        for name, then in record.outputs.items():
            path = self.folder / name
            if not path.is_file():
                raise StepChanged(
                    f"{path}, made by step {step}, no longer exists.\n{self._way_out(step)}"
                )
            status = path.stat()
            now_is = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if now_is == (then.bytes, then.modified, then.changed):
                continue
            if (now := digest_of_file(path)) != then.sha256:
                raise StepChanged(
                    f"{path}, made by step {step}, was changed since: sha256 then "
                    f"{then.sha256[:16]}, now {now[:16]}.\n{self._way_out(step)}"
                )

    def _way_out(self, step: str) -> str:
        return (
            f"Restore what was changed, name another --output, or give --redo {step}: that step "
            "and all after it are dropped and done again."
        )


def digest_of_file(path: Path) -> str:
    """The sha256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def settings_inputs(name: str, settings: BaseModel) -> dict[str, str]:
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
        raise FileNotFoundError(f"{output} should have been made, and does not exist.")
