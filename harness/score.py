"""Scores every answer of a run folder: from responses to `scores.parquet` and tallies.

A pure function of samples, responses and scorings, so an interrupted run and an undisturbed one end
in the same files. Gate, diagnosis, report and leaderboard read those; they need neither the data
set nor the model.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from ..tasks.schema import SCORER, Completion, Sample, Score, Scoring, Services
from ..tasks.sources import characters
from ..tasks.task import Task
from ..tasks.text import well_formed
from .records import ResponseRecord, SampleRecord, score_schema
from .run_folder import ResponseIndex, RunFolder, replacing

SHOWN = 5
"""Errors of scorers that results.json quotes of a task."""

ROWS = 4096
"""Rows of a row group of scores.parquet."""


@dataclass
class Tally:
    """What memory holds of one task under one scoring: 8 x (S + 2) bytes per sample.

    Attributes:
        items: The parsed answers of each sample, one list each; only where a metric needs them.
        errors: What the scorer raised, at most `SHOWN` lines; `failures` counts all.
    """

    task: Task
    scoring: Scoring
    stats: list[np.ndarray] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    clusters: list[int] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    not_scored: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def keeps_items(self) -> bool:
        """Whether a metric is computed from the parsed answers themselves."""
        return any(metric.from_items for metric in self.scoring.metrics)

    def add(self, sample: str, scores: Sequence[Score], cluster: int) -> None:
        """Counts one sample, the mean of its draws, of the cluster of this number."""
        scored = [s for s in scores if s.scored]
        errors = (f"{sample}: {s.parsed['error']}" for s in scores if s.failure == SCORER)
        self.errors += list(errors)[: SHOWN - len(self.errors)]
        self.failures.update(s.failure for s in scores if s.failure)
        if not scored:
            self.not_scored += 1
            return
        self.clusters.append(cluster)
        if self.keeps_items:
            self.items.append([s.parsed for s in scored])
        self.stats.append(np.asarray(np.mean([s.stats for s in scored], axis=0, dtype=np.float64)))
        self.values.append(math.fsum(s.value for s in scored) / len(scored))


@dataclass
class Effort:
    """Answers, tokens and time (seconds of generation) of one task."""

    samples: int = 0
    missing: int = 0
    answers: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    seconds: float = 0.0
    truncated: int = 0
    shortened: list[str] = field(default_factory=list)

    def add(
        self,
        record: SampleRecord,
        draws: Sequence[Sequence[Completion]],
        responses: Sequence[ResponseRecord],
    ) -> None:
        """Counts one sample: its complete draws, and all responses, those of others too."""
        self.samples += 1
        self.missing += not draws
        if record.shortened:
            self.shortened.append(record.sample.id)
        self.seconds += math.fsum(response.wall for response in responses)
        completions = [completion for draw in draws for completion in draw]
        self.answers += len(completions)
        self.prompt_tokens += sum(c.prompt_tokens for c in completions)
        self.tokens += sum(c.tokens for c in completions)
        self.truncated += sum(c.finish == "length" for c in completions)


@dataclass
class RunScores:
    """The scored answers of a run folder.

    `tallies` are by task, then by role of the scoring (`official`, `corrected`), `efforts` by task;
    `clusters` is how many the run has.
    """

    tallies: dict[str, dict[str, Tally]] = field(default_factory=dict)
    efforts: dict[str, Effort] = field(default_factory=dict)
    clusters: int = 0


def score_run(
    folder: RunFolder,
    records: Iterable[SampleRecord],
    tasks: Mapping[str, Task],
    services: Services,
) -> RunScores:
    """Scores every answer under every scoring of its task; writes scores.parquet.

    Args:
        folder: With responses; locked by the caller.
        records: Its samples; those without an answer are counted as `missing` and stop nothing.
        tasks: By name; must hold every task of the run.
        services: What scoring may use.
    """
    folder.responses.repair()
    index = ResponseIndex(folder.responses)
    run = RunScores()
    codes: dict[str, int] = {}
    try:
        with replacing(folder.path / "scores.parquet") as path, ScoreTable(path) as table:
            for record in records:
                sample = record.sample
                task = tasks[sample.task]
                if task.name not in run.tallies:
                    run.tallies[task.name] = {
                        role: Tally(task, scoring.given(services))
                        for role, scoring in task.scorings.items()
                    }
                responses = index.of(sample.id)
                draws = complete_draws(record, responses)
                run.efforts.setdefault(task.name, Effort()).add(record, draws, responses)
                if not draws:
                    continue
                code = codes.setdefault(sample.cluster, len(codes))
                known: dict[int, list[Score]] = {}
                for tally in run.tallies[task.name].values():
                    scoring = tally.scoring
                    # Tasks of lm-eval have one scoring in both roles: it is computed once.
                    if id(scoring) not in known:
                        known[id(scoring)] = scores_of(scoring, sample, draws, services)
                        for draw, score in enumerate(known[id(scoring)]):
                            table.add(sample, scoring.name, draw, score, draws[draw])
                    tally.add(sample.id, known[id(scoring)], code)
    finally:
        index.close()
    run.clusters = len(codes)
    return run


def scores_of(
    scoring: Scoring, sample: Sample, draws: Sequence[Sequence[Completion]], services: Services
) -> list[Score]:
    """The score of each draw; *not scored*, which is not zero, where a service is missing.

    That is so where the scorer itself fails, too: the score then says how.
    """
    if services.missing(scoring.needs):
        return [Score(math.nan, (), scored=False)] * len(draws)
    return [scoring.safely(sample, draw, services) for draw in draws]


def complete_draws(
    record: SampleRecord, responses: Sequence[ResponseRecord]
) -> list[list[Completion]]:
    """The completions of each complete draw, in the order of the sample's requests."""
    by_key = {(r.draw, r.request): r.completion for r in responses}
    hashes = [request.hash for request in record.requests]
    return [
        [by_key[draw, hash_] for hash_ in hashes]
        for draw in sorted({draw for draw, _ in by_key})
        if all((draw, hash_) in by_key for hash_ in hashes)
    ]


