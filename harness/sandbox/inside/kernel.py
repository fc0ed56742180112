"""Linux system calls that Python 3.11 has no function for."""

from __future__ import annotations

import ctypes
import os
import platform
import sys

NUMBERS = {
    "x86_64": {"pivot_root": 155, "capset": 126, "mount_setattr": 442, "landlock": 444},
    "aarch64": {"pivot_root": 41, "capset": 91, "mount_setattr": 442, "landlock": 444},
}
MACHINE = platform.machine()
SUPPORTED = sys.platform == "linux" and MACHINE in NUMBERS and sys.maxsize > 2**32
"""Whether this kernel's interface is known here; elsewhere only the portable limits work."""

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 38, 22
LAST_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True) if SUPPORTED else None
_NUMBERS = NUMBERS.get(MACHINE, {})


def libc(name: str, *args: object) -> int:
    """Calls a function of the C library.

    Raises:
        OSError: It failed.
    """
    if _libc is None:
        raise OSError("not a supported Linux")
    result = getattr(_libc, name)(*args)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def syscall(number: int | str, *args: object) -> int:
    """A system call by number, or by a name of `NUMBERS`."""
    code = _NUMBERS[number] if isinstance(number, str) else number
    longs = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return libc("syscall", ctypes.c_long(code), *longs)


def prctl(option: int, *args: object) -> int:
    """Sets an attribute of this process."""
    longs = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in args]
    return libc("prctl", option, *longs, *[ctypes.c_ulong(0)] * (4 - len(longs)))


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mounts, binds or remounts."""
    libc(
        "mount",
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )


def drop_bounding_set() -> None:
    """Gives up ever getting a capability from a file; does nothing for a user who has none."""
    for capability in range(LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # past the last that this kernel knows, or not allowed


def drop_capabilities() -> None:
    """Gives up every capability."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    syscall("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))
