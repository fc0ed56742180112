"""Extracts the one label that an answer commits to: a candidate, yes or no, a level.

Labels are searched in the whole answer, the longest first. One inside a longer name does not count
("Travel Guides" is not `Travel`). Three kinds of mention commit the answer, strongest first:

1. *stated*: after "the answer is", "category:", "I choose", 我选, ...; or alone in its sentence.
   Two different stated labels are no answer, unless the later one is marked as final ("final
   answer") or as a correction ("actually", "wait", 更正);
2. *leading*: the text begins with the label, then explains ("X, because ...", "X - ...");
3. *loose*: a sentence names exactly one label ("This tweet expresses joy"), and no other sentence
   that is no explanation names another.

What follows "because", "since", "while" or stands in a sentence of explanation does not count, nor
does what is denied ("not X but Y", "X does not fit").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from .extraction import (
    Extraction,
    answer_text,
    failure_kind,
    fold,
    is_refusal,
    normalize,
    plain_marks,
    simplified,
)
from .schema import Completion


@dataclass(frozen=True, slots=True)
class LabelSet:
    """A closed set of labels with the ways to write them.

    Attributes:
        names: The labels.
        forms: Normalized ways to write a label -> its number in `names`.
        longest: (form, number), the longest form first.
        firm: Of labels that are everyday words ("no"), only stated and leading mentions count.
        words: The labels are words of a fixed set, never parts of longer names.
        exact: Normalized text -> label, for labels that count only as the whole answer.
    """

    names: tuple[str, ...]
    forms: Mapping[str, int]
    longest: tuple[tuple[str, int], ...] = field(repr=False)
    firm: bool = False
    words: bool = False
    exact: Mapping[str, str] = field(default_factory=dict)


def labels(
    forms: Mapping[str, Iterable[str]] | Iterable[str],
    *,
    firm: bool = False,
    words: bool = False,
    exact: Iterable[str] = (),
) -> LabelSet:
    """A label set.

    Args:
        forms: The labels, or label -> further ways to write it. Labels that `normalize` cannot
            tell apart are one label, the first.
        firm: See `LabelSet`, and the next.
        words: As there.
        exact: Labels that count only as the whole answer.
    """
    table = forms if isinstance(forms, Mapping) else {name: () for name in forms}
    numbers: dict[str, int] = {}
    for number, (name, others) in enumerate(table.items()):
        for text in (name, *others):
            if plain := _normalize(text):
                numbers.setdefault(plain, number)
    longest = tuple(sorted(numbers.items(), key=lambda item: (-len(item[0]), item[0])))
    return LabelSet(tuple(table), numbers, longest, firm, words, {normalize(t): t for t in exact})


def _normalize(text: str) -> str:
    """`normalize`, with what is more than decoration in a number."""
    number = text.lstrip("-").isdigit()
    return simplified(" ".join(fold(text).split()) if number else normalize(text))


@lru_cache(maxsize=1 << 12)
def candidate_labels(texts: tuple[str, ...], exact: tuple[str, ...] = ()) -> LabelSet:
    """`labels` of an item's own candidates, cached for the next answer to the same item."""
    return labels(texts, exact=exact)


YES_NO = labels(
    {
        "Yes": (
            *("yes it is", "yes it does", "yes it can", "yeah", "yep", "true"),
            *("是", "是的", "对", "对的", "正确", "没错", "能", "可以", "会", "会的"),
            *("会引起", "会引起讨论", "会引发", "会引发讨论"),
        ),
        "No": (
            *("no it is not", "no it isnt", "no it does not", "no it doesnt", "no it cannot"),
            *("no it cant", "nope", "false"),
            *(
                "否",
                "不",
                "不是",
                "不是的",
                "不对",
                "不正确",
                "错",
                "错误",
                "不能",
                "不可以",
                "不会",
                "没有",
            ),
            *("不会引起", "不会引起讨论", "不会引发", "不会引发讨论"),
        ),
    },
    firm=True,
)
"""`Yes` and `No`, in English and Chinese."""

RELEVANCE_LEVELS = labels(
    {
        "-1": ("-1.0", "minus one", "negative one", "minus 1", "negative 1", "负1", "负一"),
        "0": ("0.0", "zero", "零"),
        "1": ("1.0", "+1", "one", "一"),
        "2": ("2.0", "+2", "two", "二", "两"),
        "3": ("3.0", "+3", "three", "三"),
    },
    firm=True,
)
"""The five levels of relevance."""

