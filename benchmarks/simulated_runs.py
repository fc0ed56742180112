"""Simulated pairs of runs on real items: real answers, real clusters, a known true difference.

Every sample of a task has a ladder of scored answers. The top rung is its gold answer, the bottom
rung the gold answer of another sample. Translations have rungs in between: the gold with a quarter,
a half and three quarters of the words replaced by those of another sample, because translations are
rarely entirely right or wrong. A model of skill q gives, for each sample, the answer of rung
Binomial(rungs - 1, q); with two rungs, a share q of its answers is the gold. For a share of the
samples, the candidate has the same random number as the base: that share is the correlation of the
two runs, set per task.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from redone.harness.scored_run import ScoredRun, TaskScores
from redone.harness.stats import nested_mean
from redone.tasks.errors import RedoneError
from redone.tasks.registry import suite_tasks, table_of
from redone.tasks.schema import Completion, Sample, Services
from redone.tasks.sources import samples
from redone.tasks.task import Task

CORRELATIONS = Path(__file__).with_name("gate_correlations.json")
LEVELS: Mapping[str, float] = {
    "taxonomy": 60.88, "hashtag": 81.90, "query_corr": 38.31, "mrc": 34.69, "ner": 44.50,
    "gender": 79.27, "chlw": 28.17, "query_gen": 46.75,
    "zh_en": (26.87 + 54.26) / 2, "en_zh": (36.35 + 35.41) / 2,
    "irony": 65.0, "sentiment": 65.0, "hate": 65.0, "offensive": 65.0, "emotion": 65.0,
    "stance": 65.0,
}  # fmt: skip
"""The score of a simulated base, by category, in percent: Qwen3-4B as published (RedOne 2.0, table
1; arXiv 2511.07070); for TweetEval, which that paper does not have, a round figure."""

TRANSLATIONS = ("zh_en", "en_zh")
KEPT = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Ladder:
    """The scored answers of one task, a row per sample.

    Attributes:
        scores: Samples, clusters and partitions; its statistics and values are those of gold.
        stats: Shape [rungs, n, S], from the worst answer to the gold one.
        values: Shape [rungs, n].
        correlation: Of two runs' random numbers, 0..1.
    """

    scores: TaskScores
    stats: np.ndarray
    values: np.ndarray
    correlation: float

    def at(self, rows: np.ndarray) -> Ladder:
        """Some of the rows."""
        return replace(
            self,
            scores=self.scores.at(rows),
            stats=self.stats[:, rows],
            values=self.values[:, rows],
        )

    def chances(self, skill: float) -> np.ndarray:
        """Probability of each rung, shape [rungs]."""
        from scipy.stats import binom

        steps = len(self.stats) - 1
        return binom.pmf(np.arange(steps + 1), steps, skill)

    def figure(self, skill: float) -> float:
        """The primary metric of the expected sums, in percent."""
        expected = self.chances(skill) @ self.stats.sum(axis=1)
        return float(self.scores.scoring.metrics[0].from_sums(expected))

    def skill(self, level: float) -> float:
        """The skill with which the metric reaches a level (percent).

        Raises:
            RedoneError: The worst answers are better than that.
        """
        if self.figure(0) > level:
            raise RedoneError(
                f"{self.scores.task.name}: wrong answers reach {self.figure(0):.1f}, more than the "
                f"{level:g} that is to be simulated."
            )
        return bisect(self.figure, level)

    def answered(self, luck: np.ndarray, skill: float) -> TaskScores:
        """The run of a model: luck, uniform in 0..1, shape [n]."""
        rungs = np.searchsorted(np.cumsum(self.chances(skill))[:-1], luck, side="right")
        rows = np.arange(len(luck))
        return replace(self.scores, stats=self.stats[rungs, rows], values=self.values[rungs, rows])


@dataclass(frozen=True)
class Population:
    """A suite's ladders by task, and the skill of the base in each."""

    suite: str
    ladders: Mapping[str, Ladder]
    skills: Mapping[str, float]

    @property
    def groups(self) -> Any:
        """How task figures make the suite's mean, for `nested_mean`."""
        return next(
            row.groups
            for row in table_of(list(self.ladders))
            if (row.level, row.name) == ("suite", self.suite)
        )

    @property
    def size(self) -> int:
        """Samples."""
        return sum(len(ladder.scores) for ladder in self.ladders.values())

    def mean(self, factor: float = 1.0) -> float:
        """The suite's mean where every skill is multiplied by a factor, in percent."""
        figures = {n: one.figure(self.skills[n] * factor) for n, one in self.ladders.items()}
        return nested_mean(self.groups, figures)

    def factor(self, drop: float) -> float:
        """The factor on all skills that lowers the suite's mean by so many points."""
        return bisect(self.mean, self.mean() - drop)

    def partition(self, name: str) -> Population:
        """The samples of one partition."""
        return self._with({n: one.scores.partitions == name for n, one in self.ladders.items()})

    def resized(self, factor: float, seed: int) -> Population:
        """The same mix of tasks in another size: a choice of the samples, or several copies."""
        generator = np.random.default_rng([seed, 2])
        rows = {}
        for name, ladder in self.ladders.items():
            count = len(ladder.scores)
            order = generator.permutation(count)
            rows[name] = np.resize(order, round(factor * count))
        found = self._with(rows)
        if factor > 1:
            apart = {n: _apart(one, generator) for n, one in found.ladders.items()}
            found = replace(found, ladders=apart)
        return found

    def _with(self, rows: Mapping[str, np.ndarray]) -> Population:
        ladders = {n: ladder.at(rows[n]) for n, ladder in self.ladders.items()}
        return replace(self, ladders=ladders)

    def pair(
        self, factor: float, generator: np.random.Generator
    ) -> dict[str, tuple[TaskScores, TaskScores]]:
        """Base and candidate, the candidate's skills multiplied by a factor."""
        found = {}
        for name, ladder in self.ladders.items():
            luck, other = generator.random((2, len(ladder.scores)))
            kept = generator.random(len(luck)) < ladder.correlation
            found[name] = (
                ladder.answered(luck, self.skills[name]),
                ladder.answered(np.where(kept, luck, other), self.skills[name] * factor),
            )
        return found


