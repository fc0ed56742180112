"""SNS-Bench QueryCorr: how a note answers a search query (Guo et al., ICML 2025).

*explain* asks whether the note answers a question (accuracy), *topic* for one of five levels of
relevance (macro F1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..extract_label import RELEVANCE_LEVELS, extract_label
from ..extraction import Extraction
from ..metrics.classification import MACRO_F1, columns, counts, label_scoring
from ..schema import Completion, Metric, Record, Sample, Score, Scoring, Services
from ..task import Baselines, Prompt
from .base import row, task, yes_no_task

EXPLAIN = yes_no_task(
    "query_corr_explain",
    "Note-QueryCorr-explain",
    "QueryCorr (does it answer)",
    "semantic matching",
    texts=("sentence1", "sentence2"),
    prompts={
        "en": Prompt(
            "You judge search results. You get a question and a post. Does the post contain an "
            "answer to the question? A post that is only about the same subject does not count. "
            "Reply with Yes or No only.\n\n"
            "Example\nQuestion: Can a cactus live in the bathroom?\n"
            "Post: Two years next to the shower, and my cactus keeps growing\nAnswer: Yes\n\n"
            "Example\nQuestion: How often do I water a cactus?\n"
            "Post: My cactus in its new pot, what a beauty\nAnswer: No",
            "Question: {sentence1}\nPost: {sentence2}\nAnswer:",
        ),
        "zh": Prompt(
            "你负责评判搜索结果。你会看到一个问题和一篇笔记。这篇笔记里有这个问题的答案吗？只是题材相近的不算。"
            "只回复“是”或“否”。\n\n"
            "示例\n问题：仙人掌能放在浴室里养吗？\n笔记：放在淋浴旁边两年了，我的仙人掌还在长\n回答：是\n\n"
            "示例\n问题：仙人掌多久浇一次水？\n笔记：给仙人掌换了新盆，真好看\n回答：否",
            "问题：{sentence1}\n笔记：{sentence2}\n回答：",
        ),
    },
)

# --- topic -------------------------------------------------------------------------------------

NAMES = RELEVANCE_LEVELS.names
_OFFICIAL_LEVEL = re.compile(r"-1|[0123]")
_NOTE = re.compile(r"(?:\bnotes?|笔记)\s*[:：]\s*(.*?)[\s`]*$", re.I | re.S)


def _topic_row(raw: Mapping[str, Any]) -> Record:
    if raw["answer"] not in NAMES:
        raise ValueError(f"field 'answer': one of {NAMES} is expected, not {raw['answer']!r}.")
    note = _NOTE.search(raw["content"])
    return row(raw, raw["answer"], note[1] if note else raw["content"], label=raw["answer"])


def _read_level(sample: Sample, completion: Completion) -> Extraction:
    return extract_label(completion, RELEVANCE_LEVELS, sample.language)


def _official(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
    found = _OFFICIAL_LEVEL.search(completions[0].text)
    if not found:
        return Score(0.0, (*counts(NAMES, None, ""), 0.0, 1.0), None, "format")
    right = found[0] == sample.target
    stats = (*counts(NAMES, found[0], sample.target), 1.0, 1.0)
    return Score(float(right), stats, found[0], None if right else "wrong")


def official_macro_f1(sums: np.ndarray) -> np.ndarray:
    """The authors' figure: mean F1 of the five levels times the share of readable answers.

    Precision, recall and F1 are on a 0-100 scale with 0.00001 in each denominator. Sums are
    [..., (hit, predicted, gold) of each level, read, count].
    """
    sums = np.asarray(sums, dtype=np.float64)
    parts = sums[..., :-2].reshape(*sums.shape[:-1], len(NAMES), 3)
    precision = 100 * parts[..., 0] / (parts[..., 1] + 1e-5)
    recall = 100 * parts[..., 0] / (parts[..., 2] + 1e-5)
    f1 = 2 * precision * recall / (precision + recall + 1e-5)
    with np.errstate(divide="ignore", invalid="ignore"):
        return f1.mean(axis=-1) * sums[..., -2] / sums[..., -1]


TOPIC = task(
    "query_corr_topic",
    "Note-QueryCorr-topic",
    "QueryCorr (level of relevance)",
    "semantic matching",
    _topic_row,
    fields={"content": str, "answer": str},
    prompts={
        "en": Prompt(
            "You judge search results. You get a query and a post. How well does the post serve "
            "somebody who searched for this? Reply with one level only, a number:\n"
            "3: it serves the main need, and all or nearly all of it is about the query\n"
            "2: it serves the main need in a part of it, or a lesser need\n"
            "1: a small part (under a tenth) helps, or the query is only mentioned\n"
            "0: it does not help, though words or subject are related\n"
            "-1: it has nothing to do with the query\n\n"
            "Example\nQuery: how to repot a cactus\nNote: Repotting my cactus, step by step\n"
            "Level: 3\n\n"
            "Example\nQuery: how to repot a cactus\nNote: My ten favourite songs this week\n"
            "Level: -1",
            "{content}\nLevel:",
        ),
        "zh": Prompt(
            "你负责评判搜索结果。你会看到一个搜索词和一篇笔记。对搜索的人来说，这篇笔记有多大用处？只回复一个等级数字：\n"
            "3：满足主要需求，全部或几乎全部内容与搜索词相关\n2：部分内容满足主要需求，或满足次要需求\n"
            "1：只有一小部分（不到一成）有用，或仅仅提到\n0：没有帮助，但用词或题材有关联\n-1：与搜索词毫无关系\n\n"
            "示例\n搜索词：仙人掌怎么换盆\n笔记：仙人掌换盆全过程，一步步教你\n等级：3\n\n"
            "示例\n搜索词：仙人掌怎么换盆\n笔记：本周我最爱的十首歌\n等级：-1",
            "{content}\n等级：",
        ),
    },
    max_tokens=16,
    scorings=(
        label_scoring("corrected", NAMES, _read_level, [MACRO_F1]),
        Scoring(
            "official",
            (*columns(NAMES), "read", "count"),
            _official,
            (Metric("success_macro_f1", official_macro_f1),),
        ),
    ),
    baselines=Baselines(
        random=lambda sample, random: random.choice(NAMES),
        constants=lambda samples: NAMES,
        all_candidates=lambda sample: ", ".join(NAMES),
    ),
)
