"""Extraction of answers from completions: normalizing, literals, free text, kinds of failure.

* `normalize(text)` is the form in which two texts are compared: apply it to gold and answer alike.
* `extract_text` (here), `extract_label` and `extract_list` (modules of that name) take a
  `Completion` and return an `Extraction`: `answer` is None exactly when nothing was found, and
  `failure` says why. An extractor of your own returns
  `Extraction(None, failure_kind(completion, language))` where it finds nothing.
* `parse_literal` parses Python or JSON literals; nothing here ever executes model output.

Extractors accept any text and never raise. A text longer than `MAX_CHARS` is not parsed.
"""

from __future__ import annotations

import ast
import json
import re
import unicodedata
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from .schema import Completion, Failure
from .text import well_formed

MAX_CHARS = 20_000
"""Longer texts are not parsed."""

MAX_DEPTH = 16
"""Nesting of brackets up to which a literal is parsed."""


class Extraction(NamedTuple):
    """An answer extracted from a completion.

    Attributes:
        answer: The answer, None when nothing was found. An explicit "none" is an empty tuple.
        failure: Why nothing was found, None when something was.
    """

    answer: Any
    failure: Failure | None = None


# --- normalizing -------------------------------------------------------------------------------

_DROPPED = "\"'`*“”„‟‘’‚‛′«»「」『』《》〈〉\u00ad\u200b\u200c\u200d\u2060\ufeff\ufe0f\ufffd\u20e3"
_SPACED = "#_()[]{}<>【】〔〕\\~\t\r\v\f\u3000"
_TABLE: dict[int, str | None] = {
    **dict.fromkeys(map(ord, _DROPPED)),
    **dict.fromkeys(map(ord, _SPACED), " "),
    **dict.fromkeys(map(ord, "−–—‐‑‒―⁻﹣➖"), "-"),
    # The one letter whose lower case is longer than itself would shift positions.
    ord("İ"): "I",
}
_PICTURES = re.compile(
    "[\U0001f000-\U0001faff\u2190-\u21ff\u2300-\u23ff\u2460-\u27bf\u2b00-\u2bff]+"
)
_PRIVATE = re.compile("[\ue000-\uf8ff]+")
_ENDS = " \n.,;:!?…。、，；：！？|/·•"
_SIGNS = "①-⓿❶-➓㈠-㈩㊀-㊉🔟"
_KEYCAP = "\\d\ufe0f?\u20e3"
_COUNTED = rf"[(（【]\d{{1,2}}[)）】]|[(（][一二三四五六七八九十]{{1,3}}[)）]|[{_SIGNS}]|{_KEYCAP}"
BULLET = re.compile(
    r"^\s*(?:[-–—•·▪●○◦‣⁃∙■□◆◇►▶➤→★☆✓✔✅👉+*>]+\ufe0f?\s+|[•·▪●○◦‣⁃∙■□◆◇►▶➤★☆✓✔✅👉]+\ufe0f?"
    rf"|(?:{_COUNTED})[.:、,，]?\s*|\(?\d{{1,2}}[.):、．：](?!\d)\s*"
    r"|[一二三四五六七八九十]{1,3}[、.．]\s*)+"
)
"""What a line of a bulleted or numbered list begins with."""
_MARK_OF_LIST = re.compile(
    rf"(?:(?:^|(?<=[\s,，;；。.]))(?:{_COUNTED})|[{_SIGNS}]|{_KEYCAP})[.:、]?[^\S\n]*(?=\S)", re.M
)


def plain_marks(text: str) -> str:
    """The text with list marks such as (1), （一）, ① and 1️⃣ as `1.` on lines of their own."""
    first, *rest = _MARK_OF_LIST.split(text)
    lines = (line.rstrip() for line in (first, *(f"1. {part}" for part in rest)))
    return "\n".join(line for line in lines if line) if rest else text


_FIRST = re.compile(r"\s*(?:[(（]1[)）]|1[)）]|1[.．、](?!\d))")


