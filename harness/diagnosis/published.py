"""Printed figures beside ours: shown always, ranked only where they may be.

Under official scoring, on all samples that the run has. The figures inform people; weaknesses,
buckets and hints never look at them, for they also rest on items that training must not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...tasks.errors import UnknownName
from ..published.conditions import why_apart
from ..published.paper import Paper, load_paper, path_of, shipped
from ..scored import ScoredRun
from .schema import Published, PublishedFigure
from .task_schema import Estimate


@dataclass(frozen=True)
class PublishedRow:
    """One model's figures in a published table.

    Attributes:
        row: The model.
        paper: Whose table it is.
    """

    row: str
    paper: Paper

    @property
    def figures(self) -> Mapping[str, float]:
        """By category (`benchmark/category`), in points."""
        return self.paper.figures(self.row)


def published_row(text: str) -> PublishedRow:
    """The row that `--against FILE:ROW` names.

    Args:
        text: A TOML file, or the name of one that ships with redone, a colon, and the model.

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


def beside(run: ScoredRun, row: PublishedRow) -> Published:
    """The row's figures beside the run's own."""
    ours = {r["name"]: r for r in run.results["tables"]["official"] if r["level"] == "category"}
    figures = [
        _figure(run, row, name, printed, ours.get(name)) for name, printed in row.figures.items()
    ]
    order = sorted(
        (f for f in figures if not f.why_not and f.gap.low is not None),
        key=lambda f: (-(f.gap.low or 0.0), f.name),
    )
    rank = {figure.name: place for place, figure in enumerate(order, 1)}
    return Published(
        row.row, row.paper.source, tuple(replace(f, rank=rank.get(f.name)) for f in figures)
    )


def _figure(
    run: ScoredRun,
    row: PublishedRow,
    name: str,
    printed: float,
    own: Mapping[str, Any] | None,
) -> PublishedFigure:
    score, gap = Estimate(None, None, None), Estimate(None, None, None)
    if own is None:
        return PublishedFigure(name, printed, score, gap, None, "the run lacks its tasks")
    score = Estimate(own["score"], own["low"], own["high"])
    if own["score"] is not None:
        low, high = own["low"], own["high"]
        gap = Estimate(
            printed - own["score"],
            None if high is None else printed - high,
            None if low is None else printed - low,
        )
    why_not = "; ".join(_reasons(run, row, name, own["of"]))
    if not why_not and own["score"] is None:
        why_not = "the run's figure is undefined"
    return PublishedFigure(name, printed, score, gap, None, why_not)


def _reasons(run: ScoredRun, row: PublishedRow, name: str, of: list[str]) -> list[str]:
    """Why a category may not be ranked beside the printed figure."""
    judged = {task: run.results["tasks"][task]["scorings"]["official"] for task in of}
    return why_apart(row.paper, name, of, run.request["tasks"], judged)
