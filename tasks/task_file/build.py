"""From a task file to a `Task`, which everything else treats like a built-in one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import nsmallest
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from ..check import chance_of
from ..errors import BadRow, MissingData, UnknownName
from ..prompts import messages, places
from ..schema import Message, Record, Request, Sample, Settings
from ..sources import DataPaths
from ..task import REPETITION, Chance, Prompt, Task
from .answer import Answer
from .schema import TaskFile, explained, read
from .tables import Numbered, Row, cell, hub_rows, rows, text_of

SPLITS = {"test": "hash", "report": "report", "train": "train"}
"""How the splits of a task file become partitions."""

CHANCE_SAMPLES = 500
"""Samples of which the chance level is measured."""


@dataclass(frozen=True)
class TaskReader:
    """Reads the rows of a task file as records.

    Attributes:
        file: What the task file says.
        path: Of the task file, its data beside it; None for a task that a run stored.
        answer: The kind of answer, with its labels.
    """

    file: TaskFile
    path: Path | None
    answer: Answer
    kind = "task_file"

    def place(self, data: DataPaths) -> str:
        """Where the rows are, in a few words."""
        return self.file.data.hub or ", ".join(self.file.data.splits.values())

    @property
    def columns(self) -> list[str]:
        """The columns that the prompts show."""
        prompt = self.file.prompt
        texts = [prompt.user, *(text.user for text in prompt.languages.values())]
        return list(dict.fromkeys(n for t in texts for n in places(Prompt("", t))))

    @property
    def fields(self) -> Sequence[str]:
        """The names that places in a prompt may have."""
        return self.columns

    def __call__(self, folder: Path) -> Iterator[Record]:
        """The records of all splits; the data lie beside the task file, whatever `folder` is."""
        for split in self.file.data.splits:
            yield from self.records(split)

    def records(self, split: str) -> Iterator[Record]:
        """The records of one split, in file order.

        Raises:
            MissingData: Its file is not there.
            BadRow: A row breaks the format; names file, row and column.
        """
        for where, row in self.rows(split):
            try:
                yield from self._of(row, where, split)
            except ValueError as error:
                place = f", column {self.answer.field!r}" if self.answer.field else ""
                raise BadRow(f"{where}{place}: {error}.") from None

    def rows(self, split: str) -> Numbered:
        """The rows of one split, as its file has them."""
        data = self.file.data
        name = data.splits[split]
        if data.hub:
            return hub_rows(data.hub, data.config, data.revision, name)
        if self.path is None:
            raise MissingData(
                f"The data of {self.file.name} are not in the run folder. Name its task file: "
                "--tasks FILE.toml."
            )
        home = self.path.parent
        path = home / name
        if not path.resolve().is_relative_to(home.resolve()):
            raise BadRow(f"{path} is a link to a file outside the folder of the task file.")
        return rows(path, data.encoding)

    def _of(self, row: Row, where: str, split: str) -> Iterator[Record]:
        data, prompt = self.file.data, self.file.prompt
        fields: dict[str, Any] = {
            name: text_of(cell(row, column_of(name, row), where)) for name in self._plain_columns
        }
        fields |= self.answer.shown(row, where)
        language = text_of(cell(row, data.language, where)) if data.language else self.file.language
        tags = {name: text_of(cell(row, name, where)) for name in data.tags}
        if prompt.messages and prompt.turns == "each":
            for turn, before, gold in _turns(cell(row, prompt.messages, where)):
                own = {**fields, "messages": before}
                target = self.answer.target({**row, self.answer.field: gold}, where)
                source = self._source(row, {"messages": before}, where)
                yield Record(own, target, language, source, split, {**tags, "turn": str(turn)})
            return
        if prompt.messages:
            fields["messages"] = turns = conversation(cell(row, prompt.messages, where))
            if turns[-1]["role"] == "assistant":
                raise ValueError(
                    "the conversation ends with the assistant's turn. Remove it, or write "
                    '`turns = "each"` under [prompt]'
                )
        target = self.answer.target(row, where)
        if (label := self.answer.label(target)) is not None:
            tags = {"label": label, **tags}
        yield Record(fields, target, language, self._source(row, fields, where), split, tags)

    @cached_property
    def _plain_columns(self) -> list[str]:
        """The prompt's columns, apart from what the kind of answer provides."""
        return [name for name in self.columns if name != "choices"]

    def _source(self, row: Row, fields: Mapping[str, Any], where: str) -> str:
        if self.file.data.source:
            return text_of(cell(row, self.file.data.source, where))
        shown = [value if isinstance(value, str) else _text(value) for value in fields.values()]
        return "\n".join(shown)


