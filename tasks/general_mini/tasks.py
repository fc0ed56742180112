"""The tasks of `general-mini`, and access to any number of items of its families.

A task is one evaluation-only family; its `train` split is a train family of the same capability
with other templates, words and skills. No template, word table or skill that is evaluated is ever
trained on, so a gain here is a gain that transferred.

The benchmark is this project's own, so its official rule and ours are the same: `official` and
`corrected` give equal figures, and both exist because every run has both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import ClassVar, Literal

from ..errors import RedoneError, UnknownName
from ..schema import Record, Sample, Settings
from ..sources import cluster_of
from ..task import REPETITION, ROOM, Baselines, Benchmark, Category, Chance, Prompt, Task
from .instructions import BULLETS, LAYOUT, OPENINGS, WORDING
from .items import FORMS, Family, Item, draw, exact_scoring, gold_text, rules_scoring
from .knowledge import ANIMALS, FACTS
from .mathematics import NUMERALS, REMAINDERS, SEQUENCES, WORD_PROBLEMS
from .reading import NOTICES, STORIES
from .transformation import COPYING, EXTRACTION, LISTS, RECORDS

ITEMS = 100
"""Items of each family in the embedded suite."""
REPORT_ITEMS = 200
"""Items that are drawn for `general-mini-report`, after the first `ITEMS`."""

CITATION = "Items generated for redone from seeds and word tables of its own."
_VERIFIABLE = (
    f"{CITATION} The idea of verifiable instructions: Zhou et al. 2023. Instruction-Following "
    "Evaluation for Large Language Models. arXiv:2311.07911."
)

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        *(FACTS, WORD_PROBLEMS, NUMERALS, WORDING, LAYOUT, LISTS, RECORDS, STORIES),
        *(ANIMALS, REMAINDERS, SEQUENCES, OPENINGS, BULLETS, COPYING, EXTRACTION, NOTICES),
    )
}
"""Every family by name: those for evaluation only first."""


def generate(family: str, seed: int = 0, count: int = ITEMS) -> Iterator[Item]:
    """Items of a family; the first ones of a longer list are those of a shorter one.

    Args:
        family: Key of `FAMILIES`.
        seed: Any; the suite has seed 0.
        count: How many; two of three are in English, the others in Chinese.

    Raises:
        UnknownName: There is no such family.
        RedoneError: The family has not so many different items.
    """
    if family not in FAMILIES:
        raise UnknownName("family", family, FAMILIES)
    return draw(FAMILIES[family], seed, count)


@dataclass(frozen=True, slots=True)
class GeneratedRow:
    """One generated training item.

    Attributes:
        task: The task whose scoring, and so whose reward, applies.
        family: A train family.
        language: `en` or `zh`.
        question: The user's message.
        rationale: The reasoning that leads to the answer.
        answer: The text of a perfect answer.
        row: The item as the task's own reader yields it.
    """

    task: str
    family: str
    language: str
    question: str
    rationale: str
    answer: str
    row: Record


def training_rows(
    family: str | None = None, seed: int = 0, count: int = ITEMS
) -> Iterator[GeneratedRow]:
    """Rows of the train families, with rationales.

    Args:
        family: Name of one of them; None for all.
        seed: Any; with seed 0 and at most `ITEMS` rows these are the items of the `train`
            partition.
        count: Rows of each family.

    Raises:
        UnknownName: There is no such family.
        RedoneError: It is for evaluation only, or has not so many different items.
    """
    tasks = {train.name: f"general_mini/{evaluation.name}" for evaluation, train, *_ in _SUITE}
    for name in tasks if family is None else (family,):
        items = generate(name, seed, count)
        if name not in tasks:
            raise RedoneError(
                f"The family {name!r} is for evaluation only, so nothing is trained on it. Train "
                f"families: {', '.join(tasks)}."
            )
        for item in items:
            texts = (item.language, item.question, item.rationale, item.text)
            yield GeneratedRow(tasks[name], name, *texts, _row(item, "train", name))


# --- from items to records -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FamilyReader:
    """Yields generated items: the split `test` of one family, the split `train` of another.

    Attributes:
        evaluation, train: The families; there may be none to train on.
        seed: Of both.
        count: Items of each that are drawn.
        skip: So many items of the evaluation family come first and are not yielded, nor is any item
            with the source of one of them.
    """

    evaluation: Family
    train: Family | None
    seed: int = 0
    count: int = ITEMS
    skip: int = 0
    kind: ClassVar[Literal["generated"]] = "generated"

    def __call__(self, folder: Path) -> Iterator[Record]:
        """The records; no data folder is used."""
        first = set()
        for number, item in enumerate(draw(self.evaluation, self.seed, self.skip + self.count)):
            if number < self.skip:
                first.add(cluster_of(item.source))
            elif cluster_of(item.source) not in first:
                yield _row(item, "test", self.evaluation.name)
        if self.train is not None:
            for item in draw(self.train, self.seed, self.count):
                yield _row(item, "train", self.train.name)


def _row(item: Item, split: str, family: str) -> Record:
    return Record(
        fields={"question": item.question, "options": list(item.options)},
        target={"form": item.form, "answer": item.answer, "rules": list(map(list, item.rules))},
        language=item.language,
        source=item.source,
        split=split,
        tags={"family": family, "skill": item.skill},
    )


# --- trivial baselines ---------------------------------------------------------------------------

_REMARKS = (
    "I LIKE THIS VERY MUCH.",
    '"I like this very much."',
    "this is a small remark",
    "1. one\n2. two\n3. three",
    "one | two | three",
    '{"name": "a", "price": 1}',
    "这句话很短。",
    "“这句话很短。”",
)
"""Texts that follow many an instruction by accident."""


def _random(sample: Sample, random: Random) -> str:
    """A random combination of the pieces of the question."""
    options, form = list(sample.fields["options"]), sample.target["form"]
    if form == "rules":
        return random.choice(_REMARKS)
    if form == "number" and not options:
        return str(random.randint(1, 60))
    if form == "list":
        random.shuffle(options)
        kept = options[: random.randint(2, len(options))]
        return FORMS["list"].written(kept, sample.language)
    return random.choice(options)


def _everything(sample: Sample) -> str:
    """All candidates, or the question back."""
    options = sample.fields["options"]
    if sample.target["form"] == "rules" or not options:
        return sample.fields["question"]
    return FORMS["list"].written(options, sample.language)


_BASELINES = Baselines(_random, lambda samples: list(_REMARKS), _everything)

# --- the tasks -----------------------------------------------------------------------------------


def _limit(sample: Sample) -> int:
    """Tokens for the gold answer in the worst tokenizer, and some for words around it."""
    if sample.target["form"] == "number":
        return ROOM + 32
    text = gold_text(sample)
    size = len(text.encode())
    return ROOM + 16 + (size // 2 if text.isascii() else size)


_CATEGORIES = {
    "knowledge": ("Knowledge", "knowledge"),
    "mathematics": ("Mathematics", "mathematics"),
    "instructions": ("Instruction following", "instruction following"),
    "transformation": ("Transformation", "reading and transformation"),
    "reading": ("Reading", "reading and transformation"),
}
"""Category -> its title, and the capability that it measures."""

_SUITE: Sequence[tuple[Family, Family, str, int, Chance, Chance]] = (
    (FACTS, ANIMALS, "knowledge", 24, Chance(11.3, 0.113), Chance(10.0, 0.1)),
    (WORD_PROBLEMS, REMAINDERS, "mathematics", 32, Chance(6.0, 0.06), Chance(5.5, 0.055)),
    (NUMERALS, SEQUENCES, "mathematics", 32, Chance(7.0, 0.07), Chance(5.5, 0.055)),
    (WORDING, OPENINGS, "instructions", 36, Chance(4.0, 0.04), Chance(1.5, 0.015)),
    (LAYOUT, BULLETS, "instructions", 36, Chance(2.0, 0.02), Chance(0.55, 0.006)),
    (LISTS, COPYING, "transformation", 32, Chance(4.0, 0.04), Chance(4.5, 0.045)),
    (RECORDS, EXTRACTION, "transformation", 48, Chance(14.3, 0.143), Chance(15.9, 0.159)),
    (STORIES, NOTICES, "reading", 24, Chance(16.7, 0.167), Chance(17.5, 0.175)),
)
"""Evaluation family, train family, category, tokens of an answer, chance level, that of reports."""


def _task(
    evaluation: Family, train: Family, category: str, max_tokens: int, chance: Chance, _: Chance
) -> Task:
    rules = category == "instructions"
    scoring = rules_scoring if rules else exact_scoring
    return Task(
        name=f"general_mini/{evaluation.name}",
        title=evaluation.title,
        category=category,
        capability=_CATEGORIES[category][1],
        language="mul",
        read=FamilyReader(evaluation, train),
        # Every family words its own questions, so that no wording is common to all of them.
        prompts={language: Prompt("", "{question}") for language in ("en", "zh")},
        version=2,
        settings=Settings(max_tokens=ROOM + max_tokens, max_repetition=REPETITION),
        scorings={name: scoring(name) for name in ("official", "corrected")},
        gold=gold_text,
        baselines=_BASELINES,
        chance=chance,
        reward="pattern" if rules else "exact",
        citation=_VERIFIABLE if rules else CITATION,
        splits={"train": "train", "test": "hash"},
        limit=None if rules else _limit,
    )


GENERAL_MINI = tuple(_task(*row) for row in _SUITE)
GENERAL_MINI_REPORT = tuple(
    replace(
        task,
        name=task.name.replace("general_mini/", "general_mini_report/"),
        read=FamilyReader(evaluation, None, count=REPORT_ITEMS, skip=ITEMS),
        chance=chance,
        splits={"test": "report"},
        held_out=True,
    )
    for task, (evaluation, *_, chance) in zip(GENERAL_MINI, _SUITE, strict=True)
)
"""The same families on items that no diagnosis and no gate has seen."""


def _benchmark(title: str, tasks: Sequence[Task]) -> Benchmark:
    return Benchmark(
        title,
        {
            name: Category(column, tuple(task for task in tasks if task.category == name))
            for name, (column, _) in _CATEGORIES.items()
        },
        "general-mini is generated for this project: it compares runs with each other, not with "
        "papers.",
    )


BENCHMARKS = {
    "general_mini": _benchmark("General skills, generated", GENERAL_MINI),
    "general_mini_report": _benchmark(
        "General skills, generated, for final figures", GENERAL_MINI_REPORT
    ),
}
