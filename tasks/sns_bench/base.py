"""What the subtasks of SNS-Bench share: records, the authors' cleaning, and the closed answers.

Guo et al., "SNS-Bench", ICML 2025, https://openreview.net/forum?id=sVNNlzjZVN. Each of the twelve
files is an array of objects: texts for the prompt and the gold `answer`. The embedded demonstration
has the same fields and a `language`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any

from ..extract_label import YES_NO, LabelSet, candidate_labels, extract_label
from ..extract_list import extract_list
from ..extraction import Extraction, fold, normalize, parse_literal
from ..metrics.classification import COLUMNS, OFFICIAL_F1, SetScorer, accuracy_scoring, is_target
from ..schema import Completion, Record, Sample, Scoring, Settings
from ..sources import JsonReader
from ..task import REPETITION, ROOM, Baselines, Prompt, Task

DATASET = "sns-bench"
CITATION = (
    "Guo et al., SNS-Bench: Defining, Building, and Assessing Capabilities of Large Language "
    "Models in Social Networking Services. ICML 2025. https://openreview.net/forum?id=sVNNlzjZVN"
)

# --- records -------------------------------------------------------------------------------------

_COMMAS = re.compile(r"[,，、]")


def row(raw: Mapping[str, Any], target: Any, source: str, **tags: str) -> Record:
    """A record whose fields are all of the object's texts but the gold answer."""
    fields = {name: value for name, value in raw.items() if name not in ("answer", "language")}
    return Record(fields, target, str(raw.get("language", "en")), source, tags=tags)


def pieces(text: str) -> list[str]:
    """The parts of a comma-separated list (, ， 、), empty ones dropped."""
    return [p.strip() for p in _COMMAS.split(text) if p.strip()]


@lru_cache(maxsize=1 << 12)
def listed(text: str) -> tuple[str, ...]:
    """The candidates of a field: a Python or JSON list in text, or comma-separated parts."""
    if text.lstrip().startswith("["):
        try:
            value = parse_literal(text)
        except ValueError:
            value = None
        if isinstance(value, list):
            return tuple(str(item).strip() for item in value)
    return tuple(pieces(text))


def gold_text(sample: Sample) -> str:
    """The text of a perfect answer where the target is one text."""
    return str(sample.target)


def gold_list(sample: Sample) -> str:
    """The text of a perfect answer where the target is a list: parts between commas."""
    return ", ".join(sample.target)


def target_of(sample: Sample) -> Any:
    """The target itself."""
    return sample.target


def frequent(texts: Iterable[str], most: int = 20) -> list[str]:
    """The most frequent texts."""
    return [text for text, _ in Counter(texts).most_common(most)]


# --- a task --------------------------------------------------------------------------------------


def task(
    name: str,
    file: str,
    title: str,
    capability: str,
    row: Callable[[Mapping[str, Any]], Record],
    *,
    fields: Mapping[str, type],
    prompts: Mapping[str, Prompt],
    max_tokens: int,
    scorings: Sequence[Scoring],
    baselines: Baselines,
    gold: Callable[[Sample], str] = gold_text,
    **options: Any,
) -> Task:
    """A subtask of the benchmark.

    Args:
        name: After `sns_bench/`.
        file: Its file without the ending, which is also the authors' name of its prompt.
        title: As in `Task`, and what is not named here.
        capability: One of the paper's.
        row: As in `JsonReader`, and the next.
        fields: Required fields and their types.
        prompts: By language.
        max_tokens: Of the answer itself; its limit is `ROOM` more.
        scorings: `corrected` and `official`.
        baselines: The trivial baselines.
        gold: The text of a perfect answer.
        **options: Further fields of the `Task`.
    """
    return Task(
        name=f"sns_bench/{name}",
        title=title,
        capability=capability,
        dataset=DATASET,
        read=JsonReader(f"{DATASET}/{file}.json", fields, row),
        prompts=prompts,
        prompt_key=file,
        settings=Settings(max_tokens=ROOM + max_tokens, max_repetition=REPETITION),
        scorings={scoring.name: scoring for scoring in scorings},
        gold=gold,
        baselines=baselines,
        citation=CITATION,
        **{"version": 2, **options},
    )


# --- the authors' cleaning, quirks included: kept to reproduce published tables ------------------

# Known quirk: the letters "end" cut an answer inside words too.
_CHOICE = re.compile(r"[\n.,<>]|endofresponse|end|im_end")
_YES_NO = re.compile(r"[\n.,<>]|endofresponse")
LIST_END = re.compile(r"[\n<>]|endofresponse")


def _before(cut: re.Pattern[str], text: str) -> str:
    """The text without "Answer:", before the first cut."""
    return cut.split(text.replace("Answer:", "").strip(), maxsplit=1)[0].strip()


def official_choice(text: str) -> str:
    """The answer to a choice among candidates."""
    return _before(_CHOICE, text)


