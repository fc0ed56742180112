"""Running out of memory, and going on."""

from __future__ import annotations

SHARE = 1.0
"""Part of the free main memory that this process plans with: workers on one machine divide it."""

_SIGNS = ("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: on a GPU, in torch on a CPU, or in Python."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).casefold()
    return type(error).__name__ == "OutOfMemoryError" or any(sign in text for sign in _SIGNS)


def free_bytes() -> int:
    """Main memory that can be taken without pushing others out."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(SHARE * _within_cgroup(int(line.split()[1]) * 1024))
    except OSError:
        pass
    return int(SHARE * (4 << 30))  # a machine that does not tell: assume a small one


def _within_cgroup(available: int) -> int:
    """The same, no more than a container's limit leaves."""
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limit = int(file.read())
        with open("/sys/fs/cgroup/memory.current", encoding="ascii") as file:
            return max(0, min(available, limit - int(file.read())))
    except (OSError, ValueError):
        return available
