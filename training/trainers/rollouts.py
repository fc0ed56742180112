"""Answers to train on: the sampled tokens, and the completion as an evaluation parses it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ...harness.machine import is_out_of_memory
from ...harness.models.output import Answer, Opened
from ...tasks.errors import RedoneError
from ...tasks.registry import by_name
from ...tasks.schema import Completion, Request, Settings
from ..corpus.draws import answer_limit
from ..rows import TrainingRow

if TYPE_CHECKING:
    from ...harness.models.rendering import Renderer
    from ...harness.models.rows import Engine
    from ..settings import DapoSettings


@dataclass(frozen=True, slots=True)
class Rollout:
    """One answer.

    Attributes:
        prompt: Its tokens.
        answer: The tokens that were sampled, the one that ended it included; never empty.
        completion: As an evaluation parses it.
        logprobs: Of the tokens when they were sampled, by an engine with different arithmetic.
    """

    prompt: Sequence[int]
    answer: Sequence[int]
    completion: Completion
    logprobs: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A row as a prompt.

    Attributes:
        place: In the order of all prompts of the stage: decides the draws.
        row: The row.
        prompt: Its tokens.
        settings: Limits, stop texts, sampling.
        opened: The marks of the thinking that the prompt ends inside of.
    """

    place: int
    row: TrainingRow
    prompt: Sequence[int]
    settings: Settings
    opened: Opened

    def answer(self, renderer: Renderer, eos: frozenset[int]) -> Traced:
        """An answer to it, before its first token."""
        marks = renderer.marks
        return Traced(self.settings, renderer.decode, eos, self.opened, None, marks)

    def limit(self, completion: Completion) -> int:
        """Tokens that this answer could have in all, thinking included."""
        thought = self.settings.max_thinking_tokens if completion.thinking else 0
        return self.settings.max_tokens + thought

    def seed(self, seed: int, draw: int) -> int:
        """Of the n-th answer: the same however rounds and processes share the work."""
        text = f"{seed} {self.place} {draw}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big")


class Traced(Answer):
    """An answer that keeps the very tokens, also the one that ends it."""

    def __init__(self, *arguments: Any) -> None:
        self.sampled: list[int] = []
        self._arguments = arguments
        super().__init__(*arguments)

    def again(self) -> Traced:
        return Traced(*self._arguments)

    def add(self, token: int) -> bool:
        self.sampled.append(token)
        return super().add(token)


class Writer(Protocol):
    """Something that answers questions.

    Attributes:
        collective: Whether all processes have to ask at the same time, and as much each.
    """

    collective: bool

    def write(self, questions: Sequence[Question]) -> list[list[Rollout]]:
        """The answers of a group to each question."""
        ...


class Asking:
    """From rows to questions.

    A plain answer is cut where the evaluation of its task cuts it, or at `max_new_tokens` if that
    is less, and a model that thinks may think up to `max_new_tokens` in all. An answer behind its
    reasons, which no evaluation requests, may be `max_new_tokens` long.

    Args:
        renderer: The model's chat template and tokenizer.
        settings: Of the stage.
        context: Tokens that the model can hold, None: no bound.
        rationale: Whether a row has to reason first.

    Attributes:
        most: Tokens that a prompt may have.
    """

    def __init__(
        self,
        renderer: Renderer,
        settings: DapoSettings,
        context: int | None,
        rationale: Callable[[TrainingRow], bool],
    ) -> None:
        self.renderer, self._settings, self._rationale = renderer, settings, rationale
        self.most = settings.max_prompt_tokens
        if context is not None:
            self.most = min(self.most, context - settings.max_new_tokens)

    def fitting(self, rows: Sequence[TrainingRow]) -> tuple[list[TrainingRow], list[str]]:
        """The rows whose prompts are short enough, and the ids of the others.

        Raises:
            RedoneError: None is, or one cannot be scored.
        """
        for row in rows:
            row.sample()  # refuses a row without target
        rendered = [self.renderer.render(row.asked(self._rationale(row))) for row in rows]
        lengths = [len(ids) for ids in self.renderer.encode(rendered)]
        kept = [row for row, n in zip(rows, lengths, strict=True) if n <= self.most]
        if not kept:
            shortest = f", the shortest has {min(lengths)}" if lengths else ""
            raise RedoneError(
                f"None of {len(rows)} rows has a prompt of {self.most} tokens or fewer{shortest}. "
                "Raise max_prompt_tokens (prompt and max_new_tokens together must fit into the "
                "model's context), or give shorter rows."
            )
        return kept, [row.id for row, n in zip(rows, lengths, strict=True) if n > self.most]

    def question(self, place: int, row: TrainingRow) -> Question:
        """The prompt of a row at a place in the order."""
        settings, reasoned = self._settings, self._rationale(row)
        rendered = self.renderer.render(row.asked(reasoned))
        (ids,) = self.renderer.encode([rendered])
        most = settings.max_new_tokens
        limit = most if reasoned else answer_limit(row, most)
        own = by_name(row.task).settings
        limits = Settings(
            max_tokens=limit,
            max_repetition=own.max_repetition,
            max_thinking_tokens=most - limit if self.renderer.thinks else 0,
            # The stop texts of an evaluation would cut the reasoning off before the answer.
            stop=() if reasoned else own.stop,
            temperature=settings.temperature,
            top_p=settings.top_p,
        )
        prompt = ids or [self.renderer.first_token]
        return Question(place, row, prompt, self.renderer.ended(limits), rendered.opened)