_ASIDE = re.compile(r"[(（][^()（）\n]{0,300}[)）]")


def extract_label(completion: Completion, known: LabelSet, language: str = "en") -> Extraction:
    """Extracts the one label that an answer commits to.

    Args:
        completion: What the model generated.
        known: See `labels`, `candidate_labels`, `YES_NO`, `RELEVANCE_LEVELS`.
        language: Language of the item; only the kind of failure depends on it.

    Returns:
        The label as `known.names` has it (or an `exact` one); None and the failure where the text
        commits to no label or to several.
    """
    text = completion.text
    if len(text) < 300:
        plain = _normalize(text.strip())
        number = known.forms.get(plain)
        if number is not None:
            return Extraction(known.names[number])
        if plain in known.exact:
            return Extraction(known.exact[plain])
    text = plain_marks(answer_text(text))
    refused = is_refusal(text)
    number = _committed(_marked(text, known), known, refused)
    if number is None and _ASIDE.search(text):
        # In "Baking (bread)" the brackets, which folding drops, part the label from other words.
        number = _committed(_marked(_ASIDE.sub("\n", text), known), known, refused)
    if number is not None:
        return Extraction(known.names[number])
    return Extraction(None, failure_kind(completion, language))


def mentioned_labels(completion: Completion, known: LabelSet) -> tuple[str, ...]:
    """All labels that a text names without denying them, outside its explanations."""
    numbers: dict[int, None] = {}
    for place, sentence in enumerate(_sentences(_marked(answer_text(completion.text), known))):
        if place == 0 or not _EXPLANATION.match(sentence):
            numbers |= dict.fromkeys(_numbers(_claim(sentence)))
    return tuple(known.names[number] for number in numbers)


# --- marking: one private character in place of each label -------------------------------------

_BASE = 0xE000
_EVERYDAY = 0xF000
"""Marks from here on stand for everyday words, which count only where they are stated."""
_LABEL = "[\ue000-\uf8ff]"
# "2 out of 3" is level 2; a question repeated in Chinese (是否会 ...) names no label.
_OUT_OF_THREE = re.compile(r"((?:[:=]|\bis|\blevel|\bscore)\s*[0-3])\s*(?:/|out of)\s*3\b")
_QUESTION = re.compile(
    r"(?<=[案为该的别分])是(?=[:\s]*[是否对不没会能可正])|(?<![案为该的别])(?:是否|能否|是不是|会不会)[^\n,:;。?!]*"
)
_ENUMERATOR = re.compile(rf"(?<![\w.-])(?:\d{{1,2}}|[a-j])[.)、 ]\s*(?={_LABEL})")
_CONTRACTED = re.compile(r"\b(is|are|was|were|does|do|did|could|would|should|has|have|can)nt\b")
_ASKED = re.compile(
    r"(?:^|(?<=[.!?:] )|(?<=\n))(?:is|are|was|does|do|did|which|what|should|could|would|can)"
    r" [^\n.!?]{1,200}\?"
)
# "Positive? No, negative."
_ANSWERED_NO = re.compile(
    rf"{_LABEL}(?:[\s,/]{{0,3}}(?:\bor\b|或者?|还是)?\s*{_LABEL}){{0,5}}\s*\?\s*"
    r"(?:(?:no|nope|not really)\b(?! doubt)|不(?:是|对)?|否)[^\w\n\ue000-\uf8ff]*"
)
_NOT_NOT = re.compile(r"不是不(?:会|能|可以|是|对)(?:引[起发](?:讨论)?)?")
_JOINED = re.compile(r"[^\W_\u3040-\u9fff]{2}")
_NUMBER_ENDS = re.compile(r"(?!\s*[%+]|[./-]\d|[-~]\s*\d|\s+out\b)")

# Words that belong to no label's name, and say nothing about which label is meant.
_COMMON = (
    "the it is its this that these to as for about best should would fit fits match matches topic"
    "|here and or not neither nor than over rather instead category categories tag tags hashtag"
    "|label level option choice so also maybe perhaps but only note post with point points i"
).replace(" ", "|")
# What may follow a label; otherwise it is the beginning of a longer name ("Travel Guides").
_NAME_ENDS = re.compile(
    rf"(?!-\w)(?:[^\S\n]?\n|\s*(?:$|[^\w\s]|{_LABEL}|\d{{1,2}}[.)]\s|(?:{_COMMON}|was|are|can"
    r"|could|seems?|looks?|because|since|we|you|hope|in|on|from|too|describes|captures|suits|does"
    r"|doesnt|isnt|arent|cannot|cant|explanation|reason|out|while|which|due|given|if|most)\b"
    r"|[的是类这分级吧呢啊了比更最而和与或因由标等不无以及,、]))"
)


