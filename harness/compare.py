"""Compare two runs on the same samples: what must match, and the paired difference of every row.

Method: paired cluster bootstrap. Clusters are drawn once for all tasks and both runs, so means over
tasks and categories are paired too. To each task's difference a little normal noise is added, as if
one more item had been seen that is fixed or broken: a task on which nothing differs among 16 items
has not shown that nothing can (the pseudo-observations of Agresti and Min 2005, "Simple improved
confidence intervals for comparing matched proportions"). Each task also gets a sign-flip
permutation test of its values and, if they are 0 or 1, the exact McNemar test.

What must match: `FIELDS`. What is recorded and may differ: backend, dtype, package versions, chat
template. What is ignored: batch size, threads, workers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..tasks.errors import RedoneError, UnknownName
from ..tasks.registry import own_suite, table_of
from ..tasks.schema import Metric
from .records import services_of
from .run_folder import NotComparable, flatten, shown
from .scored_run import ScoredRun, TaskScores
from .stats import Discordance, bootstrap, mcnemar, nested_mean, sign_flip, unseen_error, upper_end

RESAMPLES = 10_000

FIELDS = (
    *("tasks", "samples", "prompt", "version", "scoring", "limits", "sampling", "draws"),
    *("system", "thinking", "protocol"),
)
"""What must match; `--allow` takes these names."""

_LIMITS = ("max_tokens", "stop", "max_thinking_tokens", "max_repetition")
_SAMPLING = ("temperature", "top_p", "top_k")
_IGNORED = {"batch_size", "threads", "workers"}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A field in which two runs differ: one of `FIELDS`, or one that is only recorded.

    `task` is "" for the whole run.
    """

    field: str
    task: str
    base: Any
    candidate: Any

    def __str__(self) -> str:
        where = f" of {self.task}" if self.task else ""
        return f"{self.field}{where}: {shown(self.base)} and {shown(self.candidate)}"


@dataclass(frozen=True)
class Difference:
    """One row of the table: candidate minus base, in points (percent of the metric).

    Attributes:
        level: `task`, `category`, `benchmark` or `suite`.
        name, title: Of the row.
        of: The tasks that it averages.
        samples: Number of pairs.
        base, candidate: The figures, unrounded, NaN where undefined.
        resampled: Differences, shape [B].
        largest: Points; no difference can be larger.
    """

    level: str
    name: str
    title: str
    of: tuple[str, ...]
    samples: int
    base: float
    candidate: float
    resampled: np.ndarray
    largest: float = math.inf

    @property
    def difference(self) -> float:
        return self.candidate - self.base

    @property
    def error(self) -> float:
        """The standard error of the difference."""
        return float(self.resampled.std())

    def interval(self, alpha: float, upper: float | None = None) -> tuple[float, float]:
        """The interval with error alpha at its lower end and `upper` (alpha) at its upper end."""
        return difference_interval(self.resampled, self.largest, alpha, upper)


def difference_interval(
    resampled: np.ndarray, largest: float, alpha: float, upper: float | None = None
) -> tuple[float, float]:
    """The interval of resampled differences [B], within what is possible; NaN where undefined."""
    low = -upper_end(-resampled, alpha)
    high = upper_end(resampled, alpha if upper is None else upper)
    if math.isnan(low):
        return low, high
    return max(-largest, min(low, largest)), min(largest, max(high, -largest))


@dataclass(frozen=True)
class Pairs:
    """The items of one task in both runs.

    Attributes:
        base, candidate: Row for row the same samples.
        sign_flip: Two-sided p-value of the sign-flip test of the mean value, flipped by cluster.
        discordance: McNemar test of "value is 1"; None unless all values are 0 or 1.
    """

    base: TaskScores
    candidate: TaskScores
    sign_flip: float
    discordance: Discordance | None


@dataclass(frozen=True)
class Comparison:
    """Everything about two runs that does not depend on a policy.

    Attributes:
        role: Of the scoring.
        partition: What was compared, one or `all`.
        differences: In the order of the tables.
        pairs: By task.
        overridden: Mismatches that were allowed.
        recorded: Differences in what may differ.
        notes: Tasks and samples that were left out, and why.
    """

    base: ScoredRun
    candidate: ScoredRun
    role: str
    partition: str
    differences: list[Difference]
    pairs: Mapping[str, Pairs]
    overridden: list[Mismatch]
    recorded: list[Mismatch]
    notes: list[str]
    resamples: int
    seed: int

    def row(self, level: str, name: str) -> Difference | None:
        """The difference of a row, None if there is none."""
        return next((d for d in self.differences if (d.level, d.name) == (level, name)), None)

    def allowance(self, beside: Collection[str] = ()) -> str:
        """The sentence that states which mismatches were allowed, but for fields `beside`."""
        fields = sorted({m.field for m in self.overridden} - set(beside))
        if not fields:
            return ""
        return f"The runs differ in {', '.join(fields)}; the comparison was allowed by hand."


