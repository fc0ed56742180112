"""Which isolation is in force: measured by programs that try to get out, never assumed.

Each probe is an ordinary program of the sandbox. It passes if the attempt was stopped.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...tasks.schema import Outcome

Level = Literal["namespaces", "landlock", "limits"]
Run = Callable[[str, str], Outcome]
"""Runs a program against tests."""

_TESTS = "assert stopped() is True"
_ATTEMPT = """
def stopped():
    try:
{attempt}
    except (OSError, MemoryError):
        return True
    return False
"""
_PROBES: Mapping[str, str] = {
    "network": "import socket; socket.create_connection(('127.0.0.1', {port}), 2).close()",
    "reading files": "open({secret!r}).close()",
    "writing files": "open({outside!r}, 'w').close()",
    "other processes": "import os; os.kill(os.getppid(), 0)",
    "new processes": "import os; os.fork() or os._exit(0)",
    "other programs": "import os; os.execv('/bin/true', ['true'])",
    "privileges": "import os; os.setuid(0); os.seteuid(0); os.chroot('/')",
    "memory": "bytearray({memory})",
}
_SAFE = "import os\ndef stopped():\n    return not os.environ and os.getcwd() != '/'\n"
"""Checks the environment and the working directory, without an attempt to get out."""


@dataclass(frozen=True)
class Isolation:
    """What was found.

    Attributes:
        level: `namespaces`: own namespaces, with a system-call filter. `landlock`: files by an
            allow-list, with the same filter. `limits`: resource limits and a clean environment; no
            protection of this machine from a hostile program.
        open: Attempts that were not stopped.
        unprivileged: Whether the programs run as a user without rights.
    """

    level: Level
    open: tuple[str, ...]

    @property
    def line(self) -> str:
        """The isolation in one line, for people."""
        description = {
            "namespaces": "own namespaces (no network, no files but Python's, no other processes) "
            "and a system-call filter",
            "landlock": "Landlock (no files but Python's) and a system-call filter (no network, no "
            "other processes)",
            "limits": "resource limits only, NOT SAFE for hostile programs",
        }[self.level]
        if not self.open:
            return f"{description}; every probe was stopped"
        return f"{description}; not stopped: {', '.join(self.open)}"


def probe(run: Run, mechanisms: Mapping[str, Any], memory: int) -> Isolation:
    """Tries everything that a program must not do.

    Args:
        run: Runs a program against tests.
        mechanisms: What the fork server reports: a claim that counts only if the probes were
            stopped.
        memory: The memory limit in bytes.
    """
    with _bait() as bait:
        values = {**bait, "memory": 2 * memory}
        programs = {
            name: _ATTEMPT.format(attempt=f"        {line.format(**values)}")
            for name, line in _PROBES.items()
        }
        programs["environment"] = _SAFE
        stopped = {name: run(text, _TESTS).passed for name, text in programs.items()}
    free = tuple(name for name, held in stopped.items() if not held)
    filtered = mechanisms.get("seccomp") and not free
    if filtered and mechanisms.get("namespaces"):
        return Isolation("namespaces", free)
    if filtered and mechanisms.get("landlock"):
        return Isolation("landlock", free)
    return Isolation("limits", free)


@contextmanager
def _bait() -> Iterator[dict[str, Any]]:
    """A listening port, a file that anybody may read, and a folder that anybody may write."""
    with tempfile.TemporaryDirectory(prefix="redone-probe-") as name, socket.socket() as server:
        folder = Path(name)
        folder.chmod(0o777)
        secret = folder / "secret"
        secret.write_text("secret")
        secret.chmod(0o644)
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        yield {
            "port": server.getsockname()[1],
            "secret": str(secret),
            "outside": str(folder / "written"),
        }