def _apart(ladder: Ladder, generator: np.random.Generator) -> Ladder:
    """Copies of a sample become samples and clusters of their own."""
    count = len(ladder.scores)
    digits = generator.bytes(16 * count).hex().encode()
    samples, clusters = np.frombuffer(digits, dtype="S16").reshape(2, count)
    return replace(
        ladder, scores=replace(ladder.scores, samples=np.sort(samples), clusters=clusters)
    )


def bisect(rising: Any, wanted: float) -> float:
    """Where in 0..1 a rising function takes a value."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return (low + high) / 2


def population(suite: str, folder: Path, seed: int = 0) -> Population:
    """Judges the ladders of a suite's tasks and sets the skills to `LEVELS`."""
    shares = correlations()
    ladders, skills = {}, {}
    for task in suite_tasks(suite):
        ladder = _ladder(task, folder, seed, shares[task.name.partition("/")[2]])
        ladders[task.name] = ladder
        skills[task.name] = ladder.skill(LEVELS[task.category])
    return Population(suite, ladders, skills)


def _ladder(task: Task, folder: Path, seed: int, correlation: float) -> Ladder:
    random = Random(f"{seed}|{task.name}")
    found = list(samples(task, folder))
    golds = [task.gold(sample) for sample in found]
    others = _others(found, golds, random)
    answers = [others]
    if task.category in TRANSLATIONS:
        for kept in KEPT:
            answers.append([_mixed(g, o, kept, random) for g, o in zip(golds, others, strict=True)])
    answers.append(golds)
    scoring = task.scorings["corrected"].given(Services())
    scored = [
        [
            scoring.score(sample, [Completion(text)], Services())
            for sample, text in zip(found, texts, strict=True)
        ]
        for texts in answers
    ]
    stats = np.array([[score.stats for score in rung] for rung in scored])
    values = np.array([[score.value for score in rung] for rung in scored])
    scores = TaskScores(
        task,
        scoring,
        np.array([s.id for s in found], dtype="S"),
        np.array([s.cluster for s in found], dtype="S"),
        np.array([s.partition for s in found], dtype=object),
        stats[-1],
        values[-1],
        np.full(len(found), "", dtype=object),
    )
    return Ladder(scores, stats, values, correlation)


def _others(found: list[Sample], golds: list[str], random: Random) -> list[str]:
    """For each sample the gold answer of one in its language whose gold is not the same."""
    pools: dict[str, list[str]] = {}
    for sample, gold in zip(found, golds, strict=True):
        pools.setdefault(sample.language, []).append(gold)
    others = []
    for sample, gold in zip(found, golds, strict=True):
        while (other := random.choice(pools[sample.language])) == gold:
            pass
        others.append(other)
    return others


def _mixed(gold: str, other: str, kept: float, random: Random) -> str:
    """The gold with some words (characters, where words are not spaced) replaced by another's."""
    between = " " if " " in gold else ""
    words, strange = (list(t.split()) if between else list(t) for t in (gold, other))
    return between.join(w if random.random() < kept else random.choice(strange) for w in words)


def measure(base: ScoredRun, candidate: ScoredRun) -> dict[str, Any]:
    """The correlation of two runs' values, by subtask; None where a run has all values alike."""
    one, two = base.scores(), candidate.scores()
    found: dict[str, float | None] = {}
    counts = {}
    for name, scores in one.items():
        _, mine, theirs = np.intersect1d(
            scores.samples, two[name].samples, assume_unique=True, return_indices=True
        )
        values = np.stack([scores.values[mine], two[name].values[theirs]])
        subtask = name.partition("/")[2]
        counts[subtask] = len(mine)
        spread = bool((values.std(axis=1) > 0).all())
        found[subtask] = round(float(np.corrcoef(values)[0, 1]), 3) if spread else None
    return {
        "base": base.model,
        "candidate": candidate.model,
        "items": counts,
        "correlations": found,
    }


def correlations() -> dict[str, float]:
    """By subtask: as measured, within 0..1; the median where a task was not or could not be."""
    measured = json.loads(CORRELATIONS.read_text("utf-8"))["correlations"]
    known = {n: min(1.0, max(0.0, c)) for n, c in measured.items() if c is not None}
    middle = float(np.median(list(known.values())))
    every = {task.name.partition("/")[2] for s in ("sns", "tweeteval") for task in suite_tasks(s)}
    return {name: known.get(name, middle) for name in every}