def official_list(text: str) -> frozenset[str]:
    """The set of a comma-separated list."""
    return frozenset(p.strip() for p in _before(LIST_END, text).split(",") if p)


def read_official_choice(sample: object, completion: Completion) -> Extraction:
    """A choice as the authors parse it: always some text, "" included."""
    return Extraction(official_choice(completion.text))


def read_official_yes_no(sample: object, completion: Completion) -> Extraction:
    """Yes or no as the authors parse it: always some text, "" included."""
    return Extraction(_before(_YES_NO, completion.text))


def read_official_list(sample: object, completion: Completion) -> Extraction:
    """A list as the authors parse it."""
    return Extraction(sorted(official_list(completion.text)))


# --- one of several candidates -------------------------------------------------------------------


@lru_cache(maxsize=1 << 12)
def known(text: str, gold: str) -> LabelSet:
    """The candidates of an item; a gold that is none of them counts as a whole answer only."""
    texts = listed(text)
    return candidate_labels(texts, () if normalize(gold) in set(map(normalize, texts)) else (gold,))


def all_candidates(sample: Sample) -> str:
    """Every candidate, as the prompt lists them."""
    return sample.fields["candidates"]


def frequent_targets(samples: Sequence[Sample]) -> list[str]:
    """The most frequent golds."""
    return frequent(sample.target for sample in samples)


def choice_task(*args: Any, **options: Any) -> Task:
    """A subtask that asks for one of the `candidates`; arguments as in `task`."""

    def read(sample: Sample, completion: Completion) -> Extraction:
        labels = known(sample.fields["candidates"], sample.target)
        return extract_label(completion, labels, sample.language)

    def one_of(sample: Sample, random: Random) -> str:
        return random.choice(listed(sample.fields["candidates"]))

    def same(sample: Sample, answer: str) -> bool:
        return normalize(answer) == normalize(sample.target)

    return task(
        *args,
        fields={"content": str, "candidates": str, "answer": str},
        scorings=(
            accuracy_scoring("corrected", read, same),
            accuracy_scoring("official", read_official_choice, is_target),
        ),
        baselines=Baselines(one_of, frequent_targets, all_candidates),
        **options,
    )


# --- yes or no -----------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def yes_or_no(text: str) -> str | None:
    """`Yes` or `No` for a gold in English or Chinese, None if it is neither."""
    number = YES_NO.forms.get(normalize(text))
    return None if number is None else YES_NO.names[number]


def yes_no_task(
    name: str, file: str, title: str, capability: str, *, texts: Sequence[str], **options: Any
) -> Task:
    """A subtask that is answered by yes or no; other arguments as in `task`.

    `texts` names the text fields; the last is what the item is about.
    """

    def record(raw: Mapping[str, Any]) -> Record:
        label = yes_or_no(raw["answer"])
        if label is None:
            raise ValueError(f"field 'answer': Yes or No is expected, not {raw['answer']!r}.")
        return row(raw, raw["answer"], raw[texts[-1]], label=label)

    def read(sample: Sample, completion: Completion) -> Extraction:
        return extract_label(completion, YES_NO, sample.language)

    def same(sample: Sample, answer: str) -> bool:
        return answer == yes_or_no(sample.target)

    return task(
        name,
        file,
        title,
        capability,
        record,
        fields=dict.fromkeys((*texts, "answer"), str),
        max_tokens=16,
        scorings=(
            accuracy_scoring("corrected", read, same),
            accuracy_scoring("official", read_official_yes_no, is_target),
        ),
        baselines=Baselines(
            random=lambda sample, random: random.choice(("Yes", "No")),
            constants=lambda samples: ["Yes", "No"],
            all_candidates=lambda sample: "是，否" if sample.language == "zh" else "Yes, No",
        ),
        **options,
    )


# --- sets ----------------------------------------------------------------------------------------


def read_spans(sample: Sample, completion: Completion) -> Extraction:
    """A list of texts; those that occur verbatim in the sample's content are not cut further."""
    plain = " ".join(fold(sample.fields["content"]).split())
    return extract_list(completion, sample.language, lambda piece: normalize(piece) in plain)


def frequent_sets(samples: Sequence[Sample]) -> list[str]:
    """Constant answers to a set task: the most frequent gold sets, and the most frequent labels."""
    sets = frequent(", ".join(s.target) for s in samples)
    labels = frequent(label for s in samples for label in s.target)
    return ["[]", *sets, *labels, *(", ".join(labels[:n]) for n in range(2, 9))]


def _official_set(sample: Sample) -> frozenset[str]:
    return official_list(", ".join(sample.target))


OFFICIAL_SETS = Scoring(
    "official",
    COLUMNS,
    SetScorer(read_official_list, _official_set, str, none=False),
    (OFFICIAL_F1,),
)
"""Micro F1 of comma-separated lists, as the authors compute it."""
