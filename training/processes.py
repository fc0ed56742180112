"""A launch of several processes of which none is left behind, however it ends."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

import psutil

GRACE = 15.0
"""Seconds from SIGTERM to SIGKILL."""
_POLL = 0.2
_STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def run_launch(
    command: Sequence[str], log: IO[str], env: Mapping[str, str], grace: float = GRACE
) -> int:
    """Runs a command that starts further processes, and returns its exit code.

    When it returns or raises, all of them have ended: a launcher starts its workers in sessions of
    their own, so neither a signal to it nor one to its process group reaches them.

    Args:
        command: The launcher.
        log: Gets what all of them print.
        env: Of all of them.
        grace: Seconds that they have to end after SIGTERM, before SIGKILL.

    Raises:
        KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP came.
    """
    with _noted_signals() as came:
        launcher = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
        )
        family = _Family(launcher.pid)
        try:
            while launcher.poll() is None and not came:
                family.look()
                time.sleep(_POLL)
        finally:
            family.end(grace)
            launcher.wait()
    if came:
        raise KeyboardInterrupt
    return launcher.returncode


def _end_with_parent() -> None:
    """The launcher gets SIGTERM, which it passes on, if this command is killed by SIGKILL."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


@contextlib.contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """The numbers of signals that ask this command to stop, which do nothing else in the block.

    One that is ignored, as under `nohup`, still is.
    """
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _STOPPING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, lambda n, _: came.append(n))
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Family:
    """A process and all that descend from it, also when those between have ended."""

    def __init__(self, pid: int) -> None:
        self._members: set[psutil.Process] = set()
        with contextlib.suppress(psutil.NoSuchProcess):
            self._members.add(psutil.Process(pid))

    def look(self) -> list[psutil.Process]:
        """Those that are alive."""
        for member in list(self._members):
            with contextlib.suppress(psutil.Error):
                self._members.update(member.children(recursive=True))
        self._members = {member for member in self._members if _alive(member)}
        return list(self._members)

    def end(self, grace: float) -> None:
        """Sends SIGTERM, after `grace` seconds SIGKILL, and waits until none is left."""
        deadline, asked = time.monotonic() + grace, set[psutil.Process]()
        while members := self.look():
            late = time.monotonic() > deadline
            for member in members:
                with contextlib.suppress(psutil.Error):
                    if late:
                        member.kill()
                    elif member not in asked:
                        member.terminate()
            asked.update(members)
            time.sleep(_POLL / 4)


def _alive(process: psutil.Process) -> bool:
    """Whether a process can still do something: one that nobody has waited for cannot."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
