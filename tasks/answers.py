"""Reading answers out of what a model wrote: cleaning, literals, free text, failure kinds.

How to use it in a judgement:

* `key(text)` is the form in which two texts are compared: apply it to gold and answer alike.
* `read_text` (here), `read_label` (in `labels`) and `read_list` (in `lists`) take a `Completion`
  and give a `Reading`: `answer` is None exactly when nothing could be read, and `failure` says why.
* A reader of your own gives `Reading(None, unread(completion, language))` where it finds nothing.
* `read_literal` reads Python or JSON literals safely; nothing here ever executes model output.

Every reader takes any text, never raises, and looks at no more than `LIMIT` characters: a longer
text is no answer to these tasks and reads as nothing. `unread` decides the kind of failure in one
place, in this order: no text at all (`empty`, or `truncated` if the token limit was hit), a
refusal, `truncated`, the wrong `language`, else `format`.
"""

from __future__ import annotations

import ast
import json
import re
import unicodedata
import warnings
from functools import lru_cache
from typing import Any, NamedTuple

from .schema import Completion, Failure

LIMIT = 20_000
"""Characters; a longer text is not read."""

DEPTH = 16
"""Nesting of brackets up to which a literal is read."""


class Reading(NamedTuple):
    """What was read out of a text.

    Attributes:
        answer: The answer, None when nothing could be read. An explicit "none" is an empty tuple.
        failure: Why nothing could be read, None when something was.
    """

    answer: Any
    failure: Failure | None = None


# --- the form in which texts are compared -----------------------------------------------------

_DROPPED = "\"'`*“”„‟‘’‚‛′«»「」『』《》〈〉\u00ad\u200b\u200c\u200d\u2060\ufeff\ufe0f\ufffd"
_SPACED = "#_()[]{}<>【】〔〕\\~\t\r\v\f\u3000"
_TABLE: dict[int, str | None] = {
    **dict.fromkeys(map(ord, _DROPPED)),
    **dict.fromkeys(map(ord, _SPACED), " "),
    **dict.fromkeys(map(ord, "−–—‐‑﹣"), "-"),
    # The one letter whose lower case is longer than itself would shift positions.
    ord("İ"): "I",
}
_PICTURES = re.compile(
    "[\U0001f000-\U0001faff\u2190-\u21ff\u2300-\u23ff\u2460-\u27bf\u2b00-\u2bff]+"
)
_PRIVATE = re.compile("[\ue000-\uf8ff]+")
BULLET = re.compile(r"^\s*(?:[-•·▪●○◦+*>]+\s+|[•·▪●○◦]+|\(?\d{1,2}[.):、](?!\d)\s*)+")
_ENDS = " \n.,;:!?…。、，；：！？|/·•"


def folded(text: str) -> str:
    """Text without width, case, quotes, brackets, markdown and emoji; line breaks are kept."""
    if not text.isascii():
        # Some characters become eighteen.
        text = unicodedata.normalize("NFKC", _PRIVATE.sub("", text))[: 2 * LIMIT]
        text = _PICTURES.sub(" ", text)
    return text.translate(_TABLE).lower()


@lru_cache(maxsize=1 << 15)
def key(text: str) -> str:
    """The form in which two answers are compared.

    NFKC; case, quotes, bold, brackets, `#`, emoji, bullets and list numbers gone; spaces squeezed;
    punctuation gone at the ends. A text of nothing else (an emoji label) is compared as it stands.
    """
    plain = BULLET.sub("", " ".join(folded(text).split())).strip(_ENDS)
    return plain or unicodedata.normalize("NFKC", text).strip().lower()


# --- what counts as the answer's own text ------------------------------------------------------

_END = re.compile(r"<\|\w{1,20}\|>|</s>|<end_of_turn>|<eos>|\[/?INST\]|endofresponse")
_NEXT = re.compile(
    r"(?:^|\n)[ \t#*]*(?:(?:input|post|text|passage|question|document|query|comment|user|human"
    r"|candidates?(?: \w{1,12}){0,3}|note (?:title|content)|输入|笔记(?:标题|内容)?|标题|正文"
    r"|文本|问题|文档|查询|搜索词|评论|候选\w{0,6}|用户)\**[ \t]*[:：]"
    r"|### ?(?:instruction|input|user))",
    re.I,
)
_BLANKS = re.compile(r"\s{33,}")
_FENCE = re.compile(r"```[a-zA-Z]{0,12}[ \t]*\n?|```")


