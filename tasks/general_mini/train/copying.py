"""Train family: copying a line exactly, or with its letters or brackets changed."""

from __future__ import annotations

from random import Random

from ..family import Family, Item

_PARTS = {
    "en": (
        ("quiet", "golden", "tiny", "frozen", "purple", "lazy"),
        ("river", "teapot", "cloud", "donkey", "piano", "cottage"),
        ("sings", "waits", "dances", "sleeps", "shines", "laughs"),
        ("at noon", "in winter", "after lunch", "by the door", "near the mill", "at dawn"),
    ),
    "zh": (
        ("安静的", "金色的", "小小的", "结冰的", "紫色的", "懒懒的"),
        ("河流", "茶壶", "云朵", "毛驴", "钢琴", "小屋"),
        ("在唱歌", "在等待", "在跳舞", "在睡觉", "在发光", "在大笑"),
        ("，正午时分", "，冬天里", "，午饭以后", "，就在门边", "，磨坊附近", "，天亮时分"),
    ),
}
_DEMANDS = {
    "en": {
        "copy": "Repeat after me, letter by letter.\n{}",
        "small letters": "Make every letter small.\n{}",
        "brackets": "Wrap the following in square brackets.\n{}",
    },
    "zh": {
        "copy": "请一字不差地跟我念：\n{}",
        "brackets": "请给下面的话套上方括号[]：\n{}",
    },
}
_WAYS = {
    "copy": ("I write the line down as it is.", "照原样抄写这句话。"),
    "small letters": ("Each capital gets its small form; nothing else changes.", ""),
    "brackets": (
        "An opening bracket, the line, a closing bracket.",
        "先写左括号，再抄原句，最后写右括号。",
    ),
}


def _make(random: Random, language: str) -> Item:
    english = language == "en"
    parts = [random.choice(choices) for choices in _PARTS[language]]
    line = " ".join(["The", *parts]) if english else "".join(parts)
    skill = random.choice(list(_DEMANDS[language]))
    answer = {
        "copy": line,
        "small letters": line.lower(),
        "brackets": f"[{line}]",
    }[skill]
    return Item(
        language=language,
        skill=skill,
        question=_DEMANDS[language][skill].format(line),
        form="verbatim",
        answer=answer,
        source=line,
        options=(line,),
        rationale=_WAYS[skill][0 if english else 1],
    )


COPYING = Family("copying", "Copying with a change", _make, train=True)
