"""Checkers of instructions that a program can verify: how long, which words, which layout.

The idea is that of IFEval: Zhou et al. 2023, "Instruction-Following Evaluation for Large Language
Models", arXiv:2311.07911. A checker sees the stripped answer (at most `extraction.MAX_CHARS`
characters) and the argument that the instruction named. Words are Chinese characters where the item
is Chinese.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..extraction import parse_literal

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+(?:['’-][^\W_\u3400-\u9fff]+)*")
_HAN = re.compile("[\u3400-\u9fff]")
_SENTENCE_END = re.compile(r"[.!?。！？]+[\"'”’」)]*(?=\s|$|[\u3400-\u9fff“「])")
_NUMBERED = re.compile(r"(\d{1,2})[.)、.]\s*\S")
_BULLET = re.compile(r"[-*•]\s*\S")
_FENCED = re.compile(r"```(?:json)?\s*\n?(.*?)\n?\s*```", re.S)
_MARKS = " \t\r\n\"'”’」*"
_QUOTES = {'"': '"', "“": "”", "「": "」"}


def words(text: str) -> list[str]:
    """The words of a text; each Chinese character is one."""
    return _WORD.findall(text)


def lines(text: str) -> list[str]:
    """The lines that are not blank, stripped."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def mentions(text: str, word: str) -> bool:
    """Whether a word occurs in the text, in any case; Chinese words may occur anywhere."""
    text, word = text.lower(), word.lower()
    if _HAN.search(word):
        return word in text
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def avoids(text: str, word: str) -> bool:
    """Whether a word is not in the text."""
    return not mentions(text, word)


def upper_case(text: str, _: None) -> bool:
    """Whether all letters are capitals."""
    return text.isupper()


def lower_case(text: str, _: None) -> bool:
    """Whether no letter is a capital."""
    return text.islower()


def starts_with(text: str, beginning: str) -> bool:
    """Whether the text begins with these words, in any case; quotes around do not count."""
    text = text.lstrip(_MARKS + "“‘「").lower()
    return text.startswith(beginning.lower()) and not _continues(text, len(beginning))


def _continues(text: str, at: int) -> bool:
    """Whether the word that ends at a position continues after it."""
    after = text[at : at + 1]
    return after.isalnum() and not _HAN.match(after) and not _HAN.match(text[at - 1])


def ends_with(text: str, end: str) -> bool:
    """Whether the text ends with these words, in any case; closing marks do not count."""
    marks = _MARKS + ".!?。！？"
    return text.rstrip(marks).lower().endswith(end.rstrip(marks).lower())


def ends_with_mark(text: str, mark: str) -> bool:
    """Whether the text ends with `?` or `!`, of either width; closing quotes do not count."""
    return text.rstrip(_MARKS).endswith((mark, chr(ord(mark) + 0xFEE0)))


def most_words(text: str, count: int) -> bool:
    """Whether there are at most `count` words, and one at least."""
    return 1 <= len(words(text)) <= count


def least_words(text: str, count: int) -> bool:
    """Whether there are at least `count` words."""
    return len(words(text)) >= count


def sentences(text: str, count: int) -> bool:
    """Whether the text has `count` sentences; one without a full stop at the end counts."""
    ends = list(_SENTENCE_END.finditer(text))
    rest = text[ends[-1].end() :] if ends else text
    return len(ends) + bool(words(rest)) == count


def line_count(text: str, count: int) -> bool:
    """Whether there are `count` lines that are not blank."""
    return len(lines(text)) == count


def first_line(text: str, word: str) -> bool:
    """Whether the first line mentions a word."""
    return bool(lines(text)) and mentions(lines(text)[0], word)


def numbered(text: str, count: int) -> bool:
    """Whether the text is a list numbered from 1 to `count`, one per line, and no more."""
    found = [_NUMBERED.match(line) for line in lines(text)]
    return [m[1] for m in found if m] == list(map(str, range(1, count + 1))) and all(found)


def bullets(text: str, count: int) -> bool:
    """Whether the text is a list of `count` bullets, one per line, and no more."""
    found = [_BULLET.match(line) for line in lines(text)]
    return len(found) == count and all(found)


def parted(text: str, argument: Sequence[Any]) -> bool:
    """Whether a separator splits the text into `count` parts, none empty: (separator, count)."""
    separator, count = argument
    parts = text.strip(_MARKS + "。.").split(separator)
    return len(parts) == count and all(words(part) for part in parts)


def quoted(text: str, _: None) -> bool:
    """Whether the whole text is between one pair of double quotation marks."""
    close = _QUOTES.get(text[:1])
    return (
        close is not None
        and text.endswith(close)
        and bool(text[1:-1].strip())
        and close not in text[1:-1]
    )


def json_keys(text: str, keys: Sequence[str]) -> bool:
    """Whether the text is one JSON object with these keys and no others, no value empty.

    Of a text with a fenced block, the block counts.
    """
    fenced = _FENCED.search(text)
    try:
        value = parse_literal(fenced[1] if fenced else text)
    except ValueError:
        return False
    return (
        isinstance(value, dict)
        and set(value) == set(keys)
        and all(v not in ("", None, [], {}) for v in value.values())
    )


RULES: Mapping[str, Callable[[str, Any], bool]] = {
    rule.__name__: rule
    for rule in (
        *(mentions, avoids, upper_case, lower_case, starts_with, ends_with, ends_with_mark),
        *(most_words, least_words, sentences, line_count, first_line, numbered, bullets),
        *(parted, quoted, json_keys),
    )
}
"""Every checker by name."""
