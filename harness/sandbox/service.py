"""The sandbox service: untrusted programs are run in fork servers and graded by their tests.

The protection that matters most is in the design: the program and its tests never share a process.
The tests ask for values and compare their copies themselves, so leaving early, replacing built-ins,
objects that equal everything, reading the tests and forging a verdict all fail. `docs/sandbox.md`
has levels, limits, and what remains possible.
"""

from __future__ import annotations

import os
import platform
import queue
import select
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from ...tasks.errors import RedoneError
from ...tasks.schema import Outcome, Reason
from ..machine import cores
from .inside.protocol import receive, send, write_all

RULES = 1  # version of what counts as passed; part of the identity
MEMORY = 2**30  # bytes of address space of a program
MOST_WORKERS = 8
START = 30.0  # seconds that a fork server may need to start
GRACE = 10.0  # seconds beyond a program's time after which a fork server counts as stuck
PATIENCE = 5.0  # wall time of a program on a busy machine, as a multiple of its CPU time
PROBE_SECONDS = 10.0  # of one attempt to get out
LONGEST = 2**20  # bytes of a program or its tests
DETAIL = 200  # characters of an outcome's detail
# The package `inside` is imported by itself: a Python without site-packages cannot see redone.
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[2]); from inside.fork_server import main; "
    "del sys.path[0]; main(sys.argv[1])"
)
_BARE = ("-s", "-S", "-P", "-c", _BOOT)


