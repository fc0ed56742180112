"""The training corpus: rows to learn from, and the JSON lines in which they are kept.

A row belongs to a task of the registry, and what an answer to it is worth is that task's own
`corrected` judgement: evaluation and reward are one. Every row that is read is held against it, so
a corpus never teaches an answer that would not count, nor a rationale behind which the answer
cannot be read. `docs/corpus.md` describes the format.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from ..harness.store import replacing
from ..tasks.errors import BadRow, MissingData, RedoneError, UnknownName
from ..tasks.prompts import messages, prompt_for
from ..tasks.registry import BENCHMARKS, by_name
from ..tasks.schema import Completion, Message, Sample, Score, Services, Task
from ..tasks.sources import cluster_of, kind

_REASONING = {
    "en": 'Reason in a few sentences first, then write "Answer:" and the answer as the last line.',
    "zh": "请先用几句话推理，最后一行写“答案：”和答案。",
}
_LABEL = {"en": "Answer: ", "zh": "答案："}
_PROBE = {"en": "First I look at what is asked.", "zh": "先看题目问的是什么。"}
"""Stands for a rationale where a row has none, to find out whether its task could read one."""


@dataclass(frozen=True, slots=True)
class CorpusRow:
    """One item to learn from.

    Attributes:
        id: Unique within a corpus.
        task: The task whose judgement applies.
        messages: What is asked, before any chat template: a system turn at most, then turns of user
            and assistant, a user's last.
        answer: The text of a perfect answer: what SFT learns.
        rationale: The way to the answer; "" for none. The task reads the same answer behind it.
        language: ISO 639-1 code.
        weight: How often the row is to be drawn beside others of its task, above 0.
        fields, target, tags: As of `tasks.schema.Sample`. Without a target nothing can be judged:
            such a row is for SFT only.
        general: General data, not of social networks.
        cluster: Hash of the source text, as of a sample.
    """

    id: str
    task: str
    messages: tuple[Message, ...]
    answer: str
    rationale: str = ""
    language: str = "en"
    weight: float = 1.0
    fields: Mapping[str, Any] = field(default_factory=dict)
    target: Any = None
    tags: Mapping[str, str] = field(default_factory=dict)
    general: bool = False
    cluster: str = ""

    @property
    def judgeable(self) -> bool:
        """Whether an answer to this row can be judged."""
        return self.target is not None

    def sample(self) -> Sample:
        """The row as the item that its task judges.

        Raises:
            RedoneError: The row has no target.
        """
        if not self.judgeable:
            raise RedoneError(
                f"Row {self.id!r} of {self.task} has no target, so no answer to it can be judged: "
                "it is for SFT only. Give the row a `target`, or leave it out of RL."
            )
        return Sample(
            id=self.id,
            task=self.task,
            fields=self.fields,
            target=self.target,
            language=self.language,
            cluster=self.cluster,
            split="train",
            partition="train",
            tags=self.tags,
        )

    def asked(self, rationale: bool) -> tuple[Message, ...]:
        """The messages; with `rationale` a sentence more, which asks for the reasoning first."""
        if not rationale:
            return self.messages
        last = self.messages[-1]
        wanted = f"{last['content']}\n\n{_worded(_REASONING, self.language)}"
        return (*self.messages[:-1], {**last, "content": wanted})

    def learnt(self, rationale: bool) -> str:
        """What the assistant is to say; with `rationale`, where there is one, that comes first."""
        if not rationale or not self.rationale:
            return self.answer
        return _behind(self.rationale, self.answer, self.language)


def judged(row: CorpusRow, text: str, services: Services) -> Score:
    """What a text is worth as the answer to a row, by its task's `corrected` judgement."""
    scoring = by_name(row.task).scorings["corrected"].given(services)
    return scoring.judge(row.sample(), [Completion(text)], services)


def reasonable(row: CorpusRow, services: Services) -> bool:
    """Whether the row's task reads the answer as well behind a rationale as alone.

    It does where answers are read out of a text, and does not where the whole text is the answer
    (copying, layouts, search queries): asking those for reasons would ask for failure.
    """
    if not row.judgeable:
        return bool(row.rationale)
    text = _behind(row.rationale or _worded(_PROBE, row.language), row.answer, row.language)
    alone, behind = judged(row, row.answer, services), judged(row, text, services)
    return not alone.scored or behind.value >= alone.value


