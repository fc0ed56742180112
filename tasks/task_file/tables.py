"""Rows of a user's data files: CSV, TSV, JSON, JSON lines and Parquet, or a data set of the hub.

Every error names the file and the row (1-based; the header is not counted), what was found, and
what to write instead.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import orjson

from ..errors import BadRow, MissingData, UnknownName
from ..sources import kind

LONGEST_LINE = 10_000_000
"""Characters of a cell, and bytes of a line: more is a missing quote or another kind of file."""

Row = Mapping[str, Any]
Numbered = Iterator[tuple[str, Row]]
"""Rows, each with the words that say where it is: `posts.csv, row 3`."""


def rows(path: Path, encoding: str | None = None) -> Numbered:
    """The rows of a data file in order, streamed (a JSON array apart).

    Args:
        path: The suffix says the format: .csv, .tsv, .json, .jsonl, .ndjson or .parquet.
        encoding: Of a text file; None: UTF-8, or UTF-16 where the file begins with its mark.

    Raises:
        MissingData: The file is not there.
        BadRow: It breaks its format.
    """
    if path.suffix.lower() not in _READERS:
        raise UnknownName(f"format of data file {str(path)!r}:", path.suffix, _READERS, "")
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*") if p.suffix.lower() in _READERS)
        there = f" Data files there: {', '.join(near[:8])}." if near else ""
        raise MissingData(f"{path} is missing.{there}")
    return _READERS[path.suffix.lower()](path, encoding)


def hub_rows(name: str, config: str | None, revision: str | None, split: str) -> Numbered:
    """The rows of one split of a data set of the Hugging Face hub, or of its local cache.

    Raises:
        MissingData: It cannot be loaded; the message says why.
    """
    from datasets import load_dataset

    try:
        found: Any = load_dataset(name, config, revision=revision, split=split)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise MissingData(
            f"The data set {name!r}, split {split!r}, cannot be loaded: {reason}. Offline, "
            "download it on another machine and name its files as `test = ...` instead."
        ) from None
    return ((f"{name}, {split} row {number}", row) for number, row in enumerate(found, 1))


def cell(row: Row, column: str, where: str) -> Any:
    """The value of a column.

    Raises:
        BadRow: There is no such column, or no value in this row.
    """
    if column not in row:
        found = UnknownName("column", column, list(row), "")
        raise BadRow(f"{where}: {found}")
    value = row[column]
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise BadRow(f"{where}, column {column!r}: no value. Fill it in, or remove the row.")
    return value


# --- text files ----------------------------------------------------------------------------------


def _open(path: Path, encoding: str | None) -> TextIO:
    """The file as text; the mark at its beginning, if there is one, says the encoding."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif encoding is None or start.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8-sig"
    try:
        return path.open(encoding=encoding, newline="")
    except LookupError:
        raise BadRow(f"{path}: {encoding!r} is not an encoding that Python knows.") from None


def _undecodable(path: Path, error: UnicodeDecodeError, line: int) -> BadRow:
    byte = error.object[error.start : error.start + 1].hex()
    return BadRow(
        f"{path}, after line {line}: byte 0x{byte} is not {error.encoding}. Save the file as "
        'UTF-8, or add its encoding to [data] of the task file, such as `encoding = "latin-1"`.'
    )


def _delimited(delimiter: str) -> Callable[[Path, str | None], Numbered]:
    def read(path: Path, encoding: str | None) -> Numbered:
        csv.field_size_limit(LONGEST_LINE)
        with _open(path, encoding) as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                header = next(reader, [])
                _check_header(header, path, delimiter)
                number = 0
                for values in reader:
                    if not values:
                        continue
                    number += 1
                    if len(values) != len(header):
                        raise BadRow(
                            f"{path}, row {number} (line {reader.line_num}): {len(values)} cells, "
                            f"and the header has {len(header)}. Quote cells that contain "
                            f"{delimiter!r} or line breaks."
                        )
                    yield f"{path}, row {number}", dict(zip(header, values, strict=True))
            except UnicodeDecodeError as error:
                raise _undecodable(path, error, reader.line_num) from None
            except csv.Error as error:
                raise BadRow(
                    f"{path}, line {reader.line_num}: {error}. Is a quote missing?"
                ) from None

    return read


def _check_header(header: Sequence[str], path: Path, delimiter: str) -> None:
    if not header:
        raise BadRow(f"{path} is empty: a header line with the column names is expected.")
    for number, name in enumerate(header, 1):
        if not name.strip():
            raise BadRow(f"{path}: column {number} of the header has no name.")
        if name in header[: number - 1]:
            raise BadRow(f"{path}: the header has the column {name!r} twice.")
    other = {",": "\t", "\t": ","}[delimiter]
    if len(header) == 1 and (other in header[0] or ";" in header[0]):
        raise BadRow(
            f"{path}: one column, {header[0]!r}. Cells are separated by commas in .csv files and "
            "by tabs in .tsv files."
        )


def _json_lines(path: Path, encoding: str | None) -> Numbered:
    with _open(path, encoding) as file:
        number = 0
        while True:
            try:
                line = file.readline(LONGEST_LINE + 1)
            except UnicodeDecodeError as error:
                raise _undecodable(path, error, number) from None
            if not line:
                return
            number += 1
            where = f"{path}, row {number}"
            if len(line) > LONGEST_LINE:
                raise BadRow(f"{where}: a line of more than {LONGEST_LINE:,} characters.")
            if line.strip():
                yield where, _object(line, where)


def _object(text: str, where: str) -> Row:
    try:
        found = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
        raise BadRow(f"{where}: not valid JSON ({error}).") from None
    if not isinstance(found, dict):
        raise BadRow(f"{where}: an object is expected, not {kind(found)}.")
    return found


def _json(path: Path, encoding: str | None) -> Numbered:
    with _open(path, encoding) as file:
        try:
            text = file.read()
        except UnicodeDecodeError as error:
            raise _undecodable(path, error, 0) from None
    if not text.lstrip().startswith("["):
        yield from _json_lines(path, encoding)
        return
    try:
        found = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
        raise BadRow(f"{path}: not valid JSON ({error}).") from None
    for number, row in enumerate(found, 1):
        if not isinstance(row, dict):
            raise BadRow(f"{path}, row {number}: an object is expected, not {kind(row)}.")
        yield f"{path}, row {number}", row


def _parquet(path: Path, encoding: str | None) -> Numbered:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        for batch in pq.ParquetFile(path).iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}, row {number}", row
    except (pa.ArrowException, OSError) as error:
        raise BadRow(f"{path} is not a Parquet file that can be read: {error}.") from None


_READERS: Mapping[str, Callable[[Path, str | None], Numbered]] = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}

# --- values of one cell --------------------------------------------------------------------------


def text_of(value: Any) -> str:
    """A cell as text: numbers in their shortest form (3.0 is "3"), booleans as true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def list_of(value: Any, separator: str) -> list[str]:
    """A cell as a list of texts: a list, a JSON list in text, or parts between separators."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                value = orjson.loads(text)
            except orjson.JSONDecodeError:
                value = None
        if not isinstance(value, list):
            value = next(csv.reader(io.StringIO(text), delimiter=separator), [])
    if not isinstance(value, list | tuple):
        raise ValueError(f"a list is expected, not {kind(value)}")
    return [text for item in value if (text := text_of(item).strip())]