def _shortened(blank: re.Match[str]) -> str:
    return "\n\n" if "\n" in blank.group() else " "


def own_text(text: str) -> str:
    """The part of a completion that is the model's answer; "" where it is longer than `LIMIT`.

    Cut at end-of-turn marks and where the model goes on to invent the next question; code fences
    removed; surrounding space stripped, endless runs of space (they make regexes slow) shortened.
    """
    if len(text) > LIMIT:
        return ""
    text = _BLANKS.sub(_shortened, text).strip()
    end = _END.search(text)
    if end and end.start():
        text = text[: end.start()]
    following = _NEXT.search(text)
    # A text that begins with such a label retells its question and is read as a whole.
    if following and following.start():
        text = text[: following.start()]
    return _FENCE.sub("\n", text).strip() if "```" in text else text.strip()


# --- failures ----------------------------------------------------------------------------------

_REFUSAL = re.compile(
    r"\W{0,8}(?:"
    r"(?:(?:sorry|抱歉|对不起)\W{0,8}$)"
    r"|(?:(?:i\s?['’]?m|i am|we are)\s+)?(?:(?:very|so|really|truly|deeply)\s+)?"
    r"(?:sorry|i apologi[sz]e|unfortunately|apologies)\b[\s,.;:!]{0,3}(?:but\s+)?"
    r"(?:as an? \w+|i|we|this|it)\b"
    r"[^.\n]{0,50}?(?:can|unable|not able|won|must|not|against|inappropriate)"
    r"|i\s+(?:can(?:no|['’]?)t|am\s+(?:not\s+able|unable)|won['’]?t|will\s+not|must\s+decline"
    r"|refuse|decline)\b"
    r"|as an? (?:ai|(?:large )?language model|artificial)"
    r"|(?:很|非常|十分|真的)?(?:抱歉|对不起|不好意思)[，,。！!\s]{0,3}(?:但|作为|我|这|该|本|无法|不能)"
    r"|作为(?:一个|一名|一款)?(?:ai|人工智能|大?语言模型|智能助手)"
    r"|我?(?:无法|不能|没办法|不便|拒绝)(?:回答|提供|协助|帮助|处理|完成|判断|满足|给出|讨论|翻译)"
    r")",
    re.I,
)
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_LETTER = re.compile(r"[^\W\d_]")


def refused(text: str) -> bool:
    """Whether the text begins like a refusal, in English or Chinese."""
    return _REFUSAL.match(text[:300]) is not None


def foreign(text: str, language: str) -> bool:
    """Whether a text is mainly in another script than `language` (`en` or `zh`) is written in."""
    text = text[:2_000]
    letters = len(_LETTER.findall(text))
    if letters < 2 or language not in ("en", "zh"):
        return False
    if language == "en":
        return len(_LATIN.findall(text)) * 2 < letters
    # A Chinese character says about as much as three letters of an alphabet.
    return len(_HAN.findall(text)) * 4 < letters and letters > 12


def unread(completion: Completion, language: str) -> Failure:
    """The kind of failure of a completion out of which nothing could be read.

    Args:
        completion: What the model gave back.
        language: ISO 639-1 code of the language that the answer should be in.
    """
    text = completion.text
    cut = completion.finish == "length"
    if not text.strip():
        return "truncated" if cut else "empty"
    if refused(text.lstrip()):
        return "refusal"
    if cut:
        return "truncated"
    return "language" if foreign(text, language) else "format"


# --- literals ----------------------------------------------------------------------------------

_STRINGS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.S)
_OPERATORS = re.compile(r"(?:[-+~*/.]\s*){6}|\bnot\s+not\b|\blambda\b|(?:[-+*/.]\s*\w{1,9}\s*){32}")


