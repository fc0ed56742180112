"""Numbers and measures: words into digits, and how many small units make a large one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from ..family import Family, Item

_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = [
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_HAN = "零一二三四五六七八九"


def spelled(number: int, language: str) -> str:
    """A number from 1 to 999 in words."""
    hundreds, rest = divmod(number, 100)
    tens, units = divmod(rest, 10)
    if language == "zh":
        text = f"{_HAN[hundreds]}百" if hundreds else ""
        if tens:
            text += f"{_HAN[tens] if tens > 1 or hundreds else ''}十"
        elif hundreds and units:
            text += "零"
        return text + (_HAN[units] if units else "")
    parts = [f"{_UNITS[hundreds]} hundred"] if hundreds else []
    if tens >= 2:
        parts.append(_TENS[tens - 2] + (f"-{_UNITS[units]}" if units else ""))
    elif rest:
        parts.append(_TEENS[units] if tens else _UNITS[units])
    return " and ".join(parts)


_MEASURES = (
    ("week", "days", "周", "天", 7),
    ("day", "hours", "天", "小时", 24),
    ("hour", "minutes", "小时", "分钟", 60),
    ("minute", "seconds", "分钟", "秒", 60),
    ("year", "months", "年", "个月", 12),
    ("decade", "years", "个十年", "年", 10),
    ("century", "years", "个世纪", "年", 100),
    ("metre", "centimetres", "米", "厘米", 100),
    ("kilometre", "metres", "千米", "米", 1000),
    ("kilogram", "grams", "千克", "克", 1000),
    ("dozen", "pieces", "打", "件", 12),
)

_UNIT_ASKS = (
    "How many {} are there in {}?",
    "How many {} are in {}?",
    "How many {} make {}?",
)

Made = tuple[str, int]
"""Question and answer."""


def _digits(random: Random, language: str) -> Made:
    number = random.randint(21, 99)
    words = spelled(number, language)
    return (
        f"Write {words} as a number in digits."
        if language == "en"
        else f"用阿拉伯数字写出“{words}”。",
        number,
    )


def _units(random: Random, language: str) -> Made:
    large, small, large_zh, small_zh, size = random.choice(_MEASURES)
    count = 1 if random.random() < 0.6 else random.randint(2, 20)
    if language == "en":
        whole = f"one {large}" if count == 1 else f"{spelled(count, language)} {_plural(large)}"
        return random.choice(_UNIT_ASKS).format(small, whole), count * size
    amount = {1: "一", 2: "两"}.get(count) or spelled(count, language)
    return f"{amount}{large_zh}等于多少{small_zh}？请写阿拉伯数字。", count * size


def _plural(noun: str) -> str:
    return {"century": "centuries", "dozen": "dozen"}.get(noun, f"{noun}s")


SKILLS: Mapping[str, Callable[[Random, str], Made]] = {
    "digits": _digits,
    "units": _units,
}


def _make(random: Random, language: str) -> Item:
    skill = random.choice(list(SKILLS))
    question, answer = SKILLS[skill](random, language)
    return Item(
        language=language,
        skill=skill,
        question=question,
        form="number",
        answer=str(answer),
        source=question,
    )


NUMERALS = Family("numerals", "Numbers and measures", _make)
