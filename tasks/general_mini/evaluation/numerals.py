"""Reading and ordering numbers: words into digits, the largest and the smallest."""

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
    """A number from 10 to 999 in words."""
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


Made = tuple[str, int, tuple[int, ...]]
"""Question, answer, the numbers that the question shows in digits."""


def _digits(random: Random, language: str) -> Made:
    number = random.randint(21, 99)
    words = spelled(number, language)
    return (
        f"Write {words} as a number in digits."
        if language == "en"
        else f"用阿拉伯数字写出“{words}”。",
        number,
        (),
    )


def _extreme(random: Random, language: str) -> Made:
    numbers = random.sample(range(101, 1000), 3)
    largest = random.random() < 0.5
    first, second, third = numbers
    question = (
        f"Which number is the {'largest' if largest else 'smallest'}: {first}, {second} or {third}?"
        " Name it only."
        if language == "en"
        else f"{first}、{second}和{third}，哪个数最{'大' if largest else '小'}？只写这个数。"
    )
    return question, max(numbers) if largest else min(numbers), tuple(numbers)


SKILLS: Mapping[str, Callable[[Random, str], Made]] = {
    "digits": _digits,
    "extreme": _extreme,
}


def _make(random: Random, language: str) -> Item:
    skill = random.choice(list(SKILLS))
    question, answer, shown = SKILLS[skill](random, language)
    return Item(
        language=language,
        skill=skill,
        question=question,
        form="number",
        answer=str(answer),
        source=question,
        options=tuple(map(str, shown)),
    )


NUMERALS = Family("numerals", "Numbers read and ordered", _make)
