"""Open answers: a number, a text, a list of texts, given terms, a pattern, a program."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import cached_property, partial
from random import Random
from typing import Any, Literal

import numpy as np
import regex
from pydantic import Field, field_validator

from ..extract_list import extract_list
from ..extraction import (
    MAX_CHARS,
    Extraction,
    answer_text,
    extract_text,
    failure_kind,
    normalize,
)
from ..general_mini.items import plain, read_number
from ..metrics import text_overlap, translation
from ..metrics.classification import micro_f1
from ..schema import Completion, Sample, Services
from .answer import Answer, Figure, mean_of
from .tables import Row, cell, list_of, text_of


def random_words(text: str, random: Random, count: int) -> list[str]:
    """Words of a text, drawn at random."""
    return random.choices(text.split() or ["none"], k=count)


class Number(Answer):
    """A number; the last one stated counts.

    Attributes:
        tolerance: Largest absolute error of a right answer.
        relative: Largest error of a right answer as a share of the gold number.
        unit: Texts that may follow the number of a gold cell ("12 kg").
    """

    kind: Literal["number"] = "number"
    tolerance: float = Field(default=0.0, ge=0, strict=True)
    relative: float = Field(default=0.0, ge=0, strict=True)
    unit: tuple[str, ...] = ()

    def target(self, row: Row, where: str) -> str:
        text = text_of(cell(row, self.field, where)).strip().replace(",", "")
        for unit in self.unit:
            text = text.removesuffix(unit).strip()
        try:
            number = Decimal(text)
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite():
            raise ValueError(f"a number is expected, not {text!r:.60}")
        return plain(str(number))

    def read(self, sample: Sample, completion: Completion) -> Extraction:
        return read_number(completion, sample.language)

    def _error(self, sample: Sample, answer: str) -> float:
        return abs(float(answer) - float(sample.target))

    def value(self, sample: Sample, answer: str, services: Services) -> float:
        slack = max(self.tolerance, self.relative * abs(float(sample.target)))
        if slack == 0:
            return float(answer == sample.target)
        return float(self._error(sample, answer) <= slack * (1 + 1e-9))

    def figures(self) -> Mapping[str, Figure]:
        def absolute(sample: Sample, answer: Any, services: Services) -> tuple[float, ...]:
            return (0.0, 0.0) if answer is None else (self._error(sample, answer), 1.0)

        def squared(sample: Sample, answer: Any, services: Services) -> tuple[float, ...]:
            return (0.0, 0.0) if answer is None else (self._error(sample, answer) ** 2, 1.0)

        columns, error = ("error", "read"), {"higher_is_better": False, "highest": math.inf}
        return {
            "accuracy": mean_of(self.value, proportion=True),
            "mae": Figure(columns, absolute, _ratio, **error),
            "rmse": Figure(columns, squared, lambda sums: np.sqrt(_ratio(sums)), **error),
        }

    def gold(self, sample: Sample) -> str:
        return sample.target

    def guess(self, sample: Sample, random: Random) -> str:
        return str(random.randint(0, 100))

    def constants(self, samples: Sequence[Sample]) -> Sequence[str]:
        values = sorted(samples, key=lambda sample: float(sample.target))
        return ["0", "1", values[len(values) // 2].target]


def _ratio(sums: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[..., 0], dtype=np.float64) / sums[..., 1]


class Text(Answer):
    """A free text, compared with one or several references; the best reference counts.

    Attributes:
        field: The column with the reference; a list of texts is several references.
    """

    kind: Literal["text"] = "text"
    metrics: tuple[str, ...] = ("normalized_exact_match",)

    reward = "metric"
    max_tokens = 512

    def target(self, row: Row, where: str) -> list[str]:
        found = cell(row, self.field, where)
        texts = list_of(found, ";") if isinstance(found, list) else [text_of(found).strip()]
        if not texts or "" in texts:
            raise ValueError("the reference is empty. Fill it in, or remove the row")
        return texts

    def read(self, sample: Sample, completion: Completion) -> Extraction:
        return extract_text(completion, sample.language)

    def value(self, sample: Sample, answer: str, services: Services) -> float:
        return self._best(_SIMILARITY[self.metrics[0]], sample, answer, services)

    @staticmethod
    def _best(
        similarity: Callable[..., float], sample: Sample, answer: str, services: Services
    ) -> float:
        return max(similarity(answer, text, sample.language, services) for text in sample.target)

    def figures(self) -> Mapping[str, Figure]:
        found = {
            name: mean_of(
                partial(self._best, similarity),
                proportion=name in ("exact_match", "normalized_exact_match"),
                needs=("embedder",) if name == "embedding_similarity" else (),
            )
            for name, similarity in _SIMILARITY.items()
        }
        for name, from_sums in (("bleu", translation.bleu), ("chrf", translation.chrf)):
            found[name] = Figure(translation.STATISTICS, _counts, from_sums)
        return found

    def gold(self, sample: Sample) -> str:
        return sample.target[0]

    def guess(self, sample: Sample, random: Random) -> str:
        return " ".join(random_words(self.everything(sample), random, random.randint(1, 8)))


def _counts(sample: Sample, answer: Any, services: Services) -> tuple[float, ...]:
    return translation.statistics(answer or "", sample.target, sample.language)


def _words(text: str) -> list[str]:
    return text_overlap.tokens(text.casefold())


_SIMILARITY: Mapping[str, Callable[[str, str, str, Services], float]] = {
    "normalized_exact_match": lambda a, b, language, services: float(normalize(a) == normalize(b)),
    "exact_match": lambda a, b, language, services: float(a == b),
    "edit_similarity": lambda a, b, language, services: text_overlap.anls(
        a[: text_overlap.LONGEST], b
    ),
    "rouge_l": lambda a, b, language, services: text_overlap.rouge(_words(a), _words(b))[2],
    "bleu": lambda a, b, language, services: text_overlap.bleu_of_length(_words(a), _words(b)),
    "chrf": lambda a, b, language, services: translation.sentence_chrf(
        translation.statistics(a, b, language)
    ),
    "embedding_similarity": lambda a, b, language, services: max(
        0.0, text_overlap.cosine(services.embedder, a, b) if services.embedder else 0.0
    ),
}
"""Similarity of an answer and one reference, 0..1, by the name of its metric."""


class List(Answer):
    """A list of texts in any wording.

    Attributes:
        ordered: The order counts.
        separator: Between the items of a cell that is text; a JSON list is read as well.
    """

    kind: Literal["list"] = "list"
    ordered: bool = False
    separator: str = ","

    reward = "metric"
    max_tokens = 256

    def target(self, row: Row, where: str) -> list[str]:
        return list_of(cell(row, self.field, where), self.separator)

    def read(self, sample: Sample, completion: Completion) -> Extraction:
        known = set(map(normalize, sample.target))
        return extract_list(completion, sample.language, lambda piece: normalize(piece) in known)

    def _sizes(self, sample: Sample, answer: Sequence[str] | None) -> tuple[float, float, float]:
        gold = list(map(normalize, sample.target)) or [""]
        if answer is None:
            return 0.0, 0.0, float(len(gold))
        found = list(map(normalize, answer)) or [""]
        if self.ordered:
            from rapidfuzz.distance import LCSseq

            hits = LCSseq.similarity(found, gold)
        else:
            hits = (Counter(found) & Counter(gold)).total()
        return float(hits), float(len(found)), float(len(gold))

    def value(self, sample: Sample, answer: Sequence[str], services: Services) -> float:
        hits, predicted, gold = self._sizes(sample, answer)
        return 2 * hits / (predicted + gold)

    def figures(self) -> Mapping[str, Figure]:
        f1 = Figure(
            ("hits", "predicted", "gold"), lambda s, a, services: self._sizes(s, a), micro_f1
        )
        exact = mean_of(lambda s, a, services: self.value(s, a, services) == 1.0, proportion=True)
        return {"micro_f1": f1, "exact_match": exact, "sample_f1": mean_of(self.value)}

    def gold(self, sample: Sample) -> str:
        return ", ".join(sample.target) or "[]"

    def guess(self, sample: Sample, random: Random) -> str:
        return ", ".join(random_words(self.everything(sample), random, random.randint(1, 4)))

    def constants(self, samples: Sequence[Sample]) -> Sequence[str]:
        return ["[]"]


class Contains(Answer):
    """The answer must contain all, any or none of the terms in a column (or of fixed ones).

    Attributes:
        field: The column with the terms: a list, or terms between separators.
        mode: How many of them.
        ignore_case: Whether case and width are ignored.
        separator: Between the terms of a cell that is text.
    """

    kind: Literal["contains"] = "contains"
    mode: Literal["all", "any", "none"] = "all"
    ignore_case: bool = True
    separator: str = ";"

    reward = "pattern"
    max_tokens = 512

    def target(self, row: Row, where: str) -> list[str]:
        found = list_of(cell(row, self.field, where), self.separator)
        if not found:
            raise ValueError("no term is given. Fill it in, or remove the row")
        return found

    def read(self, sample: Sample, completion: Completion) -> Extraction:
        text = completion.text.strip()
        if not text:
            return Extraction(None, failure_kind(completion, sample.language))
        return Extraction(text[:MAX_CHARS])

    def value(self, sample: Sample, answer: str, services: Services) -> float:
        def form(text: str) -> str:
            return text.casefold() if self.ignore_case else text

        there = [form(term) in form(answer) for term in sample.target]
        return float({"all": all, "any": any, "none": lambda x: not any(x)}[self.mode](there))

    def figures(self) -> Mapping[str, Figure]:
        return {"accuracy": mean_of(self.value, proportion=True)}

    def shown_answer(self, answer: Any) -> Any:
        return answer[:200]

    def gold(self, sample: Sample) -> str:
        return "-" if self.mode == "none" else ", ".join(sample.target)

    def guess(self, sample: Sample, random: Random) -> str:
        return " ".join(random_words(self.everything(sample), random, 8))

    def constants(self, samples: Sequence[Sample]) -> Sequence[str]:
        often = Counter(term for sample in samples for term in sample.target).most_common(5)
        return ["-", *(term for term, _ in often)]


SECONDS = 1.0
"""Time limit of one search with a user's regular expression."""


