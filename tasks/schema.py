"""The types of the project: what a sample, a request, a completion, a score and a metric are.

The central idea: **a metric is a sum.** Scoring a sample yields a short vector of *sufficient
statistics*; a metric is a function of the sum of those vectors over samples. So aggregates, slices,
shards, confidence intervals and paired tests are all sums. Beside the statistics every score has a
`value` in 0..1: the reward of that one answer.

Nothing here (or anywhere in `redone.tasks`) imports torch or runs a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from .errors import RedoneError
from .text import well_formed

Message = Mapping[str, str]
"""`{"role": "system" | "user" | "assistant", "content": text}`."""

Failure = Literal["format", "truncated", "empty", "refusal", "language", "wrong", "scorer"]
FAILURES: tuple[Failure, ...] = ("format", "truncated", "empty", "refusal", "language", "wrong")
"""Why an answer is not fully right.

`empty`: no text. `truncated`: the token limit cut it before an answer could be parsed. `refusal`:
the model declined. `language`: it answered in the wrong language. `format`: no answer can be
parsed. `wrong`: an answer was parsed, and it is not (fully) the gold one. `scorer`, which is not
among `FAILURES`: the scorer itself raised an error on the answer, so it is not scored.
"""
SCORER: Failure = "scorer"

Partition = Literal["train", "diagnose", "gate", "report"]
PARTITIONS: tuple[Partition, ...] = ("diagnose", "gate", "report")
"""The evaluation partitions. `train` records exist for trainers and are never evaluated."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a data file as a task's reader yields it, before ids and partitions.

    Attributes:
        fields: What prompts may show, by field name.
        target: The gold answer in the task's own form (JSON-able).
        language: ISO 639-1 code of the item.
        source: The text that the item is about (the note, the tweet). Items with the same source
            form one cluster, across tasks.
        split: The published split, `test` where a benchmark has only one.
        tags: Names to slice results by; `label` is the gold label of a closed task.
    """

    fields: Mapping[str, Any]
    target: Any
    language: str
    source: str
    split: str = "test"
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One item of a task.

    Attributes:
        id: 16 hex digits: hash of task name, content and occurrence number (real files hold
            identical rows, and each is a sample of its own).
        cluster: 16 hex digits: hash of the normalised source text; shared by all items about one
            note, in whichever task.
        partition: `train`, `diagnose`, `gate` or `report`.
        index: 0-based row within its split of the task's data.
    """

    id: str
    task: str
    fields: Mapping[str, Any]
    target: Any
    language: str
    cluster: str
    split: str
    partition: Partition
    tags: Mapping[str, str]
    index: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """How a completion is to be made. Every field is part of the request hash.

    Attributes:
        max_tokens: Limit of the answer, thinking not counted.
        stop: Texts that end the answer (not contained in it); they act after the thinking only.
        temperature: 0 is greedy.
        top_p, top_k: Nucleus and top-k limits when sampling; 1.0 and 0 are off.
        max_thinking_tokens: Extra budget for `<think>...</think>`.
        max_repetition: An answer that has repeated itself for this many bytes of UTF-8 ends there,
            as at a token limit; 0: it goes on.
    """

    max_tokens: int = 64
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_thinking_tokens: int = 0
    max_repetition: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model.

    Attributes:
        sample: Id of the sample it belongs to. A sample may have several requests.
        kind: `generate` a text; the log-likelihood of `continuation` after the prompt; or the
            `rolling` log-likelihood of the whole prompt.
        prompt: Messages, or a raw string that takes no chat template.
        draw: 0, 1, ...: the n-th sampled answer; greedy has draw 0 only.
        hash: 16 hex digits over everything that changes the answer. (sample, hash, draw) is the key
            of a response in the run folder.
        seed: Seed of this draw (a hash of run seed and key), None when greedy.
    """

    sample: str
    prompt: tuple[Message, ...] | str
    settings: Settings
    kind: Literal["generate", "loglikelihood", "rolling"] = "generate"
    continuation: str | None = None
    draw: int = 0
    hash: str = ""
    seed: int | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.sample, self.hash, self.draw)


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model gave back.

    Attributes:
        text: The answer, thinking and stop text removed.
        finish: `stop` (the model or a stop text ended it) or `length` (the token limit did).
        thinking: The text between `<think>` and `</think>`, None where there was none.
        prompt_tokens, tokens: Tokens read and written (thinking included).
        seconds: Wall time from first to last token of this completion, batch mates included.
        logprob: Natural-log probability of the continuation (or whole text), None for `generate`.
        greedy: Whether the continuation is what greedy decoding would give.
    """

    text: str
    finish: Literal["stop", "length"] = "stop"
    thinking: str | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    seconds: float = 0.0
    logprob: float | None = None
    greedy: bool | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """The result of one sample's answer under one scoring.

    Attributes:
        value: 0..1, the reward; NaN when not scored.
        stats: The sufficient statistics, in the order of `Scoring.statistics`.
        parsed: The answer parsed out of the text (JSON-able), None when there is none.
        failure: What went wrong, None for a fully right answer.
        scored: False when a service that the scoring needs is missing, or the scorer failed: not
            the same as zero.
    """

    value: float
    stats: tuple[float, ...]
    parsed: Any = None
    failure: Failure | None = None
    scored: bool = True


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure computed from summed statistics.

    Attributes:
        name: `accuracy`, `micro_f1`, `bleu`, ...
        from_sums: `array[..., S] -> array[...]`, vectorised, unrounded, in percent (0..100), NaN
            where undefined.
        printed: `array[S] -> float`: the figure as the benchmark's authors print it where that
            differs (rounding, -1 for undefined). None: the same as `from_sums`.
        proportion: The columns (hits, count) if this is a plain proportion, else None.
        from_items: The one fallback, for a figure that is no function of sums: computed from the
            list of the samples' `Score.parsed`, and resampled by index, fewer times. `from_sums`
            is then unused.
        higher_is_better: False for errors and perplexities.
    """

    name: str
    from_sums: Callable[[np.ndarray], np.ndarray]
    printed: Callable[[np.ndarray], float] | None = None
    proportion: tuple[int, int] | None = None
    from_items: Callable[[Sequence[Any]], float] | None = None
    higher_is_better: bool = True

    def point(self, sums: np.ndarray, items: Sequence[Any] = ()) -> float:
        """The printed figure for one vector of sums (or, where that is needed, the items)."""
        if self.from_items is not None:
            return float(self.from_items(items))
        return float((self.printed or self.from_sums)(sums))


class Embedder(Protocol):
    """Sentence embeddings, for scorings that need them."""

    identity: str

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, shape [len(texts), dimension]."""
        ...


