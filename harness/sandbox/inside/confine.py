"""What a child gives up before it runs anything: descriptors, privileges, resources, calls."""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import kernel, landlock, seccomp

NOBODY = 65534
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
FILE_BYTES = 16 * 2**20
OPEN_FILES = 64
THREADS = 64


def readable_paths() -> list[str]:
    """The libraries that Python needs, parents before children, none inside another."""
    base = os.path.realpath(sys.base_prefix)
    wanted = {
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/usr/share/zoneinfo",
        "/etc/ld.so.cache",
        os.path.join(base, "lib"),
        os.path.realpath(sysconfig.get_paths()["stdlib"]),
        os.path.join(os.path.realpath(sys.base_exec_prefix), "lib"),
    }
    kept: list[str] = []
    for path in sorted(p for p in wanted if os.path.exists(p)):
        if not any(path.startswith(above + "/") for above in kept if not os.path.islink(above)):
            kept.append(path)
    return kept


@dataclass(frozen=True)
class Guards:
    """Which mechanisms the children are put under.

    Attributes:
        namespaces: The zygote lives in a world of its own.
        seccomp: Children get a system-call filter.
        ruleset: Descriptor of the Landlock ruleset, None without.
    """

    namespaces: bool
    seccomp: bool
    ruleset: int | None

    def told(self) -> Mapping[str, bool]:
        return {
            "namespaces": self.namespaces,
            "seccomp": self.seccomp,
            "landlock": self.ruleset is not None,
        }

    def apply(self, keep: Sequence[int], seconds: float, memory: int, threads: int | None) -> None:
        """Confines this process for good.

        Args:
            keep: The only descriptors that stay open, besides 0, 1, 2, which lead nowhere.
            seconds: CPU time.
            memory: Bytes of address space.
            threads: Limit of the user's threads, None for none.

        Raises:
            OSError: A mechanism that worked when it was probed does not work.
        """
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        rules = () if self.ruleset is None else (self.ruleset,)
        _close_all_but({0, 1, 2, *keep, *rules})
        _limit(seconds, memory, threads)
        if kernel.SUPPORTED:
            kernel.drop_bounding_set()
        become_nobody()
        os.umask(0o077)
        if not kernel.SUPPORTED:
            return
        kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        if self.ruleset is not None:
            landlock.restrict(self.ruleset)
            os.close(self.ruleset)
        if self.seccomp:
            seccomp.install(os.getpid())


def become_nobody() -> None:
    """Root becomes a user without rights, for good; an ordinary user stays who it is."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def _close_all_but(keep: set[int]) -> None:
    low = 0
    for descriptor in sorted(keep):
        if low < descriptor:  # an empty range would close everything
            os.closerange(low, descriptor)
        low = descriptor + 1
    # What is open lies below the limit of before; it is lowered only afterwards.
    os.closerange(low, max(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 4096))


def _limit(seconds: float, memory: int, threads: int | None) -> None:
    cpu = math.ceil(seconds) + 1
    limits: dict[str, tuple[int, int]] = {
        "RLIMIT_CPU": (cpu, cpu + 1),
        "RLIMIT_AS": (memory, memory),
        "RLIMIT_FSIZE": (FILE_BYTES, FILE_BYTES),
        "RLIMIT_NOFILE": (OPEN_FILES, OPEN_FILES),
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_MEMLOCK": (0, 0),
        "RLIMIT_MSGQUEUE": (0, 0),
        "RLIMIT_SIGPENDING": (THREADS, THREADS),
    }
    if threads is not None:
        limits["RLIMIT_NPROC"] = (threads, threads)
    for name, (soft, hard) in limits.items():
        if (which := getattr(resource, name, None)) is None:
            continue  # not every system knows every limit
        ceiling = resource.getrlimit(which)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(which, (soft, hard))
