"""Stage 3: what the diagnosis says about *how* answers fail changes how their task is rewarded.

A task's whole reward cannot be given more weight by a factor: DAPO divides it by the group's
standard deviation, which divides the factor out. What can change the gradient is

(a) the ratio of the terms inside a task's reward,
(b) the task's share of the sampling,
(c) a weight of its loss, after advantages are normalized (off unless requested).

The rule works on the hints of `diagnosis.json`, each of which belongs to a reward term. Let `low`
be the lower 95 % bound of the share of a task's answers that failed in a hint's way, and `form` the
sum over the task's hints. Failures exclude each other, so `form` is 0..1.

(a) ratio = max(own, low * min(1, most / form)), `own` being the recipe's ratio of every task and
    `most` the bound of the hinted ratios together (0.5): a right answer keeps a higher reward than
    any wrong one, whatever its form.
(b) share is multiplied by 1 + form, then scaled so that the tasks of the domain and the general
    ones each keep their part of the whole: a task of which every answer fails in its form is
    sampled twice as often as tasks without a hint. These are the target shares; where there are too
    few rows another share results, and `realized` adds it to the record.
(c) weight = (1 + form) / (its mean over the sampling), so that the learning rate means the same.

Whatever the recipe sets by hand replaces the rule's figure.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from ..harness.diagnosis.schema import TRAINABLE, Diagnosis, FailureHint
from ..tasks.errors import RedoneError, UnknownName
from .settings import Strict
from .shaping import TERMS, Shaping, Term, term_of

RULE: Mapping[str, str] = {
    "ratios": "max(own, low * min(1, most / form))",
    "shares": "own * (1 + form), scaled so that domain and general tasks each keep their part",
    "weights": "(1 + form) / mean over the sampling",
    "low": "lower 95 % bound of the share of answers that failed in the hint's way",
    "form": "sum of low over the task's hints",
}


class EmphasisSettings(Strict):
    """The recipe's settings of the rule.

    Attributes:
        ratios, shares: Whether (a) and (b) are used.
        weights: Whether (c) is.
        most: Bound of a task's hinted ratios together, above 0 and below 1.
        set_ratios: By task and term: the ratio, instead of the rule's; 0..1 (length: 0 or more).
        set_shares: By task: the factor of its share, instead of 1 + form; above 0.
        set_weights: By task: the loss weight, instead of the rule's, and not normalized; 0 or more.
    """

    ratios: bool = True
    shares: bool = True
    weights: bool = False
    most: float = Field(default=0.5, gt=0, lt=1)
    set_ratios: Mapping[str, Mapping[Term, NonNegativeFloat]] = {}
    set_shares: Mapping[str, PositiveFloat] = {}
    set_weights: Mapping[str, NonNegativeFloat] = {}

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        for task, ratios in self.set_ratios.items():
            for term, ratio in ratios.items():
                if term != "length" and ratio > 1:
                    raise ValueError(f"the ratio {ratio} of {term} for {task} is above 1")
        return self


@dataclass(frozen=True, slots=True)
class Emphasis:
    """The changes of stage 3.

    Attributes:
        shaping: Of every task that is trained, for `Rewards`.
        shares: Of the sampling, by task; their sum is 1.
        weights: Of the loss, by task, for `Rewards`; empty where none is used.
        record: Rule, input and result as JSON has them, for the report.
    """

    shaping: Mapping[str, Shaping]
    shares: Mapping[str, float]
    weights: Mapping[str, float]
    record: Mapping[str, Any]


def emphasize(
    diagnosis: Diagnosis,
    shares: Mapping[str, float],
    shaping: Shaping,
    settings: EmphasisSettings | None = None,
    general: Collection[str] = (),
) -> Emphasis:
    """Applies the rule.

    Args:
        diagnosis: Of the model that stage 3 starts from, over the partition `diagnose`.
        shares: Of the sampling as the recipe has it, by task that is trained; any scale, above 0.
        shaping: The terms that every task has, with the token limit.
        settings: The recipe's.
        general: Those of the tasks whose rows are general ones.

    Raises:
        RedoneError: The diagnosis is of another partition, or a share is not above 0.
        UnknownName: The recipe sets something for a task that is not trained.
    """
    settings = settings or EmphasisSettings()
    _check(diagnosis, shares, settings)
    hints = {name: [h for h in diagnosis.hints if h.task == name] for name in shares}
    form = {name: math.fsum(hint.low for hint in own) for name, own in hints.items()}
    shaped = {
        name: _shaped(shaping, own if settings.ratios else (), settings, name)
        for name, own in hints.items()
    }
    factors = {
        name: settings.set_shares.get(name, 1 + form[name] if settings.shares else 1.0)
        for name in shares
    }
    total = math.fsum(shares.values())
    before = {name: share / total for name, share in shares.items()}
    sampled = _stressed(before, factors, general)
    weights = _weights(form, sampled, settings)
    result = {
        name: {
            "hints": [_hint_record(hint) for hint in hints[name]],
            "form": form[name],
            "ratios": {t: [getattr(shaping, t), getattr(shaped[name], t)] for t in TERMS},
            "share": [before[name], sampled[name]],
            "weight": [1.0, weights.get(name, 1.0)],
        }
        for name in shares
    }
    record = {
        "rule": dict(RULE),
        "settings": settings.model_dump(mode="json"),
        "diagnosis": {"run": diagnosis.run.name, "fingerprint": diagnosis.run.fingerprint},
        "tasks": result,
        "not trained": [_hint_record(hint) for hint in diagnosis.hints if hint.task not in shares],
    }
    return Emphasis(shaped, sampled, weights, record)


def realized(record: Mapping[str, Any], counts: Mapping[str, int]) -> Mapping[str, Any]:
    """The record with the resulting shares: `drawn`, 0..1, next to `share`, the rule's.

    Args:
        record: Of an emphasis; an empty one stays empty.
        counts: Selected rows by task.
    """
    if not record:
        return record
    total = max(1, sum(counts.values()))
    tasks = {
        name: task | {"drawn": counts.get(name, 0) / total}
        for name, task in record["tasks"].items()
    }
    return {**record, "tasks": tasks}


def _check(diagnosis: Diagnosis, shares: Mapping[str, float], settings: EmphasisSettings) -> None:
    if diagnosis.partition != TRAINABLE:
        raise RedoneError(
            f"The diagnosis of {diagnosis.run.name!r} is of the partition {diagnosis.partition!r}. "
            f"Training may look at {TRAINABLE!r} only: `redone diagnose RUN --partition "
            f"{TRAINABLE}` makes one of that."
        )
    for name, share in shares.items():
        if not 0 < share < math.inf:
            raise RedoneError(
                f"The share {share} of {name} is not above 0. Leave out a task that is not trained."
            )
    for name in {*settings.set_ratios, *settings.set_shares, *settings.set_weights}:
        if name not in shares:
            raise UnknownName("trained task", name, shares)


def _shaped(
    own: Shaping, hints: Iterable[FailureHint], settings: EmphasisSettings, task: str
) -> Shaping:
    limited = own.max_tokens is not None  # else there is nothing that an answer could fill
    low = {term_of(hint): hint.low for hint in hints if limited or term_of(hint) != "length"}
    scale = min(1.0, settings.most / (math.fsum(low.values()) or 1.0))
    ratios = {term: max(getattr(own, term), scale * low[term]) for term in low}
    return Shaping(**{**own.model_dump(), **ratios, **settings.set_ratios.get(task, {})})


def _weights(
    form: Mapping[str, float], sampled: Mapping[str, float], settings: EmphasisSettings
) -> dict[str, float]:
    if not settings.weights:
        return dict(settings.set_weights)
    mean = math.fsum(share * (1 + form[name]) for name, share in sampled.items())
    return {**{name: (1 + form[name]) / mean for name in sampled}, **settings.set_weights}


def _stressed(
    shares: Mapping[str, float], factors: Mapping[str, float], general: Collection[str]
) -> dict[str, float]:
    """Shares times factors, scaled so that both kinds of tasks keep their sum."""
    found = {name: share * factors[name] for name, share in shares.items()}
    for kind in (False, True):
        own = [name for name in shares if (name in general) == kind]
        before, after = (math.fsum(part[name] for name in own) for part in (shares, found))
        found |= {name: found[name] * before / after for name in own}
    return found


def _hint_record(hint: FailureHint) -> dict[str, Any]:
    figures = {"share": hint.share, "low": hint.low, "n": hint.n}
    return {"task": hint.task, "term": term_of(hint), **figures}
