"""Train family: a shopping or packing note as a list of bullets, so and so long."""

from __future__ import annotations

from random import Random

from ..family import Family, Item

_ERRANDS = {
    "en": {
        "camping trip": ("rope", "torch", "blanket", "matches", "map", "whistle"),
        "spring clean": ("broom", "bucket", "sponge", "soap", "gloves", "cloth"),
        "art lesson": ("brush", "crayon", "paper", "glue", "scissors", "apron"),
    },
    "zh": {
        "野营": ("绳子", "手电筒", "毯子", "火柴", "地图", "哨子"),
        "大扫除": ("扫帚", "水桶", "海绵", "肥皂", "手套", "抹布"),
        "美术课": ("画笔", "蜡笔", "画纸", "胶水", "剪刀", "围裙"),
    },
}


def _make(random: Random, language: str) -> Item:
    errand = random.choice(list(_ERRANDS[language]))
    count = random.randint(2, 6)
    things = random.sample(_ERRANDS[language][errand], count)
    wanted = random.choice(things)
    question = (
        f"Packing note for the {errand}: exactly {count} bullets, each starting with a dash. "
        f"Do not forget: {wanted}."
        if language == "en"
        else f"列一张{errand}的备忘单，正好{count}条，每条以短横线-开始。别忘了{wanted}。"
    )
    answer = "\n".join(f"- {thing}" for thing in things)
    return Item(
        language=language,
        skill="bullets",
        question=question,
        form="rules",
        answer=answer,
        source=question,
        rules=(("bullets", count), ("mentions", wanted)),
        rationale=(
            f"{count} bullets are asked for, so I write {count} lines with a dash; "
            f"one of them is {wanted}."
            if language == "en"
            else f"要求{count}条，所以写{count}行，每行以短横线开始，其中一行是{wanted}。"
        ),
    )


BULLETS = Family("bullets", "Bullet lists", _make, train=True)
