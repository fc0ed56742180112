"""MRC simple: copy the passages of a note that answer a question, or the empty list.

Official (Guo et al. 2025): the first bracketed part of the answer must be a literal of strings. F1
of answering at all, and on hits BLEU-4, ROUGE-1, -2 and -L over jieba words; the mean of the five
is published. Gold pieces are glued together with nothing between.

Corrected keeps these five. The list may be written in any readable way, both sides are joined by
line breaks and cleaned alike, ROUGE counts repeated n-grams (Lin 2004), no n-gram is longer than
the gold text, and the four overlaps are means over all items but the rightly empty ones, so that
answering only the surest questions does not pay.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..extraction import (
    BULLET,
    NONE_WORDS,
    Extraction,
    answer_text,
    extract_text,
    failure_kind,
    is_refusal,
    normalize,
    parse_literal,
)
from ..metrics import text_overlap
from ..schema import Completion, Metric, Record, Sample, Score, Scoring, Services
from ..task import Baselines, Prompt
from . import base, mrc
from .mrc import Figure, outcome, says_no_answer, score_of

_TEXTS = ("bleu", "rouge_1", "rouge_2", "rouge_l")
_PICTURES = re.compile(
    "[\U0001f600-\U0001f64f\U0001f300-\U0001f5ff\U0001f680-\U0001f6ff\U0001f1e0-\U0001f1ff"
    "\U0001f900-\U0001faff\u25a0-\u27bf\u2b00-\u2bff\u200d\ufe0f]+"
)


def row(raw: Mapping[str, Any]) -> Record:
    """A row of Note-MRC-simple: `content` and `query`, and the pieces of `answer`."""
    pieces = raw["answer"]
    if not all(isinstance(piece, str) and piece.strip() for piece in pieces):
        raise ValueError("field 'answer': a list of non-empty strings is expected.")
    return base.row(raw, list(pieces), raw["content"], answer=mrc.amount(len(pieces)))


# --- official ------------------------------------------------------------------------------------


def official_passages(text: str) -> str:
    """The first bracketed part, else all, read as a literal of strings, joined by line breaks.

    Raises:
        ValueError: It is no such literal. The authors execute the text; here it is only read.
    """
    start = text.find("[")
    end = text.find("]", start)
    value = parse_literal(text[start : end + 1] if 0 <= start < end else text)
    if not isinstance(value, list | tuple | set | dict | str) or not all(
        isinstance(piece, str) for piece in value
    ):
        raise ValueError("no list of strings")
    return "\n".join(value).strip()


def _official_overlaps(answer: str, gold: str) -> tuple[float, ...]:
    found, wanted = (
        text_overlap.words(_PICTURES.sub("", text.replace("\n", "").replace("\ufffd", "")))
        for text in (answer, gold)
    )
    rouge = text_overlap.rouge_of_sets(" ".join(found), " ".join(wanted))
    return (text_overlap.bleu(found, wanted), *rouge)


def _official(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
    gold = "".join(sample.target)
    try:
        answer = official_passages(completions[0].text)
    except ValueError:
        reading = Extraction(None, failure_kind(completions[0], sample.language))
        return score_of(0, (0, 0, 0, 0, 1, 0, 0, 0, 0), reading)
    counts = outcome(bool(gold), bool(answer))
    texts = _official_overlaps(answer, gold) if counts[0] else (0.0,) * 4
    value = counts[3] + counts[0] * (1 + sum(texts)) / 5
    return score_of(value, (*counts, 0, *texts), Extraction(answer), answer)


def _official_f1(sums: np.ndarray) -> np.ndarray:
    hit, invented, missed = (sums[..., i] for i in range(3))
    precision, recall = hit / (hit + invented + 1e-4), hit / (hit + missed + 1e-4)
    return 2 * precision * recall / (precision + recall + 1e-4) * mrc.readable(sums)


def _official_text(place: int) -> Figure:
    """Mean over hits (0 without one), times the share of readable answers."""
    return lambda sums: sums[..., 5 + place] / np.maximum(sums[..., 0], 1) * mrc.readable(sums)


# --- corrected -----------------------------------------------------------------------------------

_QUOTED_LIST = re.compile("\\[\\s*[\"'“‘「]")
_BETWEEN = re.compile("[\"'”’」]\\s*[,，、]\\s*[\"'“‘「]")
_EDGES = " \t\r\n,，\"'“”‘’「」"
_QUOTATION = re.compile('["“「]([^"”」\n]{8,})["”」]')


def read_passages(completion: Completion, content: str, language: str = "en") -> Extraction:
    """The passages that an answer quotes, in order; an empty tuple where it says there are none.

    A JSON or Python list; a list with broken quotes, or cut by the token limit, as far as it goes;
    quotations from the note in a sentence; else the whole text as one passage, bullets taken off,
    unless it says in a short sentence that there is no answer (and the note itself does not).
    """
    text = answer_text(completion.text)
    found = mrc.json_lists(text, lambda item: isinstance(item, str))
    if found:
        return Extraction(_kept(_joined(text, found), content))
    start = _QUOTED_LIST.search(text)
    if start:
        body, bracket, rest = text[start.start() :].rpartition("]")
        try:
            value = parse_literal(body + bracket)
        except ValueError:
            value = _BETWEEN.split((body if bracket else rest).lstrip("[ "))
        pieces = [p.strip(_EDGES) for p in value if isinstance(p, str)]
        if any(pieces):
            return Extraction(_kept(pieces, content))
    if says_no_answer(text, content):
        return Extraction(())
    note = normalize(content)
    reading = extract_text(
        completion, language, lambda text: is_refusal(text) and normalize(text) not in note
    )
    if reading.answer is None:
        return reading
    if says_no_answer(reading.answer, content):
        return Extraction(())
    if normalize(reading.answer) not in note:
        quoted = _QUOTATION.findall(reading.answer)
        if quoted and all(normalize(text) in note for text in quoted):
            return Extraction(tuple(quoted))
    passage = _without_bullets(reading.answer, content)
    if any(character.isalnum() for character in passage):
        return Extraction((passage,))
    return Extraction(None, failure_kind(completion, language))


def _joined(text: str, found: list[tuple[int, int, list[Any]]]) -> list[str]:
    """The list that is the answer: the first if the text begins with it, else the last.

    Lists with nothing but space or commas between them are one.
    """
    groups: list[tuple[int, int, list[Any]]] = []
    for start, end, pieces in found:
        if groups and not text[groups[-1][1] : start].strip(" \n\r\t,，"):
            groups[-1] = (groups[-1][0], end, [*groups[-1][2], *pieces])
        else:
            groups.append((start, end, pieces))
    return groups[0 if groups[0][0] == 0 else -1][2]


def _without_bullets(text: str, content: str) -> str:
    """The text without list marks, and a line that leads to the list, that the note lacks."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) > 1 and lines[0].rstrip().endswith((":", "：")) and lines[0] not in content:
        del lines[0]
    return "\n".join(line if line in content else BULLET.sub("", line) for line in lines)


