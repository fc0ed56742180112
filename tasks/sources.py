"""Where samples come from: data folders, readers, ids, clusters and partitions."""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import Any

import orjson

from .errors import BadRow, MissingData, RedoneError, UnknownName
from .schema import PARTITIONS, Partition, Record, Sample
from .task import Kind, Task
from .text import well_formed

DATA_VARIABLE = "REDONE_DATA"
MIRROR_VARIABLE = "REDONE_MIRROR"
INCLUDE_VARIABLE = "REDONE_LM_EVAL_TASKS"
TASKS_VARIABLE = "REDONE_TASKS"
EMBEDDED = Path(__file__).parent / "mini"

SELECTIONS: Mapping[str, tuple[Partition, ...]] = {
    "all": PARTITIONS,
    **{name: (name,) for name in PARTITIONS},
    "train": ("train",),
}
"""What `samples` can select: `all` stands for every evaluation partition, never `train`."""


def data_folder(option: str | os.PathLike[str] | None = None, *, create: bool = False) -> Path:
    """The data folder: the option, else $REDONE_DATA, else the user's data directory.

    Args:
        option: What `--data-dir` says.
        create: It is to be written to, so it need not exist yet.

    Raises:
        MissingData: The option or the variable names no folder.
    """
    given = option or os.environ.get(DATA_VARIABLE)
    if given:
        folder = Path(given).expanduser()
        if not folder.is_dir() and not create:
            origin = "--data-dir" if option else f"${DATA_VARIABLE}"
            raise MissingData(f"{origin} names {str(folder)!r}, which is not a folder.")
        return folder
    import platformdirs

    return Path(platformdirs.user_data_dir("redone", appauthor=False))


@dataclass(frozen=True, slots=True)
class DataPaths:
    """The places that tasks read from: resolved once at a command's edge, then passed down.

    Attributes:
        folder: The data folder.
        mirrors: Folders or manifests that replace the hub's data sets, in the order of search.
        include: Folder of the user's own lm-eval definitions, None if there is none.
        tasks: The user's own tasks: task files, folders of them, or code
            (`task_file.locate.tasks_from`).
    """

    folder: Path
    mirrors: tuple[Path, ...] = ()
    include: Path | None = None
    tasks: tuple[str, ...] = ()

    @classmethod
    def resolve(
        cls,
        data_dir: str | os.PathLike[str] | None = None,
        mirror: str | os.PathLike[str] | None = None,
        *,
        create: bool = False,
    ) -> DataPaths:
        """The options' places, else the environment's, else the user's own data directory.

        Args:
            data_dir: `--data-dir`, else $REDONE_DATA, else the user's data directory.
            mirror: `--mirror`, else $REDONE_MIRROR: paths separated as in $PATH.
            create: The data folder is to be written to, so it need not exist yet.

        Raises:
            MissingData: The option or the variable names no folder.
        """
        named = str(mirror or os.environ.get(MIRROR_VARIABLE, "")).split(os.pathsep)
        include = os.environ.get(INCLUDE_VARIABLE)
        return cls(
            data_folder(data_dir, create=create),
            tuple(Path(path).expanduser() for path in named if path),
            Path(include) if include else None,
            tuple(p for p in os.environ.get(TASKS_VARIABLE, "").split(",") if p),
        )

    def variables(self) -> dict[str, str]:
        """The environment variables from which another process resolves the same places."""
        found = {
            DATA_VARIABLE: str(self.folder),
            MIRROR_VARIABLE: os.pathsep.join(map(str, self.mirrors)),
            INCLUDE_VARIABLE: str(self.include or ""),
            TASKS_VARIABLE: ",".join(self.tasks),
        }
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class JsonReader:
    """Reads one file of JSON objects (an array, or one object per line) as records.

    Attributes:
        path: Relative to the data folder; of an embedded file, to this package's own data.
        fields: Required fields and their types.
        row: Turns one object into a record, or into None to leave it out; may raise ValueError with
            a message naming the field.
        kind: `embedded` if the file ships with the package.
    """

    path: str
    fields: Mapping[str, type]
    row: Callable[[Mapping[str, Any]], Record | None]
    kind: Kind = "file"

    def __call__(self, folder: Path) -> Iterator[Record]:
        """The records in file order.

        Raises:
            MissingData: The file is not there.
            BadRow: An object breaks the format; names file, row and field.
        """
        path = self.locate(folder)
        for number, raw in enumerate(json_objects(path), 1):
            if not isinstance(raw, dict):
                raise BadRow(f"{path}, row {number}: an object is expected, not {kind(raw)}.")
            for name, wanted in self.fields.items():
                if name not in raw:
                    raise BadRow(f"{path}, row {number}: the field {name!r} is missing.")
                if not isinstance(raw[name], wanted):
                    raise BadRow(
                        f"{path}, row {number}, field {name!r}: {_KINDS.get(wanted, wanted)} is "
                        f"expected, not {kind(raw[name])}."
                    )
            try:
                record = self.row(raw)
            except ValueError as error:
                raise BadRow(f"{path}, row {number}: {error}") from error
            if record is not None:
                yield record

    def locate(self, folder: Path) -> Path:
        """The file, given the data folder.

        Raises:
            MissingData: It is not there.
        """
        path = (EMBEDDED if self.kind == "embedded" else folder) / self.path
        if not path.is_file():
            raise MissingData(missing(path, self.path.partition("/")[0]))
        return path


