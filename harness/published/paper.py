"""A paper's tables, read from a TOML file: one that ships with redone, or a user's own.

Every figure appears once, under its table; `source`, `paper` and `version` name the publication.
`why_not_comparable` says whether a figure measured here may be ranked with a published one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...tasks.errors import BadRow, UnknownName
from ...tasks.registry import BENCHMARKS
from ..json_file import read_toml

SHIPPED = Path(__file__).parent
Figure = float | list[float]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TableRow(_Strict):
    """A row of a further table; `figures` by category, benchmark or outside average.

    `same` is the row of the first table that is the same model, `after` the row of this table that
    it was trained from; "" for none.
    """

    name: str
    same: str = ""
    after: str = ""
    figures: Mapping[str, float]


class Table(_Strict):
    """A further table: its number, its title, its rows in order."""

    number: str
    title: str
    rows: list[TableRow]


class Claim(_Strict):
    """A difference that the paper's text states: mean of `model` minus mean of `over`, points."""

    model: str
    over: str
    points: float


class Paper(_Strict):
    """A paper's tables and the conditions of its figures.

    Attributes:
        title, paper, version: Of the publication: name, archive and number, version.
        source: Paper, version and table of `rows`, to be displayed.
        samples, prompts: Hashes of the paper's samples and prompts by task, as in a run's request.
        limits: Tokens of an answer by task, as the benchmark's authors set them.
        sampling: The readings of their sampling, as the protocol `official` has them.
        unasked: Benchmark -> why no run here is asked as its figures were.
        outside: Averages over tasks that this registry does not have: key -> title.
        parts: Metrics of the figures of a category that has several.
        size_classes: Blocks of the table: title -> models.
        rows: Model -> figure by category; published averages by benchmark or outside name.
        tables: The further tables.
        claims: Differences that the paper's text states.
    """

    title: str = ""
    paper: str = ""
    version: str = ""
    source: str
    samples: Mapping[str, str] = Field(default_factory=dict)
    prompts: Mapping[str, str] = Field(default_factory=dict)
    limits: Mapping[str, int] = Field(default_factory=dict)
    sampling: Mapping[str, Mapping[str, float]] = Field(default_factory=dict)
    unasked: Mapping[str, str] = Field(default_factory=dict)
    outside: Mapping[str, str] = Field(default_factory=dict)
    parts: Mapping[str, list[str]] = Field(default_factory=dict)
    size_classes: Mapping[str, list[str]] = Field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Figure]]
    tables: list[Table] = Field(default_factory=list)
    claims: list[Claim] = Field(default_factory=list)

    def figures(self, row: str) -> dict[str, float]:
        """The categories of a row, each one figure (the mean of several), in points."""
        return {name: mean(f) for name, f in self.rows[row].items() if "/" in name}

    def averages(self, row: str) -> dict[str, float]:
        """The averages of a row, as published."""
        return {name: mean(f) for name, f in self.rows[row].items() if "/" not in name}

    def table(self, number: str) -> Table:
        """A further table, such as `table 3`.

        Raises:
            UnknownName: The paper has no such table.
        """
        tables = {table.number: table for table in self.tables}
        if number not in tables:
            raise UnknownName(f"table of {self.title}", number, tables)
        return tables[number]


def mean(figure: Figure) -> float:
    """The mean of a figure's parts."""
    return math.fsum(figure) / len(figure) if isinstance(figure, list) else float(figure)


def shipped() -> list[str]:
    """Names of the papers that ship with redone."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def path_of(text: str) -> Path | None:
    """The file of a shipped paper, by name, or of a path; None if there is none."""
    found = SHIPPED / f"{text}.toml"
    if text and found.parent == SHIPPED and found.is_file():
        return found
    return Path(text) if Path(text).is_file() else None


def load_paper(path: Path) -> Paper:
    """Reads and checks a paper's file.

    Raises:
        MissingData: The file cannot be read.
        BadRow: It is not TOML, or a field is missing, unknown or of a wrong type; names the field.
        UnknownName: A category that is not in the registry.
    """
    raw = read_toml(path)
    try:
        paper = Paper.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadRow(f"{path}, field {where}: {first['msg']}.") from None
    known = {*BENCHMARKS, *paper.outside}
    known |= {f"{key}/{c}" for key, b in BENCHMARKS.items() for c in b.categories}
    further = {f"{t.number}: {row.name}": row.figures for t in paper.tables for row in t.rows}
    for row, figures in {**paper.rows, **further}.items():
        for name, figure in figures.items():
            if name not in known:
                raise UnknownName(f"category in {path}, row {row!r}:", name, known)
            if figure == []:
                raise BadRow(f"{path}, row {row!r}, {name!r}: a list without a figure.")
    for model in [m for claim in paper.claims for m in (claim.model, claim.over)]:
        if model not in paper.rows:
            raise UnknownName(f"model in the claims of {path}:", model, paper.rows)
    return paper


def why_not_comparable(
    paper: Paper,
    category: str,
    measured: Sequence[str],
    requests: Mapping[str, Mapping[str, Any]],
    results: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """Why a category's figure may not be ranked with the published one; empty if it may.

    Args:
        paper: The publication.
        category: `benchmark/category`.
        measured: Those of the category's tasks that were measured.
        requests: By task, `data`, `prompt`, `settings` and `protocol` of the run's request.
        results: By task, `scoring` and `not_scored` of the run's results.
    """
    benchmark, _, name = category.partition("/")
    tasks = [task.name for task in BENCHMARKS[benchmark].categories[name]]
    reasons = []
    if absent := sorted(set(tasks) - set(measured)):
        reasons.append(f"without {', '.join(absent)}")
    if any(requests[t]["data"] != paper.samples.get(t) for t in measured):
        reasons.append("not the published samples in full")
    if benchmark in paper.unasked:
        reasons.append(paper.unasked[benchmark])
    elif any(t not in paper.prompts for t in measured):
        reasons.append("the authors' prompt is not published")
    elif any(requests[t]["prompt"] != paper.prompts[t] for t in measured):
        reasons.append("not the authors' prompt")
    reasons += [reason for t in measured for reason in _asked_otherwise(paper, t, requests[t])]
    for task in measured:
        scoring = results[task]["scoring"]
        role, _, reduced = scoring.partition("-")
        if role != "official":
            reasons.append(f"{role} scoring, not the authors'")
        if reduced or results[task]["not_scored"]:
            reasons.append(f"scored without a service ({scoring})")
    return list(dict.fromkeys(reasons))


def _asked_otherwise(paper: Paper, task: str, request: Mapping[str, Any]) -> list[str]:
    """How a task was generated otherwise than by the benchmark's authors, where that is known."""
    if task not in paper.limits:
        return []
    settings, most = request["settings"], paper.limits[task]
    reasons = []
    if not request.get("protocol"):
        reasons.append("not asked under the authors' protocol (--protocol official)")
    if settings["max_tokens"] != most or settings["stop"]:
        reasons.append("not the authors' limits")
    names = ("temperature", "top_p", "top_k")
    own = {name: settings[name] for name in names}
    off = {"temperature": 0.0, "top_p": 1.0, "top_k": 0}
    if own not in [{**off, **reading} for reading in paper.sampling.values()]:
        reasons.append("not the authors' sampling")
    return reasons