def parted_list(text: str) -> str:
    """A list that runs on, "1. a 2. b", with a line for each item; another text as it is."""
    at, parts = 0, []
    mark = _FIRST.match(text)
    while mark and len(parts) < 99:
        parts.append(text[at : mark.start()])
        at, number = mark.end(), len(parts) + 1
        mark = re.compile(
            rf"\s*[(（]{number}[)）]|\s+{number}(?:[)）]|[.．、](?!\d))|(?<=[\u3400-\u9fff；。，]){number}、"
        ).search(text, at)
    return text if len(parts) < 2 else "\n(1) ".join([*parts, text[at:].lstrip()])


_TRADITIONAL = (
    "會對沒無論發應該選擇類別標籤話題級評結為與於這個從說後來條實體詞處給釋關討拒絕辦協幫譯將與據內單"
    "種錯讓還認進簡圖嗎應屬適當圍繞達顯爭議懸疑視頻愛確誤輸總語麼樣點負兩"
)
_SIMPLE = (
    "会对没无论发应该选择类别标签话题级评结为与于这个从说后来条实体词处给释关讨拒绝办协帮译将与据内单"
    "种错让还认进简图吗应属适当围绕达显争议悬疑视频爱确误输总语么样点负两"
)
_SIMPLER = str.maketrans(_TRADITIONAL, _SIMPLE)


def simplified(text: str) -> str:
    """The text with common traditional Chinese characters as simplified ones, one for one."""
    return text if text.isascii() else text.translate(_SIMPLER)


def fold(text: str) -> str:
    """Removes width, case, quotes, brackets, markdown and emoji; keeps line breaks."""
    if not text.isascii():
        # NFKC turns some characters into eighteen.
        text = unicodedata.normalize("NFKC", _PRIVATE.sub("", text))[: 2 * MAX_CHARS]
        text = _PICTURES.sub(" ", text)
    return text.translate(_TABLE).lower()


@lru_cache(maxsize=1 << 15)
def normalize(text: str) -> str:
    """The form in which two answers are compared.

    NFKC, lower case, without quotes, bold, brackets, `#`, emoji, bullets and list numbers; spaces
    collapsed; no punctuation at the ends. A text of nothing else (an emoji label) is kept.
    """
    bare = BULLET.sub("", text)  # before `fold`, which makes "①" and "1)" numbers
    plain = BULLET.sub("", " ".join(fold(bare).split())).strip(_ENDS)
    return plain or unicodedata.normalize("NFKC", text).strip().lower()


# --- the answer within a completion ------------------------------------------------------------

# What chat templates write around turns, where a backend left it in the text: <|im_end|>,
# <｜end▁of▁sentence｜>, <end_of_turn>, [/INST], ...
_CHAT = (
    r"<[|｜][^<>|｜\s]{1,40}[|｜]>|</?s>|<(?:bos|eos|pad|sop|eop|eoa|eoh|eot|eom|im_end|im_start"
    r"|(?:start|end)_of_(?:turn|text|sentence|image)|endoftext|reserved_\d+|seed:[be]os)>"
    r"|\[/?INST\]|<</?SYS>>|\[[|｜]\w{1,20}[|｜]\]|\[UNUSED_TOKEN_\d+\]|\[gMASK\]|endofresponse"
)
_ROLE = r"(?:assistant|model|chatbot|bot)"
_BEGIN = re.compile(
    rf"\s*(?:(?:{_CHAT})\s*(?:{_ROLE}\b|final\b(?=\s*<[|｜]message))?"
    rf"|(?:[aA]ssistant|ASSISTANT)\s*(?:\n|[:：]|(?=<[|｜]))"
    r"|#{2,4} ?(?:Response|Assistant)\s*[:：]"
    rf"|(?:assistant|ASSISTANT)(?=[A-Z0-9\u3400-\u9fff\"'“\[{{<*-])"
    rf"|model\n)\s*[:：]?"
)
_END = re.compile(
    rf"{_CHAT}|(?<=[\w.!?。！？…\"'”’)\]}}*])assistant(?=\n|$)|(?<=[.!?。！？…”])user(?=\n|$)"
    rf"|\n[ \t]*(?:assistant|user)[ \t]*(?=\n|$)"
)
_NEXT = re.compile(
    r"(?:^|\n)[ \t#*]*(?:(?:input|post|text|passage|question|document|query|comment|user|human"
    r"|candidates?(?: \w{1,12}){0,3}|note (?:title|content)|输入|笔记(?:标题|内容)?|标题|正文"
    r"|文本|问题|文档|查询|搜索词|评论|候选\w{0,6}|用户)\**[ \t]*[:：]"
    r"|### ?(?:instruction|input|user))",
    re.I,
)
_BLANKS = re.compile(r"\s{33,}")
_FENCE = re.compile(r"```[a-zA-Z]{0,12}[ \t]*\n?|```")


