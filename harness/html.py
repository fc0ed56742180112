"""Self-contained HTML pages: shared style and script, content security policy, packed data.

A page needs no network. Its content security policy names every script by its hash, so that
nothing else in it can run.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from ..tasks.command import visible

SHARED = Path(__file__).with_name("templates")


def render(template: Path, functions: Mapping[str, Any], *scripts: str, **values: Any) -> str:
    """A page from a Jinja template.

    The style sheet and the script of the same name beside it come after the shared ones. The
    template gets them as `style` and `script`, the policy as `content_policy`, and the `version`
    of redone.

    Args:
        template: An HTML file.
        functions: Further globals and filters of the template.
        scripts: Further scripts that the page may run.
        values: What the template shows.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
    )
    environment.globals |= functions
    environment.filters |= functions
    style, script = (
        (SHARED / f"shared{suffix}").read_text("utf-8")
        + template.with_suffix(suffix).read_text("utf-8")
        for suffix in (".css", ".js")
    )
    return environment.get_template(template.name).render(
        style=style,
        script=script,
        content_policy=f"default-src 'none'; script-src {' '.join(map(_hash, (script, *scripts)))};"
        " style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'",
        version=version("redone"),
        **values,
    )


def _visible(value: Any) -> Any:
    """Shows control characters of names and file contents; our own markup is not a plain str."""
    return visible(value) if type(value) is str else value


def _hash(script: str) -> str:
    """A script in a content security policy."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def packed(content: bytes, level: int = 9) -> str:
    """Bytes in zlib's format, which browsers unpack, in base64: no character is HTML's."""
    return base64.b64encode(zlib.compress(content, level)).decode("ascii")


def packed_json(value: Any) -> str:
    """A JSON value, numbers and arrays of NumPy included, packed."""
    return packed(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))


def unpacked(text: str) -> bytes:
    """The bytes again."""
    return zlib.decompress(base64.b64decode(text))
