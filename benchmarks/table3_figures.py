"""The figures of table 3: columns, differences with intervals over items and seeds, claims.

A row that was trained k times is the mean of its k models. Its difference to another row has two
sources of chance: the items (the paired bootstrap of `redone gate`, of the mean of the k paired
differences) and the training (the variance of those k differences, divided by k). Their sum is the
squared standard error; the interval is Student's, its degrees of freedom by Satterthwaite, those of
the items being infinite. With one seed only the items are in it, and nothing is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from redone.harness.compare import Comparison, compare
from redone.harness.flips import changed
from redone.harness.scored_run import ScoredRun

RESAMPLES = 2_000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A difference in points.

    Attributes:
        points: Mean over the pairs of models.
        low, high: The interval; over items alone where there is one pair.
        by_seed: Each pair's difference.
        item_error, seed_error: Standard errors from either source; None for the latter with one
            pair.
    """

    points: float
    low: float
    high: float
    by_seed: list[float]
    item_error: float
    seed_error: float | None


def estimate(points: Sequence[float], resampled: np.ndarray) -> Estimate:
    """The difference of two rows.

    Args:
        points: Of each pair of models, shape [k].
        resampled: The same under the same draws of items, shape [k, B].
    """
    return with_errors(points, float(np.std(np.mean(resampled, axis=0), ddof=1)))


def with_errors(points: Sequence[float], items: float) -> Estimate:
    """The difference of two rows.

    Args:
        points: Of each pair of models, shape [k].
        items: Standard error of their mean over the items.
    """
    from scipy.stats import t as student

    count = len(points)
    training = float(np.std(points, ddof=1)) / math.sqrt(count) if count > 1 else None
    square = items**2 + (training or 0.0) ** 2
    freedom = square**2 * (count - 1) / training**4 if training else math.inf
    reach = float(student.ppf(0.5 + LEVEL / 2, freedom)) * math.sqrt(square)
    mean = float(np.mean(points))
    return Estimate(mean, mean - reach, mean + reach, list(points), items, training)


class Differences:
    """Figures of runs and differences of pairs of them, each computed once.

    Args:
        role: Of the scoring, `corrected` or `official`.
        metric: That all tasks asked about have; None: each one's primary metric.
    """

    def __init__(self, role: str, metric: str | None = None) -> None:
        self.role, self.metric = role, metric
        self._found: dict[tuple[Path, Path], Comparison] = {}
        self._figures: dict[Path, dict[str, float]] = {}

    def compared(self, base: Path, candidate: Path) -> Comparison:
        if (base, candidate) not in self._found:
            self._found[base, candidate] = compare(
                ScoredRun(base),
                ScoredRun(candidate),
                role=self.role,
                partition="report",
                resamples=RESAMPLES,
                metric=self.metric,
            )
        return self._found[base, candidate]

    def of(self, base: Path, candidate: Path) -> Mapping[str, Any]:
        """The difference of each task, from one run to the other."""
        found = self.compared(base, candidate).differences
        return {row.name: row for row in found if row.level == "task"}

    def flips(self, base: Path, candidate: Path) -> dict[str, dict[str, int]]:
        """How many answers of each task the candidate fixed, and how many it broke."""
        found = {}
        for task, pair in self.compared(base, candidate).pairs.items():
            rows = changed(pair)
            fixed = int(np.sum(pair.candidate.values[rows] > pair.base.values[rows]))
            found[task] = {"fixed": fixed, "broken": len(rows) - fixed}
        return found

    def between(
        self, bases: Sequence[Path], candidates: Sequence[Path], tasks: Sequence[str]
    ) -> Estimate:
        """The difference of a mean over tasks.

        Args:
            bases: Runs of one row; one of them stands for each candidate's.
            candidates: Runs of the other, as many.
            tasks: Names.
        """
        bases = [*bases] * (len(candidates) if len(bases) == 1 else 1)
        found = [self.of(b, c) for b, c in zip(bases, candidates, strict=True)]
        return estimate(
            [float(np.mean([pair[task].difference for task in tasks])) for pair in found],
            np.array([np.mean([pair[task].resampled for task in tasks], axis=0) for pair in found]),
        )

    def score(self, run: Path, tasks: Sequence[str]) -> float:
        """The mean over tasks of a run's own figures."""
        if run not in self._figures:
            self._figures[run] = {
                task: metric.point(scores.stats.sum(axis=0))
                for task, scores in ScoredRun(run).scores(self.role).items()
                if (metric := scores.scoring.metric(self.metric)) is not None
            }
        return float(np.mean([self._figures[run][task] for task in tasks]))


