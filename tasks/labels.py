"""Reading one label (a candidate, yes or no, a level) out of what a model wrote.

How a fair reader is imitated. Labels are looked up in the whole answer, the longest first, so that
a label inside a longer one does not count, and neither does one inside a longer *name* that is no
label ("Travel Guides" is not `Travel`). Three kinds of mention commit the model, by falling force:

1. *stated*: after "the answer is", "category:", "I choose", 我选, ...; or alone on its line or
   sentence. Two different stated labels are no answer, unless the later one is marked as final
   ("final answer") or as a correction ("actually", "wait", 更正);
2. *leading*: the text begins with the label, then explains ("X, because ...", "X - ...");
3. *loose*: one label only is named anywhere in sentences that are no explanation.

What follows "because", "since", "while" or stands in a sentence of explanation does not count, nor
does what is denied ("not X but Y" is Y), and a list of several labels commits to none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from .answers import Reading, folded, key, own_text, refused, unread
from .schema import Completion

_BASE = 0xE000
_MANY = 64  # a clause that names labels so often is a list of them, whatever it denies
_SAID, _FINAL, _CHANGED = "\uf8f0", "\uf8f1", "\uf8f2"
_SIGNS = {"final": _FINAL, "said": _SAID, "changed": _CHANGED}


@dataclass(frozen=True, slots=True)
class Labels:
    """A closed set of labels with the ways to write them.

    Attributes:
        names: The labels.
        forms: `key` of each way to write a label -> its number in `names`.
        longest: (form, number), the longest form first.
        firm: Only stated and leading mentions count. For labels that are everyday words ("no").
        exact: `key` -> label, for answers that count only when they are the whole text.
    """

    names: tuple[str, ...]
    forms: Mapping[str, int]
    longest: tuple[tuple[str, int], ...] = field(repr=False)
    firm: bool = False
    exact: Mapping[str, str] = field(default_factory=dict)


def labels(
    forms: Mapping[str, Iterable[str]] | Iterable[str],
    *,
    firm: bool = False,
    exact: Iterable[str] = (),
) -> Labels:
    """A label set.

    Args:
        forms: The labels, or label -> further ways to write it. Labels that `key` cannot tell apart
            are one label, the first.
        firm: See `Labels`.
        exact: Texts that are read as themselves, but only as the whole answer.
    """
    table = forms if isinstance(forms, Mapping) else {name: () for name in forms}
    numbers: dict[str, int] = {}
    for number, (name, others) in enumerate(table.items()):
        for text in (name, *others):
            plain = _key(text)
            if plain:
                numbers.setdefault(plain, number)
    longest = tuple(sorted(numbers.items(), key=lambda item: (-len(item[0]), item[0])))
    return Labels(tuple(table), numbers, longest, firm, {key(t): t for t in exact})


def _key(text: str) -> str:
    """`key`, with what is more than decoration in a number."""
    return " ".join(folded(text).split()) if text.lstrip("-").isdigit() else key(text)


@lru_cache(maxsize=1 << 12)
def candidates(texts: tuple[str, ...], exact: tuple[str, ...] = ()) -> Labels:
    """`labels` of an item's own candidates, kept for the next answer to the same item."""
    return labels(texts, exact=exact)


YES_NO = labels(
    {
        "Yes": (
            *("yes it is", "yes it does", "yes it can", "yeah", "yep", "true"),
            *("是", "是的", "对", "能", "可以", "会"),
        ),
        "No": (
            *("no it is not", "no it isnt", "no it does not", "no it doesnt", "no it cannot"),
            *("no it cant", "nope", "false"),
            *("否", "不", "不是", "不是的", "不对", "不能", "不可以", "不会", "没有"),
        ),
    },
    firm=True,
)
"""`Yes` and `No`, in English and Chinese."""

LEVELS = labels(
    {
        "-1": ("-1.0", "minus one", "negative one", "负1", "负一"),
        "0": ("0.0", "zero", "零"),
        "1": ("1.0", "+1", "one", "一"),
        "2": ("2.0", "+2", "two", "二", "两"),
        "3": ("3.0", "+3", "three", "三"),
    },
    firm=True,
)
"""The five levels of relevance."""

