"""Ranks what was measured: weaknesses, failure buckets, and published figures next to ours.

A weakness's priority is the lower end of its gap's 95 % interval times the weight of its task. The
gap is that of the whole task or of its weakest slice, whichever has the higher lower end. A task
with a significantly weaker slice is listed under that slice. The weight is 1 / (tasks of the task's
suite in the run) unless given. Failure buckets are those of RedOne 2.0, section 3.2.

Published figures are compared under official scoring, on all samples of the run. They are for
reading only: weaknesses, buckets and hints do not use them, as they include items that training
must not see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...tasks.errors import UnknownName
from ...tasks.registry import SUITES, suite_tasks
from ...tasks.schema import Failure
from ..published.paper import Paper, load_paper, path_of, shipped, why_not_comparable
from ..scored_run import ScoredRun
from .items import TaskItems
from .measure import UNDEFINED, main_failure
from .schema import Bucket, Estimate, Published, PublishedFigure, Slice, TaskDiagnosis, Weakness


def weights(names: Sequence[str], given: Mapping[str, float]) -> dict[str, float]:
    """The weight of the gap of each task that has items: the given one, or the default."""
    suite_of = {task.name: suite for suite in SUITES for task in suite_tasks(suite)}
    suites = Counter(suite_of.get(name, "") for name in names)
    return {name: given.get(name, 1 / suites[suite_of.get(name, "")]) for name in names}


def regions(tasks: Mapping[str, TaskDiagnosis], items: Mapping[str, TaskItems]) -> list[Weakness]:
    """Every task and weak slice with a significant gap, by decreasing priority; not ranked yet."""
    found = [r for name, task in tasks.items() for r in _regions(name, task, items[name])]
    # Figures equal to six digits are equal: slices of one task then stay in order, weakest first.
    return sorted(
        found, key=lambda r: (-round(r.priority, 6), -round(r.gap.value or 0.0, 6), r.task)
    )


def _regions(name: str, task: TaskDiagnosis, items: TaskItems) -> Iterator[Weakness]:
    parts: list[tuple[Slice | None, Failure | None, Estimate | None]] = [
        (None, main_failure(items.failures.sum(axis=0) / max(1, len(items.failures))), task.gap),
        *(
            (part.slice, part.failure, part.gap)
            for part in task.slices
            if part.difference.value is not None and part.difference.value < 0
        ),
    ]
    for slice_, failure, gap in parts:
        if gap is not None and gap.low is not None and gap.low > 0:
            yield Weakness(0, name, slice_, failure, gap, task.weight, gap.low * task.weight)


def ranked(found: Sequence[Weakness]) -> tuple[Weakness, ...]:
    """The list of weaknesses, each task once, from regions by decreasing priority."""
    by_task: dict[str, list[Weakness]] = {}
    for region in found:
        by_task.setdefault(region.task, []).append(region)
    lines = []
    for rank, own in enumerate(by_task.values(), 1):
        named = next((r for r in own if r.slice is not None), own[0])
        lines.append(replace(own[0], rank=rank, slice=named.slice, failure=named.failure))
    return tuple(lines)


def bucket(region: Weakness, items: TaskItems) -> Bucket:
    """The bucket of a region of the `diagnose` partition; the items that failed are evidence."""
    inside = np.ones(len(items), dtype=bool)
    if region.slice is not None:
        described = zip(items.languages, items.tags, items.characters, strict=True)
        matches = (region.slice.matches(str(lang), tags, int(n)) for lang, tags, n in described)
        inside = np.fromiter(matches, dtype=bool, count=len(items))
    failed = inside & (items.failures.sum(axis=1) > 0)
    return Bucket(
        region.task,
        items.task.capability,
        region.slice,
        region.failure,
        region.gap,
        region.priority,
        int(inside.sum()),
        tuple(sample.decode() for sample in items.scores.samples[failed]),
    )


@dataclass(frozen=True)
class PublishedRow:
    """The figures of one model, `row`, in a published table of `paper`."""

    row: str
    paper: Paper


def published_row(text: str) -> PublishedRow:
    """The row that `--against FILE:MODEL` names; the file is a TOML file, or a shipped paper.

    Raises:
        UnknownName: No such table or row.
        MissingData, BadRow: A file that cannot be read, or has another form.
    """
    path, row = path_of(text), ""
    if path is None:
        name, _, row = text.rpartition(":")
        path = path_of(name)
    if path is None:
        raise UnknownName("run folder, or published table with :MODEL,", text, shipped())
    paper = load_paper(path)
    if row not in paper.rows:
        raise UnknownName(f"model in {path.name} (write {path.stem}:MODEL)", row, paper.rows)
    return PublishedRow(row, paper)


def compare_published(run: ScoredRun, published: PublishedRow) -> Published:
    """The row's figures next to the run's own; those that are comparable are ranked by gap."""
    row, paper = published.row, published.paper
    ours = {r["name"]: r for r in run.results["tables"]["official"] if r["level"] == "category"}
    figures = [
        _figure(run, paper, name, printed, ours.get(name))
        for name, printed in paper.figures(row).items()
    ]
    order = sorted(
        (f for f in figures if not f.why_not and f.gap.low is not None),
        key=lambda f: (-(f.gap.low or 0.0), f.name),
    )
    rank = {figure.name: place for place, figure in enumerate(order, 1)}
    return Published(row, paper.source, tuple(replace(f, rank=rank.get(f.name)) for f in figures))


def _figure(
    run: ScoredRun, paper: Paper, name: str, printed: float, own: Mapping[str, Any] | None
) -> PublishedFigure:
    if own is None:
        return PublishedFigure(name, printed, UNDEFINED, UNDEFINED, None, "the run lacks its tasks")
    score, low, high = own["score"], own["low"], own["high"]
    gap = UNDEFINED
    if score is not None:
        gap = Estimate(
            printed - score,
            None if high is None else printed - high,
            None if low is None else printed - low,
        )
    results = {task: run.results["tasks"][task]["scorings"]["official"] for task in own["of"]}
    why_not = "; ".join(why_not_comparable(paper, name, own["of"], run.request["tasks"], results))
    if not why_not and score is None:
        why_not = "the run's figure is undefined"
    return PublishedFigure(name, printed, Estimate(score, low, high), gap, None, why_not)
