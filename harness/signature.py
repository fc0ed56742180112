"""What a figure was made of, short enough to stand beside it (the idea is sacrebleu's)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Counted:
    """A task's part in a figure.

    Attributes:
        task: Name.
        version: Of the task.
        scoring: Name of the scoring that was used.
        n: Samples that were scored.
        services: What the scoring asked: field of `Services` -> identity, `none` for a missing one.
    """

    task: str
    version: int | str
    scoring: str
    n: int
    services: Mapping[str, str]


def signature(
    name: str, request: Mapping[str, Any], counted: Sequence[Counted], redone: str
) -> str:
    """The signature of a figure.

    Args:
        name: Of a task, category, benchmark or suite.
        request: What was asked (run.json).
        counted: The tasks that the figure is made of.
        redone: Version that judged.
    """
    tasks = {c.task: request.get("tasks", {}).get(c.task, {}) for c in counted}

    def of_all(*fields: str) -> str:
        found = [[asked.get(field) for field in fields] for asked in tasks.values()]
        single = found[0][0] if len(found) == len(fields) == 1 else None
        return single[:8] if isinstance(single, str) else digest(found)

    services = {need: identity for c in counted for need, identity in c.services.items()}
    parts: dict[str, Any] = {
        "v": "+".join(sorted({str(c.version) for c in counted})),
        "scoring": "+".join(sorted({c.scoring for c in counted})),
        "prompt": of_all("prompt"),
        "data": of_all("data"),
        "gen": digest([of_all("settings"), request.get("draws"), request.get("system")]),
        "part": request.get("partition"),
        "n": sum(c.n for c in counted),
        "seed": request.get("seed"),
        **dict(sorted(services.items())),
        "redone": redone,
    }
    return "|".join([name, *(f"{k}:{v}" for k, v in parts.items())])


FIELDS = frozenset({"v", "scoring", "prompt", "data", "gen", "part", "n", "seed", "redone"})
"""Of every signature; the others are services."""


def parts_of(signed: str) -> dict[str, str]:
    """The parts of a signature by name, the figure's name left out."""
    parts = (part.partition(":") for part in signed.split("|")[1:])
    return {name: value for name, _, value in parts}


def services_of(signed: str) -> dict[str, str]:
    """The services that a signature names: field of `Services` -> identity."""
    return {name: value for name, value in parts_of(signed).items() if name not in FIELDS}


def digest(value: Any) -> str:
    """8 hex digits of a JSON value."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]
