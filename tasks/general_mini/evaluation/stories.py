"""Short reading: six short sentences about a day out, and a question about one."""

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
    "drink": (("lemonade", "柠檬水"), ("cocoa", "可可"), ("milk", "牛奶"), ("cider", "苹果酒")),
    "animal": (("camel", "骆驼"), ("giraffe", "长颈鹿"), ("panda", "熊猫"), ("zebra", "斑马")),
}
_TOLD = {
    "en": {
        "friend": "{name} met {friend}.",
        "place": "{name} walked to the {place}.",
        "thing": "{name} bought a {thing}.",
        "food": "{name} ate {food}.",
        "drink": "{name} drank {drink}.",
        "animal": "{name} saw a {animal}.",
    },
    "zh": {
        "friend": "{name}遇见了{friend}。",
        "place": "{name}走到了{place}。",
        "thing": "{name}买了{thing}。",
        "food": "{name}吃了{food}。",
        "drink": "{name}喝了{drink}。",
        "animal": "{name}看到了一只{animal}。",
    },
}
_ASKED = {
    "en": {
        "friend": "Who did {name} meet?",
        "place": "Where did {name} walk?",
        "thing": "What did {name} buy?",
        "food": "What did {name} eat?",
        "drink": "What did {name} drink?",
        "animal": "Which animal did {name} see?",
    },
    "zh": {
        "friend": "{name}遇见了谁？",
        "place": "{name}走到了哪里？",
        "thing": "{name}买了什么？",
        "food": "{name}吃了什么？",
        "drink": "{name}喝了什么？",
        "animal": "{name}看到了什么动物？",
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
