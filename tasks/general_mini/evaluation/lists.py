"""Working on a list of words or numbers: turn it round, sort it, take out an item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from ..family import Family, Item

_THINGS = (
    ("violin", "小提琴"), ("hammer", "锤子"), ("candle", "蜡烛"), ("bottle", "瓶子"),
    ("garden", "花园"), ("window", "窗户"), ("pillow", "枕头"), ("ladder", "梯子"),
    ("mirror", "镜子"), ("basket", "篮子"), ("island", "岛屿"), ("jacket", "夹克"),
    ("rocket", "火箭"), ("tunnel", "隧道"), ("needle", "针"), ("compass", "指南针"),
)  # fmt: skip

Made = tuple[str, list[str], list[str]]
"""The demand with a place for the list, the list, the answer."""


def _words(random: Random, language: str, count: int) -> list[str]:
    return [pair[0 if language == "en" else 1] for pair in random.sample(_THINGS, count)]


def _reverse(random: Random, language: str) -> Made:
    items = _words(random, language, 3)
    demand = (
        "Write this list in reverse order, from the last item to the first: {}"
        if language == "en"
        else "把这个列表倒过来写，从最后一个写到第一个：{}"
    )
    return demand, items, items[::-1]


def _sort(random: Random, language: str) -> Made:
    items = [str(n) for n in random.sample(range(2, 99), 4)]
    up = sorted(items, key=int)
    while items == up:
        random.shuffle(items)
    demand = (
        "Sort these numbers from small to large: {}"
        if language == "en"
        else "把这些数从小到大排列：{}"
    )
    return demand, items, up


def _alphabet(random: Random, language: str) -> Made:
    items = _words(random, language, 4)
    while items == sorted(items):
        random.shuffle(items)
    return "Put these words in alphabetical order: {}", items, sorted(items)


def _drop(random: Random, language: str) -> Made:
    items = _words(random, language, 4)
    gone = random.choice(items)
    demand = (
        f"Write this list again without the word {gone}: {{}}"
        if language == "en"
        else f"去掉“{gone}”，把列表重新写一遍：{{}}"
    )
    return demand, items, [item for item in items if item != gone]


def _last(random: Random, language: str) -> Made:
    items = _words(random, language, 3)
    demand = (
        "What is the last word of this list: {}"
        if language == "en"
        else "这个列表的最后一个词是什么：{}"
    )
    return demand, items, items[-1:]


def _first(random: Random, language: str) -> Made:
    items = _words(random, language, 3)
    demand = (
        "What is the first word of this list: {}"
        if language == "en"
        else "这个列表的第一个词是什么：{}"
    )
    return demand, items, items[:1]


SKILLS: Mapping[str, Callable[[Random, str], Made]] = {
    "reverse": _reverse,
    "sort numbers": _sort,
    "sort words": _alphabet,
    "remove": _drop,
    "first": _first,
    "last": _last,
}

ENGLISH_ONLY = ("sort words",)
"""Chinese characters have no order that a reader takes for granted."""


def _make(random: Random, language: str) -> Item:
    skill = random.choice([s for s in SKILLS if language == "en" or s not in ENGLISH_ONLY])
    demand, items, answer = SKILLS[skill](random, language)
    question = demand.format((", " if language == "en" else "、").join(items))
    return Item(
        language=language,
        skill=skill,
        question=question,
        form="list",
        answer=answer,
        source=question,
        options=tuple(items),
    )


LISTS = Family("lists", "Lists sorted, turned and shortened", _make)
