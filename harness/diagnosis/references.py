"""What a task is measured against: the ceiling, a target, or another run on the same items."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...tasks.errors import BadRow, MissingData, RedoneError
from ...tasks.registry import find
from ...tasks.schema import Task
from ..comparable import check
from ..scored import ScoredRun, TaskScores
from .items import TaskItems
from .task_schema import Reference

CEILING = 100.0


def skill(task: Task, score: np.ndarray | float) -> np.ndarray:
    """Points chance-corrected: 0 at the chance level or below, 100 at the ceiling."""
    chance = task.chance.metric
    return np.maximum(0.0, 100 * (np.asarray(score, dtype=float) - chance) / (100 - chance))


def fixed(task: Task, score: float | None) -> Reference:
    """The ceiling, or a target in points."""
    kind = "ceiling" if score is None else "target"
    score = CEILING if score is None else score
    return Reference(kind, score, float(skill(task, score)))


@dataclass(frozen=True)
class OtherRun:
    """Another run's scores of the same items.

    Attributes:
        scores: By task, row for row those of the items; a task that it lacks is absent.
        notes: What was left out.
    """

    scores: Mapping[str, TaskScores]
    notes: tuple[str, ...]

    def reference(self, task: Task) -> Reference | None:
        """The other run's score as a reference; None without items or where it is undefined."""
        scores = self.scores.get(task.name)
        if scores is None or not len(scores):
            return None
        with np.errstate(all="ignore"):
            score = float(scores.scoring.metrics[0].from_sums(scores.stats.sum(axis=0)))
        return Reference("run", score, float(skill(task, score))) if np.isfinite(score) else None


def paired(
    run: ScoredRun, other: ScoredRun, items: Mapping[str, TaskItems], role: str
) -> tuple[dict[str, TaskItems], OtherRun]:
    """The items that both runs scored, and the other run's scores of them.

    Args:
        run: That is diagnosed.
        other: The reference; it may have other tasks and samples, but must have asked alike.
        items: The run's.
        role: Of the scoring.

    Returns:
        The items, those of shared tasks cut to shared samples; the other run's scores.

    Raises:
        NotComparable: The runs differ in prompts, task versions, scoring, limits or sampling.
        RedoneError: They share no sample.
    """
    check(other, run, role, allowed=("tasks", "samples"))
    theirs = other.scores(role)
    cut, scores, notes = dict(items), {}, []
    for name, own in items.items():
        if name not in theirs:
            notes.append(f"{name} is not in {other.name}: no reference, and no rank.")
            continue
        scored = theirs[name].at(np.isfinite(theirs[name].values))
        _, mine, other_rows = np.intersect1d(
            own.scores.samples, scored.samples, assume_unique=True, return_indices=True
        )
        if len(mine) < len(own):
            notes.append(f"{name}: {len(mine)} of {len(own)} items are also in {other.name}.")
        cut[name], scores[name] = own.at(mine), scored.at(other_rows)
    if not any(len(s) for s in scores.values()):
        raise RedoneError(
            f"{run.path} and {other.path} share no scored sample. Evaluate both on the same tasks "
            "and partition."
        )
    return cut, OtherRun(scores, tuple(notes))


def numbers(options: Sequence[str], option: str, low: float, high: float) -> dict[str, float]:
    """What `--target` and `--weight` say: a number by task.

    Args:
        options: `NAME=NUMBER`, or a TOML file of such lines; a name is a task, a glob, a benchmark
            or a suite. A later one replaces an earlier one.
        option: Name of the option, for messages.
        low: The smallest number.
        high: The largest.

    Raises:
        UnknownName: A name that means no task.
        RedoneError: A number out of range, or no number.
        MissingData, BadRow: A file that is not there, or not TOML.
    """
    found: dict[str, float] = {}
    for text in options:
        name, equals, number = text.rpartition("=")
        if equals and not name.strip():
            raise RedoneError(f"{option} {text}: the name of a task is missing before the '='.")
        pairs = {name: number} if equals else _table(Path(text), option)
        for name, number in pairs.items():
            value = _number(number)
            if value is None or not low <= value <= high:
                raise RedoneError(
                    f"{option} {name}={number}: a number from {low:g} to {high:g} is expected."
                )
            found |= {task.name: value for task in find(None, name)}
    return found


def _number(text: object) -> float | None:
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _table(path: Path, option: str) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise MissingData(
            f"{option} {path}: not NAME=NUMBER, and no file that can be read ({error.strerror})."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRow(f'{path} is not TOML ({error}). Lines like "sns_bench/ner" = 55 go in.') from (
            None
        )
