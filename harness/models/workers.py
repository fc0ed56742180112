"""`--workers N`: copies of a model in separate processes, on one machine or a Ray cluster.

The driver (`WorkersModel`) hands out requests in pieces and takes every answer once; a `Worker` is
an actor with a copy of the model. A worker that dies is started again, and its requests go to the
others.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from time import monotonic
from typing import Any

from ...tasks.errors import RedoneError
from ...tasks.schema import Completion, Request
from .. import machine
from .base import Model
from .ray_session import RaySession, cpus_each

Piece = dict[int, Request]
"""Requests by their number in the run."""

WINDOW = 4096
"""Requests sorted together, so that those that begin alike are in one piece."""
LEAST = 8
"""The fewest requests in a piece: fewer would not fill a batch."""
PARTS = 4
"""A piece is a worker's share of what is left, divided by this."""


class Pieces:
    """Requests in pieces that shrink towards the end; pieces of dead workers are returned.

    Early pieces are large, so that prompts with the same beginning (a task's instruction) go to one
    worker; the last ones are small, so that all workers end together (guided self-scheduling,
    Polychronopoulos and Kuck 1987). Long answers go first. Requests are pulled a window at a time.
    """

    def __init__(self, requests: Iterable[Request], workers: int) -> None:
        self._source = iter(requests)
        self._numbers = count()
        self._workers = workers
        self._window: deque[tuple[int, Request]] = deque()
        self._returned: deque[Piece] = deque()

    @property
    def left(self) -> bool:
        """Whether there is a piece to take."""
        if not self._window:
            found = sorted(islice(self._source, max(WINDOW, 64 * self._workers)), key=_order)
            self._window.extend((next(self._numbers), request) for request in found)
        return bool(self._window or self._returned)

    def take(self) -> Piece:
        """The next piece, if any are left."""
        if not (self.left and self._window):
            return self._returned.popleft()
        size = max(LEAST, len(self._window) // (PARTS * self._workers))
        return dict(self._window.popleft() for _ in range(min(size, len(self._window))))

    def put_back(self, piece: Piece) -> None:
        """Return the unanswered requests of a worker that died.

        They come last, in halves: a request that kills every worker (one that needs too much
        memory) is soon alone, after all others are answered.
        """
        items = list(piece.items())
        half = (len(items) + 1) // 2
        self._returned.extend(dict(part) for part in (items[:half], items[half:]) if part)


def _order(request: Request) -> tuple[int, str, str]:
    settings, prompt = request.settings, request.prompt
    text = prompt if isinstance(prompt, str) else "\n".join(m["content"] for m in prompt)
    return -(settings.max_tokens + settings.max_thinking_tokens), request.kind, text


SEND_EVERY = 0.05
"""Seconds between two messages of a worker with answers."""

Answers = list[tuple[int, Completion]]
"""Completions with the numbers of their requests."""


def _portable(error: RedoneError) -> RedoneError:
    """The error without its class, whose arguments other processes may not be able to rebuild."""
    plain = RedoneError(str(error))
    plain.exit_code = error.exit_code
    return plain


class Worker:
    """A copy of the model in a separate process: the class of the actors.

    Args:
        build: Makes the model.
        threads: Of arithmetic on the CPU.
        share: Part of the machine's free memory that this worker may plan with.
    """

    def __init__(self, build: Callable[[], Model], threads: int, share: float) -> None:
        # torch reads it when it is loaded, which is when the model is made.
        os.environ["OMP_NUM_THREADS"] = str(threads)
        machine.MEMORY_SHARE = share
        self._build = build
        self._model: Model | None = None

    def ready(self) -> dict[str, Any] | RedoneError:
        """Make the model and load its weights; returns its `environment`."""
        try:
            self._model = self._build()
            return self._model.environment()
        except RedoneError as error:
            return _portable(error)

    def answer(self, piece: Piece) -> Iterator[Answers | RedoneError]:
        """Complete the requests of a piece; completions are sent as they come."""
        assert self._model is not None
        numbers = {id(request): number for number, request in piece.items()}
        ready: Answers = []
        sent = monotonic()
        try:
            for request, completion in self._model.run(piece.values()):
                ready.append((numbers[id(request)], completion))
                if monotonic() - sent >= SEND_EVERY:
                    yield ready
                    ready, sent = [], monotonic()
            yield ready
        except RedoneError as error:
            yield ready
            yield _portable(error)

    def close(self) -> None:
        """Release memory and devices."""
        if self._model is not None:
            self._model.close()


MOST_DEATHS = 3
"""Deaths of a worker in a row, without an answer between them, after which it is not restarted."""
SHUTDOWN_SECONDS = 30.0
"""Seconds that workers have to end by themselves."""

_log = logging.getLogger("redone.workers")


class WorkersGone(RedoneError):
    """No worker is left; finished answers are in the run folder."""

    exit_code = 69


class _Died(Exception):
    """A worker died."""


class WorkersModel:
    """N copies of a model as Ray actors, used like a single model.

    Identity and limits come from a copy in this process whose weights are never loaded.

    Args:
        front: The copy in this process.
        build: Makes another copy, in another process (it is pickled).
        workers: How many.
        address: Of a Ray cluster; None: this machine.
        gpus: GPUs per worker (a fraction: workers share one); None: `gpus_if_any`, what the
            backend can use, where the cluster has GPUs.

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
        self.context_from = getattr(front, "context_from", "")
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
        """What changes an answer; the number of copies does not."""
        return self._front.identity()

    def environment(self) -> dict[str, Any]:
        """How it is computed, as reported by the first worker that is ready."""
        while self._environment is None:
            self._await_one()
        # Prompts are rendered in this process first, so the notes are those of its copy.
        notes = getattr(self._front, "notes", [])
        return {
            **self._environment,
            "workers": self._workers,
            **({"notes": notes} if notes else {}),
        }

    def load(self) -> None:
        """Start the workers and wait for all of them, which `run` does not."""
        while len(self._ready()) < len(self._deaths):
            self._await_one()

    def overflow(self, request: Request) -> int:
        """By how many tokens prompt and limits exceed the context; 0 or less: they fit."""
        return self._front.overflow(request)

    def run(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Completion]]:
        """Complete requests, each yielded once, as soon as the driver has the answer.

        Raises:
            WorkersGone: Every worker died repeatedly.
            RedoneError: Of any worker.
        """
        import ray

        pieces = Pieces(requests, self._workers)
        busy: dict[Any, tuple[int, Piece]] = {}
        try:
            while pieces.left or busy:
                if pieces.left:
                    self._start()
                working = {number for number, _ in busy.values()}
                for number in self._ready():
                    if number not in working and pieces.left:
                        piece = pieces.take()
                        call = self._actors[number].answer.options(num_returns="streaming")
                        busy[call.remote(piece)] = number, piece
                finished: Any = ray.wait([*busy, *self._loading])[0]
                for done in finished:
                    if done in self._loading:
                        self._loaded(done)
                        continue
                    number, piece = busy[done]
                    try:
                        answers = self._result(next(done), number)
                    except StopIteration:
                        del busy[done]
                        continue
                    except _Died:
                        del busy[done]
                        pieces.put_back(piece)
                        continue
                    if answers:
                        self._deaths[number] = 0
                    for at, completion in answers:
                        if (request := piece.pop(at, None)) is not None:
                            yield request, completion
        finally:
            for number, _ in busy.values():
                self._end(number)

    def close(self) -> None:
        """End the workers, and Ray if it was started here."""
        if self._closed:
            return
        self._closed = True
        import ray

        try:
            ending = [self._actors[n].close.remote() for n in self._ready()]
            if ending:
                ray.wait(ending, num_returns=len(ending), timeout=SHUTDOWN_SECONDS)
            for number in list(self._actors):
                self._end(number)
        finally:
            self._session.close()
            self._front.close()

    def _ready(self) -> list[int]:
        """Workers that have loaded their model."""
        return [n for n in self._actors if n not in self._loading.values()]

    def _await_one(self) -> None:
        """Wait for the next worker to load its model; start those that do not run."""
        import ray

        self._start()
        for done in ray.wait(list(self._loading))[0]:
            self._loaded(done)

    def _start(self) -> None:
        """Start the workers that are not running, unless they died too often."""
        import ray

        for number in self._deaths:
            if number not in self._actors:
                kind: Any = ray.remote(max_restarts=0, **self._resources)(Worker)
                actor = self._actors[number] = kind.remote(self._build, self._threads, self._share)
                self._loading[actor.ready.remote()] = number

    def _loaded(self, done: Any) -> None:
        """A worker has loaded its model, failed to, or died of it."""
        with contextlib.suppress(_Died):
            found = self._result(done, self._loading.pop(done))
            self._environment = self._environment or found

    def _result(self, reference: Any, number: int) -> Any:
        """What a worker returned."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            result = ray.get(reference)
        except RayTaskError:
            raise  # a bug in the worker's code: it did not die
        except RayError as error:
            self._died(number, error)
            raise _Died from error
        if isinstance(result, RedoneError):
            raise result
        return result

    def _died(self, number: int, error: Exception) -> None:
        """Count a death; the worker is restarted when there is work, unless it died too often."""
        self._end(number)
        self._deaths[number] += 1
        if self._deaths[number] >= MOST_DEATHS:
            del self._deaths[number]
        if not self._deaths:
            reason = " ".join(str(error).split())[-300:] or type(error).__name__
            raise WorkersGone(
                f"Every worker died {MOST_DEATHS} times in a row (last: {reason}). Progress is "
                "saved: rerun the same command to resume, with fewer --workers or a smaller "
                "--batch-size if memory ran out."
            )
        _log.warning("A worker died; its requests go to the others.")

    def _end(self, number: int) -> None:
        """Kill a worker; it may be started again."""
        import ray

        actor = self._actors.pop(number, None)
        self._loading = {ref: n for ref, n in self._loading.items() if n != number}
        if actor is not None:
            ray.kill(actor)
