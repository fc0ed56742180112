"""What the processes say to each other: messages over a descriptor, and Python values as JSON.

A message is four bytes of length (big-endian), then JSON. A value is sent as plain data and rebuilt
on the other side by its base type: an instance of a subclass of `int` arrives as an `int`. So an
object that claims to equal everything cannot pass an assertion. What is not plain data is sent as a
reference, and the object stays where it is.
"""

from __future__ import annotations

import builtins
import datetime
import json
import os
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

# --- messages ------------------------------------------------------------------------------------

LONGEST = 16 * 2**20
"""Bytes of one message. A longer one breaks the conversation, so nobody's memory is filled."""


def read_exactly(descriptor: int, count: int) -> bytes:
    """That many bytes.

    Raises:
        EOFError: The other side closed before.
    """
    parts = []
    while count:
        part = os.read(descriptor, min(count, 2**20))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def write_all(descriptor: int, data: bytes) -> None:
    """Writes everything."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def receive(descriptor: int) -> Any:
    """The next message.

    Raises:
        EOFError: The other side closed.
        ValueError: It is too long, or no JSON.
        RecursionError: It is nested too deeply.
    """
    length = int.from_bytes(read_exactly(descriptor, 4), "big")
    if length > LONGEST:
        raise ValueError(f"a message of {length} bytes")
    return json.loads(read_exactly(descriptor, length))


def send(descriptor: int, message: Any) -> None:
    """Sends one message.

    Raises:
        ValueError: It is too long.
        OSError: The other side closed.
    """
    data = json.dumps(message).encode()
    if len(data) > LONGEST:
        raise ValueError(f"a message of {len(data)} bytes")
    write_all(descriptor, len(data).to_bytes(4, "big") + data)


# --- values --------------------------------------------------------------------------------------

DEEPEST = 200
"""Levels of nesting; deeper (or circular) values are sent as a reference."""
BITS = 8192
"""Whole numbers with more bits are written in hexadecimal: JSON's decimals have a length limit."""

_KEYS, _VALUES, _ITEMS = type({}.keys()), type({}.values()), type({}.items())
_TYPES = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and not issubclass(kind, BaseException)
} | {"NoneType": type(None)}
_NAMES = {kind: name for name, kind in _TYPES.items()}

Refer = Callable[[Any], Any]


class NotPlain(Exception):
    """The value is no plain data."""


def encode(value: Any, refer: Refer, depth: int = 0) -> Any:
    """A value as JSON-able data.

    Args:
        value: Anything.
        refer: Gives the reference to an object that is not plain data.
        depth: Nesting so far.

    Raises:
        NotPlain: Nested too deeply.
    """
    if depth > DEEPEST:
        raise NotPlain("nested too deeply")

    def inner(items: Any) -> list:
        return [encode(item, refer, depth + 1) for item in items]

    match value:
        case None | bool():
            return value
        case int():
            exact = int.__int__(value)
            return exact if exact.bit_length() <= BITS else {"int": hex(exact)}
        case float():
            return float.__float__(value)
        case str():
            return str.__str__(value)
        case list():
            return inner(value)
        case tuple():
            return {"tuple": inner(value)}
        case dict():
            return {"dict": [inner(pair) for pair in value.items()]}
        case set():
            return {"set": inner(value)}
        case frozenset():
            return {"frozenset": inner(value)}
        case bytes():
            return {"bytes": bytes(value).hex()}
        case bytearray():
            return {"bytearray": bytes(value).hex()}
        case complex():
            return {"complex": [value.real, value.imag]}
        case range():
            return {"range": inner((value.start, value.stop, value.step))}
        case deque():
            return {"deque": inner(value)}
        case Decimal():
            return {"decimal": str(value)}
        case Fraction():
            return {"fraction": inner((value.numerator, value.denominator))}
        case datetime.datetime():
            return {"datetime": value.isoformat()}
        case datetime.date():
            return {"date": value.isoformat()}
        case datetime.timedelta():
            return {"timedelta": [value.days, value.seconds, value.microseconds]}
        case type() if value in _NAMES:
            return {"type": _NAMES[value]}
    if type(value) is _KEYS:
        return {"keys": inner(value)}
    if type(value) is _VALUES:
        return {"values": inner(value)}
    if type(value) is _ITEMS:
        return {"items": [inner(pair) for pair in value]}
    return refer(value)


def decode(data: Any, resolve: Refer) -> Any:
    """The value of JSON data, built from base types only.

    Args:
        data: As `encode` made it, or anything that a hostile program sent in its place.
        resolve: Gives the object of a reference, `{"ref": number}`.

    Raises:
        ValueError, TypeError, KeyError, ArithmeticError, RecursionError: It is no such data.
    """
    if data is None or isinstance(data, bool | int | float | str):
        return data
    if isinstance(data, list):
        return [decode(item, resolve) for item in data]
    ((kind, content),) = data.items()
    if kind == "ref":
        return resolve(data)
    if kind in _SCALARS:
        return _SCALARS[kind](content)
    return _CONTAINERS[kind]([decode(item, resolve) for item in content])


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "int": lambda text: int(text, 16),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "complex": lambda parts: complex(*parts),
    "decimal": Decimal,
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "timedelta": lambda parts: datetime.timedelta(*parts),
    "type": _TYPES.__getitem__,
}
_CONTAINERS: dict[str, Callable[[list], Any]] = {
    "tuple": tuple,
    "dict": dict,
    "set": set,
    "frozenset": frozenset,
    "range": lambda parts: range(*parts),
    "deque": deque,
    "fraction": lambda parts: Fraction(*parts),
    "keys": lambda keys: dict.fromkeys(keys).keys(),
    "values": lambda values: dict(enumerate(values)).values(),
    "items": lambda pairs: dict(pairs).items(),
}


def overwrite(old: Any, new: Any) -> None:
    """Gives a mutable container the content of another of its type, in place."""
    match old:
        case list() | bytearray():
            old[:] = new
        case dict() | set():
            old.clear()
            old.update(new)
        case deque():
            old.clear()
            old.extend(new)


def same(a: Any, b: Any) -> bool:
    """Whether two encoded values are identical, NaN and the sign of zero included."""
    return json.dumps(a) == json.dumps(b)
