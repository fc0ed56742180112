"""From scored answers to `results.json`: metrics, intervals, tables and signatures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from ..tasks.registry import TableRow, table_of
from ..tasks.schema import Metric, Services
from ..tasks.task import Task
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
from .stats import (
    Sums,
    bca_interval,
    grouped,
    leave_one_out,
    nested_mean,
    percentile_interval,
    resampled_items,
    resampled_sums,
    wilson_interval,
)

RESAMPLES = 1000
OPAQUE_RESAMPLES = 100
"""Of a metric that is computed from items: each resample costs as much as the metric itself."""


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
        resamples: Bootstrap resamples of the intervals.
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
    if notes := run.get("environment", {}).get("notes"):
        results["notes"] = notes
    folder.write("results.json", results)
    return results


def _task_result(
    task: Task, effort: Effort, of: int | None, scorings: dict[str, ScoringResult]
) -> TaskResult:
    return {
        "title": task.title,
        "category": task.category,
        "capability": task.capability,
        "chance": {"metric": task.chance.metric, "value": task.chance.value},
        "samples": effort.samples,
        **({} if of is None else {"of": of}),
        "missing": effort.missing,
        "answers": effort.answers,
        "prompt_tokens": effort.prompt_tokens,
        "tokens": effort.tokens,
        "truncated": effort.truncated,
        "shortened": effort.shortened,
        "scorings": scorings,
    }


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
    """The point estimate of a metric (as printed) and its variation.

    Attributes:
        point: In percent.
        resampled: Shape [B].
        left_out: The metric without each cluster of the run in turn, shape [clusters].
        exact: An interval that needs no resamples.
        few: How many resamples there really are, where they were drawn from items.
    """

    point: float
    resampled: np.ndarray
    left_out: np.ndarray
    exact: tuple[float, float] | None = None
    few: int | None = None

    def record(self) -> Interval:
        """Score and interval, None where undefined; the number of resamples drawn from items."""
        low, high = self.exact or bca_interval(self.resampled, self.point, self.left_out)
        found: Interval = {"score": _json(self.point), "low": _json(low), "high": _json(high)}
        if self.few is not None:
            found["item_resamples"] = self.few
        return found


def estimates_of(role: str, scores: RunScores, resamples: int, seed: int) -> dict[str, Estimate]:
    """The primary metric of every task under one role of scoring, by task."""
    tallies = {name: found[role] for name, found in scores.tallies.items() if role in found}
    chosen = {name: tally for name, tally in tallies.items() if tally.stats}
    by_cluster = {
        name: Sums.of(np.array(tally.clusters), np.vstack(tally.stats))
        for name, tally in chosen.items()
    }
    sums, clusters = grouped(by_cluster, max(1, scores.clusters), seed)
    resampled = resampled_sums(sums, clusters, resamples, seed)

    def estimate(name: str) -> Estimate:
        if name not in chosen:
            return Estimate(math.nan, np.full(resamples, math.nan), np.full(clusters, math.nan))
        metric, total = chosen[name].scoring.metrics[0], sums[name].total
        if metric.from_items is not None:
            return _opaque(metric, chosen[name], clusters, resamples, seed)
        exact = _exact_interval(metric.proportion, by_cluster[name])
        with np.errstate(all="ignore"):
            left_out = np.full(clusters, metric.from_sums(total))
            left_out[sums[name].clusters] = leave_one_out(sums[name], metric.from_sums)
            return Estimate(metric.point(total), metric.from_sums(resampled[name]), left_out, exact)

    return {name: estimate(name) for name in scores.efforts}


def _opaque(metric: Metric, tally: Tally, clusters: int, resamples: int, seed: int) -> Estimate:
    """A metric that is no function of sums: fewer resamples, repeated to as many as the others."""
    point = metric.point(np.empty(0), _flat(tally))
    few = min(resamples, OPAQUE_RESAMPLES)
    assert metric.from_items is not None
    found = resampled_items(tally.items, np.array(tally.clusters), metric.from_items, few, seed)
    unknown = np.full(clusters, math.nan)
    return Estimate(point, np.resize(found, resamples), unknown, percentile_interval(found), few)


def _flat(tally: Tally) -> list[Any]:
    return [item for own in tally.items for item in own]


def _exact_interval(proportion: tuple[int, int] | None, sums: Sums) -> tuple[float, float] | None:
    """Wilson's interval where items are independent trials; it does not collapse at 0 or 100."""
    if proportion is None or int(sums.items.max()) > 1:
        return None
    hits, count = sums.total[list(proportion)]
    return wilson_interval(hits, count)


def mean_of(groups: Sequence[Any], estimates: Mapping[str, Estimate]) -> Estimate:
    """The mean over nested groups of task names."""
    if len(groups) == 1 and isinstance(groups[0], str):
        return estimates[groups[0]]

    def mean(part: str) -> Any:
        return nested_mean(groups, {name: getattr(e, part) for name, e in estimates.items()})

    return Estimate(mean("point"), mean("resampled"), mean("left_out"))


def _scoring_result(
    tally: Tally, estimate: Estimate, run: RunRecord, services: Services
) -> ScoringResult:
    total = np.sum(tally.stats, axis=0) if tally.stats else None
    with np.errstate(all="ignore"):
        metrics = {
            m.name: None if total is None else _json(m.point(total, _flat(tally)))
            for m in tally.scoring.metrics
        }
    return {
        "scoring": tally.scoring.name,
        "primary": tally.scoring.metrics[0].name,
        **estimate.record(),
        "metrics": metrics,
        "mean_value": _json(math.fsum(tally.values) / len(tally.values)) if tally.values else None,
        "failures": dict(sorted(tally.failures.items())),
        "not_scored": tally.not_scored,
        **({"errors": tally.errors} if tally.errors else {}),
        "lacks": list(services.missing(tally.scoring.needs)),
        "sums": None if total is None else [float(x) for x in total],
        "signature": _signed(tally.task.name, run, [tally], services),
    }


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
