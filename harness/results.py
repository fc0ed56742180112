"""From judged answers to `results.json`: figures, intervals, tables and signatures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from ..tasks.registry import table_of
from ..tasks.schema import Metric, Services, Task
from .scores import Judged, Tally
from .signature import Counted, signature
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
from .store import SCHEMA_VERSION, RunFolder

RESAMPLES = 1000
OPAQUE_RESAMPLES = 100
"""Of a metric that is made from items: each resample costs as much as the metric itself."""
ROLES = ("corrected", "official")
"""The scorings of every run; `corrected` is the one that decisions rest on."""


def write_results(
    folder: RunFolder,
    judged: Judged,
    tasks: Mapping[str, Task],
    services: Services,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Computes and writes results.json.

    Args:
        folder: With run.json; locked by the caller.
        judged: Its answers.
        tasks: By name.
        services: What scoring used; their identities are part of the signatures.
        resamples: Bootstrap resamples of the intervals.

    Returns:
        The content of results.json; `complete` is false if a sample has no answer.
    """
    run = folder.run or {}
    seed = run.get("request", {}).get("seed", 0)
    figures = {role: figures_of(role, judged, resamples, seed) for role in ROLES}
    by_task: dict[str, Any] = {}
    for name, effort in judged.efforts.items():
        task = tasks[name]
        by_task[name] = {
            "title": task.title,
            "category": task.category,
            "capability": task.capability,
            "chance": {"metric": task.chance.metric, "value": task.chance.value},
            "samples": effort.samples,
            "missing": effort.missing,
            "answers": effort.answers,
            "prompt_tokens": effort.prompt_tokens,
            "tokens": effort.tokens,
            "truncated": effort.truncated,
            "shortened": effort.shortened,
            "scorings": {
                role: _scoring_record(
                    tally,
                    figures[role][name],
                    _signed(name, run, [tally], services),
                    services.missing(tally.scoring.needs),
                )
                for role, tally in judged.tallies.get(name, {}).items()
            },
        }
    results = {
        "schema_version": SCHEMA_VERSION,
        "complete": not any(e.missing for e in judged.efforts.values()),
        "model": run.get("model"),
        "resamples": resamples,
        "tasks": by_task,
        "tables": {
            role: [
                {
                    "level": row.level,
                    "name": row.name,
                    "title": row.title,
                    "of": list(row.of),
                    **mean_of(row.groups, figures[role]).record(),
                    "signature": _signed(
                        row.name, run, [judged.tallies[t][role] for t in row.of], services
                    ),
                }
                for row in table_of(list(by_task))
            ]
            for role in ROLES
        },
        "seconds": {n: round(e.seconds, 3) for n, e in judged.efforts.items()},
    }
    if prices := run.get("environment", {}).get("prices_per_million_tokens"):
        results["cost"] = round(cost(judged, prices), 6)
    folder.write("results.json", results)
    return results


def cost(judged: Judged, prices: Mapping[str, float]) -> float:
    """What the answers cost, in the prices' currency; attempts that failed are not in it.

    Args:
        judged: Answers with their tokens.
        prices: Of a million tokens: `input` and `output`.
    """
    read = sum(effort.prompt_tokens for effort in judged.efforts.values())
    written = sum(effort.tokens for effort in judged.efforts.values())
    return (read * prices["input"] + written * prices["output"]) / 1e6


@dataclass(frozen=True)
class Figure:
    """A metric's point (as printed) and how it varies.

    Attributes:
        point: In percent.
        resampled: Shape [B].
        left_out: The figure without each cluster of the run in turn, shape [clusters].
        exact: An interval that is known already.
        few: How many resamples there really are, where they were made from items.
    """

    point: float
    resampled: np.ndarray
    left_out: np.ndarray
    exact: tuple[float, float] | None = None
    few: int | None = None

    def record(self) -> dict[str, Any]:
        """Score and interval, None where undefined; how few resamples, where the items are."""
        low, high = self.exact or bca_interval(self.resampled, self.point, self.left_out)
        figures = {"score": _json(self.point), "low": _json(low), "high": _json(high)}
        return figures | ({"item_resamples": self.few} if self.few is not None else {})


