"""SNS-TransBench (released as RedTrans-Bench): titles, comments, notes; Chinese and English.

Guo et al. 2025, "Redefining Machine Translation on Social Network Services with Large Language
Models" (RedTrans). Corpus BLEU and chrF++ of each direction; the benchmark's score is the mean of
the four, so a task's is the mean of its two. `metrics.translation` holds them to sacrebleu's
figures.

Official compares the stripped text as it is. Corrected takes off what wraps a translation (a
label, a preamble, a closing note, quotes, a code fence) unless the gold translation is itself
written so. An answer in the source language, or the unchanged source, is no translation: it fails
as `language` and is counted as an empty one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from .answers import Reading, foreign, key, read_text, unread
from .metrics import translation
from .schema import (
    Baselines,
    Chance,
    Completion,
    Metric,
    Prompt,
    Record,
    Sample,
    Score,
    Scoring,
    Services,
    Settings,
    Task,
)
from .sources import JsonReader

FIELDS = {"en": str, "zh": str, "source": str, "src_lang": str, "dst_lang": str}
LANGUAGES = {"en": "English", "zh": "Chinese"}

CITATION = (
    "Guo et al. 2025. Redefining Machine Translation on Social Network Services with Large "
    "Language Models. arXiv:2504.07901."
)

_AFTERWORD = re.compile(
    r"\n\n\W{0,3}(?:(?:translat\w+ )?notes?|explanation|注释?|说明|解释)\W{0,3}[:：]", re.I
)

_LIKE_GOLD = 0.2
"""From this sentence chrF++ on, a text that begins like a refusal is taken for a translation."""


@dataclass(frozen=True, slots=True)
class DirectionReader(JsonReader):
    """The rows of one direction out of the file that holds both.

    Attributes:
        direction: (source language, target language).
    """

    direction: tuple[str, str] = ("zh", "en")

    def __call__(self, folder: Path) -> Iterator[Record]:
        """The rows of the direction in file order; raises as JsonReader does."""
        for row in JsonReader.__call__(self, folder):
            if (row.fields["src_lang"], row.fields["dst_lang"]) == self.direction:
                yield row


def row(raw: Mapping[str, Any]) -> Record:
    """A sentence pair: the source text under its language, the gold translation as the target."""
    source, target = raw["src_lang"], raw["dst_lang"]
    if {source, target} != set(LANGUAGES):
        raise ValueError(
            f"fields 'src_lang' and 'dst_lang': zh and en are expected, not {source!r}, {target!r}."
        )
    for language in LANGUAGES:
        if not raw[language].strip():
            raise ValueError(f"field {language!r}: a text is expected, not an empty one.")
    return Record(
        fields={name: raw[name] for name in (source, "source", "src_lang", "dst_lang")},
        target=raw[target].strip(),
        language=source,
        source=raw[source],
        tags={"source": raw["source"]},
    )


def source_text(sample: Sample) -> str:
    """The text to be translated."""
    return sample.fields[sample.fields["src_lang"]]


def read_translation(completion: Completion, source: str, gold: str, target: str) -> Reading:
    """The translation in an answer.

    Args:
        completion: What the model gave back.
        source: The text to be translated.
        gold: Its gold translation: what it wears itself (quotes, "Title:") is not taken off, and a
            text much like it is no refusal.
        target: Target language, `en` or `zh`.
    """
    text = completion.text.strip()
    reading = read_text(completion, target)
    if read_text(Completion(gold), target).answer != gold:
        reading = Reading(text) if text else reading
    elif reading.failure == "refusal" and _likeness(text, gold, target) >= _LIKE_GOLD:
        reading = Reading(text)
    answer = reading.answer
    if answer is None:
        return reading
    _, echo, rest = answer.partition(source.strip())
    if echo and foreign(source, target) and any(c.isalnum() for c in rest):
        # The source is repeated before its translation.
        answer = read_text(Completion(rest), target).answer or answer
    after = None if "\n\n" in source else _AFTERWORD.search(answer)
    if after and after.start():
        answer = answer[: after.start()].rstrip()
    if not any(c.isalnum() for c in answer) and any(c.isalnum() for c in gold):
        return Reading(None, unread(completion, target))
    copied = key(answer) == key(source) != key(gold)
    if copied or (foreign(answer, target) and not foreign(gold, target)):
        return Reading(None, "language")
    return Reading(answer)


def _likeness(text: str, gold: str, target: str) -> float:
    return translation.sentence_chrf(translation.statistics(text, gold, target))


def _judged(text: str, gold: str, target: str, reading: Reading) -> Score:
    stats = translation.statistics(text, gold, target)
    value = translation.sentence_chrf(stats) if text else 0.0
    right = text == gold
    failure = reading.failure or (None if right else "wrong")
    return Score(1.0 if right else value, stats, reading.answer, failure)


def _official(target: str) -> Callable[[Sample, Sequence[Completion], Services], Score]:
    def judge(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
        text = completions[0].text.strip()
        reading = Reading(text) if text else Reading(None, unread(completions[0], target))
        return _judged(text, sample.target, target, reading)

    return judge


def _corrected(target: str) -> Callable[[Sample, Sequence[Completion], Services], Score]:
    def judge(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
        reading = read_translation(completions[0], source_text(sample), sample.target, target)
        return _judged(reading.answer or "", sample.target, target, reading)

    return judge


_METRICS = (
    Metric("bleu_chrf", translation.bleu_chrf),
    Metric("bleu", translation.bleu),
    Metric("chrf++", translation.chrf),
)


def _shuffled(sample: Sample, random: Random) -> str:
    """The words (Chinese: characters) of the source in random order."""
    text = source_text(sample)
    pieces = list(text) if sample.language == "zh" else text.split()
    random.shuffle(pieces)
    return ("" if sample.language == "zh" else " ").join(pieces)


def _constants(target: str) -> Callable[[Sequence[Sample]], Sequence[str]]:
    """A very common short text of the target language, and golds of middling length."""
    common = {"en": ["I love this so much!", "the"], "zh": ["我太喜欢这个了！", "的"]}[target]

    def texts(samples: Sequence[Sample]) -> Sequence[str]:
        ordered = sorted((s.target for s in samples), key=len)
        return [*common, *(ordered[len(ordered) * tenths // 10] for tenths in (2, 5, 7, 9))]

    return texts


def _prompt(source: str, target: str) -> Prompt:
    example = {
        "zh": "笑死，这只猫又把我的快递拆了😂 #猫咪日常",
        "en": "lol this cat ripped open my package again 😂 #catlife",
    }
    return Prompt(
        f"You translate what people write on social networks from {LANGUAGES[source]} into "
        f"{LANGUAGES[target]}.\n\n"
        "Say it the way a native speaker would post it: keep the tone, turn slang into slang and "
        "memes into something that is understood. Keep emoji, @names, links and line breaks where "
        "they are; translate hashtags and keep their #. Translate everything, add nothing.\n"
        f"Write only the {LANGUAGES[target]} text.\n\n"
        f"Example\n{LANGUAGES[source]}: {example[source]}\n"
        f"{LANGUAGES[target]}: {example[target]}\n",
        f"Translate this post into {LANGUAGES[target]}.\n\n{{{source}}}",
    )


def _limit(sample: Sample) -> int:
    """Tokens for a translation: enough for a vocabulary that spells Chinese byte by byte."""
    return 96 + len(source_text(sample).encode()) * 3 // 2


def direction(
    source: str,
    target: str,
    *,
    name: str,
    title: str,
    category: str,
    dataset: str | None,
    read: Callable[[Path], Iterator[Record]],
    prompt: Prompt,
    chance: Chance,
    citation: str,
) -> Task:
    """A translation task: rows as `row` makes them, judged by BLEU and chrF++.

    Args:
        source: Language of the text, `en` or `zh`.
        target: Language to translate into.
        name: As in `Task`, and the next three.
        title: For people.
        category: Of the table.
        dataset: Key into the table of datasets, None if the user supplies the data.
        read: Yields the rows.
        prompt: Shows the text under the name of its language.
        chance: Level without skill.
        citation: The paper.
    """
    return Task(
        name=name,
        title=title,
        category=category,
        capability="translation",
        language=source,
        version=1,
        dataset=dataset,
        read=read,
        prompts={"en": prompt},
        settings=Settings(max_tokens=1024),
        limit=_limit,
        scorings={
            name: Scoring(name, translation.STATISTICS, judge(target), _METRICS)
            for name, judge in (("official", _official), ("corrected", _corrected))
        },
        gold=lambda sample: sample.target,
        baselines=Baselines(
            random=_shuffled, constants=_constants(target), all_candidates=source_text
        ),
        chance=chance,
        reward="metric",
        citation=citation,
    )


def _task(source: str, target: str, chance: Chance) -> Task:
    return direction(
        source,
        target,
        name=f"sns_trans/{source}_{target}",
        title=f"Translation of posts, {LANGUAGES[source]} to {LANGUAGES[target]}",
        category=f"{source}_{target}",
        dataset="redtrans-bench",
        read=DirectionReader(
            "redtrans-bench/RedTrans-Bench.json", FIELDS, row, direction=(source, target)
        ),
        prompt=_prompt(source, target),
        chance=chance,
        citation=CITATION,
    )


ZH_EN = _task("zh", "en", chance=Chance(metric=6.44, value=0.11))
EN_ZH = _task("en", "zh", chance=Chance(metric=1.37, value=0.02))
