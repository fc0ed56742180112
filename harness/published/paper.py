"""A paper's tables, read from a TOML file: one that ships with redone, or a user's own.

Every figure stands in one place only, under its table; `source`, `paper` and `version` say which
print it was taken from.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...tasks.errors import BadRow, MissingData, UnknownName
from ...tasks.registry import BENCHMARKS

SHIPPED = Path(__file__).parent
Figure = float | list[float]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TableRow(_Strict):
    """A row of a further table.

    Attributes:
        name: As the table calls it.
        same: The row of the first table that is the same model, "" if none is.
        after: The row of this table that it was trained from, "" for none.
        figures: By category, benchmark or outside average.
    """

    name: str
    same: str = ""
    after: str = ""
    figures: Mapping[str, float]


class Table(_Strict):
    """A table beside the first: its number, what it shows, its rows in order."""

    number: str
    title: str
    rows: list[TableRow]


class Claim(_Strict):
    """A difference that the text names: the mean average of `model` less that of `over`, points."""

    model: str
    over: str
    points: float


class Paper(_Strict):
    """The content of a file.

    Attributes:
        title, paper, version: Of the print: name, archive and number, version.
        source: Paper, version and table of `rows`, for people.
        samples, prompts: What was asked, by task: hashes as a run's request has them.
        outside: Averages over tasks that this registry does not have so: key -> title.
        parts: Metrics of the figures of a category that has several.
        size_classes: Blocks of the table: title -> models.
        rows: Model -> figure by category; averages as printed by benchmark or outside name.
        tables: The others.
        claims: What the text says of the rows.
    """

    title: str = ""
    paper: str = ""
    version: str = ""
    source: str
    samples: Mapping[str, str] = Field(default_factory=dict)
    prompts: Mapping[str, str] = Field(default_factory=dict)
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
        """The averages of a row, as printed."""
        return {name: mean(f) for name, f in self.rows[row].items() if "/" not in name}

    def table(self, number: str) -> Table:
        """A further table, such as `table 3`.

        Raises:
            UnknownName: There is none.
        """
        for table in self.tables:
            if table.number == number:
                return table
        raise UnknownName(f"table of {self.title}", number, [t.number for t in self.tables])


def mean(figure: Figure) -> float:
    """One figure of several."""
    return math.fsum(figure) / len(figure) if isinstance(figure, list) else float(figure)


def shipped() -> list[str]:
    """Names of the papers that ship with redone."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def path_of(text: str) -> Path | None:
    """The file of a shipped paper's name, or of a path; None if it is neither."""
    found = SHIPPED / f"{text}.toml"
    if text and found.parent == SHIPPED and found.is_file():
        return found
    return Path(text) if Path(text).is_file() else None


def load_paper(path: Path) -> Paper:
    """Reads and checks a file.

    Raises:
        MissingData: It cannot be read.
        BadRow: It is no TOML, or has another form; names the field.
        UnknownName: A category that is not in the registry.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise MissingData(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRow(f"{path} is not TOML: {error}.") from None
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
