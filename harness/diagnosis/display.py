"""Prints a diagnosis: the capability map, weaknesses, slices, confusions and hints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...tasks.command import visible
from ..display import change, interval, score, text_table
from .schema import Diagnosis, Estimate, Slice, TaskDiagnosis

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 12
"""Most rows of a table; the file has all."""

WIDEST = 40
"""Most characters of a label or name."""


def show(diagnosis: Diagnosis, path: Path) -> None:
    """Prints a diagnosis, and the path that it was written to, on stdout."""
    from rich.markup import escape

    from ...tasks.command import console

    console = console()
    against = f" ({diagnosis.against})" if diagnosis.against else ""
    console.print(
        f"[bold]{_plain(diagnosis.run.name)}[/]: {diagnosis.partition} items, "
        f"{diagnosis.scoring} scoring, reference: {diagnosis.reference}{_plain(against)}"
    )
    for table in _tables(diagnosis):
        if table.row_count:
            console.print()
            console.print(table)
    if not diagnosis.weaknesses:
        console.print("\nNo weakness: no gap is statistically significant.")
    console.print()
    for note in _notes(diagnosis):
        console.print(f"[yellow]Note:[/] {escape(note)}")
    console.print(f"[dim]All figures: {escape(str(path))}[/]")


def _tables(diagnosis: Diagnosis) -> Iterator[Table]:
    """All tables in order; some may be empty."""
    tasks, weaknesses = diagnosis.tasks, diagnosis.weaknesses
    rows: list[Sequence[str]] = [
        (c.name, str(len(c.tasks)), *_figure(c.skill)) for c in diagnosis.capabilities
    ]
    yield text_table("Capability map", ["capability"], ["tasks", "skill", "95 %"], rows)

    columns = ["n", "score", "chance", "gap", "95 %"]
    solved = any(task.solvability for task in tasks.values())
    rows = [
        (
            *(_plain(name), f"{task.n:,}", _figure(task.score)[0]),
            "unknown" if task.chance is None else score(task.chance, 1),
            *(*_figure(task.gap), *([_solved(task)] if solved else []), _failures(task)),
        )
        for name, task in tasks.items()
    ]
    columns += ["always/sometimes/never"] if solved else []
    yield text_table("Tasks", ["task"], columns, rows, "failures")

    rows = [
        (
            *(f"{w.rank}.", f"[bold]{_plain(w.task)}[/]", _slice(w.slice), w.failure or "-"),
            *(*_figure(w.gap), f"{w.weight:.3g}", f"{w.priority:.2f}"),
        )
        for w in weaknesses[:SHOWN]
    ]
    more = f" ({SHOWN} of {len(weaknesses)}; the file has all)" if len(weaknesses) > SHOWN else ""
    left, right = ["", "task", "slice", "failure"], ["gap", "95 %", "weight", "priority"]
    yield text_table(f"Weaknesses, by lower end of the gap x weight{more}", left, right, rows)

    parts = [(name, part) for name, task in tasks.items() for part in task.slices]
    parts.sort(key=lambda part: part[1].difference.value or 0.0)
    rows = [
        (
            *(_plain(name), _slice(s.slice), str(s.n), f"{s.value:.2f}", f"{s.rest_value:.2f}"),
            *(*_figure(s.difference, sign=True), f"{s.p:.4f}", s.failure or "stronger"),
        )
        for name, s in parts[:SHOWN]
    ]
    title = (
        f"Slices that differ significantly (family-wise error rate {diagnosis.method.alpha:.0%})"
    )
    right = ["n", "value", "rest", "difference", "95 %", "p"]
    yield text_table(title, ["task", "slice"], right, rows, "failure")

    pairs = [(name, pair) for name, task in tasks.items() for pair in task.confusions]
    pairs.sort(key=lambda pair: -pair[1].count)
    rows = [
        (*map(_plain, (name, c.gold, c.answer)), str(c.count), _percent(c.count / c.of))
        for name, c in pairs[:SHOWN]
    ]
    yield text_table("Confusions", ["task", "gold", "answer"], ["answers", "of gold"], rows)

    rows = [
        (_plain(h.task), h.observed, _percent(h.share), _percent(h.low), ", ".join(h.kinds))
        for h in diagnosis.hints
    ]
    yield text_table("Failures of form", ["task", "observed"], ["share", "at least"], rows, "kinds")

    if (published := diagnosis.published) is not None:
        rows = [
            (
                *(_plain(f.name), score(f.printed), _figure(f.score)[0]),
                *(*_figure(f.gap, sign=True), str(f.rank or "-"), _plain(f.why_not)),
            )
            for f in published.figures
        ]
        title = f"{_plain(published.row)} ({_plain(published.source)}), official scoring"
        right = ["published", "this run", "gap", "95 %", "rank"]
        yield text_table(title, ["category"], right, rows, "not comparable")


def _solved(task: TaskDiagnosis) -> str:
    if task.solvability is None:
        return "-"
    shares = task.solvability.always, task.solvability.sometimes, task.solvability.never
    return " / ".join(map(_percent, shares))


def _failures(task: TaskDiagnosis) -> str:
    found = [(kind, f.share) for kind, f in task.failures.items() if f.share > 0]
    return ", ".join(f"{kind} {_percent(s)}" for kind, s in sorted(found, key=lambda f: -f[1]))


def _notes(diagnosis: Diagnosis) -> Iterable[str]:
    """The run's notes, then the tasks', equal ones merged."""
    yield from diagnosis.notes
    tasks_of: dict[str, list[str]] = {}
    for name, task in diagnosis.tasks.items():
        for note in task.notes:
            tasks_of.setdefault(note, []).append(name)
    for note, names in tasks_of.items():
        listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        yield f"{listed}: {note}"


def _slice(slice_: Slice | None) -> str:
    return "whole task" if slice_ is None else _plain(str(slice_))


def _plain(text: str) -> str:
    """Text from files as text: no markup, no control characters, shortened."""
    from rich.markup import escape

    flat = " ".join(visible(text).split())
    return escape(flat if len(flat) <= WIDEST else f"{flat[: WIDEST - 1]}…")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _figure(estimate: Estimate | None, sign: bool = False) -> tuple[str, str]:
    """The cells of a figure and of its interval."""
    from rich.markup import escape

    if estimate is None:
        return score(None), ""
    bounds = interval(estimate.low, estimate.high, 1, sign)
    value = (change if sign else score)(estimate.value, 1)
    return value, bounds and f"[dim]{escape(bounds)}[/]"
