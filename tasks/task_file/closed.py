"""Closed answers: one label, a set of labels, one of lettered options, yes or no."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from random import Random
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from ..extract_choice import chosen
from ..extract_label import YES_NO, LabelSet, extract_label, labels
from ..extract_list import extract_list
from ..extraction import Extraction, failure_kind, normalize
from ..metrics.classification import (
    columns,
    counts,
    f1_of,
    informedness,
    label_micro_f1,
    macro_f1,
    macro_recall,
    matthews,
    micro_f1,
    rarest,
)
from ..schema import Completion, Sample, Services
from .answer import Answer, Figure, mean_of
from .tables import Row, cell, list_of, text_of

MOST_LABELS = 200
"""Labels up to which figures per label (macro F1, ...) are kept: three statistics each."""


def _distinct_aliases(
    labels: tuple[str, ...] | dict[str, tuple[str, ...]],
) -> tuple[str, ...] | dict[str, tuple[str, ...]]:
    """Labels whose aliases belong to one of them only."""
    seen: dict[str, str] = {}
    for name, aliases in labels.items() if isinstance(labels, dict) else ():
        for alias in (name, *aliases):
            if seen.setdefault(alias, name) != name:
                raise ValueError(f"{alias!r} means both {seen[alias]!r} and {name!r}")
    return labels


Names = Annotated[tuple[str, ...] | dict[str, tuple[str, ...]], AfterValidator(_distinct_aliases)]
"""The labels of a closed set: a list, or label -> other ways to write it."""


class _OneLabel(Answer):
    """One answer out of a few, the same few for every sample."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The labels, in the order of the statistics."""

    def value(self, sample: Sample, answer: Any, services: Services) -> float:
        return float(answer == sample.target)

    def figures(self) -> Mapping[str, Figure]:
        right = mean_of(self.value, proportion=True)
        names = self.names
        if len(names) > MOST_LABELS:
            return {"accuracy": right}

        def stats(sample: Sample, answer: Any, services: Services) -> tuple[float, ...]:
            return counts(names, answer, sample.target)

        def by_label(from_sums: Any, rests_on: Any = None, lowest: float = 0.0) -> Figure:
            return Figure(columns(names), stats, from_sums, rests_on=rests_on, lowest=lowest)

        return {
            "accuracy": right,
            "macro_f1": by_label(macro_f1, rarest(2)),
            "micro_f1": by_label(label_micro_f1),
            "macro_recall": by_label(macro_recall, rarest(1)),
            "mcc": by_label(matthews, rarest(2), -100.0),
            "informedness": by_label(informedness, rarest(2), -100.0),
            **{f"f1:{n}": by_label(f1_of(names, [n]), rarest(2, names, [n])) for n in names},
        }

    def gold(self, sample: Sample) -> str:
        return str(sample.target)

    def guess(self, sample: Sample, random: Random) -> str:
        return random.choice(self.names)

    def constants(self, samples: Sequence[Sample]) -> Sequence[str]:
        return self.names[:MOST_LABELS]

    def everything(self, sample: Sample) -> str:
        return ", ".join(self.names)

    def label(self, target: Any) -> str | None:
        return str(target)


class Label(_OneLabel):
    """One label of a closed set.

    Attributes:
        labels: The labels, or label -> other ways to write it; left out: those of the data.
        match: `stated`: the label that the answer commits to, wherever in the text; `exact`: the
            whole answer, stripped, must be the label.
    """

    kind: Literal["label"] = "label"
    labels: Names = ()
    match: Literal["stated", "exact"] = "stated"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.labels)

    @cached_property
    def known(self) -> LabelSet:
        return labels(self.labels)

    @cached_property
    def _aliases(self) -> Mapping[str, str]:
        if not isinstance(self.labels, dict):
            return {}
        return {alias: name for name, aliases in self.labels.items() for alias in aliases}

    def learned(self, targets: Sequence[Any]) -> Label:
        if self.labels:
            return self
        return self.with_(labels=tuple(sorted(set(targets))))

    def target(self, row: Row, where: str) -> str:
        text = text_of(cell(row, self.field, where)).strip()
        if not text:
            raise ValueError("the label is empty. Fill it in, or remove the row")
        text = self._aliases.get(text, text)
        if self.labels and text not in self.labels:
            raise ValueError(
                f"the label {text!r} is not one of {', '.join(map(repr, self.names[:12]))}. "
                "Add it to `labels` in the task file, or correct the row"
            )
        return text

    def read(self, sample: Sample, completion: Completion) -> Extraction:
        if self.match == "stated":
            return extract_label(completion, self.known, sample.language)
        text = completion.text.strip()
        if text in self.names:
            return Extraction(text)
        return Extraction(None, failure_kind(completion, sample.language))


