"""One fork server, seen from the harness: a child process that is given programs one by one."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast, get_args

from ...tasks.schema import Outcome, Reason
from .inside.frames import receive, send, write_all

GRACE = 10.0
"""Seconds that the fork server may need beyond a program's time before it is taken for stuck."""
PATIENCE = 5.0
"""Wall time of a program on a busy machine, as a multiple of its CPU time."""
START = 30.0
LONGEST = 2**20
"""Bytes of a program or its tests."""
DETAIL = 200
# The package `inside` is imported by itself: a Python without site-packages cannot see redone.
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[2]); from inside.zygote import main; "
    "del sys.path[0]; main(sys.argv[1])"
)


class Worker:
    """A fork server; started when it is first needed, and again after it broke.

    Args:
        isolation: `auto`, `namespaces`, `landlock` or `limits`: the most that is tried.
        memory: Bytes of address space of a program.

    Attributes:
        mechanisms: What the fork server says that it uses; empty before the start.
    """

    def __init__(self, isolation: str, memory: int) -> None:
        self._isolation = isolation
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self.mechanisms: dict[str, Any] = {}

    def start(self) -> None:
        """Starts the fork server unless it runs.

        Raises:
            OSError: It cannot be started.
        """
        if self._process and self._process.poll() is None:
            return
        self.close()
        # A fixed hash seed: a program's verdict shall not depend on the order of a set.
        environment = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-s",
                "-S",
                "-P",
                "-c",
                _BOOT,
                self._isolation,
                str(Path(__file__).parent),
            ],
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

    def judge(self, program: str, tests: str, seconds: float) -> Outcome:
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
        pipe = self._process.stdin.fileno()
        job = {"tests": len(texts[0]), "program": len(texts[1])}
        patience = seconds * PATIENCE
        limits = {"seconds": seconds, "patience": patience, "memory": self._memory}
        send(pipe, {**job, **limits})
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
        """Ends the fork server and everything in it."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()


def _since(started: float) -> float:
    return time.monotonic() - started


def _printable(text: str) -> str:
    """Hostile text as one short line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text[:DETAIL])
