"""lm-eval's aggregations as sums, where they are sums.

lm-eval gives every document an item per metric (a number, a pair, a list) and makes the figure from
the list of items by an *aggregation*. A mean, a perplexity, a corpus BLEU are functions of sums
over the documents, so they fit our statistics and get exact resampling. The rest is opaque: kept as
items, and resampled by index.

Figures that lm-eval gives as shares of one are in percent here, as everywhere in this project;
perplexities, BLEU and their like keep lm-eval's own scale (`scale_of`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..metrics import translation
from ..schema import Metric

_OWN_SCALE = re.compile(
    r"bleu|rouge|chrf|\bter\b|ppl|perplexity|bits_per|brier|likelihood|logprob|loss|diff|wer\b|cer\b"
)


def scale_of(metric: str) -> float:
    """100 for a metric that lm-eval gives as a share of one, 1 for one with a scale of its own."""
    return 1.0 if _OWN_SCALE.search(metric.lower()) else 100.0


@dataclass(frozen=True, slots=True)
class Aggregation:
    """An aggregation as a function of sums.

    Attributes:
        columns: Names of the statistics of an item.
        statistics: Of one item, as many as `columns`.
        figure: Sums [..., columns] to figures [...] on lm-eval's scale; NaN without items.
        value: 0..1 of one item, by which a single answer is rewarded.
    """

    columns: tuple[str, ...]
    statistics: Callable[[Any], tuple[float, ...]]
    figure: Callable[[np.ndarray], np.ndarray]
    value: Callable[[Any], float]


def _ratio(sums: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[..., 0] / sums[..., 1]


def _f1(sums: np.ndarray) -> np.ndarray:
    hit, predicted, gold = (sums[..., i] for i in range(3))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(predicted + gold > 0, 2 * hit / (predicted + gold), 0.0)
    return np.where(sums[..., 3] > 0, score, np.nan)


def _f1_counts(item: Any) -> tuple[float, ...]:
    gold, predicted = (int(x) for x in item)
    return float(gold == predicted == 1), float(predicted == 1), float(gold == 1), 1.0


def _brier(item: Any) -> float:
    gold, chances = item
    wanted = np.eye(len(chances))[int(gold)]
    return float(((np.asarray(chances, dtype=np.float64) - wanted) ** 2).sum())


def _share(x: Any) -> float:
    return min(1.0, max(0.0, float(x)))


def _flat(item: Any) -> tuple[float, float]:
    return float(sum(item)), float(len(item))


def _corpus(item: Any) -> tuple[float, ...]:
    """lm-eval's items are (references, hypothesis), each a text or a list of texts."""
    references, hypothesis = item
    if isinstance(hypothesis, list | tuple):
        (hypothesis,) = hypothesis
    return translation.statistics(str(hypothesis), references, "en")


def _likelihood(logprob: float, weight: float) -> float:
    """The geometric mean probability of a unit of text."""
    return _share(math.exp(min(0.0, logprob / max(weight, 1))))


_MEAN = Aggregation(("sum", "count"), lambda x: (float(x), 1.0), _ratio, _share)
_FLAT = Aggregation(
    ("sum", "count"), _flat, _ratio, lambda x: _share(sum(x) / len(x)) if len(x) else 0.0
)
_WEIGHTED = partial(
    Aggregation,
    ("logprob", "weight"),
    lambda x: (float(x[0]), float(x[1])),
    value=lambda x: _likelihood(float(x[0]), float(x[1])),
)

AGGREGATIONS: Mapping[str, Aggregation] = {
    "mean": _MEAN,
    "nanmean": Aggregation(
        ("sum", "count"),
        lambda x: (0.0, 0.0) if math.isnan(float(x)) else (float(x), 1.0),
        _ratio,
        lambda x: 0.0 if math.isnan(float(x)) else _share(x),
    ),
    "agg_inst_level_acc": _FLAT,
    "perplexity": Aggregation(
        ("logprob", "count"),
        lambda x: (float(x), 1.0),
        lambda sums: np.exp(-_ratio(sums)),
        lambda x: _likelihood(float(x), 1.0),
    ),
    "weighted_perplexity": _WEIGHTED(figure=lambda sums: np.exp(-_ratio(sums))),
    "bits_per_byte": _WEIGHTED(figure=lambda sums: -_ratio(sums) / math.log(2)),
    "f1_score": Aggregation(
        ("hit", "predicted", "gold", "count"),
        _f1_counts,
        _f1,
        lambda x: float(int(x[0]) == int(x[1])),
    ),
    "brier_score": Aggregation(
        ("sum", "count"), lambda x: (_brier(x), 1.0), _ratio, lambda x: _share(1 - _brier(x) / 2)
    ),
    "bleu": Aggregation(
        translation.STATISTICS,
        _corpus,
        translation.bleu,
        lambda x: translation.sentence_chrf(_corpus(x)),
    ),
    "chrfpp": Aggregation(
        translation.STATISTICS,
        _corpus,
        translation.chrf,
        lambda x: translation.sentence_chrf(_corpus(x)),
    ),
}
"""By the name of lm-eval's function."""

