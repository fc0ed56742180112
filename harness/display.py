"""What people see of a run: numbers and intervals, progress, and the tables at its end.

Pages and other commands write their numbers with the same functions.
"""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..tasks.command import visible
from ..tasks.registry import BENCHMARKS, by_name
from ..tasks.schema import SCORER
from ..tasks.task import LM_EVAL
from .records import Interval, Results, TableResult, TaskResult

if TYPE_CHECKING:
    from rich.table import Table

MINUS = "\u2212"
UNKNOWN = "–"


def score(value: float | None, digits: int = 2) -> str:
    """A score in percent."""
    return UNKNOWN if _undefined(value) else f"{value:.{digits}f}".replace("-", MINUS)


def change(value: float | None, digits: int = 2) -> str:
    """A difference, always with its sign."""
    return UNKNOWN if _undefined(value) else f"{value:+.{digits}f}".replace("-", MINUS)


def interval(low: float | None, high: float | None, digits: int = 2, sign: bool = False) -> str:
    """An interval in percent, `[22.8, 28.8]`; "" where there is none.

    With `sign`, it is that of a difference: both ends have their sign.
    """
    if _undefined(low) or _undefined(high):
        return ""
    write = change if sign else score
    # A line never breaks within an interval.
    return f"[{write(low, digits)},\u00a0{write(high, digits)}]"


def probability(value: float | None) -> str:
    """A p-value or q-value to three decimals, never 0."""
    if value is None or value != value:
        return UNKNOWN
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(value: int | None) -> str:
    """A number of things."""
    return UNKNOWN if value is None else f"{value:,}"


def _undefined(value: float | None) -> bool:
    return value is None or value != value


def cell(text: str) -> str:
    """Text for Markdown that cannot break out of a line or a table, and is no markup."""
    flat = " ".join(visible(text).split())
    return re.sub(r"([\\|`<>*_\[\]#~&@])", r"\\\1", flat)


def duration(seconds: float) -> str:
    """`42 s`, `17 min`, `3.2 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


LOG_EVERY = 60.0
"""Seconds between two lines of progress where standard error is not a terminal."""


class ProgressBar:
    """Progress on standard error: a bar on a terminal, else a line per minute, with the time left.

    The `name` is written before the counts; with `keep`, the complete bar stays on the screen.
    """

    def __init__(self, name: str = "", keep: bool = True) -> None:
        self.name = name
        self._keep = keep
        self._bar: Any = None
        self._first: tuple[float, int] | None = None
        self._shown = time.monotonic()
        self._every = 0.1 if sys.stderr.isatty() else LOG_EVERY

    def __enter__(self) -> Self:
        return self

    def start(self, done: int) -> None:
        """Starts the clock for the time left, with some steps done; else the first call does."""
        self._first = time.monotonic(), done

    @property
    def due(self) -> bool:
        """Whether it is time to show progress again. Drawing each of many steps would be slow."""
        return time.monotonic() - self._shown >= self._every

    def __call__(self, done: int, total: int, line: str) -> None:
        """Shows the steps that are done, of a total, and a line about the latest ones."""
        if self._first is None:
            self.start(done)
        if sys.stderr.isatty():
            self._draw(done, total, line)
        elif done >= total or self.due:
            (since, first), left = self._first or (0.0, done), ""
            if first < done < total:
                seconds = (time.monotonic() - since) / (done - first) * (total - done)
                left = f"  {duration(seconds)} left"
            print(f"{self.name} {done}/{total}  {line}{left}".lstrip(), file=sys.stderr)
        else:
            return
        self._shown = time.monotonic()

    def _draw(self, done: int, total: int, line: str) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                *([TextColumn("{task.description}", markup=False)] if self.name else []),
                TextColumn("{task.completed}/{task.total}"),
                BarColumn(),
                TextColumn("{task.fields[line]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=not self._keep,
            )
            self._bar.start()
            self._bar.add_task(self.name, total=total, completed=done, line=line)
        self._bar.update(self._bar.task_ids[0], completed=done, total=total, line=line)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class Progress:
    """Progress of generation: counts responses against the total that the run will have."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self._new = 0
        self._tokens = 0
        self._bar = ProgressBar(keep=False)
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def already(self, count: int) -> None:
        """Responses that the run has from before."""
        self.done += count
        if count:
            print(f"Resuming: {count} of {self.total} responses are there.", file=sys.stderr)
        self._bar.start(count)
        if sys.stderr.isatty():
            self._show()

    def answered(self, tokens: int) -> None:
        """One more response, with its number of tokens."""
        self.done += 1
        self._new += 1
        self._tokens += tokens
        if self._bar.due:
            self._show()

    def _show(self) -> None:
        seconds = max(time.monotonic() - self._started, 1e-9)
        rates = f"{self._new / seconds:.1f} items/s, {self._tokens / seconds:.0f} tokens/s"
        self._bar(self.done, self.total, rates)

    def __exit__(self, *_: object) -> None:
        if sys.stderr.isatty():
            self._show()
        self._bar.__exit__()


def text_table(
    title: str,
    left: Iterable[str],
    right: Iterable[str],
    rows: Iterable[Sequence[str]],
    last: str = "",
    wrap_last: bool = False,
) -> Table:
    """A table for the terminal: columns aligned to the left and to the right, and a last one."""
    from rich.table import Table

    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=None,
        header_style="dim",
        pad_edge=False,
    )
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    if last:
        table.add_column(last, no_wrap=not wrap_last)
    for row in rows:
        table.add_row(*row)
    return table


