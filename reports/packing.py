"""JSON and scripts packed into a page: deflated, in base64, unpacked by the browser itself."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import Any

import orjson


def packed(content: bytes, level: int = 9) -> str:
    """Bytes in zlib's format, in base64: no character of it means anything in HTML."""
    return base64.b64encode(zlib.compress(content, level)).decode("ascii")


def packed_json(value: Any) -> str:
    """A JSON value, packed."""
    return packed(orjson.dumps(value))


def unpacked(text: str) -> bytes:
    """The bytes again."""
    return zlib.decompress(base64.b64decode(text))


def source_hash(script: str) -> str:
    """A script's name in a content security policy: only scripts so named are run."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