def _marked(text: str, known: LabelSet) -> str:
    """The folded text with each label replaced by one private character, the longest first."""
    text = _OUT_OF_THREE.sub(r"\1", re.sub(r"[ \xa0]+", " ", simplified(fold(text))))
    text = _QUESTION.sub(":", text)
    if known.firm:
        text = _NOT_NOT.sub(" ", text)
    if known.words:
        text = _ASKED.sub(" ", _CONTRACTED.sub(r"\1 not", text))
    for form, number in known.longest:
        if form in text:
            everyday = known.firm and form in _everyday()
            sign = chr((_EVERYDAY if everyday else _BASE) + number)
            text = _mark(text, form, sign, known.words and not everyday)
    return _ENUMERATOR.sub(", ", _ANSWERED_NO.sub("\n", text))


@lru_cache(maxsize=1)
def _everyday() -> frozenset[str]:
    """Forms of labels that are said in any sentence, whatever it is about."""
    return frozenset({*YES_NO.forms, *RELEVANCE_LEVELS.forms, "none", "neither", "neutral"})


def _mark(text: str, form: str, sign: str, word: bool) -> str:
    """`text` with the free-standing occurrences of a form replaced; linear."""
    parts: list[str] = []
    done, at = 0, text.find(form)
    while at >= 0:
        end = at + len(form)
        if _stands_alone(text, at, end, word):
            parts += text[done:at], sign
            done = end
        at = text.find(form, end)
    return "".join([*parts, text[done:]]) if parts else text


def _stands_alone(text: str, at: int, end: int, word: bool) -> bool:
    """Whether `text[at:end]` is no part of a word, a number or, unless a `word`, a longer name."""
    before = text[max(0, at - 2) : at]
    if _JOINED.match(before[-1:] + text[at]) or _JOINED.match(text, end - 1, end + 1):
        return False
    if text[end - 1].isdigit():
        return before[-1:] not in tuple("-+./%") and bool(_NUMBER_ENDS.match(text, end))
    if re.match(r"\w[-&]", before):
        return False
    return bool(re.compile(r"(?!-\w)").match(text, end) if word else _NAME_ENDS.match(text, end))


# --- weighing ----------------------------------------------------------------------------------

