"""SNS-Bench Gender: will a note set off talk between women and men (Guo et al., ICML 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any

from ..answers import Reading, key
from ..labels import YES_NO, read_label
from ..metrics.choice import accuracy_scoring, is_target
from ..schema import Baselines, Chance, Completion, Prompt, Record, Sample, Settings, Task
from ..sources import JsonReader
from . import official
from .rows import CITATION, DATASET, gold_text, language_or, row


@lru_cache(maxsize=64)
def yes_or_no(text: str) -> str | None:
    """`Yes` or `No` for a gold in English or Chinese, None if it is neither."""
    number = YES_NO.forms.get(key(text))
    return None if number is None else YES_NO.names[number]


def yes_no_row(raw: Mapping[str, Any], source: str) -> Record:
    """A row whose answer is yes or no.

    Raises:
        ValueError: It is something else.
    """
    label = yes_or_no(raw["answer"])
    if label is None:
        raise ValueError(f"field 'answer': Yes or No is expected, not {raw['answer']!r}.")
    return row(raw, raw["answer"], source, label=label)


def read_yes_no(sample: Sample, completion: Completion) -> Reading:
    """Yes or no, in either language."""
    return read_label(completion, YES_NO, sample.language)


def same_answer(sample: Sample, answer: str) -> bool:
    """Whether the answer and the target say the same."""
    return answer == yes_or_no(sample.target)


def coin(sample: Sample, random: Random) -> str:
    """Yes or no by chance."""
    return random.choice(("Yes", "No"))


def yes_and_no(samples: Sequence[Sample]) -> list[str]:
    """The two constant answers."""
    return ["Yes", "No"]


def both(sample: Sample) -> str:
    """The sheet that lists both answers."""
    return language_or(sample, "Yes, No", "是，否")


def _row(raw: Mapping[str, Any]) -> Record:
    return yes_no_row(raw, raw["content"])


TASK = Task(
    name="sns_bench/gender",
    title="Gender",
    category="gender",
    capability="user behaviour modelling",
    language="en",
    version=1,
    dataset=DATASET,
    read=JsonReader("sns-bench/Note-Gender.json", {"content": str, "answer": str}, _row),
    prompts={
        "en": Prompt(
            "You predict how people discuss the posts of a social network. Is the post likely to "
            "make women and men talk about matters between them? Such matters are: love, dating, "
            "break-ups; marriage, weddings, in-laws, divorce; pregnancy, birth, bringing up "
            "children; sexuality, harassment, violence; what is expected of women or of men, and "
            "unequal treatment at work, in sport or at home. Reply with Yes or No only.\n\n"
            "Example\nPost: He wants me to quit my job after the wedding. Am I wrong to be angry?\n"
            "Answer: Yes\n\nExample\nPost: Three screws left over after building the shelf\n"
            "Answer: No",
            "Post: {content}\nAnswer:",
        ),
        "zh": Prompt(
            "你负责预测社交平台笔记会引发怎样的讨论。这篇笔记是否容易引起男女双方关于两性话题的讨论？"
            "两性话题包括：恋爱、约会、分手；婚姻、婚礼、婆媳、离婚；怀孕、生育、育儿；性、性骚扰、暴力；"
            "对男性或女性的刻板期待，以及职场、运动、家庭中的不平等。只回复“是”或“否”。\n\n"
            "示例\n笔记：他要我婚后辞职，我生气有错吗？\n回答：是\n\n"
            "示例\n笔记：书架装好了，多出来三颗螺丝\n回答：否",
            "笔记：{content}\n回答：",
        ),
    },
    prompt_key="Note-Gender",
    settings=Settings(max_tokens=16),
    scorings={
        "corrected": accuracy_scoring("corrected", read_yes_no, same_answer),
        "official": accuracy_scoring("official", official.read_yes_no, is_target),
    },
    gold=gold_text,
    baselines=Baselines(coin, yes_and_no, both),
    chance=Chance(50.78, 0.51),
    reward="exact",
    citation=CITATION,
)
