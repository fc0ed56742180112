"""Extracts a list of short texts from a completion: tags, entities, words.

The list may be JSON or Python, one item a line, or items between commas, with or without words
around. What the answer says *about* its list is no item.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .extraction import (
    BULLET,
    NONE_WORDS,
    Extraction,
    answer_text,
    failure_kind,
    is_refusal,
    normalize,
    parse_literal,
    parted_list,
    plain_marks,
    simplified,
)
from .schema import Completion

MAX_ITEM = 200
"""Characters; a longer piece of a text is prose and no item of a list."""

IsItem = Callable[[str], bool]

_STRING = r"""(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|“[^”\n]*”|‘[^’\n]*’|「[^」\n]*」)"""
_QUOTED = re.compile(_STRING)
_LIST = re.compile(rf"\[\s*(?:{_STRING}(?:\s*[,，、]\s*{_STRING})*\s*,?\s*)?\]")
_LEAD = re.compile(
    r"\b(?:answers?|(?:hash)?tags?|topics?|labels?|entit(?:y|ies)|words?|output|results?|list)\b"
    r"[^\n:,.;\[]{0,40}(?::|\bare\b:?|\bis\b:?)"
    r"|(?:答案|标签|话题|实体|词语?|输出|结果|列表)\w{0,4}(?:[:：]|[是为有])[:：]?",
    re.I,
)
_REASON = re.compile(
    r"\bbecause\b|\bhope (?:it|this)\b|\b(?:explanation|reason|note)\W{0,3}[:：]|因为|由于"
    r"|(?:解释|理由|原因|说明)[:：]",
    re.I,
)
_COMMAS = re.compile(r"[,，、;；|\n]+")
_JOINTS = re.compile(r"\s(?:and|or|as well as)\s|[#＃/&]|以及|[和与及或]", re.I)
_LINKS = re.compile(r"^(?:and|or|also|only|just|both|以及|还有|只有)\s+", re.I)
_HEAD = re.compile(r"(?:[:：]|\b(?:is|are|highlight|pick|choose|select)\b:?|[是为])\s*", re.I)
_TAIL = re.compile(
    r"\s*[(（]|\s[-–—]\s|\**[:：]\**\s|[.!?]\s|。"
    r"|[\"'”’*]*\s(?:fits?|match(?:es)?|suits?|describes?|is|are)\b",
    re.I,
)
_DENIED = re.compile(r"^(?:but )?(?:(?:not|neither|nor|except|rather than)\b|不是|不包括)", re.I)
_LEFT_OUT = re.compile(
    r"\b(?:is|are|does|do)(?: not|n['’]?t)\b|\b(?:is|are) (?:un|ir)rel|不(?:合适|符合|相关)|无关",
    re.I,
)
_PROSE = re.compile(
    r"(?:\S+\s+){5}\S|[^\x00-\x7f]{20}|^(?:out of|based on|given|among|from|in|for) |^根据", re.I
)
_NONE = re.compile(
    r"\W{0,4}(?:there (?:is|are) (?:no|none|not any)\b|there (?:isn|aren)['’]?t any\b"
    r"|no (?:[\w-]+ ){0,3}?(?:words?|terms?|(?:hash)?tags?|entit(?:y|ies)|highlights?)\b"
    r"|none of (?:the|these|them|those)\b"
    r"|[^\n，。,]{0,5}(?:没有|无)[^\n，。,]{0,12}(?:词语?|实体|标签|内容)[。！]?$)"
    r"(?!.*(?:\b(?:except|but|other than|apart from)\b|除|只有))",
    re.I | re.S,
)
_WRAP = " \t\r\n*`\"'“”‘’「」『』"


def extract_list(
    completion: Completion, language: str = "en", is_item: IsItem = lambda piece: False
) -> Extraction:
    """Extracts the items of the list that an answer is.

    Args:
        completion: What the model generated.
        language: Language that the items should be in; only the kind of failure depends on it.
        is_item: Whether a piece is an item as it stands. Other pieces are tried again without
            the words around them and cut at "and", "/", "#"; denied ones ("not X") are dropped.

    Returns:
        The items as written, without repetitions, in order; an empty tuple where the text says
        that there are none.
    """
    text = answer_text(completion.text)
    pieces = _bracketed(text)
    if pieces is None:
        if not text or (is_refusal(text) and not is_item(text)):
            return Extraction(None, failure_kind(completion, language))
        none = normalize(text) in NONE_WORDS or (
            len(text) <= MAX_ITEM and _NONE.match(simplified(text))
        )
        if none and not is_item(text):
            return Extraction(())
        pieces = []
        for place, piece in enumerate(_separated(plain_marks(parted_list(text)), is_item)):
            pieces += [piece] if is_item(piece) else _items(piece, is_item, first=place == 0)
        if any(map(is_item, pieces)):
            # Beside an item, a piece as long as a sentence says something about the list.
            pieces = [piece for piece in pieces if is_item(piece) or not _PROSE.search(piece)]
    items: dict[str, str] = {}
    for piece in pieces:
        if len(piece) <= MAX_ITEM and normalize(piece):
            items.setdefault(normalize(piece), piece)
    if items or not any(pieces) and _LIST.search(text):
        return Extraction(() if NONE_WORDS.issuperset(items) else tuple(items.values()))
    return Extraction(None, failure_kind(completion, language))


def _bracketed(text: str) -> list[str] | None:
    """The items of the list in brackets that is the answer, None if there is none.

    After an "answer:" the last list counts; otherwise the first if the text begins with it, else
    the last: models repeat the question's list before, and explain after.
    """
    found = list(_LIST.finditer(text))
    if found:
        lead = _LEAD.search(text)
        late = lead and found[-1].start() >= lead.end()
        chosen = found[0] if text.startswith("[") and not late else found[-1]
        return [_unquoted(quoted) for quoted in _QUOTED.findall(chosen[0])]
    # No valid literal: [Tea, Cake], ['driver's mug', 'cup'], or a list that was cut off.
    before, bracket, after = text.partition("[")
    if not bracket or (before and not before.rstrip().endswith((":", "："))):
        return None
    line = after.partition("\n")[0]
    inside, closed, rest = (line if "]" in line else after).rpartition("]")
    if closed and not before and normalize(rest) and not _REASON.match(rest):
        return None  # a tag like "[Topic] shoes, ..." and no list
    parts = re.split(r"['\"]\s*,\s*['\"]|[,，、\n]", inside if closed else after)
    return [p.strip(_WRAP) for p in parts if p.strip(_WRAP)]


def _unquoted(literal: str) -> str:
    """The text between the quotes of one list item."""
    try:
        return str(parse_literal(literal)) if "\\" in literal else literal[1:-1]
    except ValueError:
        return literal[1:-1]


def _separated(text: str, is_item: IsItem) -> list[str]:
    """The pieces of a list written as lines, or with separators, without what stands around it."""
    block: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in paragraph.split("\n") if line.strip()]
        if block and not (lines and (BULLET.match(lines[0]) or is_item(lines[0].strip(_WRAP)))):
            break
        block += lines
        if block and block[0].endswith((":", "：")):
            del block[0]
    bullets = [line for line in block if BULLET.match(line)]
    if len(bullets) > 1:
        return [BULLET.sub("", line).strip(_WRAP) for line in bullets]
    plain = "\n".join(BULLET.sub("", line) for line in block)
    lead = _LEAD.search(plain)
    if lead and plain[lead.end() :].strip():
        plain = plain[lead.end() :]
    pieces: list[str] = []
    for part in _COMMAS.split(plain):
        piece = part.strip(_WRAP).rstrip(".。!！").strip(_WRAP)
        reason = _REASON.search(piece)
        if reason and (pieces or reason.start()) and not is_item(piece):
            # All that follows belongs to the explanation.
            return [*pieces, piece[: reason.start()].strip(_WRAP + ".。")]
        if piece:
            pieces.append(piece)
    return pieces


def _items(piece: str, is_item: IsItem, first: bool) -> list[str]:
    """The items in a piece that is none itself: with as few words around them as possible."""
    if _DENIED.match(piece):
        return []
    bare = _LINKS.sub("", piece)
    if len(bare) > MAX_ITEM:
        return [bare]
    heads = [0, *(m.end() for m in _HEAD.finditer(bare))] if first else [0]
    tails = [len(bare), *(m.start() for m in _TAIL.finditer(bare))]
    for head in heads:
        for tail in tails:
            parts = _cut(bare[head:tail].strip(_WRAP), is_item)
            if parts and all(map(is_item, parts)):
                return [] if _LEFT_OUT.match(bare[tail:].strip(_WRAP)) else parts
    parts = _cut(bare, is_item)
    return parts if any(map(is_item, parts)) else [bare]


def _cut(piece: str, is_item: IsItem) -> list[str]:
    """A piece cut at joints into the longest items, from the left ("black and white and red")."""
    starts = [0, *(joint.end() for joint in _JOINTS.finditer(piece))]
    ends = [*(joint.start() for joint in _JOINTS.finditer(piece)), len(piece)]
    parts: list[str] = []
    first = 0
    while first < len(starts):
        choices = range(len(ends) - 1, first, -1)
        last = next((i for i in choices if is_item(piece[starts[first] : ends[i]].strip())), first)
        parts.append(piece[starts[first] : ends[last]].strip())
        first = last + 1
    return [part for part in parts if part]
