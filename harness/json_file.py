"""JSON files with a typed schema and a version: written whole or not at all, read strictly.

Also reads TOML files, with the same errors.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import orjson

from ..tasks.errors import BadRow, MissingData, RedoneError
from .run_folder import replacing, shown


class Strict:
    """Base of dataclasses that are read with all of their fields, of their types, and no others."""

    __slots__ = ()
    __pydantic_config__: ClassVar = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


def to_json(content: Any) -> bytes:
    """Indented JSON of a dataclass or of plain values; NaN becomes null."""
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read_toml(path: Path, what: str = "") -> dict[str, Any]:
    """The content of a TOML file; `what` it is opens the error messages.

    Raises:
        MissingData: It cannot be read.
        BadRow: It is not TOML.
    """
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise MissingData(f"{what}{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRow(f"{what}{path} is not TOML: {error}.") from None


def write_file(path: Path, content: bytes, parents: bool = False) -> None:
    """Writes a file whole or not at all; with `parents`, also makes the folders it is in.

    Raises:
        RedoneError: It cannot be written there.
    """
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise RedoneError(
            f"{path} cannot be written: {error.strerror}. Name another --output."
        ) from None


def read_json(
    path: Path,
    version: int,
    kind: Any,
    fix: str,
    upgrade: Callable[[dict[str, Any]], None] = lambda raw: None,
) -> Any:
    """Reads a file of a schema version.

    Args:
        path: The file.
        version: What its `schema_version` must be.
        kind: The dataclass that is the schema, or a union of them.
        fix: How to make the file again: a sentence for messages.
        upgrade: Changes the content of an older version in place.

    Raises:
        MissingData: There is no such file.
        BadRow: It has another form; names the field, what was expected and what was found.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        raw = orjson.loads(path.read_bytes())
    except OSError as error:
        raise MissingData(f"{path} cannot be read: {error.strerror}. {fix}") from None
    except orjson.JSONDecodeError as error:
        raise BadRow(f"{path} is not JSON ({error.msg}). {fix}") from None
    if not isinstance(raw, dict):
        raise BadRow(f"{path} holds {shown(raw)}, not an object. {fix}")
    upgrade(raw)
    if (found := raw.get("schema_version")) != version:
        raise BadRow(
            f"{path} has schema version {found!r}; this redone reads {version}. {fix} Or use the "
            "redone that wrote it."
        )
    try:
        return TypeAdapter(kind).validate_json(orjson.dumps(raw))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadRow(
            f"{path}, field {where}: {first['msg']}; found {shown(first['input'])}. {fix}"
        ) from None
