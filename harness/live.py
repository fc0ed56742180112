"""A run in progress: answers so far, provisional scores, and failures.

Reads a run folder that another process is writing, without its lock and without changing a byte.
Answered samples are scored as they will be at the end, but without services: a scoring that needs
one is used in its reduced form, or not at all.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import orjson

from ..tasks.registry import by_name, table_of
from ..tasks.schema import Services
from .records import ResponseRecord, Results, SampleRecord
from .results import Estimate, estimates_of, mean_of
from .run_folder import RunFolder, RunUnreadable, no_run
from .score import Effort, RunScores, Tally, complete_draws, scores_of

ROLE = "corrected"
RESAMPLES = 300
RECENT = 256
"""Latest answers, over which the rate is averaged."""
FAILURES = 50
"""Latest failures that are kept."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is not fully right: task, sample id, kind of failure, and its text."""

    task: str
    sample: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task so far: samples scored, samples in total, its provisional score."""

    judged: int
    samples: int
    figure: Estimate | None


class LiveRun:
    """The state of a run folder; `update` reads what is new.

    Raises:
        RunUnreadable: It is no folder of a run.

    Attributes:
        prepared: Whether the requests are known; before, there is nothing to show.
        answered, total: Responses so far, and of the complete run.
        failures: The latest ones, the newest last.
    """

    def __init__(self, path: Path) -> None:
        begun = path.is_dir() and not any(path.glob("runs/*/run.json"))
        if not begun and not (path / "run.json").is_file():
            raise no_run(path)
        self.path = path
        self.prepared = False
        self.answered = self.total = 0
        self.failures: deque[Failure] = deque(maxlen=FAILURES)
        self._folder = RunFolder(path)
        self._read = 0
        self._walls: deque[float] = deque(maxlen=RECENT)
        self._keys: set[tuple[str, str, int]] = set()
        self._open: dict[str, list[ResponseRecord]] = {}
        self._offsets: dict[str, int] = {}
        self._scores = RunScores()
        self._codes: dict[str, int] = {}
        self._draws, self._seed = 1, 0
        self._known: tuple[int, dict[str, Estimate]] = (-1, {})

    @property
    def texts(self) -> bool:
        """Whether the folder keeps the samples, without which nothing can be scored yet."""
        return self._folder.samples.path.is_file()

    @property
    def finished(self) -> bool:
        """Whether the run is complete and has written its results."""
        if not self.prepared or self.answered < self.total:
            return False
        return bool(self.results.get("complete"))

    @property
    def results(self) -> Results:
        """The run's results.json; empty until there is one."""
        try:
            return self._folder.results
        except RunUnreadable:
            return cast("Results", {})

    @property
    def rate(self) -> float | None:
        """Answers per second, over the latest ones; None before the first."""
        seconds = sum(self._walls)
        return len(self._walls) / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """At that rate; None before the first answer."""
        return None if self.rate is None else (self.total - self.answered) / self.rate

    def update(self) -> int:
        """Reads and scores what is new since the last call; returns the number of new answers."""
        if not self.path.is_dir():
            raise RunUnreadable(f"{self.path} is gone: the run was stopped before it began.")
        if not self.prepared and not self._prepare():
            return 0
        before = self.answered
        for response in self._new_responses():
            if response.key in self._keys:
                continue
            self._keys.add(response.key)
            self.answered += 1
            self._walls.append(response.wall)
            if response.sample in self._offsets:
                self._score(response)
        return self.answered - before

    def tasks(self) -> dict[str, TaskState]:
        """Every task so far, in the order of the tables."""
        estimates = self._estimates()
        return {
            name: TaskState(
                effort.samples - effort.missing,
                effort.samples,
                estimates[name] if self._scored(name) else None,
            )
            for name, effort in self._scores.efforts.items()
        }

    def suites(self) -> dict[str, Estimate]:
        """The provisional means of the suites whose every task has a score, by title."""
        estimates = self._estimates()
        return {
            row.title: mean_of(row.groups, estimates)
            for row in table_of(list(self._scores.efforts))
            if row.level == "suite" and all(self._scored(name) for name in row.of)
        }

    def kinds(self) -> dict[str, int]:
        """How many samples failed, by kind."""
        failures = (tallies[ROLE].failures for tallies in self._scores.tallies.values())
        return dict(sum(failures, Counter()).most_common())

    def _prepare(self) -> bool:
        run = self._folder.run
        if run is None:
            return False
        self.total, request = run["answers"], run["request"]
        self._draws, self._seed = request["draws"], request["seed"]
        for offset, item in self._folder.samples.located() if self.texts else ():
            self._offsets[item["id"]] = offset
            effort = self._scores.efforts.setdefault(item["task"], Effort())
            effort.samples += 1
            effort.missing += 1
        for name in self._scores.efforts:
            task = by_name(name)
            scoring = task.scorings[ROLE].given(Services())
            self._scores.tallies[name] = {ROLE: Tally(task, scoring)}
        self.prepared = True
        return True

    def _new_responses(self) -> Iterator[ResponseRecord]:
        """New complete lines; the writer may be within the last one."""
        path = self._folder.responses.path
        if not path.is_file():
            return
        with path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                try:
                    yield ResponseRecord.parse(orjson.loads(line))
                except orjson.JSONDecodeError as error:
                    raise RunUnreadable(
                        f"{path}, byte {self._read - len(line)}: not valid JSON ({error.msg})."
                    ) from None

    def _score(self, response: ResponseRecord) -> None:
        """Scores the response's sample once all its responses are there."""
        responses = self._open.setdefault(response.sample, [])
        responses.append(response)
        record = self._record(response.sample)
        draws = complete_draws(record, responses)
        if len(draws) < self._draws:
            return
        del self._open[response.sample]
        sample = record.sample
        tally = self._scores.tallies[sample.task][ROLE]
        code = self._codes.setdefault(sample.cluster, len(self._codes))
        self._scores.clusters = len(self._codes)
        scores = scores_of(tally.scoring, sample, draws, Services())
        tally.add(sample.id, scores, code)
        self._scores.efforts[sample.task].missing -= 1
        for score, completions in zip(scores, draws, strict=True):
            if score.failure:
                text = completions[-1].text
                self.failures.append(Failure(sample.task, sample.id, score.failure, text))

    def _record(self, sample: str) -> SampleRecord:
        with self._folder.samples.path.open("rb") as file:
            file.seek(self._offsets[sample])
            return SampleRecord.parse(orjson.loads(file.readline()))

    def _estimates(self) -> dict[str, Estimate]:
        """By task, computed again only if there are new answers."""
        if self._known[0] != self.answered:
            self._known = self.answered, estimates_of(ROLE, self._scores, RESAMPLES, self._seed)
        return self._known[1]

    def _scored(self, name: str) -> bool:
        return bool(self._scores.tallies[name][ROLE].stats)
