"""The items that a diagnosis is based on, and what they are measured against."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...tasks.errors import RedoneError
from ...tasks.schema import FAILURES
from ...tasks.task import Task
from ..compare import check_comparable
from ..run_folder import RunUnreadable
from ..scored_run import ScoredRun, TaskScores, text_column
from .schema import Reference

COLUMNS = (
    *("task", "sample", "partition", "draw", "value", "failure", "parsed", "finish", "scored"),
    *("language", "tags", "characters"),
)

SMALLEST_TASK = 5
"""Smallest number of clusters of a task with an interval, a rank or a hint."""

CEILING = 100.0


@dataclass(frozen=True)
class Answers:
    """Every scored answer of one task, a row per draw.

    Attributes:
        rows: Index of its item, shape [m].
        values: Shape [m], 0..1.
        kinds: Index into `FAILURES`, -1 for a fully right answer, shape [m].
        parsed: The parsed answer as JSON, or None, shape [m].
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
        clusters: Numbers of clusters, the same in all tasks of the run, shape [n].
        languages, tags: Of each item.
        characters: Length of the items' texts, shape [n].
        not_scored: Number of items left out.
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
        """Number of clusters."""
        return len(np.unique(self.clusters))

    @cached_property
    def draws(self) -> np.ndarray:
        """Number of scored answers of each item, shape [n]."""
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
        rows, answers = place[self.answers.rows], self.answers
        left = rows >= 0
        return TaskItems(
            self.scores.at(kept),
            self.clusters[kept],
            self.languages[kept],
            tuple(self.tags[i] for i in kept),
            self.characters[kept],
            Answers(rows[left], answers.values[left], answers.kinds[left], answers.parsed[left]),
            self.not_scored,
        )


def read_items(run: ScoredRun, role: str, partition: str) -> dict[str, TaskItems]:
    """The items of every task of a run in a partition (or `all`), in the order of the tables.

    Tasks without such items are included, and empty.

    Raises:
        RunUnreadable: The run was scored by a version that did not record the length of items.
        RedoneError: No task has an item of the partition.
    """
    import pyarrow.parquet as pq

    scores = run.scores(role, partition)
    path = run.path / "scores.parquet"
    if "characters" not in pq.read_schema(path).names:
        raise RunUnreadable(
            f"{path} does not have the length of items: an older redone wrote it. "
            f"`redone eval --rescore {run.path}` writes it again, without a model."
        )
    if not any(len(s) for s in scores.values()):
        raise _nothing(run, role, partition)
    table = run.table(role, COLUMNS)
    if partition != "all":
        table = table.filter(text_column(table, "partition") == partition)
    names = text_column(table, "task")
    # Items whose value or statistics are not finite are left out.
    kept = {
        name: s.at(np.isfinite(s.values) & np.isfinite(s.stats).all(axis=1))
        for name, s in scores.items()
    }
    every = np.unique(np.concatenate([s.clusters for s in kept.values()]))
    return {
        name: _task_items(s, np.searchsorted(every, s.clusters), table.filter(names == name))
        for name, s in kept.items()
    }


def _task_items(scores: TaskScores, clusters: np.ndarray, table: Any) -> TaskItems:
    samples = text_column(table, "sample").astype("S16")
    total = len(np.unique(samples))
    rows = np.searchsorted(scores.samples, samples)
    rows[rows == len(scores)] = 0
    known = table["scored"].to_numpy() & np.isfinite(table["value"].to_numpy())
    known &= scores.samples[rows] == samples if len(scores) else False
    table, rows = table.filter(known), rows[known]
    _, first = np.unique(rows, return_index=True)
    described = table.select(["language", "tags", "characters"]).take(first)
    failures = text_column(table, "failure")
    kinds = np.array([FAILURES.index(kind) if kind else -1 for kind in failures], dtype=int)
    if scores.task.reward == "metric":
        # An open answer cut by the token limit is scored as it is; here it counts as truncated.
        cut = (text_column(table, "finish") == "length") & (kinds == FAILURES.index("wrong"))
        kinds[cut] = FAILURES.index("truncated")
    return TaskItems(
        scores,
        clusters,
        text_column(described, "language"),
        tuple(dict(tags) for tags in described["tags"].to_pylist()),
        described["characters"].to_numpy(),
        Answers(rows, table["value"].to_numpy(), kinds, text_column(table, "parsed")),
        total - len(scores),
    )


