"""How far a stage is: a bar on a terminal, a line a minute in a log, each with the time left."""

from __future__ import annotations

import sys
import time
from typing import Any

from ..harness.progress import LOG_EVERY


class StepBar:
    """Shows the optimiser steps of one stage; to be called after each (see `steps.Progress`).

    Args:
        name: Of the stage.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._bar: Any = None
        self._task: Any = None
        self._first: tuple[float, int] | None = None
        self._shown = time.monotonic()

    def __enter__(self) -> StepBar:
        return self

    def __call__(self, done: int, total: int, line: str) -> None:
        """One more step.

        Args:
            done: Steps done.
            total: Steps in all.
            line: About the step just done.
        """
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        if sys.stderr.isatty():
            self._draw(done, total, line)
        elif done >= total or now - self._shown >= LOG_EVERY:
            self._shown = now
            print(f"{self.name} {done}/{total}  {line}{self._left(done, total)}", file=sys.stderr)

    def _left(self, done: int, total: int) -> str:
        """The time left, from the pace of this start; nothing after its first step."""
        assert self._first is not None
        since, first = self._first
        if done == first or done >= total:
            return ""
        seconds = (time.monotonic() - since) / (done - first) * (total - done)
        return f"  {spelled(seconds)} left"

    def _draw(self, done: int, total: int, line: str) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description} {task.completed}/{task.total}"),
                BarColumn(),
                TextColumn("{task.fields[line]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.name, total=total, completed=done, line=line)
        self._bar.update(self._task, completed=done, total=total, line=line)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def spelled(seconds: float) -> str:
    """`42 s`, `17 min`, `3.2 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
