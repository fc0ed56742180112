"""What stops a run.

A failed *sample* is recorded data (`Score.failure`); `redone.tasks.errors` has the doctrine. These
errors end a command with one message, and everything answered so far stays in the run folder.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

from ..tasks.errors import BadRow, MissingData, RedoneError, UnknownName

__all__ = [
    "BadRow",
    "DiskFull",
    "MissingData",
    "NotComparable",
    "RedoneError",
    "RunInUse",
    "RunMismatch",
    "RunUnfinished",
    "RunUnreadable",
    "UnknownName",
    "disk_full",
]


class RunMismatch(RedoneError):
    """The folder holds a run of another request; the message lists the fields that differ."""

    exit_code = 3


class RunInUse(RedoneError):
    """Another process is working on the folder."""

    exit_code = 75


class RunUnreadable(RedoneError):
    """The folder is not a run, or was written by a newer version."""

    exit_code = 65


class RunUnfinished(RedoneError):
    """The run has no scores yet, or samples without an answer: nothing may be decided on it."""

    exit_code = 3


class NotComparable(RedoneError):
    """Two runs differ in what must match.

    Args:
        message: Which fields, and the way out.
        mismatches: What differs (`harness.comparable.Mismatch`).
    """

    exit_code = 3

    def __init__(self, message: str, mismatches: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.mismatches = list(mismatches)


class DiskFull(RedoneError):
    """No space left; what was written before is intact."""

    exit_code = 74


def disk_full(error: OSError) -> bool:
    """Whether the operating system ran out of space or quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
