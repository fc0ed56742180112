"""The `scripted` backend: gold predictions, trivial baselines, or predictions made elsewhere.

It needs no model: tests use it, and it scores the outputs of other programs.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from ...tasks.errors import BadRow, RedoneError, UnknownName
from ...tasks.registry import by_name
from ...tasks.schema import Completion, Request, Sample
from ...tasks.sources import json_objects, samples
from ...tasks.task import Task
from .output import postprocess
from .thinking import KNOWN, Marks

Answer = Callable[[Request], str | Completion]
"""A text is what a model wrote, thinking included; a completion is taken as it is."""


class ScriptedModel:
    """Answers from a function or a table.

    Args:
        answers: A function of the request, or texts (lists of texts: one per draw) by sample id.
        name: Shown in tables.
        fingerprint: Identity of the answers; by default the hash of the table.
        thinking_marks: Opening and closing mark of thinking, beside the known ones.
    """

    backend = "scripted"
    context: int | None = None
    thinks = False

    def __init__(
        self,
        answers: Answer | Mapping[str, str | Sequence[str]],
        name: str = "scripted",
        fingerprint: str | None = None,
        thinking_marks: Sequence[str] | None = None,
    ) -> None:
        self.name = name
        self._own_marks = list(thinking_marks or ())
        self._marks = (Marks(*self._own_marks), *KNOWN) if self._own_marks else KNOWN
        self._answer = answers if callable(answers) else _look_up(answers)
        if fingerprint is None:
            content = name if callable(answers) else dict(answers)
            packed = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
            fingerprint = hashlib.sha256(packed).hexdigest()[:16]
        self._fingerprint = fingerprint

    def identity(self) -> dict[str, Any]:
        """What changes an answer."""
        own = {"thinking_marks": self._own_marks} if self._own_marks else {}
        return {"fingerprint": self._fingerprint, **own}

    def environment(self) -> dict[str, Any]:
        """What is recorded with the answers."""
        return {"backend": self.backend}

    def overflow(self, request: Request) -> int:
        """Scripted answers have no context limit."""
        return 0

    def run(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Completion]]:
        """Answers in order, one request in memory."""
        for request in requests:
            answer = self._answer(request)
            if isinstance(answer, str):
                thinking, text, finish = postprocess(
                    answer, request.settings.stop, marks=self._marks
                )
                answer = Completion(text, finish, thinking)
            yield request, answer

    def close(self) -> None:
        """Nothing to release."""


def _look_up(answers: Mapping[str, str | Sequence[str]]) -> Answer:
    def answer(request: Request) -> str:
        try:
            found = answers[request.sample]
        except KeyError:
            raise RedoneError(
                f"There is no prediction for sample {request.sample}. Every sample of the "
                "selected tasks needs one; --tasks, --partition and --limit narrow the selection."
            ) from None
        if isinstance(found, str):
            return found
        if request.draw >= len(found):
            raise RedoneError(
                f"Sample {request.sample} has {len(found)} predictions, but draw {request.draw} is "
                "needed. Lower --draws."
            )
        return found[request.draw]

    return answer


BASELINES: Mapping[str, Callable[[Task, Sample], str]] = {
    "gold": lambda task, sample: task.gold(sample),
    "empty": lambda task, sample: "",
    "everything": lambda task, sample: task.baselines.all_candidates(sample),
}
"""Predictions that follow from the data, for `--backend scripted --model NAME`."""


def load(
    name: str, tasks: Sequence[Task], folder: Path, thinking_marks: Sequence[str] | None = None
) -> ScriptedModel:
    """The model of `--backend scripted --model NAME`: one of `BASELINES`, or a predictions file.

    A predictions file is JSON or JSON lines of objects with `prediction` (a text, or a list of
    texts, one per draw) and either `id` (a sample id) or `task` and `index` (0-based row in the
    task's file, counted within its split; `split` may name it).

    Raises:
        UnknownName: Neither of them.
        BadRow: A row of the file is not as described.
    """
    if name in BASELINES:
        predict = BASELINES[name]
        table = {s.id: predict(t, s) for t in tasks for s in samples(t, folder)}
        return ScriptedModel(table, name=f"scripted:{name}")
    path = Path(name)
    if not path.is_file():
        raise UnknownName("baseline or predictions file", name, BASELINES)
    ids = {(t.name, s.split, s.index): s.id for t in tasks for s in samples(t, folder)}
    only_split = {task: split for task, split, _ in ids}
    table: dict[str, Any] = {}
    for number, row in enumerate(json_objects(path), 1):
        if not isinstance(row, dict):
            raise BadRow(f"{path}, row {number}: an object is expected.")
        text = row.get("prediction")
        texts = text if isinstance(text, list) and text else [text]
        if not all(isinstance(t, str) for t in texts):
            raise BadRow(
                f"{path}, row {number}, field 'prediction': a text or list of texts. A row looks "
                'like {"task": "sns_mini/ner", "index": 0, "prediction": "Paris"}.'
            )
        if "id" in row:
            table[str(row["id"])] = text
            continue
        task, index = row.get("task"), row.get("index")
        if not isinstance(task, str) or not isinstance(index, int):
            raise BadRow(f"{path}, row {number}: give 'id', or 'task' (text) and 'index' (number).")
        if task not in only_split:
            # Of a task that is not selected; a name that is no task's is a mistake.
            by_name(task)
            continue
        key = (task, row.get("split", only_split[task]), index)
        if key not in ids:
            raise BadRow(f"{path}, row {number}: {task} has no row {index} in split {key[1]!r}.")
        table[ids[key]] = text
    if unmatched := len(table.keys() - set(ids.values())):
        note = f"{unmatched} of {len(table)} predictions match no sample of these tasks."
        print(f"{path}: {note}", file=sys.stderr)
    return ScriptedModel(table, name=path.name, thinking_marks=thinking_marks)
