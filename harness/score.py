"""Scores every answer of a run folder: from responses to `scores.parquet` and tallies.

A pure function of samples, responses and scorings, so an interrupted run and an undisturbed one end
in the same files. Gate, diagnosis, report and leaderboard read those; they need neither the data
set nor the model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from ..tasks.schema import Completion, Sample, Score, Scoring, Services
from ..tasks.sources import characters
from ..tasks.task import Task
from .records import ResponseRecord, SampleRecord, ScoreRow, score_schema
from .run_folder import ResponseIndex, RunFolder, replacing

ROWS = 4096
"""Rows of a row group of scores.parquet."""


@dataclass
class Tally:
    """What memory holds of one task under one scoring: 8 x (S + 2) bytes per sample.

    Attributes:
        items: The parsed answers of each sample, one list each; only where a metric needs them.
    """

    task: Task
    scoring: Scoring
    stats: list[np.ndarray] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    clusters: list[int] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    not_scored: int = 0

    @property
    def keeps_items(self) -> bool:
        """Whether a metric is computed from the parsed answers themselves."""
        return any(metric.from_items for metric in self.scoring.metrics)

    def add(self, scores: Sequence[Score], cluster: int) -> None:
        """Counts one sample.

        Args:
            scores: Of each of its draws. They count as one item: their mean.
            cluster: Number of the sample's cluster in the run.
        """
        scored = [s for s in scores if s.scored]
        self.failures.update(s.failure for s in scored if s.failure)
        if not scored:
            self.not_scored += 1
            return
        self.clusters.append(cluster)
        if self.keeps_items:
            self.items.append([s.parsed for s in scored])
        if len(scored) == 1:
            self.stats.append(np.asarray(scored[0].stats, dtype=np.float64))
            self.values.append(scored[0].value)
            return
        self.stats.append(np.mean([s.stats for s in scored], axis=0))
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
        """Counts one sample.

        Args:
            record: The sample.
            draws: Its complete draws.
            responses: All that there are, those of incomplete draws too.
        """
        self.samples += 1
        self.missing += not draws
        if record.shortened:
            self.shortened.append(record.sample.id)
        self.seconds += math.fsum(response.wall for response in responses)
        for completion in (c for draw in draws for c in draw):
            self.answers += 1
            self.prompt_tokens += completion.prompt_tokens
            self.tokens += completion.tokens
            self.truncated += completion.finish == "length"


@dataclass
class RunScores:
    """The scored answers of a run folder.

    Attributes:
        tallies: By task, then by role of the scoring (`official`, `corrected`).
        efforts: By task.
        clusters: How many clusters the run has.
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
        folder: With run.json and responses; locked by the caller.
        records: Its samples.
        tasks: By name; must hold every task of the run.
        services: What scoring may use.

    Samples without an answer are counted as `missing` and stop nothing.
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
                tallies = run.tallies.get(task.name)
                if tallies is None:
                    tallies = run.tallies[task.name] = {
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
                for tally in tallies.values():
                    # Tasks of lm-eval have one scoring in both roles: it is computed once.
                    scores = known.get(id(tally.scoring))
                    if scores is None:
                        scores = scores_of(tally.scoring, sample, draws, services)
                        known[id(tally.scoring)] = scores
                        for draw, score in enumerate(scores):
                            table.add(sample, tally.scoring.name, draw, score, draws[draw])
                    tally.add(scores, code)
    finally:
        index.close()
    run.clusters = len(codes)
    return run


def scores_of(
    scoring: Scoring, sample: Sample, draws: Sequence[Sequence[Completion]], services: Services
) -> list[Score]:
    """The score of each draw; *not scored*, which is not zero, where a service is missing."""
    if services.missing(scoring.needs):
        return [Score(math.nan, (), scored=False)] * len(draws)
    return [scoring.score(sample, draw, services) for draw in draws]


def complete_draws(
    record: SampleRecord, responses: Sequence[ResponseRecord]
) -> list[list[Completion]]:
    """The completions of each complete draw, in the order of the sample's requests."""
    by_key = {(r.draw, r.request): r.completion for r in responses}
    complete = []
    for draw in sorted({draw for draw, _ in by_key}):
        found = [by_key.get((draw, request.hash)) for request in record.requests]
        if all(found):
            complete.append([completion for completion in found if completion])
    return complete


class ScoreTable:
    """scores.parquet, written in row groups: a row per sample, scoring and draw."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = score_schema()
        self._rows: list[ScoreRow] = []
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._table = pa.Table

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
        self._rows.append(
            ScoreRow(
                task=sample.task,
                sample=sample.id,
                cluster=sample.cluster,
                partition=sample.partition,
                split=sample.split,
                language=sample.language,
                tags=list(sample.tags.items()),
                characters=characters(sample.fields),
                index=sample.index,
                draw=draw,
                scoring=scoring,
                value=score.value,
                stats=score.stats,
                parsed=None if score.parsed is None else orjson.dumps(score.parsed).decode(),
                failure=score.failure,
                scored=score.scored,
                finish=completions[-1].finish,
                tokens=sum(c.tokens for c in completions),
                prompt_tokens=sum(c.prompt_tokens for c in completions),
            )
        )
        if len(self._rows) >= ROWS:
            self._write()

    def _write(self) -> None:
        if self._rows:
            columns = dict(zip(self._schema.names, zip(*self._rows, strict=True), strict=True))
            self._writer.write_table(self._table.from_pydict(columns, schema=self._schema))
            self._rows.clear()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._write()
        self._writer.close()
