"""What a person sees of a diagnosis: the map, the weaknesses, the slices, the confusions."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .schema import Diagnosis
from .task_schema import Estimate, Slice, TaskDiagnosis

SHOWN = 12
"""Lines of a table that people read; the file has all."""

WIDEST = 40
"""Characters of a label or name."""


def show(diagnosis: Diagnosis, path: Path) -> None:
    """Prints a diagnosis on stdout.

    Args:
        diagnosis: What was found.
        path: Where the whole of it is.
    """
    from rich.markup import escape

    from ...tasks.command import console

    console = console()
    against = f" ({diagnosis.against})" if diagnosis.against else ""
    console.print(
        f"[bold]{_plain(diagnosis.run.name)}[/]: {diagnosis.partition} items, "
        f"{diagnosis.scoring} scoring, reference: {diagnosis.reference}{_plain(against)}"
    )
    tables = [_map(diagnosis), _tasks(diagnosis), _weaknesses(diagnosis), _slices(diagnosis)]
    tables += [_confusions(diagnosis), _hints(diagnosis), _published(diagnosis)]
    for table in tables:
        if table is not None and table.row_count:
            console.print()
            console.print(table)
    if not diagnosis.weaknesses:
        console.print("\nNo weakness: no gap is beyond noise.")
    console.print()
    for note in _notes(diagnosis):
        console.print(f"[yellow]Note:[/] {escape(note)}")
    console.print(f"[dim]Everything: {escape(str(path))}[/]")


def _table(title: str, left: Iterable[str], right: Iterable[str], last: str = "") -> Any:
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, header_style="dim"
    )
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    if last:
        table.add_column(last, no_wrap=True)
    return table


def _map(diagnosis: Diagnosis) -> Any:
    table = _table("Capability map", ["capability"], ["tasks", "skill", "95 %"])
    for capability in diagnosis.capabilities:
        table.add_row(
            capability.name,
            str(len(capability.tasks)),
            _number(capability.skill),
            _range(capability.skill),
        )
    return table


def _tasks(diagnosis: Diagnosis) -> Any:
    columns = ["n", "score", "chance", "gap", "95 %"]
    solved = any(task.solvability for task in diagnosis.tasks.values())
    columns += ["always/sometimes/never"] if solved else []
    table = _table("Tasks", ["task"], columns, "failures")
    for name, task in diagnosis.tasks.items():
        cells = [_plain(name), f"{task.n:,}", _number(task.score), f"{task.chance:.1f}"]
        cells += [_number(task.gap), _range(task.gap)]
        table.add_row(*cells, *([_solved(task)] if solved else []), _failures(task))
    return table


def _solved(task: TaskDiagnosis) -> str:
    if task.solvability is None:
        return "-"
    shares = task.solvability.always, task.solvability.sometimes, task.solvability.never
    return " / ".join(f"{100 * share:.0f} %" for share in shares)


def _failures(task: TaskDiagnosis) -> str:
    found = [(kind, f.share) for kind, f in task.failures.items() if f.share > 0]
    return ", ".join(f"{kind} {100 * s:.0f} %" for kind, s in sorted(found, key=lambda f: -f[1]))


def _weaknesses(diagnosis: Diagnosis) -> Any:
    table = _table(
        "Weaknesses, by gap beyond noise x weight" + _of(len(diagnosis.weaknesses)),
        ["", "task", "slice", "failure"],
        ["gap", "95 %", "weight", "priority"],
    )
    for weakness in diagnosis.weaknesses[:SHOWN]:
        table.add_row(
            f"{weakness.rank}.",
            f"[bold]{_plain(weakness.task)}[/]",
            _slice(weakness.slice),
            weakness.failure or "-",
            _number(weakness.gap),
            _range(weakness.gap),
            f"{weakness.weight:.3g}",
            f"{weakness.priority:.2f}",
        )
    return table


def _slices(diagnosis: Diagnosis) -> Any:
    table = _table(
        f"Slices that differ from the rest (chance of any false one: {diagnosis.method.alpha:.0%})",
        ["task", "slice"],
        ["n", "value", "rest", "difference", "95 %", "p"],
        "failure",
    )
    rows = [(name, part) for name, task in diagnosis.tasks.items() for part in task.slices]
    for name, part in sorted(rows, key=lambda row: row[1].difference.value or 0.0)[:SHOWN]:
        table.add_row(
            _plain(name),
            _slice(part.slice),
            str(part.n),
            f"{part.value:.2f}",
            f"{part.rest_value:.2f}",
            _number(part.difference, "+"),
            _range(part.difference, "+"),
            f"{part.p:.4f}",
            part.failure or "stronger",
        )
    return table


def _confusions(diagnosis: Diagnosis) -> Any:
    table = _table("Confusions", ["task", "gold", "answer"], ["answers", "of gold"])
    rows = [(name, pair) for name, task in diagnosis.tasks.items() for pair in task.confusions]
    for name, pair in sorted(rows, key=lambda row: -row[1].count)[:SHOWN]:
        cells = [_plain(name), _plain(pair.gold), _plain(pair.answer), str(pair.count)]
        table.add_row(*cells, f"{100 * pair.count / pair.of:.0f} %")
    return table


def _of(count: int) -> str:
    """Says so where a table shows not all."""
    return f" ({SHOWN} of {count}; the file has all)" if count > SHOWN else ""


def _hints(diagnosis: Diagnosis) -> Any:
    table = _table("Reward hints", ["task", "term"], ["share", "at least"], "because of")
    for hint in diagnosis.hints:
        table.add_row(
            _plain(hint.task),
            hint.term,
            f"{100 * hint.share:.0f} %",
            f"{100 * hint.low:.0f} %",
            ", ".join(hint.kinds),
        )
    return table


def _published(diagnosis: Diagnosis) -> Any:
    if diagnosis.published is None:
        return None
    title = (
        f"Beside {_plain(diagnosis.published.row)} ({_plain(diagnosis.published.source)}), official"
    )
    table = _table(title, ["category"], ["printed", "here", "gap", "95 %", "rank"], "not ranked")
    for figure in diagnosis.published.figures:
        cells = [_plain(figure.name), f"{figure.printed:.2f}", _number(figure.score)]
        cells += [_number(figure.gap, "+"), _range(figure.gap, "+"), str(figure.rank or "-")]
        table.add_row(*cells, _plain(figure.why_not))
    return table


def _notes(diagnosis: Diagnosis) -> Iterable[str]:
    """The run's notes, then the tasks' with equal ones told once."""
    yield from diagnosis.notes
    tasks_of: dict[str, list[str]] = {}
    for name, task in diagnosis.tasks.items():
        for note in task.notes:
            tasks_of.setdefault(note, []).append(name)
    for note, names in tasks_of.items():
        told = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        yield f"{told}: {note}"


def _slice(slice_: Slice | None) -> str:
    return "whole task" if slice_ is None else _plain(str(slice_))


def _plain(text: str) -> str:
    """Text of others as text: no markup, no control or direction characters, bounded."""
    from rich.markup import escape

    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in text)
    return escape(kept if len(kept) <= WIDEST else f"{kept[: WIDEST - 1]}…")


def _number(estimate: Estimate | None, sign: str = "") -> str:
    if estimate is None or estimate.value is None:
        return "-"
    return f"{estimate.value:{sign}.1f}"


def _range(estimate: Estimate | None, sign: str = "") -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"[dim]{estimate.low:{sign}.1f}..{estimate.high:{sign}.1f}[/]"
