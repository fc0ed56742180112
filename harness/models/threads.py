"""Sharing the processor: what GNU OpenMP, torch's thread pool, does while other programs run."""

from __future__ import annotations

import os
import sys
import time

SPIN = "GOMP_SPINCOUNT"
PATIENT = "100"


def give_way_when_busy() -> None:
    """On a busy machine, lets torch's threads sleep early when they wait for each other.

    Waiting threads spin by default, which is fastest alone; but when other programs want the same
    cores, the spinning takes the time that the awaited thread needs, and a run of 20 seconds was
    seen to take over 6 minutes. Sleeping early costs a quarter of the speed on an idle machine, so
    it is chosen only when somebody else is running now. It takes effect only before torch is
    loaded; a value set by the user stays.
    """
    if SPIN in os.environ or "torch" in sys.modules:
        return
    if others_running() > 0.5:
        os.environ[SPIN] = PATIENT


def others_running(looks: int = 10, pause: float = 0.005) -> float:
    """Mean number of other threads on the machine that are running or want to; 0 where unknown."""
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
