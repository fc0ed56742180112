"""`--backend-args JSON`: settings that only one backend has, checked against its own table."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ...tasks.errors import RedoneError, UnknownName

S = TypeVar("S")

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text",
          dict: "an object", NoneType: "null"}  # fmt: skip


def json_object(option: str, text: str | None) -> dict[str, Any]:
    """The JSON object that an option was given, {} without one.

    Raises:
        RedoneError: It is something else.
    """
    try:
        value = json.loads(text or "{}")
        if not isinstance(value, dict):
            raise ValueError("an object is expected")
    except (ValueError, RecursionError) as error:
        raise RedoneError(f"{option} {text!r}: {error}.") from None
    return value


def settings_of(kind: type[S], backend: str, given: dict[str, Any]) -> S:
    """Checks names and types of a backend's settings.

    Args:
        kind: A dataclass; its fields are the settings. Its own checks of values raise RedoneError.
        backend: For the messages.
        given: As the user wrote them.

    Raises:
        UnknownName: A name that the backend has not.
        RedoneError: A value of another type.
    """
    hints = get_type_hints(kind)
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    if given and not names:
        raise RedoneError(f"The backend {backend} takes no --backend-args.")
    for name, value in given.items():
        if name not in names:
            raise UnknownName(f"name in --backend-args of {backend}", name, names)
        if not _fits(value, hints[name]):
            raise RedoneError(
                f"--backend-args, {name}: {value!r} is given, {_in_words(hints[name])} is expected."
            )
    return kind(**given)


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _in_words(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is Literal:
        return " or ".join(f'"{value}"' for value in get_args(hint))
    if origin in (Union, UnionType):
        return " or ".join(_in_words(part) for part in get_args(hint))
    return _WORDS.get(origin or hint, str(hint))
