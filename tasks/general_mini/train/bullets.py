"""Train family: a shopping or packing note as a list of bullets, so and so long."""

from __future__ import annotations

from random import Random

from ..family import Family, Item

_ERRANDS = {
    "en": {
        "camping trip": ["rope", "torch", "blanket", "matches", "map", "whistle", "stove", "mug"],
        "spring clean": ["broom", "bucket", "sponge", "soap", "duster", "cloth", "mop", "brush"],
        "art lesson": ["crayon", "paper", "glue", "scissors", "apron", "easel", "chalk", "pencils"],
        "baby's bag": ["bib", "rattle", "wipes", "bottle", "hat", "socks", "teddy", "spoon"],
        "bike repair": ["pump", "spanner", "oil", "patch", "chain", "bell", "tube", "lamp"],
        "sewing box": ["thread", "button", "zip", "pins", "chalk", "tape", "ribbon", "thimble"],
    },
    "zh": {
        "野营": ["绳子", "手电筒", "毯子", "火柴", "地图", "哨子", "炉子", "杯子"],
        "大扫除": ["扫帚", "水桶", "海绵", "肥皂", "掸子", "抹布", "拖把", "刷子"],
        "美术课": ["蜡笔", "画纸", "胶水", "剪刀", "围裙", "画架", "粉笔", "铅笔"],
        "宝宝出门": ["围兜", "摇铃", "湿巾", "奶瓶", "帽子", "袜子", "小熊", "勺子"],
        "修自行车": ["打气筒", "扳手", "机油", "补丁", "链条", "车铃", "内胎", "车灯"],
        "针线盒": ["棉线", "纽扣", "拉链", "别针", "粉片", "软尺", "丝带", "顶针"],
    },
}


def _make(random: Random, language: str) -> Item:
    errand = random.choice(list(_ERRANDS[language]))
    count = random.randint(2, 7)
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
