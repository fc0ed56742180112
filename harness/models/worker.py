"""What one of several workers does in its own process: a copy of the model, pieces answered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...tasks.errors import RedoneError
from ...tasks.schema import Completion
from . import memory
from .pieces import Piece

if TYPE_CHECKING:
    from .base import Model

TOGETHER = 0.05
"""Seconds: answers that come faster than this travel together."""

Answers = list[tuple[int, Completion]]
"""Completions with the numbers of their questions."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A `RedoneError` on its way to the user: errors do not travel well between processes."""

    message: str
    exit_code: int

    def error(self) -> RedoneError:
        """The error again."""
        error = RedoneError(self.message)
        error.exit_code = self.exit_code
        return error


class Worker:
    """The class of the actors.

    Args:
        build: Makes the model.
        threads: Of arithmetic on the CPU.
        share: Part of the machine's memory that is this worker's.
    """

    def __init__(self, build: Callable[[], Model], threads: int, share: float) -> None:
        # Read when torch is loaded, which is when the model is made.
        os.environ["OMP_NUM_THREADS"] = str(threads)
        memory.SHARE = share
        self._build = build
        self._model: Model | None = None

    def ready(self) -> dict[str, Any] | Stopped:
        """Makes the model and loads its weights; returns what is recorded about it."""
        try:
            self._model = self._build()
            return self._model.environment()
        except RedoneError as error:
            return Stopped(str(error), error.exit_code)

    def answer(self, piece: Piece) -> Iterator[Answers | Stopped]:
        """Answers a piece, in parts as they come."""
        assert self._model is not None
        numbers = {id(request): number for number, request in piece.items()}
        ready: Answers = []
        sent = monotonic()
        try:
            for request, completion in self._model.run(piece.values()):
                ready.append((numbers[id(request)], completion))
                if monotonic() - sent >= TOGETHER:
                    yield ready
                    ready, sent = [], monotonic()
        except RedoneError as error:
            yield ready
            yield Stopped(str(error), error.exit_code)
            return
        yield ready

    def close(self) -> None:
        """Gives memory and devices back."""
        if self._model is not None:
            self._model.close()
