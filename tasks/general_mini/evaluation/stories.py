"""Short reading: five short sentences about a day out, and a question about one."""

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
    "thing": (
        ("camera", "相机"),
        ("guitar", "吉他"),
        ("tent", "帐篷"),
        ("carpet", "地毯"),
        ("kettle", "水壶"),
        ("telescope", "望远镜"),
    ),
    "food": (
        ("pancakes", "煎饼"),
        ("dumplings", "饺子"),
        ("curry", "咖喱"),
        ("noodles", "面条"),
        ("sushi", "寿司"),
    ),
}
_TOLD = {
    "en": {
        "day": "It was {day}.",
        "friend": "{name} met {friend}.",
        "place": "{name} walked to the {place}.",
        "thing": "{name} bought a {thing}.",
        "food": "{name} ate {food}.",
    },
    "zh": {
        "day": "那天是{day}。",
        "friend": "{name}遇见了{friend}。",
        "place": "{name}走到了{place}。",
        "thing": "{name}买了{thing}。",
        "food": "{name}吃了{food}。",
    },
}
_ASKED = {
    "en": {
        "day": "Which day was it?",
        "friend": "Who did {name} meet?",
        "place": "Where did {name} walk?",
        "thing": "What did {name} buy?",
        "food": "What did {name} eat?",
    },
    "zh": {
        "day": "那天是星期几？",
        "friend": "{name}遇见了谁？",
        "place": "{name}走到了哪里？",
        "thing": "{name}买了什么？",
        "food": "{name}吃了什么？",
    },
}


def _make(random: Random, language: str) -> Item:
    at = 0 if language == "en" else 1
    name = random.choice(_PEOPLE)[at]
    details = {kind: random.choice(table)[at] for kind, table in _DETAILS.items()}
    between = " " if language == "en" else ""
    sentences = list(_TOLD[language].values())
    random.shuffle(sentences)
    told = between.join(sentences).format(name=name, **details)
    skill = random.choice(list(details))
    options = list(details.values())
    random.shuffle(options)
    asked = _ASKED[language][skill].format(name=name)
    return Item(
        language=language,
        skill=skill,
        question=told + between + asked,
        form="choice",
        answer=details[skill],
        source=told,
        options=tuple(options),
    )


STORIES = Family("stories", "Short stories with a question", _make)