def json_objects(path: Path) -> Iterator[Any]:
    """The elements of a JSON array file, or of a file with one JSON value a line (streamed).

    Raises:
        MissingData: The file cannot be read.
        BadRow: It is not JSON, or not UTF-8; names the line.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise MissingData(f"{path} cannot be read: {error.strerror}.") from None
    with file:
        head = file.read(64)
        start = len(_BOM) if head.startswith(_BOM) else 0
        file.seek(start)
        if head[start:].lstrip().startswith(b"["):
            content = file.read()
            try:
                elements = _json(content)
            except orjson.JSONDecodeError as error:
                raise _no_json(path, f"line {error.lineno}", content, error) from None
            yield from elements
            return
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    value = _json(line)
                except orjson.JSONDecodeError as error:
                    raise _no_json(path, f"row {number}", line, error) from None
                yield value


_BOM = b"\xef\xbb\xbf"


def _no_json(path: Path, place: str, content: bytes, error: orjson.JSONDecodeError) -> BadRow:
    """The refusal of a content that is not JSON, or not even UTF-8."""
    try:
        content.decode("utf-8")
        encoded = b"\0" not in content  # UTF-16 without a byte order mark
    except UnicodeDecodeError:
        encoded = False
    why = f"not valid JSON ({error.msg})" if encoded else "the file is not UTF-8; convert it"
    return BadRow(f"{path}, {place}: {why}.")


def _json(content: bytes) -> Any:
    """A JSON value; half characters, which some writers escape, become U+FFFD.

    Raises:
        orjson.JSONDecodeError: It is none.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        if b"\\ud" not in content.lower():
            raise
        try:
            text = json.dumps(json.loads(content), ensure_ascii=False)
        except (ValueError, RecursionError):
            text = ""
        if not text:
            raise
        return orjson.loads(well_formed(text))


def missing(path: Path, dataset: str) -> str:
    """The message for a data file that is not there, with the fix."""
    return (
        f"{path} is missing. `redone tasks fetch {dataset}` downloads it; --data-dir or "
        f"${DATA_VARIABLE} name a folder that has it; `--suite sns-mini` needs no data."
    )


_KINDS: Mapping[type, str] = {
    **{bool: "a boolean", int: "a number", float: "a number", type(None): "null"},
    **{str: "a string", list: "a list", dict: "an object"},
}


def kind(value: Any) -> str:
    """The JSON name of a value's type, for messages."""
    return _KINDS.get(type(value), type(value).__name__)


_LABEL = re.compile(
    r"\n[ \t]*(?:(?:note )?(?:title|content|body|text|category|asr|ocr|doc|query|notes?|comment)"
    r"|(?:笔记)?(?:标题|正文|内容)|笔记|类目|类别|搜索词|评论)\s*[:：]",
    re.I,
)
_NOT_WORD = re.compile(r"[\W_]+")
_ASCII = bytes(range(128))
_ASCII_NOT_WORD = bytes(c for c in _ASCII if not chr(c).isalnum())


def cluster_of(source: str) -> str:
    """Hash of a source text, blind to case, width, labels, spacing, punctuation and emoji.

    A text with no word in it is hashed unchanged.

    Returns:
        16 hex digits.
    """
    text = normalised(source) or source.encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:16]


def normalised(source: str) -> bytes:
    """The letters and digits of a text, as `cluster_of` sees it: equal texts are one source.

    Labels are the "Note Title:", "Body:" or 标题： at the start of a line, by which one data file
    presents a text and another does not.

    Returns:
        The ASCII letters and digits in lower case, then `|` and the others, UTF-8.
    """
    # This runs for every sample of every run, so ASCII and other letters are taken apart: each kind
    # is cleaned fastest in its own way, and only the few others need Unicode's normal form.
    text = _LABEL.sub(" ", "\n" + source)
    plain, others = _letters(text)
    if not text.isascii():
        others = unicodedata.normalize("NFKC", others)
        # Full-width letters and loose accents belong among the ASCII letters, in order.
        if _letters(others)[0] or not unicodedata.is_normalized("NFC", text):
            plain, others = _letters(unicodedata.normalize("NFKC", text))
        if others := _NOT_WORD.sub("", others).casefold():
            plain += b"|" + others.encode()
    return plain


