"""A few words about something, one word that they must have, and one more rule for the wording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from ..family import Family, Item

TOPICS = (
    ("the sea", ("boat", "waves", "captain"), "大海", ("小船", "海浪", "船长")),
    ("a birthday", ("cake", "presents", "balloons"), "生日", ("蛋糕", "礼物", "气球")),
    ("winter", ("snow", "gloves", "skiing"), "冬天", ("下雪", "手套", "滑雪")),
    ("a school", ("pupils", "homework", "classroom"), "学校", ("学生", "作业", "教室")),
    ("a farm", ("cows", "tractor", "wheat"), "农场", ("奶牛", "拖拉机", "小麦")),
    ("a hospital", ("doctor", "nurse", "patient"), "医院", ("医生", "护士", "病人")),
    ("the night", ("stars", "moon", "dreams"), "夜晚", ("星星", "月亮", "做梦")),
    ("a holiday", ("hotel", "luggage", "sightseeing"), "假期", ("酒店", "行李", "观光")),
    ("a football match", ("goal", "referee", "fans"), "足球比赛", ("进球", "裁判", "球迷")),
    ("a forest", ("trees", "mushrooms", "deer"), "森林", ("大树", "蘑菇", "小鹿")),
    ("breakfast", ("bread", "butter", "eggs"), "早餐", ("面包", "黄油", "鸡蛋")),
    ("a wedding", ("dress", "bride", "dancing"), "婚礼", ("婚纱", "新娘", "舞会")),
    ("the weather", ("sunshine", "clouds", "storm"), "天气", ("阳光", "乌云", "暴风雨")),
    ("a long journey", ("suitcase", "passport", "luck"), "长途旅行", ("箱子", "护照", "好运")),
)
"""English topic and words, Chinese topic and words."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One more rule.

    Attributes:
        ask: The sentence that states it; "" where `what` does.
        rule: The checker and its argument.
        example: A text about the word that follows the rule.
        what: What is to be written.
    """

    ask: str
    rule: tuple[str, Any]
    example: str
    what: str = ""


def _capitals(random: Random, language: str, word: str) -> Demand:
    return Demand("Use capital letters only.", ("upper_case", None), f"I LOVE THE {word.upper()}.")


def _quotes(random: Random, language: str, word: str) -> Demand:
    rule = ("quoted", None)
    if language == "en":
        return Demand("Put it between double quotation marks.", rule, f'"I like the {word}."')
    return Demand("整句话放在双引号里。", rule, f"“我喜欢{word}。”")


def _exclaims(random: Random, language: str, word: str) -> Demand:
    rule = ("ends_with_mark", "!")
    if language == "en":
        return Demand("End with an exclamation mark.", rule, f"I like the {word}!")
    return Demand("用感叹号结尾。", rule, f"我喜欢{word}！")


def _short(random: Random, language: str, word: str) -> Demand:
    if language == "en":
        count = random.choice((11, 13, 15))
        ask = f"Use no more than {count} words."
        return Demand(ask, ("most_words", count), f"I like the {word}.")
    count = random.choice((8, 10, 12))
    return Demand(f"不超过{count}个字。", ("most_words", count), f"我喜欢{word}。")


def _without(random: Random, language: str, word: str) -> Demand:
    if language == "en":
        banned = random.choice(("and", "can", "is", "but", "very"))
        ask = f'Do not use the word "{banned}".'
        return Demand(ask, ("avoids", banned), f"I like the {word}.")
    banned = random.choice("的了是")
    return Demand(f"不能出现“{banned}”字。", ("avoids", banned), f"我喜欢{word}。")


def _sentences(random: Random, language: str, word: str) -> Demand:
    # The question itself must not have as many sentences as it asks for.
    if random.random() < 0.5:
        rule = ("sentences", 2)
        if language == "en":
            return Demand("", rule, f"I like the {word}. So do you.", "Write two sentences")
        return Demand("", rule, f"我喜欢{word}。你也喜欢。", "写两句话")
    rule = ("sentences", 1)
    if language == "en":
        return Demand("Give one sentence only.", rule, f"I like the {word}.", "Tell me")
    return Demand("只说一句话。", rule, f"我喜欢{word}。", "说说看")


def _question(random: Random, language: str, word: str) -> Demand:
    if language == "en":
        return Demand("", ("ends_with_mark", "?"), f"Do you like the {word}?", "Ask a question")
    return Demand("", ("ends_with_mark", "?"), f"你喜欢{word}吗？", "提一个问题")


SKILLS: Mapping[str, Callable[[Random, str, str], Demand]] = {
    "capitals": _capitals,
    "quotation marks": _quotes,
    "exclamation": _exclaims,
    "at most": _short,
    "forbidden": _without,
    "sentences": _sentences,
    "question": _question,
}
ENGLISH_ONLY = ("capitals",)
"""Chinese has no capitals."""

_ASKS = {
    "en": ("Write a sentence", '{} about {} with the word "{}" in it.'),
    "zh": ("写一句话", "{}，谈谈{}，要用到“{}”这个词。"),
}


def _make(random: Random, language: str) -> Item:
    skill = random.choice([s for s in SKILLS if language == "en" or s not in ENGLISH_ONLY])
    row = random.choice(TOPICS)
    topic, choices = row[:2] if language == "en" else row[2:]
    word = random.choice(choices)
    demand = SKILLS[skill](random, language, word)
    what, ask = _ASKS[language]
    question = ask.format(demand.what or what, topic, word)
    if demand.ask:
        question += (" " if language == "en" else "") + demand.ask
    return Item(
        language=language,
        skill=skill,
        question=question,
        form="rules",
        answer=demand.example,
        source=question,
        rules=(("mentions", word), demand.rule),
    )


WORDING = Family("wording", "Wording instructions", _make)
