"""Several sampled answers of a model to corpus rows: what soft labels and difficulty rest on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from ...harness.models.base import Model
from ...harness.runner import completion_of, response_record, seed_of
from ...harness.store import Journal
from ...tasks.errors import RedoneError
from ...tasks.registry import by_name
from ...tasks.schema import Completion, Request, Settings
from ..limits import answer_limit
from .row import CorpusRow

Told = Callable[[int], None]
"""Is told of each answer, with its number of tokens."""


@dataclass(frozen=True, slots=True)
class DrawSettings:
    """How answers are sampled.

    Attributes:
        draws: Answers to each row.
        temperature: Above 0.
        top_p: Nucleus limit, 1.0 is off.
        max_tokens: Of an answer, where the evaluation of the row's task does not cut it earlier;
            None: as that has it.
        max_thinking_tokens: Extra budget of a model that thinks.
        seed: Of the answers.
    """

    draws: int = 8
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int | None = None
    max_thinking_tokens: int = 0
    seed: int = 0

    def of(self, row: CorpusRow) -> Settings:
        """The settings of a row's requests."""
        task = by_name(row.task)
        return replace(
            task.settings,
            max_tokens=answer_limit(row, self.max_tokens),
            temperature=self.temperature,
            top_p=self.top_p,
            max_thinking_tokens=self.max_thinking_tokens,
        )


@dataclass(frozen=True, slots=True)
class Draws:
    """What was answered.

    Attributes:
        answers: By row id, in the order of the draws.
        too_long: Ids of the rows whose question does not fit the model's context.
    """

    answers: dict[str, list[Completion]] = field(default_factory=dict)
    too_long: tuple[str, ...] = ()


def draw(
    rows: Sequence[CorpusRow],
    model: Model,
    settings: DrawSettings,
    *,
    journal: Path | None = None,
    told: Told = lambda tokens: None,
) -> Draws:
    """Asks a model several times for each row.

    An answer depends on model, row, settings and seed only, so a call that was stopped goes on with
    the same journal and ends with the same answers.

    Args:
        rows: To be asked, each id once.
        model: Any backend.
        settings: How.
        journal: Where every answer is kept as it comes; None: nowhere.
        told: Of each answer.

    Raises:
        RedoneError: A setting is not possible.
        DiskFull: The journal cannot grow; what it holds is intact.
    """
    if settings.draws < 1 or not settings.temperature > 0:
        raise RedoneError(
            f"{settings.draws} draws at temperature {settings.temperature} are not possible: 1 or "
            "more, and a temperature above 0, are expected."
        )
    identity = orjson.dumps(model.identity(), option=orjson.OPT_SORT_KEYS)
    requests: list[Request] = []
    too_long: list[str] = []
    for row in rows:
        request = Request(row.id, row.asked(False), settings.of(row))
        if model.overflow(request) > 0:
            too_long.append(row.id)
            continue
        digest = _hash(identity, request)
        requests += [
            replace(request, hash=digest, draw=n, seed=seed_of(settings.seed, row.id, digest, n))
            for n in range(settings.draws)
        ]
    found = dict(answered(requests, model, journal, told))
    answers: dict[str, list[Completion]] = {}
    for request in requests:
        answers.setdefault(request.sample, []).append(found[request.key])
    return Draws(answers, tuple(too_long))


def answered(
    requests: Sequence[Request], model: Model, journal: Path | None, told: Told
) -> Iterator[tuple[tuple[str, str, int], Completion]]:
    """The completions of requests by key: those of a journal, and then the model's."""
    wanted = {request.key for request in requests}
    kept = Journal(journal) if journal is not None else None
    done: set[tuple[str, str, int]] = set()
    if kept is not None:
        kept.repair()
        for record in kept:
            key = (record["sample"], record["request"], record["draw"])
            if key in wanted and key not in done:
                done.add(key)
                yield key, completion_of(record)
    try:
        for request, completion in model.run(r for r in requests if r.key not in done):
            if kept is not None:
                kept.append(response_record(request, completion, wall=completion.seconds))
            told(completion.tokens)
            yield request.key, completion
    finally:
        if kept is not None:
            kept.close()


def _hash(identity: bytes, request: Request) -> str:
    packed: Any = [request.prompt, asdict(request.settings)]
    digest = hashlib.sha256(identity)
    digest.update(orjson.dumps(packed, option=orjson.OPT_SORT_KEYS))
    return digest.hexdigest()[:16]