def show_results(results: Results, folder: Path) -> None:
    """Prints the results of a run folder as tables on stdout."""
    from rich.markup import escape

    from ..tasks.command import console

    out = console()
    out.print(_task_table(results))
    for line in _means(results):
        out.print(line)
    for note in notes(results):
        out.print(f"[yellow]Note:[/] {escape(note)}")
    seconds = sum(results["seconds"].values())
    cost = f", cost {results['cost']:.4f} at the prices given" if "cost" in results else ""
    answers, tokens = (sum(t[n] for t in results["tasks"].values()) for n in ("answers", "tokens"))
    out.print(f"{answers} answers, {tokens} tokens in {seconds:.0f} s{cost}")
    for row in results["tables"]["corrected"]:
        if row["level"] == "suite":
            out.print(f"[dim]{escape(row['signature'])}[/]")
    out.print(f"[dim]All files: {escape(str(folder))}[/]")
    out.print(f"[dim]As a page: redone report {escape(shlex.quote(str(folder)))}[/]")


def _task_table(results: Results) -> Table:
    right = ("n", "score", "95 %", "official", "chance", "tokens", "time")
    return text_table(
        "", ["category / task"], right, _task_rows(results), "failures", wrap_last=True
    )


def _both_roles(results: Results) -> Iterator[tuple[TableResult, TableResult]]:
    """Each row of the table, under corrected and under official scoring."""
    return zip(results["tables"]["corrected"], results["tables"]["official"], strict=True)


def _task_rows(results: Results) -> Iterator[Sequence[str]]:
    for row, other in _both_roles(results):
        if row["level"] == "category":
            label = f"[bold]{row['title']}[/]"
            yield label, "", _bold(row), _interval(row), _bold(other)
        elif row["level"] == "task":
            name, task = row["name"], results["tasks"][row["name"]]
            yield (
                f"  {name.partition('/')[2] or name.partition(':')[2]}",
                _share(task),
                score(row["score"]) + "*" * _reduced(task, "corrected"),
                _interval(row),
                score(other["score"]) + "*" * _reduced(task, "official"),
                "unknown" if (c := task["chance"]["metric"]) is None else score(c),
                str(task["tokens"]),
                f"{results['seconds'][name]:.0f} s",
                _failures(task),
            )


def _means(results: Results) -> list[str]:
    return [
        f"[bold]{row['title']}[/]: {_bold(row)} {_interval(row)} corrected, "
        f"{score(other['score'])} {_interval(other)} official"
        for row, other in _both_roles(results)
        if row["level"] in ("benchmark", "suite")
    ]


def notes(results: Results) -> list[str]:
    """What a reader must know before quoting a score."""
    found = []
    tasks = results["tasks"]
    if missing := sum(t["missing"] for t in tasks.values()):
        found.append(f"{missing} samples have no answer yet: the scores are provisional.")
    for name, task in tasks.items():
        if _reduced(task, "official"):
            used = task["scorings"]["official"]["scoring"]
            scoring = by_name(name).scorings["official"]
            while scoring.without and scoring.name != used:
                scoring = scoring.without
            if scoring.note:
                found.append(f"* {name}: {scoring.note}")
        found += [
            f"{name}: not scored (which is not zero; no mean over it is shown): "
            f"{_LACKS.get(need, f'the service {need!r} is missing.')}"
            for need in sorted({need for s in task["scorings"].values() for need in s["lacks"]})
        ]
        if "of" in task:
            share = 100 * task["samples"] / task["of"]
            found.append(
                f"{name}: only the {task['samples']} of {task['of']} samples that have a "
                f"prediction ({share:.1f} %) are scored (--only-predicted)."
            )
        for role, scored in task["scorings"].items():
            if count := scored["failures"].get(SCORER):
                first = scored.get("errors", ["unknown"])[0]
                found.append(
                    f"{name}: the {role} scorer failed on {count} answers, which are not scored "
                    f"(which is not zero). The first: {first}. Please report it; "
                    "`redone eval --rescore RUN` scores them again."
                )
        if shortened := task["shortened"]:
            of_lm_eval = name.startswith(LM_EVAL)
            end = "at their beginning" if of_lm_eval else "at the end of their longest field"
            found.append(
                f"{name}: {len(shortened)} prompts were longer than the context and were shortened "
                f"{end} (first: {shortened[0]}; all in results.json)."
            )
    found += results.get("notes", [])
    rows = (row for row in results["tables"]["corrected"] if row["level"] == "benchmark")
    benchmarks = (BENCHMARKS.get(row["name"]) for row in rows)
    return found + list(dict.fromkeys(b.note for b in benchmarks if b and b.note))


def _share(task: TaskResult) -> str:
    """The number of samples; of how many, where only those with a prediction are scored."""
    n = task["samples"] - task["missing"]
    return f"{n}/{task['of']}" if "of" in task else str(n)


_LACKS = {
    "sandbox": "the programs that the model wrote are run only with --allow-code. "
    "`redone eval --rescore RUN --allow-code` scores this run.",
    "embedder": "it needs --embedder PATH, a sentence-embedding model.",
}
"""What to do about a missing service."""


def _reduced(task: TaskResult, role: str) -> bool:
    """Whether a service was missing and the scoring's reduced form was used."""
    return task["scorings"][role]["scoring"].startswith(f"{role}-")


def _failures(task: TaskResult) -> str:
    failures = task["scorings"]["corrected"]["failures"]
    ranked = sorted(failures.items(), key=lambda f: -f[1])
    return ", ".join(f"{kind} {count}" for kind, count in ranked)


def _bold(row: Interval) -> str:
    return f"[bold]{score(row['score'])}[/]"


def _interval(row: Interval) -> str:
    return f"[dim]{interval(row['low'], row['high'], 1)}[/]"