def tasks_of(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """The tasks that a column is the mean of."""
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def named(task: str, metric: str | None) -> str:
    """What a task's figures are kept under: its name, and the metric if that is not its primary."""
    return task if metric is None else f"{task} {metric}"


def without_skill(run: Path, tasks: Sequence[str], metric: str | None) -> float | None:
    """What the best trivial baselines reach, a mean over tasks, `corrected`.

    0 of informedness; None of another metric that is not the primary one: nothing is stated of it.
    """
    if metric is not None:
        return 0.0 if metric == "informedness" else None
    found = ScoredRun(run).results["tasks"]
    return float(np.mean([found[task]["chance"]["metric"] for task in tasks]))


def labels_read(run: Path) -> dict[str, dict[str, int]]:
    """How often each label was read out of the answers, by task that has labels, `corrected`."""
    end = "_predicted"
    return {
        name: {
            column.removesuffix(end): int(count)
            for column, count in zip(
                scores.scoring.statistics, scores.stats.sum(axis=0), strict=True
            )
            if column.endswith(end)
        }
        for name, scores in ScoredRun(run).scores().items()
        if any(column.endswith(end) for column in scores.scoring.statistics)
    }


def figures(plan: Mapping[str, Any], runs: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """Everything that the page shows.

    Args:
        plan: As table3.toml.
        runs: By row, `base` among them: the run of each seed on `report` items.
    """
    names = list(ScoredRun(runs["base"][0]).tasks)
    columns = {c["title"]: tasks_of(c["tasks"], names) for c in plan["columns"]}
    columns = {title: tasks for title, tasks in columns.items() if tasks}
    metrics = {c["title"]: c.get("metric") for c in plan["columns"] if c["title"] in columns}
    shown = {title: (tasks, metrics[title]) for title, tasks in columns.items()}
    shown |= {name: ([name], None) for name in names}
    shown |= {
        named(task, metrics[title]): ([task], metrics[title])
        for title, tasks in columns.items()
        for task in tasks
    }
    pairs = {
        (role, metric): Differences(role, metric)
        for role in ("corrected", "official")
        for metric in {None, *metrics.values()}
    }
    found: dict[str, Any] = {
        "columns": columns,
        "metrics": metrics,
        "without_skill": {
            title: without_skill(runs["base"][0], tasks, metric)
            for title, (tasks, metric) in shown.items()
        },
        "rows": {},
    }
    for row, own in runs.items():
        told: dict[str, Any] = {"seeds": len(own), "labels": [labels_read(run) for run in own]}
        for role in ("corrected", "official"):
            told[role] = {}
            for title, (tasks, metric) in shown.items():
                pair = pairs[role, metric]
                scores = [pair.score(run, tasks) for run in own]
                gain = None if row == "base" else asdict(pair.between(runs["base"], own, tasks))
                told[role][title] = {
                    "score": float(np.mean(scores)),
                    "scores": scores,
                    "difference": gain,
                }
        told["flips"] = pairs["corrected", None].flips(runs["base"][0], own[0])
        found["rows"][row] = told
    found["claims"] = [
        claimed(claim, pairs["corrected", metrics[claim["column"]]], runs, columns)
        for claim in plan["claims"]
        if {claim["row"], claim["beside"]} <= runs.keys() and claim["column"] in columns
    ]
    return found


def claimed(
    claim: Mapping[str, Any],
    pairs: Differences,
    runs: Mapping[str, Sequence[Path]],
    columns: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """A claim of the plan, the difference it is about, and what that says of it."""
    row, beside = runs[claim["row"]], runs[claim["beside"]]
    count = len(row) if claim["beside"] == "base" else min(len(row), len(beside))
    bases = beside if claim["beside"] == "base" else beside[:count]
    return judged(claim, pairs.between(bases, row[:count], columns[claim["column"]]))


def judged(claim: Mapping[str, Any], found: Estimate) -> dict[str, Any]:
    """What the interval says of a claim: `holds`, `fails` or `open`.

    `holds` if it lies wholly above (below) the bound, and the difference itself reaches `least`;
    `fails` if it lies wholly on the other side, or below `least`; `open` otherwise, or with fewer
    seeds than three.
    """
    count = len(found.by_seed)
    if "above" in claim:
        holds, fails = found.low > claim["above"], found.high < claim["above"]
    else:
        holds, fails = found.high < claim["below"], found.low > claim["below"]
    least = claim.get("least", -math.inf)
    holds, fails = holds and found.points >= least, fails or found.high < least
    verdict = "open" if count < 3 else "holds" if holds else "fails" if fails else "open"
    return {**claim, "seeds": count, "verdict": verdict, **asdict(found)}
