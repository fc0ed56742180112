"""What a person sees at the end of a run: one table, the means, what to know, the signature."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..tasks.errors import RedoneError


def show(results: Mapping[str, Any], folder: Path) -> None:
    """Prints results.json as tables on stdout.

    Args:
        results: Content of results.json.
        folder: The run folder.
    """
    from rich.markup import escape

    from ..tasks.command import console

    console = console()
    console.print(_tasks(results))
    for line in _means(results):
        console.print(line)
    for note in notes(results):
        console.print(f"[yellow]Note:[/] {escape(note)}")
    seconds = sum(results["seconds"].values())
    cost = f", cost {results['cost']:.4f} at the prices given" if "cost" in results else ""
    console.print(
        f"{sum(t['answers'] for t in results['tasks'].values())} answers, "
        f"{sum(t['tokens'] for t in results['tasks'].values())} tokens in {seconds:.0f} s{cost}"
    )
    for table in results["tables"]["corrected"]:
        if table["level"] == "suite":
            console.print(f"[dim]{escape(table['signature'])}[/]")
    console.print(f"[dim]Everything: {escape(str(folder))}[/]")
    console.print(f"[dim]As a page: redone-report {escape(shlex.quote(str(folder)))}[/]")


def open_page(folder: Path) -> None:
    """Makes the run's page, beside its results, and opens it in the browser.

    Reports read runs, and nothing here reads reports: `redone-report` is asked as a person would.

    Args:
        folder: The run folder.

    Raises:
        RedoneError: It made no page.
    """
    words = [str(folder), "--output", str(folder / "report.html"), "--open"]
    command = [sys.executable, "-m", "redone.tasks.command", "report", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RedoneError(f"The run is complete, but has no page: {done.stderr.strip()}")
    print(done.stdout + done.stderr, end="", file=sys.stderr)


def _tasks(results: Mapping[str, Any]) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("category / task", no_wrap=True)
    for name in ("n", "score", "95 %", "official", "chance", "tokens", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("failures")
    official = {(r["level"], r["name"]): r for r in results["tables"]["official"]}
    for row in results["tables"]["corrected"]:
        other = official[row["level"], row["name"]]
        if row["level"] == "category":
            label = f"[bold]{row['title']}[/]"
            table.add_row(label, "", _bold(row), _range(row), _bold(other))
        elif row["level"] == "task":
            task = results["tasks"][row["name"]]
            mark = "" if _whole(task, "official") else "*"
            table.add_row(
                f"  {_label(row['name'])}",
                str(task["samples"] - task["missing"]),
                _number(row["score"]) + ("" if _whole(task, "corrected") else "*"),
                _range(row),
                _number(other["score"]) + mark,
                _number(task["chance"]["metric"]),
                str(task["tokens"]),
                f"{results['seconds'][row['name']]:.0f} s",
                _failures(task),
            )
    return table


def _label(name: str) -> str:
    """A task's name without its benchmark's."""
    return name.partition("/")[2] or name.partition(":")[2]


def _means(results: Mapping[str, Any]) -> list[str]:
    official = {(r["level"], r["name"]): r for r in results["tables"]["official"]}
    lines = []
    for row in results["tables"]["corrected"]:
        if row["level"] in ("benchmark", "suite"):
            other = official[row["level"], row["name"]]
            lines.append(
                f"[bold]{row['title']}[/]: {_bold(row)} {_range(row)} corrected, "
                f"{_number(other['score'])} {_range(other)} official"
            )
    return lines


def notes(results: Mapping[str, Any]) -> list[str]:
    """What a reader must know before quoting a figure."""
    found = []
    tasks = results["tasks"]
    if missing := sum(t["missing"] for t in tasks.values()):
        found.append(f"{missing} samples have no answer yet: the figures are provisional.")
    for name, task in tasks.items():
        if not _whole(task, "official"):
            found.append(
                f"* {name}: edit similarity (ANLS) only. The embedding part needs --embedder PATH, "
                "a sentence-embedding model; do not compare with published figures."
            )
        lacks = {need for s in task["scorings"].values() for need in s["lacks"]}
        for need in sorted(lacks):
            found.append(
                f"{name}: not scored (which is not zero, and leaves no mean over it): "
                f"{_LACKS.get(need, f'the service {need!r} is missing.')}"
            )
        if shortened := task["shortened"]:
            found.append(
                f"{name}: {len(shortened)} prompts were longer than the context and were shortened "
                f"at the end of their longest field (first: {shortened[0]}; all in results.json)."
            )
    if any(name.startswith("sns_mini/") for name in tasks):
        found.append("sns-mini is a demonstration of 16 items a task: quote no figure of it.")
    if any(name.startswith(("general_mini/", "general_mini_report/")) for name in tasks):
        found.append("general-mini is generated for this project: it compares runs, not papers.")
    return found


_LACKS = {
    "sandbox": "the programs that the model wrote are run with --allow-code only. "
    "`redone-eval --rescore RUN --allow-code` scores this run.",
    "embedder": "it needs --embedder PATH, a sentence-embedding model.",
}
"""What to do about a missing service."""


def _whole(task: Mapping[str, Any], role: str) -> bool:
    return not task["scorings"][role]["scoring"].startswith(f"{role}-")


def _failures(task: Mapping[str, Any]) -> str:
    failures = task["scorings"]["corrected"]["failures"]
    ranked = sorted(failures.items(), key=lambda f: -f[1])
    return ", ".join(f"{kind} {count}" for kind, count in ranked)


def _number(score: float | None) -> str:
    return "-" if score is None else f"{score:.2f}"


def _bold(row: Mapping[str, Any]) -> str:
    return f"[bold]{_number(row['score'])}[/]"


def _range(row: Mapping[str, Any]) -> str:
    if row["low"] is None:
        return ""
    return f"[dim]{row['low']:.1f}..{row['high']:.1f}[/]"
