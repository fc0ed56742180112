"""The tasks of `general-mini`, and access to any number of items of its families.

A task is one evaluation-only family; its `train` split is a train family of the same capability
with other templates, words and skills. What is trained on is therefore never a template, a word
table or a skill that is evaluated: a gain here is one that carried over.

The benchmark is this project's own, so its authors' judgement and the trusted one are the same
rule: `official` and `corrected` give equal figures, and both stand because every run has both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from ..errors import RedoneError, UnknownName
from ..schema import Baselines, Chance, Prompt, Record, Sample, Settings, Task
from ..sources import cluster_of
from .evaluation.facts import FACTS
from .evaluation.layout import LAYOUT
from .evaluation.lists import LISTS
from .evaluation.numerals import NUMERALS
from .evaluation.records import RECORDS
from .evaluation.stories import STORIES
from .evaluation.word_problems import WORD_PROBLEMS
from .evaluation.wording import WORDING
from .family import Family, Item, draw
from .forms import FORMS, exact_scoring, gold_text, rules_scoring
from .train.animals import ANIMALS
from .train.bullets import BULLETS
from .train.copying import COPYING
from .train.extraction import EXTRACTION
from .train.notices import NOTICES
from .train.openings import OPENINGS
from .train.remainders import REMAINDERS
from .train.sequences import SEQUENCES

ITEMS = 100
"""Items of each family in the embedded suite."""
REPORT_ITEMS = 200
"""Items behind those that are drawn for `general-mini-report`."""

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
        count: How many; half of them in each language.

    Raises:
        UnknownName: There is no such family.
        RedoneError: The family has not so many different items.
    """
    if family not in FAMILIES:
        raise UnknownName("family", family, FAMILIES)
    return draw(FAMILIES[family], seed, count)


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One item to learn from.

    Attributes:
        task: The task whose judgement, and so whose reward, applies.
        family: A train family.
        question: The user's message.
        rationale: The way to the answer.
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
) -> Iterator[TrainingRow]:
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
    readers = {
        t.read.train.name: t
        for t in GENERAL_MINI
        if isinstance(t.read, FamilyReader) and t.read.train is not None
    }
    for name in readers if family is None else (family,):
        items = generate(name, seed, count)
        if name not in readers:
            raise RedoneError(
                f"The family {name!r} is for evaluation only, so nothing is trained on it. Train "
                f"families: {', '.join(readers)}."
            )
        for item in items:
            yield TrainingRow(
                task=readers[name].name,
                family=name,
                language=item.language,
                question=item.question,
                rationale=item.rationale,
                answer=item.text,
                row=_row(item, "train", name),
            )


# --- from items to samples -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FamilyReader:
    """Yields generated items as rows: the split `test` of one family, the split `train` of another.

    Attributes:
        evaluation, train: The families; there may be none to train on.
        seed: Of both.
        count: Items of each that are drawn.
        behind: Of the evaluation family so many items come first and are not yielded, nor is what
            is about the same as one of them.
    """

    evaluation: Family
    train: Family | None
    seed: int = 0
    count: int = ITEMS
    behind: int = 0

    def __call__(self, folder: Path) -> Iterator[Record]:
        """The rows; no data folder is looked at."""
        first = set()
        for number, item in enumerate(draw(self.evaluation, self.seed, self.behind + self.count)):
            if number < self.behind:
                first.add(cluster_of(item.source))
            elif cluster_of(item.source) not in first:
                yield _row(item, "test", self.evaluation.name)
        if self.train is not None:
            for item in draw(self.train, self.seed, self.count):
                yield _row(item, "train", self.train.name)


def _row(item: Item, split: str, family: str) -> Record:
    return Record(
        fields={"question": item.question, "options": list(item.options)},
        target={
            "form": item.form,
            "answer": item.answer,
            "rules": [list(rule) for rule in item.rules],
        },
        language=item.language,
        source=item.source,
        split=split,
        tags={"family": family, "skill": item.skill},
    )


# --- answers without skill -----------------------------------------------------------------------

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
    """The pieces of the question put together by chance."""
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


_GUESSES = Baselines(_random, lambda samples: list(_REMARKS), _everything)

# --- the tasks -----------------------------------------------------------------------------------


def _limit(sample: Sample) -> int:
    """Tokens for the gold answer in the worst tokeniser, and some for words around it."""
    if sample.target["form"] == "number":
        return 32
    text = gold_text(sample)
    size = len(text.encode())
    return 16 + (size // 2 if text.isascii() else size)


def _task(
    evaluation: Family,
    train: Family,
    category: str,
    max_tokens: int,
    chance: Chance,
) -> Task:
    rules = category == "instructions"
    scoring = rules_scoring if rules else exact_scoring
    return Task(
        name=f"general_mini/{evaluation.name}",
        title=evaluation.title,
        category=category,
        capability=_CAPABILITIES[category],
        language="mul",
        version=1,
        dataset=None,
        read=FamilyReader(evaluation, train),
        # Every family words its own questions, so that no wording is common to all of them.
        prompts={language: Prompt("", "{question}") for language in ("en", "zh")},
        settings=Settings(max_tokens=max_tokens),
        scorings={name: scoring(name) for name in ("official", "corrected")},
        gold=gold_text,
        baselines=_GUESSES,
        chance=chance,
        reward="pattern" if rules else "exact",
        citation=_VERIFIABLE if rules else CITATION,
        splits={"train": "train", "test": "hash"},
        limit=None if rules else _limit,
    )


_CAPABILITIES = {
    "knowledge": "knowledge",
    "mathematics": "mathematics",
    "instructions": "instruction following",
    "transformation": "reading and transformation",
    "reading": "reading and transformation",
}

GENERAL_MINI = (
    _task(FACTS, ANIMALS, "knowledge", 24, Chance(11.3, 0.113)),
    _task(WORD_PROBLEMS, REMAINDERS, "mathematics", 32, Chance(6.0, 0.06)),
    _task(NUMERALS, SEQUENCES, "mathematics", 32, Chance(7.0, 0.07)),
    _task(WORDING, OPENINGS, "instructions", 36, Chance(4.0, 0.04)),
    _task(LAYOUT, BULLETS, "instructions", 36, Chance(2.0, 0.02)),
    _task(LISTS, COPYING, "transformation", 32, Chance(4.0, 0.04)),
    _task(RECORDS, EXTRACTION, "transformation", 48, Chance(14.3, 0.143)),
    _task(STORIES, NOTICES, "reading", 24, Chance(16.7, 0.167)),
)


def _for_reports(task: Task, chance: Chance) -> Task:
    """The same family on items that no diagnosis and no gate has seen."""
    assert isinstance(task.read, FamilyReader)
    return replace(
        task,
        name=task.name.replace("general_mini/", "general_mini_report/"),
        read=replace(task.read, train=None, count=REPORT_ITEMS, behind=ITEMS),
        chance=chance,
        splits={"test": "report"},
        held_out=True,
    )


_REPORT_CHANCE = {
    "facts": Chance(10.0, 0.1),
    "word_problems": Chance(5.5, 0.055),
    "numerals": Chance(5.5, 0.055),
    "wording": Chance(1.5, 0.015),
    "layout": Chance(0.55, 0.006),
    "lists": Chance(4.5, 0.045),
    "records": Chance(15.9, 0.159),
    "stories": Chance(17.5, 0.175),
}

GENERAL_MINI_REPORT = tuple(
    _for_reports(task, _REPORT_CHANCE[task.name.partition("/")[2]]) for task in GENERAL_MINI
)
