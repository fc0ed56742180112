"""Outputs that no model should write and some do, for readers that must survive all of them."""

from __future__ import annotations

import random
from collections.abc import Iterator

# fmt: off
PIECES = [
    "[", "]", "{", "}", "(", ")", '"', "'", "“", "”", "`", "```", "```json\n", "\\", "\\n", "\\u",
    ",", "，", "、", ":", "：", ".", "。", "\n", "\r\n", "\t", " ", "|", "#", "*", "**", "- ", "1. ", "=",
    "<Result>", "</Result>", "<result>", "<Doc>", "</", "<|im_end|>", "endofresponse", "</think>",
    '{"Option": "', '", "Reason": "', '"}', '[""]', "[]", "[[", "{}", "null", "NaN", "Infinity", "1e999",
    "Yes", "No", "not", "joy", "Favor", "neither", "none", "answer:", "Answer is", "Translation:", "译文：",
    "\x00", "\x07", "\x1b[31m", "\ud800", "\udfff", "\ufffd", "\u202e", "\u200b", "\ufe0f", "\U0010ffff",
    "İ", "ß", "ﬁ", "ⅷ", "٣", "क्षि", "가", "👩‍👩‍👧", "😂", "你好", "的", "a", "word", "İstanbul" * 3,
    "__import__('os').system('true')", "lambda: 0", "9" * 30, "-" * 30, "not " * 9, "b'x'", "1+2j",
    "<script>alert(1)</script>", "<b>", "&amp;", "$(rm -rf x)", "'; DROP TABLE notes; --", "%s", "{text}",
    "I can't", "Sorry", "抱歉", "because", "but", "Option", "the note does not say", "no answer", "-1",
]
# fmt: on
BOMBS = [
    "[" * 100_000,
    "{" * 100_000,
    "[" * 9_000 + "]" * 9_000,
    '{"Option":' * 1_800,
    '["' * 9_000,
    "<Result>" * 125_000,
    "<Result>" + "[" * 19_000,
    '{"Option": "a", "Reason": "' * 700,
    "-" * 19_000 + "1",
    "(" * 9_500 + "1" + ")" * 9_500,
    "9" * 1_000_000,
    "a" * 1_000_000,
    "我" * 1_000_000,
    "a b. " * 3_900,
    "\n" * 1_000_000,
    "a" + "\n" * 19_000 + "b",
    "\x00" * 19_000,
    "Yes No " * 140_000,
    "answer: " * 2_400,
    "Translation: " * 1_500,
    '"' * 19_999,
    "```" * 6_000,
    "not " * 4_900,
    "<think>" * 2_000 + "</think>",
]


def outputs(number: int, seed: int = 0) -> Iterator[str]:
    """The bombs, then random compositions of the pieces."""
    yield from BOMBS
    rng = random.Random(seed)
    for _ in range(number - len(BOMBS)):
        yield "".join(rng.choices(PIECES, k=rng.randint(0, 24)))