def compare(
    base: ScoredRun,
    candidate: ScoredRun,
    *,
    role: str = "corrected",
    partition: str = "all",
    allowed: Iterable[str] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
    metric: str | None = None,
) -> Comparison:
    """Pairs two finished runs by sample and bootstraps their difference.

    Args:
        base: A run.
        candidate: The run that is compared with it.
        role: Of the scoring, `corrected` or `official`.
        partition: Only samples of this partition.
        allowed: Fields of `FIELDS` that may differ.
        resamples: Of the bootstrap and the sign flips.
        seed: Of both.
        metric: Name of the metric to compare, on the tasks that have it; None: each task's primary
            metric.

    Raises:
        NotComparable: They differ in what must match.
        RedoneError: They share no sample.
    """
    overridden = check_comparable(base, candidate, role, allowed)
    notes: list[str] = []
    one, two = base.scores(role, partition), candidate.scores(role, partition)
    matched = {}
    for name in one:
        if name not in two:
            continue
        if (reason := _no_points(one[name].scoring.metric(metric), metric)) is not None:
            notes.append(f"{name}: {reason}; it is left out.")
        else:
            pair = _matched(one[name], two[name], notes)
            if len(pair[0]):
                matched[name] = pair
            else:
                notes.append(f"{name}: no sample is scored in both runs; it is left out.")
    if not matched:
        where = f" of partition {partition!r}" if partition != "all" else ""
        where += f" of the metric {metric}" if metric else ""
        raise RedoneError(
            f"{base.path} and {candidate.path} share no scored sample{where}. Evaluate both on the "
            "same tasks and partition."
        )
    return Comparison(
        base,
        candidate,
        role,
        partition,
        differences(matched, resamples, seed, metric),
        {name: _pairs(one, two, resamples, seed) for name, (one, two) in matched.items()},
        overridden,
        recorded_differences(base, candidate),
        notes,
        resamples,
        seed,
    )


def differences(
    matched: Mapping[str, tuple[TaskScores, TaskScores]],
    resamples: int = RESAMPLES,
    seed: int = 0,
    metric: str | None = None,
) -> list[Difference]:
    """The paired difference of every row of the table of some tasks.

    Base and candidate have the same samples, row for row. All tasks must have the `metric`; None:
    each one's primary metric.
    """
    before, after, moved = _figures(matched, resamples, seed, metric)
    largest = {name: _span(mine, metric) for name, (mine, _) in matched.items()}
    rows = table_of(list(matched))
    own = own_suite(rows)
    return [
        Difference(
            row.level,
            row.name,
            row.title,
            row.of,
            sum(len(matched[name][0]) for name in row.of),
            nested_mean(row.groups, before),
            nested_mean(row.groups, after),
            nested_mean(row.groups, moved),
            nested_mean(row.groups, largest),
        )
        for row in (*rows, *((own,) if own else ()))
    ]


def _span(scores: TaskScores, named: str | None) -> float:
    """The largest difference that is possible in a metric of a task."""
    metric = scores.scoring.metric(named)
    return metric.highest - metric.lowest if metric else math.inf


def _no_points(metric: Metric | None, name: str | None) -> str | None:
    """Why a metric has no difference in points, None if it has one."""
    if metric is None:
        return f"it has no metric {name}"
    if metric.from_items is not None:
        return f"{metric.name} is no function of sums"
    return None if metric.higher_is_better else f"a lower {metric.name} is better"


def _matched(
    base: TaskScores, candidate: TaskScores, notes: list[str]
) -> tuple[TaskScores, TaskScores]:
    """The rows of the samples that both runs scored."""
    name = base.task.name
    for side in (base, candidate):
        if side.not_scored:
            why = "a service missing, or an error of the scorer"
            notes.append(f"{name}: {side.not_scored} samples were not scored ({why}).")
    mine, theirs = base.shared(candidate)
    if len(mine) < max(len(base), len(candidate)):
        notes.append(
            f"{name}: {len(mine)} samples are in both runs, of {len(base)} and {len(candidate)}."
        )
    return base.at(mine), candidate.at(theirs)


def _figures(
    matched: Mapping[str, tuple[TaskScores, TaskScores]],
    resamples: int,
    seed: int,
    named: str | None,
) -> tuple[dict[str, float], dict[str, float], dict[str, np.ndarray]]:
    """Base and candidate figures and resampled differences, by task."""
    sums, drawn = bootstrap(
        {name: mine.clusters for name, (mine, _) in matched.items()},
        {name: np.hstack([one.stats, two.stats]) for name, (one, two) in matched.items()},
        resamples,
        seed,
    )
    generator = np.random.Generator(np.random.PCG64([seed, 1]))
    base, candidate, resampled = {}, {}, {}
    for name, (mine, _) in matched.items():
        metric, width = mine.scoring.metric(named), len(mine.scoring.statistics)
        assert metric is not None
        with np.errstate(all="ignore"):
            both = np.vstack([sums[name].total, drawn[name]])
            before, after = metric.from_sums(both[:, :width]), metric.from_sums(both[:, width:])
        base[name], candidate[name] = float(before[0]), float(after[0])
        moved = after[1:] - before[1:]
        # A resample without any item of a small task has no information on that task.
        undefined = np.isnan(moved)
        if not undefined.all():
            moved[undefined] = np.median(moved[~undefined])
        unseen = unseen_error(len(sums[name].clusters))
        resampled[name] = moved + generator.normal(0, unseen, size=resamples)
    return base, candidate, resampled


