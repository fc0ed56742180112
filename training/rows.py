"""What every part of training shares: a row to learn from, and what was decided about a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from ..harness.run_folder import replacing
from ..tasks.errors import RedoneError
from ..tasks.schema import Message, Sample

_REASONING = {
    "en": 'Reason in a few sentences first, then write "Answer:" and the answer as the last line.',
    "zh": "请先用几句话推理，最后一行写“答案：”和答案。",
}
_LABEL = {"en": "Answer: ", "zh": "答案："}


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One item to learn from.

    Attributes:
        id: Unique within a corpus.
        task: The task that scores it.
        messages: The prompt before any chat template: one system turn at most, then turns of user
            and assistant, a user's last.
        answer: The text of a perfect answer: what SFT learns.
        rationale: The reasoning before the answer; "" for none. The task parses the same answer
            behind it.
        language: ISO 639-1 code.
        weight: How often the row is drawn relative to others of its task, above 0.
        fields, target, tags: As of `tasks.schema.Sample`. Without a target no answer can be scored:
            such a row is for SFT only.
        general: General data, not of social networks.
        cluster: Hash of the source text, as of a sample.
    """

    id: str
    task: str
    messages: tuple[Message, ...]
    answer: str
    rationale: str = ""
    language: str = "en"
    weight: float = 1.0
    fields: Mapping[str, Any] = field(default_factory=dict)
    target: Any = None
    tags: Mapping[str, str] = field(default_factory=dict)
    general: bool = False
    cluster: str = ""

    @property
    def judgeable(self) -> bool:
        """Whether an answer to this row can be scored."""
        return self.target is not None

    def sample(self) -> Sample:
        """The row as the sample that its task scores.

        Raises:
            RedoneError: The row has no target.
        """
        if not self.judgeable:
            raise RedoneError(
                f"Row {self.id!r} of {self.task} has no target, so no answer to it can be scored: "
                "it is for SFT only. Give the row a `target`, or leave it out of RL."
            )
        return Sample(
            id=self.id,
            task=self.task,
            fields=self.fields,
            target=self.target,
            language=self.language,
            cluster=self.cluster,
            split="train",
            partition="train",
            tags=self.tags,
        )

    def decided(
        self, kept: int, why: str, reason: str, bucket: str = "", **more: Any
    ) -> RowDecision:
        """A decision about this row."""
        return RowDecision(self.id, self.task, kept, why, reason, bucket, more)

    def asked(self, rationale: bool) -> tuple[Message, ...]:
        """The messages; with `rationale` one more sentence requests the reasoning first."""
        if not rationale:
            return self.messages
        last = self.messages[-1]
        wanted = f"{last['content']}\n\n{worded(_REASONING, self.language)}"
        return (*self.messages[:-1], {**last, "content": wanted})

    def learnt(self, rationale: bool) -> str:
        """The assistant's text to learn; with `rationale`, the row's own comes first."""
        if not rationale or not self.rationale:
            return self.answer
        return behind(self.rationale, self.answer, self.language)

    def to_json(self) -> str:
        """The row as a line of a corpus; what is at its default is left out."""
        record = {
            name: value
            for name in NAMES
            if (value := getattr(self, name)) != _DEFAULTS.get(name, _ALWAYS)
        }
        return orjson.dumps(record).decode()

    @classmethod
    def from_json(cls, text: str) -> TrainingRow:
        """The row of a text that `to_json` made; `read_corpus` is for texts of other origin."""
        record = orjson.loads(text)
        return cls(**{**record, "messages": tuple(record["messages"])})


NAMES = tuple(f.name for f in fields(TrainingRow))
_ALWAYS = object()
_DEFAULTS = {
    **{"rationale": "", "language": "en", "weight": 1.0, "fields": {}, "target": None},
    **{"tags": {}, "cluster": ""},
}
"""`general` is always written: read from a user's file, its default depends on the task."""


def worded(texts: Mapping[str, str], language: str) -> str:
    """The text in a language, English where there is none."""
    return texts.get(language, texts["en"])


def behind(rationale: str, answer: str, language: str) -> str:
    """An answer after its rationale."""
    return f"{rationale}\n\n{worded(_LABEL, language)}{answer}"


@dataclass(frozen=True, slots=True)
class RowDecision:
    """The outcome of one row.

    Attributes:
        row, task: Its id and task.
        kept: How often it is in the result; 0: dropped.
        reason: In one sentence.
        why: The reason in one word, to count by.
        bucket: The failure bucket that it counts for, "" for none.
        more: Figures behind the decision.
    """

    row: str
    task: str
    kept: int
    why: str
    reason: str
    bucket: str = ""
    more: dict[str, Any] = field(default_factory=dict)


def write_decisions(decisions: Iterable[RowDecision], path: str | Path) -> None:
    """Writes a JSON line for each row; what is empty is left out.

    Raises:
        DiskFull: As `write_lines`.
    """
    records = (asdict(decision) for decision in decisions)
    write_lines(path, ({k: v for k, v in r.items() if v != "" and v != {}} for r in records))


def write_lines(path: str | Path, records: Iterable[Any]) -> None:
    """Writes JSON lines of records, or of texts that are JSON already: whole or not at all.

    Raises:
        DiskFull: No space; a file that was there is as before.
    """
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        for record in records:
            line = record.encode() if isinstance(record, str) else orjson.dumps(record)
            file.write(line + b"\n")


def write_json(path: Path, record: Any, *, indent: bool = True, newline: bool = False) -> None:
    """Writes a JSON file whole or not at all.

    Raises:
        DiskFull: As `write_lines`.
    """
    option = orjson.OPT_INDENT_2 * indent | orjson.OPT_APPEND_NEWLINE * newline
    with replacing(path) as temporary:
        temporary.write_bytes(orjson.dumps(record, option=option))


def counted(decisions: Iterable[RowDecision]) -> dict[str, int]:
    """Rows by `why`, the most frequent first."""
    return dict(Counter(decision.why for decision in decisions).most_common())
