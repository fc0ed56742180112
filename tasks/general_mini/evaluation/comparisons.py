"""Comparing quantities: the largest number, the tallest, the cheapest, the earliest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from ..family import Family, Item

_CITIES = (("Geneva", "日内瓦"), ("Kyoto", "京都"), ("Quito", "基多"), ("Perth", "珀斯"))
_TOWERS = (
    ("red tower", "红塔"),
    ("blue tower", "蓝塔"),
    ("grey tower", "灰塔"),
    ("gold tower", "金塔"),
)
_MEALS = (("soup", "汤"), ("salad", "沙拉"), ("pizza", "披萨"), ("noodles", "面条"))

Names = tuple[tuple[str, str], ...]


def _number(random: Random, language: str) -> tuple[str, list[str], str]:
    numbers = random.sample(range(11, 1000), 3)
    largest = random.random() < 0.5
    shown = [str(n) for n in numbers]
    answer = str(max(numbers) if largest else min(numbers))
    if language == "en":
        word = "largest" if largest else "smallest"
        return f"Which number is the {word}: {', '.join(shown[:2])} or {shown[2]}?", shown, answer
    word = "最大" if largest else "最小"
    return f"{'、'.join(shown)}这三个数中，哪个{word}？", shown, answer


def _measured(
    names: Names,
    english: str,
    chinese: str,
    most: tuple[str, str],
    least: tuple[str, str],
    top: int,
) -> Callable[[Random, str], tuple[str, list[str], str]]:
    """Three things with a measure each; the question is for the most or the least of it."""

    def make(random: Random, language: str) -> tuple[str, list[str], str]:
        at = 0 if language == "en" else 1
        chosen = [name[at] for name in random.sample(names, 3)]
        values = random.sample(range(top // 10, top), 3)
        template, wanted = (english, chinese)[at], random.random() < 0.5
        answer = chosen[values.index(max(values) if wanted else min(values))]
        told = [template.format(n, v) for n, v in zip(chosen, values, strict=True)]
        text = " ".join(told) if at == 0 else "，".join(told) + "。"
        return text + (" " if at == 0 else "") + (most if wanted else least)[at], chosen, answer

    return make


SKILLS: Mapping[str, Callable[[Random, str], tuple[str, list[str], str]]] = {
    "number": _number,
    "height": _measured(
        _TOWERS,
        "The {} is {} metres high.",
        "{}高{}米",
        ("Which tower is the highest?", "哪座塔最高？"),
        ("Which tower is the lowest?", "哪座塔最矮？"),
        300,
    ),
    "price": _measured(
        _MEALS,
        "The {} costs {} euros.",
        "{}{}欧元",
        ("Which dish is the most expensive?", "哪种最贵？"),
        ("Which dish is the cheapest?", "哪种最便宜？"),
        30,
    ),
    "heat": _measured(
        _CITIES,
        "It is {1} degrees in {0}.",
        "{}气温{}度",
        ("Which city is the hottest?", "哪座城市最热？"),
        ("Which city is the coldest?", "哪座城市最冷？"),
        40,
    ),
}


def _make(random: Random, language: str) -> Item:
    skill = random.choice(list(SKILLS))
    text, options, answer = SKILLS[skill](random, language)
    return Item(
        language=language,
        skill=skill,
        question=text,
        form="choice",
        answer=answer,
        source=text,
        options=tuple(options),
    )


COMPARISONS = Family("comparisons", "Comparing quantities", _make, examples=2)
