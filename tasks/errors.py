"""The errors that a person can act on.

Doctrine: what goes wrong with one sample (an answer that cannot be parsed, an empty completion) is
*recorded data*, never an exception. What stops a command is a `RedoneError`: its text names the bad
value, what was expected, and the fix; commands print it as one message, without a traceback.
Anything else that escapes is a bug.
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
        kind: The kind of name, in the singular ("task").
        name: The bad value.
        known: The valid values. All are listed where they are few, else the nearest ones.
        listing: How to list all of them, for when they are many.
    """

    most = 12
    """Names that are listed in a message at most."""

    def __init__(
        self,
        kind: str,
        name: str,
        known: Iterable[str],
        listing: str = "`redone tasks list` names tasks and suites.",
    ) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        parts = [f"Unknown {kind} {name!r}."]
        if near:
            parts.append(f"Did you mean {' or '.join(map(repr, near))}?")
        if len(names) <= self.most:
            parts.append(f"Known: {', '.join(names)}.")
        else:
            if not near:
                parts.append(f"Known: {', '.join(names[: self.most])} and others.")
            if listing:
                parts.append(f"There are {len(names)}: {listing}")
        super().__init__(" ".join(parts))
        self.kind, self.name, self.near = kind, name, near


class IncompleteTask(RedoneError):
    """A task or benchmark whose definition leaves something out; the message says what."""


class MissingData(RedoneError):
    """A data file is not in the data folder; the message holds the command that fetches it."""

    exit_code = 66


class BadRow(RedoneError):
    """A data file breaks its format; the message names file, row (1-based) and field."""

    exit_code = 65
