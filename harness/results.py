"""From scored answers to `results.json`: metrics, intervals, tables and signatures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from ..tasks.registry import TableRow, table_of
from ..tasks.schema import Services
from ..tasks.task import Task
from .intervals import UNDEFINED, Figure, interval
from .records import (
    ROLES,
    SCHEMA_VERSION,
    Counted,
    Interval,
    Results,
    RunRecord,
    ScoringResult,
    TableResult,
    TaskResult,
    signature,
)
from .run_folder import RunFolder, no_run
from .score import Effort, RunScores, Tally
from .stats import Sums, nested_mean, resampled_items, weights_of

RESAMPLES = 100
"""Of a metric that is computed from items: each costs as much as the metric itself."""


def write_results(
    folder: RunFolder,
    scores: RunScores,
    tasks: Mapping[str, Task],
    services: Services,
    resamples: int = RESAMPLES,
) -> Results:
    """Computes and writes results.json; returns its content.

    Args:
        folder: With run.json; locked by the caller.
        scores: Its scored answers.
        tasks: By name.
        services: What scoring used; their identities are part of the signatures.
        resamples: Of metrics that are no function of sums.
    """
    run = folder.run
    if run is None:
        raise no_run(folder.path)
    seed = run["request"].get("seed", 0)
    estimates = {role: estimates_of(role, scores, resamples, seed) for role in ROLES}
    efforts = scores.efforts
    results: Results = {
        "schema_version": SCHEMA_VERSION,
        "complete": not any(effort.missing for effort in efforts.values()),
        "model": None,
        "resamples": resamples,
        "tasks": {
            name: _task_result(
                tasks[name],
                effort,
                run["request"].get("tasks", {}).get(name, {}).get("of"),
                {
                    role: _scoring_result(tally, estimates[role][name], run, services)
                    for role, tally in scores.tallies.get(name, {}).items()
                },
            )
            for name, effort in efforts.items()
        },
        "tables": {
            role: [
                _table_result(row, estimates[role], run, scores, role, services)
                for row in table_of(list(efforts))
            ]
            for role in ROLES
        },
        "seconds": {name: round(effort.seconds, 3) for name, effort in efforts.items()},
    }
    if prices := run.get("environment", {}).get("prices_per_million_tokens"):
        read = sum(effort.prompt_tokens for effort in efforts.values())
        written = sum(effort.tokens for effort in efforts.values())
        # In the prices' currency, without failed attempts.
        results["cost"] = round((read * prices["input"] + written * prices["output"]) / 1e6, 6)
    environment = run.get("environment", {})
    left_out = environment.get("left_out", {})
    notes = [f"Not sent to the server: {field} ({what})." for field, what in left_out.items()]
    if notes := [*environment.get("notes", []), *notes]:
        results["notes"] = notes
    folder.write("results.json", results)
    return results


def _task_result(
    task: Task, effort: Effort, of: int | None, scorings: dict[str, ScoringResult]
) -> TaskResult:
    result: TaskResult = {
        "title": task.title,
        "category": task.category,
        "capability": task.capability,
        "chance": task.chance.record(),
        "samples": effort.samples,
        "missing": effort.missing,
        "answers": effort.answers,
        "prompt_tokens": effort.prompt_tokens,
        "tokens": effort.tokens,
        "truncated": effort.truncated,
        "shortened": effort.shortened,
        "scorings": scorings,
    }
    if of is not None:
        result["of"] = of
    return result


def _table_result(
    row: TableRow,
    estimates: Mapping[str, Estimate],
    run: RunRecord,
    scores: RunScores,
    role: str,
    services: Services,
) -> TableResult:
    return {
        "level": row.level,
        "name": row.name,
        "title": row.title,
        "of": list(row.of),
        **mean_of(row.groups, estimates).record(),
        "signature": _signed(row.name, run, [scores.tallies[t][role] for t in row.of], services),
    }


@dataclass(frozen=True)
class Estimate:
    """A score of one task or a mean over tasks.

    Attributes:
        point: In percent, as printed.
        figures: Of the tasks; none where one has no scored sample.
        weights: Of each.
    """

    point: float
    figures: tuple[Figure, ...] = ()
    weights: tuple[float, ...] = (1.0,)

    def record(self) -> Interval:
        """Score and interval, None where undefined; the number of resamples drawn from items."""
        low, high = interval(self.figures, self.weights) if self.figures else UNDEFINED
        # Authors print rounded figures.
        low, high = min(low, self.point), max(high, self.point)
        found: Interval = {"score": _json(self.point), "low": _json(low), "high": _json(high)}
        if len(self.figures) == 1 and self.figures[0].resamples is not None:
            found["item_resamples"] = self.figures[0].resamples
        return found


def estimates_of(role: str, scores: RunScores, resamples: int, seed: int) -> dict[str, Estimate]:
    """The primary metric of every task under one role of scoring, by task."""
    tallies = {name: found[role] for name, found in scores.tallies.items() if role in found}

    def estimate(tally: Tally | None) -> Estimate:
        if tally is None or not tally.stats:
            return Estimate(math.nan)
        metric, clusters = tally.scoring.metrics[0], np.array(tally.clusters)
        if metric.from_items is None:
            figure = Figure.of(metric, Sums.of(clusters, np.vstack(tally.stats)))
        else:
            point = metric.point(np.empty(0), _flat(tally))
            drawn = resampled_items(tally.items, clusters, metric.from_items, resamples, seed)
            figure = Figure.of_resamples(metric, point, drawn, clusters)
        return Estimate(figure.point, (figure,))

    return {name: estimate(tallies.get(name)) for name in scores.efforts}


def mean_of(groups: Sequence[Any], estimates: Mapping[str, Estimate]) -> Estimate:
    """The mean over nested groups of task names."""
    weights = weights_of(groups)
    point = nested_mean(groups, {name: estimates[name].point for name in weights})
    if not all(estimates[name].figures for name in weights):
        return Estimate(point)
    figures = tuple(estimates[name].figures[0] for name in weights)
    return Estimate(point, figures, tuple(weights.values()))


def _flat(tally: Tally) -> list[Any]:
    return [item for own in tally.items for item in own]


def _scoring_result(
    tally: Tally, estimate: Estimate, run: RunRecord, services: Services
) -> ScoringResult:
    total = np.sum(tally.stats, axis=0) if tally.stats else None
    with np.errstate(all="ignore"):
        metrics = {
            m.name: None if total is None else _json(m.point(total, _flat(tally)))
            for m in tally.scoring.metrics
        }
    result: ScoringResult = {
        "scoring": tally.scoring.name,
        "primary": tally.scoring.metrics[0].name,
        **estimate.record(),
        "metrics": metrics,
        "mean_value": _json(math.fsum(tally.values) / len(tally.values)) if tally.values else None,
        "failures": dict(sorted(tally.failures.items())),
        "not_scored": tally.not_scored,
        "lacks": list(services.missing(tally.scoring.needs)),
        "sums": None if total is None else [float(x) for x in total],
        "signature": _signed(tally.task.name, run, [tally], services),
    }
    if tally.errors:
        result["errors"] = tally.errors
    return result


def _signed(name: str, run: RunRecord, tallies: Sequence[Tally], services: Services) -> str:
    """The signature of a score of this run."""
    counted = []
    for tally in tallies:
        used = {need: getattr(services, need) for need in tally.scoring.needs}
        identities = {need: s.identity if s else "none" for need, s in used.items()}
        task, n = tally.task, len(tally.values)
        counted.append(Counted(task.name, task.version, tally.scoring.name, n, identities))
    return signature(name, run["request"], counted, version("redone"))


def _json(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