def _pairs(base: TaskScores, candidate: TaskScores, resamples: int, seed: int) -> Pairs:
    moved = candidate.values - base.values
    _, codes = np.unique(base.clusters, return_inverse=True)
    by_cluster = np.bincount(codes, weights=moved)
    values = np.concatenate([base.values, candidate.values])
    binary = bool(np.isin(values, (0, 1)).all())
    return Pairs(
        base,
        candidate,
        sign_flip(by_cluster, resamples, seed),
        mcnemar(base.values == 1, candidate.values == 1) if binary else None,
    )


def check_comparable(
    base: ScoredRun, candidate: ScoredRun, role: str, allowed: Iterable[str] = ()
) -> list[Mismatch]:
    """Checks that two runs may be compared; returns the mismatches in fields that may differ.

    Raises:
        NotComparable: Another field differs; the message lists all of them.
        UnknownName: No such field.
    """
    allowed = set(allowed)
    for field in allowed - set(FIELDS):
        raise UnknownName("field", field, FIELDS)
    found = mismatches(base, candidate, role)
    refused = [m for m in found if m.field not in allowed]
    if refused:
        fields = sorted({m.field for m in refused}, key=FIELDS.index)
        lines = "".join(f"\n  {m}" for m in refused[:20])
        more = f"\n  and {len(refused) - 20} more" if len(refused) > 20 else ""
        raise NotComparable(
            f"{base.path} and {candidate.path} cannot be compared, they differ in "
            f"{', '.join(fields)}:{lines}{more}\nEvaluate both alike, or override with "
            f"--allow {','.join(fields)}; the result then says so.",
            refused,
        )
    return found


def mismatches(base: ScoredRun, candidate: ScoredRun, role: str) -> list[Mismatch]:
    """Every difference in what must match."""
    found = []
    only = [sorted(set(a.tasks) - set(b.tasks)) for a, b in ((base, candidate), (candidate, base))]
    if any(only):
        sides = [f"{len(o)} of its own ({o[0]} ...)" if o else "none of its own" for o in only]
        found.append(Mismatch("tasks", "", *sides))
    found += _differing("", *(_run_fields(run) for run in (base, candidate)))
    for name in base.tasks:
        if name in candidate.tasks:
            # Runs of predictions for some samples only are paired on those that both have.
            part = any("of" in run.request["tasks"][name] for run in (base, candidate))
            fields = [_task_fields(run, name, role) for run in (base, candidate)]
            found += [m for m in _differing(name, *fields) if m.field != "samples" or not part]
    return found


def recorded_differences(base: ScoredRun, candidate: ScoredRun) -> list[Mismatch]:
    """Differences in what may differ: backend, dtype, package versions, chat template."""
    one, two = (
        flatten(
            {
                **run.run.get("environment", {}),
                "versions": run.run.get("versions", {}),
                "chat_template": run.request["model"].get("chat_template"),
                "chat_template_args": run.request["model"].get("chat_template_args", {}),
                "partition": run.request.get("partition"),
                "seed": run.request.get("seed"),
            }
        )
        for run in (base, candidate)
    )
    names = sorted((one.keys() | two.keys()) - _IGNORED)
    return _differing("", {n: one.get(n) for n in names}, {n: two.get(n) for n in names})


def _run_fields(run: ScoredRun) -> Mapping[str, Any]:
    """The fields of the whole run that must match."""
    request = run.request
    return {
        "draws": request.get("draws"),
        "system": request.get("system"),
        "thinking": request["model"].get("thinking", "auto"),
    }


def _task_fields(run: ScoredRun, task: str, role: str) -> Mapping[str, Any]:
    """The fields of one task that must match."""
    request = run.request["tasks"][task]
    settings = request["settings"]
    record = run.results["tasks"][task]["scorings"][role]
    services = services_of(record["signature"])
    return {
        "version": request["version"],
        "samples": request["data"],
        "prompt": request["prompt"],
        "protocol": request.get("protocol", "own"),
        "scoring": " ".join([record["scoring"], *(f"{k} {v}" for k, v in services.items())]),
        "limits": {name: settings.get(name) for name in _LIMITS},
        "sampling": {name: settings.get(name) for name in _SAMPLING},
    }


def _differing(task: str, base: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[Mismatch]:
    """The fields, the same on both sides, whose values differ."""
    pairs = ((field, base[field], candidate[field]) for field in base)
    return [Mismatch(field, task, one, two) for field, one, two in pairs if one != two]
