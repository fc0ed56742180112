"""The board as one HTML page: self-contained, sortable, light and dark, down to a phone's width."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..harness.wording import visible
from . import wording
from .board import Board
from .derivation import Finding

TEMPLATES = Path(__file__).with_name("templates")


def html(board: Board, findings: Sequence[Finding]) -> str:
    """The whole page.

    Args:
        board: What it shows.
        findings: What was computed again.
    """
    script = (TEMPLATES / "board.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("board.html")
        .render(
            board=board,
            findings=findings,
            redone=version("redone"),
            style=(TEMPLATES / "board.css").read_text("utf-8"),
            script=script,
            policy=f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
            "img-src data:; base-uri 'none'; form-action 'none'",
        )
    )


def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    names = ("figure", "spread", "rank", "origin", "notes", "finding", "MARKS", "ORIGINS")
    environment.globals |= {name.lower(): getattr(wording, name) for name in names}
    return environment
