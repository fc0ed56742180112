"""The reward of an answer *is* its evaluation: the task's own `corrected` judgement of the text.

Four kinds of task (exact, metric, sandbox, pattern; RedOne 2.0, section 3.1), one way: each row
goes to the judgement of its task, the same parser and score that `redone-eval` uses, and shaping
terms are added to it. A text that cannot be judged has no reward, which is not a reward of 0.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ..harness.models.base import finished
from ..tasks.errors import UnknownName
from ..tasks.registry import by_name
from ..tasks.schema import Completion, Failure, Prompt, Sample, Score, Scoring, Services, Task
from .corpus.row import CorpusRow
from .shaping import Shaping

SPREAD: Mapping[str, float] = {"exact": 1e-6, "pattern": 1e-6, "sandbox": 1e-6, "metric": 0.02}
"""By kind of reward: how far a group's values must range for the group to teach anything.

Closed questions, formats and tests move in steps that mean something, so any difference counts and
the bound is that of rounding. A metric of free text moves with every comma, and dividing by the
group's standard deviation would blow such a difference up to a full advantage. Of the 1,428
zh-en pairs of SNS-TransBench, the first 500 by hash: a final punctuation mark more or less moves
the value by 0.012 in the median, a missing word by 0.10. (In Chinese titles of a few characters a
mark moves BLEU by as much as a word: no bound can tell those apart.)
"""
CONCURRENT = 8
"""Programs given to the sandbox at a time; it decides how many of them run."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What an answer is worth.

    Attributes:
        value: The task's own value, 0..1; None where it cannot be judged: the row belongs to no
            task here, does not fit its task, or a service is missing.
        failure: What went wrong, in the words of the evaluation.
        reward: Value and shaping; None where the value is.
        parts: What each shaping term adds, -ratio..0; `reward = value + sum(parts)`.
        weight: Of the answer's loss, after advantages are normalised; 1 unless asked for.
    """

    value: float | None
    failure: Failure | None = None
    reward: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    weight: float = 1.0


NOT_JUDGED = Judged(None)
_UNSHAPED = Shaping()


@dataclass(frozen=True, slots=True)
class Raw:
    """What a model wrote, thinking and all.

    Attributes:
        text: Special tokens left out.
        cut: Whether the token limit ended it.
        tokens: Written ones.
    """

    text: str
    cut: bool = False
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Fit:
    """A row and the judgement that applies to it."""

    row: CorpusRow
    task: Task
    scoring: Scoring
    sample: Sample

    def holds(self, services: Services) -> bool:
        """Whether the row is one of its task: the task's gold answer to it is a perfect one.

        A row with another task's target would give 0 to every answer, or fail on each. A task that
        asks for several answers, or for none in words, cannot be judged by one text.
        """
        try:
            if self.task.requests is not None:
                asked = self.task.requests(self.sample, Prompt("", ""))
                return [request.kind for request in asked] == ["generate"]
            gold = Completion(self.task.gold(self.sample))
            if self.scoring.needs:  # running a program for each row would take the time of answers
                return True
            return self.scoring.score(self.sample, [gold], services).value > 1 - 1e-5
        except (LookupError, TypeError, ValueError, AttributeError):
            return False

    def read(self, given: Completion | Raw | str) -> Completion:
        """A completion as an evaluation would have it."""
        if isinstance(given, Completion):
            return given
        raw = Raw(given) if isinstance(given, str) else given
        stops = self.task.settings.stop
        thinking, text, finish = finished(raw.text, stops, opened=False, cut=raw.cut)
        return Completion(text, finish, thinking, tokens=raw.tokens)

    @property
    def models(self) -> tuple[str, str]:
        """The texts by which language is judged."""
        return (self.row.answer, self.row.rationale)


class Rewards:
    """Judges answers to corpus rows, and is a reward function of TRL's. Can be pickled.

    Args:
        services: What scoring may use, as in an evaluation. A task whose needed service is missing
            falls back to its reduced scoring, or is not judged.
        shaping: Terms of every task, or by task; a task that is not named has none.
        weights: Of the loss, by task; 1 for others.
        tasks: Only rows of these are judged; None: of every task in the registry.
        ends: Ids of the tokens that end a text. Only the call as a TRL reward function needs them,
            to tell an answer that was cut off; empty: none is taken to be.
    """

    def __init__(
        self,
        services: Services | None = None,
        shaping: Shaping | Mapping[str, Shaping] | None = None,
        *,
        weights: Mapping[str, float] | None = None,
        tasks: Collection[str] | None = None,
        ends: Collection[int] = (),
    ) -> None:
        self.services = services or Services()
        self.shaping = shaping if shaping is not None else {}
        self.weights = dict(weights or {})
        self.tasks = None if tasks is None else frozenset(tasks)
        self.ends = frozenset(ends)
        self.__name__ = "redone"  # under which TRL logs it

    def shaping_of(self, task: str) -> Shaping:
        """The terms of a task's reward."""
        if isinstance(self.shaping, Shaping):
            return self.shaping
        return self.shaping.get(task, _UNSHAPED)

    def judge(
        self,
        rows: Sequence[CorpusRow],
        completions: Sequence[Completion | Raw | str],
        limits: Sequence[int] | None = None,
    ) -> list[Judged]:
        """The judgement of each answer.

        Args:
            rows: One for each completion; the row of a group comes as often as it has answers.
            completions: As a backend gives them, or what a model wrote, with its thinking.
            limits: Tokens that each answer could have; None: as many as its shaping says.

        Returns:
            In the order of the completions.
        """
        fits: dict[int, _Fit | None] = {}
        asked: list[tuple[int, _Fit, Completion]] = []
        for number, (row, given) in enumerate(zip(rows, completions, strict=True)):
            if id(row) not in fits:
                fits[id(row)] = self._fit(row)
            fit = fits[id(row)]
            if fit is not None:
                asked.append((number, fit, fit.read(given)))
        found = [NOT_JUDGED] * len(rows)
        for (number, fit, completion), score in zip(asked, self._scores(asked), strict=True):
            limit = None if limits is None else limits[number]
            found[number] = self._judged(fit, completion, score, limit)
        return found

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        row: Sequence[CorpusRow | str],
        task: Sequence[str] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """TRL's form of a reward function; `columns_of` makes the data set that it needs.

        Args:
            prompts: Not looked at: the row says what was asked.
            completions: Texts, or lists of one assistant message.
            completion_ids: Their tokens, for the length and for what was cut off.
            row: The column of rows, or of their JSON.
            task: The column of task names; one that is not its row's gives None.
            columns: Others, not looked at.

        Returns:
            The reward of each completion, None where there is none (TRL leaves those out).
        """
        read = {text: CorpusRow.from_json(text) for text in {r for r in row if isinstance(r, str)}}
        rows = [read[r] if isinstance(r, str) else r for r in row]
        ids = completion_ids if completion_ids is not None else [()] * len(rows)
        answers = [
            self._raw(_text(completion), tokens)
            for completion, tokens in zip(completions, ids, strict=True)
        ]
        judged = self.judge(rows, answers)
        names = task if task is not None else [r.task for r in rows]
        return [
            j.reward if r.task == name else None
            for r, name, j in zip(rows, names, judged, strict=True)
        ]

    def _raw(self, text: str, tokens: Sequence[int]) -> Raw:
        cut = bool(self.ends) and bool(tokens) and tokens[-1] not in self.ends
        return Raw(text, cut, len(tokens))

    def _fit(self, row: CorpusRow) -> _Fit | None:
        """The row with its judgement; None if there is none, or the row is not its task's."""
        if row.target is None or (self.tasks is not None and row.task not in self.tasks):
            return None
        try:
            task = by_name(row.task)
        except UnknownName:
            return None
        scoring = task.scorings["corrected"].given(self.services)
        if self.services.missing(scoring.needs):
            return None
        fit = _Fit(row, task, scoring, row.sample())
        return fit if fit.holds(self.services) else None

    def _scores(self, asked: Sequence[tuple[int, _Fit, Completion]]) -> list[Score]:
        def score(one: tuple[int, _Fit, Completion]) -> Score:
            _, fit, completion = one
            return fit.scoring.score(fit.sample, [completion], self.services)

        slow = [one for one in asked if "sandbox" in one[1].scoring.needs]
        if not slow:
            return [score(one) for one in asked]
        with ThreadPoolExecutor(CONCURRENT) as threads:
            ran = {one[0]: given for one, given in zip(slow, threads.map(score, slow), strict=True)}
        return [ran[one[0]] if one[0] in ran else score(one) for one in asked]

    def _judged(self, fit: _Fit, completion: Completion, score: Score, limit: int | None) -> Judged:
        if not score.scored or math.isnan(score.value):
            return NOT_JUDGED
        shaping = self.shaping_of(fit.task.name)
        parts = shaping.parts(completion, score.failure, fit.models, limit)
        return Judged(
            score.value,
            score.failure,
            score.value + math.fsum(parts.values()),
            parts,
            self.weights.get(fit.task.name, 1.0),
        )


def columns_of(rows: Sequence[CorpusRow]) -> list[dict[str, Any]]:
    """The records of a data set for a plain TRL trainer with `Rewards` as its reward function."""
    return [
        {
            "prompt": [dict(m) for m in row.messages],
            "task": row.task,
            "row": row.to_json(),
        }
        for row in rows
    ]


def _text(completion: Any) -> str:
    """The text of a completion in TRL's forms: a string, or a list of messages."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"] or "")
