"""Judging every answer of a run folder: from responses to `scores.parquet` and tallies.

A pure function of samples, responses and scorings, so an interrupted run and an undisturbed one end
in the same files. Gate, diagnosis, report and board read those; nobody needs the data set or the
model again.
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

from ..tasks.schema import Completion, Sample, Score, Scoring, Services, Task
from ..tasks.sources import characters
from .runner import SAMPLE_FIELDS, Item, completion_of
from .store import SCHEMA_VERSION, ResponseIndex, RunFolder, replacing

ROWS = 4096
"""Rows of a row group of scores.parquet."""


@dataclass
class Tally:
    """What is kept in memory of one task under one scoring: 8 x (S + 2) bytes a sample.

    Attributes:
        items: The parsed answers of each sample, a list a sample; only where a metric needs them.
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
        """Whether a metric is made from the parsed answers themselves."""
        return any(metric.from_items for metric in self.scoring.metrics)

    def add(self, scores: Sequence[Score], cluster: int) -> None:
        """Counts one sample.

        Args:
            scores: Of each of its draws, which count as one item: their mean.
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
    """Tokens and time (seconds of asking) of one task."""

    samples: int = 0
    missing: int = 0
    answers: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    seconds: float = 0.0
    truncated: int = 0
    shortened: list[str] = field(default_factory=list)


def sample_of(item: Item) -> Sample:
    """The sample of a line of samples.jsonl."""
    return Sample(**{name: item[name] for name in SAMPLE_FIELDS})


@dataclass
class Judged:
    """A run folder's answers, judged.

    Attributes:
        tallies: By task, then by role of the scoring (`official`, `corrected`).
        efforts: By task.
        clusters: How many clusters the run has.
    """

    tallies: dict[str, dict[str, Tally]] = field(default_factory=dict)
    efforts: dict[str, Effort] = field(default_factory=dict)
    clusters: int = 0


def judge(
    folder: RunFolder, items: Iterable[Item], tasks: Mapping[str, Task], services: Services
) -> Judged:
    """Scores every answer under every scoring of its task; writes scores.parquet.

    Args:
        folder: With run.json and responses; locked by the caller.
        items: Its items.
        tasks: By name; must hold every task of the run.
        services: What scoring may use.

    Samples without an answer are counted as `missing` and stop nothing.
    """
    folder.responses.repair()
    index = ResponseIndex(folder.responses)
    judged = Judged()
    codes: dict[str, int] = {}
    try:
        with replacing(folder.path / "scores.parquet") as path, ScoreTable(path) as table:
            for item in items:
                task = tasks[item["task"]]
                found = judged.tallies.get(task.name)
                if found is None:
                    found = judged.tallies[task.name] = {
                        role: Tally(task, scoring.given(services))
                        for role, scoring in task.scorings.items()
                    }
                effort = judged.efforts.setdefault(task.name, Effort())
                records = index.of(item["id"])
                draws = complete_draws(item, records)
                _count(effort, item, draws, records)
                if not draws:
                    continue
                sample = sample_of(item)
                code = codes.setdefault(sample.cluster, len(codes))
                judgements: dict[int, list[Score]] = {}
                for tally in found.values():
                    # Tasks of lm-eval's have one scoring in both roles: it is asked once.
                    scores = judgements.get(id(tally.scoring))
                    if scores is None:
                        scores = judgements_of(tally.scoring, sample, draws, services)
                        judgements[id(tally.scoring)] = scores
                        for draw, score in enumerate(scores):
                            table.add(sample, tally.scoring.name, draw, score, draws[draw])
                    tally.add(scores, code)
    finally:
        index.close()
    judged.clusters = len(codes)
    return judged


def judgements_of(
    scoring: Scoring, sample: Sample, draws: Sequence[Sequence[Completion]], services: Services
) -> list[Score]:
    """The judgement of each draw; none where a service is missing, which is not zero."""
    if services.missing(scoring.needs):
        return [Score(math.nan, (), scored=False)] * len(draws)
    return [scoring.score(sample, draw, services) for draw in draws]


def complete_draws(item: Item, records: Sequence[Mapping[str, Any]]) -> list[list[Completion]]:
    """The completions of each complete draw, in the order of the item's requests."""
    by_key = {(r["draw"], r["request"]): r for r in records}
    hashes = [r["hash"] for r in item["requests"]]
    draws = []
    for draw in sorted({draw for draw, _ in by_key}):
        found = [by_key.get((draw, h)) for h in hashes]
        if all(found):
            draws.append([completion_of(r) for r in found if r])
    return draws


def _count(
    effort: Effort,
    item: Item,
    draws: Sequence[Sequence[Completion]],
    records: Sequence[Mapping[str, Any]],
) -> None:
    effort.samples += 1
    effort.missing += not draws
    if "shortened" in item:
        effort.shortened.append(item["id"])
    effort.seconds += math.fsum(r.get("wall", 0.0) for r in records)
    for completion in (c for draw in draws for c in draw):
        effort.answers += 1
        effort.prompt_tokens += completion.prompt_tokens
        effort.tokens += completion.tokens
        effort.truncated += completion.finish == "length"


def score_schema() -> Any:
    """The columns of scores.parquet."""
    import pyarrow as pa

    tags = pa.map_(pa.string(), pa.string())
    text = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            ("task", text),
            ("sample", pa.string()),
            ("cluster", pa.string()),
            ("partition", text),
            ("split", text),
            ("language", text),
            ("tags", tags),
            ("characters", pa.int64()),
            ("index", pa.int64()),
            ("draw", pa.int32()),
            ("scoring", text),
            ("value", pa.float64()),
            ("stats", pa.list_(pa.float64())),
            ("parsed", pa.string()),
            ("failure", text),
            ("scored", pa.bool_()),
            ("finish", text),
            ("tokens", pa.int64()),
            ("prompt_tokens", pa.int64()),
        ],
        metadata={"schema_version": str(SCHEMA_VERSION)},
    )


class ScoreTable:
    """scores.parquet, written in row groups: a row per sample, scoring and draw."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = score_schema()
        self._rows: list[tuple[Any, ...]] = []
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
        """Adds one judgement."""
        last = completions[-1]
        self._rows.append(
            (
                sample.task,
                sample.id,
                sample.cluster,
                sample.partition,
                sample.split,
                sample.language,
                list(sample.tags.items()),
                characters(sample.fields),
                sample.index,
                draw,
                scoring,
                score.value,
                score.stats,
                None if score.parsed is None else orjson.dumps(score.parsed).decode(),
                score.failure,
                score.scored,
                last.finish,
                sum(c.tokens for c in completions),
                sum(c.prompt_tokens for c in completions),
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
