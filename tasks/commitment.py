"""Which label a text commits to: how a fair reader's judgement is imitated; see `labels`.

Works on a *marked* text: folded, with one private character in place of each label, and one in
place of each phrase by which people state ("the answer is"), finalise or correct an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .answers import folded

Forms = Sequence[tuple[str, int]]
"""(form, number of its label), the longest form first."""

_BASE = 0xE000
_MANY = 64  # a clause that names labels so often is a list of them, whatever it denies
_SAID, _FINAL, _CHANGED = "\uf8f0", "\uf8f1", "\uf8f2"
_SIGNS = {"final": _FINAL, "said": _SAID, "changed": _CHANGED}
_LABEL = "[\ue000-\uf8ef]"


def _words(text: str) -> str:
    """An alternative of words."""
    return "|".join(text.split())


# --- the reader's knowledge of English and Chinese -------------------------------------------

_NOUN = _words(
    "answer response output category tag hashtag topic label choice option class classification"
    " level score rating relevance verdict judgment judgement prediction sentiment emotion stance"
    " result"
)
_SAYS = re.compile(
    r"(?P<final>\b(?:final|overall|correct|in conclusion|conclusion)\b[ \w,]{0,20}?"
    r"(?:\b(?:answer|category|tag|label|level|score|rating|choice|verdict)\b)?\s*(?::|=|\bis\b:?)"
    r"|\bboxed\b|(?:最终|最后|综上|因此|所以)[^\n:。,]{0,12}?(?:是|为|选|:):?)"
    rf"|(?P<said>\b(?:{_NOUN})\b"
    r"(?: \w{1,12}){0,3}?\s*(?::|=|\b(?:is|are|would be|should be|will be)\b:?)"
    r"|\b(?:best|closest|most \w{1,12})(?: \w{1,12}){0,2}? (?:is|would be)\b:?"
    r"|\b(?:i|we)(?: ?(?:would|will|ll|d))? ?"
    r"(?:choose|chose|pick|picked|select|selected|say|go with|answer|rate it|vote for"
    r"|(?:give|assign)(?: (?:it|this|the) ?(?:post|note)?)?(?: an?)?)\b:?"
    r"|\bhere(?: is| are|s)\b[^\n:.]{0,40}:"
    r"|\b(?:i think|i believe|i guess)(?: (?:that|it is|its|it should be))?\b"
    r"|\b(?:classif|categori)\w{1,3} (?:it |(?:this|the)(?: \w{1,12})? )?as\b"
    r"|\b(?:belongs to|falls (?:under|into)|labell?ed as)\b"
    r"|\b(?:therefore|thus|hence)\b|\bso (?:it is|its|this is)\b"
    r"|(?:答案|分类|类别|类目|标签|话题|等级|级别|评级|评分|得分|分数|结果|选择|判断|输出|情感|立场"
    r"|回答|回复|最(?:为?合适|适合|符合|匹配|相关|贴切|恰当)的?)"
    r"(?:应该|应当|应|可以|就)?(?:是|为|:):?"
    r"|我?(?:会选|会给|给出|选择|认为是|觉得是|判断为)"
    r"|(?:属于|归为|归入|归类为|应为|应选|应该是):?"
    r"|(?:是否|能否|可否)[^\n:。,]{0,12}:)"
    r"|(?P<changed>\b(?:actually|wait|correction|on second thought|i mean|sorry)\b"
    r"|更正|纠正|不对,|等等)"
)
_CLAUSE = re.compile(r"[,:=]|\s-\s")
_SENTENCE = re.compile(r"[\n!?;。…]+|\.(?:\s|$)")
_ENUMERATOR = re.compile(rf"(?<![\w.-])(?:\d{{1,2}}|[a-j])[.)、 ]\s*(?={_LABEL})")
_OF_THREE = re.compile(r"((?:[:=]|\bis|\blevel|\bscore)\s*[0-3])\s*(?:/|out of)\s*3\b")
_ASKS = re.compile(r"(?:是否|能否|可否|是不是|会不会)[^\n,:;。?!]*")
_EXPLAINS = re.compile(
    r"\b(?:because|since|as (?:it|the|this|there|they)|due to|given|while|whereas|although|though"
    r"|so that|which|based on)\b|因为|由于|虽然|尽管|鉴于|根据|而(?!非|不|是)"
)
_EXPLANATION = re.compile(
    r"^\W{0,8}(?:because|explanation|reason|reasoning|rationale|justification|analysis|note|this"
    r"|the (?:note|post|text|document|content)|it|other|others|although|while"
    r"|解释|理由|原因|分析|说明|因为|由于|这篇|该|笔记|文中|其他)"
)
_HEADING = re.compile(
    r"^\W{0,8}(?:explanation|reason|reasoning|rationale|justification|analysis|note"
    r"|解释|理由|原因|分析|说明)\s*(?::|$)"
)
_DENIES = re.compile(
    r"(?:\b(?:not(?! only)|no(?! doubt)|neither|nor|never|isnt|doesnt|dont|wasnt|arent|cannot|cant"
    r"|wouldnt|than|unlike|instead of|except|excluding|rejec(?:t|ted)|rule out|ruled out|eliminate"
    r"|without|nothing|unrelated|irrelevant)\b(?: (?:"
    + _words(
        "about a an the really quite just in related to of suitable fit for be belong under right"
        " best choose pick say think believe it its that is this category tag answer do with"
        " mention match describe show cover discuss"
    )
    + r")\b){0,5}|\bover|不是|并非|而非|不选|不属于|不应|不该|不会是|排除|不像|比)"
    r"[^\w\n\ue000-\uf8ff]*$"
)
_DENIED_TOO = re.compile(rf"{_LABEL}\s*(?:or|nor|/|或)\s*$")
_DENIED_AFTER = re.compile(
    rf"(?:\s*(?:,|/|,?\s?\band\b|,?\s?\bor\b|[、和与或])\s*{_LABEL})*\s*(?:"
    r"(?:is|are|was|were|does|do|would|could|can)(?: ?not|nt)\b(?! (?:only|just))"
    r"|(?:is|are|seems?) (?:(?:also|quite|too|clearly) )?"
    r"(?:wrong|incorrect|irrelevant|unrelated|unsuitable|less|excluded|ruled out)\b"
    r"|(?:都|也|并|则)?不(?:太|够|怎么)?(?:合适|适合|符合|相关|匹配|对|属于|适用|恰当|贴切)|无关)"
)
_FILLER = re.compile(
    r"\b(?:"
    + _words(
        "the a an it is its this that to be of for as about i think believe choose would should say"
        " best most suitable right appropriate relevant fitting good correct answer category"
        " categories tag tags hashtag topic label level score rating option choice final my so"
        " therefore thus hence then here and or maybe perhaps both either all also possible are but"
        " sure certainly ok okay candidate candidates relevance likely probably definitely only"
        " rather instead actually hmm well please thanks match matches fits fit with point points"
        " not neither nor than over id rate rated go post note"
    )
    + r")\b|[答案是为的类别分标签话题等级我认觉得选应该最更合适符相关匹配这个条篇笔记属于"
    r"和或与以及吧呢所因此可能也许不而第给]|[^\w\ue000-\uf8ff]|_"
)
# The word after a name that does not belong to the name.
_AFTER = re.compile(
    r"\s*(?:$|[^\w\s]|[\ue000-\uf8ff]|\d{1,2}[.)]\s|(?:"
    + _words(
        "is was are it its the this that these fit fits would should could can best seem seems look"
        " looks because since as for and or but not nor than over rather instead category"
        " categories tag tags hashtag topic label level to option choice here i we you hope in on"
        " with from so too also match matches describes captures makes suits does doesnt isnt"
        " arent wasnt cannot cant wouldnt maybe perhaps only explanation reason point points out"
        " note while which whereas due given if most"
    )
    + r")\b|[的是类这分级吧呢啊了比更最而和与或因由标等不无以及,、])"
)
_NUMBER_ENDS = re.compile(r"(?!\s*[%+]|[./-]\d|[-~]\s*\d|\s+out\b)")

# --- marking -----------------------------------------------------------------------------------


def marked(text: str, forms: Forms) -> str:
    """The folded text with a private character in place of each label and each "the answer is"."""
    text = _OF_THREE.sub(r"\1", re.sub(r"[ \xa0]+", " ", folded(text)))
    present = [(form, number) for form, number in forms if form in text]
    # First the labels that hold such words themselves ("I Think So"), then the words: in 答案是否
    # the sign 答案是 has to go before the label 是.
    for form, number in present:
        if len(form) > 5 and _SAYS.search(form):
            text = _replaced(text, form, chr(_BASE + number))
    text = _SAYS.sub(lambda m: f" {_SIGNS[m.lastgroup or 'said']} ", text)
    text = _ASKS.sub(" ", text)
    for form, number in present:
        text = _replaced(text, form, chr(_BASE + number))
    return _ENUMERATOR.sub(", ", text)


def _replaced(text: str, form: str, sign: str) -> str:
    """`text` with the free-standing occurrences of a form replaced; linear."""
    parts: list[str] = []
    done = 0
    at = text.find(form)
    numeric = form[-1].isdigit()
    while at >= 0:
        end = at + len(form)
        before, after = text[at - 1 : at], text[end : end + 1]
        apart = not (_joins(before, form[0]) or _joins(after, form[-1]))
        if apart and numeric:
            apart = before not in tuple("-+./%") and bool(_NUMBER_ENDS.match(text, end))
        elif apart:
            apart = _apart(text, at, end)
        if apart:
            parts += text[done:at], sign
            done = end
        at = text.find(form, end)
    return "".join([*parts, text[done:]]) if parts else text


def _joins(neighbour: str, edge: str) -> bool:
    """Whether two adjacent characters belong to one word. Chinese characters always stand apart."""
    return neighbour.isalnum() and edge.isalnum() and not (_wide(neighbour) or _wide(edge))


def _wide(character: str) -> bool:
    return "\u3040" <= character <= "\u9fff"


def _apart(text: str, at: int, end: int) -> bool:
    """Whether a label is not the beginning of a longer name."""
    if text[end : end + 1] == "-" and text[end + 1 : end + 2].isalnum():
        return False
    if text[at - 1 : at] in ("-", "&") and text[at - 2 : at - 1].isalnum():
        return False
    return bool(_AFTER.match(text, end)) or "\n" in text[end : end + 2]


# --- weighing ----------------------------------------------------------------------------------


class _Stated(NamedTuple):
    """Labels stated in one sentence: `told` after a sign, `final` in place of earlier ones."""

    names: frozenset[int]
    told: bool
    final: bool


def committed(text: str, firm: bool) -> int | None:
    """The number of the label that a marked text commits to, None if to none or to several.

    Args:
        text: What `marked` gives.
        firm: Only stated and leading mentions count, no loose ones.
    """
    stated: list[_Stated] = []
    leading: frozenset[int] = frozenset()
    loose: set[int] = set()
    changed = explained = False
    sentences = [s for s in _SENTENCE.split(text) if s.strip()]
    for place, sentence in enumerate(sentences):
        told = max(sentence.rfind(_SAID), sentence.rfind(_FINAL))
        final = _FINAL in sentence and sentence.rfind(_FINAL) == told
        changed = changed or _CHANGED in sentence
        done = bool(stated or leading)
        explained = explained or (done and _HEADING.match(sentence) is not None)
        # A sign with no label after it ("X is the category: ...") tells about what stands before.
        if told >= 0 and not _named(sentence[told:]):
            told = -1
        explains = told < 0 and place > 0 and _EXPLANATION.match(sentence) is not None
        if (explained and not (final or changed)) or (explains and done):
            continue
        part = _claim(sentence[told + 1 :])
        names = _named(part)
        if not names:
            continue
        bare, begins = _is_bare(part), _begins(part)
        if explains and not bare:
            continue
        if told >= 0 and (bare or begins or not (_is_short(part) or firm)):
            named = _chain(part) if begins and not bare else names
            stated.append(_Stated(named, True, changed or final))
        elif bare and (not leading or _is_alone(part)):
            stated.append(_Stated(names, False, changed))
        elif begins and not place:
            leading = _chain(part)
        elif place == len(sentences) - 1 and len(names) == 1 and _is_bare(_CLAUSE.split(part)[-1]):
            stated.append(_Stated(names, False, changed))
        elif not _is_short(part):
            loose |= names
        changed = False
    if stated:
        last = stated[-1]
        together = frozenset[int]().union(*(s.names for s in stated))
        settled = (
            last.final
            or last.told
            and all(s.names == last.names or len(s.names) > 1 for s in stated)
        )
        chosen = last.names if settled else together
    else:
        chosen = leading or (frozenset() if firm else frozenset(loose))
    return min(chosen) if len(chosen) == 1 else None


def mentioned(text: str) -> list[int]:
    """The numbers of all labels that a marked text names, denied and explaining ones left out."""
    found: list[int] = []
    for place, sentence in enumerate(_SENTENCE.split(text)):
        if place == 0 or not _EXPLANATION.match(sentence):
            part = _claim(sentence)
            names = _named(part)
            found += (n for _, n in _labels_in(part) if n in names)
    return list(dict.fromkeys(found))


def holds_label(text: str) -> bool:
    """Whether a marked text names a label at all."""
    return bool(_labels_in(text))


def _claim(part: str) -> str:
    """A sentence without the reasons that stand before or after what it claims."""
    start = _EXPLAINS.search(part)
    if start and not part[: start.start()].strip(" ,"):
        part = re.split("[,:]", part[start.end() :], maxsplit=1)[-1] if _CLAUSE.search(part) else ""
        start = _EXPLAINS.search(part)
    return part[: start.start()] if start else part


def _labels_in(text: str) -> list[tuple[int, int]]:
    """(position, number) of each label in a marked text."""
    return [(i, ord(c) - _BASE) for i, c in enumerate(text) if _BASE <= ord(c) < ord(_SAID)]


def _named(part: str) -> frozenset[int]:
    """The labels in a clause that are not denied there."""
    labels = _labels_in(part)
    if len(labels) > _MANY:
        return frozenset(n for _, n in labels)
    names: set[int] = set()
    denied = False
    for i, number in labels:
        before = part[max(0, i - 60) : i]
        denied = bool(
            _DENIES.search(before)
            or (denied and _DENIED_TOO.search(before))
            or _DENIED_AFTER.match(part[i + 1 : i + 200])
        )
        if not denied:
            names.add(number)
    return frozenset(names)


def _is_bare(part: str) -> bool:
    """Whether a clause holds nothing but labels and filling words."""
    return not re.sub("[\ue000-\uf8ff]", "", _FILLER.sub("", part))


def _is_alone(part: str) -> bool:
    """Whether a clause holds nothing but labels and punctuation."""
    return not re.sub("[\\W_]", "", part)


def _is_short(part: str) -> bool:
    """Whether a clause is so short that a label in it may be part of a longer name."""
    if any(map(_wide, part)):
        return len(part) <= 12
    return len(part.split()) <= 5 and len(part) <= 40


def _begins(part: str) -> bool:
    """Whether a clause begins with a label."""
    plain = part.lstrip(" \t:-–—|>.,")
    return bool(plain) and _BASE <= ord(plain[0]) < ord(_SAID)


def _chain(part: str) -> frozenset[int]:
    """The labels with which a clause begins, as long as only commas or "and" stand between them."""
    chain = re.match(f"(?:[\\s,、/|&:.-]|and |or |和|或|与|{_LABEL})+", part)
    return _named(chain.group()) if chain else frozenset()
