"""Processors and memory of this machine, as far as this process may use them."""

from __future__ import annotations

import os
import sys
import time

MEMORY_SHARE = 1.0
"""Part of the free main memory that this process plans with: workers on one machine divide it."""

SPIN = "GOMP_SPINCOUNT"
"""GNU OpenMP's variable (torch's thread pool): how long a waiting thread spins before it sleeps."""
_SIGNS = ("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory")


def cores() -> int:
    """Processors that this process may use: those it is bound to, where that is known."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def give_way_when_busy() -> None:
    """On a busy machine, make torch's threads sleep early when they wait for each other.

    Waiting threads spin by default, which is fastest on an idle machine; but when other programs
    need the same cores, the spinning takes the time that the awaited thread needs, and a run of 20
    seconds was seen to take over 6 minutes. Sleeping early costs a quarter of the speed on an idle
    machine, so it is chosen only when other threads are running now. It takes effect only before
    torch is loaded; a value set by the user is kept.
    """
    if SPIN in os.environ or "torch" in sys.modules:
        return
    if others_running() > 0.5:
        os.environ[SPIN] = "100"


def others_running(looks: int = 10, pause: float = 0.005) -> float:
    """Mean number of other running or runnable threads on the machine; 0 where unknown."""
    seen = 0
    for _ in range(looks):
        try:
            with open("/proc/stat", encoding="ascii") as file:
                line = next(line for line in file if line.startswith("procs_running"))
        except (OSError, StopIteration):
            return 0.0
        seen += int(line.split()[1]) - 1
        time.sleep(pause)
    return seen / looks


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: on a GPU, in torch on a CPU, or in Python."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).casefold()
    return type(error).__name__ == "OutOfMemoryError" or any(sign in text for sign in _SIGNS)


def free_bytes() -> int:
    """Main memory that is available, in bytes, within a container's limit."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(MEMORY_SHARE * _within_cgroup(int(line.split()[1]) * 1024))
    except OSError:
        pass
    return int(MEMORY_SHARE * (4 << 30))  # unknown: assume a small machine


def _within_cgroup(available: int) -> int:
    """The available bytes, capped by what a container's limit leaves."""
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limit = int(file.read())
        with open("/sys/fs/cgroup/memory.current", encoding="ascii") as file:
            return max(0, min(available, limit - int(file.read())))
    except (OSError, ValueError):
        return available
