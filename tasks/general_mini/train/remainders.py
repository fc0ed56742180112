"""Train family: what is left after something was given away, eaten or lost."""

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
        "{0} picks {2} {1} in the morning and eats {3} by the evening. Count the {1} left over.",
        "In {0}'s basket lie {2} {1}; Grandma takes {3} out. What remains of the {1}, in digits?",
        "{0} owned {2} {1}, then lost {3} under a tree. Write down what {0} still has.",
    ),
    "zh": (
        "{0}早上摘了{2}{1}，到傍晚吃掉{3}{1}。请算出剩下的数目，写成数字。",
        "{0}的篮子里有{2}{1}，奶奶拿走{3}{1}。篮子里余下的数目是？",
        "{0}原有{2}{1}，在树下丢了{3}{1}。请写出手里的数目。",
    ),
}


def _make(random: Random, language: str) -> Item:
    at = 0 if language == "en" else 1
    name, fruit = random.choice(_NAMES)[at], random.choice(_FRUITS)[at]
    second, rest = random.randint(2, 39), random.randint(1, 60)
    first = second + rest
    question = random.choice(_STORIES[language]).format(name, fruit, first, second)
    return Item(
        language=language,
        skill="subtraction",
        question=question,
        form="number",
        answer=str(rest),
        source=question,
        rationale=(
            f"First there are {first}, then {second} are gone. {first} - {second} = {rest}."
            if language == "en"
            else f"先有{first}，后来少了{second}，{first}-{second}={rest}。"
        ),
    )


REMAINDERS = Family("remainders", "What is left", _make, train=True)
