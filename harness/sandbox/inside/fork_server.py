"""The fork server: starts once, then forks two processes for each program.

The grader runs the tests, the candidate the program. Each reads its own text from the job pipe, so
neither the candidate nor this process, of which later candidates are copies, ever holds the tests.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from . import candidate, confinement, grader, linux
from .protocol import read_exactly, receive, send

JOBS, RESULTS = 0, 1  # descriptors of the pipes to and from the harness
NOT_HERE = 77  # exit status of an attempt to make namespaces that did not succeed
CHECK = 0.05  # seconds between two looks at the clock of a program that is over its wall time
IDLE = 0.02  # a program that used less of its wall time was waiting and not kept waiting
PRELOADED = (
    *("array", "bisect", "cmath", "collections", "copy", "datetime", "decimal", "fractions"),
    *("functools", "hashlib", "heapq", "itertools", "json", "math", "operator", "random"),
    *("re", "statistics", "string", "time", "typing"),
)
"""Imported once here, so that programs find them loaded."""


def main(isolation: str) -> None:
    """Serves jobs until the job pipe closes.

    Args:
        isolation: `auto`, or the strongest level to try: `namespaces`, `landlock`, `limits`.
    """
    os.environ.clear()
    for name in PRELOADED:
        importlib.import_module(name)
    _die_first()
    readable = confinement.readable_paths()
    if isolation in ("auto", "namespaces") and linux.SUPPORTED:
        status = _in_child(lambda: _serve_in_namespaces(readable))
        if status != NOT_HERE:
            os._exit(status)
    filters = isolation != "limits" and _works_in_child(_try_seccomp)
    ruleset = None
    if isolation != "limits" and linux.landlock_version():
        ruleset = linux.landlock_ruleset(readable, confinement.DEVICES)
    if not _works_in_child(_read_as_nobody):
        unreadable = "the user `nobody`, as whom programs run, cannot read Python's library in"
        send(RESULTS, {"error": f"{unreadable} {sys.base_prefix}; run as an ordinary user"})
        return
    serve(confinement.Guards(False, filters, ruleset))


def _die_first() -> None:
    """If the machine's memory runs out, a program is killed and not its neighbors."""
    # A courtesy to others: the address-space limit is what holds.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _in_child(work: Callable[[], int]) -> int:
    """Exit status of a forked child that does some work, and that dies when this process does."""
    pid = os.fork()
    if not pid:
        status = NOT_HERE
        try:
            if linux.SUPPORTED:
                linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            status = work()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF


def _works_in_child(attempt: Callable[[], None]) -> bool:
    def work() -> int:
        try:
            attempt()
        except OSError:
            return NOT_HERE
        return 0

    return _in_child(work) == 0


def _try_seccomp() -> None:
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    confinement.install_filter(os.getpid())


def _read_as_nobody() -> None:
    confinement.become_nobody()
    with open(os.__file__, "rb") as file:
        file.read(1)


def _serve_in_namespaces(readable: list[str]) -> int:
    filters = _works_in_child(_try_seccomp)
    try:
        linux.enter_namespaces(readable, confinement.DEVICES)
    except OSError:
        return NOT_HERE

    def serve_as_first() -> int:
        try:
            linux.empty_temporary()
        except OSError:
            return NOT_HERE
        serve(confinement.Guards(True, filters, None))
        return 0

    return _in_child(serve_as_first)


def serve(guards: confinement.Guards) -> None:
    """Reports which mechanisms are in use, then runs job after job."""
    send(RESULTS, guards.mechanisms())
    while True:
        try:
            job = receive(JOBS)
        except EOFError:
            return
        send(RESULTS, _run(job, guards))


