"""Reward shaping: small penalties added to a task's own value, each with a ratio.

    reward = value - sum over terms of ratio * objection

An objection lies in 0..1, so a perfect answer keeps the reward 1 whatever is switched on, and only
the *ratios* to the task's value matter: DAPO divides by the group's standard deviation, so a
factor on the whole reward of a task cancels. `docs/rewards.md` has formulas, ranges and reasons.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from ..tasks.schema import Completion, Failure
from .settings import DapoSettings, Strict

Term = Literal["pattern", "answer", "language", "length"]
TERMS: tuple[Term, ...] = get_args(Term)
TERM_OF: Mapping[str, Term] = {
    "format": "pattern",
    "no_answer": "answer",
    "language": "language",
    "truncated": "length",
}
"""The term that answers what a diagnosis has observed."""


def term_of(hint: Any) -> Term:
    """The reward term for a hint of a diagnosis, which says what was observed.

    Hints of diagnoses of schema version 1 named the term itself.
    """
    observed = hint.observed if hasattr(hint, "observed") else hint.term
    return TERM_OF.get(observed, observed)


class Shaping(Strict):
    """The ratios of one task's terms; a ratio of 0 switches its term off.

    The paper (RedOne 2.0) has the over-long penalty only, so the others are off by default.

    Attributes:
        pattern: For an answer that cannot be parsed; 0..1.
        answer: For no answer: an empty text or a refusal; 0..1.
        language: For the share of letters in scripts that the gold answer is not written in; 0..1.
        length: For an over-long answer (DAPO's soft punishment), 0 or more; the paper has 1.
        max_tokens: Tokens, thinking included, at which the objection `length` is 1.
        buffer: Tokens before that over which it grows from 0; 0..`max_tokens`.

    An answer that had a lower limit than `max_tokens` is compared with that limit, and `buffer`
    shrinks in proportion: half of a limit of 8,192 is half of one of 12.
    """

    pattern: float = Field(default=0.0, ge=0, le=1)
    answer: float = Field(default=0.0, ge=0, le=1)
    language: float = Field(default=0.0, ge=0, le=1)
    length: float = Field(default=0.0, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)
    buffer: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _limited(self) -> Self:
        if self.length and self.max_tokens is None:
            raise ValueError("a length ratio needs max_tokens, the tokens that an answer may have")
        if self.max_tokens is not None and self.buffer > self.max_tokens:
            raise ValueError(f"buffer {self.buffer} is more than max_tokens {self.max_tokens}")
        return self

    @classmethod
    def of(cls, settings: DapoSettings) -> Self:
        """The over-long penalty of a stage's settings, nothing else."""
        return cls(
            length=settings.overlong_penalty,
            max_tokens=settings.max_new_tokens,
            buffer=settings.overlong_buffer,
        )

    def parts(
        self,
        completion: Completion,
        failure: Failure | None,
        models: Sequence[str],
        limit: int | None = None,
    ) -> dict[str, float]:
        """The amount that each term that is switched on adds to the value: -ratio..0.

        Args:
            completion: The answer, thinking taken off.
            failure: Its failure kind, by the task.
            models: The texts (gold answer, rationale) whose scripts are the right ones.
            limit: Tokens that this answer could have; it replaces a higher `max_tokens`, and the
                buffer stays the same share of the limit.
        """
        found: dict[str, float] = {}
        if self.pattern:
            found["pattern"] = self.pattern * float(failure == "format")
        if self.answer:
            found["answer"] = self.answer * float(failure in ("empty", "refusal"))
        if self.language:
            found["language"] = self.language * foreign_share(completion.text, models)
        if self.length and self.max_tokens is not None:
            most = min(self.max_tokens, limit or self.max_tokens)
            buffer = self.buffer * most / self.max_tokens
            # An answer that ended in a repetition would have filled any limit.
            tokens = most if completion.finish == "length" else completion.tokens
            found["length"] = self.length * overlong(tokens, most, buffer)
        return {term: -penalty for term, penalty in found.items()}


def overlong(tokens: int, max_tokens: int, buffer: float) -> float:
    """DAPO's soft over-long objection (Yu et al., 2025, arXiv:2503.14476, equation 13), negated.

    Args:
        tokens: Of the completion.
        max_tokens: The limit.
        buffer: Tokens before it, 0 or more.

    Returns:
        0 up to `max_tokens - buffer`, then linear to 1 at `max_tokens`.
    """
    if tokens >= max_tokens:
        return 1.0
    return max(0.0, (tokens - max_tokens + buffer) / buffer) if buffer else 0.0


_SCRIPTS = {
    "latin": re.compile("[A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff\uff21-\uff3a\uff41-\uff5a]"),
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"),
    "kana": re.compile("[\u3041-\u30ff\u31f0-\u31ff]"),
    "hangul": re.compile("[\u1100-\u11ff\uac00-\ud7af]"),
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "arabic": re.compile("[\u0600-\u06ff\u0750-\u077f]"),
}
_LETTER = re.compile(r"[^\W\d_]")
_READ = 4_000
_OWN = 0.2
"""Share of a gold's letters from which on it is written in a script, not borrowing a name."""


def foreign_share(text: str, models: Sequence[str]) -> float:
    """The share of a text's letters in scripts that model texts are not written in.

    Scripts can be distinguished without a dictionary; English and Spanish cannot, and are not.
    Names that a model text borrows from another script are allowed for: a text that borrows as
    much is at 0.

    Args:
        text: Hostile text; the first 4,000 characters are read.
        models: The texts to go by. Those without letters (a number) say nothing.

    Returns:
        0..1; 0 for the model texts themselves, and where nothing can be said.
    """
    shares = [found for model in models if (found := _shares(model))]
    own = {name for found in shares for name, share in found.items() if share >= _OWN}
    given = _shares(text)
    if not own or not given:
        return 0.0
    borrowed = max(_outside(found, own) for found in shares)
    return max(0.0, _outside(given, own) - borrowed) / (1 - borrowed)


def _outside(shares: Mapping[str, float], own: Collection[str]) -> float:
    return max(0.0, 1 - math.fsum(shares[name] for name in own))


def _shares(text: str) -> dict[str, float]:
    """The share of each known script among all letters; empty where there is no letter."""
    text = text[:_READ]
    letters = len(_LETTER.findall(text))
    if not letters:
        return {}
    return {name: len(script.findall(text)) / letters for name, script in _SCRIPTS.items()}
