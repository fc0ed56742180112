"""Reading: short stories with a question; for training, notices."""

from __future__ import annotations

from random import Random

from .items import Family, Item, pairs

# --- evaluation ----------------------------------------------------------------------------------

_PEOPLE = pairs("Ivan, Greta, Pedro, Aisha, Yuki", "伊凡、葛丽、佩德、爱莎、由纪")
_DETAILS = {
    "friend": (
        pairs("Clara, Samir, Noah, Bianca, Otto", "可拉、萨米、诺亚、比安、奥托"),
        ("{name} met {friend}.", "{name}遇见了{friend}。"),
        ("Who did {name} meet?", "{name}遇见了谁？"),
    ),
    "place": (
        pairs(
            "harbour, airport, stadium, beach, castle, market",
            "港口、机场、体育场、海滩、城堡、集市",
        ),
        ("{name} walked to the {place}.", "{name}走到了{place}。"),
        ("Where did {name} walk?", "{name}走到了哪里？"),
    ),
    "thing": (
        pairs(
            "camera, guitar, tent, carpet, kettle, telescope",
            "相机、吉他、帐篷、地毯、水壶、望远镜",
        ),
        ("{name} bought a {thing}.", "{name}买了{thing}。"),
        ("What did {name} buy?", "{name}买了什么？"),
    ),
    "food": (
        pairs("pancakes, dumplings, curry, noodles, sushi", "煎饼、饺子、咖喱、面条、寿司"),
        ("{name} ate {food}.", "{name}吃了{food}。"),
        ("What did {name} eat?", "{name}吃了什么？"),
    ),
    "drink": (
        pairs("lemonade, cocoa, milk, cider", "柠檬水、可可、牛奶、苹果酒"),
        ("{name} drank {drink}.", "{name}喝了{drink}。"),
        ("What did {name} drink?", "{name}喝了什么？"),
    ),
    "animal": (
        pairs("camel, giraffe, panda, zebra", "骆驼、长颈鹿、熊猫、斑马"),
        ("{name} saw a {animal}.", "{name}看到了一只{animal}。"),
        ("Which animal did {name} see?", "{name}看到了什么动物？"),
    ),
}
"""Kind of detail -> the details, the sentence that tells one, the question about it."""


def _story(random: Random, language: str) -> Item:
    at = 0 if language == "en" else 1
    name = random.choice(_PEOPLE)[at]
    details = {kind: random.choice(known)[at] for kind, (known, *_) in _DETAILS.items()}
    between = " " if language == "en" else ""
    sentences = [sentence[at] for _, sentence, _ in _DETAILS.values()]
    random.shuffle(sentences)
    story = between.join(sentences).format(name=name, **details)
    skill = random.choice(list(details))
    options = list(details.values())
    random.shuffle(options)
    question = _DETAILS[skill][2][at].format(name=name)
    return Item(
        skill=skill,
        question=story + between + question,
        form="choice",
        answer=details[skill],
        source=story,
        options=tuple(options),
    )


STORIES = Family("stories", "Short stories with a question", _story)


# --- training ------------------------------------------------------------------------------------

_SHOPS = pairs(
    "bakery, pharmacy, library, florist, bookshop, post office, gym",
    "面包店、药店、图书馆、花店、书店、邮局、健身房",
)
_NOTICES = {
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


def _notice(random: Random, language: str) -> Item:
    at = 0 if language == "en" else 1
    skill = random.choice(list(_NOTICES))
    line, ask, reason, (low, high) = _NOTICES[skill]
    shops = [shop[at] for shop in random.sample(_SHOPS, random.choice((3, 4)))]
    values = random.sample(range(low, high + 1), len(shops))
    notice = "\n".join(line[at].format(s, v) for s, v in zip(shops, values, strict=True))
    number = random.randrange(len(shops))
    head = ("NOTICE", "告示")[at]
    return Item(
        skill=skill,
        question=f"{head}\n{notice}\n{ask[at].format(shops[number])}",
        form="number",
        answer=str(values[number]),
        source=notice,
        options=tuple(map(str, values)),
        rationale=reason[at].format(shops[number], values[number]),
    )


NOTICES = Family("notices", "Notices read", _notice, train=True)
