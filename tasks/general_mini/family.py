"""What a family of generated items is, and how its items are drawn.

A family is a function from chance and a language to one item. Item number n of a seed depends on
the family, the seed and the items before it only, so a longer list begins with the shorter one.

Where a family shows solved examples, each question stands behind a few of its own skill, always the
same ones: a small model then knows what an answer looks like, and the harness reads them once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

from ..errors import RedoneError
from .forms import text_of

LANGUAGES = ("en", "zh")
"""Items take turns."""

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
        examples: Solved items of the same skill in front of each question.
    """

    name: str
    title: str
    make: Callable[[Random, str], Item]
    train: bool = False
    examples: int = 0


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
            shown = _examples(family, language, item.skill)
            if item.question not in seen and item.source not in {each.source for each in shown}:
                break
        else:
            raise RedoneError(
                f"The family {family.name!r} has no more than {number} different items for seed "
                f"{seed}; {count} were asked for. Use a smaller count and other seeds."
            )
        seen.add(item.question)
        yield replace(item, question=_shown(shown, item)) if shown else item


@cache
def _examples(family: Family, language: str, skill: str) -> tuple[Item, ...]:
    """Solved items of a skill, each of another source and with another answer."""
    chosen: list[Item] = []
    for number in range(TRIES):
        if len(chosen) == family.examples:
            break
        item = family.make(Random(f"{family.name}|example|{number}"), language)
        other = all(item.source != i.source and item.answer != i.answer for i in chosen)
        if item.skill == skill and other:
            chosen.append(item)
    return tuple(chosen)


_FRAMES = {
    "en": ("Question: {}\nAnswer:", "Question: {}\nAnswer: {}\n\n"),
    "zh": ("问题：{}\n答案：", "问题：{}\n答案：{}\n\n"),
}


def _shown(examples: tuple[Item, ...], item: Item) -> str:
    open_frame, solved = _FRAMES[item.language]
    before = "".join(solved.format(each.question, each.text) for each in examples)
    return before + open_frame.format(item.question)
