"""Reading a list of short texts out of what a model wrote: tags, entities, words.

A fair reader takes the list wherever it stands: a JSON or Python list, one item a line, or items
between commas, with or without words around. What the model says *about* its list is no item.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .answers import BULLET, NOTHING, Reading, key, own_text, read_literal, refused, unread
from .schema import Completion

ITEM = 200
"""Characters; a longer piece of a text is prose and no item of a list."""

_STRING = r"""(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|“[^”\n]*”|‘[^’\n]*’|「[^」\n]*」)"""
_QUOTED = re.compile(_STRING)
_LIST = re.compile(rf"\[\s*(?:{_STRING}(?:\s*[,，、]\s*{_STRING})*\s*,?\s*)?\]")
_LEAD = re.compile(
    r"(?:\b(?:answers?|tags?|hashtags?|topics?|labels?|categor(?:y|ies)|entit(?:y|ies)|words?"
    r"|highlights?|output|results?|list|return)\b[^\n:,.;\[]{0,40}(?::|\bare\b:?|\bis\b:?)"
    r"|(?:答案|标签|话题|实体|词语?|关键词|高亮词|输出|结果|列表|分别)\w{0,4}(?:[:：]|[是为有]|如下)[:：]?"
    r"|\bi(?:['’]d| would| will)? (?:pick|choose|select|highlight)\b(?: the)?(?: words?| tags?)?:?"
    r"|^(?:sure|certainly|of course|好的|当然)[^\n:：]{0,60}[:：])",
    re.I,
)
_REASON = re.compile(
    r"^\W{0,8}(?:because|explanation|reason|rationale|justification|note\b|these\b|this\b"
    r"|i (?:chose|selected|picked)|hope|let me know|因为|由于|解释|理由|原因|说明|这些|以上|希望)",
    re.I,
)
_BECAUSE = re.compile(r"\bbecause\b|\bhope (?:it|this)\b|因为|由于", re.I)
_COMMAS = re.compile(r"[,，、;；|\n]+")
_JOINTS = re.compile(r"\s(?:and|or|as well as)\s|[#＃/&]|以及|[和与及或]", re.I)
_LINKS = re.compile(r"^(?:and|or|also|only|just|both|以及|还有|只有)\s+", re.I)
_NOT = re.compile(
    r"^(?:but )?(?:(?:not|no|neither|nor|except|excluding|rather than|instead of)\b"
    r"|不是|不包括|而不是)",
    re.I,
)
_LEAVES_OUT = re.compile(
    r"\b(?:is|are|was|were|does|do)(?: not|n['’]?t)\b|\b(?:is|are) (?:un|ir)rel"
    r"|不(?:合适|符合|相关)|无关",
    re.I,
)
_SETTING = re.compile(r"(?:out of|based on|given|among|from|in|for|since|as) |(?:根据|从|在)", re.I)
_TAIL = re.compile(
    r"\s*[(（]|\s[-–—]\s|\**[:：]\**\s|[.!?]\s|。"
    r"|[\"'”’*]*\s(?:fits?|match(?:es)?|suits?|appl(?:y|ies)|describes?|is|are)\b",
    re.I,
)
_HEAD = re.compile(r"(?:[:：]|\b(?:is|are|highlight|pick|choose|select)\b:?|[是为])\s*", re.I)
_PROSE = re.compile(r"(?:\S+\s+){5}\S|[^\x00-\x7f]{20}")
_NONE = re.compile(
    r"\W{0,4}(?:there (?:is|are) (?:no|none)\b|there (?:is|are)(?: not|n['’]?t) any\b"
    r"|no (?:[\w-]+ ){0,3}?(?:words?|terms?|tags?|hashtags?|entit(?:y|ies)|highlights?)\b"
    r"|none of (?:the|these|them|those)\b"
    r"|(?:这?条?评论|文中|原?文本?|其?中)?(?:里|中)?(?:没有|无)[^\n，。,]{0,12}(?:词语?|实体|标签|内容)[。！]?$)",
    re.I,
)
_EXCEPT = re.compile(r"\b(?:except|but|other than|apart from)\b|除了?|只有", re.I)
_WRAP = " \t\r\n*`\"'“”‘’「」『』"


def read_list(
    completion: Completion, language: str = "en", whole: Callable[[str], bool] | None = None
) -> Reading:
    """The items of the list that an answer is.

    Args:
        completion: What the model gave back.
        language: Language that the items should be in; only the kind of failure depends on it.
        whole: Whether a piece is an item as it stands. Pieces that are not are tried again
            without linking words and cut at "and", "/", "#"; denied ones ("not X") are dropped.

    Returns:
        The items as written, without repetitions (compared by `key`), in order; an empty tuple
        where the text says that there are none.
    """
    text = own_text(completion.text)
    pieces = _bracketed(text) if "[" in text else None
    if pieces is None:
        if not text or refused(text):
            return Reading(None, unread(completion, language))
        if _says_none(text) and not (whole and whole(text)):
            return Reading(())
        pieces = _listed(text, whole or (lambda piece: False))
        pieces = _settled(pieces, whole) if whole else [_LINKS.sub("", p) for p in pieces]
    items: dict[str, str] = {}
    for piece in pieces:
        if len(piece) <= ITEM and key(piece):
            items.setdefault(key(piece), piece)
    if items or not any(pieces) and _LIST.search(text):
        return Reading(() if NOTHING.issuperset(items) else tuple(items.values()))
    return Reading(None, unread(completion, language))


def _says_none(text: str) -> bool:
    """Whether a text without a list in brackets says that there is nothing to list."""
    if key(text) in NOTHING:
        return True
    return len(text) <= ITEM and bool(_NONE.match(text)) and not _EXCEPT.search(text)


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
        return [_unquoted(m.group()) for m in _QUOTED.finditer(chosen.group())]
    before, _, after = text.partition("[")
    if before and not before.rstrip().endswith((":", "：")):
        return None
    line = after.partition("\n")[0]
    inside, closed, rest = (line if "]" in line else after).rpartition("]")
    if closed and not before and key(rest) and not _REASON.match(rest):
        return None  # a tag like "[Topic] shoes, ..." and no list
    parts = re.split(r"['\"]\s*,\s*['\"]|[,，、\n]", inside if closed else after)
    return [p.strip(_WRAP) for p in parts if p.strip(_WRAP)]


def _unquoted(literal: str) -> str:
    """The text between the quotes of one list item."""
    if "\\" in literal:
        try:
            return str(read_literal(literal))
        except ValueError:
            pass
    return literal[1:-1]


def _listed(text: str, whole: Callable[[str], bool]) -> list[str]:
    """The pieces of a list written as lines, or with separators, without what stands around it."""
    block: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in paragraph.split("\n") if line.strip()]
        if block and not (lines and (BULLET.match(lines[0]) or whole(lines[0].strip(_WRAP)))):
            break
        for line in lines:
            if block and _REASON.match(line):
                break
            block.append(line)
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
        reason = _BECAUSE.search(piece)
        if reason and not whole(piece):
            # All that follows belongs to the explanation.
            return [*pieces, piece[: reason.start()].strip(_WRAP + ".。")]
        if piece:
            pieces.append(piece)
    return pieces


def _settled(pieces: list[str], whole: Callable[[str], bool]) -> list[str]:
    """Pieces that are no items made into items where that can be done, others kept as they are.

    Beside an item, a piece as long as a sentence is what the model says about its list.
    """
    settled: list[str] = []
    for place, piece in enumerate(pieces):
        settled += [piece] if whole(piece) else _items(piece, whole, first=place == 0)
    if any(map(whole, settled)):
        return [p for p in settled if whole(p) or not (_PROSE.search(p) or _SETTING.match(p))]
    return settled


def _items(piece: str, whole: Callable[[str], bool], first: bool) -> list[str]:
    """The items in a piece that is none itself: the fullest reading that leaves no rest, if any."""
    if _NOT.match(piece):
        return []
    bare = _LINKS.sub("", piece)
    if len(bare) > ITEM:
        return [bare]
    heads = [0, *(m.end() for m in _HEAD.finditer(bare))] if first else [0]
    tails = [len(bare), *(m.start() for m in _TAIL.finditer(bare))]
    for head in heads:
        for tail in tails:
            text = bare[head:tail].strip(_WRAP)
            parts = _cut(text, whole) if text else []
            if parts and all(map(whole, parts)):
                return [] if _LEAVES_OUT.match(bare[tail:].strip(_WRAP)) else parts
    parts = _cut(bare, whole)
    return parts if any(map(whole, parts)) else [bare]


def _cut(piece: str, whole: Callable[[str], bool]) -> list[str]:
    """A piece cut at joints into the longest items, from the left ("black and white and red")."""
    joints = [(m.start(), m.end()) for m in _JOINTS.finditer(piece)]
    ends = [start for start, _ in joints] + [len(piece)]
    starts = [0] + [end for _, end in joints]
    parts: list[str] = []
    first = 0
    while first < len(starts):
        choices = range(len(ends) - 1, first, -1)
        last = next((i for i in choices if whole(piece[starts[first] : ends[i]].strip())), first)
        parts.append(piece[starts[first] : ends[last]].strip())
        first = last + 1
    return [part for part in parts if part]