def answer_text(text: str) -> str:
    r"""The part of a completion that answers; "" where the text is longer than `MAX_CHARS`.

    Chat marks before it are taken off; cut at end-of-turn marks and where the model goes on to
    invent the next question, unless the text begins with such a label. Of `<answer>...</answer>`
    and `\boxed{...}` the inside counts. Code fences and LaTeX's commands for text are removed,
    long runs of space shortened.
    """
    return "\n".join(dict.fromkeys(answer_parts(text)))


def answer_parts(text: str) -> list[str]:
    r"""`answer_text`, with each `<answer>` and `\boxed` apart; never none."""
    if len(text) > MAX_CHARS:
        return [""]
    text = _BLANKS.sub(lambda blank: "\n\n" if "\n" in blank[0] else " ", text).strip()
    at = 0
    while (mark := _BEGIN.match(text, at)) and mark.end() > at:
        at = mark.end()
        if mark[0].strip() == "[INST]" and (close := text.find("[/INST]", at)) >= 0:
            at = close  # the prompt was repeated
    text = text[at:].lstrip()
    for cut in (_END, _NEXT):
        found = cut.search(text)
        if found and found.start():
            text = text[: found.start()]
    parts = _tagged(text) or [text]
    return [_FENCE.sub("\n", inside).strip() for part in parts for inside in _boxed(part)]


_TAG = re.compile(
    r"<\s*(/?)\s*(?:final[_ -]?answer|answer|response|output|translation|query|label|category"
    r"|答案|回答|译文)\s*>",
    re.I,
)


def _tagged(text: str) -> list[str]:
    """What stands in `<answer>` and its like, closed or not; none where nothing does."""
    parts: list[str] = []
    start: int | None = None
    for tag in _TAG.finditer(text):
        if not tag[1]:
            start = tag.end()
        elif start is not None:
            parts.append(text[start : tag.start()])
            start = None
    if start is not None:
        parts.append(text[start:])
    return [part for part in parts if part.strip()]


_COMMAND = re.compile(
    r"\\{1,2}(?:text(?:bf|it|rm|tt|sf|sc|md|up|normal)?|math(?:bf|it|rm|tt|sf|bb|cal|normal)"
    r"|mbox|emph|underline|boldsymbol|bm|operatorname\*?)\s*\{([^{}]*)\}"
)
_COLORED = re.compile(r"\\{1,2}(?:text|color|page)?color(?:box)?\s*\{\w{1,20}\}\s*(?=\{)")
_STYLE = re.compile(
    r"\\{1,2}(?:bf|it|rm|tt|sf|[lL]arge|LARGE|[hH]uge|displaystyle|textstyle|q?quad)(?![A-Za-z])"
)
_BOX = re.compile(r"\\{1,2}(?:boxed|fbox|framebox)\s*(\{|(?=[\w-]))")
_MATHS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("\\\\(", "\\\\)"))
_NESTED, _BOXES = 4, 50