_SENTENCE_ENDS = re.compile(r"[\n!?;。…]+|\.(?:\s|$)")
_FINAL = re.compile(r"\b(?:final|actually|correction|wait)\b|最终|更正")
_LEADING = re.compile(rf"[ \t:–—|>.,-]*({_LABEL}(?:[\s,、/|&:.-]|and |or |和|或|与|{_LABEL})*)")
# Statements: "the answer is", "category:", "I choose", 我选择.
_NOUN = (
    "answer|response|output|category|tag|hashtag|topic|label|choice|option|class|classification"
    "|level|score|rating|relevance|sentiment|emotion|stance|result|best|closest|most suitable"
)
_SAID = re.compile(
    rf"\b(?:{_NOUN})\b(?: [\w\ue000-\uf8ff]{{1,12}}){{0,3}}?\s*(?:[:=]|\b(?:is|are|\w+d be)\b:?)"
    r"|\b(?:so (?:it|this) is|choose|pick|select|go with|belongs to|falls (?:under|into)|i think"
    r"|(?:classif|categori)\w{1,3} (?:\w{1,12} ){0,2}as)\b|\bhere\b[^\n:]{0,40}:|^:"
    r"|(?:答案|分类|类别|标签|话题|等级|评分|结果|判断|输出|回答|更正):|(?<![不因])[是为给]|选择:?"
)
_REASON = (
    r"\b(?:because|since|as (?:it|the|this|there|they)|due to|given|while|although|though|which"
    r"|based on)\b|因为|由于|虽然|尽管|根据"
)
_REASON_BEFORE = re.compile(rf"^[ ,]*(?:{_REASON})[^,:]*(?:[,:]|$)")
_REASON_AFTER = re.compile(rf"(?:{_REASON}|而(?!非|不|是)).*$", re.S)
_EXPLANATION = re.compile(
    r"^\W{0,8}(?:because|explanation|reason|rationale|justification|analysis|note|this|it|others?"
    r"|the (?:note|post|text)|解释|理由|原因|分析|说明|因为|由于|这篇|该|笔记|文中|其他)"
)
# "not about X or Y", and "X and Y do not fit".
_NEGATED = re.compile(
    r"(?:\b(?:not(?! only)|no(?! doubt)|neither|nor|never|isnt|doesnt|dont|cannot|cant|than|over"
    r"|unlike|instead of|except|without|nothing)\b(?: (?:about|an?|the|really|just|in|related|to|of"
    r"|suitable|fit|for|be|belong|right|best|choose|say|think|it|its|that|is|this|category|tag"
    r"|answer|do|with|mention|match|describe|show)\b){0,5}|不是|并非|而非|不选|不属于|比)"
    rf"[^\w\n\ue000-\uf8ff]*{_LABEL}(?:\s*(?:\bn?or\b|/|或)\s*{_LABEL})*"
)
_REJECTED = re.compile(
    rf"{_LABEL}(?:\s*(?:,|/|,?\s?\band\b|,?\s?\bor\b|[、和与或])\s*{_LABEL}){{0,9}}\s*(?:"
    r"(?:is|are|was|were|does|do|would|could|can)(?: ?not|nt)\b(?! (?:only|just))"
    r"|(?:is|are|seems?) (?:too |less )?(?:wrong|incorrect|irrelevant|unrelated|unsuitable"
    r"|absent|missing|lacking|unlikely|impossible)\b"
    r"|[都也]?不(?:太|够)?(?:合适|适合|符合|相关|匹配|对|属于|适用)|无关)"
)
# A clause of labels and these words only is a statement.
_FILLER = re.compile(
    rf"\b(?:{_COMMON}|an?|be|of|think|believe|choose|pick|say|give|suitable|right|appropriate"
    r"|relevant|good|correct|answer|score|rating|final|my|therefore|thus|hence|then|both|either"
    r"|all|possible|are|sure|certainly|ok|okay|candidates?|relevance|likely|probably|definitely"
    r"|actually|wait|correction|most|well|please|thanks|id|rate|classify|boxed)\b"
    r"|[答案是为的类别分标签话题等级我认觉得选应该最更合适符相关匹配这个条篇笔记属于"
    r"和或与以及吧呢所因此可能也许不而第给]|[^\w\ue000-\uf8ff]|_"
)
_CLAUSE_ENDS = re.compile(r"[,:=]|\s-\s")
_HAN = re.compile(r"[\u3040-\u9fff]")


# What a sentence has that is no longer name: somebody or something that does something.
_SENTENCE = re.compile(
    r"^\W*(?:(?:overall|clearly|sure|so|well|okay|ok|hmm|based on [^,]{0,80},),? )*(?:this|that|it"
    r"|its|i|my|we|he|she|they|there|the (?:tweet|post|note|text|content|writer|author|user|speaker"
    r"|message|comment|overall|main|sentiment|emotion|tone|mood|stance|attitude|category|tag"
    r"|topic)s?)\b"
    r"|\b(?:is|are|was|were|be|has|have|seems?|looks?|sounds?|appears?|feels?|express(?:es|ed|ing)?"
    r"|shows?|conveys?|reflects?|contains?|describes?|represents?|indicates?|suggests?|impl(?:y|ies)"
    r"|portrays?|displays?|evokes?|makes|fits?|match(?:es)?|belongs?|falls|means|exhibits?"
    r"|demonstrates?|communicates?|captures?|talks?|discusses|covers|mentions|focus(?:es)?|leans?"
    r"|would|should|could|can|might|may|must)\b"
    r"|^(?:这|该|本|它|我|笔记|内容|帖子|作者|主题|文章|文中)|讲|介绍|关于|描述|表达|涉及|围绕|体现|适合|符合|对应"
    r"|归[于入为类]|属于"
)
# Before a label, in the same clause: what denies it or leaves it open.
_DOUBT = re.compile(
    r"\b(?:not(?! only)|no|never|neither|nor|cannot|cant|\w{2,6}nt|hardly|barely|scarcely|rarely"
    r"|without|lack(?:s|ing)?|absence of|far from|anything but|nothing|none|instead of|rather than"
    r"|less|opposite of|fails? to|free of|devoid of|whether|if|unless|unclear|unsure|unknown"
    r"|unlikely|hard to|difficult to|impossible to)\b|没|不|未|非|无|缺乏|是否"
)
_VERB = re.compile(r"choose|pick|select|go with|belongs|falls|i think|classif|categori")
_DENIED_VERB = re.compile(r"\b(?:not(?! only)|never|cannot|\w{2,6}nt)\b[\w ]{0,30}$")
_CLAUSES = re.compile(
    r"[,:，：]|\s-\s|(?<!anything )\bbut\b|\byet\b|\bso\b|而是|但是?"
    r"|\band (?=(?:it|this|is|are|was|expresses|shows|feels|sounds|seems|so)\b)"
)


