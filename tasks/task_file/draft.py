"""Writes a first task file for a data file: looks at the columns, and says what it guessed.

Guesses are simple and reported, so that a person who knows the data can correct them in a minute.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from ..errors import BadRow, RedoneError
from ..extract_label import YES_NO
from ..extraction import normalize
from .build import conversation, load
from .tables import list_of, rows, text_of

LOOKED_AT = 20_000
"""Rows that are looked at."""
MOST_LABELS = 50
"""Distinct values up to which a column of short texts is taken for a label."""

_ANSWERS = (
    *("answer", "label", "labels", "topic", "category", "sentiment", "emotion", "stance", "target"),
    *("gold", "class", "output", "response", "reference", "tags", "entities", "spans", "score"),
    *("标签", "类别", "类目", "答案", "情感", "译文", "实体", "话题"),
)
_ANSWERS += ("reply", "title", "summary", "translation")
_CLASSES = ("label", "class", "topic", "category", "标签", "类别")
"""Columns whose numbers are names."""
_TEXTS = ("text", "post", "tweet", "note", "content", "question", "query", "comment", "input")
_TEXTS += ("文本", "正文", "内容", "问题", "评论", "笔记")
_IDS = ("id", "index", "idx", "uuid", "no", "编号")


@dataclass(frozen=True, slots=True)
class Column:
    """What the rows that were looked at have in one column.

    Attributes:
        name: Of the column.
        values: The values that are not empty.
        empty: How many are empty.
    """

    name: str
    values: list[Any]
    empty: int

    @property
    def texts(self) -> list[str]:
        """The values as texts."""
        return [text_of(value).strip() for value in self.values]

    @property
    def distinct(self) -> int:
        """How many different values."""
        return len(set(map(str, self.values)))

    @property
    def length(self) -> float:
        """Mean characters of a value."""
        return fmean(map(len, self.texts)) if self.values else 0.0

    def share(self, test: Any) -> float:
        """Share of the values that a test accepts."""
        return fmean(bool(test(value)) for value in self.values) if self.values else 0.0


@dataclass(slots=True)
class Draft:
    """A first task file.

    Attributes:
        text: TOML with comments.
        guesses: What was guessed, for people.
    """

    text: str
    guesses: list[str] = field(default_factory=list)


def draft(path: Path, name: str | None = None) -> Draft:
    """A first task file for a data file.

    Args:
        path: The data file.
        name: Of the task; None: made of the folder's and the file's name.

    Raises:
        MissingData, BadRow: The file cannot be read, or has no row or fewer than two columns.
    """
    columns = _columns(path)
    guesses: list[str] = []
    conversation = _first(columns, lambda c: c.share(_is_conversation) > 0.9)
    answer = _answer_column(columns, conversation)
    options = _options(columns, answer)
    table, why = _answer_table(answer, options)
    guesses.append(f"answer: column {answer.name!r}, kind {table['kind']} ({why})")
    rest = [c for c in columns if c is not answer and c.name not in options]
    text = _text_column(rest)
    if conversation:
        guesses.append(f"prompt: the conversation in column {conversation.name!r}")
    else:
        guesses.append(f"text: column {text.name!r} (the longest texts)")
    language = (
        "zh" if text.share(lambda value: re.search("[\u4e00-\u9fff]", str(value))) > 0.5 else "en"
    )
    guesses.append(f"language: {language}")
    tags = [c.name for c in rest if c is not text and _is_label(c)]
    if tags:
        guesses.append(f"tags to slice results by: {', '.join(tags)}")
    if answer.empty:
        guesses.append(f"{answer.empty} rows have no answer: fill them in, or remove them")
    name = name or "/".join(_slug(part) for part in (path.resolve().parent.name, path.stem))
    train = path.with_name(f"train{path.suffix}")
    train_name = train.name if train.is_file() and train != path else None
    lines = [
        f"# A first task file for {path.name}; correct what was guessed wrong, then run",
        f"# redone tasks check {path.stem}.toml",
        f"name = {_toml(name)}",
        f"language = {_toml(language)}",
        "",
        "[data]",
        f"test = {_toml(path.name)}",
        f"train = {_toml(train_name)}"
        if train_name
        else '# train = "train.csv"   # rows to train on',
        f"source = {_toml(text.name)}   # equal texts form one cluster"
        if not conversation
        else "# source = ...   # the column that says what a row is about",
        f"tags = {_toml(tags)}" if tags else "# tags = []   # columns to slice results by",
        "",
        "[prompt]",
        *_prompt(text, conversation, table, answer, language),
        "",
        "[answer]",
        *(f"{key} = {_toml(value)}" for key, value in table.items()),
        "",
        "# [settings]",
        "# max_tokens = 128",
    ]
    return Draft("\n".join(lines) + "\n", guesses)


def write_draft(path: Path, output: Path, found: Draft) -> None:
    """Writes a draft beside its data, and loads it once so that it surely works.

    Raises:
        RedoneError: There is a file already, or the draft would be in another folder.
    """
    if output.exists():
        raise RedoneError(f"{output} exists. Name another file with --output, or remove it.")
    if output.resolve().parent != path.resolve().parent:
        raise RedoneError(f"{output}: a task file lies in the folder of its data, {path.parent}.")
    output.write_text(found.text, "utf-8")
    try:
        load(output)
    except RedoneError as error:
        found.guesses.append(f"it does not load yet: {error}")


def _columns(path: Path) -> list[Column]:
    values: dict[str, list[Any]] = {}
    empty: Counter[str] = Counter()
    count = 0
    for _, row in islice(rows(path), LOOKED_AT):
        count += 1
        for name, value in row.items():
            if value is None or value == "" or value != value:
                empty[name] += 1
                values.setdefault(name, [])
            else:
                values.setdefault(name, []).append(value)
    if not count:
        raise BadRow(f"{path} has no row.")
    if len(values) < 2:
        raise BadRow(
            f"{path} has one column, {next(iter(values))!r}: a text and its answer are expected."
        )
    return [Column(name, found, empty[name]) for name, found in values.items()]


def _first(columns: Sequence[Column], test: Any) -> Column | None:
    return next((column for column in columns if test(column)), None)


def _named(columns: Sequence[Column], names: Sequence[str]) -> Iterator[Column]:
    by_name = {column.name.strip().lower(): column for column in columns}
    return (by_name[name] for name in names if name in by_name)


def _is_conversation(value: Any) -> bool:
    try:
        return bool(conversation(value))
    except ValueError:
        return False


def _is_label(column: Column) -> bool:
    most = min(MOST_LABELS, max(2, len(column.values) // 4))
    plain = not column.share(lambda value: isinstance(value, list | dict))
    return 1 < column.distinct <= most and column.length <= 40 and bool(plain)


def _answer_column(columns: Sequence[Column], conversation: Column | None) -> Column:
    rest = [c for c in columns if c is not conversation and c.name.strip().lower() not in _IDS]
    labels = (column for column in rest if _is_label(column))
    objects = (column for column in rest if column.share(lambda v: isinstance(v, dict)) > 0.9)
    shortest = sorted(rest, key=lambda column: column.length)
    return next(iter([*_named(rest, _ANSWERS), *labels, *objects, *shortest]), columns[-1])


def _text_column(columns: Sequence[Column]) -> Column:
    texts = [c for c in columns if not c.share(lambda v: isinstance(v, dict | list))] or columns
    named = list(_named(texts, _TEXTS))
    longest = max(texts, key=lambda column: column.length)
    return next((c for c in named if c.length * 3 > longest.length), longest)


def _options(columns: Sequence[Column], answer: Column) -> list[str]:
    """The columns with the options of a choice: A, B, C, ..., or one with a list."""
    letters = [c.name for c in columns if re.fullmatch(r"[A-Ja-j]", c.name.strip())]
    if len(letters) > 1:
        return letters
    lists = [c.name for c in _named(columns, ("options", "choices", "candidates"))]
    return lists if lists and answer.name not in lists else []


def _answer_table(answer: Column, options: Sequence[str]) -> tuple[dict[str, Any], str]:
    """The `[answer]` table, and why."""
    texts, name = answer.texts, answer.name
    if options:
        named: Any = options[0] if len(options) == 1 else list(options)
        return {"kind": "choice", "field": name, "options": named}, "there are columns of options"
    plain = {normalize(text) for text in texts}
    if plain and all(text in YES_NO.forms for text in plain):
        return {"kind": "yes_no", "field": name}, "yes and no"
    if answer.share(lambda v: isinstance(v, dict)) > 0.9:
        return {"kind": "json", "field": name, "fields": _fields(answer)}, "JSON objects"
    if answer.share(_is_spans) > 0.5 and answer.share(lambda v: isinstance(v, list)) > 0.9:
        return {"kind": "spans", "field": name}, "lists of objects with `text`"
    numeric = answer.share(lambda v: re.fullmatch(r"-?[\d,]*\.?\d+", str(v).strip())) > 0.95
    if numeric and name.strip().lower() not in _CLASSES:
        return {"kind": "number", "field": name}, "numbers"
    if _is_label(answer):
        counts = Counter(texts)
        uneven = max(counts.values()) > 1.5 * min(counts.values())
        metrics = ["macro_f1", "accuracy"] if uneven else ["accuracy", "macro_f1"]
        table = {"kind": "label", "field": name, "metrics": metrics}
        return table, f"{len(counts)} labels: {', '.join(list(counts)[:6])}"
    separator = next((s for s in ",;|" if answer.share(lambda v, s=s: s in str(v)) > 0.3), ",")
    parts = [part for text in texts for part in list_of(text, separator)]
    # Labels come back; the words of a text hardly do.
    often = len(set(parts)) <= min(MOST_LABELS, len(parts) // 2) and answer.length < 60
    if often or answer.share(lambda v: isinstance(v, list) or str(v).startswith("[")) > 0.5:
        return {"kind": "labels", "field": name, "separator": separator}, "lists of labels"
    return {"kind": "text", "field": name, "metrics": ["chrf", "rouge_l"]}, "free texts"


def _is_spans(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and "text" in item for item in value)
    )


def _fields(answer: Column) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for value in answer.values for key in value):
        column = Column(key, [v[key] for v in answer.values if v.get(key) is not None], 0)
        table, _ = _answer_table(column, ())
        found[key] = {"kind": table["kind"]} if table["kind"] != "json" else {"kind": "text"}
    return found


def _prompt(
    text: Column,
    conversation: Column | None,
    table: Mapping[str, Any],
    answer: Column,
    language: str,
) -> list[str]:
    if conversation:
        return [f"messages = {_toml(conversation.name)}", 'turns = "last"']
    place = re.sub(r"\W", "_", text.name)
    chinese, kind = language == "zh", table["kind"]
    system = _ASKED.get(kind, ("", ""))[chinese]
    if kind in ("label", "labels"):
        separator = table.get("separator", "")
        parts = (list_of(t, separator) if separator else [t] for t in answer.values)
        labels = sorted({text_of(part).strip() for found in parts for part in found})
        listed = f"标签：{'、'.join(labels)}。" if chinese else f"Labels: {', '.join(labels)}. "
        system = listed + system
    lines = [f"user = {_toml(f'{{{place}}}' + CHOICES * (kind == 'choice'))}"]
    return [*lines, f"system = {_toml(system)}"] if system else lines


CHOICES = "\n{choices}"
_ASKED = {
    "label": ("Reply with the label only.", "只回答标签。"),
    "labels": (
        "Reply with the labels, separated by commas, and nothing else.",
        "只回答标签，用逗号分隔。",
    ),
    "choice": ("Reply with the letter only.", "只回答字母。"),
    "yes_no": ("Reply with Yes or No.", "只回答是或否。"),
    "number": ("Reply with the number only.", "只回答数字。"),
    "spans": ('Reply with JSON: [{"text": "...", "type": "..."}].',) * 2,
    "json": ("Reply with one JSON object.", "只回答一个 JSON 对象。"),
}
"""What the answer should look like, in English and Chinese, by kind."""


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-._") or "task"


def _toml(value: Any) -> str:
    """A value as TOML; texts as JSON strings, which are TOML strings too."""
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{_key(key)} = {_toml(each)}" for key, each in value.items()) + " }"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else json.dumps(text, ensure_ascii=False)
