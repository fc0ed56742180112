"""`--workers N`: copies of a model in processes of their own, on one machine or a Ray cluster.

The driver alone knows the run: it cuts the questions into pieces, takes every answer once, and
writes. Workers come and go.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...tasks.errors import RedoneError
from ...tasks.schema import Completion, Request
from .base import Model
from .pieces import Piece, Pieces
from .ray_session import RaySession, cpus_each
from .worker import Stopped, Worker

LIVES = 3
"""Deaths of a worker in a row, without an answer between them, after which it is given up."""
PARTING = 30.0
"""Seconds that workers have to end by themselves."""

_log = logging.getLogger("redone.workers")


class WorkersGone(RedoneError):
    """No worker is left; what was answered is in the run folder."""

    exit_code = 69


class _Died(Exception):
    """A worker is no more."""


class WorkersModel:
    """N copies of a model as Ray actors: to the runner one model like any other.

    What a request is (identity, limits, fitting prompts) is told by a copy in this process whose
    weights are never loaded; only the others answer.

    Args:
        front: The copy in this process.
        build: Makes another copy, in another process (it is pickled).
        workers: How many.
        address: Of a Ray cluster; None: this machine.
        gpus: GPUs for each worker, a fraction lets workers share one; None: `gpus_if_any` where
            the cluster has GPUs.
        gpus_if_any: What the backend can use.

    Raises:
        RedoneError: Ray is not installed, has no such cluster, or too few GPUs.
    """

    def __init__(
        self,
        front: Model,
        build: Callable[[], Model],
        workers: int,
        *,
        address: str | None = None,
        gpus: float | None = None,
        gpus_if_any: float = 0.0,
    ) -> None:
        self._front, self._build, self._workers = front, build, workers
        self.backend, self.name = front.backend, front.name
        self.context, self.thinks = front.context, front.thinks
        self._session = RaySession(address)
        try:
            nodes = self._session.nodes()
            if gpus is None:
                gpus = gpus_if_any if any(have for _, have in nodes) else 0.0
            cpus = cpus_each(nodes, workers, gpus)
        except BaseException:
            self._session.close()
            raise
        self._resources = {"num_cpus": cpus, "num_gpus": gpus}
        own = os.environ.get("OMP_NUM_THREADS", "")
        self._threads = int(own) if own.isdecimal() else max(1, cpus)
        self._share = 1 / math.ceil(workers / len(nodes))
        self._deaths = dict.fromkeys(range(workers), 0)
        self._actors: dict[int, Any] = {}
        self._loading: dict[Any, int] = {}
        self._environment: dict[str, Any] | None = None
        self._closed = False

    def identity(self) -> dict[str, Any]:
        """What changes an answer: the model, and not how many copies of it there are."""
        return self._front.identity()

    def environment(self) -> dict[str, Any]:
        """How it is computed, told by the worker that is there first."""
        import ray

        while self._environment is None:
            self._start()
            for done in ray.wait(list(self._loading))[0]:
                self._loaded(done)
        return {**self._environment, "workers": self._workers}

    def load(self) -> None:
        """Starts the workers and waits for all of them, which `run` does not."""
        import ray

        while len(self._present()) < len(self._deaths):
            self._start()
            for done in ray.wait(list(self._loading))[0]:
                self._loaded(done)

    def overflow(self, request: Request) -> int:
        """By how many tokens prompt and limits exceed the context; 0 or less: they fit."""
        return self._front.overflow(request)

    def run(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Completion]]:
        """Complete requests, each yielded once, as soon as the driver has the answer.

        Raises:
            WorkersGone: Every worker died again and again.
            RedoneError: What ended the work of one of them ends the run.
        """
        import ray

        pieces = Pieces(requests, self._workers)
        busy: dict[Any, tuple[int, Piece]] = {}
        try:
            while pieces.left or busy:
                if pieces.left:
                    self._start()
                working = {number for number, _ in busy.values()}
                for number in self._present():
                    if number not in working and pieces.left:
                        piece = pieces.take()
                        call = self._actors[number].answer.options(num_returns="streaming")
                        busy[call.remote(piece)] = number, piece
                for done in ray.wait([*busy, *self._loading])[0]:
                    if done in self._loading:
                        self._loaded(done)
                        continue
                    number, piece = busy[done]
                    try:
                        answers = self._next(done, number)
                    except _Died:
                        del busy[done]
                        pieces.give_back(piece)
                        continue
                    if answers is None:
                        del busy[done]
                        continue
                    for at, completion in answers:
                        if (request := piece.pop(at, None)) is not None:
                            yield request, completion
        finally:
            for number, _ in busy.values():
                self._end(number)

    def close(self) -> None:
        """Ends the workers, and Ray if it was started here."""
        if self._closed:
            return
        self._closed = True
        import ray

        try:
            ending = [self._actors[n].close.remote() for n in self._present()]
            if ending:
                ray.wait(ending, num_returns=len(ending), timeout=PARTING)
            for number in list(self._actors):
                self._end(number)
        finally:
            self._session.close()
            self._front.close()

    def _present(self) -> list[int]:
        """Workers that have loaded their model."""
        return [n for n in self._actors if n not in self._loading.values()]

    def _start(self) -> None:
        """Starts the workers that are not there, unless they are given up."""
        import ray

        for number in self._deaths:
            if number not in self._actors:
                kind: Any = ray.remote(max_restarts=0, **self._resources)(Worker)
                actor = self._actors[number] = kind.remote(self._build, self._threads, self._share)
                self._loading[actor.ready.remote()] = number

    def _loaded(self, done: Any) -> None:
        """A worker has loaded its model, failed to, or died of it."""
        with contextlib.suppress(_Died):
            told = self._result(done, self._loading.pop(done))
            self._environment = self._environment or told

    def _next(self, stream: Any, number: int) -> list[tuple[int, Completion]] | None:
        """More answers of a piece; None at its end."""
        try:
            reference = next(stream)
        except StopIteration:
            return None
        answers = self._result(reference, number)
        if answers:
            self._deaths[number] = 0
        return answers

    def _result(self, reference: Any, number: int) -> Any:
        """What a worker returned."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            told = ray.get(reference)
        except RayTaskError:
            raise  # a defect in the worker's code, no death
        except RayError as error:
            self._died(number, error)
            raise _Died from error
        if isinstance(told, Stopped):
            raise told.error()
        return told

    def _died(self, number: int, error: Exception) -> None:
        """Counts a death; the worker is started again when there is work, unless it is given up."""
        self._end(number)
        self._deaths[number] += 1
        if self._deaths[number] >= LIVES:
            del self._deaths[number]
        if not self._deaths:
            reason = " ".join(str(error).split())[-300:] or type(error).__name__
            raise WorkersGone(
                f"Every worker died {LIVES} times in a row (last: {reason}). Every answer so far "
                "is kept: run the same command to go on, with fewer --workers or a smaller "
                "--batch-size if memory was short."
            )
        _log.warning("A worker died; its questions go to the others.")

    def _end(self, number: int) -> None:
        """Kills a worker; it may be started again."""
        import ray

        actor = self._actors.pop(number, None)
        self._loading = {ref: n for ref, n in self._loading.items() if n != number}
        if actor is not None:
            ray.kill(actor)
