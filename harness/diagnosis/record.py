"""Reading and writing `diagnosis.json`, strictly: the dataclasses of `schema` are the format."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import orjson

from ...tasks.errors import BadRow, MissingData, RedoneError
from ...tasks.sources import kind
from ..store import replacing
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
    """Reads a diagnosis that this or an older version of the schema describes.

    Raises:
        MissingData: There is no such file.
        BadRow: It is not a diagnosis; names the field, what was expected and what is there.
    """
    path = Path(path)
    try:
        raw = orjson.loads(path.read_bytes())
    except OSError as error:
        raise MissingData(
            f"{path} cannot be read: {error.strerror}. `redone-diagnose RUN` writes it."
        ) from None
    except orjson.JSONDecodeError as error:
        raise BadRow(f"{path} is not JSON ({error.msg}). `redone-diagnose RUN` writes it.") from None
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise BadRow(
            f"{path} has schema version {version!r}; this redone reads {SCHEMA_VERSION}. "
            "Diagnose the run again, or use the redone that wrote it."
        )
    diagnosis = _read(Diagnosis, raw, str(path), "")
    _check(diagnosis, path)
    return diagnosis


def _check(diagnosis: Diagnosis, path: Path) -> None:
    """What types alone cannot say."""
    named = [
        *((f"weaknesses[{i}]", w.task) for i, w in enumerate(diagnosis.weaknesses)),
        *((f"buckets[{i}]", b.task) for i, b in enumerate(diagnosis.buckets)),
        *((f"hints[{i}]", h.task) for i, h in enumerate(diagnosis.hints)),
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


_hints = cache(get_type_hints)
_NAMES = {float: "a number", int: "a whole number", str: "a string"}


def _read(expected: Any, raw: Any, path: str, where: str) -> Any:
    """A JSON value as the type that a field declares."""
    origin, inner = get_origin(expected), get_args(expected)
    if origin in (Union, types.UnionType):
        if raw is None:
            return None
        return _read(next(a for a in inner if a is not type(None)), raw, path, where)
    if origin is Literal:
        if raw not in inner:
            raise _bad(path, where, f"one of {', '.join(map(repr, inner))}", repr(raw))
        return raw
    if is_dataclass(expected):
        return _object(expected, raw, path, where)
    if origin is tuple:
        return _list(inner, raw, path, where)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(raw, dict):
            raise _bad(path, where, "an object", kind(raw))
        return {name: _read(inner[1], v, path, f"{where}[{name!r}]") for name, v in raw.items()}
    if expected is float and type(raw) is int:
        return float(raw)
    if type(raw) is not expected:
        raise _bad(path, where, _NAMES[expected], kind(raw))
    return raw


def _object(expected: Any, raw: Any, path: str, where: str) -> Any:
    if not isinstance(raw, dict):
        raise _bad(path, where, "an object", kind(raw))
    names = [f.name for f in fields(expected)]
    for name in raw.keys() - set(names):
        raise BadRow(f"{path}: the field {_at(where, name)} is unknown; known: {', '.join(names)}.")
    for name in names:
        if name not in raw:
            raise BadRow(f"{path}: the field {_at(where, name)} is missing.")
    hints = _hints(expected)
    return expected(**{n: _read(hints[n], raw[n], path, _at(where, n)) for n in names})


def _list(inner: tuple[Any, ...], raw: Any, path: str, where: str) -> tuple[Any, ...]:
    if not isinstance(raw, list):
        raise _bad(path, where, "a list", kind(raw))
    if inner[1:] == (Ellipsis,):
        inner = (inner[0],) * len(raw)
    if len(raw) != len(inner):
        raise _bad(path, where, f"a list of {len(inner)}", f"one of {len(raw)}")
    return tuple(
        _read(expected, value, path, f"{where}[{i}]")
        for i, (expected, value) in enumerate(zip(inner, raw, strict=True))
    )


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _bad(path: str, where: str, expected: str, found: str) -> BadRow:
    return BadRow(f"{path}, field {where}: {expected} is expected, not {found}.")
