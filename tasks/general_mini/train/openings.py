"""Train family: a reply that must begin in a given way, and one more rule for it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from ..family import Family, Item

_STARTS = {
    "en": (
        *("Honestly", "Dear neighbour", "Good news", "Last summer", "If you ask me"),
        *("Believe it or not", "To be fair", "Last week"),
    ),
    "zh": (
        *("说实话", "亲爱的邻居", "好消息", "去年夏天", "依我看"),
        *("信不信由你", "平心而论", "上个星期"),
    ),
}
_SUBJECTS = {
    "en": (
        *("my new shoes", "an old clock", "loud music", "a lost key", "the local market hall"),
        *("my first flat", "a strange dream", "the noisy lift", "our garden gnome"),
        *("a broken chair", "the village choir", "cheap sunglasses"),
    ),
    "zh": (
        *("我的新鞋", "一座旧钟", "吵闹的音乐", "丢失的钥匙", "本地的菜场"),
        *("第一套公寓", "奇怪的梦", "吵人的电梯", "花园小矮人"),
        *("坏掉的椅子", "村里的合唱团", "便宜的墨镜"),
    ),
}
_BODIES = {
    "en": ("{1} always surprised me", "nothing beats {1}", "{1} makes people smile"),
    "zh": ("{1}总让我惊喜", "没有什么比得上{1}", "{1}让人开心"),
}

Rule = tuple[str, tuple[str, Any], str, str]
"""What is asked, the checker with its argument, the answer, why it follows the rule."""


def _rules(language: str, text: str, subject: str) -> Sequence[Rule]:
    if language == "en":
        return (
            ("Small letters throughout.", ("lower_case", None), text.lower(), "no capital is used"),
            (
                "Reach seven words or more.",
                ("least_words", 7),
                f"{text} and my friends as well.",
                "it has seven words or more",
            ),
            ("Sign as Jo.", ("ends_with", "Jo"), f"{text}. Jo", "the name Jo comes last"),
        )
    return (
        (
            "写满十五个字以上。",
            ("least_words", 15),
            f"{text}，我的朋友们也都这样说。",
            "字数超过了十五个",
        ),
        ("末尾署名小周。", ("ends_with", "小周"), f"{text}。小周", "末尾有署名小周"),
    )


def _make(random: Random, language: str) -> Item:
    start, subject = random.choice(_STARTS[language]), random.choice(_SUBJECTS[language])
    body = random.choice(_BODIES[language]).format("", subject)
    text = f"{start}, {body}" if language == "en" else f"{start}，{body}"
    ask, rule, answer, reason = random.choice(_rules(language, text, subject))
    question = (
        f"Reply to a friend. Topic: {subject}. Open with: {start}. {ask}"
        if language == "en"
        else f"给朋友回个话，话题：{subject}。开头用：{start}。{ask}"
    )
    return Item(
        language=language,
        skill=rule[0],
        question=question,
        form="rules",
        answer=answer,
        source=question,
        rules=(("starts_with", start), rule),
        rationale=(
            f"The reply opens with {start}, and {reason}."
            if language == "en"
            else f"回复以“{start}”开头，并且{reason}。"
        ),
    )


OPENINGS = Family("openings", "Openings", _make, train=True)
