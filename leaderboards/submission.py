"""A submitted result: the figures of one finished run in a small JSON file, without any text.

What a board needs to place a run, and what a reader needs to check it: what was asked (hashes,
settings), what came out (figures, intervals, statistics), and the signature of every figure. Where
the run folder lies, who ran it and what was asked word for word are not in it.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..harness.errors import RunUnreadable
from ..harness.scored import ScoredRun
from ..harness.store import replacing
from ..tasks.errors import RedoneError

SCHEMA_VERSION = 1
MOST_BYTES = 2_000_000
ENVIRONMENT = ("backend", "dtype", "arithmetic", "torch", "transformers", "vllm", "server")
"""What is told of how the answers were made, where the run knows it."""


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


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Asked(_Strict):
    """The generation settings of a task."""

    max_tokens: Count
    stop: list[Annotated[str, Field(max_length=80)]]
    temperature: Annotated[float, Field(ge=0, le=100)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    top_k: Count
    max_thinking_tokens: Count


class Scored(_Strict):
    """A task under one scoring.

    Attributes:
        scoring: Its name; a reduced form says so.
        primary: The metric that is the score.
        score, low, high: In percent, with the 95 % interval; None where undefined.
        metrics: All, by name.
        not_scored: Samples that a missing service left out.
        sums: The summed statistics, from which the metrics follow.
        signature: As the run has it.
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
    """A task: version, hashes of prompt and samples, settings, samples, both scorings."""

    version: int | Line
    prompt: Hash16
    data: Hash16
    settings: Asked
    samples: Annotated[int, Field(ge=1)]
    scorings: Mapping[Literal["corrected", "official"], Scored]


class Mean(_Strict):
    """A row of a table of scores."""

    level: Literal["task", "category", "benchmark", "suite"]
    name: Line
    score: Percent | None
    low: Percent | None
    high: Percent | None
    signature: Signed


class Model(_Strict):
    """Which model answered.

    Attributes:
        name: For people.
        fingerprint: Over its files; None where a server hides them.
        identity: Hash of everything that the run knows to change an answer.
        chat_template: Hash, or where it is applied; None if there is none.
        thinking: The mode.
    """

    name: Line
    fingerprint: Hash16 | None
    identity: Hash16
    chat_template: Line | None
    thinking: Line | None


class Request(_Strict):
    """What was asked of the whole run; `system` replaced every system text."""

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
    tables: Mapping[Literal["corrected", "official"], list[Mean]]

    def asked(self) -> dict[str, Any]:
        """The request in the form that signatures are made of."""
        tasks = {
            name: {
                "version": task.version,
                "prompt": task.prompt,
                "data": task.data,
                "settings": task.settings.model_dump(),
            }
            for name, task in self.tasks.items()
        }
        return self.request.model_dump() | {"tasks": tasks}

    @property
    def hash(self) -> str:
        """8 hex digits over model, request and environment, whatever the model is called."""
        found = orjson.dumps(
            [self.model.identity, self.asked(), sorted(self.environment.items())],
            option=orjson.OPT_SORT_KEYS,
        )
        return hashlib.sha256(found).hexdigest()[:8]

    @property
    def file_name(self) -> str:
        """The model's name and the hash: the same run has the same name."""
        safe = "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "_" for c in self.label)
        return f"{safe[:60].lstrip('.') or '_'}-{self.hash}.json"

    @property
    def label(self) -> str:
        """The model's name for people."""
        return self.model.name


def submission_of(run: ScoredRun, name: str | None = None, *, sheets: bool = False) -> Submission:
    """The submission that a finished run makes.

    Args:
        run: The run.
        name: Of the model, for people; None: as the run has it.
        sheets: An answer sheet will do too, to be looked at and not to be submitted.

    Raises:
        RunUnreadable: The run's files lack something, the name cannot be shown in one line, or
            no model answered.
    """
    if not sheets and run.model.startswith("scripted:"):
        raise RunUnreadable(f"{run.path} is an answer sheet ({run.model}), not a model's answers.")
    request, results = run.request, run.results
    identity: Mapping[str, Any] = request["model"]
    prints = [identity.get(key) for key in ("model", "fingerprint")]
    environment = run.run.get("environment", {})
    served = environment.get("backend") == "endpoint"
    content = {
        "schema_version": SCHEMA_VERSION,
        "created": run.run.get("created"),
        "model": {
            "name": run.model if name is None else name,
            "fingerprint": None if served else next((p for p in prints if p), None),
            "identity": hashlib.sha256(
                orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
            ).hexdigest()[:16],
            "chat_template": identity.get("chat_template"),
            "thinking": identity.get("thinking"),
        },
        "environment": {k: str(environment[k]) for k in ENVIRONMENT if environment.get(k)},
        "versions": run.run.get("versions", {}),
        "request": {key: request.get(key) for key in Request.model_fields},
        "tasks": {
            task: {
                **{key: request["tasks"][task][key] for key in ("version", "prompt", "data")},
                "settings": request["tasks"][task]["settings"],
                "samples": found["samples"],
                "scorings": {
                    role: {key: record[key] for key in Scored.model_fields}
                    for role, record in found["scorings"].items()
                },
            }
            for task, found in results["tasks"].items()
        },
        "tables": {
            role: [{key: row[key] for key in Mean.model_fields} for row in rows]
            for role, rows in results["tables"].items()
        },
    }
    try:
        return Submission.model_validate(content)
    except ValidationError as error:
        hint = " Give the model another name with --name." if "name" in told(error) else ""
        raise RunUnreadable(f"{run.path} cannot be submitted: {told(error)}.{hint}") from None


def load(path: Path) -> Submission:
    """Reads a submitted result.

    Raises:
        RedoneError: It cannot be read, or has another form; names file and field.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise RedoneError(f"{path} is larger than {MOST_BYTES:,} bytes: no submitted result.")
        return Submission.model_validate(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise RedoneError(f"{path} cannot be read: {error.strerror}.") from None
    except orjson.JSONDecodeError as error:
        raise RedoneError(f"{path} is not valid JSON ({error.msg}).") from None
    except ValidationError as error:
        raise RedoneError(f"{path} is no submitted result: {told(error)}.") from None


def save(submission: Submission, folder: Path) -> Path:
    """Writes a submission under its own name; returns the path."""
    path = folder / submission.file_name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(
                orjson.dumps(
                    submission.model_dump(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
                )
            )
    except OSError as error:
        raise RedoneError(
            f"{path} cannot be written: {error.strerror}. Name another --output."
        ) from None
    return path


def told(error: ValidationError) -> str:
    """The first problem: field, what is wrong, and the value in short."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the file"
    given = "" if isinstance(first["input"], dict | list) else f" (given: {first['input']!r:.60})"
    return f"{where}: {first['msg']}{given}"
