"""The forms of answers: how each is written, read out of a text, and judged.

A sample's target is `{"form": ..., "answer": ..., "rules": ...}`, so one judgement serves all
families, those for training and those for evaluation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..answers import LIMIT, Reading, foreign, key, own_text, read_literal, read_text, refused
from ..answers import unread as unreadable
from ..labels import candidates, read_label
from ..lists import read_list
from ..metrics.choice import accuracy, accuracy_scoring
from ..schema import Completion, Failure, Metric, Sample, Score, Scoring, Services
from .numbers import plain, read_number
from .rules import RULES, mentions


@dataclass(frozen=True, slots=True)
class Form:
    """One way to answer.

    Attributes:
        read: What the answer is, or why there is none.
        same: Whether what was read is the gold answer.
        written: The gold answer as text, in a language.
    """

    read: Callable[[Sample, Completion], Reading]
    same: Callable[[Any, Any], bool]
    written: Callable[[Any, str], str] = lambda answer, language: str(answer)


def _read_choice(sample: Sample, completion: Completion) -> Reading:
    """The candidate that the answer commits to, or the only one that it names at all."""
    options = sample.fields["options"]
    reading = read_label(completion, candidates(tuple(options)), sample.language)
    text = own_text(completion.text)
    if reading.answer is None and not refused(text):
        # In a closed question an answer that names one candidate means it, whatever else it says.
        named = [o for o in options if mentions(text, o) or mentions(text, f"{o}s")]
        if len(named) == 1 and not _DENIED.search(text):
            return Reading(named[0])
    return reading


_DENIED = re.compile(r"\bnot?\b|n['’]t\b|\bnever\b|\bunknown\b|不|没|并非", re.I)


def _read_list(sample: Sample, completion: Completion) -> Reading:
    known = frozenset(map(key, sample.fields["options"]))
    return read_list(completion, sample.language, lambda piece: key(piece) in known)


def _read_verbatim(sample: Sample, completion: Completion) -> Reading:
    return read_text(completion, sample.language)


def _read_record(sample: Sample, completion: Completion) -> Reading:
    """The JSON object between the first brace and the last."""
    text = own_text(completion.text)
    try:
        value = read_literal(text[text.find("{") : text.rfind("}") + 1])
    except ValueError:
        value = None
    if not isinstance(value, dict) or not value:
        return Reading(None, unreadable(completion, sample.language))
    return Reading({str(name): _shown(each) for name, each in value.items()})


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else str(value)[:LIMIT]


def _same_list(answer: Sequence[str], gold: Sequence[str]) -> bool:
    return list(map(key, answer)) == list(map(key, gold))


def _same_record(answer: Mapping[str, str], gold: Mapping[str, str]) -> bool:
    def plainly(record: Mapping[str, str]) -> dict[str, str]:
        return {key(name): key(value) for name, value in record.items()}

    return plainly(answer) == plainly(gold)


def _equal(answer: Any, gold: Any) -> bool:
    return answer == gold


FORMS: Mapping[str, Form] = {
    "choice": Form(_read_choice, _equal),
    "number": Form(
        lambda sample, completion: read_number(completion, sample.language),
        lambda answer, gold: answer == plain(str(gold)),
    ),
    "verbatim": Form(_read_verbatim, _equal),
    "list": Form(
        _read_list,
        _same_list,
        lambda answer, language: ("、" if language == "zh" else ", ").join(answer),
    ),
    "record": Form(
        _read_record,
        _same_record,
        lambda answer, language: json.dumps(answer, ensure_ascii=False),
    ),
}
"""Closed answers by name. The form `rules` is judged by the checkers instead."""


def text_of(form: str, answer: Any, language: str) -> str:
    """A gold answer as text; that of the form `rules` is one already."""
    return FORMS[form].written(answer, language) if form in FORMS else answer


def gold_text(sample: Sample) -> str:
    """A perfect answer."""
    return text_of(sample.target["form"], sample.target["answer"], sample.language)


# --- closed answers ------------------------------------------------------------------------------


def _read(sample: Sample, completion: Completion) -> Reading:
    return FORMS[sample.target["form"]].read(sample, completion)


def _right(sample: Sample, answer: Any) -> bool:
    return FORMS[sample.target["form"]].same(answer, sample.target["answer"])


def exact_scoring(name: str) -> Scoring:
    """Accuracy of closed answers, each read in the form of its item."""
    return accuracy_scoring(name, _read, _right)


# --- instructions --------------------------------------------------------------------------------


def _judge_rules(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
    """All rules or nothing: most texts follow some rule by accident.

    The text counts as it is, as in IFEval's strict reading, but must be in the item's language.
    """
    completion = completions[0]
    text = completion.text.strip()
    rules = sample.target["rules"]
    if not text or len(text) > LIMIT:
        return Score(
            0.0, (0.0, 1.0, 0.0, len(rules)), None, unreadable(completion, sample.language)
        )
    followed = [name for name, argument in rules if RULES[name](text, argument)]
    strange = foreign(text, sample.language)
    whole = len(followed) == len(rules) and not strange
    stats = (float(whole), 1.0, float(len(followed)), float(len(rules)))
    return Score(float(whole), stats, followed, None if whole else _fault(completion, strange))


def _fault(completion: Completion, strange: bool) -> Failure:
    if refused(completion.text.lstrip()):
        return "refusal"
    if strange:
        return "language"
    return "truncated" if completion.finish == "length" else "wrong"


def _followed(sums: np.ndarray) -> np.ndarray:
    return accuracy(sums[..., 2:])


def rules_scoring(name: str) -> Scoring:
    """Share of prompts of which every instruction is followed, beside that of instructions."""
    return Scoring(
        name,
        ("prompts_followed", "prompts", "instructions_followed", "instructions"),
        _judge_rules,
        (
            Metric("prompt_accuracy", accuracy, proportion=(0, 1)),
            Metric("instruction_accuracy", _followed),
        ),
    )
