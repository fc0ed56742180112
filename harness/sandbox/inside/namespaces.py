"""A world of its own: no network, no other processes, and a file tree that holds Python and /tmp.

The tree is built from read-only views of the machine's libraries in an empty memory file system.
There is no /proc, /home, /etc or /root in it to read, and nothing but /tmp to write.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

from .kernel import libc, mount, syscall

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


def enter(readable: Sequence[str], devices: Sequence[str]) -> None:
    """Moves this process into the new world; its next child is process 1 there.

    Args:
        readable: Directories and files that are to be seen, at their own paths, read-only.
        devices: Device files that are to be seen.

    Raises:
        OSError: Something is not allowed here. The process is then half-way and of no more use.
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
    """A new, empty /tmp with limits of its own; the old one and its content are gone."""
    remove_temporary()
    limits = f"size={TEMPORARY_BYTES},nr_inodes={TEMPORARY_FILES},mode=1777"
    mount("tmpfs", TEMPORARY, "tmpfs", _NOSUID | _NODEV, limits)


def remove_temporary() -> None:
    """Takes the last program's /tmp away."""
    try:
        libc("umount2", TEMPORARY.encode(), _DETACH)
    except OSError:
        return  # there was none