def _run(job: dict[str, Any], guards: confinement.Guards) -> dict[str, Any]:
    """Runs one program against its tests, and removes everything that it left.

    Args:
        job: `tests` and `program` (bytes that follow on the job pipe), `seconds` (of CPU time, and
            of waiting), `patience` (seconds of wall time at most), `memory` (bytes).
        guards: The mechanisms that confine the children.
    """
    started = time.monotonic()
    folder = _workplace(guards)
    threads = _thread_limit(guards)
    questions, answers = socket.socketpair()
    verdict, verdict_in = os.pipe()

    def start(text_bytes: int, keep: list[int], work: Callable[[str], None]) -> int:
        read, ready = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                text = read_exactly(JOBS, text_bytes).decode("utf-8", "surrogatepass")
                os.write(ready, b"r")
                os.chdir(folder)
                guards.apply(keep, job["seconds"], job["memory"], threads)
                work(text)
            finally:
                os._exit(0)
        os.close(ready)
        try:
            read_exactly(read, 1)
        finally:
            os.close(read)
        return pid

    def grade(tests: str) -> None:
        send(verdict_in, grader.grade(questions.fileno(), tests))

    grading = start(job["tests"], [questions.fileno(), verdict_in], grade)
    running = start(job["program"], [answers.fileno()], partial(candidate.run, answers.fileno()))
    for inner in (questions, answers):
        inner.close()
    os.close(verdict_in)
    result = _await(verdict, job, (running, grading))
    os.close(verdict)
    ended = _end(running, grading, guards)
    if not guards.namespaces:
        shutil.rmtree(folder, ignore_errors=True)
    number = os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else 0
    if result["reason"] == "exit" and number not in (0, signal.SIGKILL):
        spent = number == signal.SIGXCPU
        detail = f"ended by {signal.Signals(number).name}"
        result = {"reason": "timeout" if spent else "exit", "detail": detail}
    return {**result, "seconds": time.monotonic() - started}


def _await(verdict: int, job: dict[str, Any], pids: tuple[int, int]) -> dict[str, Any]:
    """The grader's verdict, or why there is none.

    A program has its seconds of CPU time, so a verdict does not depend on the load of the machine.
    One that only waits has as much wall time; one that is kept waiting has more, up to `patience`.
    """
    watch = select.poll()
    watch.register(verdict, select.POLLIN)
    watch.register(JOBS, 0)  # tells only that the harness has gone
    started, seconds = time.monotonic(), job["seconds"]
    pause = seconds
    while not (events := watch.poll(pause * 1000)):
        wall, spent = time.monotonic() - started, _cpu_seconds(pids)
        if wall >= seconds and not wall * IDLE < spent < seconds or wall >= job["patience"]:
            return {"reason": "timeout", "detail": f"{spent:.1f} s of computing"}
        pause = CHECK
    if any(descriptor == JOBS for descriptor, _ in events):
        os._exit(0)
    try:
        return receive(verdict)
    except EOFError:
        return {"reason": "crash", "detail": "the process of the tests ended early"}


def _cpu_seconds(pids: tuple[int, int]) -> float:
    """CPU time of processes that have not been waited for."""
    # The kernel's number of a process's CPU clock: clock_getcpuclockid(3), which Python has not.
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def _end(running: int, grading: int, guards: confinement.Guards) -> int:
    """Ends every process of the job; returns the wait status of the program's."""
    for pid in (running, grading):
        os.kill(pid, signal.SIGKILL)
    if guards.namespaces:
        with contextlib.suppress(ProcessLookupError):  # nothing may be left
            os.kill(-1, signal.SIGKILL)  # process 1: everything in its namespace but itself
    status = os.waitpid(running, 0)[1]
    os.waitpid(grading, 0)
    while guards.namespaces:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    return status


def _workplace(guards: confinement.Guards) -> str:
    """An empty directory for the program."""
    if guards.namespaces:
        linux.empty_temporary()
        return linux.TEMPORARY
    folder = tempfile.mkdtemp(prefix="redone-sandbox-")
    if os.geteuid() == 0:
        os.chown(folder, confinement.NOBODY, confinement.NOBODY)
    return folder


def _thread_limit(guards: confinement.Guards) -> int | None:
    """The limit counts all threads of a user, but in separate namespaces only the program's.

    None where a filter allows no new process: then memory for their stacks limits the threads.
    """
    if guards.namespaces:
        return confinement.THREADS
    return None if guards.seccomp else confinement.THREADS + _threads_of_user()


def _threads_of_user() -> int:
    """How many threads the user of the children has."""
    user = confinement.NOBODY if os.geteuid() == 0 else os.geteuid()
    try:
        names = [name for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return resource.getrlimit(resource.RLIMIT_NPROC)[0]
    count = 0
    for name in names:
        with contextlib.suppress(OSError):  # it has ended
            if os.stat(f"/proc/{name}").st_uid == user:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count


if __name__ == "__main__":
    main(sys.argv[1])