_SAYS = re.compile(
    r"(?P<final>\b(?:final|overall|correct|in conclusion|conclusion)\b[ \w,]{0,20}?"
    r"(?:\b(?:answer|category|tag|label|level|score|rating|choice|verdict)\b)?\s*(?::|=|\bis\b:?)"
    r"|\bboxed\b|(?:最终|最后|综上|因此|所以)[^\n:。,]{0,12}?(?:是|为|选|:):?)"
    r"|(?P<said>\b(?:answer|response|output|category|tag|hashtag|topic|label|choice|option|class"
    r"|classification|level|score|rating|relevance|verdict|judge?ment|prediction|sentiment|emotion"
    r"|stance|result)\b"
    r"(?: \w{1,12}){0,3}?\s*(?::|=|\b(?:is|are|would be|should be|will be)\b:?)"
    r"|\b(?:i|we)(?: ?(?:would|will|ll|d))? ?"
    r"(?:choose|chose|pick|picked|select|selected|say|go with|answer|rate it|vote for)\b:?"
    r"|\bhere(?: is| are|s)\b[^\n:.]{0,40}:"
    r"|\b(?:i think|i believe|i guess)(?: (?:that|it is|its|it should be))?\b"
    r"|\b(?:classified as|classify (?:it|this) as|belongs to|falls (?:under|into)|labell?ed as)\b"
    r"|(?:答案|分类|类别|类目|标签|话题|等级|级别|评级|评分|得分|分数|结果|选择|判断|输出|情感|立场)"
    r"(?:应该|应当|应|可以|就)?(?:是|为|:):?"
    r"|我?(?:会选|选择|认为是|觉得是|判断为)|(?:属于|归为|归入|归类为|应为|应选|应该是):?"
    r"|(?:是否|能否|可否)[^\n:。,]{0,12}:)"
    r"|(?P<changed>\b(?:actually|wait|correction|on second thought|i mean|sorry)\b"
    r"|更正|纠正|不对,|等等)"
)
_CLAUSE = re.compile(r"[,:]|\s-\s")
_SENTENCE = re.compile(r"[\n!?;。…]+|\.(?:\s|$)")
_EXPLAINS = re.compile(
    r"\b(?:because|since|as (?:it|the|this|there|they)|due to|given|while|whereas|although|though"
    r"|so that|which|based on)\b|因为|由于|虽然|尽管|鉴于|根据|而(?!非|不|是)"
)
_EXPLANATION = re.compile(
    r"^\W{0,8}(?:because|explanation|reason|reasoning|rationale|justification|analysis|note|this"
    r"|the (?:note|post|text|document|content)|it|other|others|although|while"
    r"|解释|理由|原因|分析|说明|因为|由于|这篇|该|笔记|文中|其他)"
)
_DENIES = re.compile(
    r"(?:\b(?:not(?! only)|no(?! doubt)|neither|nor|never|isnt|doesnt|dont|wasnt|arent|cannot|cant"
    r"|wouldnt|than|unlike|instead of|except|excluding|rejec(?:t|ted)|rule out|ruled out|eliminate"
    r"|without)\b(?: (?:about|an?|the|really|quite|just|in|related|to|of|suitable|fit|for|be|belong"
    r"|under|right|best|choose|pick|say|think|believe|it|its|that|is|this|category|tag|answer)\b){0,5}"
    r"|\bover|不是|并非|而非|不选|不属于|不应|不该|不会是|排除|不像|比)[^\w\n\ue000-\uf8ff]*$"
)
_FILLER = re.compile(
    r"\b(?:the|a|an|it|is|its|this|that|to|be|of|for|as|i|think|believe|choose|would|should|say|best|most|suitable|right"
    r"|appropriate|relevant|fitting|good|correct|answer|category|categories|tag|tags|hashtag|topic|label|level|score|rating"
    r"|option|choice|final|my|so|therefore|thus|hence|then|here|and|or|maybe|perhaps|both|either|all|also|possible|are|but"
    r"|sure|certainly|ok|okay|candidate|candidates|relevance|likely|probably|definitely|only"
    r"|rather|instead|actually|hmm|well|please|thanks|match|matches|fits|fit|with|points?|not|neither|nor|than|over|would|id|rate|rated|choose|go)\b"
    r"|[答案是为的类别分标签话题等级我认觉得选应该最合适这个条篇笔记属于和或与以及吧呢所以因此可能也许不而第]|[^\w\ue000-\uf8ff]|_"
)
# The word after a name that does not belong to the name.
_AFTER = re.compile(
    r"\s*(?:$|[^\w\s]|[\ue000-\uf8ff]|(?:is|was|are|it|its|the|this|that|these|fits?|would|should|could|can|best|seems?|looks?"
    r"|because|since|as|for|and|or|but|not|nor|than|over|rather|instead|category|categories|tag|tags|hashtag|topic|label|level|to"
    r"|option|choice|here|i|we|you|hope|in|on|with|from|so|too|also|matches|describes|captures|makes|suits|does|doesnt|isnt"
    r"|maybe|perhaps|only|explanation|reason|points?|out|note|while|which|whereas|due|given|if|\|)\b"
    r"|[的是类这分级吧呢啊了比更最而和与或因由标等不以及,、])"
)
_NUMBER_ENDS = re.compile(r"(?!\s*[%+]|[./-]\d|[-~]\s*\d|\s+out\b)")


