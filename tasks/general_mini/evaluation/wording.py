"""A few words about something, one word that they must have, and one more rule for the wording."""

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
    ("the weather", "sunshine", "天气", "阳光"),
    ("a long journey", "suitcase", "长途旅行", "行李箱"),
)  # fmt: skip
"""English topic and word, Chinese topic and word."""

_CLOSINGS = (
    ("every single day", "每天如此"),
    ("at long last", "终于好了"),
    ("once again", "再来一次"),
)

Rule = tuple[str, str, Any, str]
"""What is asked, the checker and its argument, and a text about the word that follows it."""


def _capitals(random: Random, language: str, word: str) -> Rule:
    return "Use capital letters only.", "upper_case", None, f"I LOVE THE {word.upper()}."


def _quotes(random: Random, language: str, word: str) -> Rule:
    if language == "en":
        ask = "Put the whole answer between double quotation marks."
        return ask, "quoted", None, f'"I like the {word}."'
    return "整个回答放在双引号里。", "quoted", None, f"“我喜欢{word}。”"


def _ends(random: Random, language: str, word: str) -> Rule:
    closing = random.choice(_CLOSINGS)[0 if language == "en" else 1]
    if language == "en":
        ask = f'Let "{closing}" be the last words.'
        return ask, "ends_with", closing, f"I think of the {word} {closing}."
    return f"用“{closing}”这几个字结尾。", "ends_with", closing, f"我想着{word}，{closing}。"


def _short(random: Random, language: str, word: str) -> Rule:
    if language == "en":
        count = random.choice((9, 11, 13))
        ask = f"Use no more than {count} words."
        return ask, "most_words", count, f"I like the {word}."
    count = random.choice((8, 10, 12))
    return f"不超过{count}个字。", "most_words", count, f"我喜欢{word}。"


def _without(random: Random, language: str, word: str) -> Rule:
    if language == "en":
        banned = random.choice(("and", "can", "with", "but", "very"))
        ask = f'Do not use the word "{banned}".'
        return ask, "avoids", banned, f"My {word} can wait."
    banned = random.choice("的了是")
    return f"不能出现“{banned}”字。", "avoids", banned, f"我喜欢{word}。"


def _sentences(random: Random, language: str, word: str) -> Rule:
    count = random.choice((1, 3))
    if language == "en":
        ask = "Give exactly one sentence." if count == 1 else "Give exactly three sentences."
        return ask, "sentences", count, " ".join([f"I like the {word}."] * count)
    ask = f"只写{'一' if count == 1 else '三'}句话。"
    return ask, "sentences", count, f"我喜欢{word}。" * count


SKILLS: Mapping[str, Callable[[Random, str, str], Rule]] = {
    "capitals": _capitals,
    "quotation marks": _quotes,
    "ending": _ends,
    "at most": _short,
    "forbidden": _without,
    "sentences": _sentences,
}
ENGLISH_ONLY = ("capitals",)
"""Chinese has no capitals."""

_ASKS = {
    "en": 'Write about {} and mention the word "{}". {}',
    "zh": "写一写{}，要提到“{}”这个词。{}",
}


def _make(random: Random, language: str) -> Item:
    skill = random.choice([s for s in SKILLS if language == "en" or s not in ENGLISH_ONLY])
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
        rules=(("mentions", word), (rule, argument)),
    )


WORDING = Family("wording", "Wording instructions", _make)
