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
from .scored_run import ScoredRun, TaskScores

LEAST = 0.5
"""A value that moves by this much or more is a flip; right/wrong values move by 1."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One run's answer to a sample: the mean value over draws, 0..1; the rest of the first draw.

    `failure` is "" for none, `text` None where the run keeps no answers (a baseline), `parsed` what
    the scorer read out of it, None for nothing or unknown.
    """

    value: float
    failure: str
    text: str | None = None
    parsed: Any = None


@dataclass(frozen=True, slots=True)
class Flip:
    """A sample on which two runs differ: `fixed` or `broken`.

    `prompt` is the messages or text of both requests, `gold` the target; None where neither run
    keeps texts.
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

    `least` is the change of value, 0..1, from which on a sample counts.
    """
    sides = [_Answers(run, comparison.role) for run in (comparison.base, comparison.candidate)]
    prompts = _prompts(comparison, least)
    try:
        for task, pairs in comparison.pairs.items():
            for row in changed(pairs, least):
                sample = bytes(pairs.base.samples[row]).decode()
                record = prompts.get(sample)
                before = sides[0].of(sample, pairs.base, row)
                after = sides[1].of(sample, pairs.candidate, row)
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


class _Answers:
    """The answers of a run, by sample."""

    def __init__(self, run: ScoredRun, role: str) -> None:
        responses = RunFolder(run.path).responses
        self._index = ResponseIndex(responses) if responses.path.exists() else None
        names = ("sample", "parsed", "draw")
        table = run.table(role, names)
        rows = zip(*(table[name].to_pylist() for name in names), strict=True)
        self._parsed = {s: orjson.loads(p) for s, p, draw in rows if p is not None and draw == 0}

    def of(self, sample: str, scores: TaskScores, row: int) -> Answer:
        """The answer to the sample in a row of its task's scores."""
        records = self._index.of(sample) if self._index else []
        texts = [record.text for record in records if record.draw == 0]
        return Answer(
            float(scores.values[row]),
            str(scores.failures[row]),
            "\n".join(texts) if texts else None,
            self._parsed.get(sample),
        )

    def close(self) -> None:
        if self._index:
            self._index.close()


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
