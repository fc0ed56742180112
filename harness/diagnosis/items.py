"""The items of a run that a diagnosis looks at: what was judged, and what to slice by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...tasks.schema import FAILURES, Task
from ..errors import RedoneError, RunUnreadable
from ..scored import ScoredRun, TaskScores

COLUMNS = (
    *("task", "sample", "partition", "draw", "value", "failure", "parsed", "finish", "scored"),
    *("language", "tags", "characters"),
)

SMALLEST = 5
"""Clusters that a task must have: fewer than five items allow no statement beyond themselves."""


@dataclass(frozen=True)
class Answers:
    """Every scored answer of one task, a row per draw.

    Attributes:
        rows: Which item each belongs to, shape [m].
        values: Shape [m], 0..1.
        kinds: Index into `FAILURES`, -1 for a fully right answer, shape [m].
        parsed: What was read out of each, as JSON or None, shape [m].
    """

    rows: np.ndarray
    values: np.ndarray
    kinds: np.ndarray
    parsed: np.ndarray


@dataclass(frozen=True)
class TaskItems:
    """The items of one task in one partition under one scoring.

    Attributes:
        scores: A row per item, sorted by sample id; no value is NaN.
        clusters: Numbers of clusters, alike in all tasks of the run, shape [n].
        languages: Shape [n].
        tags: A mapping per item.
        characters: Length of the items' texts, shape [n].
        answers: Every draw.
        not_scored: Items left out.
    """

    scores: TaskScores
    clusters: np.ndarray
    languages: np.ndarray
    tags: tuple[Mapping[str, str], ...]
    characters: np.ndarray
    answers: Answers
    not_scored: int

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def task(self) -> Task:
        return self.scores.task

    @property
    def values(self) -> np.ndarray:
        """Mean value of each item's draws, shape [n]."""
        return self.scores.values

    @property
    def labels(self) -> list[str]:
        """The gold label of each item, "" where it has none."""
        return [tags.get("label", "") for tags in self.tags]

    @cached_property
    def independent(self) -> int:
        """How many clusters there are."""
        return len(np.unique(self.clusters))

    @cached_property
    def draws(self) -> np.ndarray:
        """Scored answers of each item, shape [n]."""
        return np.bincount(self.answers.rows, minlength=len(self))

    @cached_property
    def failures(self) -> np.ndarray:
        """Share of each item's answers that failed in each way, shape [n, len(FAILURES)]."""
        shares = np.zeros((len(self), len(FAILURES)))
        failed = self.answers.kinds >= 0
        np.add.at(shares, (self.answers.rows[failed], self.answers.kinds[failed]), 1.0)
        return shares / np.maximum(self.draws, 1)[:, None]

    def at(self, kept: np.ndarray) -> TaskItems:
        """Some of the items: rising indices, shape [k]."""
        place = np.full(len(self), -1)
        place[kept] = np.arange(len(kept))
        rows = place[self.answers.rows]
        of = rows >= 0
        old = self.answers
        return TaskItems(
            self.scores.at(kept),
            self.clusters[kept],
            self.languages[kept],
            tuple(self.tags[i] for i in kept),
            self.characters[kept],
            Answers(rows[of], old.values[of], old.kinds[of], old.parsed[of]),
            self.not_scored,
        )


def read_items(run: ScoredRun, role: str, partition: str) -> dict[str, TaskItems]:
    """The items of every task of a run.

    Args:
        run: Finished.
        role: Of the scoring, `corrected` or `official`.
        partition: `all`, or the only one to look at.

    Returns:
        By task, in the order of the tables; a task without such items is there, and empty.

    Raises:
        RunUnreadable: The run was judged before items told their length.
        RedoneError: No task has an item of the partition.
    """
    _require_characters(run)
    scores = run.scores(role, partition)
    if not any(len(s) for s in scores.values()):
        raise _nothing(run, role, partition)
    table = run.table(role, COLUMNS)
    if partition != "all":
        table = table.filter(_text(table, "partition") == partition)
    names = _text(table, "task")
    numbered = {name: _valued(s) for name, s in scores.items()}
    every = np.unique(np.concatenate([s.clusters for s in numbered.values()]))
    return {
        name: _task_items(
            task_scores,
            np.searchsorted(every, task_scores.clusters),
            table.filter(names == name),
        )
        for name, task_scores in numbered.items()
    }


def _valued(scores: TaskScores) -> TaskScores:
    """Without the items whose value or statistics are no numbers."""
    return scores.at(np.isfinite(scores.values) & np.isfinite(scores.stats).all(axis=1))


def _task_items(scores: TaskScores, clusters: np.ndarray, table: Any) -> TaskItems:
    samples = _text(table, "sample").astype("S16")
    asked = len(np.unique(samples))
    rows = np.searchsorted(scores.samples, samples)
    rows[rows == len(scores)] = 0
    known = table["scored"].to_numpy() & np.isfinite(table["value"].to_numpy())
    known &= scores.samples[rows] == samples if len(scores) else False
    table, rows = table.filter(known), rows[known]
    _, first = np.unique(rows, return_index=True)
    described = table.select(["language", "tags", "characters"]).take(first)
    failures = _text(table, "failure")
    kinds = np.array([FAILURES.index(kind) if kind else -1 for kind in failures], dtype=int)
    if scores.task.reward == "metric":
        # A free answer that the limit cut is scored by what there is of it, and marked as wrong.
        cut = (_text(table, "finish") == "length") & (kinds == FAILURES.index("wrong"))
        kinds[cut] = FAILURES.index("truncated")
    return TaskItems(
        scores,
        clusters,
        _text(described, "language"),
        tuple(dict(tags) for tags in described["tags"].to_pylist()),
        described["characters"].to_numpy(),
        Answers(rows, table["value"].to_numpy(), kinds, _text(table, "parsed")),
        asked - len(scores),
    )


def _require_characters(run: ScoredRun) -> None:
    import pyarrow.parquet as pq

    path = run.path / "scores.parquet"
    try:
        names = pq.read_schema(path).names
    except (OSError, ValueError) as error:
        raise RunUnreadable(
            f"{path} cannot be read ({error}). `redone-eval --rescore {run.path}` makes it again."
        ) from None
    if "characters" not in names:
        raise RunUnreadable(
            f"{path} does not tell the length of items: an older redone wrote it. "
            f"`redone-eval --rescore {run.path}` makes it again, without a model."
        )


def _nothing(run: ScoredRun, role: str, partition: str) -> RedoneError:
    partitions, counts = np.unique(
        np.concatenate([s.partitions for s in run.scores(role).values()] or [np.empty(0, "U1")]),
        return_counts=True,
    )
    found = ", ".join(f"{n} ({c})" for n, c in zip(partitions, counts, strict=True))
    if not found:
        return RedoneError(
            f"{run.path} has no scored sample. Evaluate again with the services that its tasks "
            "need."
        )
    return RedoneError(
        f"{run.path} has no scored item in partition {partition!r}; it has {found}. "
        f"`redone-diagnose {run.path} --partition {partitions[0]}` draws the map; failure buckets "
        "and reward hints need a run with items of 'diagnose'."
    )


def _text(table: Any, name: str) -> np.ndarray:
    return table[name].cast("string").to_numpy(zero_copy_only=False)


def finite(value: float) -> float | None:
    """A figure for the file: None where it is undefined."""
    return float(value) if math.isfinite(value) else None
