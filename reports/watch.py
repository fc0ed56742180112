"""`redone report --watch`: progress, provisional scores and failures of a run in the terminal.

A terminal shows a view that is redrawn in place; a log or pipe gets a line from time to time. Both
end when the run has its results, or with Ctrl-C, which does not affect the run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..harness.display import UNKNOWN, interval, score, show_results
from ..harness.live import Failure, LiveRun, TaskState
from ..harness.results import Estimate
from ..tasks.command import visible

EVERY = 2.0
"""Seconds between two reads of the folder."""
LOG_EVERY = 30.0
"""Seconds between two lines where the output is not a terminal."""
BAR = 60
"""Width of the progress bar in characters."""
SHOWN = 8
"""Latest failures on the screen."""


def watch(path: Path, sleep: Callable[[float], None] = time.sleep) -> int:
    """Shows a run until it is finished; returns the exit code.

    Args:
        path: The run folder.
        sleep: Waits that many seconds.

    Raises:
        RunUnreadable: It is not a run folder, or a line in it is not JSON.
    """
    run = LiveRun(path)
    run.update()
    if sys.stdout.isatty():
        _redraw(run, sleep)
    else:
        _log(run, sleep)
    show_results(run.results, path)
    return 0


def _redraw(run: LiveRun, sleep: Callable[[float], None]) -> None:
    from rich.live import Live

    with Live(view(run), auto_refresh=False, transient=True) as live:
        while not run.finished:
            sleep(EVERY)
            run.update()
            live.update(view(run), refresh=True)


def _log(run: LiveRun, sleep: Callable[[float], None]) -> None:
    waited = LOG_EVERY
    while not run.finished:
        if waited >= LOG_EVERY:
            waited = 0.0
            print(visible(line(run)), flush=True)
        sleep(EVERY)
        waited += EVERY
        run.update()


def status(run: LiveRun) -> str:
    """Completions, rate and time left, in one line."""
    if not run.prepared:
        return "preparing the prompts"
    parts = [f"{run.answered:,} of {run.total:,} completions"]
    if run.rate is not None:
        parts.append(f"{run.rate:.1f} per second")
    if run.answered < run.total and run.seconds_left is not None:
        parts.append(f"{_duration(run.seconds_left)} left")
    elif run.answered >= run.total and not run.finished:
        parts.append("scoring")
    return ", ".join(parts)


def line(run: LiveRun) -> str:
    """Everything in one line, for a log."""
    parts = [status(run)]
    parts += [f"{title} {_figure(figure)}" for title, figure in run.suites().items()]
    parts += [_failures(run)]
    return "; ".join(filter(None, parts))


def view(run: LiveRun) -> Any:
    """The whole screen."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(visible(run.path.name), style="bold"), Text(status(run))]
    if run.prepared:
        parts += [_bar(run), Text()]
        for name, figure in run.suites().items():
            parts.append(Text(visible(f"{name}, so far: {_figure(figure)}")))
        if failures := _failures(run):
            parts.append(Text(failures))
        parts += [_failure(found) for found in list(run.failures)[-SHOWN:]]
        if not run.texts:
            parts.append(Text("This run stores no texts (--no-texts): it is scored at the end."))
        # Last, because a short terminal cuts off the bottom.
        parts += [Text(), table(run)]
    return Group(*parts)


def table(run: LiveRun) -> Any:
    """The tasks: samples, provisional scores, intervals."""
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False)
    made.add_column("task", no_wrap=True)
    for title in ("scored", "score so far", "95 % CI"):
        made.add_column(title, justify="right", no_wrap=True)
    for name, state in run.tasks().items():
        made.add_row(_plain(name), *map(_plain, _cells(state)))
    return made


def _cells(state: TaskState) -> tuple[str, str, str]:
    done = f"{state.judged:,}/{state.samples:,}"
    if state.figure is None:
        return done, UNKNOWN, ""
    found = state.figure.record()
    return done, score(found["score"]), interval(found["low"], found["high"], 1)


def _figure(figure: Estimate) -> str:
    found = figure.record()
    return f"{score(found['score'])} {interval(found['low'], found['high'], 1)}".strip()


def _failures(run: LiveRun) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in run.kinds().items())


def _bar(run: LiveRun) -> Any:
    """The progress bar; full only with the last completion."""
    from rich.text import Text

    full = BAR * run.answered // max(1, run.total)
    return Text.assemble(("━" * full, "bold"), ("━" * (BAR - full), "dim"))


def _failure(found: Failure) -> Any:
    """One line, however long or hostile the completion."""
    from rich.text import Text

    text = " ".join(visible(found.text[:400]).split()) or "(empty)"
    about = f"{found.task} {found.sample[:8]} {found.kind}: "
    return Text(visible(about) + text, no_wrap=True, overflow="ellipsis")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(" ".join(visible(text).split()))
