"""How fast a server is asked: how many at once, how long to wait, and when to give up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from ...tasks.errors import RedoneError

FIRST = 8
"""Requests under way at the start: enough to learn from, too few to hurt."""


class ServerGone(RedoneError):
    """The server gave no usable answer for too long."""

    exit_code = 69


class Pace:
    """A bound on the requests under way that finds what the server can take.

    Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain 1989; Jacobson 1988):
    until the server first asks to slow down the bound doubles each time that many requests were
    answered, then it grows by one; "slow down" halves it.

    Args:
        most: The bound's own upper bound.
    """

    def __init__(self, most: int) -> None:
        self.bound = float(min(FIRST, most))
        self.under_way = 0
        self._most = most
        self._growing_fast = True
        self._slowed = self._closed_until = 0.0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Waits until one more request may be sent; gives the time when that was."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._free > 0)
                closed = self._closed_until - monotonic()
                if closed <= 0:
                    self.under_way += 1
                    break
            await asyncio.sleep(closed)
        try:
            yield monotonic()
        finally:
            self.under_way -= 1
            async with self._changed:
                self._changed.notify(max(1, self._free))

    def faster(self) -> None:
        """An answer came."""
        grown = self.bound + (1.0 if self._growing_fast else 1.0 / self.bound)
        self.bound = min(float(self._most), grown)

    def slower(self, sent: float, wait: float = 0.0) -> None:
        """The server asks to slow down.

        Args:
            sent: When the request that it said so to was sent. Those sent before the last decrease
                only say again what is known.
            wait: Seconds for which nothing new may be sent.
        """
        now = monotonic()
        if sent >= self._slowed:
            self.bound, self._slowed = max(1.0, self.bound / 2), now
            self._growing_fast = False
        self._closed_until = max(self._closed_until, now + wait)

    @property
    def _free(self) -> int:
        return int(self.bound) - self.under_way


def back_off(failures: int, base: float, most: float) -> float:
    """Seconds to wait after the n-th failure in a row: exponential, with full jitter.

    Drawn from all of 0..base * 2^(n-1), so that clients who failed together do not return together
    (Brooker 2015, "Exponential Backoff and Jitter").
    """
    return random.uniform(0.0, min(most, base * 2.0 ** min(failures - 1, 32)))


class SignsOfLife:
    """Tells a server in trouble from one that is gone for good.

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
            wait: Seconds that the server asks to wait.

        Returns:
            For how many seconds there has been no answer.

        Raises:
            ServerGone: For longer than patience allows, or waiting would be.
        """
        now = monotonic()
        if self._trouble_since is None:
            self._trouble_since = now
        trouble = now - self._trouble_since
        if wait > self._patience:
            raise ServerGone(
                f"{self._url} asks to wait {wait:.0f} s ({reason}). Every answer so far is kept: "
                "run the same command then to go on."
            )
        if trouble > self._patience:
            raise ServerGone(
                f"{self._url} has given no usable answer for {trouble:.0f} s (last: {reason}). "
                "Every answer so far is kept: run the same command to go on when it is back."
            )
        return trouble