def column_of(place: str, row: Row) -> str:
    """The column that a place of the prompt shows: `{post_text}` may be the column "post text"."""
    if place in row:
        return place
    return next((name for name in row if re.sub(r"\W", "_", name) == place), place)


def _text(value: Any) -> str:
    """The text of a conversation or of a list of options."""
    if isinstance(value, list):
        return "\n".join(v["content"] if isinstance(v, dict) else str(v) for v in value)
    return str(value)


def conversation(value: Any) -> list[dict[str, str]]:
    """The turns of a conversation; a cell of text holds them as JSON."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            value = None
    good = isinstance(value, list) and all(
        isinstance(turn, dict)
        and turn.get("role") in ("system", "user", "assistant")
        and isinstance(turn.get("content"), str)
        for turn in value
    )
    if not good or not value:
        raise ValueError(
            'a conversation is expected: [{"role": "user", "content": "..."}, ...], with the roles '
            "system, user and assistant"
        )
    return [{"role": turn["role"], "content": turn["content"]} for turn in value]


def _turns(value: Any) -> Iterator[tuple[int, list[dict[str, str]], str]]:
    """The turns of the assistant: number, the turns before, and the text."""
    turns = conversation(value)
    number = 0
    for place, turn in enumerate(turns):
        if turn["role"] == "assistant" and place:
            number += 1
            yield number, turns[:place], turn["content"]


# --- the task ------------------------------------------------------------------------------------


def load(path: Path) -> Task:
    """The task of a task file.

    Its labels, where the file does not list them, are those of its data; its chance level is that
    of the trivial baselines on `CHANCE_SAMPLES` samples.

    Raises:
        MissingData: The file, or its data, cannot be read.
        BadRow: The file or a row breaks its format.
        UnknownName: A metric that the kind of answer does not have.
    """
    file = read(path)
    path = path.resolve()
    reader = TaskReader(file, path, file.answer)
    answer = file.answer.learned(_Targets(reader))
    try:
        task = _task(file, TaskReader(file, path, answer), _shots(file, reader))
    except UnknownName as error:
        raise BadRow(f"{path}: {error}") from None
    return replace(task, chance=chance_of(task, path.parent, CHANCE_SAMPLES))


class StoredTask(BaseModel):
    """What a run keeps of a task file, so that it can be read without the file and its data.

    Attributes:
        file: The content of the task file, with the labels of its data.
        version: Of the task.
        scoring: Version of the kind of answer.
        chance: Of the task, None where unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["task_file"] = "task_file"
    file: TaskFile
    version: str
    scoring: int
    chance: tuple[float, float] | None


def record_of(task: Task) -> dict[str, Any] | None:
    """What a run keeps of a task: None for one in code, whose code is needed again."""
    if not isinstance(task.read, TaskReader):
        return None
    chance = (task.chance.metric, task.chance.value) if task.chance.known else None
    file = task.read.file.model_copy(update={"answer": task.read.answer})
    answer = task.read.answer
    stored = StoredTask(file=file, version=str(task.version), scoring=answer.version, chance=chance)
    return stored.model_dump(mode="json", exclude_none=True)


def recorded(record: Mapping[str, Any], name: str) -> Task:
    """The task that a run kept; it has no data of its own.

    Raises:
        BadRow: The record has another form.
    """
    try:
        stored = StoredTask.model_validate(record)
    except ValidationError as error:
        raise BadRow(f"The record of {name}: {explained(error)}") from None
    answer = stored.file.answer
    if stored.scoring != answer.version:
        raise BadRow(
            f"{name} was scored by version {stored.scoring} of answers of kind {answer.kind!r}; "
            f"this redone has version {answer.version}. Evaluate again."
        )
    task = _task(stored.file, TaskReader(stored.file, None, answer), {})
    chance = Chance(*stored.chance) if stored.chance else task.chance
    return replace(task, version=stored.version, chance=chance)


class _Targets(Sequence[Any]):
    """The gold answers of a task file, read when they are needed only."""

    def __init__(self, reader: TaskReader) -> None:
        self.reader = reader

    @cached_property
    def _all(self) -> list[Any]:
        splits = self.reader.file.data.splits
        return [record.target for split in splits for record in self.reader.records(split)]

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, place: Any) -> Any:
        return self._all[place]


