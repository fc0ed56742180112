"""Reading and writing `diagnosis.json`, strictly: the dataclasses of `schema` are the format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from ...tasks.errors import BadRow, MissingData, RedoneError
from ..store import replacing, shown
from .schema import SCHEMA_VERSION, TRAINABLE, Diagnosis

DIGITS = 6


def save(diagnosis: Diagnosis, path: Path) -> bytes:
    """Writes the file whole or not at all, figures to six decimals; returns its content.

    Raises:
        RedoneError: It cannot be written there.
    """
    plain = _rounded(orjson.loads(orjson.dumps(diagnosis)))
    content = orjson.dumps(plain, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise RedoneError(
            f"{path} cannot be written: {error.strerror}. Name another --output."
        ) from None
    return content


def load(path: str | Path) -> Diagnosis:
    """Reads a diagnosis: exactly the fields and types of the schema.

    Raises:
        MissingData: There is no such file.
        BadRow: It is not a diagnosis; names the field, what was expected and what is there.
    """
    from pydantic import TypeAdapter, ValidationError

    path = Path(path)
    try:
        content = path.read_bytes()
        raw = orjson.loads(content)
    except OSError as error:
        raise MissingData(
            f"{path} cannot be read: {error.strerror}. `redone-diagnose RUN` writes it."
        ) from None
    except orjson.JSONDecodeError as error:
        raise BadRow(
            f"{path} is not JSON ({error.msg}). `redone-diagnose RUN` writes it."
        ) from None
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise BadRow(
            f"{path} has schema version {version!r}; this redone reads {SCHEMA_VERSION}. "
            "Diagnose the run again, or use the redone that wrote it."
        )
    try:
        diagnosis = TypeAdapter(Diagnosis).validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadRow(
            f"{path}, field {where}: {first['msg']}; found {shown(first['input'])}. "
            "docs/diagnosis.md lists the fields; diagnose the run again."
        ) from None
    _check(diagnosis, path)
    return diagnosis


def _check(diagnosis: Diagnosis, path: Path) -> None:
    """What types alone cannot say."""
    named = [
        *((f"weaknesses.{i}", w.task) for i, w in enumerate(diagnosis.weaknesses)),
        *((f"buckets.{i}", b.task) for i, b in enumerate(diagnosis.buckets)),
        *((f"hints.{i}", h.task) for i, h in enumerate(diagnosis.hints)),
    ]
    for where, task in named:
        if task not in diagnosis.tasks:
            raise BadRow(f"{path}, field {where}.task: {task!r} is no task of the file.")
    if diagnosis.partition != TRAINABLE and (diagnosis.buckets or diagnosis.hints):
        raise BadRow(
            f"{path} has buckets or hints of partition {diagnosis.partition!r}; only "
            f"{TRAINABLE!r} may tell training anything."
        )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(v) for name, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
