"""What a task is: prompts, records, scorings, trivial baselines; and the benchmarks they form."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal

from .errors import IncompleteTask
from .schema import Partition, Record, Request, Sample, Scoring, Settings

Kind = Literal["file", "embedded", "mirror", "generated", "lm_eval", "task_file"]
"""How a task gets its records: from a file of the data folder, of this package, or of a mirror of
general benchmarks; generated from a seed; from lm-eval's definition; or from a task file's data."""

LM_EVAL = "lm_eval:"
"""Prefix of the names of lm-eval's tasks."""


ROOM = 128
"""Tokens for a sentence or two around an answer, in a vocabulary that spells Chinese by bytes. A
limit guards against cost; it does not test brevity."""

REPETITION = 100
"""`Settings.max_repetition` of this project's tasks: a model that repeats itself is not waited for.
No gold answer and no text to be quoted or translated loses anything by it."""


def is_source(name: str) -> bool:
    """Whether a name means a file, a folder or code of the user's own, and no task of a table."""
    if name.startswith(LM_EVAL):
        return False
    return name.endswith((".toml", "/")) or ":" in name or name.startswith((".", "/", "~"))


@dataclass(frozen=True, slots=True)
class Prompt:
    """System and user text; `{field}` in the user text stands for a field of the sample."""

    system: str
    user: str


@dataclass(frozen=True, slots=True)
class Baselines:
    """The trivial baselines of a task: answers that take no skill; they set its chance level.

    Attributes:
        random: A random admissible answer to a sample.
        constants: Answers that could be given to every sample alike; the task's samples are passed.
        all_candidates: All candidates of a sample (or a copy of its input, where there are none).
    """

    random: Callable[[Sample, Random], str]
    constants: Callable[[Sequence[Sample]], Sequence[str]]
    all_candidates: Callable[[Sample], str]


@dataclass(frozen=True, slots=True)
class Chance:
    """The best trivial baseline under `corrected`, for each figure on its own.

    Attributes:
        metric: In percent, under the primary metric.
        value: 0..1, the mean value.
        known: False where nothing was measured: there is then no skill and no gap.
    """

    metric: float
    value: float
    known: bool = True

    def record(self) -> dict[str, float | None]:
        """Both figures by name, None where they are unknown."""
        return {n: getattr(self, n) if self.known else None for n in ("metric", "value")}


UNKNOWN_CHANCE = Chance(0.0, 0.0, known=False)

CHANCE_FILE = Path(__file__).with_name("chance.toml")
"""The measured chance levels, by task."""


@cache
def stored_chance(path: Path = CHANCE_FILE) -> Mapping[str, Chance]:
    """The levels by task."""
    levels = tomllib.loads(path.read_text("utf-8"))
    return {name: Chance(**level) for name, level in levels.items()}