def _letters(text: str) -> tuple[bytes, str]:
    """The ASCII letters and digits in lower case, and all that is not ASCII."""
    plain = text.encode("ascii", "ignore").lower().translate(None, _ASCII_NOT_WORD)
    if text.isascii():
        return plain, ""
    return plain, text.encode("utf-8", "ignore").translate(None, _ASCII).decode()


def characters(fields: Mapping[str, Any]) -> int:
    """The length of an item or training row: characters of all its text fields together."""
    return sum(len(value) for value in fields.values() if isinstance(value, str))


def partition_of(task: Task, split: str, cluster: str) -> Partition:
    """The partition of an item: by its split where the benchmark has several, else by hash.

    Args:
        task: Whose `splits` rule.
        split: The item's published split.
        cluster: Hash of the source text; all items about one text share a partition.
    """
    rule = _rule(task, split)
    if rule != "hash":
        return rule
    return "diagnose" if int(cluster[:8], 16) % 2 == 0 else "gate"


def _rule(task: Task, split: str) -> Any:
    if not task.splits and split == "test":
        return "hash"
    if split not in task.splits:
        # A train split that no rule names would be evaluated unnoticed.
        raise ValueError(f"{task.name} yields split {split!r}, which Task.splits does not name.")
    return task.splits[split]


def samples(
    task: Task, folder: Path, *, partition: str = "all", limit: int | None = None, seed: int = 0
) -> Iterator[Sample]:
    """The samples of a task in file order, streamed.

    Args:
        task: Whose samples.
        folder: The data folder; not looked at by embedded tasks.
        partition: A key of `SELECTIONS`.
        limit: At most this many, a seeded choice: those whose hash with the seed is smallest, so
            that a smaller limit chooses among the samples of a larger one. The data is then read
            twice, and no more than the chosen ids are held.
        seed: Of the choice.

    Raises:
        UnknownName: No such partition.
        RedoneError: The limit is not positive.
        MissingData: A file of the task is not in the folder.
        BadRow: A file breaks its format.
    """
    if partition not in SELECTIONS:
        raise UnknownName("partition", partition, SELECTIONS)
    if limit is None:
        return (sample for sample, _ in sourced(task, folder, SELECTIONS[partition]))
    if limit < 1:
        raise RedoneError(f"A limit of {limit} samples is not possible: expected 1 or more.")

    def place(identity: str) -> bytes:
        return hashlib.sha256(f"{seed}|{identity}".encode()).digest()

    def limited() -> Iterator[Sample]:
        ids = (sample.id for sample in samples(task, folder, partition=partition))
        chosen = set(nsmallest(limit, ids, key=place))
        for sample in samples(task, folder, partition=partition):
            if sample.id in chosen:
                yield sample

    return limited()


def sourced(
    task: Task, folder: Path, wanted: tuple[Partition, ...]
) -> Iterator[tuple[Sample, str]]:
    """The samples of some partitions in file order, each with its source text."""
    seen: dict[bytes, int] = {}
    count: dict[str, int] = {}
    for row in task.read(folder):
        count[row.split] = index = count.get(row.split, -1) + 1
        rule = _rule(task, row.split)
        if rule != "hash" and rule not in wanted:
            continue
        content = orjson.dumps(
            [task.name, row.split, row.fields, row.target], option=orjson.OPT_SORT_KEYS
        )
        digest = hashlib.sha256(content).digest()[:12]
        seen[digest] = occurrence = seen.get(digest, -1) + 1
        cluster = cluster_of(row.source)
        partition = partition_of(task, row.split, cluster)
        if partition not in wanted:
            continue
        sample = Sample(
            id=hashlib.sha256(digest + occurrence.to_bytes(4, "big")).hexdigest()[:16],
            task=task.name,
            fields=row.fields,
            target=row.target,
            language=row.language,
            cluster=cluster,
            split=row.split,
            partition=partition,
            tags=row.tags,
            index=index,
        )
        yield sample, row.source


def data_hash(ids: Iterable[str]) -> str:
    """Hash of a set of samples, given by their ids in any order: 16 hex digits.

    An id holds task, content and occurrence, so equal hashes mean equal questions and golds.
    """
    total = count = 0
    for identity in ids:
        total += int.from_bytes(hashlib.sha256(identity.encode()).digest(), "big")
        count += 1
    packed = f"{count}|{total % (1 << 256):x}"
    return hashlib.sha256(packed.encode()).hexdigest()[:16]
