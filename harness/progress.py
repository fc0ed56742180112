"""How far a run is: a bar on a terminal, a line a minute in a log."""

from __future__ import annotations

import sys
import time
from typing import Any

LOG_EVERY = 60.0


class Progress:
    """Counts answers against a total; writes to stderr.

    Args:
        total: Answers that the run will have.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self._new = 0
        self._tokens = 0
        self._started = self._shown = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.completed}/{task.total}"),
                BarColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("answers", total=self.total, rate="")
        return self

    def already(self, count: int) -> None:
        """Answers that an earlier start of the run left."""
        self.done += count
        if count:
            print(f"Going on: {count} of {self.total} are answered.", file=sys.stderr)
        self._show()

    def answered(self, tokens: int) -> None:
        """One more answer, with its number of tokens."""
        self.done += 1
        self._new += 1
        self._tokens += tokens
        # Drawing for each of thousands of answers a second would cost more than making them.
        if time.monotonic() - self._shown >= (0.1 if self._bar else LOG_EVERY):
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        seconds = self._shown - self._started
        rate = self._new / seconds if seconds > 0 else 0.0
        text = f"{rate:.1f} items/s, {self._tokens / max(seconds, 1e-9):.0f} tokens/s"
        if self._bar:
            self._bar.update(self._task, completed=self.done, rate=text)
        elif self._new:
            left = (self.total - self.done) / rate if rate else 0.0
            print(f"{self.done}/{self.total}  {text}  {left:.0f} s left", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._show()
            self._bar.stop()