def store_chance(levels: Mapping[str, Chance], path: Path = CHANCE_FILE) -> None:
    """Adds levels to the file; other tasks' levels, and the comments at the top, stay.

    Args:
        levels: By task.
        path: The file.
    """
    comments = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    lines = [
        f'"{name}" = {{ metric = {level.metric}, value = {level.value} }}'
        for name, level in {**stored_chance(path), **levels}.items()
    ]
    path.write_text("\n".join([*comments, "", *lines]) + "\n", "utf-8")
    stored_chance.cache_clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One scored subtask: where its items are, the prompt, and the scorings.

    The first seven are what an author has to write; everything else has a default.

    Attributes:
        name: `benchmark/subtask`, e.g. `sns_bench/taxonomy_single`.
        title: For people.
        prompts: By language of the item; key `en` is the default.
        read: Yields the records of a data folder, in file order. Raises MissingData, BadRow.
        scorings: By name; `corrected` is required, and stands for a missing `official`.
        gold: The text of a perfect answer.
        baselines: The trivial baselines.
        chance: Level of the best trivial baseline. Leave it out: `redone tasks check --write`
            measures it and stores it in `chance.toml`.
        category: Column of the published table; filled in from the task's benchmark.
        capability: What it measures, one of the paper's capabilities.
        language: `en`, `zh`, or `mul` for several.
        version: Raised whenever samples, prompts or scoring change their meaning; a text for
            tasks that another package defines: its version of the task, and its own.
        statistics_since: The first version whose recorded scores have the statistics and metrics of
            this one: older runs can still be read, compared among themselves and shown apart.
        dataset: Key into the table of datasets (source, licence, files); None for data that are
            not downloaded.
        prompt_key: The benchmark authors' name of the subtask: a prompts file may replace the
            prompt under it, or under the task's name.
        settings: Generation limits.
        limit: The most tokens that an answer to this very sample can need, where that is far below
            `settings.max_tokens` (a translation of three words): a rambling model stays cheap.
        requests: The requests of one sample, for tasks that need more than one `generate`; None:
            one `generate` with the rendered prompt and `settings`.
        reward: The paper's kind of reward that RL training gets from this task.
        splits: How published splits become partitions: split -> `train`, `report` or `hash`
            (diagnose or gate, by cluster). Empty: there is only `test`, and it is hashed.
        held_out: Never trained on.
        citation: The paper.
    """

    name: str
    title: str
    prompts: Mapping[str, Prompt]
    read: Callable[[Path], Iterator[Record]]
    scorings: Mapping[str, Scoring]
    gold: Callable[[Sample], str]
    baselines: Baselines
    chance: Chance = UNKNOWN_CHANCE
    category: str = ""
    capability: str = "unknown"
    language: str = "en"
    version: int | str = 1
    statistics_since: int = 1
    dataset: str | None = None
    prompt_key: str = ""
    settings: Settings = Settings()
    limit: Callable[[Sample], int] | None = None
    requests: Callable[[Sample, Prompt], Sequence[Request]] | None = None
    reward: Literal["exact", "metric", "sandbox", "pattern"] = "exact"
    splits: Mapping[str, Literal["train", "report", "hash"]] = field(default_factory=dict)
    held_out: bool = False
    citation: str = ""

    def __post_init__(self) -> None:
        """Completes `scorings`.

        Raises:
            IncompleteTask: The definition cannot work; names the field.
        """
        if not {"/", ":"} & set(self.name):
            raise IncompleteTask(f"Task {self.name!r}: the name must be `benchmark/subtask`.")
        if "en" not in self.prompts:
            raise IncompleteTask(f"Task {self.name!r}: `prompts` has no entry 'en', the default.")
        if "corrected" not in self.scorings:
            raise IncompleteTask(f"Task {self.name!r}: `scorings` has no entry 'corrected'.")
        if "official" not in self.scorings:
            both = {**self.scorings, "official": self.scorings["corrected"]}
            object.__setattr__(self, "scorings", both)

    @property
    def benchmark(self) -> str:
        """The part of the name before the slash."""
        return self.name.partition("/")[0]

    @property
    def kind(self) -> Kind:
        """How it gets its records; a plain function as `read` counts as generated."""
        return getattr(self.read, "kind", "generated")

    @property
    def partitions(self) -> set[Partition]:
        """The partitions that it has items in, training records apart."""
        found: set[Partition] = set()
        for rule in self.splits.values() or ("hash",):
            found |= {"diagnose", "gate"} if rule == "hash" else {rule}
        return found - {"train"}

    def reads(self, version: int | str) -> bool:
        """Whether recorded scores of a version have this version's statistics and metrics."""
        if not isinstance(version, int) or not isinstance(self.version, int):
            return version == self.version
        return self.statistics_since <= version <= self.version

    def needs(self) -> tuple[str, ...]:
        """Services that some scoring of this task needs."""
        return tuple(sorted({n for s in self.scorings.values() for n in s.needs}))


@dataclass(frozen=True, slots=True)
class Category:
    """A column of a benchmark's table; its figure is the mean of its tasks.

    Attributes:
        title: For people.
        tasks: Tasks, or functions that load one when it is needed.
        names: Of the tasks; filled in by the registry.
    """

    title: str
    tasks: tuple[Task | Callable[[], Task], ...]
    names: tuple[str, ...] = ()

    def __getitem__(self, place: int) -> Task:
        """A task, loaded."""
        task = self.tasks[place]
        return task if isinstance(task, Task) else task()

    def __iter__(self) -> Iterator[Task]:
        return (self[place] for place in range(len(self)))

    def __len__(self) -> int:
        return len(self.tasks)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is published as one score: the mean of its categories.

    Attributes:
        title: For people.
        categories: By name, in the order of the published table.
        note: What a reader must know before quoting its scores; printed after every run of it.
    """

    title: str
    categories: Mapping[str, Category]
    note: str = ""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All of them, loaded."""
        return tuple(task for category in self.categories.values() for task in category)
