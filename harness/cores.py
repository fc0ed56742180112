"""How many processors there are for this process."""

from __future__ import annotations

import os


def cores() -> int:
    """Processors that this process may use: those it is bound to, where that is known."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
