"""Reads which of several lettered options an answer chooses: its letter or its text.

A stated letter ("answer: C", 答案：C, 选C) wins, the last of them. A letter that the answer begins
with counts only if nothing else that it says, reasons apart, names another letter or option: an
answer that repeats the options chooses none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .extract_label import candidate_labels, extract_label
from .extraction import answer_text, normalize
from .schema import Completion

_OPENS, _CLOSES = r"[(\[*（【\"'“]{0,4}", r"[)\]*）】\"'”.]{0,4}"
# A letter, but not the article ("the answer is a dog").
_ONE = r"(?![ai]\s+(?!(?:because|since|as|for|and|or|is)\b)[a-z])([a-z])(?![a-z'’])"
_STATED = re.compile(
    r"(?:(?<!not )(?<!not the )(?<!wrong )(?<!incorrect )"
    r"\banswer\b(?:[^\n.;:：]{0,40}?\bis\b)?|\bfinal (?:choice|option)\b(?: is)?"
    r"|(?<!not )(?<!n['’]t )\b(?:choose|pick|select|go with)\b"
    r"|答案(?:应该|应)?[是为]?|正确(?:选项|的)[是为]?|(?<![不未别能挑可])选择?(?!项))"
    r"\W{0,2}\s*(?:the )?(?:(?:correct |right )?(?:option|choice|letter)\b|选项)?\s*"
    rf"{_OPENS}{_ONE}",
    re.I,
)
_ANOTHER = re.compile(
    rf"{_CLOSES}\s*(?:or|and|[/,，、&+或和与])\s*(?:option |choice )?{_OPENS}{_ONE}", re.I
)
_FIRST = re.compile(
    r"\W*(?:(?:the |my )?(?:correct |best |final |right )?(?:answer|choice|option)\b(?: is)?\W*)?"
    r"([a-z])(?=[)\]*.:：）】、,，。\"'”]|\s*(?:$|\n))[)\]*.:：）】、,，。\"'”]{0,5}",
    re.I,
)
_REASON = re.compile(
    r"\b(?:because|since|as (?:it|the|this|that)|due to|given that)\b|因为|由于"
    r"|\n\W{0,8}(?:explanation|reason|rationale|justification|解释|理由|原因|分析|说明)\b",
    re.I,
)
_NO = re.compile(r"(?:no|not|wrong|false|incorrect)\b|[不错]", re.I)
# Another letter: a capital one, or a small one with a mark behind it; no article, no "I".
_LETTER = re.compile(
    r"(?<![A-Za-z'’])(?:(?!A\s+[a-z]|I(?![).:]))([A-Z])(?![A-Za-z'’])|([a-z])(?=\)))"
)
_SAID = re.compile(r"\banswer\b[^\n.:：]{0,30}?(?:\bis\b|[:：])|答案[是为]?[:：]?", re.I)


def chosen(
    text: str, lists: Sequence[Sequence[str]], number: int, language: str = "en"
) -> int | None:
    """The place of the option that an answer chooses; None if it chooses none, or several.

    Args:
        text: The answer.
        lists: The texts of the options, in one wording or several.
        number: How many options there are.
        language: Of the item.
    """
    text = answer_text(text)
    stated = [m for m in _STATED.finditer(text[-2_000:]) if _place(m[1]) < number]
    if stated:
        found = stated[-1]
        other = _ANOTHER.match(found.string, found.end())
        if other and _place(other[1]) not in (_place(found[1]), *range(number, 26)):
            return None
        rest = normalize(found.string[found.end() :])
        named = [n for own in lists for n in range(number) if normalize(own[n]) == rest]
        return _place(found[1]) if not named or _place(found[1]) in named else None
    first = _FIRST.match(text)
    if first and (place := _place(first[1])) < number:
        if not _names_another(text[first.end() :], place, lists, number):
            return place
        *_, said = (None, *_SAID.finditer(text))
        if said is None:
            return None
        text = text[said.end() :]
    for own in lists:
        answer = extract_label(Completion(text), candidate_labels(tuple(own)), language).answer
        if answer is not None:
            return own.index(answer)
    return None


def _place(letter: str) -> int:
    return ord(letter.upper()) - ord("A")


def _names_another(rest: str, place: int, lists: Sequence[Sequence[str]], number: int) -> bool:
    """Whether what follows a letter names another, or another option, or denies it."""
    if reason := _REASON.search(rest):
        rest = rest[: reason.start()]
    plain = normalize(rest)
    if any(plain == normalize(own[place]) for own in lists):
        return False
    texts = {normalize(own[n]): n for own in lists for n in range(number) if n != place}
    texts |= {normalize(own[place]): place for own in lists}
    own_text = False
    for option in sorted(texts, key=len, reverse=True):
        if len(option) < 2 and option.isascii() and option.isalpha():
            continue
        form = rf"(?<![a-z0-9]){re.escape(option)}(?![a-z0-9])"
        if not option[:1].isascii():
            form = re.escape(option)
        if option and re.search(form, plain):
            if texts[option] != place:
                return True
            own_text = True
            plain = re.sub(form, " ", plain)
    if _NO.match(rest.lstrip(" :：,，.。)*")) and not own_text:
        return True
    for own in lists:
        if len(own[place].strip()) > 1:
            rest = re.sub(re.escape(own[place].strip()), " ", rest, flags=re.I)
    letters = {_place(a or b) for a, b in _LETTER.findall(rest)}
    return bool({n for n in letters if n < number} - {place})
