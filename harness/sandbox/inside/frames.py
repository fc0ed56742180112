"""Messages over a file descriptor: four bytes of length (big-endian), then JSON."""

from __future__ import annotations

import json
import os
from typing import Any

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
