"""A canned answer to a multiple-choice document: which of the choices it is.

lm-eval asks for the log-likelihood of each choice. A prediction made elsewhere is a text instead:
the choice's text, its letter or its index (from 0), or the log-likelihoods as lm-eval logs them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

from ..extract_choice import chosen
from ..extraction import answer_text, normalize, parse_literal
from ..schema import Completion, Sample

RIGHT, OTHER = 0.0, -100.0
"""Log-likelihoods that a canned choice stands for: certainty."""

_PLAIN = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?", re.I)
_NUMBERED = re.compile(r"(.*?)_?\d$")


def asks_of_choices(sample: Sample) -> int:
    """How many choices a sample of lm-eval's has, 0 if it is none of multiple choice.

    Requests beyond these are unconditional ones: a choice after an empty prompt.
    """
    asks, prompts = sample.fields.get("asks", ()), sample.fields.get("prompts", ())
    if len(asks) < 2 or any(ask["kind"] != "loglikelihood" for ask in asks):
        return 0
    conditional = [ask for ask in asks if prompts[ask["prompt"]] != ""]
    return len(conditional) if len(conditional) in (len(asks), len(asks) / 2) else len(asks)


def likelihoods(value: Any, count: int) -> list[tuple[float, bool]] | None:
    """(log-likelihood, greedy) of each request from lists of lm-eval's; None if it is no such list.

    Log-likelihoods are finite and not above 0.

    Args:
        value: Numbers, or pairs of number and flag, each in a list of its own or not; either may be
            written as a text.
        count: Requests of the sample.
    """
    if not isinstance(value, list | tuple) or len(value) != count:
        return None
    found = [_pair(item) for item in value]
    if not all(found):
        return None
    return [pair for pair in found if pair]


def _pair(item: Any) -> tuple[float, bool] | None:
    while isinstance(item, list | tuple) and len(item) == 1:
        item = item[0]
    number, greedy = item if isinstance(item, list | tuple) and len(item) == 2 else (item, False)
    flag = {"true": True, "false": False}.get(str(greedy).lower())
    if flag is None or isinstance(number, bool) or not isinstance(number, int | float | str):
        return None
    if isinstance(number, str) and not _PLAIN.fullmatch(number.strip()):
        return None
    try:
        value = float(number)
    except (ValueError, OverflowError):
        return None
    # A log-likelihood is that of a probability: of no more than 1, and of more than nothing.
    return (value, flag) if math.isfinite(value) and value <= 0 else None


def answered(
    sample: Sample, completions: Sequence[Completion], texts: Sequence[str] | None = None
) -> list[Completion] | None:
    """Canned completions with the log-likelihoods that they stand for; None if none can be read.

    Args:
        sample: Of multiple choice.
        completions: One for each request, all with the same text.
        texts: The choices as the task itself names them, if it does.
    """
    asks, text = sample.fields["asks"], completions[0].text
    if len({completion.text for completion in completions}) > 1:
        return None
    try:
        found = likelihoods(parse_literal(text), len(asks)) if "[" in text else None
    except ValueError:
        found = None
    if found is None:
        number = asks_of_choices(sample)
        choice = read_choice(text, sample, number, texts)
        if choice is None:
            return None
        found = [(RIGHT if n == choice else OTHER, n == choice) for n in range(len(asks))]
    pairs = zip(completions, found, strict=True)
    return [replace(done, logprob=value, greedy=greedy) for done, (value, greedy) in pairs]


def read_choice(
    text: str, sample: Sample, number: int, texts: Sequence[str] | None = None
) -> int | None:
    """The place of the choice that a text is: its text, letter or index; None if it is none."""
    text = answer_text(text)
    plain = normalize(text)
    named = [[ask["continuation"] for ask in sample.fields["asks"][:number]]]
    named += [list(texts)] if texts and len(texts) == number else []
    named += _lists(sample.fields["document"], number)
    named = [own for own in named if len(set(map(normalize, own))) == number]
    for own in named:
        exact = [n for n, choice in enumerate(own) if choice.strip() == text]
        alike = exact or [n for n, choice in enumerate(own) if normalize(choice) == plain]
        if len(alike) == 1:
            return alike[0]
    if text.isascii() and text.isdigit() and len(text) < 4:
        return int(text) if int(text) < number else None
    return chosen(text, named, number)


def _lists(document: Any, number: int) -> list[list[str]]:
    """The lists of as many texts as there are choices in a document."""
    if not isinstance(document, Mapping):
        return []
    found: list[list[str]] = []
    numbered: dict[str, list[str]] = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            found += _lists(value, number)
        elif isinstance(value, list) and len(value) == number and all(_is_text(v) for v in value):
            found.append(value)
        elif _is_text(value):
            stem = _NUMBERED.match(str(name))
            key = stem[1] if stem else "" if re.fullmatch("[A-J]", str(name)) else None
            if key is not None:
                numbered.setdefault(key, []).append(value)
    return found + [own for own in numbered.values() if len(own) == number]


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())
