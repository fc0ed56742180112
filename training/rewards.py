"""The reward of an answer *is* its evaluation: the task's own `corrected` score of the text.

    reward = task.scorings["corrected"].score(sample, [completion], services).value + shaping

All kinds of task (exact, metric, sandbox, pattern; RedOne 2.0, section 3.1) work alike: the scoring
of the row's task, the same that `redone eval` uses, plus shaping terms (`Rewards._reward`). A text
that cannot be scored has no reward, which is not a reward of 0.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ..harness.models.output import postprocess
from ..tasks.errors import UnknownName
from ..tasks.registry import by_name
from ..tasks.schema import Completion, Failure, Sample, Scoring, Services
from ..tasks.sources import DataPaths
from ..tasks.task import Prompt, Task
from .rows import TrainingRow, behind, worded
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
ROUNDING = 1e-5
"""By how much the value of a perfect answer may miss 1."""
CONCURRENT = 8
"""Programs given to the sandbox at a time; it decides how many of them run."""


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """The score of an answer.

    Attributes:
        value: The task's own value, 0..1; None where it cannot be scored: the row belongs to no
            task here, does not fit its task, or a service is missing.
        failure: The evaluation's failure kind.
        reward: Value and shaping; None where the value is.
        parts: The amount of each shaping term, -ratio..0; `reward = value + sum(parts)`.
        weight: Of the answer's loss, after advantages are normalized; 1 unless requested.
    """

    value: float | None
    failure: Failure | None = None
    reward: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    weight: float = 1.0


NOT_SCORED = ScoredAnswer(None)


@dataclass(frozen=True, slots=True)
class RawAnswer:
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
class _RowScoring:
    """A row and the scoring of its task."""

    row: TrainingRow
    task: Task
    scoring: Scoring
    sample: Sample

    def applies(self, services: Services) -> bool:
        """Whether the row is one of its task: the task's gold answer to it is a perfect one.

        A row with another task's target would give 0 to every answer, or fail on each. A task that
        needs several answers, or none in words, cannot be scored by one text.
        """
        try:
            if self.task.requests is not None:
                asked = self.task.requests(self.sample, Prompt("", ""))
                return [request.kind for request in asked] == ["generate"]
            gold = Completion(self.task.gold(self.sample))
            if self.scoring.needs:  # running a program for each row would take the time of answers
                return True
            return self.scoring.score(self.sample, [gold], services).value > 1 - ROUNDING
        except (LookupError, TypeError, ValueError, AttributeError):
            return False

    def parsed(self, answer: Completion | RawAnswer | str) -> Completion:
        """An answer as an evaluation parses it."""
        if isinstance(answer, Completion):
            return answer
        raw = RawAnswer(answer) if isinstance(answer, str) else answer
        own = self.task.settings
        thinking, text, finish = postprocess(
            raw.text, own.stop, opened=False, cut=raw.cut, repetition=own.max_repetition
        )
        return Completion(text, finish, thinking, tokens=raw.tokens)


class Rewards:
    """Scores answers to training rows, and is a reward function of TRL's. Can be pickled.

    Args:
        services: What scoring may use, as in an evaluation. A task whose needed service is missing
            falls back to its reduced scoring, or is not scored.
        shaping: Terms of every task, or by task; a task that is not named has none.
        weights: Of the loss, by task; 1 for others.
        tasks: Only rows of these are scored; None: of every task in the registry.
        ends: Ids of the tokens that end a text. Only the call as a TRL reward function needs them,
            to recognize an answer that was cut off; empty: none is taken to be.
        data: Where tasks find their data; None: as the environment says.
    """

    def __init__(
        self,
        services: Services | None = None,
        shaping: Shaping | Mapping[str, Shaping] | None = None,
        *,
        weights: Mapping[str, float] | None = None,
        tasks: Collection[str] | None = None,
        ends: Collection[int] = (),
        data: DataPaths | None = None,
    ) -> None:
        self.services = services or Services()
        self.shaping = {} if shaping is None else shaping
        self.weights = dict(weights or {})
        self.tasks = None if tasks is None else frozenset(tasks)
        self.ends = frozenset(ends)
        self.data = data
        self.__name__ = "redone"  # under which TRL logs it

    def score(
        self,
        rows: Sequence[TrainingRow],
        answers: Sequence[Completion | RawAnswer | str],
        limits: Sequence[int] | None = None,
    ) -> list[ScoredAnswer]:
        """The score of each answer.

        Args:
            rows: One for each answer; the row of a group comes as often as it has answers.
            answers: As a backend gives them, or what a model wrote, with its thinking.
            limits: Tokens that each answer could have; None: as many as its shaping says.

        Returns:
            In the order of the answers.
        """
        scorings = {key: self._scoring(row) for key, row in {id(row): row for row in rows}.items()}
        own = [scorings[id(row)] for row in rows]
        given = list(zip(own, answers, limits or [None] * len(rows), strict=True))

        def scored(number: int) -> ScoredAnswer:
            scoring, answer, limit = given[number]
            return NOT_SCORED if scoring is None else self._reward(scoring, answer, limit)

        numbers = range(len(given))
        slow = [n for n in numbers if (one := own[n]) and "sandbox" in one.scoring.needs]
        with ThreadPoolExecutor(CONCURRENT) as threads:  # none is started where none is slow
            ran = dict(zip(slow, threads.map(scored, slow), strict=True))
        return [ran[n] if n in ran else scored(n) for n in numbers]

    def _reward(
        self, own: _RowScoring, answer: Completion | RawAnswer | str, limit: int | None
    ) -> ScoredAnswer:
        """The evaluation's score of an answer, and the shaping terms added to its value."""
        completion = own.parsed(answer)
        score = own.scoring.safely(own.sample, [completion], self.services)
        if not score.scored or math.isnan(score.value):
            return NOT_SCORED
        gold = (own.row.answer, own.row.rationale)
        name, terms = own.task.name, self.shaping
        shaping = terms if isinstance(terms, Shaping) else terms.get(name, Shaping())
        parts = shaping.parts(completion, score.failure, gold, limit)
        reward = score.value + math.fsum(parts.values())
        return ScoredAnswer(score.value, score.failure, reward, parts, self.weights.get(name, 1.0))

    def _scoring(self, row: TrainingRow) -> _RowScoring | None:
        """The row with its scoring; None if there is none, or the row is not its task's."""
        if row.target is None or (self.tasks is not None and row.task not in self.tasks):
            return None
        try:
            task = by_name(row.task, self.data)
        except UnknownName:
            return None
        scoring = task.scorings["corrected"].given(self.services)
        if self.services.missing(scoring.needs):
            return None
        own = _RowScoring(row, task, scoring, row.sample())
        return own if own.applies(self.services) else None

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        row: Sequence[TrainingRow | str],
        task: Sequence[str] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """TRL's form of a reward function; `columns_of` makes the data set that it needs.

        Args:
            prompts: Not used: the row has the question.
            completions: Texts, or lists of one assistant message.
            completion_ids: Their tokens, for the length and for what was cut off.
            row: The column of rows, or of their JSON.
            task: The column of task names; one that is not its row's gives None.
            columns: Others, not used.

        Returns:
            The reward of each completion, None where there is none (TRL leaves those out).
        """
        read = {
            text: TrainingRow.from_json(text) for text in {r for r in row if isinstance(r, str)}
        }
        rows = [read[r] if isinstance(r, str) else r for r in row]
        # TRL has strings, or lists of messages.
        texts = [c if isinstance(c, str) else str(c[-1]["content"] or "") for c in completions]
        ids = completion_ids if completion_ids is not None else [()] * len(rows)
        answers = [
            RawAnswer(text, bool(self.ends and tokens) and tokens[-1] not in self.ends, len(tokens))
            for text, tokens in zip(texts, ids, strict=True)
        ]
        names = task if task is not None else [r.task for r in rows]
        return [
            scored.reward if r.task == name else None
            for r, name, scored in zip(rows, names, self.score(rows, answers), strict=True)
        ]


def columns_of(rows: Sequence[TrainingRow]) -> list[dict[str, Any]]:
    """The records of a data set for a plain TRL trainer with `Rewards` as its reward function."""
    return [
        {"prompt": [dict(m) for m in r.messages], "task": r.task, "row": r.to_json()} for r in rows
    ]


_PROBE = {"en": "First I look at what is asked.", "zh": "先看题目问的是什么。"}
"""A rationale for rows without one, to find out whether their task could parse past it."""


def reasonable(row: TrainingRow, rewards: Rewards | None = None) -> bool:
    """Whether the row's task parses the answer as well behind a rationale as alone.

    It does where answers are extracted from a text, and does not where the whole text is the answer
    (copying, layouts, search queries): requesting reasons there would request failure.

    Args:
        row: Of the corpus.
        rewards: The tasks' own scoring, with its services.
    """
    if not row.judgeable:
        return bool(row.rationale)
    text = behind(row.rationale or worded(_PROBE, row.language), row.answer, row.language)
    alone, reasoned = (rewards or Rewards()).score([row] * 2, [row.answer, text])
    if alone.value is None or reasoned.value is None:
        return False
    return reasoned.value >= alone.value - ROUNDING
