"""Train family: to which kind an animal belongs."""

from __future__ import annotations

from random import Random

from ..family import Family, Item

KINDS = {
    "bird": ("鸟类", "feathers and a beak", "有羽毛和喙"),
    "fish": ("鱼类", "gills and fins", "有鳃和鳍"),
    "insect": ("昆虫", "six legs", "有六条腿"),
    "mammal": ("哺乳动物", "fur or hair and feeds its young with milk", "有毛发，用乳汁哺育幼崽"),
    "reptile": ("爬行动物", "dry scales and lays eggs on land", "有干燥的鳞片，在陆地上产卵"),
}
"""English kind -> Chinese kind, how to tell it in English, in Chinese."""

MEMBERS = {
    "bird": (
        ("sparrow", "麻雀"),
        ("owl", "猫头鹰"),
        ("eagle", "鹰"),
        ("penguin", "企鹅"),
        ("swan", "天鹅"),
    ),
    "fish": (
        ("salmon", "三文鱼"),
        ("tuna", "金枪鱼"),
        ("carp", "鲤鱼"),
        ("cod", "鳕鱼"),
        ("trout", "鳟鱼"),
    ),
    "insect": (
        ("ant", "蚂蚁"),
        ("bee", "蜜蜂"),
        ("butterfly", "蝴蝶"),
        ("beetle", "甲虫"),
        ("mosquito", "蚊子"),
    ),
    "mammal": (
        ("horse", "马"),
        ("whale", "鲸"),
        ("rabbit", "兔子"),
        ("elephant", "大象"),
        ("bat", "蝙蝠"),
    ),
    "reptile": (
        ("lizard", "蜥蜴"),
        ("crocodile", "鳄鱼"),
        ("tortoise", "陆龟"),
        ("cobra", "眼镜蛇"),
        ("gecko", "壁虎"),
    ),
}

_OPENINGS = {
    "en": (
        "Biology class: say whether the {} counts as {}.",
        "Label this living thing with its group. Living thing: {}. Groups: {}.",
        "My little sister asks me what sort of animal the {} is. Is it {}?",
        "Zoo sign to fill in. Animal: {}. Group ({}):",
    ),
    "zh": (
        "生物课练习：判断{}属于{}。",
        "给这种动物贴上类别标签。动物：{}。类别：{}。",
        "妹妹问我{}算哪一类动物，是{}？",
        "填写动物园的说明牌。动物：{}。类别（{}）：",
    ),
}


def _make(random: Random, language: str) -> Item:
    english = language == "en"
    kind = random.choice(list(KINDS))
    name = random.choice(MEMBERS[kind])[0 if english else 1]
    others = random.sample([k for k in KINDS if k != kind], random.choice((2, 3)))
    kinds = [kind, *others]
    random.shuffle(kinds)
    options = kinds if english else [KINDS[k][0] for k in kinds]
    joined = (
        " or ".join((", ".join(options[:-1]), options[-1]))
        if english
        else "还是".join(("、".join(options[:-1]), options[-1]))
    )
    answer = kind if english else KINDS[kind][0]
    reason = (
        f"The {name} has {KINDS[kind][1]}. That is what makes a {kind}."
        if english
        else f"{name}{KINDS[kind][2]}，这是{answer}的特征。"
    )
    return Item(
        language=language,
        skill="kind",
        question=random.choice(_OPENINGS[language]).format(name, joined),
        form="choice",
        answer=answer,
        source=f"animal {name}",
        options=tuple(options),
        rationale=reason,
    )


ANIMALS = Family("animals", "Kinds of animals", _make, train=True)
