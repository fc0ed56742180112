"""What the subtasks of SNS-Bench share: the paper, the data set, and how a row is read.

Each of the twelve files is an array of objects: texts for the prompt and the gold `answer`. The
embedded demonstration has the same fields and a `language`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..answers import read_literal
from ..schema import Record, Sample

DATASET = "sns-bench"
CITATION = (
    "Guo et al., SNS-Bench: Defining, Building, and Assessing Capabilities of Large Language "
    "Models in Social Networking Services. ICML 2025. https://openreview.net/forum?id=sVNNlzjZVN"
)
_COMMAS = re.compile(r"[,，、]")


def row(raw: Mapping[str, Any], target: Any, source: str, **tags: str) -> Record:
    """A row whose fields are all of the object's texts but the gold answer."""
    fields = {name: value for name, value in raw.items() if name not in ("answer", "language")}
    return Record(fields, target, str(raw.get("language", "en")), source, tags=tags)


def pieces(text: str) -> list[str]:
    """The parts of a list that is written with commas (, ， 、), empty ones dropped."""
    return [p.strip() for p in _COMMAS.split(text) if p.strip()]


@lru_cache(maxsize=1 << 12)
def listed(text: str) -> tuple[str, ...]:
    """The candidates of a field: a Python or JSON list in text, or parts between commas."""
    if text.lstrip().startswith("["):
        try:
            value = read_literal(text)
        except ValueError:
            value = None
        if isinstance(value, list):
            return tuple(str(item).strip() for item in value)
    return tuple(pieces(text))


def language_or(sample: Sample, english: str, chinese: str) -> str:
    """One of two texts, by the language of the sample."""
    return chinese if sample.language == "zh" else english


def frequent(texts: Iterable[str], most: int = 20) -> list[str]:
    """The most frequent texts."""
    return [text for text, _ in Counter(texts).most_common(most)]


def frequent_sets(samples: Sequence[Sample]) -> list[str]:
    """Constant answers to a set task: the most frequent gold sets, and the most frequent labels."""
    sets = frequent(", ".join(s.target) for s in samples)
    labels = frequent(label for s in samples for label in s.target)
    return ["[]", *sets, *labels, *(", ".join(labels[:n]) for n in range(2, 9))]


def gold_text(sample: Sample) -> str:
    """The text of a perfect answer where the target is one text."""
    return str(sample.target)


def gold_list(sample: Sample) -> str:
    """The text of a perfect answer where the target is a list: parts between commas."""
    return ", ".join(sample.target)


def target_of(sample: Sample) -> Any:
    """The target itself."""
    return sample.target
