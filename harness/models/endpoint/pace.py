"""Concurrency: how many requests are in flight (`Pace`), and the event loop that they run on.

`Background` is an event loop in a separate thread, behind a plain generator: so it also works where
the caller has a loop already (a notebook), and the caller's code never delays the network.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from itertools import islice
from queue import SimpleQueue
from time import monotonic
from typing import Any, TypeVar

FIRST = 8  # requests in flight at the start


class Pace:
    """A bound, `most` or less, on the requests in flight that adapts to the server's capacity.

    Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain 1989; Jacobson 1988):
    until the server is first overloaded the bound doubles each time that many requests were
    answered, then it grows by one; an overload halves it.
    """

    def __init__(self, most: int) -> None:
        self._bound, self._most, self._in_flight = float(min(FIRST, most)), float(most), 0
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
                    self._in_flight += 1
                    break
            await asyncio.sleep(closed)
        try:
            yield monotonic()
        finally:
            self._in_flight -= 1
            async with self._changed:
                self._changed.notify(max(1, self._free))

    def faster(self) -> None:
        """An answer came."""
        step = 1.0 if self._growing_fast else 1.0 / self._bound
        self._bound = min(self._most, self._bound + step)

    def slower(self, sent: float, wait: float) -> None:
        """The server is overloaded: send nothing new for `wait` seconds.

        `sent` is when the request was sent that showed it; requests sent before the last decrease
        do not count again.
        """
        now = monotonic()
        if sent >= self._slowed:
            self._bound, self._slowed = max(1.0, self._bound / 2), now
            self._growing_fast = False
        self._closed_until = max(self._closed_until, now + wait)

    @property
    def _free(self) -> int:
        return int(self._bound) - self._in_flight


A = TypeVar("A")
B = TypeVar("B")


class Background:
    """An event loop in a daemon thread, from the start until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, A]) -> A:
        """Run a coroutine and return its result."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
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
        self, items: Iterable[A], work: Callable[[A], Coroutine[Any, Any, B]], ahead: int
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
                future = asyncio.run_coroutine_threadsafe(work(item), self._loop)
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