class Regex(Answer):
    """What a regular expression finds in the answer, compared with the gold text.

    Attributes:
        pattern: The last match counts: its first group, or all of it where it has none.
        exact: Whether case, width and punctuation count.
    """

    kind: Literal["regex"] = "regex"
    pattern: str
    exact: bool = False

    reward = "pattern"

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            regex.compile(pattern)
        except regex.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return pattern

    @cached_property
    def _compiled(self) -> regex.Pattern[str]:
        return regex.compile(self.pattern)

    def target(self, row: Row, where: str) -> str:
        text = text_of(cell(row, self.field, where)).strip()
        if not text:
            raise ValueError("the gold text is empty. Fill it in, or remove the row")
        return text

    def read(self, sample: Sample, completion: Completion) -> Extraction:
        text = completion.text[:MAX_CHARS]
        try:
            found = [*self._compiled.finditer(text, timeout=SECONDS)]
        except TimeoutError:
            found = []
        if not found:
            return Extraction(None, failure_kind(completion, sample.language))
        return Extraction((found[-1][1] if found[-1].re.groups else found[-1][0]) or "")

    def value(self, sample: Sample, answer: str, services: Services) -> float:
        if self.exact:
            return float(answer == sample.target)
        return float(normalize(answer) == normalize(sample.target))

    def figures(self) -> Mapping[str, Figure]:
        return {"exact_match": mean_of(self.value, proportion=True)}

    def gold(self, sample: Sample) -> str:
        """The gold text as the pattern frames it, if literal text is all that is around it."""
        return self._framed(sample.target)

    def _framed(self, text: str) -> str:
        before, group, after = _around_group(self.pattern)
        return before + text + after if group else text

    def guess(self, sample: Sample, random: Random) -> str:
        return self._framed(" ".join(random_words(self.everything(sample), random, 1)))


