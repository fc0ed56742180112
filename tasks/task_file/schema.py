"""The task file: what its TOML may say, and errors that name the key."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import BadRow, MissingData
from .structured import KINDS, AnyAnswer

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*/[a-z0-9][a-z0-9_.-]*")
_PATH = "is outside the folder of the task file. Put the data beside the task file"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Table):
    """Where the rows are.

    Attributes:
        test: File of evaluation rows, relative to the task file; half of its sources (by hash) are
            for diagnosis, half for gates.
        report: File of rows for final figures only.
        train: File of rows for training and few-shot examples; never evaluated.
        hub: Data set of the Hugging Face hub; `test`, `report` and `train` are then its splits.
        config, revision: Of the hub's data set.
        encoding: Of text files; UTF-8 unless the file's own mark says UTF-16.
        source: The column that says what a row is about: equal texts form one cluster. Left out:
            everything that the prompt shows.
        language: The column with the language code of a row.
        tags: Columns to slice results by.
    """

    test: str | None = None
    report: str | None = None
    train: str | None = None
    hub: str | None = None
    config: str | None = None
    revision: str | None = None
    encoding: str | None = None
    source: str | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Data:
        if not (self.test or self.report):
            raise ValueError("`test` or `report` is needed: a file of rows to evaluate")
        if not self.hub:
            for path in (self.test, self.report, self.train):
                if path and (Path(path).is_absolute() or ".." in Path(path).parts):
                    raise ValueError(f"{path!r} {_PATH}")
        return self

    @property
    def splits(self) -> dict[str, str]:
        """Split -> file, or split of the hub's data set."""
        found = {"test": self.test, "report": self.report, "train": self.train}
        return {split: name for split, name in found.items() if name}


class Turn(_Table):
    """One few-shot example that the file spells out."""

    user: str
    assistant: str


class PromptText(_Table):
    """The texts of one language.

    Attributes:
        user: `{column}` stands for a column of the row; other braces are text.
        system: The system text.
    """

    user: str = ""
    system: str = ""


class Prompts(_Table):
    """The prompt.

    Attributes:
        user, system: See `PromptText`.
        languages: Texts for rows of other languages, by language code.
        messages: The column that holds a conversation, a list of `{"role", "content"}`, in place
            of `user`.
        turns: `last`: one sample per row, the last turn is answered; `each`: one sample for each
            turn of the assistant, which is its gold answer, after the turns before it as written.
        shots: Few-shot examples from the train rows, a choice by `seed`.
        seed: Of that choice.
        examples: Few-shot examples, as written.
    """

    user: str = ""
    system: str = ""
    languages: dict[str, PromptText] = Field(default_factory=dict)
    messages: str | None = None
    turns: Literal["last", "each"] = "last"
    shots: int = Field(default=0, ge=0, le=100, strict=True)
    seed: int = 0
    examples: tuple[Turn, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Prompts:
        if bool(self.user) == bool(self.messages):
            raise ValueError("either `user` (a text) or `messages` (a column) is needed, not both")
        return self


class Limits(_Table):
    """How answers are generated.

    Attributes:
        max_tokens: Limit of an answer; left out: the default of its kind.
        stop: Texts that end an answer.
    """

    max_tokens: int | None = Field(default=None, ge=1, le=100_000, strict=True)
    stop: tuple[str, ...] = ()


class TaskFile(_Table):
    """A task file.

    Attributes:
        name: `group/task`, in small letters.
        title: For people; left out: the name.
        version: Raise it when rows or prompts change their meaning.
        language: Of rows without a column for it.
        capability: What the task measures.
        citation: A paper, or where the data come from.
        held_out: Never trained on.
        data, prompt, answer, settings: See there.
    """

    name: str
    title: str = ""
    version: int = Field(1, ge=1)
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}$")
    capability: str = "unknown"
    citation: str = ""
    held_out: bool = False
    data: Data
    prompt: Prompts
    answer: AnyAnswer
    settings: Limits = Limits()

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r}: two parts of small letters, digits, `-`, `_` and `.` are expected, "
                "such as acme/topic"
            )
        return name


def parse(text: str, where: str) -> TaskFile:
    """The content of a task file.

    Args:
        text: TOML.
        where: Names the file in messages.

    Raises:
        BadRow: It is not TOML, or a key is unknown, missing or has a value that it cannot have.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRow(f"{where} is not valid TOML: {error}.") from None
    try:
        return TaskFile.model_validate(raw)
    except ValidationError as error:
        raise BadRow(f"{where}: {explained(error)}") from None


def read(path: Path) -> TaskFile:
    """The content of a task file.

    Raises:
        MissingData: It cannot be read.
        BadRow: As for `parse`.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise MissingData(f"The task file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadRow(f"{path} is not UTF-8. Save it as UTF-8.") from None
    return parse(text, str(path))


_EXPECTED = {
    "tuple_type": "a list of texts",
    "string_type": "a text",
    "string_pattern_mismatch": "a language code such as en or zh",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
"""What a key should hold, by the type of pydantic's error."""


def explained(error: ValidationError) -> str:
    """The first mistake in one sentence."""
    # An unknown key is often the misspelling of one that is missing.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    place = [str(part) for part in first["loc"] if str(part) not in KINDS]
    key = ".".join(part for part in place if "[" not in part)
    match first["type"]:
        case "extra_forbidden":
            known = _keys(error, first["loc"][:-1])
            near = difflib.get_close_matches(place[-1], known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
            return f"the key {key!r} is unknown. {hint}"
        case "missing":
            return f"the key {key!r} is missing."
        case "union_tag_invalid" | "union_tag_not_found":
            found = first.get("ctx", {}).get("tag", "nothing")
            return f"`{key}.kind` is {found!r}; expected one of {', '.join(KINDS)}."
    if expected := _EXPECTED.get(first["type"]):
        return f"key {key or '(file)'!r}: {expected} is expected, not {first.get('input')!r:.60}."
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    given = first.get("input")
    shown = f" (found {given!r:.60})" if isinstance(given, str | int | float | bool) else ""
    return f"key {key or '(file)'!r}: {message}{shown}."


def _keys(error: ValidationError, loc: tuple[Any, ...]) -> list[str]:
    """The keys that the table at a place may have."""
    model: Any = TaskFile
    for part in loc:
        if part in KINDS:
            model = KINDS[str(part)]
        elif part in getattr(model, "model_fields", {}):
            annotation = model.model_fields[part].annotation
            model = annotation if isinstance(annotation, type) else model
    return list(getattr(model, "model_fields", {}))
