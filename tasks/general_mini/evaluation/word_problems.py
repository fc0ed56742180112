"""Arithmetic told in one or two sentences: prices, shares, change, rests, halves, doubles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from ..family import Family, Item

Problem = tuple[str, str, int]
"""English text, Chinese text, result."""

_GOODS = (
    ("ticket", "车票"),
    ("notebook", "笔记本"),
    ("lamp", "台灯"),
    ("scarf", "围巾"),
    ("postcard", "明信片"),
    ("umbrella", "雨伞"),
)
_CROWDS = (("passengers", "名乘客"), ("visitors", "名游客"), ("guests", "位客人"))
_PLACES = (("bus", "公交车"), ("museum", "博物馆"), ("ship", "轮船"), ("hotel", "酒店"))


_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]


def _words(number: int) -> str:
    return _SMALL[number]


def _han(number: int) -> str:
    tens, units = divmod(number, 10)
    return ("十" if tens else "") + ("一二三四五六七八九"[units - 1] if units else "")


def _price(random: Random) -> Problem:
    thing = random.choice(_GOODS)
    count, price = random.randint(2, 6), random.choice((2, 3, 4, 5, 10))
    return (
        f"One {thing[0]} costs {price} dollars. How many dollars do {count} of them cost?",
        f"一件{thing[1]}{price}元，{count}件一共多少元？",
        count * price,
    )


def _rest(random: Random) -> Problem:
    crowd, place = random.choice(_CROWDS), random.choice(_PLACES)
    whole = random.randint(5, 20)
    away = random.randint(1, 4)
    return (
        f"There are {whole} {crowd[0]} in the {place[0]} and {away} leave. "
        f"How many {crowd[0]} stay?",
        f"{place[1]}里有{whole}{crowd[1]}，离开了{away}{crowd[1][0]}，还剩多少{crowd[1][0]}？",
        whole - away,
    )


def _share(random: Random) -> Problem:
    thing = random.choice(_GOODS)
    people, each = random.randint(2, 5), random.randint(2, 10)
    return (
        f"{people * each} {thing[0]}s are shared equally among {people} people. "
        "How many does each person get?",
        f"{people * each}件{thing[1]}平均分给{people}个人，每人分到几件？",
        each,
    )


def _change(random: Random) -> Problem:
    thing = random.choice(_GOODS)
    paid = random.choice((5, 10, 20))
    price = random.randint(1, paid - 1)
    return (
        f"A {thing[0]} costs {price} dollars and you pay with a {paid} dollar note. "
        "How many dollars do you get back?",
        f"一件{thing[1]}{price}元，付了{paid}元，应找回多少元？",
        paid - price,
    )


def _spoken(random: Random) -> Problem:
    first, second = random.randint(3, 12), random.randint(2, 9)
    if random.random() < 0.5:
        first = max(first, second + 1)
        english = f"What is {_words(first)} minus {_words(second)}?"
        return english, f"{_han(first)}减{_han(second)}等于几？", first - second
    return (
        f"What is {_words(first)} times {_words(second)}?",
        f"{_han(first)}乘以{_han(second)}等于几？",
        first * second,
    )


def _half(random: Random) -> Problem:
    half = random.randint(2, 20)
    return f"What is half of {2 * half}?", f"{2 * half}的一半是多少？", half


def _double(random: Random) -> Problem:
    crowd, place = random.choice(_CROWDS), random.choice(_PLACES)
    count = random.choice((5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50))
    return (
        f"Yesterday the {place[0]} had {count} {crowd[0]}, today twice as many. "
        f"How many {crowd[0]} are there today?",
        f"{place[1]}昨天有{count}{crowd[1]}，今天是昨天的两倍，今天有多少{crowd[1][0]}？",
        2 * count,
    )


SKILLS: Mapping[str, Callable[[Random], Problem]] = {
    "price": _price,
    "rest": _rest,
    "share": _share,
    "change": _change,
    "spoken": _spoken,
    "half": _half,
    "double": _double,
}


def _make(random: Random, language: str) -> Item:
    skill = random.choice(list(SKILLS))
    english, chinese, result = SKILLS[skill](random)
    text = english if language == "en" else chinese
    return Item(
        language=language,
        skill=skill,
        question=text,
        form="number",
        answer=str(result),
        source=text,
    )


WORD_PROBLEMS = Family("word_problems", "Arithmetic in words", _make)
