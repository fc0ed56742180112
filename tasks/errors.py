"""The errors that a person can act on.

Doctrine: what one sample does wrong (an answer that cannot be read, an empty completion) is
*recorded data*, never an exception. What stops a command is a `RedoneError`: its text names the bad
value, what was expected, and the way out; commands print it as one message, without a traceback.
Anything else that escapes is a defect of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RedoneError(Exception):
    """A problem that the user can solve; the message says how."""

    exit_code = 64


class UnknownName(RedoneError):
    """A name (task, suite, backend, ...) that is not in its table.

    Args:
        kind: What was named, in the singular ("task").
        name: The bad value.
        known: The valid values.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
        super().__init__(f"Unknown {kind} {name!r}. {hint}Known: {', '.join(names)}.")
        self.kind, self.name, self.near = kind, name, near


class MissingData(RedoneError):
    """A data file is not in the data folder; the message holds the command that fetches it."""

    exit_code = 66


class BadRow(RedoneError):
    """A data file breaks its format; the message names file, row (1-based) and field."""

    exit_code = 65
