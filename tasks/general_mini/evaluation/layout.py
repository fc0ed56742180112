"""Answers in a layout: a numbered list, lines, a JSON object, parts with a separator."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from ..family import Family, Item

GROUPS = (
    (
        "fruits",
        "水果",
        ("banana", "apple", "mango", "pear", "grape"),
        ("香蕉", "苹果", "芒果", "梨", "葡萄"),
    ),
    (
        "colours",
        "颜色",
        ("red", "green", "white", "blue", "black"),
        ("红色", "绿色", "白色", "蓝色", "黑色"),
    ),
    (
        "pets",
        "宠物",
        ("cat", "dog", "hamster", "parrot", "goldfish"),
        ("猫", "狗", "仓鼠", "鹦鹉", "金鱼"),
    ),
    (
        "sports",
        "运动",
        ("tennis", "rugby", "judo", "golf", "boxing"),
        ("网球", "橄榄球", "柔道", "高尔夫", "拳击"),
    ),
    (
        "drinks",
        "饮料",
        ("tea", "coffee", "juice", "water", "cola"),
        ("茶", "咖啡", "果汁", "水", "可乐"),
    ),
    (
        "vegetables",
        "蔬菜",
        ("carrot", "onion", "spinach", "cabbage", "potato"),
        ("胡萝卜", "洋葱", "菠菜", "卷心菜", "土豆"),
    ),
    (
        "rooms",
        "房间",
        ("kitchen", "bedroom", "bathroom", "garage", "attic"),
        ("厨房", "卧室", "浴室", "车库", "阁楼"),
    ),
)
"""A kind of things and some of them, in English and in Chinese."""
_KEYS = {
    "en": (("name", "price"), ("title", "reason"), ("word", "meaning")),
    "zh": (("名称", "价格"), ("标题", "理由"), ("词语", "意思")),
}
_SEPARATORS = (";", "|", "/")

Made = tuple[str, list[tuple[str, Any]], str]
"""Question, rules, an answer."""


def _group(random: Random, language: str) -> tuple[str, list[str]]:
    at = 0 if language == "en" else 1
    kind = random.choice(GROUPS)
    members = list((kind[2], kind[3])[at])
    random.shuffle(members)
    return (kind[0], kind[1])[at], members


def _numbered(random: Random, language: str) -> Made:
    count = random.choice((3, 4, 5))
    group, members = _group(random, language)
    ask = (
        f"Make a numbered list of {count} {group}. Number 1 must be {members[0]}."
        if language == "en"
        else f"写一个编号列表，列出{count}种{group}，第1个必须是{members[0]}。"
    )
    answer = "\n".join(f"{n}. {m}" for n, m in enumerate(members[:count], 1))
    return ask, [("numbered", count), ("first_line", members[0])], answer


def _lines(random: Random, language: str) -> Made:
    count = random.choice((2, 3))
    group, members = _group(random, language)
    ask = (
        f"Write the names of {count} {group} on {count} lines. Put {members[0]} on the first line."
        if language == "en"
        else f"分{count}行写出{count}种{group}的名称，每行一种，第一行写{members[0]}。"
    )
    return ask, [("line_count", count), ("first_line", members[0])], "\n".join(members[:count])


def _json(random: Random, language: str) -> Made:
    _, members = _group(random, language)
    keys = random.choice(_KEYS[language])
    ask = (
        f'Describe {members[0]} as a JSON object with the keys "{keys[0]}" and "{keys[1]}".'
        if language == "en"
        else f"用一个JSON对象介绍{members[0]}，键为“{keys[0]}”和“{keys[1]}”。"
    )
    answer = json.dumps({keys[0]: members[0], keys[1]: members[0]}, ensure_ascii=False)
    return ask, [("json_keys", list(keys)), ("mentions", members[0])], answer


def _parted(random: Random, language: str) -> Made:
    separator = random.choice(_SEPARATORS)
    group, members = _group(random, language)
    ask = (
        f"Write three {group} on one line with {separator} between them, {members[0]} first."
        if language == "en"
        else f"在一行里写三种{group}，中间用{separator}隔开，{members[0]}放在最前。"
    )
    answer = f" {separator} ".join(members[:3])
    return ask, [("parted", [separator, 3]), ("first_line", members[0])], answer


SKILLS: Mapping[str, Callable[[Random, str], Made]] = {
    "numbered list": _numbered,
    "lines": _lines,
    "json": _json,
    "separator": _parted,
}


def _make(random: Random, language: str) -> Item:
    skill = random.choice(list(SKILLS))
    question, rules, answer = SKILLS[skill](random, language)
    return Item(
        language=language,
        skill=skill,
        question=question,
        form="rules",
        answer=answer,
        source=question,
        rules=tuple(rules),
    )


LAYOUT = Family("layout", "Layout instructions", _make)
