"""The sandbox service: a few fork servers, and the isolation that was found in force.

The protection that matters most is in the design: the program and its tests never share a process.
The tests ask for values and compare their copies themselves, so leaving early, replacing built-ins,
objects that equal everything, reading the tests and forging a verdict all come to nothing.
`docs/sandbox.md` has levels, limits, and what remains possible.
"""

from __future__ import annotations

import os
import platform
import queue
import sys
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from ...tasks.errors import RedoneError
from ...tasks.schema import Outcome
from ..cores import cores
from .levels import Isolation, Level, probe
from .worker import Worker

RULES = 1
"""Version of what counts as passed; part of the identity."""
MEMORY = 2**30
MOST_WORKERS = 8
PROBE_SECONDS = 10.0


class SandboxUnavailable(RedoneError):
    """Programs cannot be run here; the message says why."""


class ForkSandbox:
    """Implements `redone.tasks.schema.Sandbox`.

    Args:
        workers: Programs that run at a time; None: one a core, at most 8.
        memory: Bytes of address space of a program.
        isolation: The most that is tried; `auto` is the strongest that works.

    Attributes:
        isolation: What the probes found.
        identity: Part of the signature of every score.

    Raises:
        SandboxUnavailable: Nothing can be run, or `isolation` names a level that is not in force.
    """

    def __init__(
        self,
        workers: int | None = None,
        memory: int = MEMORY,
        isolation: Literal["auto"] | Level = "auto",
    ) -> None:
        if not hasattr(os, "fork"):
            raise SandboxUnavailable(
                f"Model-written programs cannot be run on {sys.platform}: the sandbox needs a Unix "
                "system, best Linux. Leave --allow-code out to evaluate the rest."
            )
        if workers is None:
            workers = min(MOST_WORKERS, cores())
        self._memory = memory
        self._workers = [Worker(isolation, memory) for _ in range(max(1, workers))]
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        weakref.finalize(self, _close, self._workers)
        first = self._workers[0]
        self._mechanisms: Mapping[str, bool] | None = None
        self._start(first)
        self._mechanisms = dict(first.mechanisms)
        self.isolation: Isolation = probe(
            lambda program, tests: first.judge(program, tests, PROBE_SECONDS),
            self._mechanisms,
            memory,
        )
        if isolation not in ("auto", self.isolation.level):
            self.close()
            raise SandboxUnavailable(
                f"The sandbox level {isolation!r} is not in force here: {self.isolation.line}."
            )
        python = ".".join(platform.python_version_tuple()[:2])
        self.identity: str = f"fork-{RULES}-py{python}-{self.isolation.level}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, it is the order to start as many servers with the same isolation over there."""
        return ForkSandbox, (len(self._workers), self._memory, self.isolation.level)

    def _start(self, worker: Worker) -> None:
        try:
            worker.start()
        except OSError as error:
            raise SandboxUnavailable(f"The sandbox cannot be used: {error}.") from None
        # What was probed holds for every fork server, or for none.
        if self._mechanisms not in (None, worker.mechanisms):
            worker.close()
            raise SandboxUnavailable(
                "The sandbox was to be restarted, and less isolation is to be had now than before "
                f"({worker.mechanisms} after {self._mechanisms}). Free the machine and go on."
            )

    def run(self, program: str, tests: str, *, seconds: float = 10.0) -> Outcome:
        """The outcome of one program.

        Args:
            program: Untrusted Python source.
            tests: Python source that calls the program's names and raises if something is wrong.
            seconds: CPU time, and wall time of a program that waits; on a busy machine a program
                may take 5 times that.

        Raises:
            SandboxUnavailable: The fork server cannot be started (any more).
        """
        worker = self._idle.get()
        try:
            self._start(worker)
            return worker.judge(program, tests, seconds)
        finally:
            self._idle.put(worker)

    def run_many(
        self, programs: Sequence[tuple[str, str]], *, seconds: float = 10.0
    ) -> list[Outcome]:
        """The outcomes of (program, tests) pairs, in order; every worker takes one at a time."""
        with ThreadPoolExecutor(len(self._workers)) as threads:
            return list(threads.map(lambda pair: self.run(*pair, seconds=seconds), programs))

    def close(self) -> None:
        """Ends the fork servers; a later `run` starts them again."""
        _close(self._workers)


def _close(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.close()
