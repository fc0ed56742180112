"""Contamination: training rows that repeat evaluation items, whole, nearly, or inside.

A training row *overlaps* an evaluation item if it has the same letters and digits as one of the
item's texts (exact), or if it holds most of a text's character n-grams (near; n-gram containment as
in Brown et al. 2020, appendix C, on characters so that Chinese needs no word segmentation).
Containment is counted, not estimated by MinHash: an item inside a longer row is found too, a short
one if the row holds all of it.

An item's texts are its source, the question that our prompt makes of it, and, where a task of
lm-eval wraps a document into a prompt, the texts of the document itself, less what many documents
share: a short post inside a long instruction is found under another instruction too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from .errors import BadRow, MissingData, RedoneError
from .prompts import messages, prompt_for
from .schema import PARTITIONS
from .sources import cluster_of, normalised, sourced
from .task import Task

THRESHOLD = 0.8
"""Share of an item's n-grams from which on a row overlaps it."""
LEAST = 24
"""n-grams of a text from which on the threshold applies; a row must hold all of a shorter one."""
SHORT = 16
"""n-grams that a text must have to be searched for inside rows; shorter ones are found where they
are a row, a line, or a quotation of their own."""
TINY = 8
"""Bytes of letters and digits that such a text must have."""

_BYTES = 12  # of an n-gram: twelve ASCII letters, or four Chinese characters


@dataclass(frozen=True, slots=True)
class Overlap:
    """A training row that repeats an evaluation item.

    Attributes:
        row: Number of the row, from 1.
        task, sample, partition: The item.
        kind: `exact` or `near`.
        share: Of the item's n-grams that the row holds, 0..1.
    """

    row: int
    task: str
    sample: str
    partition: str
    kind: str
    share: float


class TrainingTexts(NamedTuple):
    """The texts of one training row.

    Attributes:
        asked: Questions, prompts, plain text: each alone may be an evaluation item.
        answered: Answers; together with the question they may contain an item, alone they do not.
        clusters: Hashes (`cluster_of`) of the source texts that the row is about.
    """

    asked: Sequence[str]
    answered: Sequence[str] = ()
    clusters: Sequence[str] = ()


