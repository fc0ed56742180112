"""A run while it is going on: progress, provisional figures, and what fails.

Reads a run folder that another process is writing, without its lock and without changing a byte.
Samples that are answered are judged here as they will be judged at the end, but with no service:
what needs one is scored in its reduced form, or not at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ..tasks.registry import by_name, table_of
from ..tasks.schema import Services, Task
from .errors import RunUnreadable
from .results import Figure, figures_of, mean_of
from .runner import Item
from .scores import Effort, Judged, Tally, complete_draws, judgements_of, sample_of
from .store import RunFolder, no_run

ROLE = "corrected"
RESAMPLES = 300
RECENT = 256
"""Answers from which the rate is told."""
FAILURES = 50
"""Latest failures that are kept."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that was judged not fully right: task, id, kind, and the answer's text."""

    task: str
    sample: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task so far: samples judged, samples in all, its provisional figure."""

    judged: int
    samples: int
    figure: Figure | None


class LiveRun:
    """The state of a run folder; `update` reads what is new.

    Args:
        path: The folder.

    Raises:
        RunUnreadable: It is no folder of a run.

    Attributes:
        prepared: Whether the questions are known; before, there is nothing to tell.
        answered, total: Answers that are there, and that there will be.
        failures: The latest, the newest last.
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
        self._open: dict[str, list[dict[str, Any]]] = {}
        self._offsets: dict[str, int] = {}
        self._tasks: dict[str, Task] = {}
        self._judged = Judged()
        self._codes: dict[str, int] = {}
        self._draws, self._seed = 1, 0
        self._known: tuple[int, dict[str, Figure]] = (-1, {})

    @property
    def texts(self) -> bool:
        """Whether the folder keeps the samples, without which nothing can be judged yet."""
        return self._folder.samples.path.is_file()

    @property
    def finished(self) -> bool:
        """Whether every answer is there and the run's own results are written."""
        if not self.prepared or self.answered < self.total:
            return False
        return bool(self.results.get("complete"))

    @property
    def results(self) -> Mapping[str, Any]:
        """The run's own results.json; empty until there is one."""
        try:
            found = orjson.loads((self.path / "results.json").read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def rate(self) -> float | None:
        """Answers a second of the latest ones; None before the first."""
        seconds = sum(self._walls)
        return len(self._walls) / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """At that rate; None before the first answer."""
        rate = self.rate
        return None if rate is None else (self.total - self.answered) / rate

    def update(self) -> int:
        """Reads and judges what came since the last call; returns the number of new answers."""
        if not self.path.is_dir():
            raise RunUnreadable(f"{self.path} is gone: the run was given up before it began.")
        if not self.prepared and not self._prepare():
            return 0
        before = self.answered
        for record in self._new_responses():
            key = (record["sample"], record["request"], record["draw"])
            if key in self._keys:
                continue
            self._keys.add(key)
            self.answered += 1
            self._walls.append(record.get("wall", 0.0))
            if record["sample"] in self._offsets:
                self._judge(record)
        return self.answered - before

    def tasks(self) -> dict[str, TaskState]:
        """Every task so far, in the order of the tables."""
        figures = self._figures()
        return {
            name: TaskState(
                effort.samples - effort.missing,
                effort.samples,
                figures[name] if self._scored(name) else None,
            )
            for name, effort in self._judged.efforts.items()
        }

    def suites(self) -> dict[str, Figure]:
        """The provisional means of the suites whose every task has a figure, by title."""
        figures = self._figures()
        names = list(self._judged.efforts)
        return {
            row.title: mean_of(row.groups, figures)
            for row in table_of(names)
            if row.level == "suite" and all(self._scored(name) for name in row.of)
        }

    def kinds(self) -> dict[str, int]:
        """How many samples failed, by kind."""
        found: dict[str, int] = {}
        for tallies in self._judged.tallies.values():
            for kind, count in tallies[ROLE].failures.items():
                found[kind] = found.get(kind, 0) + count
        return dict(sorted(found.items(), key=lambda f: -f[1]))

    def _prepare(self) -> bool:
        run = self._folder.run
        if run is None:
            return False
        self.total, request = run["answers"], run["request"]
        self._draws, self._seed = request.get("draws", 1), request.get("seed", 0)
        self._tasks = {name: by_name(name) for name in request["tasks"]}
        for offset, item in self._folder.samples.located() if self.texts else ():
            self._offsets[item["id"]] = offset
            effort = self._judged.efforts.setdefault(item["task"], Effort())
            effort.samples += 1
            effort.missing += 1
        for name in self._judged.efforts:
            task = self._tasks[name]
            scoring = task.scorings[ROLE].given(Services())
            self._judged.tallies[name] = {ROLE: Tally(task, scoring)}
        self.prepared = True
        return True

    def _new_responses(self) -> Iterator[dict[str, Any]]:
        """Lines that are whole by now; the writer may be within the last one."""
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
                    yield orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise RunUnreadable(
                        f"{path}, byte {self._read - len(line)}: not valid JSON ({error.msg})."
                    ) from None

    def _judge(self, record: dict[str, Any]) -> None:
        """Judges the record's sample once all its answers are there."""
        sample = record["sample"]
        records = self._open.setdefault(sample, [])
        records.append(record)
        item = self._item(sample)
        draws = complete_draws(item, records)
        if len(draws) < self._draws:
            return
        del self._open[sample]
        found = sample_of(item)
        tally = self._judged.tallies[found.task][ROLE]
        code = self._codes.setdefault(found.cluster, len(self._codes))
        self._judged.clusters = len(self._codes)
        scores = judgements_of(tally.scoring, found, draws, Services())
        tally.add(scores, code)
        self._judged.efforts[found.task].missing -= 1
        for score, completions in zip(scores, draws, strict=True):
            if score.scored and score.failure:
                text = completions[-1].text
                self.failures.append(Failure(found.task, sample, score.failure, text))

    def _item(self, sample: str) -> Item:
        with self._folder.samples.path.open("rb") as file:
            file.seek(self._offsets[sample])
            return orjson.loads(file.readline())

    def _figures(self) -> dict[str, Figure]:
        """By task, made anew only if there are new answers."""
        if self._known[0] != self.answered:
            self._known = self.answered, figures_of(ROLE, self._judged, RESAMPLES, self._seed)
        return self._known[1]

    def _scored(self, name: str) -> bool:
        return bool(self._judged.tallies[name][ROLE].stats)