class YesNo(_OneLabel):
    """Yes or no, in English or Chinese; the column may hold yes/no, true/false, 1/0, 是/否."""

    kind: Literal["yes_no"] = "yes_no"

    @property
    def names(self) -> tuple[str, ...]:
        return YES_NO.names

    def target(self, row: Row, where: str) -> str:
        text = normalize(text_of(cell(row, self.field, where)))
        text = {"1": "yes", "0": "no", "y": "yes", "n": "no"}.get(text, text)
        number = YES_NO.forms.get(text)
        if number is None:
            raise ValueError(f"yes or no (true/false, 1/0, 是/否) is expected, not {text!r}")
        return YES_NO.names[number]

    def read(self, sample: Sample, completion: Completion) -> Extraction:
        return extract_label(completion, YES_NO, sample.language)


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Choice(_OneLabel):
    """One of several lettered options.

    The prompt shows them as `{choices}`: "A. first option", one a line.

    Attributes:
        options: Names of columns with one option each, or one column that holds a list.
        separator: Between the options of a list that is written as text.
        gold_as: What the gold column holds: the option's `text`, its `letter`, or its `index` from
            0; left out: whichever fits, and a row where two of them differ is refused.
    """

    kind: Literal["choice"] = "choice"
    options: str | tuple[str, ...]
    separator: str = ";"
    gold_as: Literal["text", "letter", "index"] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(LETTERS)

    def figures(self) -> Mapping[str, Figure]:
        return {"accuracy": mean_of(self.value, proportion=True)}

    def _options(self, row: Row, where: str) -> list[str]:
        if isinstance(self.options, str):
            found = list_of(cell(row, self.options, where), self.separator)
        else:
            found = [text_of(cell(row, name, where)).strip() for name in self.options]
        if not 2 <= len(found) <= len(LETTERS) or "" in found:
            raise ValueError(
                f"2 to {len(LETTERS)} options are expected, none of them empty; found {found!r:.80}"
            )
        return found

    def shown(self, row: Row, where: str) -> Mapping[str, Any]:
        options = self._options(row, where)
        lines = [f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False)]
        return {"options": options, "choices": "\n".join(lines)}

    def target(self, row: Row, where: str) -> str:
        options = self._options(row, where)
        gold = text_of(cell(row, self.field, where)).strip()
        letters = LETTERS[: len(options)]
        found: dict[str, str] = {}
        if gold in options:
            found["text"] = letters[options.index(gold)]
        if len(gold) == 1 and gold.upper() in letters:
            found["letter"] = gold.upper()
        if gold.isdecimal() and int(gold) < len(options):
            found["index"] = letters[int(gold)]
        if self.gold_as is not None:
            found = {how: letter for how, letter in found.items() if how == self.gold_as}
        if not found:
            what = self.gold_as or "letter, the index from 0 or the text"
            raise ValueError(f"{gold!r:.80} is the {what} of none of {len(options)} options")
        if len(set(found.values())) > 1:
            raise ValueError(
                f"{gold!r:.80} is the {' and the '.join(found)} of different options; say which it "
                f'is, for example `gold_as = "{next(iter(found))}"` under [answer]'
            )
        return next(iter(found.values()))

    def read(self, sample: Sample, completion: Completion) -> Extraction:
        options = sample.fields["options"]
        place = chosen(completion.text, [options], len(options), sample.language)
        if place is None:
            return Extraction(None, failure_kind(completion, sample.language))
        return Extraction(LETTERS[place])

    def guess(self, sample: Sample, random: Random) -> str:
        return random.choice(LETTERS[: len(sample.fields["options"])])

    def constants(self, samples: Sequence[Sample]) -> Sequence[str]:
        return LETTERS[: max(len(sample.fields["options"]) for sample in samples)]

    def everything(self, sample: Sample) -> str:
        return sample.fields["choices"]


