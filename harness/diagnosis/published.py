"""Printed figures beside ours: shown always, ranked only where they may be.

Under official scoring, on all samples that the run has. The figures inform people; weaknesses,
buckets and hints never look at them, for they also rest on items that training must not know.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...tasks.errors import BadRow, MissingData, UnknownName
from ...tasks.registry import BENCHMARKS
from ..scored import ScoredRun
from .schema import Published, PublishedFigure
from .task_schema import Estimate

SHIPPED = Path(__file__).parent.parent / "published"


@dataclass(frozen=True)
class PublishedRow:
    """One model's figures in a published table.

    Attributes:
        row: The model.
        source: Paper, table and version.
        figures: By category (`benchmark/category`), in points.
        samples, prompts: Hashes of what the authors asked, by task.
    """

    row: str
    source: str
    figures: Mapping[str, float]
    samples: Mapping[str, str]
    prompts: Mapping[str, str]


def published_row(text: str) -> PublishedRow:
    """The row that `--against FILE:ROW` names.

    Args:
        text: A TOML file, or the name of one that ships with redone, a colon, and the model.

    Raises:
        UnknownName: No such table or row.
        MissingData, BadRow: A file that cannot be read, or has another form.
    """
    path, row = _path(text), ""
    if path is None:
        name, _, row = text.rpartition(":")
        path = _path(name)
    if path is None:
        known = [*(p.stem for p in SHIPPED.glob("*.toml"))]
        raise UnknownName("run folder, or published table with :MODEL,", text, known)
    table = _table(path)
    if row not in table["rows"]:
        raise UnknownName(f"model in {path.name} (write {path.stem}:MODEL)", row, table["rows"])
    figures = {
        name: math.fsum(f) / len(f) if isinstance(f, list) else float(f)
        for name, f in table["rows"][row].items()
    }
    return PublishedRow(row, table["source"], figures, table["samples"], table["prompts"])


def _path(text: str) -> Path | None:
    shipped = SHIPPED / f"{text}.toml"
    if text and shipped.parent == SHIPPED and shipped.is_file():
        return shipped
    return Path(text) if Path(text).is_file() else None


def _table(path: Path) -> dict[str, Any]:
    from pydantic import TypeAdapter, ValidationError

    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise MissingData(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRow(f"{path} is not TOML: {error}.") from None
    table = {"title": "", "samples": {}, "prompts": {}, **raw}
    shape = {"title": str, "source": str, "samples": dict[str, str], "prompts": dict[str, str]}
    shape["rows"] = dict[str, dict[str, float | list[float]]]
    for name, kind in shape.items():
        try:
            TypeAdapter(kind).validate_python(table.get(name), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, (name, *first["loc"])))
            raise BadRow(f"{path}, field {where}: {first['msg']}.") from None
    categories = {f"{key}/{c}" for key, b in BENCHMARKS.items() for c in b.categories}
    for row, figures in table["rows"].items():
        for name, figure in figures.items():
            if name not in categories:
                raise UnknownName(f"category in {path}, row {row!r}:", name, categories)
            if figure == []:
                raise BadRow(f"{path}, row {row!r}, {name!r}: a list without a figure.")
    return table


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
    return Published(row.row, row.source, tuple(replace(f, rank=rank.get(f.name)) for f in figures))


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
    benchmark, _, category = name.partition("/")
    tasks = [task.name for task in BENCHMARKS[benchmark].categories[category]]
    asked = run.request["tasks"]
    reasons = []
    if absent := sorted(set(tasks) - set(of)):
        reasons.append(f"without {', '.join(absent)}")
    if any(asked[t]["data"] != row.samples.get(t) for t in of):
        reasons.append("not the published samples in full")
    if any(t not in row.prompts for t in of):
        reasons.append("the authors' prompt is not published")
    elif any(asked[t]["prompt"] != row.prompts[t] for t in of):
        reasons.append("not the authors' prompt")
    for task in of:
        record = run.results["tasks"][task]["scorings"]["official"]
        if record["scoring"] != "official" or record["not_scored"]:
            reasons.append(f"scored without a service ({record['scoring']})")
    return reasons
