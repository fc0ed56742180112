"""SNS-Bench CHLW: which words of a comment to highlight for search (Guo et al., ICML 2025).

In most comments none is. The authors run the answer as Python; here only literals are parsed, and
code is a text that cannot be parsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..extraction import Extraction, normalize, parse_literal, parse_python_literal
from ..metrics.classification import COLUMNS, OFFICIAL_READ_F1, SetScorer, set_scoring
from ..schema import Completion, Record, Sample, Scoring
from ..task import Baselines, Prompt
from . import base

_FRAME = re.compile(
    r"^\s*(?:the\s+)?(?:comments?(?:\s+(?:is|are|as follows|below))*|评论(?:如下|内容)?)\s*[:：]\s*"
    r"|\s*(?:possible|candidate|optional)\s+highlight.*|\s*(?:可能的|候选|可选|备选)[^\n]{0,12}(?:词|列表).*",
    re.I | re.S,
)
_OPTIONS = re.compile(r"[:：]\s*\[\s*['\"“](.*?)['\"”]\s*\](?=\s|$)", re.S)
_BETWEEN = re.compile(r"['\"”]\s*[,，]\s*['\"“]")


def _row(raw: Mapping[str, Any]) -> Record:
    try:
        words = parse_literal(raw["answer"])
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
        raise ValueError(f"field 'answer': a list of words is expected, not {raw['answer']!r}.")
    comment = _FRAME.sub("", raw["content"]) or raw["content"]
    return base.row(raw, words, comment, words="some" if words else "none")


@lru_cache(maxsize=1 << 12)
def options(content: str) -> tuple[str, ...]:
    """The words among which the item lets choose; () where it names none."""
    found = _OPTIONS.search(content)
    return tuple(_BETWEEN.split(found[1])) if found else ()


_LIST = re.compile(r"\[[^\[\]]*\]")


def _read_official(sample: Sample, completion: Completion) -> Extraction:
    text = completion.text
    found = _LIST.search(text)
    try:
        words = parse_python_literal(found[0] if found else text)
    except ValueError:
        return Extraction(None, "format")
    ok = isinstance(words, list) and all(isinstance(w, str) for w in words)
    return Extraction(words) if ok else Extraction(None, "format")


def _gold(sample: Sample) -> str:
    return repr(list(sample.target))


TASK = base.task(
    "chlw",
    "Note-CHLW",
    "CHLW (words to highlight)",
    "information extraction",
    _row,
    fields={"content": str, "answer": str},
    prompts={
        "en": Prompt(
            "You choose the words in comments that become links to a search. A good word names a "
            "specific thing that readers would look up: a product, a person, a place, a work, a "
            "problem. Everyday words and small talk are not worth a link, and most comments have "
            "none. Reply with a list of strings only, such as ['Lake Bled'], or [] if there is "
            "none.\n\n"
            "Example\nComment: is that the Nagelmann pour-over kettle? need\nReply: "
            "['Nagelmann pour-over kettle']\n\nExample\nComment: haha same, every single morning\n"
            "Reply: []",
            "{content}",
        ),
        "zh": Prompt(
            "你负责从评论中选出可以变成搜索链接的词。"
            "好的词指明读者会去搜索的具体事物：商品、人物、地点、作品、问题。"
            "日常用语和闲聊不值得加链接，大多数评论里一个也没有。"
            "只回复一个字符串列表，例如 ['布莱德湖']；没有则回复 []。\n\n"
            "示例\n评论：这是那款细口手冲壶吗？求链接\n回复：['细口手冲壶']\n\n"
            "示例\n评论：哈哈一样，每天早上都这样\n回复：[]",
            "{content}",
        ),
    },
    max_tokens=96,
    scorings=(
        set_scoring("corrected", base.read_spans, base.target_of, normalize),
        Scoring(
            "official",
            (*COLUMNS, "read", "count"),
            SetScorer(_read_official, base.target_of, str, leave_out=True),
            (OFFICIAL_READ_F1,),
        ),
    ),
    gold=_gold,
    baselines=Baselines(
        random=lambda sample, random: repr(
            [word for word in options(sample.fields["content"]) if random.random() < 0.5]
        ),
        constants=lambda samples: [
            "[]",
            *base.frequent((_gold(s) for s in samples if s.target), 10),
        ],
        all_candidates=lambda sample: repr(list(options(sample.fields["content"]))),
    ),
    reward="metric",
)
