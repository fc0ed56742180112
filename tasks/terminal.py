"""How every command meets a terminal: one width, one exit code for bad usage, one way to stop."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rich.console import Console

USAGE = 64
INTERRUPTED = 130
"""Exit code of a command that was stopped, by Ctrl-C or by SIGTERM."""
WIDTH = 150
"""Columns of what is not for a screen: a table in a pipe or a log is not cut to one."""


class Parser(argparse.ArgumentParser):
    """Ends bad usage with 64, as every other mistake of a user; argparse's own 2 is a verdict."""

    def error(self, message: str) -> NoReturn:
        """Prints usage and message; exit code 64."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def output() -> Console:
    """Standard output, for tables and text that is marked up already."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDTH
    return Console(highlight=False, soft_wrap=True, width=width)


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM, which schedulers and containers send, is KeyboardInterrupt inside, as Ctrl-C is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
