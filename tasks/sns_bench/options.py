"""The options in an answer to MRC complex: by the authors' rule, and as a person reads them."""

from __future__ import annotations

import json
import re
from typing import Any

from ..answers import LIMIT, NOTHING, Reading, key, own_text, read_literal, unread
from ..schema import Completion
from .mrc import json_lists, says_no_answer


def official_options(text: str) -> dict[str, str] | None:
    """Option -> reason, a later duplicate in place of an earlier one; None if it cannot be read."""
    end = text.rfind("</Result>")
    start = text.rfind("<Result>", 0, max(end, 0))
    if start < 0 or end - start > LIMIT:
        return None
    inner = text[start + len("<Result>") : end].strip().strip("`json \n")
    try:
        value = json.loads(inner)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list):
        return None
    options: dict[str, str] = {}
    for item in value:
        if not isinstance(item, dict):
            return None
        option, reason = item.get("Option"), item.get("Reason")
        if not isinstance(option, str) or not isinstance(reason, str):
            return None
        options[option] = reason
    return options


_OPEN, _CLOSE = re.compile(r"<\s*result\s*>", re.I), re.compile(r"</\s*result", re.I)
_PAIR = re.compile(
    r"""["'“]option["'”]\s*:\s*(?P<q>["'])(?P<option>(?:(?!(?P=q))[^\\]|\\.)+)(?P=q)"""
    r"""(?:\s*,\s*["'“]reason["'”]\s*:\s*(?P<r>["'])(?P<reason>(?:(?!(?P=r))[^\\]|\\.)*))?""",
    re.I,
)
_LINE = re.compile(r"^[ \t*•\d.)-]*option(?: \d+)?\**[ \t]*[:：]\**[ \t]*(.*\S)", re.I | re.M)
_EMPTY = re.compile(
    r"\[\s*(?:\{\s*(?:[\"']option[\"']\s*:\s*([\"'])\1\s*(?:,[^{}]*)?)?\})?\s*\]", re.I
)


def read_options(completion: Completion, language: str = "en") -> Reading:
    """The options that an answer gives, option -> reason in order; empty where it says "none".

    Read is the text of the last `<Result>`, closed or not; without one, the last list in the
    answer. JSON and Python, any case of the keys, plain strings in place of objects, a missing
    reason, and of a list that the token limit cut, the finished options. Without a list, lines that
    begin with "Option:"; other prose is not read.
    """
    text = own_text(completion.text)
    opened = list(_OPEN.finditer(text))
    inner = text[opened[-1].end() :] if opened else text
    closed = _CLOSE.search(inner)
    inner = (inner[: closed.start()] if opened and closed else inner).strip()
    options = _whole(inner)
    if options is None:
        found = json_lists(inner, lambda item: _pair(item) is not None)
        options = _whole(found[-1][2]) if found else None
    if options is None:
        options = {_text(m["option"]): _text(m["reason"] or "") for m in _PAIR.finditer(inner)}
        options = options or {m[1]: "" for m in _LINE.finditer(inner)}
    if options and NOTHING.issuperset(map(key, options)):
        return Reading({})
    if options or _says_none(inner):
        return Reading(options)
    return Reading(None, unread(completion, language))


def _says_none(inner: str) -> bool:
    return inner == "{}" or says_no_answer(inner, "") or _EMPTY.search(inner) is not None


def _whole(inner: str | list[Any]) -> dict[str, str] | None:
    """The options of a list (or of a text that is a list), None if it is none or empty."""
    try:
        value = read_literal(inner) if isinstance(inner, str) else inner
    except ValueError:
        return None
    value = [value] if isinstance(value, dict) else value
    if not isinstance(value, list):
        return None
    pairs = [_pair(item) for item in value]
    if any(pair is None for pair in pairs):
        return None
    return {pair[0]: pair[1] for pair in pairs if pair and pair[0].strip()} or None


def _pair(item: Any) -> tuple[str, str] | None:
    if isinstance(item, str):
        return (item, "")
    if not isinstance(item, dict):
        return None
    lowered = {str(name).strip().lower(): value for name, value in item.items()}
    option, reason = lowered.get("option"), lowered.get("reason")
    if not isinstance(option, str):
        return None
    return (option, reason if isinstance(reason, str) else "")


def _text(escaped: str) -> str:
    try:
        return str(json.loads(f'"{escaped}"', strict=False))
    except ValueError:
        return escaped