def _committed(text: str, known: LabelSet, refused: bool) -> int | None:
    """The number of the label that a marked text commits to, None if to none or to several."""
    firm = known.firm or refused
    stated: list[set[int]] = []
    leading: set[int] = set()
    loose: list[set[int]] = []
    settled = False
    sentences = _sentences(text)
    for place, sentence in enumerate(sentences):
        final = bool(_FINAL.search(sentence))
        explanation = _EXPLANATION.match(sentence) if place else None
        if explanation and (stated or leading) and not final:
            continue
        *_, said = (None, *_SAID.finditer(sentence))
        if said and _VERB.match(said[0]) and _DENIED_VERB.search(sentence[: said.start()]):
            continue
        part = _claim(sentence[said.end() :]) if said else ""
        if not _numbers(part):
            said, part = None, _claim(_SAID.sub(" ", sentence))
        names, begins, bare = set(_numbers(part)), _LEADING.match(part), _is_bare(part)
        if not names:
            continue
        if explanation and not (said or bare):
            loose += _named(sentence) if known.words or _SENTENCE.search(sentence) else []
            continue
        if begins and not bare:
            names = set(_numbers(begins[1]))
        # A label in a short clause may be part of a longer name.
        short = len(part.split()) <= 5 and len(part) <= (12 if _HAN.search(part) else 40)
        if (said and (bare or begins or not (short or firm))) or (bare and not leading):
            single = all(names == other for other in stated if len(other) == 1)
            settled = final or bool(said and single)
            stated.append(names)
        elif begins and not place:
            leading = names
        elif place == len(sentences) - 1 and len(names) == 1 and _ends_bare(part):
            stated.append(names)
            settled = False
        elif known.words or not short or _SENTENCE.search(sentence):
            loose += _named(sentence)
    chosen = leading
    if stated:
        chosen = stated[-1] if settled else set().union(*stated)
    elif not chosen and not refused and any(len(names) == 1 for names in loose):
        # "It could be joy or anger. The tweet expresses joy."
        chosen = set.intersection(*loose)
    return min(chosen) if len(chosen) == 1 else None


def _named(sentence: str) -> list[set[int]]:
    """The labels that a sentence names and does not deny, everyday words apart, as one set."""
    names: set[int] = set()
    for clause in _CLAUSES.split(_claim(sentence)):
        doubt = _DOUBT.search(clause)
        names |= set(_numbers(clause[: doubt.start()] if doubt else clause, _EVERYDAY))
    return [names] if names else []


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCE_ENDS.split(text) if sentence.strip()]


def _claim(sentence: str) -> str:
    """A sentence without reasons and without what it denies."""
    part = _REASON_AFTER.sub("", _REASON_BEFORE.sub("", sentence))
    return _NEGATED.sub(lambda m: re.sub(_LABEL, "", m[0]), _REJECTED.sub(" ", part))


def _numbers(part: str, end: int = 0xF900) -> list[int]:
    """The numbers of the labels in a marked text, in order; `end` is behind the last mark."""
    return [(ord(c) - _BASE) % (_EVERYDAY - _BASE) for c in part if _BASE <= ord(c) < end]


def _ends_bare(part: str) -> bool:
    """Whether the last clause is of labels and filling words."""
    last = _CLAUSE_ENDS.split(part)[-1]
    return bool(_numbers(last)) and _is_bare(last)


def _is_bare(part: str) -> bool:
    """Whether a clause holds nothing but labels and filling words."""
    return not re.sub(_LABEL, "", _FILLER.sub("", part))
