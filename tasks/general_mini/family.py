"""What a family of generated items is, and how its items are drawn.

A family is a function from chance and a language to one item. Item number n of a seed depends on
the family, the seed and the items before it only, so a longer list begins with the shorter one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from ..errors import RedoneError
from .forms import text_of

LANGUAGES = ("en", "en", "zh")
"""Items take turns: two in English, one in Chinese."""

TRIES = 1000
"""Draws of one item until it is a new one; a family must not come near this."""


@dataclass(frozen=True, slots=True)
class Item:
    """One generated question.

    Attributes:
        language: `en` or `zh`.
        skill: What it asks for, within its family.
        question: All that the model is told.
        form: Key of `forms.FORMS`: how the answer is written, read and compared.
        answer: The gold answer, as its form has it.
        source: What the item is about: items of one source are never divided between partitions.
        options: The pieces that an answer without skill is put together from, as the question has
            them; for a choice the candidates.
        rules: For the form `rules`: (name, argument) of each checker that must agree.
        rationale: The way to the answer in words; "" in evaluation families.
    """

    language: str
    skill: str
    question: str
    form: str
    answer: Any
    source: str
    options: tuple[str, ...] = ()
    rules: tuple[tuple[str, Any], ...] = ()
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
        make: Draws one item in a language.
        train: Whether models may be trained on it. If not, it is for evaluation only.
    """

    name: str
    title: str
    make: Callable[[Random, str], Item]
    train: bool = False


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
                f"{seed}; {count} were asked for. Use a smaller count and other seeds."
            )
        seen.add(item.question)
        yield item
