"""Train family: opening hours and floors read off a notice."""

from __future__ import annotations

from random import Random

from ..family import Family, Item

_SHOPS = (
    ("bakery", "面包店"),
    ("pharmacy", "药店"),
    ("library", "图书馆"),
    ("florist", "花店"),
    ("bookshop", "书店"),
    ("post office", "邮局"),
    ("gym", "健身房"),
)
_SKILLS = {
    "opens": (
        ("{0}: opens {1}:00", "{0}：{1}点开门"),
        (
            "Find the opening hour: {}. Only digits for the hour, please.",
            "请找出{}开门的钟点，用数字写。",
        ),
        ("The line of the {0} says that it opens at {1}.", "{0}那一行写着{1}点开门。"),
        (6, 12),
    ),
    "floor": (
        ("{0}: floor {1}", "{0}：{1}楼"),
        ("Find the floor: {}. Only digits, please.", "请找出{}所在的楼层，用数字写。"),
        ("The line of the {0} says floor {1}.", "{0}那一行写着{1}楼。"),
        (1, 30),
    ),
}


def _make(random: Random, language: str) -> Item:
    at = 0 if language == "en" else 1
    skill = random.choice(list(_SKILLS))
    line, ask, reason, (low, high) = _SKILLS[skill]
    shops = [shop[at] for shop in random.sample(_SHOPS, random.choice((3, 4)))]
    values = random.sample(range(low, high + 1), len(shops))
    notice = "\n".join(line[at].format(s, v) for s, v in zip(shops, values, strict=True))
    number = random.randrange(len(shops))
    head = ("NOTICE", "告示")[at]
    return Item(
        language=language,
        skill=skill,
        question=f"{head}\n{notice}\n{ask[at].format(shops[number])}",
        form="number",
        answer=str(values[number]),
        source=notice,
        options=tuple(map(str, values)),
        rationale=reason[at].format(shops[number], values[number]),
    )


NOTICES = Family("notices", "Notices read", _make, train=True)
