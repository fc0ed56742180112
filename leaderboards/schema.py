"""The file of a submitted result: the scores of one finished run as JSON, without any text.

It has what a board needs to rank a run and what a reader needs to check it: the request (hashes,
settings), the results (scores, intervals, statistics), and the signature of every score. It does
not have the path of the run, who made it, or any prompt.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..harness.json_file import write_file
from ..tasks.errors import RedoneError

SCHEMA_VERSION = 1
MAX_BYTES = 2_000_000


def _printable(text: str) -> str:
    bad = [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    if bad or text != text.strip():
        raise ValueError("no control characters, direction marks or outer spaces are allowed")
    return text


Line = Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_printable)]
Hash16 = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Signed = Annotated[str, Field(min_length=1, max_length=400), AfterValidator(_printable)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=-1, le=100, allow_inf_nan=False)]
"""-1 is what one official rule prints for "undefined"."""
Count = Annotated[int, Field(ge=0, le=100_000_000)]
Role = Literal["corrected", "official"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TaskSettings(_Strict):
    """The generation settings of a task."""

    max_tokens: Count
    stop: list[Annotated[str, Field(max_length=80)]]
    temperature: Annotated[float, Field(ge=0, le=100)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    top_k: Count
    max_thinking_tokens: Count
    max_repetition: Count | None = None


class ScoringResult(_Strict):
    """A task under one scoring.

    Attributes:
        scoring: Its name; a reduced form says so.
        primary: The metric that is the score.
        score, low, high: In percent, with the 95 % interval; None where undefined.
        metrics: All, by name.
        not_scored: Number of samples that were not scored because a service was missing.
        sums: The summed statistics, from which the metrics follow.
        signature: As in the run.
    """

    scoring: Line
    primary: Line
    score: Percent | None
    low: Percent | None
    high: Percent | None
    metrics: Mapping[Line, Number | None]
    not_scored: Count
    sums: list[Number] | None
    signature: Signed


class TaskResult(_Strict):
    """A task: version, hashes of prompt and data, settings, samples, both scorings.

    `protocol`: the authors' way of asking it, where it was asked so. `of`: how many samples there
    are, where only those with a prediction were scored.
    """

    version: int | Line
    prompt: Hash16
    data: Hash16
    settings: TaskSettings
    samples: Annotated[int, Field(ge=1)]
    scorings: Mapping[Role, ScoringResult]
    protocol: Line | None = None
    of: Count | None = None


class ScoreRow(_Strict):
    """A row of a table of scores."""

    level: Literal["task", "category", "benchmark", "suite"]
    name: Line
    score: Percent | None
    low: Percent | None
    high: Percent | None
    signature: Signed


class Model(_Strict):
    """The evaluated model.

    Attributes:
        name: Display name.
        fingerprint: Of its files; None behind a server.
        identity: Hash of everything in the run that determines its completions.
        chat_template: Hash, or where it is applied; None if there is none.
        chat_template_messages: The form in which messages are given to a template that would lose
            text; None: as they are.
        thinking: The mode.
    """

    name: Line
    fingerprint: Hash16 | None
    identity: Hash16
    chat_template: Line | None
    chat_template_messages: Line | None = None
    thinking: Line | None


class Request(_Strict):
    """The request of the whole run; `system` replaced every system text."""

    partition: Literal["all", "diagnose", "gate", "report"]
    limit: Annotated[int, Field(ge=1)] | None
    seed: int
    draws: Annotated[int, Field(ge=1)]
    system: Annotated[str, Field(max_length=2000)] | None


class Submission(_Strict):
    """The whole file; `created` is the run's."""

    schema_version: Literal[1]
    created: Line
    model: Model
    environment: Mapping[Line, Line]
    versions: Mapping[Line, Line]
    request: Request
    tasks: Annotated[Mapping[Line, TaskResult], Field(min_length=1)]
    tables: Mapping[Role, list[ScoreRow]]

    def signed_request(self) -> dict[str, Any]:
        """The request in the form that signatures are computed from."""
        signed = {"version", "prompt", "data", "settings", "protocol"}
        tasks = {
            name: task.model_dump(include=signed, exclude_none=True)
            for name, task in self.tasks.items()
        }
        form = self.model.chat_template_messages
        model = {"model": {"chat_template_messages": form}} if form else {}
        return self.request.model_dump() | {"tasks": tasks} | model

    @property
    def hash(self) -> str:
        """8 hex digits over model, request and environment, independent of the model's name."""
        found = orjson.dumps(
            [self.model.identity, self.signed_request(), sorted(self.environment.items())],
            option=orjson.OPT_SORT_KEYS,
        )
        return hashlib.sha256(found).hexdigest()[:8]

    @property
    def file_name(self) -> str:
        """The model's name and the hash, so that the same run has the same file name."""
        name = self.model.name
        safe = "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "_" for c in name)
        return f"{safe[:60].lstrip('.') or '_'}-{self.hash}.json"


def load(path: Path) -> Submission:
    """Reads a submitted result.

    Raises:
        RedoneError: It cannot be read, or is invalid; names file and field.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RedoneError(f"{path} is larger than {MAX_BYTES:,} bytes: not a submitted result.")
        return Submission.model_validate(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise RedoneError(f"{path} cannot be read: {error.strerror}.") from None
    except orjson.JSONDecodeError as error:
        raise RedoneError(f"{path} is not valid JSON ({error.msg}).") from None
    except ValidationError as error:
        raise RedoneError(f"{path} is not a submitted result: {first_problem(error)}.") from None


def save(submission: Submission, folder: Path) -> Path:
    """Writes a submission under its file name; returns the path."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    path = folder / submission.file_name
    write_file(path, orjson.dumps(submission.model_dump(), option=options), parents=True)
    return path


def first_problem(error: ValidationError) -> str:
    """Field, what is wrong, and the value in short."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the file"
    given = "" if isinstance(first["input"], dict | list) else f" (given: {first['input']!r:.60})"
    return f"{where}: {first['msg']}{given}"