class EvaluationTexts:
    """The source texts of evaluation items, indexed by their n-grams.

    Args:
        tasks: Whose items, of all evaluation partitions.
        folder: The data folder.
    """

    def __init__(self, tasks: Sequence[Task], folder: Path) -> None:
        self._items: list[tuple[str, str, str]] = []
        self._exact: dict[str, list[int]] = {}
        self._lines: dict[str, list[int]] = {}
        parts: list[tuple[int, np.ndarray]] = []
        for task in tasks:
            parts += self._add(task, folder)
        self._part_of = np.array([number for number, _ in parts], dtype=np.int64)
        self._sizes = np.array([len(grams) for _, grams in parts], dtype=np.int64)
        owners = np.repeat(np.arange(len(parts)), self._sizes)
        every = np.concatenate([grams for _, grams in parts]) if parts else np.empty(0, np.uint64)
        order = np.argsort(every, kind="stable")
        self._grams, self._owners = every[order], owners[order]

    def _add(self, task: Task, folder: Path) -> Iterator[tuple[int, np.ndarray]]:
        """Adds a task's items; yields the n-grams of their texts, each with the item's number."""
        own: list[tuple[int, str]] = []
        first = len(self._items)
        for sample, source in sourced(task, folder, PARTITIONS):
            number = len(self._items)
            self._items.append((task.name, sample.id, sample.partition))
            asked = messages(prompt_for(task, sample.language, {}), sample.fields)[-1]["content"]
            for text in {sample.cluster, *([cluster_of(asked)] if asked.strip() else [])}:
                self._exact.setdefault(text, []).append(number)
            self._add_line(number, source)
            document = sample.fields.get("document")
            if not isinstance(document, Mapping):
                yield number, _grams(source)
            else:
                texts = list(dict.fromkeys([source, *_texts_of(document)]))
                own += [(number, text) for text in texts]
        yield from self._own_texts(own, len(self._items) - first)

    def _own_texts(
        self, texts: Sequence[tuple[int, str]], items: int
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Of the documents' own texts, what is not shared by many of a task's items."""
        most = max(2, min(COMMON, items // 4))
        uses = Counter(cluster_of(text) for _, text in texts)
        own = [(n, text) for n, text in texts if uses[cluster_of(text)] <= most]
        grams = {text: _grams(text) for text in {text for _, text in own}}
        by_item: dict[int, list[np.ndarray]] = {}
        for number, text in own:
            by_item.setdefault(number, []).append(grams[text])
        each = [np.unique(np.concatenate(found)) for found in by_item.values()]
        every = np.concatenate([*each, np.empty(0, np.uint64)])
        known, counts = np.unique(every, return_counts=True)
        common = known[counts > most]
        longest: dict[int, str] = {}
        searched: set[int] = set()
        for number, text in own:
            found = grams[text]
            place = np.searchsorted(common, found)
            place[place == len(common)] = 0
            kept = found[common[place] != found] if len(common) else found
            # A template whose few other letters remain is no text to search for.
            if 2 * len(kept) >= len(found) or len(kept) >= LEAST:
                yield number, kept
                searched |= {number} if len(kept) >= SHORT else set()
            if len(normalised(text)) >= _BYTES:
                self._exact.setdefault(cluster_of(text), []).append(number)
            if len(text) > len(longest.get(number, "")):
                longest[number] = text
        for number, text in longest.items():
            self._add_line(number, text)
        whole = {number: text for number, text in reversed(texts)}  # the source is the first
        yield from ((n, _grams(text)) for n, text in whole.items() if n not in searched)

    def _add_line(self, number: int, text: str) -> None:
        if TINY <= len(normalised(text)) < SHORT + _BYTES:
            self._lines.setdefault(cluster_of(text), []).append(number)

    def __len__(self) -> int:
        return len(self._items)

    @cached_property
    def ids(self) -> frozenset[str]:
        """Of all items."""
        return frozenset(sample for _, sample, _ in self._items)

    def about(self, cluster: str) -> list[tuple[str, str, str]]:
        """Task, id and partition of the items with this hash (`cluster_of`) of text or question."""
        return [self._items[i] for i in self._exact.get(cluster, ())]

    @property
    def short(self) -> int:
        """Items too short to be searched for inside the lines of rows."""
        searched = self._part_of[self._sizes >= SHORT]
        return len(self._items) - len(np.unique(searched))

    def overlaps(self, row: int, texts: TrainingTexts, threshold: float) -> list[Overlap]:
        """The evaluation items that a training row repeats.

        Args:
            row: Its number, for the report.
            texts: Its texts.
            threshold: Share of an item's n-grams, above 0 and up to 1.
        """
        asked = [text for text in texts.asked if text.strip()]
        hashes = [*texts.clusters, *map(cluster_of, asked)]
        same = [i for cluster in hashes for i in self._exact.get(cluster, ())]
        lines = {cluster_of(line) for line in _short_lines(asked)} if self._lines else set()
        same += [i for cluster in lines for i in self._lines.get(cluster, ())]
        found = {i: ("exact", 1.0) for i in same}
        grams = _grams("\n".join([*texts.asked, *texts.answered]))
        first = np.searchsorted(self._grams, grams, "left")
        # Nearly all n-grams of nearly all rows are in no item.
        inside = first < len(self._grams)
        inside[inside] = self._grams[first[inside]] == grams[inside]
        first, grams = first[inside], grams[inside]
        last = np.searchsorted(self._grams, grams, "right")
        held = [self._owners[a:b] for a, b in zip(first, last, strict=True)]
        if held:
            owners, counts = np.unique(np.concatenate(held), return_counts=True)
            sizes = self._sizes[owners]
            shares = counts / sizes
            least = np.where(sizes >= LEAST, threshold, 1.0)
            near = (shares >= least) & (sizes >= SHORT)
            numbers = self._part_of[owners[near]].tolist()
            for number, share in zip(numbers, shares[near].tolist(), strict=True):
                if number not in found or share > found[number][1]:
                    found[number] = ("near", share)
        return [Overlap(row, *self._items[i], *found[i]) for i in sorted(found)]


COMMON = 10
"""Items of a task that may share a text or an n-gram before it counts as the prompt's."""


def _texts_of(document: Mapping[str, Any]) -> Iterator[str]:
    """The texts in a document; of a list of choices only long ones."""
    for value in document.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from _texts_of(value)
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, Mapping):
                    yield from _texts_of(each)
                elif isinstance(each, str) and len(normalised(each)) >= 2 * LEAST + _BYTES:
                    yield each


