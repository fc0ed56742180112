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
        known: The valid values. All are told where they are few, else the near ones.
        listing: Where all of them can be read, for when they are many.
    """

    most = 12
    """Names that a message can hold and still be read."""

    def __init__(
        self,
        kind: str,
        name: str,
        known: Iterable[str],
        listing: str = "`redone-tasks list` names tasks and suites.",
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


class MissingData(RedoneError):
    """A data file is not in the data folder; the message holds the command that fetches it."""

    exit_code = 66


class BadRow(RedoneError):
    """A data file breaks its format; the message names file, row (1-based) and field."""

    exit_code = 65
