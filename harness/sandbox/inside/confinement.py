"""What a child gives up before it runs anything: descriptors, privileges, resources, system calls.

The system-call filter leaves one process, no other program, no socket, no reach into other
processes. It confines the program and not the kernel's whole surface: it lists what is refused and
allows the rest, so that every Python library that computes still works.
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import struct
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import linux

# --- the system-call filter ----------------------------------------------------------------------

# (x86_64, aarch64); None where the architecture has no such call.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # processes and programs
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    # namespaces and mounts
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "mount_setattr": (442, 442),
    "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430),
    "fsmount": (432, 432), "fsconfig": (431, 431), "fspick": (433, 433),
    # network; io_uring can open sockets too
    "socket": (41, 198), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "migrate_pages": (256, 238),
    "move_pages": (279, 239), "kcmp": (312, 272),
    # what Landlock does not cover of files
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None),
    "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "setxattrat": (463, 463), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16), "removexattrat": (466, 466), "truncate": (76, 45),
    "mknod": (133, None), "mknodat": (259, 33), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "inotify_init1": (294, 26),
    # memory outside the address-space limit
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    # the kernel itself
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224),
    "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162),
    "syslog": (103, 116), "personality": (135, 92), "lookup_dcookie": (212, 18),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    "vhangup": (153, 58), "uselib": (134, None),
}  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)
_KILL, _TGKILL, _PRLIMIT = (62, 129), (234, 131), (302, 261)
_FCNTL, _IOCTL = (72, 25), (16, 29)
# Ways to have a signal sent to somebody else, and to type into a terminal.
_FCNTL_REFUSED = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX
_IOCTL_REFUSED = (0x8901, 0x8902, 0x5412)  # FIOSETOWN, SIOCSPGRP, TIOCSTI

_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE_THREAD = 0x10000
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _refuse(error: int = _EPERM) -> bytes:
    return _op(_RETURN, _ERRNO | error)


def _when(number: int, body: list[bytes]) -> list[bytes]:
    """`body`, which must end in a verdict, for one system call; other calls skip it."""
    return [_op(_JUMP_EQUAL, number, 0, len(body)), *body]


def _filter(pid: int) -> bytes:
    """The filter, as classic BPF.

    Args:
        pid: The only process that signals and limits may name (besides 0, itself, for limits).
    """
    column = 0 if linux.MACHINE == "x86_64" else 1
    own = [_op(_JUMP_EQUAL, pid, 0, 1), _op(_RETURN, _ALLOW), _refuse()]
    code = [
        _op(_LOAD, _ARCH),
        _op(_JUMP_EQUAL, _ARCHITECTURE[linux.MACHINE], 1, 0),
        _op(_RETURN, _KILL_PROCESS),
        _op(_LOAD, _NUMBER),
    ]
    if linux.MACHINE == "x86_64":  # the x32 table has other numbers
        code += [_op(_JUMP_GREATER_EQUAL, 0x40000000, 0, 1), _refuse()]
    for numbers in _REFUSED.values():
        if (number := numbers[column]) is not None:
            code += _when(number, [_refuse()])
    # The flags of clone3 lie in memory, where a filter cannot look: libc falls back to clone.
    code += _when(_CLONE3[column], [_refuse(_ENOSYS)])
    thread = [_op(_JUMP_SET, _CLONE_THREAD, 0, 1), _op(_RETURN, _ALLOW), _refuse()]
    code += _when(_CLONE[column], [_op(_LOAD, _ARG0), *thread])
    for numbers in (_KILL, _TGKILL):
        code += _when(numbers[column], [_op(_LOAD, _ARG0), *own])
    zero = [_op(_JUMP_EQUAL, 0, 0, 1), _op(_RETURN, _ALLOW)]
    code += _when(_PRLIMIT[column], [_op(_LOAD, _ARG0), *zero, *own])
    for numbers, commands in ((_FCNTL, _FCNTL_REFUSED), (_IOCTL, _IOCTL_REFUSED)):
        body = [_op(_LOAD, _ARG1)]
        for command in commands:
            body += [_op(_JUMP_EQUAL, command, 0, 1), _refuse()]
        code += _when(numbers[column], [*body, _op(_RETURN, _ALLOW)])
    return b"".join([*code, _op(_RETURN, _ALLOW)])


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def install_filter(pid: int) -> None:
    """Filters the calls of this process from now on. Needs no_new_privs.

    Raises:
        OSError: The kernel has no such filters.
    """
    code = _filter(pid)
    linux.prctl(linux.PR_SET_SECCOMP, 2, ctypes.byref(_Program(len(code) // 8, code)))


# --- confining a child ---------------------------------------------------------------------------

NOBODY = 65534
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
FILE_BYTES = 16 * 2**20
OPEN_FILES = 64
THREADS = 64


def readable_paths() -> list[str]:
    """The libraries that Python needs, parents before children, none inside another."""
    base = os.path.realpath(sys.base_prefix)
    wanted = {
        *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache"),
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
        namespaces: The fork server has separate namespaces.
        seccomp: Children get a system-call filter.
        ruleset: Descriptor of the Landlock ruleset, None without.
    """

    namespaces: bool
    seccomp: bool
    ruleset: int | None

    def mechanisms(self) -> Mapping[str, bool]:
        """Which of them are in use, by name."""
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
        if linux.SUPPORTED:
            linux.drop_bounding_set()
        become_nobody()
        os.umask(0o077)
        if not linux.SUPPORTED:
            return
        linux.drop_capabilities()
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        if self.ruleset is not None:
            linux.landlock_restrict(self.ruleset)
            os.close(self.ruleset)
        if self.seccomp:
            install_filter(os.getpid())


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
