"""What a run records of a task that no table has, so that others can read its scores.

Gate, diagnosis, report and leaderboard need a task's titles, chance level and metrics as functions
of sums: with this record they need neither lm-eval, nor the definition, nor the data.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..task import UNKNOWN_CHANCE, Chance
from .aggregation import AGGREGATIONS, Column


def _known(name: str) -> str:
    if name not in AGGREGATIONS:
        raise ValueError(f"known are {', '.join(AGGREGATIONS)}")
    return name


Text = Annotated[str, Field(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordedColumn(_Strict):
    """One metric: lm-eval's name, and the sums behind it (None: it is no function of sums)."""

    key: Text
    aggregation: Annotated[str, AfterValidator(_known)] | None
    higher_is_better: bool

    @classmethod
    def of(cls, column: Column) -> RecordedColumn:
        """The record of a column."""
        known = (name for name, a in AGGREGATIONS.items() if a is column.aggregation)
        return cls(
            key=column.key, aggregation=next(known, None), higher_is_better=column.higher_is_better
        )


class RecordedChance(_Strict):
    """The chance level: in percent under the primary metric, and as a mean value 0..1."""

    metric: float
    value: float


class RecordedTask(_Strict):
    """A task as a run scored it; `chance` is None where it is unknown."""

    schema_version: Literal[1] = 1
    title: Text
    category: Text
    capability: Text
    version: int | str
    chance: RecordedChance | None
    code: bool
    columns: Annotated[tuple[RecordedColumn, ...], Field(min_length=1, max_length=200)]

    @property
    def level(self) -> Chance:
        """The chance level."""
        return Chance(self.chance.metric, self.chance.value) if self.chance else UNKNOWN_CHANCE

    def places(self) -> tuple[Column, ...]:
        """The columns, with the places of their statistics."""
        found: list[Column] = []
        for each in self.columns:
            start = found[-1].start + found[-1].width if found else 0
            known = AGGREGATIONS[each.aggregation] if each.aggregation else None
            found.append(Column(each.key, known, start, None, each.higher_is_better))
        return tuple(found)
