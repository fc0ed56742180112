"""SNS-TransBench (released as RedTrans-Bench): titles, comments, notes; Chinese and English.

Guo et al. 2025, "Redefining Machine Translation on Social Network Services with Large Language
Models" (RedTrans). Corpus BLEU and chrF++ of each direction; the benchmark's score is the mean of
the four, so a task's is the mean of its two. Both equal sacrebleu's figures.

Official compares the stripped text as it is. Corrected removes what wraps a translation (a label, a
preamble, a closing note, quotes, a code fence) unless the gold translation is itself written so. An
answer in the source language, or the unchanged source, is no translation: it fails as `language`
and counts as an empty one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from .extraction import Extraction, extract_text, failure_kind, is_wrong_language, normalize
from .metrics import translation
from .schema import Completion, Metric, Record, Sample, Score, Scoring, Services, Settings
from .sources import JsonReader
from .task import REPETITION, ROOM, Baselines, Benchmark, Category, Prompt, Task

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


def _one_direction(direction: tuple[str, str], raw: Mapping[str, Any]) -> Record | None:
    """A record of one direction, from the file that holds both."""
    record = row(raw)
    return record if (raw["src_lang"], raw["dst_lang"]) == direction else None


def source_text(sample: Sample) -> str:
    """The text to be translated."""
    return sample.fields[sample.fields["src_lang"]]


def read_translation(completion: Completion, source: str, gold: str, target: str) -> Extraction:
    """The translation in an answer.

    Args:
        completion: What the model gave back.
        source: The text to be translated.
        gold: Its gold translation: what it wears itself (quotes, "Title:") is not taken off, and a
            text much like it is no refusal.
        target: Target language, `en` or `zh`.
    """
    text = completion.text.strip()
    reading = extract_text(completion, target)
    if extract_text(Completion(gold), target).answer != gold:
        reading = Extraction(text) if text else reading
    elif reading.failure == "refusal" and _likeness(text, gold, target) >= _LIKE_GOLD:
        reading = Extraction(text)
    answer = reading.answer
    if answer is None:
        return reading
    _, echo, rest = answer.partition(source.strip())
    if echo and is_wrong_language(source, target) and any(c.isalnum() for c in rest):
        # The source is repeated before its translation.
        answer = extract_text(Completion(rest), target).answer or answer
    after = None if "\n\n" in source else _AFTERWORD.search(answer)
    if after and after.start():
        answer = answer[: after.start()].rstrip()
    if not any(c.isalnum() for c in answer) and any(c.isalnum() for c in gold):
        return Extraction(None, failure_kind(completion, target))
    copied = normalize(answer) == normalize(source) != normalize(gold)
    if copied or (is_wrong_language(answer, target) and not is_wrong_language(gold, target)):
        return Extraction(None, "language")
    return Extraction(answer)


def _likeness(text: str, gold: str, target: str) -> float:
    return translation.sentence_chrf(translation.statistics(text, gold, target))


def _read_official(sample: Sample, completion: Completion, target: str) -> Extraction:
    text = completion.text.strip()
    return Extraction(text) if text else Extraction(None, failure_kind(completion, target))


def _read_corrected(sample: Sample, completion: Completion, target: str) -> Extraction:
    return read_translation(completion, source_text(sample), sample.target, target)


def _scoring(
    name: str, read: Callable[[Sample, Completion, str], Extraction], target: str
) -> Scoring:
    def score(sample: Sample, completions: Sequence[Completion], services: Services) -> Score:
        answer, failure = read(sample, completions[0], target)
        text, gold = answer or "", sample.target
        stats = translation.statistics(text, gold, target)
        if text == gold:
            return Score(1.0, stats, answer, failure)
        value = translation.sentence_chrf(stats) if text else 0.0
        return Score(value, stats, answer, failure or "wrong")

    return Scoring(name, translation.STATISTICS, score, _METRICS)


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
    return ROOM + 96 + len(source_text(sample).encode()) * 3 // 2


def direction(
    source: str,
    target: str,
    *,
    name: str,
    title: str,
    read: Callable[[Path], Iterator[Record]],
    prompt: Prompt,
    citation: str,
    **options: Any,
) -> Task:
    """A translation task: records as `row` makes them, scored by BLEU and chrF++.

    Args:
        source: Language of the text, `en` or `zh`.
        target: Language to translate into.
        name: As in `Task`, and the next two.
        title: For people.
        read: Yields the records.
        prompt: Shows the text under the name of its language.
        citation: The paper.
        **options: Further fields of the `Task`.
    """
    return Task(
        name=name,
        title=title,
        capability="translation",
        language=source,
        read=read,
        prompts={"en": prompt},
        settings=Settings(max_tokens=ROOM + 1024, max_repetition=REPETITION),
        limit=_limit,
        scorings={
            name: _scoring(name, read_answer, target)
            for name, read_answer in (("official", _read_official), ("corrected", _read_corrected))
        },
        gold=lambda sample: sample.target,
        baselines=Baselines(_shuffled, _constants(target), source_text),
        reward="metric",
        citation=citation,
        **{"version": 2, **options},
    )


def _task(source: str, target: str) -> Task:
    return direction(
        source,
        target,
        name=f"sns_trans/{source}_{target}",
        title=f"Translation of posts, {LANGUAGES[source]} to {LANGUAGES[target]}",
        dataset="redtrans-bench",
        read=JsonReader(
            "redtrans-bench/RedTrans-Bench.json", FIELDS, partial(_one_direction, (source, target))
        ),
        prompt=_prompt(source, target),
        citation=CITATION,
    )


ZH_EN, EN_ZH = _task("zh", "en"), _task("en", "zh")

BENCHMARK = Benchmark(
    "SNS-TransBench",
    {
        "zh_en": Category("Chinese to English", (ZH_EN,)),
        "en_zh": Category("English to Chinese", (EN_ZH,)),
    },
)