_QUOTED = re.compile(r"[\"“”«»「」『』`]|(?<!\w)'|'(?!\w)")
_LONGEST = 4 * (SHORT + _BYTES)


def _short_lines(texts: Iterable[str]) -> Iterator[str]:
    """What stands by itself in some texts: paragraphs, lines, what follows a colon, quotations."""
    for text in texts:
        paragraphs = text.split("\n\n")
        for line in {*paragraphs, *text.split("\n")}:
            pieces = {line, re.split(r"[:：]", line, maxsplit=1)[-1], *_QUOTED.split(line)}
            yield from (piece for piece in pieces if piece.strip() and len(piece) <= _LONGEST)


def overlaps(
    rows: Iterable[TrainingTexts], items: EvaluationTexts, threshold: float = THRESHOLD
) -> Iterator[Overlap]:
    """Every overlap of training rows with evaluation items, row by row.

    Args:
        rows: The texts of each training row.
        items: What must not be repeated.
        threshold: Share of an item's n-grams.

    Raises:
        RedoneError: The threshold is out of range.
    """
    if not 0 < threshold <= 1:
        raise RedoneError(f"A threshold of {threshold} is not possible: above 0 and up to 1.")
    for number, texts in enumerate(rows, 1):
        yield from items.overlaps(number, texts, threshold)


def training_texts(path: Path) -> Iterator[TrainingTexts]:
    """The texts of a file of training rows (JSON lines).

    Of each object `question`, `prompt`, `text`, `answer`, `completion` and the contents of
    `messages` are read, as far as they are there; without any, the `fields` that the prompt of its
    `task` shows.

    Raises:
        MissingData: No such file.
        BadRow: A row is no object, or has none of these; names row and field.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _texts(line, f"{path}, row {number}")
    except OSError as error:
        raise MissingData(f"{path} cannot be read: {error.strerror}.") from None


_ASKED = ("question", "prompt", "text")
_ANSWERED = ("answer", "completion")


def _texts(line: bytes, where: str) -> TrainingTexts:
    try:
        row: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadRow(f"{where}: not valid JSON ({error.msg}).") from None
    if not isinstance(row, dict):
        raise BadRow(f"{where}: an object is expected.")
    asked = [row[name] for name in _ASKED if isinstance(row.get(name), str)]
    answered = [row[name] for name in _ANSWERED if isinstance(row.get(name), str)]
    turns = row.get("messages") or ()
    if not isinstance(turns, (list, tuple)):
        raise BadRow(f"{where}, field 'messages': a list is expected.")
    for message in turns:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise BadRow(f"{where}, field 'messages': objects with a text `content` are expected.")
        side = answered if message.get("role") == "assistant" else asked
        side.append(message["content"])
    if not asked and isinstance(row.get("task"), str) and isinstance(row.get("fields"), dict):
        from .registry import by_name

        task = by_name(row["task"])
        prompt = prompt_for(task, str(row.get("language", "en")), {})
        asked.append(messages(prompt, row["fields"])[-1]["content"])
        asked += [value for value in row["fields"].values() if isinstance(value, str)]
    if not asked:
        raise BadRow(
            f"{where}: none of {', '.join(_ASKED)} or messages is there, nor task and fields."
        )
    return TrainingTexts(asked, answered)


def _grams(text: str) -> np.ndarray:
    """Hashes of the different n-grams of a text, shape [g]; one of the whole if it is short.

    ASCII letters and others are taken apart: what stands between them depends on the text around.
    """
    whole = normalised(text)
    parts = [part for part in whole.split(b"|", 1) if len(part) >= _BYTES] or [whole]
    found = np.concatenate([_windows(np.frombuffer(part, dtype=np.uint8)) for part in parts])
    return np.unique(found)


def _windows(letters: np.ndarray) -> np.ndarray:
    """Hashes of the n-grams of some letters, shape [g]."""
    if len(letters) == 0:
        return np.empty(0, np.uint64)
    width = min(_BYTES, len(letters))
    count = len(letters) - width + 1
    shifted = letters.astype(np.uint64) + np.uint64(1)
    # A polynomial hash of every window; overflow is the modulus.
    hashes = shifted[:count] * _WEIGHTS[0]
    for place in range(1, width):
        hashes += shifted[place : place + count] * _WEIGHTS[place]
    return hashes


_WEIGHTS = np.array([pow(0x9E3779B97F4A7C15, k, 1 << 64) for k in range(_BYTES)], np.uint64)
