"""A sentence about something, with a word that it must have and one more rule for its wording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from ..family import Family, Item

TOPICS = (
    ("the sea", "boat", "大海", "小船"), ("a birthday", "cake", "生日", "蛋糕"),
    ("winter", "snow", "冬天", "下雪"), ("a school", "pupils", "学校", "学生"),
    ("a farm", "cows", "农场", "奶牛"), ("a hospital", "doctor", "医院", "医生"),
    ("the night", "stars", "夜晚", "星星"), ("a holiday", "hotel", "假期", "酒店"),
    ("a football match", "goal", "足球比赛", "进球"), ("a forest", "trees", "森林", "大树"),
    ("breakfast", "bread", "早餐", "面包"), ("a wedding", "dress", "婚礼", "婚纱"),
    ("the weather", "sunshine", "天气", "阳光"), ("a long journey", "suitcase", "长途旅行", "行李箱"),
)  # fmt: skip
"""English topic and word, Chinese topic and word."""

_CLOSINGS = (("every single day", "每天如此"), ("at long last", "终于好了"), ("once again", "再来一次"))

Rule = tuple[str, str, Any, str]
"""What is asked, the checker and its argument, and a text about the word that follows it."""


def _capitals(random: Random, language: str, word: str) -> Rule:
    if language == "zh":  # there are no capitals
        return _exclaims(random, language, word)
    ask = "Use capital letters only."
    return ask, "upper_case", None, f"I LOVE THE {word.upper()}."


def _exclaims(random: Random, language: str, word: str) -> Rule:
    if language == "en":
        ask = "Put the whole answer between double quotation marks."
        return ask, "quoted", None, f'"I like the {word}."'
    return "整个回答放在双引号里。", "quoted", None, f"“我喜欢{word}。”"


def _ends(random: Random, language: str, word: str) -> Rule:
    closing = random.choice(_CLOSINGS)[0 if language == "en" else 1]
    if language == "en":
        ask = f"The last words must be: {closing}."
        return ask, "ends_with", closing, f"I think of the {word} {closing}."
    return f"最后几个字必须是：{closing}。", "ends_with", closing, f"我想着{word}，{closing}。"


def _short(random: Random, language: str, word: str) -> Rule:
    if language == "en":
        count = random.choice((6, 8, 10))
        ask = f"Use no more than {count} words."
        return ask, "most_words", count, f"I like the {word}."
    count = random.choice((10, 12, 15))
    return f"不超过{count}个字。", "most_words", count, f"我喜欢{word}。"


def _without(random: Random, language: str, word: str) -> Rule:
    if language == "en":
        banned = random.choice(("the", "and", "is"))
        ask = f'Never use the word "{banned}".'
        return ask, "avoids", banned, f"My {word} can wait."
    banned = random.choice("的了是")
    return f"不能出现“{banned}”字。", "avoids", banned, f"我喜欢{word}。"


SKILLS: Mapping[str, Callable[[Random, str, str], Rule]] = {
    "capitals": _capitals,
    "quotation marks": _exclaims,
    "ending": _ends,
    "at most": _short,
    "forbidden": _without,
}

_ASKS = {
    "en": 'Write one sentence about {} with the word "{}" in it. {}',
    "zh": "写一句关于{}的话，其中要有“{}”这个词。{}",
}


def _make(random: Random, language: str) -> Item:
    skill = random.choice(list(SKILLS))
    row = random.choice(TOPICS)
    topic, word = row[:2] if language == "en" else row[2:]
    ask, rule, argument, example = SKILLS[skill](random, language, word)
    return Item(
        language=language,
        skill=skill,
        question=_ASKS[language].format(topic, word, ask),
        form="rules",
        answer=example,
        source=f"{row[0]}: {ask}",
        rules=(("mentions", word), ("sentences", 1), (rule, argument)),
    )


WORDING = Family("wording", "Wording instructions", _make)