Reason = Literal["failed", "error", "syntax", "exit", "timeout", "memory", "crash", "tests"]
"""Why a program did not pass.

`failed`: an assertion of the tests failed. `error`: the program or the tests raised an exception.
`syntax`: it is not Python. `exit`: it ended before the tests did. `timeout`, `memory`: a limit.
`crash`: it broke the protocol with the tests. `tests`: the tests are at fault: they are not Python,
call nothing of the program, or pass what cannot leave their process (a function).
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one program in the sandbox.

    Attributes:
        reason: None if it passed: every test ran to its end and none failed.
        detail: For people, at most 200 printable characters; it may quote hostile text.
        seconds: Wall time.
    """

    reason: Reason | None
    detail: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return self.reason is None

    @property
    def failure(self) -> Failure | None:
        """The kind of failure for a `Score`: what is not Python cannot be parsed as an answer."""
        return None if self.passed else "format" if self.reason == "syntax" else "wrong"


class Sandbox(Protocol):
    """Runs untrusted programs against tests, isolated from this process.

    `program` is Python that defines something, `tests` Python that calls it and raises if it is
    wrong (`assert f(2) == 4`). The tests see the program's module-level names. They run apart from
    it and get copies of plain values, so a program cannot fake its own result.
    """

    identity: str

    def run(self, program: str, tests: str, *, seconds: float = 10.0) -> Outcome:
        """The outcome of one program; `seconds` is its CPU time."""
        ...

    def run_many(
        self, programs: Sequence[tuple[str, str]], *, seconds: float = 10.0
    ) -> list[Outcome]:
        """The outcomes of (program, tests) pairs, in order, several at a time."""
        ...


class Judge(Protocol):
    """A model that answers a grading prompt."""

    identity: str

    def ask(self, prompts: Sequence[str]) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What scoring may need beyond the task; implementations live in the harness."""

    embedder: Embedder | None = None
    sandbox: Sandbox | None = None
    judge: Judge | None = None

    def missing(self, needs: Iterable[str]) -> tuple[str, ...]:
        return tuple(n for n in needs if getattr(self, n) is None)


Scorer = Callable[[Sample, Sequence[Completion], Services], Score]


@dataclass(frozen=True, slots=True)
class Scoring:
    """One way to score the same texts.

    Attributes:
        name: `official` (the benchmark authors' rule) or `corrected` (ours, used for decisions);
            a reduced form has a name of its own (`official-anls`).
        statistics: Names of the columns of `Score.stats`.
        score: Scores one sample. Should never raise on any text; callers use `safely`.
        metrics: The first is the primary one.
        needs: Names of `Services` fields without which `score` cannot work.
        without: The reduced scoring, under its own name, used when a needed service is missing.
        note: What a reader must know before quoting a score of this scoring.
    """

    name: str
    statistics: tuple[str, ...]
    score: Scorer
    metrics: tuple[Metric, ...]
    needs: tuple[str, ...] = ()
    without: Scoring | None = None
    note: str = ""

    def safely(
        self, sample: Sample, completions: Sequence[Completion], services: Services
    ) -> Score:
        """The score of a sample; where the scorer raises, *not scored*, with what it raised.

        An answer is hostile text: none of them may stop a run. An error that names its own way out
        (`RedoneError`: a definition or a service is not there) is raised.
        """
        try:
            return self.score(sample, completions, services)
        except RedoneError:
            raise
        except Exception as error:
            shown = {"error": well_formed(f"{type(error).__name__}: {error}"[:300])}
            return Score(math.nan, (), shown, SCORER, scored=False)

    def metric(self, name: str | None = None) -> Metric | None:
        """The metric of a name, None if there is none of it; without a name the primary one."""
        if name is None:
            return self.metrics[0]
        return next((metric for metric in self.metrics if metric.name == name), None)

    def given(self, services: Services) -> Scoring:
        """This scoring, or its reduced form if a service that it needs is missing."""
        return self.without if self.without and services.missing(self.needs) else self
