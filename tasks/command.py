"""The command line that all verbs share: `redone VERB`, one error boundary, one look of text.

`run_command` is where a command ends, however it ends: normally, with an error that the user can
fix, by Ctrl-C or SIGTERM, or because the reader of a pipe went away.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

from .errors import RedoneError

if TYPE_CHECKING:
    from rich.console import Console

VERBS = {
    "eval": ("redone.harness.cli", "evaluate a model on tasks"),
    "tasks": ("redone.tasks.cli", "list, show, check and fetch tasks"),
    "gate": ("redone.harness.gate.cli", "test a candidate run for regressions"),
    "diagnose": ("redone.harness.diagnosis.cli", "rank the weaknesses of a run"),
    "report": ("redone.reports.cli", "compare runs on one HTML page"),
    "leaderboard": ("redone.leaderboards.cli", "published and measured scores in one table"),
    "train": ("redone.training.cli", "train a model in stages"),
}
"""Verb -> module whose `main` runs it, and one line of help. `redone-VERB` is the same command."""

USAGE = 64
"""Exit code for bad usage. Not argparse's 2, which is a verdict of the gate."""
INTERRUPTED = 130
"""Exit code of a command that was stopped by Ctrl-C or SIGTERM."""
WIDTH = 150
"""Columns of output that does not go to a screen: tables in a pipe or a log are not cut."""


class Parser(argparse.ArgumentParser):
    """An argument parser that ends bad usage with `USAGE`."""

    def error(self, message: str) -> NoReturn:
        """Prints usage and message; exit code 64."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def run_command(
    prog: str,
    body: Callable[[], int],
    *,
    stopped: str = "Stopped.",
    code_of: Callable[[RedoneError], int] = lambda error: error.exit_code,
    broken_pipe: int = 0,
) -> int:
    """Runs a command's body; every way in which it can end becomes an exit code.

    Args:
        prog: The command's name, for messages.
        body: Does the work; returns the exit code.
        stopped: Printed after Ctrl-C or SIGTERM: what was kept, and how to resume.
        code_of: Exit code of an error, where exit codes of the command have a meaning of their own.
        broken_pipe: Exit code when the reader of standard output went away.
    """
    try:
        with sigterm_as_interrupt():
            code = body()
        sys.stdout.flush()
        return code
    except RedoneError as error:
        print(f"{prog}: {visible(str(error))}", file=sys.stderr)
        return code_of(error)
    except KeyboardInterrupt:
        print(f"\n{stopped}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Keeps the interpreter from flushing into the closed pipe once more at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return broken_pipe


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM, which schedulers send, and SIGHUP raise KeyboardInterrupt, as Ctrl-C does.

    SIGHUP comes when a terminal is closed; where it is ignored, as under `nohup`, it still is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    numbers = [signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def console() -> Console:
    """Standard output, for tables and text that is marked up already."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDTH
    return Console(highlight=False, soft_wrap=True, width=width)


_DIRECTIONS = dict(
    zip(
        "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
        ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"),
        strict=True,
    )
)
_VISIBLE = {
    **{code: f"⟨{code:02X}⟩" for code in (*range(0x20), *range(0x7F, 0xA0))},
    **{ord(kept): kept for kept in "\t\n"},
    **{ord(mark): f"⟨{name}⟩" for mark, name in _DIRECTIONS.items()},
    **{code: "\ufffd" for code in range(0xD800, 0xE000)},
}


def visible(text: str) -> str:
    """Text whose control and direction characters are shown, not obeyed (page.js does the same).

    Args:
        text: From anywhere. Tabs, newlines, joiners and the marks of right-to-left scripts stay;
            lone surrogates, which no terminal can print, become U+FFFD.
    """
    return text.replace("\r\n", "\n").translate(_VISIBLE)


def main(argv: Sequence[str] | None = None) -> int:
    """`redone VERB ...`; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in VERBS:
        module, _ = VERBS[words[0]]
        return importlib.import_module(module).main(words[1:])
    parser = Parser(
        prog="redone",
        description="Evaluation harness, regression gate and post-training loop for language "
        "models on social networks.",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, (_, line) in VERBS.items():
        verbs.add_parser(verb, help=line, add_help=False)
    parser.parse_args(words)
    return 0


if __name__ == "__main__":
    sys.exit(main())
