"""Train family: what somebody has after getting more, told with the numbers in digits."""

from __future__ import annotations

from random import Random

from ..family import Family, Item

_NAMES = (("Tom", "小明"), ("Lucy", "小红"), ("Max", "小刚"), ("Nina", "小丽"), ("Jack", "小华"))
_FRUITS = (
    ("apples", "个苹果"),
    ("plums", "个李子"),
    ("cherries", "颗樱桃"),
    ("peaches", "个桃子"),
    ("lemons", "个柠檬"),
)
_STORIES = {
    "en": (
        "{0} picks {2} {1} in the morning and {3} {1} in the evening. Count all {1} of {0}.",
        "In {0}'s basket lie {2} {1}; Grandma adds {3} more. What is the basket's count of {1}?",
        "{0} had {2} {1}, then found {3} {1} under a tree. Write down {0}'s sum of {1}.",
    ),
    "zh": (
        "{0}早上摘了{2}{1}，傍晚又摘了{3}{1}。请算出{0}摘的总数，写成数字。",
        "{0}的篮子里有{2}{1}，奶奶又放进去{3}{1}。篮子里的数目是？",
        "{0}原有{2}{1}，后来在树下捡到{3}{1}。请写出合计的数目。",
    ),
}


def _make(random: Random, language: str) -> Item:
    at = 0 if language == "en" else 1
    name, fruit = random.choice(_NAMES)[at], random.choice(_FRUITS)[at]
    first, second = random.randint(2, 60), random.randint(2, 39)
    question = random.choice(_STORIES[language]).format(name, fruit, first, second)
    total = first + second
    return Item(
        language=language,
        skill="addition",
        question=question,
        form="number",
        answer=str(total),
        source=question,
        rationale=(
            f"First there are {first}, then {second} come along. {first} + {second} = {total}."
            if language == "en"
            else f"先有{first}，后来又有{second}，{first}+{second}={total}。"
        ),
    )


SUMS = Family("sums", "Adding up", _make, train=True)
