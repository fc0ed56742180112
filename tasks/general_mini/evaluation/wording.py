"""A few words about something, one word that they must have, and one more rule for the wording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    ("the weather", "sunshine", "天气", "阳光"),
    ("a long journey", "suitcase", "长途旅行", "行李箱"),
)  # fmt: skip
"""English topic and word, Chinese topic and word."""


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
    topic, word = row[:2] if language == "en" else row[2:]
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
