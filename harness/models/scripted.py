"""The `scripted` backend: gold predictions, trivial baselines, or predictions made elsewhere.

It needs no model: tests use it, and it scores the outputs of other programs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from ...tasks.errors import RedoneError, UnknownName
from ...tasks.extraction import clean
from ...tasks.schema import Completion, Request, Sample
from ...tasks.sources import samples
from ...tasks.task import Task
from .output import postprocess
from .predictions import read_predictions
from .thinking import KNOWN, Marks

Answer = Callable[[Request], str | Completion]
"""A text is what a model wrote, thinking included; a completion is taken as it is."""


class NoPrediction(RedoneError):
    """A sample has no prediction, or too few: the predictions are incomplete."""


class ScriptedModel:
    """Answers from a function or a table.

    Args:
        answers: A function of the request, or texts (lists of texts: one per draw) by sample id.
        name: Shown in tables.
        fingerprint: Identity of the answers; by default the hash of the table.
        thinking_marks: Opening and closing mark of thinking, beside the known ones.

    `predicted` are the ids of the samples in the table, None for a function.
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
        self.predicted = None if callable(answers) else frozenset(answers)
        self._answer = answers if callable(answers) else _look_up(answers)
        if fingerprint is None:
            content = name if callable(answers) else clean(dict(answers))
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
                stops, repetition = request.settings.stop, request.settings.max_repetition
                thinking, text, finish = postprocess(
                    answer, stops, repetition=repetition, marks=self._marks
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
            raise NoPrediction(
                f"There is no prediction for sample {request.sample}. Every sample of the "
                "selected tasks needs one; --tasks, --partition and --limit narrow the selection, "
                "and --only-predicted scores the samples that have one."
            ) from None
        if isinstance(found, str):
            return found
        if request.draw >= len(found):
            raise NoPrediction(
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

    Raises:
        UnknownName: Neither of them.
        BadRow: A row of the file is not as `read_predictions` describes it.
    """
    if name in BASELINES:
        predict = BASELINES[name]
        table = {s.id: predict(t, s) for t in tasks for s in samples(t, folder)}
        return ScriptedModel(table, name=f"scripted:{name}")
    path = Path(name)
    if not path.is_file():
        raise UnknownName("baseline or predictions file", name, BASELINES)
    table = read_predictions(path, tasks, folder)
    return ScriptedModel(table, name=path.name, thinking_marks=thinking_marks)
