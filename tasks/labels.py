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
does what is denied ("not X but Y", "X does not fit"), and a list of several labels commits to none
of them. The words and rules by which this is told are in `commitment`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from .answers import Reading, folded, key, own_text, refused, unread
from .commitment import committed, holds_label, marked, mentioned
from .schema import Completion


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
            *("会引起", "会引起讨论", "会引发", "会引发讨论"),
        ),
        "No": (
            *("no it is not", "no it isnt", "no it does not", "no it doesnt", "no it cannot"),
            *("no it cant", "nope", "false"),
            *("否", "不", "不是", "不是的", "不对", "不能", "不可以", "不会", "没有"),
            *("不会引起", "不会引起讨论", "不会引发", "不会引发讨论"),
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

_ASIDE = re.compile(r"[(（][^()（）\n]{0,300}[)）]")


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
    number = _committed(text, known) if text else None
    if number is not None:
        return Reading(known.names[number])
    return Reading(None, unread(completion, language))


def _committed(text: str, known: Labels) -> int | None:
    firm = known.firm or refused(text)
    number = committed(marked(text, known.longest), firm)
    if number is None and _ASIDE.search(text):
        # In "Baking (bread)" the brackets, which folding drops, part the label from other words.
        bare = _ASIDE.sub(lambda m: m[0] if _names_label(m[0], known) else "\n", text)
        number = committed(marked(bare, known.longest), firm)
    return number


def _names_label(text: str, known: Labels) -> bool:
    return holds_label(marked(text, known.longest))


def named_labels(completion: Completion, known: Labels) -> tuple[str, ...]:
    """All labels that a text names without denying them, outside its explanations."""
    numbers = mentioned(marked(own_text(completion.text), known.longest))
    return tuple(known.names[n] for n in numbers)