class EngineWriter:
    """An engine of the harness, on the weights that are being trained.

    Each answer has its own source of draws, so it depends on neither batch nor process.

    Args:
        engine: Opens it, with the weights as they are now.
        renderer: For turning tokens to text.
        eos: Tokens that end a text.
        group: Answers to one question.
        seed: Of the draws.
    """

    collective = False

    def __init__(
        self,
        engine: Callable[[], AbstractContextManager[Engine]],
        renderer: Renderer,
        eos: frozenset[int],
        group: int,
        seed: int,
    ) -> None:
        self._engine, self._renderer, self._eos = engine, renderer, eos
        self._group, self._seed = group, seed

    def write(self, questions: Sequence[Question]) -> list[list[Rollout]]:
        from ...harness.models.rows import Row, generator

        def row(question: Question, draw: int) -> Row:
            request = Request(question.row.id, question.row.messages, question.settings)
            answer = question.answer(self._renderer, self._eos)
            source = generator(question.seed(self._seed, draw))
            return Row(request, list(question.prompt), answer, source=source)

        rows = [[row(question, draw) for draw in range(self._group)] for question in questions]
        with self._engine() as engine:
            for _ in engine.generate([row for group in rows for row in group]):
                pass
        return [
            [_rollout(question, row.answer, row.completion()) for row in group]  # type: ignore[arg-type]
            for question, group in zip(questions, rows, strict=True)
        ]


Generate = Callable[
    [Sequence[Sequence[int]]],
    tuple[Sequence[Sequence[int]], Sequence[Sequence[float | None]] | None],
]
"""Prompts, each as often as it has answers, to the tokens of the answers and their log-probs."""


class TrainerWriter:
    """The trainer's own generation: transformers' on sharded weights, or vLLM.

    Its draws depend on how many processes share the work.

    Args:
        generate: As `Generate`.
        renderer: For turning tokens to text.
        eos: Tokens that end a text.
        group: Answers to one question.
        seed: Of the draws; vLLM draws by itself.
        rank: Of this process.
    """

    collective = True

    def __init__(
        self,
        generate: Generate,
        renderer: Renderer,
        eos: frozenset[int],
        group: int,
        seed: int,
        rank: int = 0,
    ) -> None:
        self._generate, self._renderer, self._eos = generate, renderer, eos
        self._group, self._seed, self._rank = group, seed, rank

    def write(self, questions: Sequence[Question]) -> list[list[Rollout]]:
        import torch

        started = time.perf_counter()
        # Draws must not depend on what else used torch's generator, nor disturb it.
        with torch.random.fork_rng():
            torch.manual_seed(questions[0].seed(self._seed, self._rank))
            prompts = [list(q.prompt) for q in questions for _ in range(self._group)]
            try:
                texts, logprobs = self._generate(prompts)
            except Exception as error:
                if is_out_of_memory(error):
                    raise RedoneError(
                        f"Out of memory while {len(prompts)} answers were being written: lower "
                        "prompts_per_step, group_size or max_new_tokens, or use vLLM."
                    ) from error
                raise
        seconds = (time.perf_counter() - started) / len(prompts)

        def read(question: Question, i: int) -> Rollout:
            answer = question.answer(self._renderer, self._eos)
            for token in texts[i]:
                if answer.add(int(token)):
                    break  # what follows the end of the answer counts as not sampled
            completion = answer.completion(len(question.prompt), seconds)
            return _rollout(question, answer, completion, None if logprobs is None else logprobs[i])

        size = self._group
        return [
            [read(question, i) for i in range(number * size, (number + 1) * size)]
            for number, question in enumerate(questions)
        ]


def _rollout(
    question: Question,
    answer: Traced,
    completion: Completion,
    logprobs: Sequence[float | None] | None = None,
) -> Rollout:
    kept = None
    if logprobs is not None:  # vLLM gives None where it has no number
        some = logprobs[: len(answer.sampled)]
        kept = [float("nan") if x is None else x for x in some]
    return Rollout(question.prompt, answer.sampled, completion, kept)