def _boxed(text: str) -> list[str]:
    r"""The insides of `\boxed{...}`, else the text; LaTeX's commands for text are taken off."""
    if "\\" not in text and "$" not in text:
        return [text]
    text = _COLORED.sub(r"\\text", text)
    for _ in range(_NESTED):
        text, count = _COMMAND.subn(r"\1", text)
        if not count:
            break
    boxes = list(_BOX.finditer(text))[-_BOXES:]
    parts = [_braced(text, box.end(), bool(box[1])) for box in boxes]
    return [_unwrapped(part) for part in parts if part.strip()] or [_unwrapped(text)]


def _braced(text: str, start: int, braced: bool) -> str:
    """The text from a place to the brace that closes it, or to the end of the line."""
    if not braced:
        found = re.compile(r"-?\w+").match(text, start)
        return found[0] if found else ""
    depth = 1
    for mark in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if mark[0] == "{" else -1
        if not depth:
            return text[start : mark.start()]
    return text[start:].partition("\n")[0]


def _unwrapped(text: str) -> str:
    """The text without LaTeX's marks of maths around it."""
    text = _STYLE.sub(" ", text).strip()
    for opening, closing in _MATHS:
        inside = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and "$" not in inside and inside:
            return inside.strip()
    return text


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
    r"|as an? (?:(?:large )?language model|artificial"
    # "as an AI engineer what to learn" is a query
    r"|ai(?: (?:language |chat )?(?:model|assistant|chatbot|bot|system|agent|program|tool)\b"
    r"|\s*(?:$|[-,，.;:(])|\s(?:i|we|my|it|that|created|developed|trained|made|designed|without)\b"
    r"|\b[^,，.\n]{0,60}[,，]\s?(?:i|my|it)\b))"
    r"|(?:很|非常|十分|真的)?(?:抱歉|对不起|不好意思)[，,。！!\s]{0,3}(?:但|作为|我|这|该|本|无法|不能)"
    r"|作为(?:一个|一名|一款)?(?:ai|人工智能|大?语言模型|智能助手)"
    r"|我?(?:无法|不能|没办法|不便|拒绝)(?:回答|提供|协助|帮助|处理|完成|判断|满足|给出|讨论|翻译)"
    r"(?![^，。,.!！\n]{0,20}(?:怎么办|咋办|(?:怎么|如何)(?:处理|解决|应对))\W*$)"
    r")",
    re.I,
)
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_LETTER = re.compile(r"[^\W\d_]")


def is_refusal(text: str) -> bool:
    """Whether the text begins like a refusal, in English or Chinese."""
    return _REFUSAL.match(simplified(text[:300])) is not None


def is_wrong_language(text: str, language: str) -> bool:
    """Whether a text is mainly in another script than that of `language` (`en` or `zh`)."""
    text = text[:2_000]
    letters = len(_LETTER.findall(text))
    if letters < 2 or language not in ("en", "zh"):
        return False
    if language == "en":
        return len(_LATIN.findall(text)) * 2 < letters
    # A Chinese character says about as much as three letters of an alphabet.
    return len(_HAN.findall(text)) * 4 < letters and letters > 12


def failure_kind(completion: Completion, language: str) -> Failure:
    """The kind of failure of a completion in which no answer was found.

    In this order: no text at all (`empty`, or `truncated` if the token limit was hit), `refusal`,
    `truncated`, the wrong `language`, else `format`.

    Args:
        completion: What the model generated.
        language: ISO 639-1 code of the language that the answer should be in.
    """
    text = completion.text
    cut = completion.finish == "length"
    if not text.strip():
        return "truncated" if cut else "empty"
    if is_refusal(text.lstrip()):
        return "refusal"
    if cut:
        return "truncated"
    return "language" if is_wrong_language(text, language) else "format"


# --- literals ----------------------------------------------------------------------------------

_STRINGS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.S)
_OPERATORS = re.compile(r"(?:[-+~*/.]\s*){6}|\bnot\s+not\b|\blambda\b|(?:[-+*/.]\s*\w{1,9}\s*){32}")


