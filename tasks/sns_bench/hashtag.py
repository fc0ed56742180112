"""SNS-Bench Hashtag: which of the candidate tags fit a note (Guo et al., ICML 2025).

*single* asks for one of four tags, scored by accuracy; *multiple* for all that fit, scored by
micro F1. A gold may hold `#` or emoji, which models drop: `corrected` compares without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from ..extract_label import candidate_labels, mentioned_labels
from ..extract_list import extract_list
from ..extraction import Extraction, normalize
from ..metrics.classification import set_scoring
from ..schema import Completion, Record, Sample
from ..task import Baselines, Prompt
from . import base
from .base import OFFICIAL_SETS, listed

SINGLE = base.choice_task(
    "hashtag_single",
    "Note-Hashtag-single",
    "Hashtag (one tag)",
    "content understanding",
    lambda raw: base.row(raw, raw["answer"], raw["content"]),
    max_tokens=40,
    prompts={
        "en": Prompt(
            "You tag the posts of a social network. You get a post and a list of candidate tags. "
            "Choose the one tag that fits the post best, and reply with that tag only, spelled as "
            "in the list: no explanation, no other words.\n\n"
            "Example\nPost: Rain all week, so the tent stays in the car and we sleep next to it\n"
            "Candidates: Kitchen Hacks, Camping Fails, Piano Practice, Cat Naps\n"
            "Tag: Camping Fails",
            "Post: {content}\nCandidates: {candidates}\nTag:",
        ),
        "zh": Prompt(
            "你负责为社交平台的笔记选择话题标签。你会看到一篇笔记和一组候选标签，请选出最符合笔记的一个标签，"
            "只回复该标签，写法与候选一致，不要解释，不要输出其他内容。\n\n"
            "示例\n笔记：下了一周的雨，帐篷一直没从后备箱拿出来，我们就睡在车里\n"
            "候选标签：厨房妙招, 露营翻车, 钢琴打卡, 猫咪日常\n标签：露营翻车",
            "笔记：{content}\n候选标签：{candidates}\n标签：",
        ),
    },
)

# --- multiple ----------------------------------------------------------------------------------


def _multiple_row(raw: Mapping[str, Any]) -> Record:
    tags = base.pieces(raw["answer"])
    if not tags:
        raise ValueError("field 'answer': a list of tags between commas is expected, it is empty.")
    number = "1" if len(tags) == 1 else "2-4" if len(tags) < 5 else "5+"
    return base.row(raw, tags, raw["content"], tags=number)


def _read_multiple(sample: Sample, completion: Completion) -> Extraction:
    labels = candidate_labels(listed(sample.fields["candidates"]))
    reading = extract_list(
        completion, sample.language, lambda piece: normalize(piece) in labels.forms
    )
    if reading.answer and not any(normalize(piece) in labels.forms for piece in reading.answer):
        named = mentioned_labels(completion, labels)
        return Extraction(named) if named else reading
    return reading


def _some(sample: Sample, random: Random) -> str:
    tags = listed(sample.fields["candidates"])
    return ", ".join(random.sample(tags, random.randint(1, min(len(tags), 6))))


MULTIPLE = base.task(
    "hashtag_multiple",
    "Note-Hashtag-multiple",
    "Hashtag (all that fit)",
    "content understanding",
    _multiple_row,
    fields={"content": str, "candidates": str, "answer": str},
    prompts={
        "en": Prompt(
            "You tag the posts of a social network. You get a post and a list of candidate tags, "
            "most of which have nothing to do with it. Choose all tags that fit the post, and "
            "reply with these tags only, spelled as in the list, with commas between them: no "
            "explanation, no other words.\n\n"
            "Example\nPost: Rain all week, so the tent stays in the car and we sleep next to it\n"
            "Candidates: Kitchen Hacks, Camping Fails, Piano Practice, Car Camping, Cat Naps\n"
            "Tags: Camping Fails, Car Camping",
            "Post: {content}\nCandidates: {candidates}\nTags:",
        ),
        "zh": Prompt(
            "你负责为社交平台的笔记选择话题标签。你会看到一篇笔记和一组候选标签，其中大部分与笔记无关。请选出所有符合笔记的标签，"
            "只回复这些标签，写法与候选一致，用逗号分隔，不要解释，不要输出其他内容。\n\n"
            "示例\n笔记：下了一周的雨，帐篷一直没从后备箱拿出来，我们就睡在车里\n"
            "候选标签：厨房妙招, 露营翻车, 钢琴打卡, 车中泊, 猫咪日常\n标签：露营翻车, 车中泊",
            "笔记：{content}\n候选标签：{candidates}\n标签：",
        ),
    },
    max_tokens=128,
    scorings=(set_scoring("corrected", _read_multiple, base.target_of, normalize), OFFICIAL_SETS),
    gold=base.gold_list,
    baselines=Baselines(_some, base.frequent_sets, base.all_candidates),
    reward="metric",
)
