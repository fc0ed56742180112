"""Samples that a candidate fixed or broke, with both answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from .compare import Comparison, Pairs
from .records import SampleRecord
from .run_folder import ResponseIndex, RunFolder, replacing
from .scored_run import ScoredRun

LEAST = 0.5
"""A value that moves by this much or more is a flip; right/wrong values move by 1."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One run's answer to a sample.

    Attributes:
        value: 0..1, the mean over draws.
        failure: Of the first draw, "" for none.
        text: Of the first draw; None where the run keeps no answers (a baseline).
        parsed: What the scorer read out of it, None for nothing or unknown.
    """

    value: float
    failure: str
    text: str | None = None
    parsed: Any = None


@dataclass(frozen=True, slots=True)
class Flip:
    """A sample on which two runs differ.

    Attributes:
        kind: `fixed` or `broken`.
        prompt: The messages or text of both requests; None where neither run keeps texts.
        gold: The target.
    """

    task: str
    sample: str
    kind: str
    base: Answer
    candidate: Answer
    prompt: Any = None
    gold: Any = None


def flips(comparison: Comparison, least: float = LEAST) -> Iterator[Flip]:
    """Every flip, task by task, the largest changes first.

    Args:
        comparison: Of two runs.
        least: Change of value, 0..1, from which on a sample counts.
    """
    sides = (_Texts(comparison.base), _Texts(comparison.candidate))
    parsed = [_parsed(run, comparison.role) for run in (comparison.base, comparison.candidate)]
    prompts = _prompts(comparison, least)
    try:
        for task, pairs in comparison.pairs.items():
            for row in changed(pairs, least):
                sample = bytes(pairs.base.samples[row]).decode()
                record = prompts.get(sample)
                before, after = (
                    Answer(
                        float(scores.values[row]),
                        str(scores.failures[row]),
                        texts.of(sample),
                        read.get(sample),
                    )
                    for scores, texts, read in zip(
                        (pairs.base, pairs.candidate), sides, parsed, strict=True
                    )
                )
                kind = "fixed" if after.value > before.value else "broken"
                prompt = record.requests[0].prompt if record else None
                gold = record.sample.target if record else None
                yield Flip(task, sample, kind, before, after, prompt, gold)
    finally:
        for side in sides:
            side.close()


def changed(pairs: Pairs, least: float = LEAST) -> np.ndarray:
    """Rows of the flips of one task, the largest change first."""
    moved = pairs.candidate.values - pairs.base.values
    rows = np.flatnonzero(np.abs(moved) >= least)
    return rows[np.argsort(-np.abs(moved[rows]), kind="stable")]


def write_flips(comparison: Comparison, path: str | Path, least: float = LEAST) -> int:
    """Writes flips as JSON lines; returns how many."""
    count = 0
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        for flip in flips(comparison, least):
            file.write(orjson.dumps(asdict(flip), option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


class _Texts:
    """The answers of a run folder, by sample."""

    def __init__(self, run: ScoredRun) -> None:
        responses = RunFolder(run.path).responses
        self._index = ResponseIndex(responses) if responses.path.exists() else None

    def of(self, sample: str) -> str | None:
        records = self._index.of(sample) if self._index else []
        first = [record.text for record in records if record.draw == 0]
        return "\n".join(first) if first else None

    def close(self) -> None:
        if self._index:
            self._index.close()


def _parsed(run: ScoredRun, role: str) -> Mapping[str, Any]:
    table = run.table(role, ("sample", "parsed", "draw"))
    rows = zip(*(table[n].to_pylist() for n in ("sample", "parsed", "draw")), strict=True)
    return {s: orjson.loads(p) for s, p, draw in rows if p is not None and draw == 0}


def _prompts(comparison: Comparison, least: float) -> Mapping[str, SampleRecord]:
    """The records of the samples that flipped, from whichever run keeps them."""
    wanted = {
        bytes(sample).decode()
        for pairs in comparison.pairs.values()
        for sample in pairs.base.samples[changed(pairs, least)]
    }
    for run in (comparison.candidate, comparison.base):
        folder = RunFolder(run.path)
        if folder.samples.path.exists():
            return {r.sample.id: r for r in folder.sample_records() if r.sample.id in wanted}
    return {}
