"""What a server does not accept, and how the same is asked for without it.

Servers differ in the fields that they take: reasoning models reject `temperature` and `stop`,
others `seed`, a system role, `max_tokens` or `chat_template_kwargs`. A rejection that says that a
field is unknown or unsupported is learned from: the request is sent again without it, and so are
all later ones. A value out of range, a content filter, an echo of the request, and a field that the
server has accepted before are not learned from. What would change the task is done here instead:
stop texts are applied to the answer in any case, the system text goes into the user's turn, and a
token limit is never left out, only given its other name.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    "temperature": "the server samples as it does by itself, even where the task is greedy",
    "max_tokens": "the limit is sent as max_completion_tokens",
    "max_completion_tokens": "the limit is sent as max_tokens",
    "chat_template_kwargs": "the server's template is used as it is",
}
_LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_CODES = {
    "unsupported_parameter", "unknown_parameter", "unsupported_value", "extra_forbidden",
    "value_error.extra",
}  # fmt: skip
"""Error codes that say that the field named beside them is not accepted."""
_WORDING = (
    r"(?:unsupported|unknown|unrecogni[sz]ed|unexpected|不支持|未知|不允许"
    r"|(?:not|n['’]t|cannot be|no longer)(?:\s+(?:yet|be|a|currently))?"
    r"\s+(?:support(?:ed)?|permitted|allowed|recogni[sz]ed|enabled|implemented|accept(?:ed)?"
    r"|available|used|valid\s+(?:parameter|field|argument))"
    r"|extra\s+(?:inputs?|fields?|parameters?|arguments?)|deprecated"
    r"|only\s+(?:the\s+default\s+)?\(?\d[\d.]*\)?(?:\s+value)?\s+is\s+(?:allowed|supported)"
    r"|may\s+only\s+be\s+set\s+to)"
)
"""What says that something is not accepted."""
_GAP = (
    r"(?:(?!\b(?:only|instead|use|but|expected|supported|allowed|permitted)\b)"
    r"(?:[^.;!?]|\.(?=\S))){0,60}?"
)
"""What may stand between a name and the wording: no end of a sentence, no list of alternatives."""
_VALUE = re.compile(
    r"context length|too (?:large|long|many|big|high|low|small)|exceed|at (?:least|most)"
    r"|(?:less|greater|more|larger|smaller|longer) than"
    r"|\b(?:between|range|maximum|minimum|above|below)\b"
    r"|must be (?:an?\b|in\b|one of|either|non|strictly|positive|[<>≤≥\d])|[<>]=",
    re.IGNORECASE,
)
"""What says that a value, and not its field, is not accepted."""
_POSITIVE = re.compile(
    r"strictly positive|(?:greater|larger|bigger|more) than (?:0|zero)|must be (?:positive|> ?0)",
    re.IGNORECASE,
)
"""What is said of a temperature of 0 where greedy decoding is no temperature."""
_CHOSEN = {"temperature": 0, "top_p": 1}
"""Settings that a user chooses: where another value than this is not accepted, the run ends."""
_ONE_VALUE = re.compile(
    r"unsupported value|only (?:the default|\(?\d)|may only be set to", re.IGNORECASE
)
_FILTER = re.compile(
    r"rejected (?:as a result of|by) (?:our|the) (?:safety|moderation) system"
    r"|triggering (?:\S+ ){0,3}content management policy",
    re.IGNORECASE,
)
_MODERATION = re.compile(
    r"safety|moderation|flagged|guardrail|(?:usage|content|management) polic|content.filter",
    re.IGNORECASE,
)
_SYSTEM = (
    r"(?:\b(?:system|developer)\b[^\w.!?]+(?:\w+[^\w.!?]+)?"
    r"(?:roles?|messages?|instructions?|prompts?|turns?)\b"
    r"|\broles?\b[^\w.!?]+(?:of[^\w.!?]+)?(?:system|developer)\b|\bmessages\W*\d+\W*role\b)"
)
_NO_SYSTEM = re.compile(
    r"^(?!.*optional system).*\broles? must alternate"
    r"|only\W+(?:the\W+)?user\W+(?:and|or)\W+(?:assistant|model)\b.*\broles?\b"
    r"|\bmessages\W*\d+\W*role\b(?!.*input should be.*system).*input should be"
    r"|\bmessages\W*\d+\W*role\b\W+(?:\w+\W+)?invalid value\W+(?:system|developer)\b"
    r"|\binvalid (?:message )?role\W+(?:system|developer)\b",
    re.IGNORECASE,
)
"""What says by itself that there is no system role."""
_PLACED = re.compile(
    r"""(?:["']type["']\s*:\s*["'](?P<type>[\w.]*)["']\s*,\s*)?"""
    r"""["']loc["']\s*:\s*[\[(](?P<loc>[^\])]*)[\])]\s*,\s*["']msg["']\s*:\s*"""
    r"""(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)')"""
)
"""An error of pydantic, printed into a message."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that a server says about a request.

    Attributes:
        text: Its message.
        field: The field of the request that it says it is about, "" if it does not say.
        code: Of the error.
    """

    text: str
    field: str = ""
    code: str = ""


def error_in(body: Any) -> Any:
    """The error in a decoded body, usually a mapping."""
    if isinstance(body, list) and len(body) == 1:  # Gemini's
        body = body[0]
    if not isinstance(body, Mapping):
        return body
    error = body.get("error", body)
    return error if isinstance(error, Mapping) or "message" not in body else body


def complaints(body: Any) -> list[Complaint]:
    """What the decoded body of an error says."""
    error = error_in(body)
    if not isinstance(error, Mapping):
        return list(_printed(str(error)))
    message = error.get("message") or error.get("detail") or ""
    if isinstance(message, Mapping):
        message = message.get("detail") or str(dict(message))
    if isinstance(message, list):
        return [c for part in message for c in _placed(part)]
    field, code = error.get("param"), error.get("code") or error.get("type") or ""
    if not isinstance(field, str) or field in ("None", "null"):
        field = ""
    return list(_printed(str(message), field, str(code)))


def _placed(part: Any) -> Iterator[Complaint]:
    if not isinstance(part, Mapping):
        yield Complaint(str(part))
        return
    place = part.get("loc")
    field = ".".join(map(str, place)) if isinstance(place, list) else ""
    yield Complaint(str(part.get("msg") or ""), field, str(part.get("type") or ""))


def _printed(text: str, field: str = "", code: str = "") -> Iterator[Complaint]:
    found = list(_PLACED.finditer(text))
    for part in found:
        place = ".".join(re.findall(r"\w+", part["loc"]))
        yield Complaint(part["double"] or part["single"] or "", place, part["type"] or "")
    if not found:
        yield Complaint(text, field, code)


def is_filter(text: str) -> bool:
    """Whether a message says in so many words that a content filter rejected the prompt."""
    return _FILTER.search(text) is not None


def rejected(sent: Mapping[str, Any], said: Sequence[Complaint]) -> list[str]:
    """The fields of a request that a server says it does not take; `system` is the role."""
    return [n for n in _fields(sent) if any(_rejects(c, n, sent) for c in said)]


def _fields(sent: Mapping[str, Any]) -> list[str]:
    fields = [n for n in (*get_args(Droppable), *_LIMITS) if n in sent]
    has = any(m.get("role") == "system" for m in sent.get("messages", ()))
    return [*fields, "system"] if has else fields


def _rejects(said: Complaint, name: str, sent: Mapping[str, Any]) -> bool:
    """Whether a complaint says that the server does not take a field."""
    if is_filter(said.text) or _MODERATION.search(said.text):
        return False
    text = _without_echoes(said.text, sent)
    about = set(re.findall(r"\w+", said.field))
    if name == "system":
        if about & sent.keys() - {"messages"}:
            return False
        text = f"{said.field} {text}" if "role" in about else text
        return _NO_SYSTEM.search(text) is not None or _said_of(_SYSTEM, text)
    pattern = _pattern(name)
    if about & sent.keys():
        # The place that an error names counts, and nothing else that its text mentions.
        if re.search(pattern, said.field) is None or "messages" in about:
            return False
        text = text if re.search(pattern, text) else f"{name}: {text}"
    greedy = name == "temperature" and sent[name] == 0
    if greedy and re.search(pattern, text) and _POSITIVE.search(text):
        return True
    if _VALUE.search(text):
        return False
    of_value = said.code == "unsupported_value" or _ONE_VALUE.search(text)
    if of_value and name in _CHOSEN and sent[name] != _CHOSEN[name]:
        return False
    if said.code.lower() in _CODES and re.search(pattern, said.field or text):
        return True
    return _said_of(pattern, text)


def _said_of(pattern: str, text: str) -> bool:
    """Whether a text says that what the pattern finds is not accepted."""
    both = f"{pattern}{_GAP}{_WORDING}|{_WORDING}{_GAP}{pattern}"
    return re.search(both, text, re.IGNORECASE) is not None and not _VALUE.search(text)


def _pattern(name: str) -> str:
    """Finds a field's name, also as camelCase."""
    first, *others = name.split("_")
    camel = first + "".join(part.title() for part in others)
    return rf"(?<![A-Za-z0-9_])(?:{name}|{camel})(?![A-Za-z0-9_])"


def _without_echoes(text: str, sent: Mapping[str, Any]) -> str:
    """A message without the parts of the request that it repeats."""
    contents = [m.get("content") for m in sent.get("messages", ())]
    for content in [c for c in contents if isinstance(c, str) and len(c) > 20]:
        text = text.replace(content, " ").replace(json.dumps(content)[1:-1], " ")
    # Braces with a colon are objects; others hold names.
    while (shorter := re.sub(r"\{([^{}]*)\}", _inside, text)) != text:
        text = shorter
    text = re.sub(r"\{.*", " ", text)  # one that is cut off
    pairs = re.findall(r"(\w+)['\"]?\s*=", text)
    return re.sub(r"\w+['\"]?\s*=\s*\S+", " ", text) if len(sent.keys() & set(pairs)) > 1 else text


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
        self._accepted: set[str] = set()

    def apply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A request without what the server does not accept."""
        changed = {n: v for n, v in body.items() if n in self._own or n not in self.left_out}
        for field in _LIMITS.keys() & self.left_out.keys() & body.keys():
            changed[_LIMITS[field]] = body[field]
        if "system" in self.left_out and "messages" in body:
            changed["messages"] = folded(body["messages"])
        return changed

    def accept(self, sent: Mapping[str, Any]) -> None:
        """Notes that the server answered a request: its fields are never left out from now on."""
        self._accepted.update(_fields(sent))

    def learn(self, sent: Mapping[str, Any], said: Sequence[Complaint]) -> bool:
        """Whether a rejection names what the request can do without; it is left out from now on.

        Args:
            sent: The body that was rejected.
            said: What the server says about it.
        """
        named = [n for n in rejected(sent, said) if n not in self._own]
        # A limit that was given its other name already has no third one.
        named = [n for n in named if _LIMITS.get(n) not in self.left_out]
        named = [n for n in named if n in self.left_out or n not in self._accepted]
        for name in named:
            if name not in self.left_out:
                self.left_out[name] = _done(name)
                _log.warning(
                    "The server of %s does not accept %s (%s): %s.",
                    self._name, name, "; ".join(c.text for c in said)[:300], self.left_out[name],
                )  # fmt: skip
        return bool(named)


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


def _inside(braces: re.Match[str]) -> str:
    return " " if ":" in braces[1] else braces[1]
