"""A running evaluation in the terminal: how far it is, provisional scores, what fails.

On a terminal the view is drawn anew in place; elsewhere (a log, a pipe) a line comes now and then.
Both end when the run has its results, or with Ctrl-C, which does not touch the run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..harness.live import Failure, LiveRun, TaskState
from ..harness.results import Figure
from ..harness.summary import show
from ..harness.wording import UNKNOWN, interval, score, visible

EVERY = 2.0
"""Seconds between two looks at the folder."""
LOG_EVERY = 30.0
"""Seconds between two lines where the output is no terminal."""
BAR = 60
"""Characters of the bar."""
SHOWN = 8
"""Latest failures on the screen."""


def watch(path: Path, sleep: Callable[[float], None] = time.sleep) -> int:
    """Shows a run until it is finished; returns the exit code.

    Args:
        path: The run folder.
        sleep: Waits that many seconds.

    Raises:
        RunUnreadable: It is no folder of a run, or holds no JSON.
    """
    run = LiveRun(path)
    run.update()
    if sys.stdout.isatty():
        _drawn(run, sleep)
    else:
        _logged(run, sleep)
    show(run.results, path)
    return 0


def _drawn(run: LiveRun, sleep: Callable[[float], None]) -> None:
    from rich.live import Live

    with Live(view(run), auto_refresh=False, transient=True) as live:
        while not run.finished:
            sleep(EVERY)
            run.update()
            live.update(view(run), refresh=True)


def _logged(run: LiveRun, sleep: Callable[[float], None]) -> None:
    waited = LOG_EVERY
    while not run.finished:
        if waited >= LOG_EVERY:
            waited = 0.0
            print(visible(line(run)), flush=True)
        sleep(EVERY)
        waited += EVERY
        run.update()


def status(run: LiveRun) -> str:
    """Answers, rate and time left, in one line."""
    if not run.prepared:
        return "the questions are being prepared"
    told = [f"{run.answered:,} of {run.total:,} answers"]
    if run.rate is not None:
        told.append(f"{run.rate:.1f} a second")
    if run.answered < run.total and run.seconds_left is not None:
        told.append(f"{_duration(run.seconds_left)} left")
    elif run.answered >= run.total and not run.finished:
        told.append("being judged")
    return ", ".join(told)


def line(run: LiveRun) -> str:
    """Everything in one line, for a log."""
    told = [status(run)]
    told += [f"{title} {_figure(figure)}" for title, figure in run.suites().items()]
    told += [", ".join(f"{kind} {count}" for kind, count in run.kinds().items())]
    return "; ".join(filter(None, told))


def view(run: LiveRun) -> Any:
    """The whole screen."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(visible(run.path.name), style="bold"), Text(status(run))]
    if run.prepared:
        parts += [_bar(run), Text()]
        for name, figure in run.suites().items():
            parts.append(Text(visible(f"{name}, so far: {_figure(figure)}")))
        if kinds := run.kinds():
            parts.append(Text(", ".join(f"{kind} {count}" for kind, count in kinds.items())))
        parts += [_failure(found) for found in list(run.failures)[-SHOWN:]]
        if not run.texts:
            parts.append(Text("This run keeps no texts (--no-texts): scores come at its end."))
        # Last, for a screen that is too low cuts what stands at the bottom.
        parts += [Text(), table(run)]
    return Group(*parts)


def table(run: LiveRun) -> Any:
    """The tasks: samples, provisional scores, intervals."""
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False)
    made.add_column("task", no_wrap=True)
    for title in ("judged", "score so far", "95 %"):
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


def _figure(figure: Figure) -> str:
    found = figure.record()
    return f"{score(found['score'])} {interval(found['low'], found['high'], 1)}".strip()


def _bar(run: LiveRun) -> Any:
    """How far the answers are; full only when the last is there."""
    from rich.text import Text

    full = BAR * run.answered // max(1, run.total)
    return Text.assemble(("━" * full, "bold"), ("━" * (BAR - full), "dim"))


def _failure(found: Failure) -> Any:
    """One line, however long or hostile the answer."""
    from rich.text import Text

    said = " ".join(visible(found.text[:400]).split()) or "(empty)"
    about = f"{found.task} {found.sample[:8]} {found.kind}: "
    return Text(visible(about) + said, no_wrap=True, overflow="ellipsis")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(" ".join(visible(text).split()))