def read_label(completion: Completion, known: Labels, language: str = "en") -> Reading:
    """The one label that an answer commits to.

    Args:
        completion: What the model gave back.
        known: The labels; see `labels`, `candidates`, `YES_NO`, `LEVELS`.
        language: Language of the item; only the kind of failure depends on it.

    Returns:
        The label as `known.names` has it (or an `exact` text); None and the failure where the text
        commits to no label or to several.
    """
    text = completion.text
    if len(text) < 300:
        plain = _key(text.strip())
        number = known.forms.get(plain)
        if number is not None:
            return Reading(known.names[number])
        if plain in known.exact:
            return Reading(known.exact[plain])
    text = own_text(text)
    number = _committed(_marked(text, known), known.firm or refused(text)) if text else None
    if number is not None:
        return Reading(known.names[number])
    return Reading(None, unread(completion, language))


def named_labels(completion: Completion, known: Labels) -> tuple[str, ...]:
    """All labels that a text names without denying them, outside its explanations."""
    named: list[int] = []
    for place, sentence in enumerate(_SENTENCE.split(_marked(own_text(completion.text), known))):
        if place == 0 or not _EXPLANATION.match(sentence):
            cut = _EXPLAINS.search(sentence)
            part = sentence[: cut.start()] if cut else sentence
            named += (n for _, n in _signs(part) if n in _named(part))
    return tuple(known.names[n] for n in dict.fromkeys(named))


def _marked(text: str, known: Labels) -> str:
    """The folded text with a private character in place of each label and each "the answer is"."""
    text = re.sub(r"[ \xa0]+", " ", folded(text))
    present = [(form, number) for form, number in known.longest if form in text]
    # First the labels that hold such words themselves ("I Think So"), then the words: in 答案是否
    # the sign 答案是 has to go before the label 是.
    for form, number in present:
        if len(form) > 5 and _SAYS.search(form):
            text = _replaced(text, form, chr(_BASE + number))
    text = _SAYS.sub(lambda m: f" {_SIGNS[m.lastgroup or 'said']} ", text)
    for form, number in present:
        text = _replaced(text, form, chr(_BASE + number))
    return text


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


def _committed(text: str, firm: bool) -> int | None:
    """The number of the label that a marked text commits to, None if to none or to several."""
    stated: list[_Stated] = []
    leading: frozenset[int] = frozenset()
    loose: set[int] = set()
    changed = False
    sentences = [s for s in _SENTENCE.split(text) if s.strip()]
    for place, sentence in enumerate(sentences):
        told = max(sentence.rfind(_SAID), sentence.rfind(_FINAL))
        changed = changed or _CHANGED in sentence
        # A sign with no label after it ("X is the category: ...") tells about what stands before.
        if told >= 0 and not _named(sentence[told:]):
            told = -1
        if told < 0 and place and _EXPLANATION.match(sentence):
            continue
        part = sentence[told + 1 :]
        cut = _EXPLAINS.search(part)
        part = part[: cut.start()] if cut else part
        names = _named(part)
        if not names:
            continue
        bare, begins = _is_bare(part), _begins(part)
        short = len(part.split()) <= 5 and len(part) <= 40
        if told >= 0 and (bare or begins or not (short or firm)):
            named = _chain(part) if begins and not bare else names
            stated.append(_Stated(named, True, changed or sentence.rfind(_FINAL) == told))
        elif bare and (not leading or _is_alone(part)):
            stated.append(_Stated(names, False, changed))
        elif begins and not place:
            leading = _chain(part)
        elif place == len(sentences) - 1 and len(names) == 1 and _is_bare(_CLAUSE.split(part)[-1]):
            stated.append(_Stated(names, False, changed))
        elif not short:
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


class _Stated(NamedTuple):
    """Labels stated in one sentence: `told` after a sign, `final` in place of earlier ones."""

    names: frozenset[int]
    told: bool
    final: bool


def _signs(text: str) -> list[tuple[int, int]]:
    """(position, number) of each label in a marked text."""
    return [(i, ord(c) - _BASE) for i, c in enumerate(text) if _BASE <= ord(c) < ord(_SAID)]


def _named(part: str) -> frozenset[int]:
    """The labels in a clause that are not denied there."""
    signs = _signs(part)
    if len(signs) > _MANY:
        return frozenset(n for _, n in signs)
    return frozenset(n for i, n in signs if not _DENIES.search(part[max(0, i - 60) : i]))


def _is_bare(part: str) -> bool:
    """Whether a clause holds nothing but labels and filling words."""
    return not re.sub("[\ue000-\uf8ff]", "", _FILLER.sub("", part))


def _is_alone(part: str) -> bool:
    """Whether a clause holds nothing but labels and punctuation."""
    return not re.sub("[\\W_]", "", part)


def _begins(part: str) -> bool:
    """Whether a clause begins with a label."""
    plain = part.lstrip(" \t:-–—|>.,")
    return bool(plain) and _BASE <= ord(plain[0]) < ord(_SAID)


def _chain(part: str) -> frozenset[int]:
    """The labels with which a clause begins, as long as only commas or "and" stand between them."""
    chain = re.match("(?:[\\s,、/|&:.-]|and |or |和|或|与|[\ue000-\uf8ef])+", part)
    return _named(chain.group()) if chain else frozenset()