def is_general(task: Task) -> bool:
    """Whether a task is general, not of social networks."""
    return task.name.startswith("lm_eval:") or any(
        key.startswith("general") and task in benchmark.tasks
        for key, benchmark in BENCHMARKS.items()
    )


def _worded(texts: Mapping[str, str], language: str) -> str:
    return texts.get(language, texts["en"])


def _behind(rationale: str, answer: str, language: str) -> str:
    return f"{rationale}\n\n{_worded(_LABEL, language)}{answer}"


# --- files ---------------------------------------------------------------------------------------


def read_corpus(path: str | Path, services: Services | None = None) -> list[CorpusRow]:
    """Reads a corpus of JSON lines, every row checked.

    Args:
        path: The file.
        services: For tasks that need one to judge; answers that need a missing one are not held
            against their task.

    Raises:
        MissingData: There is no such file.
        BadRow: A row breaks the format, repeats an id, or holds an answer that its task does not
            count as right; names file, row and field.
        UnknownName: A row is of a task that does not exist.
    """
    return list(_read(Path(path), services or Services()))


def write_corpus(rows: Iterable[CorpusRow], path: str | Path) -> None:
    """Writes rows as JSON lines, whole or not at all; what is at its default is left out.

    Raises:
        DiskFull: No space; the file is as before.
    """
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        for row in rows:
            file.write(orjson.dumps(as_record(row), option=orjson.OPT_APPEND_NEWLINE))


def as_record(row: CorpusRow) -> dict[str, Any]:
    """A row as the JSON object of its line."""
    record = {name: getattr(row, name) for name in _FIELDS}
    return {
        name: value
        for name, value in record.items()
        if name in _REQUIRED
        or (name == "general" and value != is_general(by_name(row.task)))
        or (name != "general" and value != _DEFAULTS[name])
    }


def _read(path: Path, services: Services) -> Iterator[CorpusRow]:
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
            _held_against_its_task(row, where, services)
            yield row


_FIELDS = tuple(f.name for f in fields(CorpusRow))
_REQUIRED = ("id", "task", "messages", "answer")
_DEFAULTS = {
    **{"rationale": "", "language": "en", "weight": 1.0, "fields": {}, "target": None},
    **{"tags": {}, "cluster": ""},
}
_ROLES = ("system", "user", "assistant")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_HASH = re.compile(r"[0-9a-f]{16}")


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
        if name not in (*_FIELDS, "question"):
            raise BadRow(str(UnknownName(f"field in {where}:", name, (*_FIELDS, "question"))))
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
        if shown:
            return messages(prompt_for(task, language, {}), shown)
        raise BadRow(f"{where}: none of `question`, `messages` and `fields` is there.")
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
                f"{turn['role']!r} cannot stand here: a system turn may come first, "
                "then user and assistant.",
            )
        if not isinstance(turn["content"], str) or not turn["content"].strip():
            raise _bad(where, place, "the content is to be a text that is not empty.")
    if turns[-1]["role"] != "user":
        raise _bad(where, "messages", "the last turn is to be the user's.")
    return tuple(turns)


def _held_against_its_task(row: CorpusRow, where: str, services: Services) -> None:
    if not row.judgeable:
        return
    try:
        score = judged(row, row.answer, services)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise _bad(
            where,
            "target",
            f"{row.task} cannot judge with this target and these fields "
            f"({type(error).__name__}: {error}). Its own rows show their form: "
            f"`redone-tasks show {row.task}`.",
        ) from None
    if score.scored and not score.value >= 1 - 1e-9:
        raise _bad(
            where,
            "answer",
            f"{row.task} judges it as {score.failure or 'partly right'}, worth "
            f"{score.value:.3g} of 1 (read as {score.parsed!r:.80}). Mend answer or target; without "
            "a target the row is for SFT only.",
        )
    if row.rationale and not reasonable(row, services):
        raise _bad(
            where,
            "rationale",
            f"{row.task} does not read the answer behind it, since there the "
            "whole text is the answer. Leave the rationale out.",
        )
