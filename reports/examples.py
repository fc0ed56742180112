"""Examples for the page: which flips are kept, and their texts, each stored once.

A page with every text of a large run would be too heavy to open. The choice is stratified by
(stage, task, kind): all get equally many places as long as they have flips. Within a stratum, a
hash of seed and sample decides, so that stages tend to show the same samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..harness.flips import LEAST, Answer, Flip, changed, flips
from .stages import Stage

LIMIT = 2000
"""Flips per stage that a page shows."""
HEAD, TAIL = 16_000, 2_000
"""Characters kept of a longer text."""

Key = tuple[str, str]
"""Task and sample."""


@dataclass(frozen=True)
class Examples:
    """The flips that a report shows.

    Attributes:
        texts: Every different text once; a cut one is [head, number of omitted characters, tail].
        flips: One object each; texts are indices into `texts`.
        totals: Number of all flips, by stage label.
        cut: Number of texts that are cut.
    """

    texts: list[Any]
    flips: list[dict[str, Any]]
    totals: Mapping[str, int]
    cut: int

    def shown(self, label: str) -> int:
        """Number of flips of a stage that are kept."""
        return sum(flip["stage"] == label for flip in self.flips)

    def record(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"texts": self.texts, "flips": self.flips}


def examples(stages: Sequence[Stage], limit: int | None = LIMIT, seed: int = 0) -> Examples:
    """Reads the chosen flips of all stages.

    Args:
        stages: Those with a comparison.
        limit: Flips per stage; None: all, and no text is cut.
        seed: Of the choice.
    """
    pool = _Pool(cut=limit is not None)
    found: list[dict[str, Any]] = []
    totals: dict[str, int] = {}
    for stage in stages:
        if stage.gate is None:
            continue
        comparison = stage.gate.comparison
        all_of = {
            (task, kind): keys
            for task, pairs in comparison.pairs.items()
            for kind, keys in _by_kind(task, pairs).items()
        }
        totals[stage.label] = sum(map(len, all_of.values()))
        kept = chosen(all_of, limit, seed)
        for flip in flips(comparison):
            if (flip.task, flip.sample) in kept:
                found.append(_record(flip, stage.label, pool))
    return Examples(pool.texts, found, totals, pool.cuts)


def chosen(strata: Mapping[Any, Sequence[Key]], limit: int | None, seed: int) -> set[Key]:
    """A seeded choice of at most `limit` keys, spread evenly over the strata.

    Args:
        strata: Keys by stratum.
        limit: In all; None for every key.
        seed: Of the choice.
    """
    if limit is None or sum(map(len, strata.values())) <= limit:
        return {key for keys in strata.values() for key in keys}
    kept: set[Key] = set()
    # Small strata first: the places that they do not need go to the others.
    by_size = sorted(strata.values(), key=len)
    for index, keys in enumerate(by_size):
        share = (limit - len(kept)) // (len(by_size) - index)
        kept.update(sorted(keys, key=lambda key: _rank(key, seed))[:share])
    return kept


def _rank(key: Key, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}|{key[0]}|{key[1]}".encode()).digest()


def _by_kind(task: str, pairs: Any) -> dict[str, list[Key]]:
    found: dict[str, list[Key]] = {"fixed": [], "broken": []}
    for row in changed(pairs, LEAST):
        rose = pairs.candidate.values[row] > pairs.base.values[row]
        sample = bytes(pairs.base.samples[row]).decode()
        found["fixed" if rose else "broken"].append((task, sample))
    return found


@dataclass
class _Pool:
    """Texts by content; a text gets its index when it is first seen."""

    cut: bool
    texts: list[Any] = field(default_factory=list)
    cuts: int = 0
    _indices: dict[str, int] = field(default_factory=dict)

    def index(self, text: str) -> int:
        known = self._indices.get(text)
        if known is not None:
            return known
        self._indices[text] = len(self.texts)
        too_long = self.cut and len(text) > HEAD + TAIL
        self.texts.append(shortened(text) if too_long else text)
        self.cuts += too_long
        return len(self.texts) - 1


def shortened(text: str) -> list[Any]:
    """Head, number of omitted characters, tail."""
    return [text[:HEAD], len(text) - HEAD - TAIL, text[-TAIL:]]


def _record(flip: Flip, stage: str, pool: _Pool) -> dict[str, Any]:
    return {
        "stage": stage,
        "task": flip.task,
        "sample": flip.sample,
        "kind": flip.kind,
        "prompt": _prompt(flip.prompt, pool),
        "gold": None if flip.gold is None else pool.index(as_text(flip.gold)),
        "base": _answer(flip.base, pool),
        "candidate": _answer(flip.candidate, pool),
    }


def _prompt(prompt: Any, pool: _Pool) -> list[list[Any]] | None:
    """(role, text) pairs; role "" for a raw prompt."""
    if prompt is None:
        return None
    if isinstance(prompt, str):
        return [["", pool.index(prompt)]]
    return [[str(m.get("role", "")), pool.index(str(m.get("content", "")))] for m in prompt]


def _answer(answer: Answer, pool: _Pool) -> dict[str, Any]:
    return {
        "value": answer.value,
        "failure": answer.failure,
        "text": None if answer.text is None else pool.index(answer.text),
        "parsed": None if answer.parsed is None else pool.index(as_text(answer.parsed)),
    }


def as_text(value: Any) -> str:
    """A gold or parsed answer to show: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