def _around_group(pattern: str) -> tuple[str, str, str]:
    """The literal text before and after the one group of a pattern; empty where it is none."""
    found = re.fullmatch(r"((?:\\.|[^\\()])*)(\(.*\))((?:\\.|[^\\()])*)", pattern, re.S)
    if not found:
        return "", "", ""

    def literal(text: str) -> str:
        text = re.sub(r"\\s[*+?]?", " ", text).strip("^$")
        return re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)[*+?]", "", text))

    return literal(found[1]), found[2], literal(found[3])


class Code(Answer):
    """A Python program, run in the sandbox against the tests in a column (`--allow-code`).

    Attributes:
        field: The column with a reference program.
        tests: The column with Python that raises if the program is wrong (`assert f(2) == 4`).
        seconds: CPU time of one program.
    """

    kind: Literal["code"] = "code"
    tests: str
    seconds: float = Field(default=10.0, gt=0, le=120, strict=True)

    reward = "sandbox"
    max_tokens = 1024
    needs = ("sandbox",)

    def target(self, row: Row, where: str) -> dict[str, str]:
        program, tests = (text_of(cell(row, name, where)) for name in (self.field, self.tests))
        if not program.strip() or not tests.strip():
            raise ValueError("the reference program and its tests must not be empty")
        return {"program": program, "tests": tests}

    def read(self, sample: Sample, completion: Completion) -> Extraction:
        fenced = _PROGRAM.findall(completion.text[: 10 * MAX_CHARS])
        program = fenced[-1] if fenced else completion.text
        if not answer_text(program):
            return Extraction(None, failure_kind(completion, sample.language))
        return Extraction(program)

    def value(self, sample: Sample, answer: str, services: Services) -> float:
        if services.sandbox is None:
            return 0.0
        outcome = services.sandbox.run(answer, sample.target["tests"], seconds=self.seconds)
        return float(outcome.passed)

    def figures(self) -> Mapping[str, Figure]:
        return {"pass_at_1": mean_of(self.value, proportion=True)}

    def shown_answer(self, answer: Any) -> Any:
        return answer[:2_000]

    def gold(self, sample: Sample) -> str:
        return f"```python\n{sample.target['program']}\n```"

    def guess(self, sample: Sample, random: Random) -> str:
        return "pass"


_PROGRAM = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.S | re.I)
