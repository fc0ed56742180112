"""The training corpus: JSON lines of rows to learn from, read with every row checked.

A row belongs to a task of the registry, and what an answer to it is worth is that task's own
`corrected` judgement: evaluation and reward are one. Every row that is read is held against it, so
a corpus never teaches an answer that would not count, nor a rationale behind which the answer
cannot be read. `docs/corpus.md` describes the format.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from ...harness.store import replacing
from ...tasks.errors import BadRow, MissingData, RedoneError, UnknownName
from ...tasks.prompts import messages, places, prompt_for
from ...tasks.registry import BENCHMARKS, by_name
from ...tasks.schema import Message, Services, Task
from ...tasks.sources import cluster_of, kind
from ..rewards import Rewards
from .row import NAMES, CorpusRow, behind, worded

__all__ = ["CorpusRow", "is_general", "read_corpus", "reasonable", "write_corpus"]

ROUNDING = 1e-5
"""By how much the value of a perfect answer may miss 1."""

_PROBE = {"en": "First I look at what is asked.", "zh": "先看题目问的是什么。"}
"""Stands for a rationale where a row has none, to find out whether its task could read one."""


def read_corpus(path: str | Path, services: Services | None = None) -> list[CorpusRow]:
    """Reads a corpus of JSON lines, every row checked.

    Args:
        path: The file.
        services: For tasks that need one to judge; answers that need a missing one are not held
            against their task.

    Raises:
        MissingData: There is no such file.
        BadRow: A row breaks the format, repeats an id, is of a task that does not exist or is held
            out, or holds an answer that its task does not count as right; names file, row and
            field.
    """
    return list(_read(Path(path), Rewards(services)))


def write_corpus(rows: Iterable[CorpusRow], path: str | Path) -> None:
    """Writes rows as JSON lines, whole or not at all.

    Raises:
        DiskFull: No space; a file that was there is as before.
    """
    with replacing(Path(path)) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(f"{row.to_json()}\n" for row in rows)


def is_general(task: Task) -> bool:
    """Whether a task is general, not of social networks."""
    return task.name.startswith("lm_eval:") or any(
        key.startswith("general") and task in benchmark.tasks
        for key, benchmark in BENCHMARKS.items()
    )


def reasonable(row: CorpusRow, rewards: Rewards | None = None) -> bool:
    """Whether the row's task reads the answer as well behind a rationale as alone.

    It does where answers are read out of a text, and does not where the whole text is the answer
    (copying, layouts, search queries): asking those for reasons would ask for failure.

    Args:
        row: Of the corpus.
        rewards: The tasks' own judgement, with its services.
    """
    if not row.judgeable:
        return bool(row.rationale)
    text = behind(row.rationale or worded(_PROBE, row.language), row.answer, row.language)
    alone, reasoned = (rewards or Rewards()).judge([row] * 2, [row.answer, text])
    if alone.value is None or reasoned.value is None:
        return False
    return reasoned.value >= alone.value - ROUNDING


# --- reading -------------------------------------------------------------------------------------

_NAMES = (*NAMES, "question")
_ROLES = ("system", "user", "assistant")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_HASH = re.compile(r"[0-9a-f]{16}")


def _read(path: Path, rewards: Rewards) -> Iterator[CorpusRow]:
    seen: dict[str, int] = {}
    try:
        file = path.open("rb")
    except OSError as error:
        raise MissingData(f"{path} cannot be read: {error.strerror}.") from None
    with file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}, row {number}"
            row = _row(line, where)
            if row.id in seen:
                raise _bad(where, "id", f"{row.id!r} is the id of row {seen[row.id]} already.")
            seen[row.id] = number
            _hold_against_its_task(row, where, rewards)
            yield row


def _bad(where: str, name: str, message: str) -> BadRow:
    return BadRow(f"{where}, field {name!r}: {message}")


def _row(line: bytes, where: str) -> CorpusRow:
    try:
        raw: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadRow(f"{where}: not valid JSON ({error.msg}).") from None
    if not isinstance(raw, dict):
        raise BadRow(f"{where}: an object is expected, not {kind(raw)}.")
    for name in raw:
        if name not in _NAMES:
            raise BadRow(f"{where}: {UnknownName('field', name, _NAMES, '')}".rstrip())
    for name in ("id", "task", "answer"):
        if not isinstance(raw.get(name), str) or not raw[name].strip():
            raise _bad(where, name, "a text is expected that is not empty.")
    task = _task(raw["task"], where)
    texts = {n: raw.get(n, d) for n, d in (("rationale", ""), ("language", "en"), ("cluster", ""))}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise _bad(where, name, f"a text is expected, not {kind(value)}.")
    if not _LANGUAGE.fullmatch(texts["language"]):
        raise _bad(where, "language", f"{texts['language']!r} is no ISO 639 code such as 'en'.")
    if texts["cluster"] and not _HASH.fullmatch(texts["cluster"]):
        raise _bad(where, "cluster", "16 hexadecimal digits are expected; it may be left out.")
    weight = raw.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise _bad(where, "weight", f"a number above 0 is expected, not {weight!r}.")
    general = raw.get("general", is_general(task))
    if not isinstance(general, bool):
        raise _bad(where, "general", "true or false is expected.")
    shown, tags = _object(raw, "fields", where), _object(raw, "tags", where)
    if not all(isinstance(value, str) for value in tags.values()):
        raise _bad(where, "tags", "an object of texts is expected.")
    asked = _messages(raw, task, texts["language"], shown, where)
    question = asked[-1]["content"]
    return CorpusRow(
        id=raw["id"],
        task=raw["task"],
        messages=asked,
        answer=raw["answer"],
        rationale=texts["rationale"].strip(),
        language=texts["language"],
        weight=float(weight),
        fields=shown or {"question": question},
        target=raw.get("target"),
        tags=tags,
        general=general,
        cluster=texts["cluster"] or cluster_of(question),
    )


def _task(name: str, where: str) -> Task:
    try:
        task = by_name(name)
    except RedoneError as error:
        raise _bad(where, "task", str(error)) from None
    if task.held_out:
        raise _bad(where, "task", f"{name} is held out: it is never trained on.")
    return task


def _object(raw: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    value = raw.get(name, {})
    if not isinstance(value, dict):
        raise _bad(where, name, f"an object is expected, not {kind(value)}.")
    return value


def _messages(
    raw: Mapping[str, Any], task: Task, language: str, shown: Mapping[str, Any], where: str
) -> tuple[Message, ...]:
    """The turns: given, or one question, or the task's own prompt filled with the row's fields."""
    if "question" in raw and "messages" in raw:
        raise _bad(where, "question", "`messages` is there too; give one of the two.")
    if "question" in raw:
        if not isinstance(raw["question"], str) or not raw["question"].strip():
            raise _bad(where, "question", "a text is expected that is not empty.")
        return ({"role": "user", "content": raw["question"]},)
    if "messages" not in raw:
        if not shown:
            raise BadRow(f"{where}: none of `question`, `messages` and `fields` is there.")
        prompt = prompt_for(task, language, {})
        for place in places(prompt):
            if shown.get(place) in (None, "", [], {}):
                told = ", ".join(places(prompt))
                raise _bad(where, f"fields.{place}", f"the prompt of {task.name} shows {told}.")
        return messages(prompt, shown)
    turns = raw["messages"]
    if not isinstance(turns, list) or not turns:
        raise _bad(where, "messages", "a list of turns is expected.")
    for number, turn in enumerate(turns):
        place = f"messages[{number}]"
        if not isinstance(turn, dict) or set(turn) != {"role", "content"}:
            raise _bad(where, place, "an object of `role` and `content` is expected.")
        if turn["role"] not in _ROLES or (turn["role"] == "system" and number):
            raise _bad(
                where,
                place,
                f"{turn['role']!r} cannot stand here: a system turn may come first, then those of "
                "user and assistant.",
            )
        if not isinstance(turn["content"], str) or not turn["content"].strip():
            raise _bad(where, place, "the content is to be a text that is not empty.")
    if turns[-1]["role"] != "user":
        raise _bad(where, "messages", "the last turn is to be the user's.")
    return tuple(turns)


def _hold_against_its_task(row: CorpusRow, where: str, rewards: Rewards) -> None:
    if not row.judgeable:
        return
    scoring = by_name(row.task).scorings["corrected"].given(rewards.services)
    if rewards.services.missing(scoring.needs):
        return
    value = rewards.judge([row], [row.answer])[0].value
    if value is None:
        raise _bad(
            where,
            "target",
            f"{row.task} cannot judge answers by this target and these fields. "
            f"`redone-tasks show {row.task}` shows their form; without a target the row is for SFT "
            "only.",
        )
    if value < 1 - ROUNDING:
        raise _bad(
            where,
            "answer",
            f"{row.task} counts it as worth {value:.3g}, not 1. Mend answer or target; without a "
            "target the row is for SFT only.",
        )
    if row.rationale and not reasonable(row, rewards):
        raise _bad(
            where,
            "rationale",
            f"{row.task} does not read the answer behind it, since the whole text is the answer. "
            "Leave the rationale out.",
        )
