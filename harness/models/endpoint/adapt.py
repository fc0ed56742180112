"""What a server does not accept, and how the same is asked for without it.

Servers differ in the fields that they take: reasoning models reject `temperature` and `stop`,
others `seed`, a system role, `max_tokens` or `chat_template_kwargs`. A rejection that names a field
is learned from: the request is sent again without it, and so are all later ones. What would change
the task is done here instead: stop texts are applied to the answer in any case, the system text
goes into the user's turn, and a token limit is never left out, only given its other name.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

_log = logging.getLogger("redone.endpoint")

Droppable = Literal[
    "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "repeat_penalty",
    "seed", "stop", "system", "chat_template_kwargs",
]  # fmt: skip
"""Fields that a request can do without; `system` is the role."""

DONE: Mapping[str, str] = {
    "stop": "stop texts are applied to the answers here",
    "system": "the system text is put before the user's",
    "seed": "sampled answers cannot be repeated",
    "temperature": "the server samples as it does by itself",
    "max_tokens": "the limit is sent as max_completion_tokens",
    "max_completion_tokens": "the limit is sent as max_tokens",
    "chat_template_kwargs": "the server's template is used as it is",
}
_LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_TOO_MUCH = re.compile(r"context|too (?:large|long|many|big)|exceed|at (?:least|most)|less than")
_SYSTEM = re.compile(
    r"\bsystem\b.*\b(?:roles?|messages?|instructions?|prompts?|turns?)\b"
    r"|\b(?:roles?|messages?|instructions?|prompts?|turns?)\b.*\bsystem\b"
    r"|\broles? must alternate|^messages\W*\d+\W*role",
    re.IGNORECASE,
)


class Adaptation:
    """The changes to the requests of one model on one server.

    Args:
        name: The model, for the message.
        drop: Fields to leave out from the start.
        own: Fields that the user added to every request: never left out unasked.
    """

    def __init__(self, name: str, drop: Sequence[str], own: Mapping[str, Any]) -> None:
        self._name, self._own = name, frozenset(own)
        self.left_out: dict[str, str] = {field: _done(field) for field in drop}

    def apply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A request without what the server does not accept."""
        changed = {n: v for n, v in body.items() if n in self._own or n not in self.left_out}
        for field in _LIMITS.keys() & self.left_out.keys() & body.keys():
            changed[_LIMITS[field]] = body[field]
        if "system" in self.left_out and "messages" in body:
            changed["messages"] = folded(body["messages"])
        return changed

    def learn(self, sent: Mapping[str, Any], status: int, field: str, message: str) -> bool:
        """Whether a rejection names what the request can do without; it is left out from now on.

        Args:
            sent: The body that was rejected.
            status: Of the reply.
            field: That the server says it is about, "" if it does not say.
            message: The server's.
        """
        if status not in (400, 422):
            return False
        named = [n for n in self._candidates(sent) if _names(n, field)] if field else []
        named = named or [n for n in self._candidates(sent) if _names(n, message)]
        named = [n for n in named if n not in _LIMITS or not _TOO_MUCH.search(message)]
        for name in named:
            if name not in self.left_out:
                self.left_out[name] = _done(name)
                _log.warning(
                    "The server of %s does not accept %s (%s): %s.",
                    self._name, name, message, self.left_out[name],
                )  # fmt: skip
        return bool(named)

    def _candidates(self, sent: Mapping[str, Any]) -> list[str]:
        """What could be left out of a request that was sent."""
        fields = [n for n in get_args(Droppable) if n in sent and n not in self._own]
        # A limit that was given its other name already has no third one.
        limits = [n for n in _LIMITS if n in sent and _LIMITS[n] not in self.left_out]
        if any(m.get("role") == "system" for m in sent.get("messages", ())):
            fields.append("system")
        return [*fields, *(n for n in limits if n not in self._own)]


def folded(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with every system text before the text of the user's first turn."""
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    others = [dict(m) for m in messages if m["role"] != "system"]
    if not system:
        return others
    first = next((m for m in others if m["role"] == "user"), None)
    if first is None:
        return [{"role": "user", "content": system}, *others]
    first["content"] = f"{system}\n\n{first['content']}"
    return others


def _done(field: str) -> str:
    return DONE.get(field, "it is left out, and the server's default counts")


def _names(field: str, text: str) -> bool:
    """Whether a text has the name of a field (or speaks of the system role)."""
    if field == "system":
        return _SYSTEM.search(text) is not None
    return re.search(rf"(?<![A-Za-z0-9_]){re.escape(field)}(?![A-Za-z0-9_])", text) is not None
