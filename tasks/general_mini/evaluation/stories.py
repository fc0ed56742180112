"""Short reading: three people, what each has, does or where each goes, and one question."""

from __future__ import annotations

from random import Random

from ..family import Family, Item

PEOPLE = (
    ("Ivan", "伊凡"), ("Greta", "葛丽"), ("Pedro", "佩德"), ("Aisha", "爱莎"),
    ("Noah", "诺亚"), ("Yuki", "由纪"), ("Clara", "可拉"), ("Samir", "萨米"),
)  # fmt: skip
PLOTS = {
    "owns": (
        ("{0} bought a {1}.", "{0}买了一{1}。"),
        ("Who bought the {1}?", "谁买了那{1}？"),
        ("What did {0} buy?", "{0}买了什么？"),
        (
            ("guitar", "把吉他"), ("bicycle", "辆自行车"), ("tent", "顶帐篷"), ("camera", "台相机"),
            ("carpet", "块地毯"), ("telescope", "架望远镜"), ("kettle", "个水壶"),
        ),
    ),
    "travels": (
        ("{0} went to the {1} by train.", "{0}坐火车去了{1}。"),
        ("Who went to the {1}?", "去了{1}的是谁？"),
        ("Where did {0} go?", "{0}去了哪里？"),
        (
            ("beach", "海滩"), ("airport", "机场"), ("theatre", "剧院"), ("stadium", "体育场"),
            ("mountains", "山区"), ("harbour", "港口"), ("university", "大学"),
        ),
    ),
    "cooks": (
        ("{0} is making {1} for the party.", "{0}正在为聚会做{1}。"),
        ("Who is making {1}?", "谁在做{1}？"),
        ("What is {0} making?", "{0}在做什么吃的？"),
        (
            ("dumplings", "饺子"), ("pancakes", "煎饼"), ("curry", "咖喱"), ("sushi", "寿司"),
            ("a cake", "蛋糕"), ("lasagne", "千层面"), ("popcorn", "爆米花"),
        ),
    ),
}  # fmt: skip
"""Skill -> the sentence, a question for the person, one for the thing, the things."""

_BETWEEN = (
    ("It had rained all night.", "雨下了一整夜。"),
    ("The street was still empty.", "街上还没有人。"),
    ("Nobody was in a hurry.", "谁也不着急。"),
    ("The radio was playing an old song.", "收音机里放着一首老歌。"),
)


def _make(random: Random, language: str) -> Item:
    at = 0 if language == "en" else 1
    skill = random.choice(list(PLOTS))
    sentence, by_thing, by_person, things = PLOTS[skill]
    people = [person[at] for person in random.sample(PEOPLE, 3)]
    chosen = [thing[at] for thing in random.sample(things, 3)]
    told = [sentence[at].format(p, t) for p, t in zip(people, chosen, strict=True)]
    told.insert(random.randrange(4), random.choice(_BETWEEN)[at])
    passage = (" " if at == 0 else "").join(told)
    number = random.randrange(3)
    person = random.random() < 0.5
    asks = (by_thing if person else by_person)[at].format(people[number], chosen[number])
    # A measure word or an article is part of the sentence, not of the answer's name.
    names = [_bare(thing, skill, at) for thing in chosen]
    options = people if person else names
    return Item(
        language=language,
        skill=f"{skill}: {'who' if person else 'what'}",
        question=f"{passage}{' ' if at == 0 else ''}{asks}",
        form="choice",
        answer=options[number],
        source=passage,
        options=tuple(options),
    )


def _bare(thing: str, skill: str, at: int) -> str:
    if at == 1 and skill == "owns":
        return thing[1:]
    return thing.removeprefix("a ")


STORIES = Family("stories", "Short stories with a question", _make, examples=2)
