"""Concurrency: how many requests are in flight, how long to wait after a failure, when to give up.

`Background` runs them on an event loop in a thread of its own, behind a plain generator: so it also
works where the caller has a loop already (a notebook), and the caller's code never delays the
network.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from itertools import islice
from queue import SimpleQueue
from time import monotonic
from typing import Any, TypeVar

from ....tasks.errors import RedoneError

FIRST = 8
"""Requests in flight at the start."""


class ServerGone(RedoneError):
    """The server gave no usable answer for too long."""

    exit_code = 69


class Pace:
    """A bound on the requests in flight that adapts to the server's capacity.

    Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain 1989; Jacobson 1988):
    until the server is first overloaded the bound doubles each time that many requests were
    answered, then it grows by one; an overload halves it.

    Args:
        most: Never more than this.
    """

    def __init__(self, most: int) -> None:
        self.bound = float(min(FIRST, most))
        self.in_flight = 0
        self._most = most
        self._growing_fast = True
        self._slowed = self._closed_until = 0.0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Wait until one more request may be sent; yields the time when that was."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._free > 0)
                closed = self._closed_until - monotonic()
                if closed <= 0:
                    self.in_flight += 1
                    break
            await asyncio.sleep(closed)
        try:
            yield monotonic()
        finally:
            self.in_flight -= 1
            async with self._changed:
                self._changed.notify(max(1, self._free))

    def faster(self) -> None:
        """An answer came."""
        grown = self.bound + (1.0 if self._growing_fast else 1.0 / self.bound)
        self.bound = min(float(self._most), grown)

    def slower(self, sent: float, wait: float = 0.0) -> None:
        """The server is overloaded.

        Args:
            sent: When the request was sent that showed it. Those sent before the last decrease do
                not count again.
            wait: Seconds for which nothing new may be sent.
        """
        now = monotonic()
        if sent >= self._slowed:
            self.bound, self._slowed = max(1.0, self.bound / 2), now
            self._growing_fast = False
        self._closed_until = max(self._closed_until, now + wait)

    @property
    def _free(self) -> int:
        return int(self.bound) - self.in_flight


def back_off(failures: int, base: float, most: float) -> float:
    """Seconds to wait after the n-th failure in a row: exponential, with full jitter.

    Drawn from all of 0..base * 2^(n-1), so that clients who failed together do not return together
    (Brooker 2015, "Exponential Backoff and Jitter").
    """
    return random.uniform(0.0, min(most, base * 2.0 ** min(failures - 1, 32)))


class SignsOfLife:
    """Ends the run when a server gives no usable answer for too long.

    Args:
        url: For the message.
        patience: Seconds without any usable answer, counted from the first failure.
    """

    def __init__(self, url: str, patience: float) -> None:
        self.last_answer = 0.0
        self._url, self._patience = url, patience
        self._trouble_since: float | None = None

    def answered(self) -> None:
        """A usable answer came."""
        self.last_answer = monotonic()
        self._trouble_since = None

    def failed(self, reason: str, wait: float = 0.0) -> float:
        """An attempt failed.

        Args:
            reason: What happened.
            wait: Seconds that the server requests to wait.

        Returns:
            For how many seconds there has been no answer.

        Raises:
            ServerGone: That is longer than patience allows, or the requested wait is.
        """
        now = monotonic()
        if self._trouble_since is None:
            self._trouble_since = now
        trouble = now - self._trouble_since
        if wait > self._patience:
            raise ServerGone(
                f"{self._url} requests to wait {wait:.0f} s ({reason}). Progress is saved: rerun "
                "the same command then to resume."
            )
        if trouble > self._patience:
            raise ServerGone(
                f"{self._url} has given no usable answer for {trouble:.0f} s (last: {reason}). "
                "Progress is saved: rerun the same command to resume when it is back."
            )
        return trouble


A = TypeVar("A")
B = TypeVar("B")


class Background:
    """An event loop in a daemon thread, from the start until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, A]) -> Future[A]:
        """Start a coroutine; the future receives its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def wait(self, work: Coroutine[Any, Any, A]) -> A:
        """Run a coroutine and return its result."""
        future = self.start(work)
        try:
            return future.result()
        finally:
            future.cancel()  # no effect unless the wait was interrupted

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel what is still running, run one last coroutine, and end the thread.

        A second call does nothing.
        """
        if self._loop.is_closed():
            return
        self.wait(_cancel_the_others())
        self.wait(last())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def each(
        self,
        items: Iterable[A],
        work: Callable[[A], Coroutine[Any, Any, B]],
        ahead: int,
    ) -> Iterator[tuple[A, B]]:
        """Results of the work on every item, each as soon as it is done.

        Closing the generator, or an exception in it, cancels what is still running.

        Args:
            items: Pulled lazily, in the caller's thread.
            work: The coroutine for an item. Its first exception is raised here, after the results
                that are done already.
            ahead: The most items pulled whose results have not been yielded.
        """
        source = iter(items)
        done: SimpleQueue[Future[B]] = SimpleQueue()
        waiting: dict[Future[B], A] = {}

        def pull() -> None:
            for item in islice(source, ahead - len(waiting)):
                future = self.start(work(item))
                waiting[future] = item
                future.add_done_callback(done.put)

        try:
            pull()
            while waiting:
                future = done.get()
                if (error := future.exception()) is not None:
                    while not done.empty():
                        other = done.get()
                        if other.exception() is None:
                            yield waiting.pop(other), other.result()
                    raise error
                yield waiting.pop(future), future.result()
                pull()
        finally:
            for future in waiting:
                future.cancel()


async def _cancel_the_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
