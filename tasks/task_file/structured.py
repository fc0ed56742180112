"""Structured answers: spans of a text, and JSON objects whose fields have kinds of their own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..extraction import Extraction, answer_text, failure_kind, normalize, parse_literal
from ..metrics.classification import micro_f1
from ..schema import Completion, Sample, Services
from ..sources import kind as kind_of
from .answer import Answer, Figure, mean_of
from .closed import Choice, Label, Labels, YesNo
from .open import Code, Contains, List, Number, Regex, Text, random_words
from .tables import Row, cell


class Spans(Answer):
    """Spans of a text with their types, as NER has them; micro F1 over (text, type).

    The gold column holds JSON: `[{"text": "Lisbon", "type": "place"}]`, or `["Lisbon"]` where there
    are no types. An answer is read in the same form, or as `{"place": ["Lisbon"]}`.

    Attributes:
        types: The types; left out: those of the data.
    """

    kind: Literal["spans"] = "spans"
    types: tuple[str, ...] = ()

    reward = "metric"
    max_tokens = 512

    def target(self, row: Row, where: str) -> list[list[str]]:
        found = _spans(_parsed(cell(row, self.field, where)))
        if found is None:
            raise ValueError(
                'JSON spans are expected: [{"text": "...", "type": "..."}], or ["..."]'
            )
        for _, type_ in found:
            if self.types and type_ not in self.types:
                raise ValueError(f"the type {type_!r} is not one of {', '.join(self.types)}")
        return [list(pair) for pair in found]

    def learned(self, targets: Sequence[Any]) -> Spans:
        if self.types:
            return self
        return self.with_(types=tuple(sorted({type_ for found in targets for _, type_ in found})))

    def read(self, sample: Sample, completion: Completion) -> Extraction:
        found = _spans(_bracketed(answer_text(completion.text)))
        if found is None:
            return Extraction(None, failure_kind(completion, sample.language))
        return Extraction(tuple(found))

    def _sizes(self, sample: Sample, answer: Any) -> tuple[float, float, float]:
        def counted(pairs: Sequence[Sequence[str]]) -> Counter[tuple[str, str]]:
            return Counter((normalize(text), normalize(type_)) for text, type_ in pairs)

        gold = counted(sample.target) or Counter([("", "")])
        if answer is None:
            return 0.0, 0.0, float(gold.total())
        found = counted(answer) or Counter([("", "")])
        return float((found & gold).total()), float(found.total()), float(gold.total())

    def value(self, sample: Sample, answer: Any, services: Services) -> float:
        hits, predicted, gold = self._sizes(sample, answer)
        return 2 * hits / (predicted + gold)

    def figures(self) -> Mapping[str, Figure]:
        f1 = Figure(
            ("hits", "predicted", "gold"), lambda s, a, services: self._sizes(s, a), micro_f1
        )
        exact = mean_of(lambda s, a, services: self.value(s, a, services) == 1.0, proportion=True)
        return {"micro_f1": f1, "exact_match": exact}

    def shown_answer(self, answer: Any) -> Any:
        return [list(pair) for pair in answer]

    def gold(self, sample: Sample) -> str:
        spans = [{"text": text, "type": type_} if type_ else text for text, type_ in sample.target]
        return json.dumps(spans, ensure_ascii=False)

    def guess(self, sample: Sample, random: Random) -> str:
        word, type_ = random_words(self.everything(sample), random, 1)[0], self.types or ("",)
        return self.gold(replace(sample, target=[[word, random.choice(type_)]]))

    def constants(self, samples: Sequence[Sample]) -> Sequence[str]:
        return ["[]"]


def _spans(value: Any) -> list[tuple[str, str]] | None:
    """(text, type) pairs of any of the accepted forms, None if it is none of them."""
    if isinstance(value, dict):
        pairs = [
            {"text": text, "type": type_}
            for type_, texts in value.items()
            for text in (texts if isinstance(texts, list) else [texts])
        ]
        value = pairs if not {"text", "type"} <= set(value) else [value]
    if not isinstance(value, list | tuple):
        return None
    found = []
    for item in value:
        if isinstance(item, str):
            found.append((item, ""))
        elif isinstance(item, dict) and isinstance(item.get("text"), str):
            found.append((item["text"], str(item.get("type", item.get("label", "")))))
        else:
            return None
    return found


def _parsed(value: Any) -> Any:
    """A cell that is JSON, or already what JSON would give."""
    if not isinstance(value, str):
        return value
    try:
        return parse_literal(value)
    except ValueError:
        return None


def _bracketed(text: str) -> Any:
    """The literal between the first bracket and the last one of its kind, None if there is none."""
    starts = [at for mark in "[{" if (at := text.find(mark)) >= 0]
    if not starts:
        return None
    start = min(starts)
    end = text.rfind("]" if text[start] == "[" else "}")
    return _parsed(text[start : end + 1])


class Json(Answer):
    """A JSON object; each of its fields has a kind of its own.

    Attributes:
        field: The column with the gold object; "" where each field names a column of its own.
        fields: Name in the object -> its kind. A field's own `field` is its column; left out, it
            is the name in the object of `field`.
    """

    kind: Literal["json"] = "json"
    field: str = ""
    fields: Annotated[dict[str, AnyAnswer], Field(min_length=1)]

    reward = "metric"
    max_tokens = 512

    @model_validator(mode="before")
    @classmethod
    def _own_columns(cls, raw: Any) -> Any:
        """A field of the object that names no column is found under its own name."""
        if isinstance(raw, dict) and isinstance(raw.get("fields"), dict):
            named = {
                name: {"field": name, **answer} if isinstance(answer, dict) else answer
                for name, answer in raw["fields"].items()
            }
            return {**raw, "fields": named}
        return raw

    def _row(self, row: Row, where: str) -> Row:
        if not self.field:
            return row
        found = _parsed(cell(row, self.field, where))
        if not isinstance(found, dict):
            raise ValueError(f"a JSON object is expected, not {kind_of(found)}")
        return {**row, **found}

    def target(self, row: Row, where: str) -> dict[str, Any]:
        row, found = self._row(row, where), {}
        for name, answer in self.fields.items():
            try:
                found[name] = answer.target(row, where)
            except ValueError as error:
                raise ValueError(f"field {name!r} of the object: {error}") from None
        return found

    def shown(self, row: Row, where: str) -> Mapping[str, Any]:
        row, found = self._row(row, where), {}
        for answer in self.fields.values():
            found |= answer.shown(row, where)
        return found

    def learned(self, targets: Sequence[Any]) -> Json:
        learned = {
            name: answer.learned([target[name] for target in targets])
            for name, answer in self.fields.items()
        }
        return self.model_copy(update={"fields": learned})

    def read(self, sample: Sample, completion: Completion) -> Extraction:
        found = _bracketed(answer_text(completion.text))
        if not isinstance(found, dict):
            return Extraction(None, failure_kind(completion, sample.language))
        return Extraction({str(name): value for name, value in found.items()})

    def _field(self, name: str, sample: Sample, answer: Any, services: Services) -> float:
        part = replace(sample, target=sample.target[name])
        value = answer.get(name)
        if value is None:
            return 0.0
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        kind = self.fields[name]
        read = kind.read(part, Completion(text)).answer
        return 0.0 if read is None else kind.value(part, read, services)

    def value(self, sample: Sample, answer: Any, services: Services) -> float:
        values = [self._field(name, sample, answer, services) for name in self.fields]
        return sum(values) / len(values)

    def figures(self) -> Mapping[str, Figure]:
        def one(name: str) -> Figure:
            return mean_of(lambda s, a, services: self._field(name, s, a, services))

        exact = mean_of(lambda s, a, services: self.value(s, a, services) == 1.0, proportion=True)
        return {
            "field_score": mean_of(self.value),
            "exact_match": exact,
            **{f"field:{name}": one(name) for name in self.fields},
        }

    def _text(self, texts: Mapping[str, str]) -> str:
        """The object with each field's text, as JSON where it is a number or a list."""
        shown = {
            name: _parsed(text) if isinstance(self.fields[name], Number | Spans | Json) else text
            for name, text in texts.items()
        }
        return json.dumps(shown, ensure_ascii=False)

    def gold(self, sample: Sample) -> str:
        return self._text(
            {n: a.gold(replace(sample, target=sample.target[n])) for n, a in self.fields.items()}
        )

    def guess(self, sample: Sample, random: Random) -> str:
        return self._text(
            {
                name: answer.guess(replace(sample, target=sample.target[name]), random)
                for name, answer in self.fields.items()
            }
        )


AnyAnswer = Annotated[
    Label | YesNo | Choice | Labels | Number | Text | List | Contains | Regex | Code | Spans | Json,
    Field(discriminator="kind"),
]
"""The `[answer]` table of a task file."""

Json.model_rebuild()

KINDS: Mapping[str, type[Answer]] = {
    **{"label": Label, "labels": Labels, "choice": Choice, "yes_no": YesNo, "number": Number},
    **{"text": Text, "list": List, "spans": Spans, "json": Json, "regex": Regex},
    **{"code": Code, "contains": Contains},
}
"""Every kind of answer by its name."""
