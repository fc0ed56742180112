"""Arithmetic told in one or two sentences: crowds that grow and meet, prices, halves, doubles."""

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
    ("pencil", "铅笔"),
    ("postcard", "明信片"),
    ("umbrella", "雨伞"),
)
_CROWDS = (("passengers", "名乘客"), ("visitors", "名游客"), ("guests", "位客人"))
_PLACES = (("bus", "公交车"), ("museum", "博物馆"), ("ship", "轮船"), ("hotel", "酒店"))


def _price(random: Random) -> Problem:
    thing = random.choice(_GOODS)
    count, price = random.randint(2, 6), random.choice((2, 3, 4, 5, 10))
    return (
        f"One {thing[0]} costs {price} dollars. How many dollars do {count} of them cost?",
        f"一件{thing[1]}{price}元，{count}件一共多少元？",
        count * price,
    )


def _arrive(random: Random) -> Problem:
    crowd, place = random.choice(_CROWDS), random.choice(_PLACES)
    first, more = random.randint(5, 30), random.randint(2, 9)
    return (
        f"There are {first} {crowd[0]} in the {place[0]} and {more} more arrive. "
        f"How many {crowd[0]} are there now?",
        f"{place[1]}里有{first}{crowd[1]}，又来了{more}{crowd[1][0]}，现在有多少{crowd[1][0]}？",
        first + more,
    )


def _together(random: Random) -> Problem:
    crowd = random.choice(_CROWDS)
    here, there = random.sample(_PLACES, 2)
    first, second = random.randint(3, 20), random.randint(3, 9)
    return (
        f"There are {first} {crowd[0]} in the {here[0]} and {second} in the {there[0]}. "
        f"How many {crowd[0]} are there in all?",
        f"{here[1]}里有{first}{crowd[1]}，{there[1]}里有{second}{crowd[1][0]}，一共有多少{crowd[1][0]}？",
        first + second,
    )


def _half(random: Random) -> Problem:
    half = random.randint(2, 50)
    return f"What is half of {2 * half}?", f"{2 * half}的一半是多少？", half


def _double(random: Random) -> Problem:
    crowd, place = random.choice(_CROWDS), random.choice(_PLACES)
    count = random.randint(5, 50)
    return (
        f"Yesterday the {place[0]} had {count} {crowd[0]}, today twice as many. "
        f"How many {crowd[0]} are there today?",
        f"{place[1]}昨天有{count}{crowd[1]}，今天是昨天的两倍，今天有多少{crowd[1][0]}？",
        2 * count,
    )


SKILLS: Mapping[str, Callable[[Random], Problem]] = {
    "price": _price,
    "arrive": _arrive,
    "together": _together,
    "half": _half,
    "double": _double,
}


_DEMAND = {"en": " Answer with the number only.", "zh": "只回答一个数字。"}


def _make(random: Random, language: str) -> Item:
    skill = random.choice(list(SKILLS))
    english, chinese, result = SKILLS[skill](random)
    text = english if language == "en" else chinese
    return Item(
        language=language,
        skill=skill,
        question=text + _DEMAND[language],
        form="number",
        answer=str(result),
        source=text,
    )


WORD_PROBLEMS = Family("word_problems", "Arithmetic in words", _make)
