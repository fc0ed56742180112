"""Items, the families that draw them, and the forms of their answers.

A family is a function from a random generator and a language to one item. Item number n of a seed
depends on the family, the seed and the items before it only, so a longer list begins with the
shorter one. A form is how an answer is written, parsed and compared: a sample's target is
`{"form": ..., "answer": ..., "rules": ...}`, so one scoring serves all families.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from operator import eq
from random import Random
from typing import Any

from ..errors import RedoneError
from ..extract_label import candidate_labels, extract_label
from ..extract_list import extract_list
from ..extraction import (
    MAX_CHARS,
    Extraction,
    answer_parts,
    answer_text,
    extract_text,
    is_refusal,
    is_wrong_language,
    normalize,
    parse_literal,
)
from ..extraction import failure_kind as unreadable
from ..metrics.classification import accuracy, accuracy_scoring
from ..schema import Completion, Failure, Metric, Sample, Score, Scoring, Services
from .rules import RULES, mentions

LANGUAGES = ("en", "en", "zh")
"""Items take turns: two in English, one in Chinese."""

TRIES = 1000
"""Draws of one item until it is a new one; a family must not come near this."""

Make = Callable[[Random, str], "Item"]
"""Draws one item in a language."""


@dataclass(frozen=True, slots=True)
class Item:
    """One generated question.

    Attributes:
        question: The whole prompt.
        form: Key of `FORMS`, or `rules`: how the answer is written, parsed and compared.
        answer: The gold answer, as its form has it.
        options: The pieces that a trivial baseline combines, as the question has them; for a choice
            the candidates.
        rules: For the form `rules`: (name, argument) of each checker that must agree.
        source: What the item is about: items of one source share a partition. `draw` fills in the
            question where a family leaves it out.
        skill: What it asks for, within its family.
        language: `en` or `zh`; filled in by `draw`.
        rationale: The reasoning that leads to the answer; "" in evaluation families.
    """

    question: str
    form: str
    answer: Any
    options: tuple[str, ...] = ()
    rules: tuple[tuple[str, Any], ...] = ()
    source: str = ""
    skill: str = ""
    language: str = ""
    rationale: str = ""

    @property
    def text(self) -> str:
        """The text of a perfect answer."""
        return text_of(self.form, self.answer, self.language)


@dataclass(frozen=True, slots=True)
class Family:
    """A source of any number of items.

    Attributes:
        name: Unique.
        title: For people.
        make: Draws one item.
        train: Whether models may be trained on it. If not, it is for evaluation only.
    """

    name: str
    title: str
    make: Make
    train: bool = False


def say(language: str, english: str, chinese: str) -> str:
    """The text of a language."""
    return english if language == "en" else chinese


def pairs(english: str, chinese: str) -> tuple[tuple[str, str], ...]:
    """The words of two lists, English and Chinese, in pairs; separated by `, ` and by `、`."""
    return tuple(zip(english.split(", "), chinese.split("、"), strict=True))


def one_of(skills: Mapping[str, Make], english_only: Sequence[str] = ()) -> Make:
    """Draws a skill, then an item of it.

    Args:
        skills: By name.
        english_only: Skills that Chinese items do not have.
    """
    chinese = [skill for skill in skills if skill not in english_only]

    def make(random: Random, language: str) -> Item:
        skill = random.choice(list(skills) if language == "en" else chinese)
        return replace(skills[skill](random, language), skill=skill)

    return make


def draw(family: Family, seed: int = 0, count: int = 100) -> Iterator[Item]:
    """The first `count` items of a seed, all different, the languages in turn.

    Raises:
        RedoneError: The count is negative, or the family has not so many different items.
    """
    if count < 0:
        raise RedoneError(f"{count} items cannot be generated: expected 0 or more.")
    seen: set[str] = set()
    for number in range(count):
        language = LANGUAGES[number % len(LANGUAGES)]
        for attempt in range(TRIES):
            item = family.make(Random(f"{family.name}|{seed}|{number}|{attempt}"), language)
            if item.question not in seen:
                break
        else:
            raise RedoneError(
                f"The family {family.name!r} has no more than {number} different items for seed "
                f"{seed}; {count} were requested. Use a smaller count and other seeds."
            )
        seen.add(item.question)
        yield replace(item, language=language, source=item.source or item.question)


# --- parsing numbers -----------------------------------------------------------------------------

_DASHES = "−–—‐‑‒―⁻﹣－➖"
_MINUS = re.compile(
    rf"(?<![-{_DASHES}\d])(?:[−⁻﹣－➖]\s*|(?<!\w)[—―]|[–‐‑‒])(?=[$€£¥]?\s?\d)"
    r"|(?<!\d )\b(?:minus|negative)\s+(?=\d)|[负負]\s*(?=\d)",
    re.I,
)
_SIGN = re.compile(r"[①-⓿❶-➓](?=\s*\S)")
_CURRENCY = re.compile(r"-[$€£¥]\s?(?=\d)|[$€£¥]\s?-(?=\d)")
# 1{,}200, 1\,200, 1 200 with a thin or a hard space, 1'200, 1_200
_GROUP = re.compile(
    r"(?<=\d)(?:\{\\{0,2}[,，]\}|\\{1,2}[,;:!> ]|[\xa0\u2006-\u2009\u202f'’_，٬])(?=\d{3}(?!\d))"
)
_NUMBER = r"(?<![A-Za-z0-9_.])-?(?:\d{1,3}(?:,\d{3})+|\d{1,12})(?:\.\d{1,6})?(?![\d])"
_SPACED = r"(?<![A-Za-z0-9_.])-?\d{1,3}(?:[ ]\d{3})+(?![ ]?\d)(?:\.\d{1,6})?(?!\d)"
_OTHER = "ǁ"
"""In place of a number in a notation that is not read: a fraction, a power, "1万2"."""
_UNSEEN = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff]")
_BRACED_GROUP = re.compile(r"(?<=\d)[,，]\{(\d{3})\}")
_SCIENTIFIC = re.compile(
    r"(?<![\w.,])(\d{1,12}(?:\.\d{1,12})?)(?:e([-+]?\d{1,2})(?!\w)"
    r"|\s{0,3}(?:[x×*·]|\\{1,2}(?:times|cdot))\s{0,3}10\s?\^\s?\{?([-+]?\d{1,2})(?!\d)\}?|(k)(?!\w))",
    re.I,
)
_POINTS = re.compile(
    r"(?<![\w.,])(\d{1,3}(?:\.\d{3})+)(?:,(\d{1,2})|(?<=\.\d{3}\.\d{3}))(?![\w.,]\d)"
)
_NO_ZERO = re.compile(r"(?<![\w.)\]}])\.(?=\d)")
_RAISED = re.compile(r"\d[\d.,]{0,20}[⁰¹²³⁴-⁹]+|(?:\d{1,12}\s?)?[¼-¾⅐-⅞]")
_UNREAD = re.compile(
    r"(?:\d{1,12}\s?)?\\{1,2}[dtc]?frac\s?(?:\{[^{}\n]{0,40}\}|\d)\s?(?:\{[^{}\n]{0,40}\}|\d)"
    r"|(?<![\w.])(?:\d{1,12}[ ])?\d[\d.,]{0,20}\s?[/⁄]\s?\d[\d.,]{0,20}(?<=\d)"
    r"|(?<![\w.])\d[\d.,]{0,20}\s?\^\s?(?:\{-?\d{1,12}\}|-?\d{1,12})"
    r"|(?<![\w.,])\d{1,12},\d{1,2}(?![\d,])|(?<![\w.])\d[\d.,]{0,20}[万億亿千]\d{1,12}"
)
_READ = rf"{_SPACED}|{_NUMBER}|{_OTHER}"
_ANY = re.compile(rf"{_NUMBER}|{_OTHER}")
_END = r"[^\S\n]*(?:[.!,;。](?:\s|$)|\n|$)"
_LEADING = re.compile(
    rf"\W{{0,6}}?(?!1[.)]\s)({_READ})"
    rf"(?:(?:[^\S\n]*[a-z%€$]{{1,20}}){{0,2}}|\s?[\u4e00-\u9fff]{{0,3}}){_END}",
    re.I,
)
_SAID = re.compile(
    r"(?:\banswer\b[^\n.\d]{0,30}?(?:\bis\b|:)|\b(?:total|result)\b[^\n.\d]{0,30}?(?:\bis\b|:|\bof\b)"
    r"|=|≈|\\boxed\{|答案[^\n。\d]{0,10}?[是为:]|(?:一共|总共|共|等于|得到|结果)[^\n。\d]{0,6})"
    rf"[^\n\d]{{0,12}}?({_READ})",
    re.I,
)


def read_number(completion: Completion, language: str = "en") -> Extraction:
    """The number that an answer comes to, as text without separators and needless zeros.

    It is the one with which the answer begins, if it is there by itself ("12 euros."), else the
    last that is stated as the result ("the answer is 12", "3 x 4 = 12"), else the last of all.
    Of an answer that the token limit cut, the last of all is no answer: it may be a step.

    Args:
        completion: What the model gave back. Numbers are looked for in digits only.
        language: Of the item; only the kind of failure depends on it.
    """
    text = _digits(answer_parts(completion.text)[-1])
    if not text or is_refusal(text):
        return Extraction(None, unreadable(completion, language))
    first, stated, any_number = _LEADING.match(text), _SAID.findall(text), _ANY.findall(text)
    found = _OTHER
    if first:
        found = first[1]
    elif stated or (any_number and completion.finish == "stop"):
        found = (stated or any_number)[-1]
    if found == _OTHER:
        return Extraction(None, unreadable(completion, language))
    return Extraction(plain(found))


def _digits(text: str) -> str:
    """The text with numbers in ASCII: an ordinary minus, commas or nothing between groups."""
    text = _BRACED_GROUP.sub(r",\1", _UNSEEN.sub("", text.replace(_OTHER, " ")))
    text = _MINUS.sub("-", _RAISED.sub(_OTHER, _GROUP.sub(",", _SIGN.sub(" ", text))))
    text = _CURRENCY.sub("-", unicodedata.normalize("NFKC", text))
    text = _SCIENTIFIC.sub(_written_out, _POINTS.sub(_with_point, _NO_ZERO.sub("0.", text)))
    return _UNREAD.sub(_OTHER, text)


def _written_out(found: re.Match[str]) -> str:
    """1.2e3, 1.2 x 10^3 or 1.2k as digits, if they are not too many."""
    power = 3 if found[4] else int(found[2] or found[3])
    text = format(Decimal(found[1]).scaleb(power), "f")
    return text if re.fullmatch(r"\d{1,12}(?:\.\d{1,6})?", text) else _OTHER


def _with_point(found: re.Match[str]) -> str:
    """1.200,50 with a point for the comma."""
    return found[1].replace(".", "") + (f".{found[2]}" if found[2] else "")


def plain(number: str) -> str:
    """A number in its shortest form: "1,200.50" is "1200.5"."""
    value = Decimal(number.replace(",", "").replace(" ", ""))
    return format(value.normalize(), "f") if value else "0"


# --- forms ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Form:
    """One way to answer.

    Attributes:
        read: The parsed answer, or why there is none.
        same: Whether the parsed answer is the gold answer.
        written: The gold answer as text, in a language.
    """

    read: Callable[[Sample, Completion], Extraction]
    same: Callable[[Any, Any], bool]
    written: Callable[[Any, str], str] = lambda answer, language: str(answer)


def _read_choice(sample: Sample, completion: Completion) -> Extraction:
    """The candidate that the answer commits to, or the only one that it names at all."""
    options = sample.fields["options"]
    reading = extract_label(completion, candidate_labels(tuple(options)), sample.language)
    text = answer_text(completion.text)
    if reading.answer is None and not is_refusal(text):
        # In a closed question an answer that names one candidate means it, whatever else it says.
        named = [o for o in options if mentions(text, o) or mentions(text, f"{o}s")]
        if len(named) == 1 and not _DENIED.search(text):
            return Extraction(named[0])
    return reading


_DENIED = re.compile(r"\bnot?\b|n['’]t\b|\bnever\b|\bunknown\b|不|没|并非", re.I)


def _read_list(sample: Sample, completion: Completion) -> Extraction:
    known = frozenset(map(normalize, sample.fields["options"]))
    return extract_list(completion, sample.language, lambda piece: normalize(piece) in known)


def _read_record(sample: Sample, completion: Completion) -> Extraction:
    """The JSON object between the first brace and the last."""
    text = answer_text(completion.text)
    try:
        value = parse_literal(text[text.find("{") : text.rfind("}") + 1])
    except ValueError:
        value = None
    if not isinstance(value, dict) or not value:
        return Extraction(None, unreadable(completion, sample.language))
    shown = {n: v if isinstance(v, str) else str(v)[:MAX_CHARS] for n, v in value.items()}
    return Extraction({str(name): text for name, text in shown.items()})


def _same_list(answer: Sequence[str], gold: Sequence[str]) -> bool:
    return list(map(normalize, answer)) == list(map(normalize, gold))


def _same_record(answer: Mapping[str, str], gold: Mapping[str, str]) -> bool:
    def plainly(record: Mapping[str, str]) -> dict[str, str]:
        return {normalize(name): normalize(value) for name, value in record.items()}

    return plainly(answer) == plainly(gold)


FORMS: Mapping[str, Form] = {
    "choice": Form(_read_choice, eq),
    "number": Form(
        lambda sample, completion: read_number(completion, sample.language),
        lambda answer, gold: answer == plain(str(gold)),
    ),
    "verbatim": Form(lambda sample, completion: extract_text(completion, sample.language), eq),
    "list": Form(
        _read_list,
        _same_list,
        lambda answer, language: ("、" if language == "zh" else ", ").join(answer),
    ),
    "record": Form(
        _read_record, _same_record, lambda answer, language: json.dumps(answer, ensure_ascii=False)
    ),
}
"""Closed answers by name. The form `rules` is scored by the checkers instead."""


def text_of(form: str, answer: Any, language: str) -> str:
    """A gold answer as text; that of the form `rules` is one already."""
    return FORMS[form].written(answer, language) if form in FORMS else answer


def gold_text(sample: Sample) -> str:
    """A perfect answer."""
    return text_of(sample.target["form"], sample.target["answer"], sample.language)


# --- scoring -------------------------------------------------------------------------------------


def exact_scoring(name: str) -> Scoring:
    """Accuracy of closed answers, each read in the form of its item."""

    def form(sample: Sample) -> Form:
        return FORMS[sample.target["form"]]

    return accuracy_scoring(
        name,
        lambda sample, completion: form(sample).read(sample, completion),
        lambda sample, answer: form(sample).same(answer, sample.target["answer"]),
    )


def _score_rules(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
    """All rules or nothing: most texts follow some rule by accident.

    The text counts as it is, as in IFEval's strict reading, but must be in the item's language.
    """
    completion = completions[0]
    text = completion.text.strip()
    rules = sample.target["rules"]
    if not text or len(text) > MAX_CHARS:
        return Score(
            0.0, (0.0, 1.0, 0.0, len(rules)), None, unreadable(completion, sample.language)
        )
    followed = [name for name, argument in rules if RULES[name](text, argument)]
    strange = is_wrong_language(text, sample.language)
    whole = len(followed) == len(rules) and not strange
    stats = (float(whole), 1.0, float(len(followed)), float(len(rules)))
    return Score(float(whole), stats, followed, None if whole else _fault(completion, strange))


def _fault(completion: Completion, strange: bool) -> Failure:
    if is_refusal(completion.text.lstrip()):
        return "refusal"
    if strange:
        return "language"
    return "truncated" if completion.finish == "length" else "wrong"


def rules_scoring(name: str) -> Scoring:
    """Share of prompts of which every instruction is followed, beside that of instructions."""
    return Scoring(
        name,
        ("prompts_followed", "prompts", "instructions_followed", "instructions"),
        _score_rules,
        (
            Metric("prompt_accuracy", accuracy, proportion=(0, 1)),
            Metric("instruction_accuracy", lambda sums: accuracy(sums[..., 2:])),
        ),
    )
