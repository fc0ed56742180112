"""Short reading: a day out in one long sentence, and a question about one thing in it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from ..family import Family, Item

_PEOPLE = (
    ("Ivan", "伊凡"),
    ("Greta", "葛丽"),
    ("Pedro", "佩德"),
    ("Aisha", "爱莎"),
    ("Yuki", "由纪"),
)
_DETAILS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "day": (
        ("Monday", "星期一"),
        ("Tuesday", "星期二"),
        ("Friday", "星期五"),
        ("Saturday", "星期六"),
        ("Sunday", "星期天"),
    ),
    "friend": (
        ("Clara", "可拉"),
        ("Samir", "萨米"),
        ("Noah", "诺亚"),
        ("Bianca", "比安"),
        ("Otto", "奥托"),
    ),
    "place": (
        ("harbour", "港口"),
        ("airport", "机场"),
        ("stadium", "体育场"),
        ("beach", "海滩"),
        ("castle", "城堡"),
        ("market", "集市"),
    ),
    "vehicle": (
        ("taxi", "出租车"),
        ("ferry", "渡轮"),
        ("tram", "电车"),
        ("train", "火车"),
        ("helicopter", "直升机"),
    ),
    "food": (
        ("pancakes", "煎饼"),
        ("dumplings", "饺子"),
        ("curry", "咖喱"),
        ("noodles", "面条"),
        ("sushi", "寿司"),
    ),
}
_STORY = {
    "en": "On {day}, {name} and {friend} went to the {place} by {vehicle} and ate {food}.",
    "zh": "{day}，{name}和{friend}坐{vehicle}去{place}，吃了{food}。",
}
QUESTIONS = {
    "en": {
        "day": "On which day did {name} go?",
        "friend": "Who went with {name}?",
        "place": "Where did {name} go?",
        "vehicle": "How did {name} travel?",
        "food": "What did {name} eat?",
    },
    "zh": {
        "day": "{name}是星期几去的？",
        "friend": "{name}是和谁一起去的？",
        "place": "{name}去了哪里？",
        "vehicle": "{name}坐的是什么？",
        "food": "{name}吃了什么？",
    },
}


def _make(random: Random, language: str) -> Item:
    at = 0 if language == "en" else 1
    name = random.choice(_PEOPLE)[at]
    details = {kind: random.choice(table)[at] for kind, table in _DETAILS.items()}
    told = _STORY[language].format(name=name, **details)
    skill = random.choice(list(details))
    options = list(details.values())
    random.shuffle(options)
    asked = QUESTIONS[language][skill].format(name=name)
    return Item(
        language=language,
        skill=skill,
        question=told + (" " if at == 0 else "") + asked,
        form="choice",
        answer=details[skill],
        source=told,
        options=tuple(options),
    )


STORIES = Family("stories", "Short stories with a question", _make)
