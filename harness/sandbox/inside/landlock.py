"""Landlock: file access by an allow-list of paths, for a process without any privilege."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Sequence

from .kernel import NUMBERS, syscall

_CREATE = NUMBERS["x86_64"]["landlock"]
_ADD, _RESTRICT = _CREATE + 1, _CREATE + 2
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Number of file rights by version of the interface; 16 since version 5."""
_PATH_BENEATH = 1


def version() -> int:
    """Version of the interface, 0 where there is none."""
    try:
        return syscall(_CREATE, None, 0, 1)
    except OSError:
        return 0


def ruleset(readable: Sequence[str], devices: Sequence[str]) -> int:
    """A ruleset: reading below `readable`, reading and writing `devices`, no other file, no TCP.

    Returns:
        Its file descriptor, for `restrict`.

    Raises:
        OSError: The kernel has no Landlock.
    """
    found = version()
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


def restrict(descriptor: int) -> None:
    """Puts this process under a ruleset, for good. Needs no_new_privs."""
    syscall(_RESTRICT, descriptor, 0)