class Worker:
    """One fork server: a child process that gets programs one by one.

    It is started when it is first needed, and again after it broke.

    Args:
        isolation: `auto`, `namespaces`, `landlock` or `limits`: the most that is tried.
        memory: Bytes of address space of a program.

    Attributes:
        mechanisms: What the fork server reports to use; empty before the start.
    """

    def __init__(self, isolation: str, memory: int) -> None:
        self._isolation, self._memory = isolation, memory
        self._process: subprocess.Popen[bytes] | None = None
        self.mechanisms: dict[str, Any] = {}

    def start(self) -> None:
        """Starts the fork server unless it runs; raises OSError if it cannot be started."""
        if self._process and self._process.poll() is None:
            return
        self.close()
        # A fixed hash seed: a program's verdict must not depend on the order of a set.
        environment = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
        self._process = subprocess.Popen(
            [sys.executable, *_BARE, self._isolation, str(Path(__file__).parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
        try:
            self.mechanisms = self._reply(START)
        except (EOFError, TimeoutError, ValueError):
            self.close()
            raise OSError("the fork server did not start") from None
        if error := self.mechanisms.get("error"):
            self.close()
            raise OSError(error)

    def run(self, program: str, tests: str, seconds: float) -> Outcome:
        """Runs one program against its tests, in a fork server that was started."""
        texts = [text.encode("utf-8", "surrogatepass") for text in (tests, program)]
        if len(texts[1]) > LONGEST:
            return Outcome("memory", f"the program is longer than {LONGEST} bytes")
        if len(texts[0]) > LONGEST:
            return Outcome("tests", f"the tests are longer than {LONGEST} bytes")
        started = time.monotonic()
        try:
            result = self._ask(texts, seconds)
        except TimeoutError:
            self.close()
            return Outcome("timeout", "the sandbox had to be restarted", _since(started))
        except (EOFError, OSError, ValueError):
            self.close()
            return Outcome("crash", "the sandbox had to be restarted", _since(started))
        reason, detail = result.get("reason"), str(result.get("detail", ""))
        if reason is not None and reason not in get_args(Reason):
            raise ValueError(f"an unknown reason {reason!r} from the sandbox")
        return Outcome(cast("Reason | None", reason), _printable(detail), _since(started))

    def _ask(self, texts: list[bytes], seconds: float) -> dict[str, Any]:
        if self._process is None or self._process.stdin is None:
            raise EOFError
        pipe, patience = self._process.stdin.fileno(), seconds * PATIENCE
        job = {"tests": len(texts[0]), "program": len(texts[1])}
        send(pipe, {**job, "seconds": seconds, "patience": patience, "memory": self._memory})
        for text in texts:
            write_all(pipe, text)
        return self._reply(patience + GRACE)

    def _reply(self, seconds: float) -> dict[str, Any]:
        if self._process is None or self._process.stdout is None:
            raise EOFError
        pipe = self._process.stdout.fileno()
        # A reply is one short message written at once: when its first byte is here, it is whole.
        watch = select.poll()
        watch.register(pipe, select.POLLIN)
        if not watch.poll(seconds * 1000):
            raise TimeoutError
        return receive(pipe)

    def close(self) -> None:
        """Ends the fork server and all its processes."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        process.kill()
        process.wait()


def _since(started: float) -> float:
    return time.monotonic() - started


def _printable(text: str) -> str:
    """Hostile text as one short line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text[:DETAIL])


Level = Literal["namespaces", "landlock", "limits"]
"""What holds a program, from strong to weak: see `Isolation`."""

_TESTS = "assert stopped() is True"
_ATTEMPT = """
def stopped():
    try:
{attempt}
    except (OSError, MemoryError):
        return True
    return False
"""
_PROBES: Mapping[str, str] = {
    "network": "import socket; socket.create_connection(('127.0.0.1', {port}), 2).close()",
    "reading files": "open({secret!r}).close()",
    "writing files": "open({outside!r}, 'w').close()",
    "other processes": "import os; os.kill(os.getppid(), 0)",
    "new processes": "import os; os.fork() or os._exit(0)",
    "other programs": "import os; os.execv('/bin/true', ['true'])",
    "privileges": "import os; os.setuid(0); os.seteuid(0); os.chroot('/')",
    "memory": "bytearray({memory})",
}
_SAFE = "import os\ndef stopped():\n    return not os.environ and os.getcwd() != '/'\n"
"""Checks the environment and the working directory, without an attempt to get out."""


@dataclass(frozen=True)
class Isolation:
    """Which isolation is in force.

    Attributes:
        level: `namespaces`: own namespaces, with a system-call filter. `landlock`: files by an
            allow-list, with the same filter. `limits`: resource limits and a clean environment; no
            protection of this machine from a hostile program.
        open: Attempts that were not stopped.
    """

    level: Level
    open: tuple[str, ...]

    @property
    def line(self) -> str:
        """The isolation in one line, for people."""
        stopped = f"not stopped: {', '.join(self.open)}" if self.open else "every probe was stopped"
        return f"{_DESCRIPTIONS[self.level]}; {stopped}"


_DESCRIPTIONS: Mapping[Level, str] = {
    "namespaces": "own namespaces (no network, no files but Python's, no other processes) and a "
    "system-call filter",
    "landlock": "Landlock (no files but Python's) and a system-call filter (no network, no other "
    "processes)",
    "limits": "resource limits only, NOT SAFE for hostile programs",
}


def probe(worker: Worker, memory: int) -> Isolation:
    """Measures which isolation is in force: by programs that try to get out, never assumed.

    What the fork server reports is a claim that counts only if every attempt was stopped. `memory`
    is the limit of a program in bytes.
    """
    with _bait() as bait:
        values = {**bait, "memory": 2 * memory}
        programs = {
            name: _ATTEMPT.format(attempt=f"        {line.format(**values)}")
            for name, line in _PROBES.items()
        }
        programs["environment"] = _SAFE
        outcomes = {n: worker.run(text, _TESTS, PROBE_SECONDS) for n, text in programs.items()}
    free = tuple(name for name, outcome in outcomes.items() if not outcome.passed)
    strong: tuple[Level, ...] = ("namespaces", "landlock")
    in_use: list[Level] = [level for level in strong if worker.mechanisms.get(level)]
    held = in_use and worker.mechanisms.get("seccomp") and not free
    level: Level = in_use[0] if held else "limits"
    return Isolation(level, free)


@contextmanager
def _bait() -> Iterator[dict[str, Any]]:
    """A listening port, a file that anybody may read, and a folder that anybody may write."""
    with tempfile.TemporaryDirectory(prefix="redone-probe-") as name, socket.socket() as server:
        folder = Path(name)
        folder.chmod(0o777)
        secret = folder / "secret"
        secret.write_text("secret")
        secret.chmod(0o644)
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        port = server.getsockname()[1]
        yield {"port": port, "secret": str(secret), "outside": str(folder / "written")}


class SandboxUnavailable(RedoneError):
    """Programs cannot be run here; the message says why."""


class ForkSandbox:
    """Implements `redone.tasks.schema.Sandbox`.

    Args:
        workers: Programs that run at a time; None: one per core, at most 8.
        memory: Bytes of address space of a program.
        isolation: The strongest level to try; `auto` is the strongest that works.

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
        self._mechanisms: dict[str, bool] | None = None
        self._start(first)
        self._mechanisms = dict(first.mechanisms)
        self.isolation: Isolation = probe(first, memory)
        if isolation not in ("auto", self.isolation.level):
            self.close()
            raise SandboxUnavailable(
                f"The sandbox level {isolation!r} is not in force here: {self.isolation.line}."
            )
        python = ".".join(platform.python_version_tuple()[:2])
        self.identity: str = f"fork-{RULES}-py{python}-{self.isolation.level}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its arguments: unpickling starts as many servers with the same isolation."""
        return ForkSandbox, (len(self._workers), self._memory, self.isolation.level)

    def _start(self, worker: Worker) -> None:
        try:
            worker.start()
        except OSError as error:
            raise SandboxUnavailable(f"The sandbox cannot be used: {error}.") from None
        # The probes' result must hold for every fork server.
        if self._mechanisms not in (None, worker.mechanisms):
            worker.close()
            raise SandboxUnavailable(
                "The sandbox had to be restarted, and less isolation is available now than before "
                f"({worker.mechanisms} after {self._mechanisms}). Free the machine and run again."
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
            return worker.run(program, tests, seconds)
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