def _kept(pieces: Sequence[str], content: str) -> tuple[str, ...]:
    """The pieces with something in them; () for ["no answer"], unless the note says that."""
    kept = tuple(piece for piece in pieces if piece.strip())
    nothing = len(kept) == 1 and normalize(kept[0]) in NONE_WORDS and kept[0] not in content
    return () if nothing else kept


def _plain(text: str) -> str:
    """The form in which passages are compared: one line, NFKC, no emoji unless all is emoji."""
    text = unicodedata.normalize("NFKC", text.replace("\ufffd", ""))
    return " ".join(_PICTURES.sub(" ", text).split()) or " ".join(text.split())


def _corrected(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
    gold = sample.target
    reading = read_passages(completions[0], sample.fields["content"], sample.language)
    if reading.answer is None:
        return score_of(0, (*outcome(bool(gold), not gold), 0, 0, 0, 0), reading)
    counts = outcome(bool(gold), bool(reading.answer))
    texts: tuple[float, ...] = (0.0,) * 4
    if counts[0]:
        found, wanted = (
            [word for word in text_overlap.words(_plain("\n".join(side))) if not word.isspace()]
            for side in (reading.answer, gold)
        )
        texts = (text_overlap.bleu_of_length(found, wanted), *text_overlap.rouge(found, wanted))
    value = counts[3] + counts[0] * (1 + sum(texts)) / 5
    return score_of(value, (*counts, *texts), reading, list(reading.answer))


def _corrected_text(place: int) -> Figure:
    """Mean over all items but the rightly empty; 100 where there are no others."""

    def figure(sums: np.ndarray) -> np.ndarray:
        total = sums[..., :3].sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            score = 100 * sums[..., 4 + place] / total
        return np.where((total == 0) & (sums[..., 3] > 0), 100.0, score)

    return figure


def _metrics(f1: Figure, text: Callable[[int], Figure]) -> tuple[Metric, ...]:
    texts = [text(i) for i in range(4)]
    return (
        Metric("f1_bleu_rouge", mrc.mean_of([f1, *texts])),
        Metric("f1", f1),
        *(Metric(name, figure) for name, figure in zip(_TEXTS, texts, strict=True)),
    )


# --- the task ------------------------------------------------------------------------------------

_ENGLISH = Prompt(
    """\
You find answers in posts. You get one post and the question of somebody who searched for it.

Copy out of the post, word for word, the sentences or lines that answer the question. Do not \
summarise, do not add anything, and leave out what does not help to answer. Lines that follow \
each other in the post stay together in one piece; pieces from different places are separate. If \
the post does not answer exactly this question (another place, another model, another year), \
there is no answer.

Write only a JSON list of strings: one string for each piece, a line break inside a piece as \\n. \
Write [] if there is no answer.

Example
Post:
Weekend at Lake Orrin 🛶
The ferry runs every 40 minutes until 6 pm. Bring cash, the kiosk takes no cards.
#lakeday
Question: how long does the lake orrin ferry run
Answer: ["The ferry runs every 40 minutes until 6 pm."]
""",
    "Post:\n{content}\n\nQuestion: {query}\nAnswer (a JSON list of pieces of the post, or []):",
)
_CHINESE = Prompt(
    """\
你负责在笔记里找答案。给你一篇笔记和一位用户搜索时提的问题。

请从笔记中逐字摘出能回答问题的句子或段落：不概括、不改写、不添加，与问题无关的内容不要。原文中相连的\
几行放在同一段里，位置不同的内容分成不同的段。
如果笔记没有回答这个问题（地点、型号、年份等对不上），就是没有答案。

只输出一个 JSON 字符串列表，每段一个字符串，段内换行写成 \\n；没有答案就输出 []。

例子
笔记：
周末去了云栖湖🛶
渡船每40分钟一班，最晚到18点。记得带现金，小卖部不能刷卡。
#湖边一日
问题：云栖湖渡船最晚几点
答案：["渡船每40分钟一班，最晚到18点。"]
""",
    "笔记：\n{content}\n\n问题：{query}\n答案（笔记原文片段的 JSON 列表，或 []）：",
)


def _written(pieces: Sequence[str]) -> str:
    return json.dumps(pieces, ensure_ascii=False)


TASK = base.task(
    "mrc_simple",
    "Note-MRC-simple",
    "Reading comprehension: passages that answer a question",
    "content understanding",
    row,
    fields={"content": str, "query": str, "answer": list},
    prompts={"en": _ENGLISH, "zh": _CHINESE},
    max_tokens=768,
    limit=mrc.extract_limit,
    scorings=(
        Scoring(
            "official",
            (*mrc.OUTCOMES, "unreadable", *_TEXTS),
            _official,
            (*_metrics(_official_f1, _official_text), Metric("readable", mrc.readable)),
        ),
        Scoring(
            "corrected",
            (*mrc.OUTCOMES, *_TEXTS),
            _corrected,
            _metrics(mrc.answerability, _corrected_text),
        ),
    ),
    gold=lambda sample: _written(sample.target),
    baselines=Baselines(
        random=lambda sample, random: _written(
            [random.choice(mrc.lines(sample.fields["content"]))]
        ),
        constants=lambda samples: ["[]", '["yes"]'],
        all_candidates=lambda sample: _written([sample.fields["content"]]),
    ),
    reward="metric",
)
