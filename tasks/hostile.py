"""Outputs that no model should write and some do: what every answer parser must survive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

# fmt: off
_PIECES = (
    # what frames answers
    "```json\n", "```python\n", "```", "<think>", "</think>", "<Result>", "</Result>", "<result>",
    "Answer:", "the answer is", "Final answer", "Translation:", "译文：", "答案：", "答案是",
    "Input:", "**", "# ", "- ", "1. ", "<|im_end|>", "</s>", "endofresponse", "<Doc>",
    # what parts and what denies
    "[", "]", "{", "}", "(", ")", "[[", '"', "'", "“", "”", "\\", "\\x", "\\u12", "|", "｜", ">",
    "/", "\n", "\n\n", "\r\n", "\t", " ", ",", "，", "、", ":", "：", ".", "。", "%", "=", "#",
    "not ", "but ", "because ", "and ", "而是", "因为", "no answer", "the note does not say",
    # answers of all tasks
    "-1", "3", "Yes", "no", "是", "否", "None", "none", "[]", '[""]', "joy", "Favor", "neither",
    '{"Option": "a", "Reason": "b"}', '{"Option": 1}', '{"Option": "', '", "Reason": "', '"}',
    "['a', 'b']", "[[['a']]]", "b'a'", "{1, 2}", "null", "true", "True",
    # numbers, code and markup
    "NaN", "1e999", "-Infinity", "0x", "1+2j", "9" * 40, "-" * 30, "not " * 9, "[" * 40, "x" * 99,
    "__import__('os').system('true')", "exec('x=1')", "lambda: 0", "x = [i for i in range(9)]",
    "<script>alert(1)</script>", "<!--", "&lt;", "<b>", "</b>", "%s%n", "${x}", "{text}",
    # characters
    "\x00", "\x1b[2J", "\x1b]0;title\x07", "\r", "\x85", "\u2028", "\u202e", "\u200b", "\u200d",
    "\ufeff", "\ud800", "\udfff", "\ue000", "\uf8f0", "\ufffd", "\U0010ffff", "e\u0301" * 9, "ß",
    "İ", "ﬀ", "ﷺ", "１２", "٣", "ⅷ", "क्षि", "가", "👩‍👩‍👧‍👦", "🏳️‍🌈", "你好", "word",
    # refusals
    "I'm sorry, but I can't help with that.", "对不起，我无法回答", "as an AI", "抱歉",
)
_OPENERS = (
    "[", "{", "(", "-", "not ", '{"a":', "[{", "<Result>[", "f'{", "'", "lambda:", "~", "**",
    "<div>",
)
_UNITS = (
    " ", "\n", ". ", "[", "{", "['", "['a", "'a',", '["', "|", "3 ", "yes ", "not ", "because ",
    "is ", "the answer is ", "答案是", "Translation: ", "\\", '"', "`", "```", "#", "-", "- ",
    " and ", "<|", "\nInput", "\x00", "😀", "ﷺ",
    "a b. ", '{"Option":', '{"Option": "a", "Reason": "',
    "<Result>", "<think>", "\nOption: a",
)
# fmt: on

ENDLESS: tuple[str, ...] = (
    *((unit * 19_990)[:19_990] for unit in _UNITS),
    *((unit * 1_000_000)[:1_000_000] for unit in ("a", "9", "我", "\n", "[", "a b ", "<Result>")),
    "[" * 9_000 + "]" * 9_000,
    "(" * 9_500 + "1" + ")" * 9_500,
    "-" * 19_000 + "1",
    "a" + "\n" * 19_000 + "b",
    "<Result>" + "[" * 19_000,
    "<think>" * 2_000 + "</think>",
)
"""Texts on which a careless parser takes minutes, or overflows the stack."""


def _soup(random: Random, own: Sequence[str]) -> str:
    pieces = [*_PIECES, *own, *own]
    return "".join(random.choice(pieces) for _ in range(random.randint(1, 40)))


def _characters(random: Random, own: Sequence[str]) -> str:
    limit = random.choice((0x80, 0x800, 0x3000, 0x10000, 0x110000))
    return "".join(chr(random.randrange(limit)) for _ in range(random.randint(0, 200)))


def _broken(random: Random, own: Sequence[str]) -> str:
    """An answer that was cut, doubled, wrapped or peppered."""
    text = random.choice(own)
    at = random.randrange(len(text) + 1)
    piece = random.choice(_PIECES)
    return random.choice(
        (
            text[:at],
            text[at:],
            text[:at] + piece + text[at:],
            text + piece + text,
            piece + text + piece,
        )
    )


def _nested(random: Random, own: Sequence[str]) -> str:
    opener = random.choice(_OPENERS)
    depth = random.choice((10, 100, 1000, 20000))
    middle = random.choice((*own, "1", ""))
    closer = {"[": "]", "{": "}", "(": ")", '{"a":': "}", "[{": "}]"}.get(opener, "")
    return opener * depth + middle + closer * random.choice((0, depth, depth - 1))


def _repeated(random: Random, own: Sequence[str]) -> str:
    piece = random.choice((*_PIECES, *own)) or " "
    return piece * random.randint(2, 400)


def _long(random: Random, own: Sequence[str]) -> str:
    """A megabyte."""
    piece = random.choice((*_PIECES, *own, " ", "a", "汉", "a b\n")) or " "
    return (piece * (1_000_000 // len(piece) + 1))[:1_000_000]


_KINDS: tuple[tuple[Callable[[Random, Sequence[str]], str], float], ...] = (
    (_soup, 0.45),
    (_broken, 0.3),
    (_characters, 0.13),
    (_repeated, 0.1),
    (_nested, 0.02),
)


def hostile_texts(count: int, random: Random, own: Sequence[str]) -> Iterator[str]:
    """Hostile outputs.

    Args:
        count: How many; the last of each thousand has a megabyte.
        random: Decides all.
        own: Texts of the task (golds, lists of candidates), to be mixed in and mangled.
    """
    kinds, weights = zip(*_KINDS, strict=True)
    for number, kind in enumerate(random.choices(kinds, weights, k=count), 1):
        yield (_long if number % 1000 == 0 else kind)(random, own)
