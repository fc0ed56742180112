"""Soft labels: general rows answered in the model's own words (RedOne 2.0, section 3.2).

The stage-1 model answers each general row several times, and SFT learns the best answer. That keeps
the general part of stage 2 close to the model's own outputs, so that it forgets little. The
*quality* of an answer is

    value_weight * value + (1 - value_weight) * rating

with the value by the task's own scoring and the rating by a judge; where one of them is missing,
the other alone. Answers that are empty or cut off are left out. A row without an answer of
sufficient quality keeps its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ...harness.models.base import Model
from ...tasks.errors import RedoneError
from ...tasks.schema import Completion
from ..rewards import ROUNDING, Rewards
from ..rows import RowDecision, TrainingRow
from .draws import DrawSettings, OnAnswer, Ratings, RubricJudge, draw
from .selection import place


@dataclass(frozen=True, slots=True)
class SoftLabelSettings:
    """Settings of soft labels.

    Attributes:
        sampling: Of the candidates, 8 a row in the paper.
        value_weight: Of the task's own value against the judge's rating, 0..1.
        least: Quality that the best candidate must have to replace the row's answer, 0..1.
    """

    sampling: DrawSettings = field(default_factory=DrawSettings)
    value_weight: float = 0.5
    least: float = 0.5


@dataclass(frozen=True, slots=True)
class SoftLabels:
    """Rows with soft labels.

    Attributes:
        rows: As given, in order; general ones with their label, without a rationale. A row whose
            label is not a perfect answer has no target: it is for SFT only.
        decisions: For every general row: quality of each candidate, and which was taken.
        replies: That the judge gave, 0 without a judge.
        nonsense: Replies that were no score; the tasks' own value counted alone there.
    """

    rows: tuple[TrainingRow, ...]
    decisions: tuple[RowDecision, ...]
    replies: int
    nonsense: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    draw: int
    text: str
    value: float | None
    rating: float | None
    quality: float | None


def soft_labels(
    rows: Sequence[TrainingRow],
    model: Model,
    settings: SoftLabelSettings,
    *,
    rewards: Rewards | None = None,
    judge: RubricJudge | None = None,
    folder: Path | None = None,
    on_answer: OnAnswer = lambda tokens: None,
) -> SoftLabels:
    """Gives the general rows soft labels; others pass as they are.

    Args:
        rows: Of stage 2; a row may come several times.
        model: Of stage 1.
        settings: How.
        rewards: The tasks' own scoring, with its services.
        judge: A second opinion; None: the tasks' own value alone.
        folder: Gets answers and replies as they come; a stopped call resumes from them.
        on_answer: Called for each answer.

    Raises:
        RedoneError: A setting is not possible, no candidate could be weighed, or the judge is none.
    """
    for name in ("value_weight", "least"):
        if not 0 <= (number := getattr(settings, name)) <= 1:
            raise RedoneError(f"A {name} of {number} is not possible: 0 to 1 is expected.")
    general = list({row.id: row for row in rows if row.general}.values())
    if judge is None and (lost := [row.id for row in general if not row.judgeable]):
        raise RedoneError(
            f"{len(lost)} general row(s) have no target ({lost[0]!r} is the first), so only a "
            "judge could choose among answers to them. Name one, or leave the rows out."
        )
    found = draw(
        general, model, settings.sampling, journal=_in(folder, "candidates"), on_answer=on_answer
    )
    pairs: list[tuple[TrainingRow, int, Completion]] = [
        (row, number, completion)
        for row in general
        for number, completion in enumerate(found.answers.get(row.id, ()))
        if completion.text.strip() and completion.finish == "stop"
    ]
    scored = (rewards or Rewards()).score([p[0] for p in pairs], [p[2] for p in pairs])
    rated = Ratings((None,) * len(pairs), 0, 0)
    if judge is not None:
        answers = [(row, completion.text) for row, _, completion in pairs]
        rated = judge.rate(answers, journal=_in(folder, "ratings"), on_answer=on_answer)
    candidates: dict[str, list[_Candidate]] = {row.id: [] for row in general}
    for (row, number, completion), one, rating in zip(pairs, scored, rated.values, strict=True):
        quality = _quality(one.value, rating, settings.value_weight)
        text = completion.text.strip()
        candidates[row.id].append(_Candidate(number, text, one.value, rating, quality))
    labelled: dict[str, TrainingRow] = {}
    decisions: list[RowDecision] = []
    for row in general:
        own = candidates[row.id]
        best = _best(row, own, settings)
        labelled[row.id] = _labelled(row, best)
        unusable = len(found.answers.get(row.id, ())) - len(own)
        decisions.append(_decision(row, own, best, unusable))
    done = tuple(labelled.get(row.id, row) for row in rows)
    return SoftLabels(done, tuple(decisions), rated.replies, rated.nonsense)


def _in(folder: Path | None, name: str) -> Path | None:
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.jsonl"


def _quality(value: float | None, rating: float | None, weight: float) -> float | None:
    if value is None or rating is None:
        return rating if value is None else value
    return weight * value + (1 - weight) * rating


def _best(
    row: TrainingRow, candidates: Sequence[_Candidate], settings: SoftLabelSettings
) -> _Candidate | None:
    """The candidate of the highest quality; among equals the first in a seeded order."""
    weighed = [(c.quality, c) for c in candidates if c.quality is not None]
    if not weighed or (highest := max(q for q, _ in weighed)) < settings.least:
        return None
    equal = [c for quality, c in weighed if quality == highest]
    seed = f"{settings.sampling.seed}|soft label|{row.id}"
    return min(equal, key=lambda c: place(seed, str(c.draw)))


def _labelled(row: TrainingRow, best: _Candidate | None) -> TrainingRow:
    if best is None:
        return replace(row, rationale="")
    perfect = best.value is not None and best.value >= 1 - ROUNDING
    return replace(row, answer=best.text, rationale="", target=row.target if perfect else None)


def _decision(
    row: TrainingRow, candidates: Sequence[_Candidate], best: _Candidate | None, unusable: int
) -> RowDecision:
    more = {
        "unusable": unusable,
        "candidates": [
            {name: value for name, value in asdict(c).items() if name != "text"} for c in candidates
        ],
    }
    if best is not None:
        text = f"Draw {best.draw} has the highest quality, {best.quality:.3g}."
        return row.decided(1, "soft label", text, taken=best.draw, **more)
    if not candidates and not unusable:
        text = "Its question does not fit the model's context; it keeps its own answer."
        return row.decided(1, "too long", text)
    text = "No candidate is good enough; it keeps its own answer."
    return row.decided(1, "own answer", text, **more)