class Labels(Answer):
    """A set of labels of a closed set, or (kind `list`) of texts of any wording.

    Attributes:
        labels: The labels, or label -> other ways to write it; left out: those of the data.
        separator: Between the labels of a cell that is text; a JSON list is read as well.
    """

    kind: Literal["labels"] = "labels"
    labels: Names = ()
    separator: str = ","

    reward = "metric"

    @cached_property
    def _forms(self) -> Mapping[str, str]:
        forms = {normalize(name): name for name in self.labels}
        if isinstance(self.labels, dict):
            for name, aliases in self.labels.items():
                forms |= {normalize(alias): name for alias in aliases}
        return forms

    def learned(self, targets: Sequence[Any]) -> Labels:
        if self.labels:
            return self
        return self.with_(labels=tuple(sorted({text for texts in targets for text in texts})))

    def target(self, row: Row, where: str) -> list[str]:
        found = list_of(cell(row, self.field, where), self.separator)
        if self.labels:
            for text in found:
                if normalize(text) not in self._forms:
                    raise ValueError(
                        f"the label {text!r} is not one of {', '.join(list(self.labels)[:12])}. "
                        "Add it to `labels` in the task file, or correct the row"
                    )
            found = [self._forms[normalize(text)] for text in found]
        return list(dict.fromkeys(found))

    def read(self, sample: Sample, completion: Completion) -> Extraction:
        found = extract_list(completion, sample.language, lambda p: normalize(p) in self._forms)
        if found.answer is None:
            return found
        named = (self._forms.get(normalize(text), text) for text in found.answer)
        return Extraction(tuple(dict.fromkeys(named)))

    def value(self, sample: Sample, answer: Collection[str], services: Services) -> float:
        hits, predicted, gold = self._sizes(sample, answer)
        return 2 * hits / (predicted + gold)

    def _sizes(self, sample: Sample, answer: Collection[str] | None) -> tuple[float, float, float]:
        """Hits, predicted and gold; "there are none" is a label of its own."""
        gold = set(sample.target) or {""}
        if answer is None:
            return 0.0, 0.0, float(len(gold))
        predicted = set(answer) or {""}
        return float(len(gold & predicted)), float(len(predicted)), float(len(gold))

    def figures(self) -> Mapping[str, Figure]:
        names = tuple(self.labels)
        f1 = Figure(
            ("hits", "predicted", "gold"),
            lambda sample, answer, services: self._sizes(sample, answer),
            micro_f1,
        )
        exact = mean_of(lambda s, a, services: self.value(s, a, services) == 1.0, proportion=True)
        found = {"micro_f1": f1, "exact_match": exact, "sample_f1": mean_of(self.value)}
        if 0 < len(names) <= MOST_LABELS:

            def stats(sample: Sample, answer: Any, services: Services) -> tuple[float, ...]:
                predicted, gold = set(answer or ()), set(sample.target)
                flags = ((n in predicted and n in gold, n in predicted, n in gold) for n in names)
                return tuple(float(flag) for three in flags for flag in three)

            found["macro_f1"] = Figure(columns(names), stats, macro_f1, rests_on=rarest(2))
        return found

    def gold(self, sample: Sample) -> str:
        return ", ".join(sample.target) or "[]"

    def guess(self, sample: Sample, random: Random) -> str:
        names = list(self.labels) or ["none"]
        return ", ".join(random.sample(names, min(len(names), random.randint(1, 3))))

    def constants(self, samples: Sequence[Sample]) -> Sequence[str]:
        often = Counter(text for sample in samples for text in sample.target).most_common(10)
        return ["[]", *(text for text, _ in often)]

    def everything(self, sample: Sample) -> str:
        return ", ".join(self.labels) or super().everything(sample)

    def label(self, target: Any) -> str | None:
        return "several" if len(target) > 1 else target[0] if target else "none"
