"""An event loop behind a plain generator: many answers under way, one caller who knows no asyncio.

The loop runs in a thread of its own, so it also works where the caller has a loop already (a
notebook), and the caller's own code never delays the network.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Background:
    """An event loop in a daemon thread, from the start until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, A]) -> Future[A]:
        """Begins the work; its result comes to the future."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def wait(self, work: Coroutine[Any, Any, A]) -> A:
        """Does the work and gives its result."""
        future = self.start(work)
        try:
            return future.result()
        finally:
            future.cancel()  # does nothing unless the waiting was interrupted

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancels what is still under way, does one last thing, and ends the thread.

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
        """Results of the work on every item, each as soon as it is there.

        Closing the generator, or an exception in it, cancels what is still under way.

        Args:
            items: Pulled lazily, in the caller's thread.
            work: What is done with an item. Its first exception ends the whole, after the results
                that were there already.
            ahead: The most items pulled whose results have not been taken.
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