def _json(parsed: Any) -> str:
    """A parsed answer as JSON; as text, what JSON has no form for (a number of 100 digits)."""
    try:
        return orjson.dumps(parsed).decode()
    except TypeError:
        return json.dumps(well_formed(str(parsed)), ensure_ascii=False)


_SAMPLE_COLUMNS = ("task", "cluster", "partition", "split", "language", "index")


class ScoreTable:
    """scores.parquet, written in row groups: a row per sample, scoring and draw."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._schema = score_schema()
        self._rows: list[dict[str, Any]] = []
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> ScoreTable:
        return self

    def add(
        self,
        sample: Sample,
        scoring: str,
        draw: int,
        score: Score,
        completions: Sequence[Completion],
    ) -> None:
        """Adds the score of one draw."""
        row = {
            **{name: getattr(sample, name) for name in _SAMPLE_COLUMNS},
            "sample": sample.id,
            "tags": list(sample.tags.items()),
            "characters": characters(sample.fields),
            "draw": draw,
            "scoring": scoring,
            "value": score.value,
            "stats": score.stats,
            "parsed": None if score.parsed is None else _json(score.parsed),
            "failure": score.failure,
            "scored": score.scored,
            "finish": completions[-1].finish,
            "tokens": sum(c.tokens for c in completions),
            "prompt_tokens": sum(c.prompt_tokens for c in completions),
        }
        self._rows.append(row)
        if len(self._rows) >= ROWS:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        if self._rows:
            columns = {name: [row[name] for row in self._rows] for name in self._schema.names}
            self._writer.write_table(pa.Table.from_pydict(columns, schema=self._schema))
            self._rows.clear()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._write()
        self._writer.close()
