"""Where training rows come from: train splits of the registry, generated items, users' files.

A row has exactly the evaluation's prompt: the task's own, filled with the row's fields. It belongs
to a task of the registry, and the value of an answer is that task's own `corrected` score:
evaluation and reward are one. Every row of a corpus file (JSON lines) is checked against it, so a
corpus never teaches an answer that would not count, nor a rationale behind which the answer cannot
be parsed. `docs/corpus.md` describes the format.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from ...tasks.errors import BadRow, MissingData, RedoneError, UnknownName
from ...tasks.general_mini.tasks import ITEMS, FamilyReader, training_rows
from ...tasks.prompts import messages, places, prompt_for
from ...tasks.registry import BENCHMARKS, TASKS, by_name
from ...tasks.schema import Message, Sample, Services
from ...tasks.sources import DataPaths, cluster_of, kind, samples
from ...tasks.task import Task
from ..rewards import ROUNDING, Rewards, reasonable
from ..rows import NAMES, TrainingRow, write_lines


def read_corpus(
    path: str | Path, services: Services | None = None, data: DataPaths | None = None
) -> list[TrainingRow]:
    """Reads a corpus of JSON lines, every row checked.

    Args:
        path: The file.
        services: For tasks whose scoring needs one; answers that need a missing one are not
            checked.
        data: Where tasks find their data; None: as the environment says.

    Raises:
        MissingData: There is no such file.
        BadRow: A row breaks the format, repeats an id, is of a task that does not exist or is held
            out, or holds an answer that its task does not count as right; names file, row and
            field.
    """
    return list(_read(Path(path), Rewards(services, data=data)))


def write_corpus(rows: Iterable[TrainingRow], path: str | Path) -> None:
    """Writes rows as JSON lines, whole or not at all.

    Raises:
        DiskFull: No space; a file that was there is as before.
    """
    write_lines(path, (row.to_json() for row in rows))


def is_general(task: Task) -> bool:
    """Whether a task is general, not of social networks."""
    return task.name.startswith("lm_eval:") or any(
        key.startswith("general") and task in benchmark.tasks
        for key, benchmark in BENCHMARKS.items()
    )


# --- reading -------------------------------------------------------------------------------------

_NAMES = (*NAMES, "question")
_ROLES = ("system", "user", "assistant")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_HASH = re.compile(r"[0-9a-f]{16}")


def _read(path: Path, rewards: Rewards) -> Iterator[TrainingRow]:
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
            _check_against_its_task(row, where, rewards)
            yield row


def _bad(where: str, name: str, message: str) -> BadRow:
    return BadRow(f"{where}, field {name!r}: {message}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _row(line: bytes, where: str) -> TrainingRow:
    def check(name: str, right: bool, message: str) -> None:
        if not right:
            raise _bad(where, name, message)

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
        check(name, _is_text(raw.get(name)), "a text is expected that is not empty.")
    try:
        task = by_name(raw["task"])
    except RedoneError as error:
        raise _bad(where, "task", str(error)) from None
    check("task", not task.held_out, f"{task.name} is held out: it is never trained on.")
    given = {"rationale": "", "language": "en", "weight": 1.0, "fields": {}, "tags": {}}
    given |= {"general": is_general(task), "cluster": "", **raw}
    for name in ("rationale", "language", "cluster"):
        value = given[name]
        check(name, isinstance(value, str), f"a text is expected, not {kind(value)}.")
    language, cluster, weight = given["language"], given["cluster"], given["weight"]
    code = bool(_LANGUAGE.fullmatch(language))
    check("language", code, f"{language!r} is no ISO 639 code such as 'en'.")
    digits = not cluster or bool(_HASH.fullmatch(cluster))
    check("cluster", digits, "16 hexadecimal digits are expected; it may be left out.")
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    above = number and 0 < weight < math.inf
    check("weight", above, f"a number above 0 is expected, not {weight!r}.")
    check("general", isinstance(given["general"], bool), "true or false is expected.")
    for name in ("fields", "tags"):
        value = given[name]
        check(name, isinstance(value, dict), f"an object is expected, not {kind(value)}.")
    texts = all(isinstance(value, str) for value in given["tags"].values())
    check("tags", texts, "an object of texts is expected.")
    asked = _messages(raw, task, language, given["fields"], where)
    question = asked[-1]["content"]
    return TrainingRow(
        id=raw["id"],
        task=raw["task"],
        messages=asked,
        answer=raw["answer"],
        rationale=given["rationale"].strip(),
        language=language,
        weight=float(weight),
        fields=given["fields"] or {"question": question},
        target=raw.get("target"),
        tags=given["tags"],
        general=given["general"],
        cluster=cluster or cluster_of(question),
    )


def _messages(
    raw: Mapping[str, Any], task: Task, language: str, shown: Mapping[str, Any], where: str
) -> tuple[Message, ...]:
    """The turns: given, or one question, or the task's own prompt filled with the row's fields."""
    if "question" in raw and "messages" in raw:
        raise _bad(where, "question", "`messages` is there too; give one of the two.")
    if "question" in raw:
        if not _is_text(raw["question"]):
            raise _bad(where, "question", "a text is expected that is not empty.")
        return ({"role": "user", "content": raw["question"]},)
    if "messages" not in raw:
        if not shown:
            raise BadRow(f"{where}: none of `question`, `messages` and `fields` is there.")
        prompt = prompt_for(task, language, {})
        for place in places(prompt):
            if shown.get(place) in (None, "", [], {}):
                names = ", ".join(places(prompt))
                raise _bad(where, f"fields.{place}", f"the prompt of {task.name} shows {names}.")
        return messages(prompt, shown)
    turns = raw["messages"]
    if not isinstance(turns, list) or not turns:
        raise _bad(where, "messages", "a list of turns is expected.")
    for number, turn in enumerate(turns):
        place = f"messages[{number}]"
        if not isinstance(turn, dict) or set(turn) != {"role", "content"}:
            raise _bad(where, place, "an object of `role` and `content` is expected.")
        if turn["role"] not in _ROLES or (turn["role"] == "system" and number):
            text = "a system turn may come first, then those of user and assistant."
            raise _bad(where, place, f"{turn['role']!r} is not allowed here: {text}")
        if not _is_text(turn["content"]):
            raise _bad(where, place, "the content must be a text that is not empty.")
    if turns[-1]["role"] != "user":
        raise _bad(where, "messages", "the last turn must be the user's.")
    return tuple(turns)


def _check_against_its_task(row: TrainingRow, where: str, rewards: Rewards) -> None:
    if not row.judgeable:
        return
    scoring = by_name(row.task).scorings["corrected"].given(rewards.services)
    if rewards.services.missing(scoring.needs):
        return
    value = rewards.score([row], [row.answer])[0].value
    sft = "without a target the row is for SFT only."
    if value is None:
        text = f"{row.task} cannot score answers by this target and these fields."
        form = f"`redone tasks show {row.task}` shows their form"
        raise _bad(where, "target", f"{text} {form}; {sft}")
    if value < 1 - ROUNDING:
        text = f"{row.task} counts it as worth {value:.3g}, not 1. Fix answer or target"
        raise _bad(where, "answer", f"{text}; {sft}")
    if row.rationale and not reasonable(row, rewards):
        text = f"{row.task} cannot parse the answer behind it, since the whole text is the answer."
        raise _bad(where, "rationale", f"{text} Leave the rationale out.")


def trainable_tasks() -> list[Task]:
    """The tasks of the registry that have a train split, in the order of the tables."""
    return [task for task in TASKS.values() if _has_train(task)]


def registry_rows(tasks: Sequence[Task], folder: Path) -> Iterator[TrainingRow]:
    """The rows of the train splits of some tasks, in file order.

    Args:
        tasks: With a train split each. `general-mini` yields the items of its own seed; others come
            from `generated_rows`.
        folder: The data folder.

    Raises:
        RedoneError: A task has no train split, or is never trained on.
        MissingData: A file of a task is not in the folder; the message says how to fetch it.
        BadRow: A file breaks its format.
    """
    for task in tasks:
        if not _has_train(task):
            why = "is held out of training" if task.held_out else "has no train split"
            names = ", ".join(t.name for t in trainable_tasks())
            raise RedoneError(
                f"{task.name} {why}. Tasks with rows to train on: {names}. Rows of your own for "
                "other tasks come from a corpus file (docs/corpus.md)."
            )
        general = is_general(task)
        if isinstance(task.read, FamilyReader) and task.read.train is not None:
            yield from generated_rows(task.read.train.name, task.read.seed, task.read.count)
            continue
        for sample in samples(task, folder, partition="train"):
            yield _row_of(task, sample, task.gold(sample), general=general)


def generated_rows(
    family: str | None = None, seed: int = 0, count: int = ITEMS
) -> Iterator[TrainingRow]:
    """Rows of `general-mini`'s train families, with rationales where the task can read past one.

    Args:
        family: One of them; None for all.
        seed: Any. Seeds draw from the same words: rows that two of them share have one id.
        count: Rows of each family.

    Raises:
        UnknownName: There is no such family.
        RedoneError: It is for evaluation only, or has not so many different items.
    """
    found = list(training_rows(family, seed, count))
    for name in dict.fromkeys(row.task for row in found):
        own = [row for row in found if row.task == name]
        task = replace(by_name(name), read=lambda _, own=own: (row.row for row in own))
        for sample, item in zip(samples(task, Path(), partition="train"), own, strict=True):
            row = _row_of(task, sample, item.answer, item.rationale, general=True)
            yield row if reasonable(row) else replace(row, rationale="")


def own_rows(
    paths: Iterable[str | Path], services: Services | None = None, data: DataPaths | None = None
) -> list[TrainingRow]:
    """The rows of users' own files (`docs/corpus.md`), whose ids must differ across files.

    Raises:
        MissingData, BadRow: As `read_corpus` does.
    """
    rows: dict[str, TrainingRow] = {}
    for path in paths:
        for row in read_corpus(path, services, data):
            if row.id in rows:
                raise BadRow(f"{path}, field 'id': {row.id!r} is in another corpus file already.")
            rows[row.id] = row
    return list(rows.values())


def _has_train(task: Task) -> bool:
    return "train" in task.splits.values() and not task.held_out


def _row_of(
    task: Task, sample: Sample, answer: str, rationale: str = "", *, general: bool
) -> TrainingRow:
    return TrainingRow(
        id=sample.id,
        task=task.name,
        messages=messages(prompt_for(task, sample.language, {}), sample.fields),
        answer=answer,
        rationale=rationale,
        language=sample.language,
        fields=sample.fields,
        target=sample.target,
        tags=sample.tags,
        general=general,
        cluster=sample.cluster,
    )
