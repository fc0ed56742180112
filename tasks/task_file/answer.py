"""What every kind of answer has in common: reading a cell, scoring an answer, figures by name.

A kind is a class whose fields are the keys of `[answer]` in a task file. It says how a cell becomes
a target, how an answer is read out of a completion, and what an answer is worth; `scoring` makes
a `Scoring` of that and of the metrics that the file names.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from ..errors import UnknownName
from ..extraction import Extraction
from ..metrics.classification import accuracy
from ..schema import Completion, Metric, Sample, Score, Scoring, Services
from ..task import Baselines
from .tables import Row


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric that a kind of answer can report.

    Attributes:
        columns: Names of its statistics.
        stats: Its statistics for one answer (None: nothing could be read).
        from_sums: Percent from summed statistics [..., len(columns)].
        proportion: The figure is the first statistic over the second.
        higher_is_better: False for errors.
        needs: Services without which it cannot be computed.
        lowest, highest, rests_on: As in `Metric`.
    """

    columns: tuple[str, ...]
    stats: Callable[[Sample, Any, Services], tuple[float, ...]]
    from_sums: Callable[[np.ndarray], np.ndarray]
    proportion: bool = False
    higher_is_better: bool = True
    needs: tuple[str, ...] = ()
    lowest: float = 0.0
    highest: float = 100.0
    rests_on: Callable[[np.ndarray], float] | None = None

    def metric(self, name: str, start: int) -> Metric:
        """The metric whose statistics begin at a place."""
        part = slice(start, start + len(self.columns))
        rests_on = self.rests_on
        return Metric(
            name,
            lambda sums: self.from_sums(np.asarray(sums)[..., part]),
            proportion=(start, start + 1) if self.proportion else None,
            higher_is_better=self.higher_is_better,
            lowest=self.lowest,
            highest=self.highest,
            rests_on=None if rests_on is None else lambda sums: rests_on(np.asarray(sums)[part]),
        )


def mean_of(value: Callable[[Sample, Any, Services], float], **more: Any) -> Figure:
    """The mean of a value 0..1 per sample, in percent; 0 where nothing could be read."""

    def stats(sample: Sample, answer: Any, services: Services) -> tuple[float, ...]:
        return (0.0 if answer is None else value(sample, answer, services), 1.0)

    return Figure(("total", "count"), stats, accuracy, **more)


class Answer(BaseModel):
    """The `[answer]` table of a task file; each kind adds keys of its own.

    Attributes:
        kind: Which kind of answer.
        field: The column that holds the gold answer.
        metrics: Names of the figures; the first is the primary one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str
    metrics: tuple[str, ...] = ()

    max_tokens: ClassVar[int] = 128
    """Default limit of an answer of this kind."""
    reward: ClassVar[Literal["exact", "metric", "sandbox", "pattern"]] = "exact"
    needs: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    """Raised when this kind scores some text differently."""

    @abstractmethod
    def target(self, row: Row, where: str) -> Any:
        """The gold answer of a row, JSON-able. Raises BadRow, or ValueError without the place."""

    @abstractmethod
    def read(self, sample: Sample, completion: Completion) -> Extraction:
        """The answer in a completion, or why there is none."""

    @abstractmethod
    def value(self, sample: Sample, answer: Any, services: Services) -> float:
        """What an answer is worth, 0..1: the reward."""

    @abstractmethod
    def figures(self) -> Mapping[str, Figure]:
        """The metrics that this kind has, by name; the default ones first."""

    @abstractmethod
    def gold(self, sample: Sample) -> str:
        """The text of a perfect answer."""

    @abstractmethod
    def guess(self, sample: Sample, random: Random) -> str:
        """A random admissible answer."""

    def constants(self, samples: Sequence[Sample]) -> Sequence[str]:
        """Answers that could be given to every sample alike, frequent golds apart."""
        return ()

    def everything(self, sample: Sample) -> str:
        """All candidates of a sample at once, or a copy of its input."""
        return "\n".join(text for text in sample.fields.values() if isinstance(text, str))

    def label(self, target: Any) -> str | None:
        """The gold label to slice results by, None where there are no labels."""
        return None

    def shown(self, row: Row, where: str) -> Mapping[str, Any]:
        """What the prompt and the scoring may use beside the columns that the prompt names."""
        return {}

    def learned(self, targets: Sequence[Any]) -> Answer:
        """This kind with what it takes from the data (the list of labels)."""
        return self

    # --- what all kinds share ---

    def with_(self, **changed: Any) -> Self:
        """A copy with other values; nothing that was computed from the old ones is kept."""
        return type(self)(**(self.model_dump() | changed))

    def baselines(self) -> Baselines:
        """The trivial baselines."""
        return Baselines(self.guess, self.constants, self.everything)

    def scoring(self, name: str = "corrected") -> Scoring:
        """The scoring by the metrics of the file.

        Raises:
            UnknownName: A metric that this kind does not have.
        """
        known = self.figures()
        names = self.metrics or tuple(known)[:1]
        for metric in names:
            if metric not in known:
                raise UnknownName(f"metric of answers of kind {self._kind!r}:", metric, known, "")
        needs = tuple(dict.fromkeys([*self.needs, *(n for m in names for n in known[m].needs)]))
        free = tuple(metric for metric in names if not known[metric].needs)
        without = None
        if needs and not self.needs and free:
            without = self.with_(metrics=free).scoring(f"{name}-reduced")
        return self._scoring(name, {metric: known[metric] for metric in names}, needs, without)

    @property
    def _kind(self) -> str:
        return str(getattr(self, "kind", type(self).__name__))

    def _scoring(
        self,
        name: str,
        figures: Mapping[str, Figure],
        needs: tuple[str, ...],
        without: Scoring | None,
    ) -> Scoring:
        columns: list[str] = []
        metrics: list[Metric] = []
        for metric, figure in figures.items():
            metrics.append(figure.metric(metric, len(columns)))
            columns += [f"{metric}_{column}" for column in figure.columns]

        def score(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
            if services.missing(needs):
                return Score(float("nan"), (0.0,) * len(columns), scored=False)
            answer, failure = self.read(sample, completions[0])
            stats = [f.stats(sample, answer, services) for f in figures.values()]
            flat = tuple(number for part in stats for number in part)
            if answer is None:
                return Score(0.0, flat, None, failure or "format")
            value = min(1.0, max(0.0, self.value(sample, answer, services)))
            return Score(value, flat, self.shown_answer(answer), None if value == 1 else "wrong")

        return Scoring(name, tuple(columns), score, tuple(metrics), needs, without)

    def shown_answer(self, answer: Any) -> Any:
        """The parsed answer as results store it, JSON-able."""
        return list(answer) if isinstance(answer, tuple) else answer