def parse_literal(text: str) -> Any:
    """Parses a JSON value or Python literal. Never executes; linear in the text's length.

    Raises:
        ValueError: It is no literal, is longer than `MAX_CHARS` or nests deeper than `MAX_DEPTH`.
    """
    try:
        return parse_json(_bounded(text))
    except ValueError:
        return parse_python_literal(text)


def parse_json(text: str, *, strict: bool = True) -> Any:
    """Parses JSON that a model wrote, as `clean` has it; `strict` as in `json.loads`.

    Raises:
        ValueError: It is no JSON, or nests too deep.
    """
    try:
        return clean(json.loads(text, strict=strict))
    except RecursionError as error:
        raise ValueError("no literal: nested too deep") from error


def clean(value: Any) -> Any:
    """A parsed value that any file can take: no half characters, no endless numbers.

    Raises:
        ValueError: It holds a whole number of more than 4,000 bits, which is no answer.
    """
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, int) and value.bit_length() > 4_000:
        raise ValueError("no literal: an endless number")
    if isinstance(value, dict):
        return {clean(name): clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(clean(item) for item in value)
    return value


def parse_python_literal(text: str) -> Any:
    """Parses a Python literal, within the bounds of `parse_literal`; JSON's `true` is none.

    Raises:
        ValueError: As for `parse_literal`.
    """
    text = _bounded(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes such as "\d" are harmless here
            return clean(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError("no literal") from error


def _bounded(text: str) -> str:
    """The stripped text, if parsing cannot exhaust the stack: strings apart, short and flat."""
    text = text.strip()
    if not text or len(text) > MAX_CHARS:
        raise ValueError("no literal: empty, or too long")
    plain = _STRINGS.sub("", text)
    depth = deepest = 0
    for mark in re.findall(r"[\[({\])}]", plain):
        depth += 1 if mark in "[({" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH or _OPERATORS.search(plain):
        raise ValueError("no literal: nested too deep")
    return text


# --- "there is none" ---------------------------------------------------------------------------

NONE_WORDS = frozenset(
    {
        *("no", "none", "nothing", "null", "nil", "n/a", "na"),
        *("empty", "empty list", "an empty list", "unanswerable", "not mentioned", "not stated"),
        *("no answer", "no entities", "no entity", "no words", "no tags", "no highlights"),
        *("no highlight words", "none of them", "none of the above", "not applicable"),
        *("none found", "not found", "no match", "no matches", "there are none", "there is none"),
        *("无", "没有", "空", "空列表", "暂无", "未找到", "无答案", "没有答案", "无实体"),
        *("无相关实体", "没有合适的", "都不合适", "无合适", "不适用", "无合适的词"),
        *(
            "無",
            "沒有",
            "暫無",
            "無答案",
            "沒有答案",
            "無實體",
            "無相關實體",
            "不適用",
            "沒有合適的",
        ),
    }
)
"""Normalized texts that say "the list is empty"."""


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


def extract_text(
    completion: Completion, language: str = "en", refuses: Callable[[str], bool] = is_refusal
) -> Extraction:
    """Extracts a free text (a translation, a search query): no preamble, label, fences or quotes.

    Lines and wording are kept. Only an empty text and a refusal are failures; whether the language
    is right is the caller's to check (`is_wrong_language`).

    Args:
        completion: What the model generated.
        language: Of the text; only the kind of failure depends on it.
        refuses: Whether a text is a refusal.
    """
    text = answer_text(completion.text)
    text = _LABEL.sub("", _PREAMBLE.sub("", text, count=1), count=1).strip()
    if len(text) > 4 and text.startswith("**") and text.endswith("**") and "**" not in text[2:-2]:
        text = text[2:-2].strip()
    close = _PAIRS.get(text[:1])
    if close and len(text) > 1 and text.endswith(close) and close not in text[1:-1]:
        text = text[1:-1].strip()
    if not text or refuses(text):
        return Extraction(None, failure_kind(completion, language))
    return Extraction(text)