def _task(file: TaskFile, reader: TaskReader, shots: Mapping[str, tuple[Shot, ...]]) -> Task:
    answer, prompt = reader.answer, file.prompt
    prompts = {"en": Prompt(prompt.system, prompt.user)}
    for language, text in prompt.languages.items():
        prompts[language] = Prompt(text.system, text.user)
    count = len(prompt.examples) + prompt.shots
    limit = file.settings.max_tokens or answer.max_tokens
    settings = Settings(max_tokens=limit, stop=file.settings.stop, max_repetition=REPETITION)
    return Task(
        name=file.name,
        title=file.title or file.name,
        prompts=prompts,
        read=reader,
        scorings={"corrected": answer.scoring()},
        gold=answer.gold,
        baselines=answer.baselines(),
        category=file.name.partition("/")[2],
        capability=file.capability,
        language=file.language,
        version=_version(file, answer, shots),
        settings=settings,
        requests=_Requests(shots, count, settings) if shots or prompt.messages else None,
        reward=answer.reward,
        splits={split: SPLITS[split] for split in file.data.splits},  # type: ignore[misc]
        held_out=file.held_out,
        citation=file.citation,
    )


def _version(file: TaskFile, answer: Answer, shots: Mapping[str, tuple[Shot, ...]]) -> str:
    """The author's version, and a hash of all that decides what is asked and how it is scored."""
    content = {
        "answer": answer.model_dump(mode="json"),
        "prompt": file.prompt.model_dump(mode="json"),
        "shots": {name: [shot.turns for shot in own] for name, own in shots.items()},
        "scoring": answer.version,
    }
    packed = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    return f"{file.version}-{hashlib.sha256(packed).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Shot:
    """One few-shot example; `fields` are those of its train row, None for one that the file has."""

    user: str
    assistant: str
    fields: Mapping[str, Any] | None = None

    @property
    def turns(self) -> tuple[Message, Message]:
        """As two turns."""
        return (
            {"role": "user", "content": self.user},
            {"role": "assistant", "content": self.assistant},
        )


@dataclass(frozen=True, slots=True)
class _Requests:
    """The request of a sample with few-shot examples, or of a conversation.

    Attributes:
        shots: By language, one more than are shown: a sample is never its own example.
        count: How many are shown.
        settings: Of the request.
    """

    shots: Mapping[str, tuple[Shot, ...]]
    count: int
    settings: Settings

    def __call__(self, sample: Sample, prompt: Prompt) -> Sequence[Request]:
        found = messages(prompt, sample.fields)
        system, user = found[:-1], found[-1:]
        if "messages" in sample.fields:
            user = tuple(sample.fields["messages"])
            if user[0]["role"] == "system":
                system = ()
        shots = self.shots.get(sample.language) or next(iter(self.shots.values()), ())
        others = [shot for shot in shots if shot.fields != sample.fields][: self.count]
        turns = tuple(turn for shot in others for turn in shot.turns)
        return (Request(sample.id, (*system, *turns, *user), self.settings),)


def _shots(file: TaskFile, reader: TaskReader) -> dict[str, tuple[Shot, ...]]:
    """The few-shot examples by language: those of the file first, then train rows."""
    prompt = file.prompt
    given = tuple(Shot(example.user, example.assistant) for example in prompt.examples)
    if not prompt.shots:
        return {file.language: given} if given else {}
    if "train" not in file.data.splits:
        raise BadRow(f"{file.name}: `shots` need train rows: name a file as `train` in [data].")

    def place(record: Record) -> bytes:
        content = orjson.dumps(record.fields, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(f"{prompt.seed}|".encode() + content).digest()

    by_language: dict[str, list[Record]] = {}
    for record in reader.records("train"):
        by_language.setdefault(record.language, []).append(record)
    found = {}
    for language, records in by_language.items():
        text = prompt.languages.get(language)
        user = text.user if text else prompt.user
        found[language] = given + tuple(
            Shot(
                messages(Prompt("", user), record.fields)[0]["content"],
                reader.answer.gold(sample_of(file.name, record)),
                record.fields,
            )
            for record in nsmallest(prompt.shots + 1, records, key=place)
        )
    return found


def sample_of(task: str, record: Record) -> Sample:
    """A record as a sample without identity, for what only looks at its content."""
    return Sample(
        id="", task=task, fields=record.fields, target=record.target, language=record.language,
        cluster="", split=record.split, partition="train", tags=record.tags,
    )  # fmt: skip