_COPIED = ("agg_inst_level_acc",)
"""Functions that IFEval and its translations bring along, each its own copy."""


def known_aggregation(function: Callable[[list[Any]], Any] | None) -> Aggregation | None:
    """The sums behind a function of lm-eval's, None where there are none (or none are known)."""
    if function is None:
        return _MEAN
    name = getattr(function, "__name__", "")
    if name in _COPIED or getattr(function, "__module__", "") == "lm_eval.api.metrics":
        return AGGREGATIONS.get(name)
    return None  # a task's own function may have a famous name


BINARY = frozenset(
    (
        *("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "em"),
        *("pass@1", "pass_at_1", "prompt_level_strict_acc", "prompt_level_loose_acc"),
    )
)
"""Metrics whose items are 0 or 1, so that their mean is a proportion."""


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of a task, and the place of its statistics.

    Attributes:
        key: lm-eval's name of metric and filter, `exact_match,strict-match`.
        aggregation: None for an opaque one.
        start: Of its statistics among the task's.
        function: lm-eval's own aggregation, for opaque ones.
        higher_is_better: As lm-eval says.
    """

    key: str
    aggregation: Aggregation | None
    start: int
    function: Callable[[list[Any]], Any] | None = None
    higher_is_better: bool = True

    @property
    def width(self) -> int:
        return len(self.aggregation.columns) if self.aggregation else 0

    def statistics(self, items: Mapping[str, Any]) -> tuple[float, ...]:
        """Of one document's items; zeros where it has none of this metric."""
        if self.aggregation is None:
            return ()
        if self.key not in items:
            return (0.0,) * self.width
        return self.aggregation.statistics(items[self.key])

    def value(self, items: Mapping[str, Any]) -> float:
        """0..1: what one document's items are worth under this metric; 0 where it has none."""
        if self.key not in items:
            return 0.0
        item = items[self.key]
        if self.aggregation is not None:
            return self.aggregation.value(item)
        if isinstance(item, list) and len(item) == 2 and not isinstance(item[0], list):
            return float(item[0] == item[1])
        return _share(item) if isinstance(item, int | float) else math.nan

    def metric(self) -> Metric:
        """As a metric of our scoring."""
        name = self.key.partition(",")[0]
        scale, cut = scale_of(name), slice(self.start, self.start + self.width)
        if self.aggregation is None:
            return Metric(
                self.key,
                lambda sums: np.full(np.shape(sums)[:-1], np.nan),
                from_items=partial(_opaque, self, scale),
                higher_is_better=self.higher_is_better,
            )
        figure = self.aggregation.figure
        return Metric(
            self.key,
            lambda sums: scale * figure(np.asarray(sums, dtype=np.float64)[..., cut]),
            proportion=(self.start, self.start + 1)
            if self.aggregation is _MEAN and name in BINARY
            else None,
            higher_is_better=self.higher_is_better,
        )


def _opaque(column: Column, scale: float, items: Sequence[Any]) -> float:
    own = [i[column.key] for i in items if i and column.key in i]
    if not own or column.function is None:
        return math.nan
    try:
        return scale * float(column.function(own))
    except Exception:
        return math.nan  # a resample may lack what the figure needs, one of two labels for instance


def columns_of(
    keys: Sequence[str],
    aggregation: Callable[[str], Callable[[list[Any]], Any] | None],
    higher_is_better: Mapping[str, bool],
) -> tuple[Column, ...]:
    """The columns of a task's metrics, in order.

    Args:
        keys: `metric,filter`.
        aggregation: lm-eval's function by name of the metric, None for its default, the mean.
        higher_is_better: By name of the metric; True where absent.
    """
    found, start = [], 0
    for key in keys:
        name = key.partition(",")[0]
        function = aggregation(name)
        known, better = known_aggregation(function), higher_is_better.get(name, True)
        column = Column(key, known, start, function, better)
        found.append(column)
        start += column.width
    return tuple(found)


def mean_metric(name: str, columns: Sequence[Column]) -> Metric:
    """The mean of several metrics, for a task that publishes that as its score."""
    metrics = [column.metric() for column in columns]
    return Metric(name, lambda sums: np.mean([m.from_sums(sums) for m in metrics], axis=0))