def read_literal(text: str) -> Any:
    """A JSON value or Python literal. Never executes; time is linear in the text's length.

    Raises:
        ValueError: The text is no literal, is longer than `LIMIT`, or nests deeper than `DEPTH`.
    """
    try:
        return json.loads(_bounded(text))
    except (ValueError, RecursionError):
        return python_literal(text)


def python_literal(text: str) -> Any:
    """A Python literal, under the same bounds as `read_literal`; JSON's `true` is none.

    Raises:
        ValueError: As for `read_literal`.
    """
    text = _bounded(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a text is no concern of the user's
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError("no literal") from error


def _bounded(text: str) -> str:
    """The text, if parsing it cannot exhaust the stack: strings apart, it is short and flat."""
    text = text.strip()
    if not text or len(text) > LIMIT:
        raise ValueError("no literal: empty, or too long")
    plain = _STRINGS.sub("", text)
    depth = deepest = 0
    for mark in re.findall(r"[\[({\])}]", plain):
        depth += 1 if mark in "[({" else -1
        deepest = max(deepest, depth)
    if deepest > DEPTH or _OPERATORS.search(plain):
        raise ValueError("no literal: nested too deep")
    return text


# --- "there is none" ---------------------------------------------------------------------------

NOTHING = frozenset(
    {
        *("no", "none", "nothing", "null", "nil", "n/a", "na"),
        *("empty", "empty list", "an empty list", "unanswerable", "not mentioned", "not stated"),
        *("no answer", "no entities", "no entity", "no words", "no tags", "no highlights"),
        *("no highlight words", "none of them", "none of the above", "not applicable"),
        *("none found", "not found", "no match", "no matches", "there are none", "there is none"),
        *("无", "没有", "空", "空列表", "暂无", "未找到", "无答案", "没有答案", "无实体"),
        *("无相关实体", "没有合适的", "都不合适", "无合适", "不适用", "无合适的词"),
    }
)
"""Keys of the texts that say "the list is empty"."""


# --- free text ---------------------------------------------------------------------------------

_LABEL = re.compile(
    r"^\W{0,4}(?:(?:sure|certainly|of course|okay|好的|当然)\b[^\n\w]{1,3})?"
    r"(?:here(?:['’]?s| is| are)\b[^\n:：]{0,40}\b(?:translation|version|query|answer)\b"
    r"[^\n:：]{0,30}"
    r"|(?:(?:a|the) )?(?:reader|user)s?\b[^\n:：]{0,30}\bsearch\b[^\n:：]{0,10}"
    r"|(?:final |my |the |next |suggested |translated )?(?:answer|translation|text|output|result"
    r"|query|search(?: (?:term|query|word)s?)?|response|title"
    r"|(?:english|chinese)(?: translation| version)?)(?: is)?"
    r"|答案|译文|(?:英文|中文)?翻译(?:结果)?|英文|中文|输出|结果|搜索词|查询词?)\**\s*[:：]\**\s*",
    re.I,
)
_PREAMBLE = re.compile(
    r"^(?:sure|certainly|of course|here|好的|当然|以下)[^\n]{0,120}[:：]\s*\n", re.I
)
_PAIRS = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "『": "』", "`": "`"}


def read_text(completion: Completion, language: str = "en") -> Reading:
    """A free text (a translation, a search query) without preamble, label, fences or quotes around.

    Lines and wording are kept. Only the cases that `unread` calls empty or refusal read as nothing;
    the language is the caller's to judge (`foreign`).
    """
    text = own_text(completion.text)
    text = _LABEL.sub("", _PREAMBLE.sub("", text, count=1), count=1).strip()
    if len(text) > 4 and text.startswith("**") and text.endswith("**") and "**" not in text[2:-2]:
        text = text[2:-2].strip()
    close = _PAIRS.get(text[:1])
    if close and len(text) > 1 and text.endswith(close) and close not in text[1:-1]:
        text = text[1:-1].strip()
    if not text or refused(text):
        return Reading(None, unread(completion, language))
    return Reading(text)
