"""Linux mechanisms that isolate a process and that Python 3.11 has no function for.

System calls, capabilities, Landlock (file access by an allow-list of paths, for a process without
any privilege) and namespaces: no network, no other processes, and a file tree that holds Python and
/tmp. The tree is built from read-only views of the machine's libraries in an empty memory file
system: it has no /proc, /home, /etc or /root to read, and nothing but /tmp to write.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import stat
import struct
import sys
from collections.abc import Sequence

# --- system calls --------------------------------------------------------------------------------

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
    words = source.encode(), target.encode(), kind.encode() if kind else None
    libc("mount", *words, ctypes.c_ulong(flags), data.encode() or None)


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


# --- Landlock ------------------------------------------------------------------------------------

_CREATE = NUMBERS["x86_64"]["landlock"]
_ADD, _RESTRICT = _CREATE + 1, _CREATE + 2
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Number of file rights by version of the interface; 16 since version 5."""
_PATH_BENEATH = 1


def landlock_version() -> int:
    """Version of the Landlock interface, 0 where there is none."""
    try:
        return syscall(_CREATE, None, 0, 1)
    except OSError:
        return 0


def landlock_ruleset(readable: Sequence[str], devices: Sequence[str]) -> int:
    """A Landlock ruleset: read below `readable`, read and write `devices`, no other file, no TCP.

    Returns:
        Its file descriptor, for `landlock_restrict`.

    Raises:
        OSError: The kernel has no Landlock.
    """
    found = landlock_version()
    rights = (1 << _FILE_RIGHTS.get(found, 16)) - 1
    network = 3 if found >= 4 else 0
    scopes = 3 if found >= 6 else 0
    size = 24 if found >= 6 else 16 if found >= 4 else 8
    attributes = struct.pack("QQQ", rights, network, scopes)[:size]
    descriptor = syscall(_CREATE, attributes, size, 0)
    for path, directory, file in (
        *((p, _EXECUTE | _READ_FILE | _READ_DIR, _EXECUTE | _READ_FILE) for p in readable),
        *((p, 0, _READ_FILE | _WRITE_FILE) for p in devices),
    ):
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            is_directory = stat.S_ISDIR(os.fstat(opened).st_mode)
            allowed = directory if is_directory else file
            rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, opened))
            if allowed:
                syscall(_ADD, descriptor, _PATH_BENEATH, rule, 0)
        finally:
            os.close(opened)
    return descriptor


def landlock_restrict(descriptor: int) -> None:
    """Puts this process under a Landlock ruleset, for good. Needs no_new_privs."""
    syscall(_RESTRICT, descriptor, 0)


# --- namespaces ----------------------------------------------------------------------------------

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER = 0x20000, 0x4000000, 0x8000000, 0x10000000
_NEWPID, _NEWNET, _NEWCGROUP = 0x20000000, 0x40000000, 0x2000000
_ALL = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET | _NEWCGROUP
_RDONLY, _NOSUID, _NODEV = 1, 2, 4
_BIND, _REC, _PRIVATE = 4096, 16384, 1 << 18
_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000

STAGE = "/sys"
"""Where the new tree is put together: a directory that every Linux has and no library lives in."""
TEMPORARY = "/tmp"
TEMPORARY_BYTES = 16 * 2**20
TEMPORARY_FILES = 1024


def enter_namespaces(readable: Sequence[str], devices: Sequence[str]) -> None:
    """Moves this process into new namespaces; its next child is process 1 there.

    Args:
        readable: Directories and files that are visible, at their own paths, read-only.
        devices: Device files that are visible.

    Raises:
        OSError: Something is not allowed here. The process is then half moved and must end.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        libc("unshare", _ALL)
    except OSError:
        libc("unshare", _ALL | _NEWUSER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    mount("none", "/", None, _REC | _PRIVATE)
    mount("tmpfs", STAGE, "tmpfs", _NOSUID, "size=1m,mode=755")
    for path in (*readable, *devices):
        _show(path)
    os.mkdir(STAGE + TEMPORARY)
    _read_only(STAGE)  # device files keep their meaning on a read-only mount
    os.chdir(STAGE)
    syscall("pivot_root", b".", b".")
    libc("umount2", b".", _DETACH)
    os.chdir("/")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _show(path: str) -> None:
    """A view of a path in the stage; links stay links."""
    target = STAGE + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(path, target, None, _BIND | _REC)


def _read_only(path: str) -> None:
    """Makes the mount at a path, and all below it, read-only and free of set-uid programs."""
    attributes = struct.pack("QQQQ", _RDONLY | _NOSUID, 0, 0, 0)
    arguments = (path.encode(), _AT_RECURSIVE, attributes, len(attributes))
    syscall("mount_setattr", _AT_FDCWD, *arguments)


def empty_temporary() -> None:
    """A new, empty /tmp with separate limits; the old one and its content are gone."""
    with contextlib.suppress(OSError):  # there was none
        libc("umount2", TEMPORARY.encode(), _DETACH)
    limits = f"size={TEMPORARY_BYTES},nr_inodes={TEMPORARY_FILES},mode=1777"
    mount("tmpfs", TEMPORARY, "tmpfs", _NOSUID | _NODEV, limits)
