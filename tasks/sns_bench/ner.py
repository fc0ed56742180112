"""SNS-Bench NER: all entities of one type in a product title or note (Guo et al., ICML 2025)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..extraction import normalize
from ..metrics.classification import set_scoring
from ..schema import Record, Sample
from ..task import Baselines, Prompt
from . import base

_TYPE = re.compile(r"['‘“\"「]([^'’”\"」]+)")


def _row(raw: Mapping[str, Any]) -> Record:
    found = _TYPE.search(raw["question"])
    entity = found[1].partition("(")[0].strip().lower() if found else "other"
    return base.row(raw, base.pieces(raw["answer"]), raw["content"], entity=entity)


def _words(sample: Sample) -> list[str]:
    return list(dict.fromkeys(re.findall(r"[^\s,，、]+", sample.fields["content"]))) or ["none"]


TASK = base.task(
    "ner",
    "Note-NER",
    "NER",
    "information extraction",
    _row,
    fields={"question": str, "content": str, "answer": str},
    prompts={
        "en": Prompt(
            "You find entities in the texts of a shopping and social network. You get a text and a "
            "question that names a type of entity. Reply with all entities of that type, copied "
            "from the text letter by letter, with commas between them, and nothing else. If there "
            "is none, reply with [].\n\n"
            "Example\nText: Linen trousers wide leg tall men, beach wedding summer, sand or olive\n"
            "Question: Please find all 'color' entities\nEntities: sand, olive",
            "Text: {content}\nQuestion: {question}\nEntities:",
        ),
        "zh": Prompt(
            "你负责从购物社交平台的文本中找出实体。你会看到一段文本和一个指明实体类型的问题。请回复该类型的所有实体，"
            "逐字照抄原文，用逗号分隔，不要输出其他内容；如果没有，回复 []。\n\n"
            "示例\n文本：阔腿亚麻长裤高个子男士夏季海边婚礼，沙色或橄榄色\n"
            "问题：请找出所有“颜色”实体\n实体：沙色, 橄榄色",
            "文本：{content}\n问题：{question}\n实体：",
        ),
    },
    max_tokens=96,
    scorings=(
        set_scoring("corrected", base.read_spans, base.target_of, normalize),
        base.OFFICIAL_SETS,
    ),
    gold=base.gold_list,
    baselines=Baselines(
        random=lambda sample, random: random.choice(_words(sample)),
        constants=base.frequent_sets,
        all_candidates=lambda sample: ", ".join(_words(sample)),
    ),
    reward="metric",
)
