"""Reading the number that an answer comes to out of what a model wrote."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from ..answers import Reading, own_text, refused, unread
from ..schema import Completion

_NUMBER = r"(?<![A-Za-z0-9_.])-?(?:\d{1,3}(?:,\d{3})+|\d{1,12})(?:\.\d{1,6})?(?![\d])"
_ANY = re.compile(_NUMBER)
_END = r"[^\S\n]*(?:[.!,;。](?:\s|$)|\n|$)"
_LEADING = re.compile(
    rf"\W{{0,6}}?(?!1[.)]\s)({_NUMBER})"
    rf"(?:(?:[^\S\n]*[a-z%€$]{{1,20}}){{0,2}}|\s?[\u4e00-\u9fff]{{0,3}}){_END}",
    re.I,
)
_SAID = re.compile(
    r"(?:\banswer\b[^\n.\d]{0,30}?(?:\bis\b|:)|\b(?:total|result)\b[^\n.\d]{0,30}?(?:\bis\b|:|\bof\b)"
    r"|=|≈|\\boxed\{|答案[^\n。\d]{0,10}?[是为:]|(?:一共|总共|共|等于|得到|结果)[^\n。\d]{0,6})"
    rf"[^\n\d]{{0,12}}?({_NUMBER})",
    re.I,
)


def read_number(completion: Completion, language: str = "en") -> Reading:
    """The number that an answer comes to, as text without separators and needless zeros.

    It is the one with which the answer begins and that stands there by itself ("12 euros."), else
    the last that is said to be the result ("the answer is 12", "3 x 4 = 12"), else the last of all.
    Of an answer that the token limit cut, the last of all is no answer: it may be a step.

    Args:
        completion: What the model gave back. Numbers are looked for in digits only.
        language: Of the item; only the kind of failure depends on it.
    """
    text = own_text(completion.text)
    text = unicodedata.normalize("NFKC", text)
    if not text or refused(text):
        return Reading(None, unread(completion, language))
    first = _LEADING.match(text)
    if first:
        return Reading(plain(first[1]))
    said = _SAID.findall(text)
    if said:
        return Reading(plain(said[-1]))
    found = _ANY.findall(text)
    if found and completion.finish == "stop":
        return Reading(plain(found[-1]))
    return Reading(None, unread(completion, language))


def plain(number: str) -> str:
    """A number in its shortest form: "1,200.50" is "1200.5"."""
    value = Decimal(number.replace(",", ""))
    return format(value.normalize(), "f") if value else "0"
