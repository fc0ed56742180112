"""Preference pairs: two answers of a model's own to one row, the better by the task's value.

Several answers are sampled through a harness backend and scored by the task. The best and the worst
become a pair where they differ by more than `rewards.SPREAD`: equal answers prefer nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...harness.models.base import Model
from ...tasks.errors import BadRow
from ...tasks.registry import by_name
from ...tasks.schema import Completion, Message
from ...tasks.sources import json_objects
from ..rewards import SPREAD, Rewards, ScoredAnswer
from ..rows import RowDecision, TrainingRow, write_lines
from .draws import DrawSettings, OnAnswer, draw


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one row.

    Attributes:
        id, task: Of the row.
        messages: The prompt.
        chosen, rejected: The answers, thinking taken off; the chosen one came to its end.
        values: Their scores by the task, 0..1.
        cut: Whether a limit ended the rejected one, so that no end of the turn is part of it.
    """

    id: str
    task: str
    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    values: tuple[float, float] = (1.0, 0.0)
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Preferences:
    """Pairs, and why a row has none.

    Attributes:
        pairs: In the order of the rows, one a row at most.
        decisions: For every row.
    """

    pairs: tuple[Pair, ...]
    decisions: tuple[RowDecision, ...]


def preferences(
    rows: Sequence[TrainingRow],
    model: Model,
    settings: DrawSettings,
    *,
    rewards: Rewards | None = None,
    journal: Path | None = None,
    on_answer: OnAnswer = lambda tokens: None,
) -> Preferences:
    """Makes pairs of a model's own answers; arguments and errors as of `draw`.

    A row that comes several times is used once. `rewards` is the tasks' own scoring, with its
    services.
    """
    unique = list({row.id: row for row in rows}.values())
    drawn = draw(unique, model, settings, journal=journal, on_answer=on_answer)
    given = [(row, done) for row in unique for done in drawn.answers.get(row.id, ())]
    scored = (rewards or Rewards()).score([row for row, _ in given], [done for _, done in given])
    groups: dict[str, list[tuple[Completion, ScoredAnswer]]] = {row.id: [] for row in unique}
    for (row, done), one in zip(given, scored, strict=True):
        groups[row.id].append((done, one))
    pairs: list[Pair] = []
    decisions: list[RowDecision] = []
    for row in unique:
        pair = _pair(row, groups[row.id])
        if isinstance(pair, Pair):
            pairs.append(pair)
            better, worse = pair.values
            text = f"An answer worth {better:.3g} against one worth {worse:.3g}."
            decisions.append(row.decided(1, "pair", text))
        else:
            decisions.append(row.decided(0, *pair))
    return Preferences(tuple(pairs), tuple(decisions))


def _pair(
    row: TrainingRow, group: Sequence[tuple[Completion, ScoredAnswer]]
) -> Pair | tuple[str, str]:
    """The pair of a row's answers, or the reason why there is none."""
    if not group:
        return "too long", "Its question does not fit the model's context."
    worth = [(one.value, done) for done, one in group if one.value is not None]
    if not worth:
        return "not judged", "No answer to it can be scored."
    whole = [(value, done) for value, done in worth if done.finish == "stop" and done.text.strip()]
    if not whole:
        return "no whole answer", "No answer to it came to its end."
    # Among equals the first that was drawn, so that the same answers make the same pair.
    best, chosen = max(whole, key=lambda pair: pair[0])
    worst, rejected = min(worth, key=lambda pair: pair[0])
    if best - worst <= SPREAD[by_name(row.task).reward]:
        return "alike", f"All answers are worth about the same ({worst:.3g} to {best:.3g})."
    cut = rejected.finish == "length"
    texts = (chosen.text, rejected.text)
    return Pair(row.id, row.task, row.messages, *texts, (best, worst), cut)


def write_pairs(pairs: Iterable[Pair], path: str | Path) -> None:
    """Writes pairs as JSON lines, whole or not at all.

    Raises:
        DiskFull: No space; a file that was there is as before.
    """
    write_lines(path, map(asdict, pairs))


def read_pairs(path: str | Path) -> list[Pair]:
    """Reads pairs.

    Raises:
        MissingData: There is no such file.
        BadRow: A line is no pair; names file, row and field.
    """
    path = Path(path)
    return [_read(raw, f"{path}, row {n}") for n, raw in enumerate(json_objects(path), 1)]


def _read(raw: Any, where: str) -> Pair:
    def check(name: str, right: bool, expected: str) -> None:
        if not right:
            raise BadRow(f"{where}, field {name!r}: {expected} expected.")

    if not isinstance(raw, dict):
        raise BadRow(f"{where}: an object is expected.")
    texts: dict[str, Any] = {n: raw.get(n) for n in ("id", "task", "chosen", "rejected")}
    for name, text in texts.items():
        check(name, isinstance(text, str), "a text is")
    turns: Any = raw.get("messages")
    values: Any = raw.get("values", [1.0, 0.0])
    right = isinstance(turns, list) and bool(turns)
    right = right and all(isinstance(t, dict) and {"role", "content"} <= t.keys() for t in turns)
    check("messages", right, "a list of turns is")
    right = isinstance(values, list) and [isinstance(v, int | float) for v in values] == [True] * 2
    check("values", right, "two numbers are")
    return Pair(**texts, messages=tuple(turns), values=tuple(values), cut=bool(raw.get("cut")))