def figures_of(role: str, judged: Judged, resamples: int, seed: int) -> dict[str, Figure]:
    """The primary metric of every task under one role of scoring, by task."""
    chosen = {
        name: found[role]
        for name, found in judged.tallies.items()
        if role in found and found[role].stats
    }
    sums = {
        name: Sums.of(np.array(tally.clusters), np.vstack(tally.stats))
        for name, tally in chosen.items()
    }
    exact = {
        name: _exact_interval(tally.scoring.metrics[0].proportion, sums[name])
        for name, tally in chosen.items()
    }
    sums, clusters = grouped(sums, max(1, judged.clusters), seed)
    resampled = resampled_sums(sums, clusters, resamples, seed)
    figures = {}
    for name in judged.efforts:
        if name not in chosen:
            nothing = np.full(resamples, math.nan), np.full(clusters, math.nan)
            figures[name] = Figure(math.nan, *nothing)
            continue
        metric, total = chosen[name].scoring.metrics[0], sums[name].total
        if metric.from_items is not None:
            figures[name] = _opaque(metric, chosen[name], clusters, resamples, seed)
            continue
        with np.errstate(all="ignore"):
            left_out = np.full(clusters, metric.from_sums(total))
            left_out[sums[name].clusters] = leave_one_out(sums[name], metric.from_sums)
            figures[name] = Figure(
                metric.point(total), metric.from_sums(resampled[name]), left_out, exact[name]
            )
    return figures


def _opaque(metric: Metric, tally: Tally, clusters: int, resamples: int, seed: int) -> Figure:
    """A figure that is no function of sums: fewer resamples, repeated to as many as the others."""
    point = metric.point(np.empty(0), _flat(tally))
    few = min(resamples, OPAQUE_RESAMPLES)
    assert metric.from_items is not None
    found = resampled_items(tally.items, np.array(tally.clusters), metric.from_items, few, seed)
    unknown = np.full(clusters, math.nan)
    return Figure(point, np.resize(found, resamples), unknown, percentile_interval(found), few)


def _flat(tally: Tally) -> list[Any]:
    return [item for own in tally.items for item in own]


def _exact_interval(proportion: tuple[int, int] | None, sums: Sums) -> tuple[float, float] | None:
    """Wilson's interval where items are independent trials; it does not collapse at 0 or 100."""
    if proportion is None or int(sums.items.max()) > 1:
        return None
    hits, count = sums.total[list(proportion)]
    return wilson_interval(hits, count)


def mean_of(groups: Sequence[Any], figures: Mapping[str, Figure]) -> Figure:
    """The mean over nested groups of task names."""
    if len(groups) == 1 and isinstance(groups[0], str):
        return figures[groups[0]]
    parts = ("point", "resampled", "left_out")
    return Figure(
        *(nested_mean(groups, {n: getattr(f, part) for n, f in figures.items()}) for part in parts)
    )


def _scoring_record(
    tally: Tally, figure: Figure, signed: str, lacks: Sequence[str]
) -> dict[str, Any]:
    total = np.sum(tally.stats, axis=0) if tally.stats else None
    with np.errstate(all="ignore"):
        metrics = {
            m.name: None if total is None else _json(m.point(total, _flat(tally)))
            for m in tally.scoring.metrics
        }
    return {
        "scoring": tally.scoring.name,
        "primary": tally.scoring.metrics[0].name,
        **figure.record(),
        "metrics": metrics,
        "mean_value": _json(math.fsum(tally.values) / len(tally.values)) if tally.values else None,
        "failures": dict(sorted(tally.failures.items())),
        "not_scored": tally.not_scored,
        "lacks": list(lacks),
        "sums": None if total is None else [float(x) for x in total],
        "signature": signed,
    }


def _signed(name: str, run: Mapping[str, Any], tallies: Sequence[Tally], services: Services) -> str:
    """The signature of a figure of this run."""

    def identity(need: str) -> str:
        service = getattr(services, need)
        return service.identity if service else "none"

    counted = [
        Counted(
            tally.task.name,
            tally.task.version,
            tally.scoring.name,
            len(tally.values),
            {need: identity(need) for need in tally.scoring.needs},
        )
        for tally in tallies
    ]
    return signature(name, run.get("request", {}), counted, version("redone"))


def _json(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