def _nothing(run: ScoredRun, role: str, partition: str) -> RedoneError:
    """The error for a run without an item of the partition: names the partitions it has."""
    found = Counter(p for scores in run.scores(role).values() for p in scores.partitions)
    if not found:
        return RedoneError(
            f"{run.path} has no scored sample. Evaluate again with the services that its tasks "
            "need."
        )
    return RedoneError(
        f"{run.path} has no scored item in partition {partition!r}; it has "
        f"{', '.join(f'{name} ({found[name]})' for name in sorted(found))}. "
        f"`redone diagnose {run.path} --partition {min(found)}` makes the capability map; "
        "failure buckets and hints need a run with items of 'diagnose'."
    )


def finite(value: float) -> float | None:
    """A figure for the file: None where it is undefined."""
    return float(value) if math.isfinite(value) else None


def skill(task: Task, score: np.ndarray | float) -> np.ndarray:
    """Points chance-corrected: 0 at the chance level or below, 100 at the ceiling; else NaN.

    Undefined where the chance level is unknown.
    """
    chance = task.chance.metric if task.chance.known else math.nan
    return np.maximum(0.0, 100 * (np.asarray(score, dtype=float) - chance) / (100 - chance))


def fixed_reference(task: Task, target: float | None) -> Reference:
    """A target in points; None: the ceiling."""
    kind, score = ("ceiling", CEILING) if target is None else ("target", target)
    return Reference(kind, score, finite(float(skill(task, score))))


@dataclass(frozen=True)
class OtherRun:
    """Another run's scores by task, row for row those of the items; notes on what was left out.

    Tasks that it lacks are absent.
    """

    scores: Mapping[str, TaskScores]
    notes: tuple[str, ...]

    def reference(self, task: Task) -> Reference | None:
        """The other run's score as a reference; None without items or where it is undefined."""
        scores = self.scores.get(task.name)
        if scores is None or not len(scores):
            return None
        with np.errstate(all="ignore"):
            score = float(scores.scoring.metrics[0].from_sums(scores.stats.sum(axis=0)))
        if not np.isfinite(score):
            return None
        return Reference("run", score, finite(float(skill(task, score))))


def pair_with(
    run: ScoredRun,
    other: ScoredRun,
    items: Mapping[str, TaskItems],
    role: str,
    allowed: Iterable[str] = (),
) -> tuple[dict[str, TaskItems], OtherRun]:
    """The items of a run, restricted to the samples that another scored, and that one's scores.

    The other run may have other tasks and samples, but the same settings, unless they are `allowed`
    to differ. Tasks that it lacks keep
    all their items.

    Raises:
        NotComparable: The runs differ in prompts, task versions, scoring, limits or sampling.
        RedoneError: They share no sample.
    """
    theirs = other.scores(role)
    shared, scores, notes = dict(items), {}, []
    always = {"tasks", "samples"}
    found = check_comparable(other, run, role, always.union(allowed))
    differing = {mismatch.field for mismatch in found} - always
    if differing:
        notes.append(
            f"The runs differ in {', '.join(sorted(differing))}; the comparison with {other.name} "
            "was allowed by hand."
        )
    for name, own in items.items():
        if name not in theirs:
            notes.append(f"{name} is not in {other.name}: no reference, and no rank.")
            continue
        scored = theirs[name].at(np.isfinite(theirs[name].values))
        mine, other_rows = own.scores.shared(scored)
        if len(mine) < len(own):
            notes.append(f"{name}: {len(mine)} of {len(own)} items are also in {other.name}.")
        shared[name], scores[name] = own.at(mine), scored.at(other_rows)
    if not any(len(s) for s in scores.values()):
        raise RedoneError(
            f"{run.path} and {other.path} share no scored sample. Evaluate both on the same tasks "
            "and partition."
        )
    return shared, OtherRun(scores, tuple(notes))
