"""The files of a run folder: one typed definition of each, which writes it and reads it.

run.json          `RunRecord`       what was requested, by which command, in which environment
samples.jsonl     `SampleRecord`    a line per sample: its content, its gold answer, its requests
responses.jsonl   `ResponseRecord`  a line per completion
scores.parquet    `score_schema`    a row per sample, scoring and draw
results.json      `Results`         scores, intervals, tables and signatures

`RunRecord` and `Results` are dictionaries with declared keys, so a reader gets what the file holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NotRequired, Self, TypedDict

import orjson

from ..tasks.schema import Completion, Message, Request, Sample, Settings
from ..tasks.text import well_formed

SCHEMA_VERSION = 1
"""Of every file of the folder. A reader refuses newer ones."""

ROLES = ("corrected", "official")
"""The scorings of every run; `corrected` is the one that decisions rest on."""


# run.json


class TaskRequest(TypedDict):
    """A task as it was requested: its version, hashes of prompt and data, generation settings.

    `protocol`: the authors' way of asking it, where it was asked so. `of`: how many samples there
    are, where only those with a prediction are scored.
    """

    version: int | str
    prompt: str
    data: str | None
    settings: dict[str, Any]
    protocol: NotRequired[str]
    of: NotRequired[int]


class RunRequest(TypedDict):
    """Everything that two runs must share to be the same request."""

    model: dict[str, Any]
    partition: str
    limit: int | None
    seed: int
    draws: int
    system: str | None
    tasks: dict[str, TaskRequest]


class RunInfo(TypedDict):
    """What is recorded beside the request: names as the user gave them, package versions."""

    name: str
    suite: str | None
    command: list[str]
    versions: dict[str, str]


class RunRecord(RunInfo):
    """run.json. `answers` is the number of responses of a complete run."""

    schema_version: int
    created: str
    request: RunRequest
    answers: int
    environment: dict[str, Any]


# samples.jsonl and responses.jsonl


class JsonLine:
    """A dataclass that is a line of JSON: fields in order, without those that are None."""

    __slots__ = ()

    def json(self) -> dict[str, Any]:
        """The line, for orjson."""
        found = ((f.name, getattr(self, f.name)) for f in fields(self))  # type: ignore[arg-type]
        return {name: value for name, value in found if value is not None}

    @classmethod
    def parse(cls, line: Mapping[str, Any]) -> Self:
        """The record of a line; keys of later versions are ignored."""
        known = (f.name for f in fields(cls))  # type: ignore[arg-type]
        return cls(**{name: line[name] for name in known if name in line})


@dataclass(frozen=True, slots=True)
class RequestRecord(JsonLine):
    """One request of a sample.

    Attributes:
        hash: Of all that changes the answer.
        prompt: Messages, or raw text.
        kind: None for `generate`.
        continuation: Of a `loglikelihood` request.
        settings: None where they are the task's settings of the run.
    """

    hash: str
    prompt: Sequence[Message] | str
    kind: Literal["loglikelihood", "rolling"] | None = None
    continuation: str | None = None
    settings: Mapping[str, Any] | None = None

    def request(self, sample: str, settings: Settings, draw: int, seed: int) -> Request:
        """The request that is sent to the model, from the task's settings and the run's seed."""
        if self.settings is not None:
            settings = Settings(**{**self.settings, "stop": tuple(self.settings["stop"])})
        kind = self.kind or "generate"
        sampled = settings.temperature > 0 and kind == "generate"
        return Request(
            sample=sample,
            prompt=self.prompt if isinstance(self.prompt, str) else tuple(self.prompt),
            settings=settings,
            kind=kind,
            continuation=self.continuation,
            draw=draw,
            hash=self.hash,
            seed=seed_of(seed, sample, self.hash, draw) if sampled else None,
        )


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """A line of samples.jsonl: the fields of the sample, then `requests` and `shortened`.

    Attributes:
        shortened: `field` and `characters` that were cut for the model's context; None: nothing.
            The field `prompt` is the whole prompt of a task of lm-eval's, cut at its beginning.
    """

    sample: Sample
    requests: tuple[RequestRecord, ...]
    shortened: Mapping[str, Any] | None = None

    @property
    def distinct(self) -> list[RequestRecord]:
        """Its requests; identical ones are sent once."""
        return list({request.hash: request for request in self.requests}.values())

    def json(self) -> dict[str, Any]:
        """The line, for orjson."""
        line: dict[str, Any] = {name: getattr(self.sample, name) for name in _SAMPLE_FIELDS}
        line["requests"] = [request.json() for request in self.requests]
        if self.shortened:
            line["shortened"] = self.shortened
        return line

    @classmethod
    def parse(cls, line: Mapping[str, Any]) -> SampleRecord:
        """The record of a line."""
        return cls(
            Sample(**{name: line[name] for name in _SAMPLE_FIELDS}),
            tuple(map(RequestRecord.parse, line["requests"])),
            line.get("shortened"),
        )


_SAMPLE_FIELDS = tuple(f.name for f in fields(Sample))


@dataclass(frozen=True, slots=True)
class ResponseRecord(JsonLine):
    """A line of responses.jsonl: a completion and the request that it answers.

    Attributes:
        request: Hash of the request.
        wall: Seconds since the response before. Over a run they add up to the time of generation,
            however many requests were in flight at once.
    """

    sample: str
    request: str
    draw: int
    text: str
    finish: Literal["stop", "length"]
    prompt_tokens: int = 0
    tokens: int = 0
    seconds: float = 0.0
    wall: float = 0.0
    thinking: str | None = None
    logprob: float | None = None
    greedy: bool | None = None

    @classmethod
    def of(cls, request: Request, completion: Completion, wall: float) -> ResponseRecord:
        """The record of a completion."""
        return cls(
            sample=request.sample,
            request=request.hash,
            draw=request.draw,
            wall=round(wall, 5),
            **{
                **{name: getattr(completion, name) for name in _COMPLETION_FIELDS},
                "text": well_formed(completion.text),
                "thinking": completion.thinking and well_formed(completion.thinking),
                "seconds": round(completion.seconds, 4),
            },
        )

    @property
    def key(self) -> tuple[str, str, int]:
        """Sample, request and draw: a run has one response for each."""
        return self.sample, self.request, self.draw

    @property
    def completion(self) -> Completion:
        """The completion, as the model returned it."""
        return Completion(**{name: getattr(self, name) for name in _COMPLETION_FIELDS})


_COMPLETION_FIELDS = tuple(f.name for f in fields(Completion))


def seed_of(run_seed: int, sample: str, request: str, draw: int) -> int:
    """The seed of one sampled answer: independent of batch, order, resume and workers."""
    digest = hashlib.sha256(f"{run_seed}|{sample}|{request}|{draw}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


# scores.parquet


def score_schema() -> Any:
    """The Arrow schema of scores.parquet: a row per sample, scoring and draw."""
    import pyarrow as pa

    text, number, whole = pa.string(), pa.float64(), pa.int64()
    category = pa.dictionary(pa.int32(), pa.string())  # few values, many rows
    columns = {
        **{"task": category, "sample": text, "cluster": text},
        **dict.fromkeys(("partition", "split", "language"), category),
        "tags": pa.map_(text, text),
        **{"characters": whole, "index": whole, "draw": pa.int32()},
        **{"scoring": category, "value": number, "stats": pa.list_(number)},
        **{"parsed": text, "failure": category, "scored": pa.bool_(), "finish": category},
        **{"tokens": whole, "prompt_tokens": whole},
    }
    return pa.schema(list(columns.items()), metadata={"schema_version": str(SCHEMA_VERSION)})


# results.json


class Interval(TypedDict):
    """A score in percent and its 95 % interval; None where undefined."""

    score: float | None
    low: float | None
    high: float | None
    item_resamples: NotRequired[int]


class ScoringResult(Interval):
    """One task under one scoring.

    `lacks` are the services that were missing; `sums` the summed sufficient statistics; `errors`
    the first of the scorer's own errors: `failures` counts them as `scorer`, and samples without
    any other draw are among those `not_scored`.
    """

    scoring: str
    primary: str
    metrics: dict[str, float | None]
    mean_value: float | None
    failures: dict[str, int]
    not_scored: int
    errors: NotRequired[list[str]]
    lacks: list[str]
    sums: list[float] | None
    signature: str


class TaskResult(TypedDict):
    """One task; `scorings` by role. `of` as in `TaskRequest`."""

    title: str
    category: str
    capability: str
    chance: dict[str, float]
    samples: int
    of: NotRequired[int]
    missing: int
    answers: int
    prompt_tokens: int
    tokens: int
    truncated: int
    shortened: list[str]
    scorings: dict[str, ScoringResult]


class TableResult(Interval):
    """A row of the table: a task, category, benchmark or suite, and the tasks it is a mean of."""

    level: str
    name: str
    title: str
    of: list[str]
    signature: str


class Results(TypedDict):
    """results.json. `complete` is false while a sample has no answer; `tables` are by role.

    `notes` are the backend's, of run.json: what it did so that the chat template loses no text.

    `model` is always null in version 1: run.json describes the model.
    """

    schema_version: int
    complete: bool
    model: str | None
    resamples: int
    tasks: dict[str, TaskResult]
    tables: dict[str, list[TableResult]]
    seconds: dict[str, float]
    cost: NotRequired[float]
    notes: NotRequired[list[str]]


# The signature of a score


@dataclass(frozen=True, slots=True)
class Counted:
    """A task's part in a score: its version, the scoring that was used, the samples scored.

    `services` are what the scoring used: field of `Services` -> identity, `none` for a missing one.
    """

    task: str
    version: int | str
    scoring: str
    n: int
    services: Mapping[str, str]


def signature(
    name: str, request: Mapping[str, Any], counted: Sequence[Counted], redone: str
) -> str:
    """What a score was made of, in one line (after sacrebleu's signatures).

    Args:
        name: Of a task, category, benchmark or suite.
        request: Of run.json.
        counted: The tasks that the score is made of.
        redone: Version that scored.
    """
    tasks = {c.task: request.get("tasks", {}).get(c.task, {}) for c in counted}

    def of_all(*names: str) -> str:
        found = [[task.get(name) for name in names] for task in tasks.values()]
        single = found[0][0] if len(found) == len(names) == 1 else None
        return single[:8] if isinstance(single, str) else digest(found)

    form = request.get("model", {}).get("chat_template_messages")
    protocols = {task.get("protocol") or "" for task in tasks.values()}
    services = {need: identity for c in counted for need, identity in c.services.items()}
    parts: dict[str, Any] = {
        "v": "+".join(sorted({str(c.version) for c in counted})),
        "scoring": "+".join(sorted({c.scoring for c in counted})),
        "prompt": of_all("prompt"),
        "data": of_all("data"),
        "gen": digest([of_all("settings"), request.get("draws"), request.get("system")]),
        **({"protocol": "+".join(sorted(p or "own" for p in protocols))} if any(protocols) else {}),
        "part": request.get("partition"),
        "n": sum(c.n for c in counted),
        "seed": request.get("seed"),
        **({"messages": form} if form else {}),
        **dict(sorted(services.items())),
        "redone": redone,
    }
    return "|".join([name, *(f"{k}:{v}" for k, v in parts.items())])


FIELDS = frozenset(
    {"v", "scoring", "prompt", "data", "gen", "protocol", "part", "n", "seed", "messages", "redone"}
)
"""Of every signature; the others are services."""


def parts_of(signed: str) -> dict[str, str]:
    """The parts of a signature by name, without the score's name."""
    parts = (part.partition(":") for part in signed.split("|")[1:])
    return {name: value for name, _, value in parts}


def services_of(signed: str) -> dict[str, str]:
    """The services that a signature names: field of `Services` -> identity."""
    return {name: value for name, value in parts_of(signed).items() if name not in FIELDS}


def digest(value: Any) -> str:
    """8 hex digits of a JSON value."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]
