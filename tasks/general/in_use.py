"""The data that options name, known to tasks that are built by their name alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

MIRROR_VARIABLE = "REDONE_MIRROR"
_DATA_VARIABLE = "REDONE_DATA"


@contextmanager
def data_in_use(data: str | None = None, mirror: str | None = None) -> Iterator[None]:
    """Sets $REDONE_DATA and $REDONE_MIRROR for the time of a command.

    Args:
        data: What `--data-dir` says, None to leave it.
        mirror: What `--mirror` says, None to leave it.
    """
    given = {_DATA_VARIABLE: data, MIRROR_VARIABLE: mirror}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update({name: str(value) for name, value in given.items() if value})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
