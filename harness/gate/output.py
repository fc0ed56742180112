"""A gate's decision for people, pipelines and CI systems: table, JSON, Markdown, JUnit XML."""

from __future__ import annotations

import math
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from ..errors import NotComparable, RedoneError
from ..scored import ScoredRun
from ..store import replacing
from .decision import Gate, Judged

SCHEMA_VERSION = 1

HEADLINES = {
    "pass": "PASS: the candidate is not worse.",
    "regression": "REGRESSION: the candidate is worse by more than the margin.",
    "undecided": "UNDECIDED: these samples do not settle it.",
}


def record(gate: Gate) -> dict[str, Any]:
    """The content of gate.json; docs/gate.md describes each field."""
    comparison = gate.comparison
    return {
        "schema_version": SCHEMA_VERSION,
        "outcome": gate.outcome,
        "exit_code": gate.exit_code,
        "reasons": gate.reasons,
        "base": _run(comparison.base, comparison.role),
        "candidate": _run(comparison.candidate, comparison.role),
        "scoring": comparison.role,
        "partition": comparison.partition,
        "overridden": [_mismatch(m) for m in comparison.overridden],
        "told": [_mismatch(m) for m in comparison.told],
        "notes": comparison.notes,
        "policy": gate.policy.model_dump(mode="json"),
        "policy_hash": gate.policy.hash,
        "alpha": gate.policy.level,
        "resamples": comparison.resamples,
        "seed": comparison.seed,
        "redone": version("redone"),
        "rows": [_row(gate, j) for j in gate.rows],
    }


def write_json(gate: Gate, path: str | Path) -> None:
    """Writes gate.json."""
    _write(path, orjson.dumps(record(gate), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def write_refusal(
    base: ScoredRun, candidate: ScoredRun, error: NotComparable, path: str | Path
) -> None:
    """Writes the gate.json of two runs that can't be compared."""
    found = {
        "schema_version": SCHEMA_VERSION,
        "outcome": "not comparable",
        "exit_code": error.exit_code,
        "reasons": [str(error)],
        "base": {"name": base.name},
        "candidate": {"name": candidate.name},
        "mismatches": [_mismatch(m) for m in error.mismatches],
    }
    _write(path, orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def write_markdown(gate: Gate, path: str | Path) -> None:
    """Writes the summary for a pull request or a job's page."""
    _write(path, markdown(gate).encode())


def write_junit(gate: Gate, path: str | Path) -> None:
    """Writes JUnit XML: a test case per row that decides, informing rows as skipped or passed."""
    from xml.etree import ElementTree as ET

    suite = ET.Element("testsuite", name=f"redone-gate {_names(gate)}")
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for j in gate.rows:
        counts["tests"] += 1
        case = ET.SubElement(
            suite, "testcase", classname=f"redone.gate.{j.row.level}", name=j.row.name
        )
        text = f"{j.verdict}: {_difference(j)} (margin {j.margin:g})"
        if j.decides and not j.passes:
            counts["failures"] += 1
            ET.SubElement(case, "failure", message=text, type=j.verdict).text = text
        elif not j.decides and j.verdict in ("regressed", "undecided"):
            counts["skipped"] += 1
            ET.SubElement(case, "skipped", message=f"informs only; {text}")
        ET.SubElement(case, "system-out").text = text
    if gate.outcome != "pass" and not counts["failures"]:
        counts["tests"] += 1
        counts["errors"] += 1
        case = ET.SubElement(suite, "testcase", classname="redone.gate", name="policy")
        ET.SubElement(case, "error", message=" ".join(gate.reasons), type=gate.outcome)
    for name, count in counts.items():
        suite.set(name, str(count))
    root = ET.Element("testsuites")
    root.append(suite)
    _write(path, ET.tostring(root, encoding="utf-8", xml_declaration=True))


def markdown(gate: Gate) -> str:
    """The summary as Markdown."""
    lines = [f"## redone-gate: {gate.outcome}", "", f"**{HEADLINES[gate.outcome]}** {_names(gate)}"]
    lines += ["", *(f"- {_cell(reason)}" for reason in gate.reasons), *_stamps(gate, "- "), ""]
    lines += [
        "| row | n | base | candidate | difference | interval | margin | verdict |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for j in gate.rows:
        if j.row.level == "category" and len(j.row.of) == 1:
            continue
        mark = "**" if j.decides else ""
        cells = [
            f"{mark}{_cell(j.row.title)}{mark}",
            f"{j.row.samples:,}",
            f"{j.row.base:.2f}",
            f"{j.row.candidate:.2f}",
            f"{j.row.difference:+.2f}",
            f"{j.low:+.2f} to {j.high:+.2f}",
            f"{j.margin:g}",
            f"{mark}{j.verdict}{mark}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    level = 100 * (1 - 2 * gate.policy.level)
    lines += [
        "",
        f"Paired bootstrap by cluster, {gate.comparison.resamples:,} resamples, {level:g} % "
        f"intervals, {gate.comparison.role} scoring, policy {gate.policy.hash}. "
        "Bold rows decide, the others inform.",
        "",
    ]
    return "\n".join(lines)


def show(gate: Gate) -> None:
    """Prints the decision as a table on stdout."""
    from rich.markup import escape
    from rich.table import Table

    from ...tasks.command import console

    console = console()
    level = 100 * (1 - 2 * gate.policy.level)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("suite / category / task", no_wrap=True)
    for name in ("n", "base", "candidate", "change", f"{level:g} %", "margin", "q"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for j in gate.rows:
        if j.row.level == "category" and len(j.row.of) == 1:
            continue
        colour = {"regressed": "red", "improved": "green", "undecided": "yellow"}.get(j.verdict)
        verdict = f"[{colour}]{j.verdict}[/]" if colour else j.verdict
        label = escape(j.row.name if j.row.level == "task" else j.row.title)
        cells = [
            f"  {label}" if j.row.level == "task" else f"[bold]{label}[/]",
            f"{j.row.samples:,}",
            f"{j.row.base:.2f}",
            f"{j.row.candidate:.2f}",
            f"{j.row.difference:+.2f}",
            f"{j.low:+.2f}..{j.high:+.2f}",
            f"{j.margin:g}",
            "" if j.q is None or math.isnan(j.q) else f"{j.q:.3f}",
            verdict + (f" [bold]({j.role})[/]" if j.decides else ""),
        ]
        table.add_row(*cells)
    console.print(table)
    for line in _stamps(gate, ""):
        console.print(f"[yellow]Note:[/] {escape(line)}")
    colour = {"pass": "green", "regression": "red"}.get(gate.outcome, "yellow")
    console.print(f"[bold {colour}]{HEADLINES[gate.outcome]}[/] {escape(_names(gate))}")
    for reason in gate.reasons:
        console.print(f"  {escape(reason)}")


def _stamps(gate: Gate, bullet: str) -> list[str]:
    """What qualifies the verdict: overridden mismatches, told differences, notes."""
    comparison = gate.comparison
    lines = [f"{bullet}{_cell(note)}" for note in comparison.notes]
    if allowance := comparison.allowance():
        lines.append(f"{bullet}{allowance}")
    if comparison.told:
        told = "; ".join(_cell(str(m)) for m in comparison.told)
        lines.append(f"{bullet}They also differ in {told}.")
    return lines


def _names(gate: Gate) -> str:
    comparison = gate.comparison
    return f"{comparison.base.name} -> {comparison.candidate.name}"


def _difference(j: Judged) -> str:
    return f"{j.row.difference:+.2f} points [{j.low:+.2f}, {j.high:+.2f}]"


def _cell(text: str) -> str:
    """Text that cannot break out of a Markdown line or table."""
    return re.sub(r"([|`<>*_\[\]\\])", r"\\\1", " ".join(text.split()))


def _run(run: ScoredRun, role: str) -> dict[str, Any]:
    return {
        "name": run.name,
        "model": run.request["model"],
        "model_name": run.model,
        "signatures": {
            row["name"]: row["signature"]
            for row in run.results["tables"][role]
            if row["level"] == "suite"
        },
    }


def _mismatch(mismatch: Any) -> dict[str, Any]:
    return {
        "field": mismatch.field,
        "task": mismatch.task,
        "base": mismatch.base,
        "candidate": mismatch.candidate,
    }


def _row(gate: Gate, j: Judged) -> dict[str, Any]:
    row = j.row
    pairs = gate.comparison.pairs.get(row.name) if row.level == "task" else None
    found: dict[str, Any] = {
        "level": row.level,
        "name": row.name,
        "title": row.title,
        "of": list(row.of),
        "samples": row.samples,
        "base": _number(row.base),
        "candidate": _number(row.candidate),
        "difference": _number(row.difference),
        "low": _number(j.low),
        "high": _number(j.high),
        "error": _number(row.error),
        "margin": j.margin,
        "verdict": j.verdict,
        "role": j.role,
        "require_rise": j.require_rise,
        "p_regressed": _number(j.p_regressed),
        "p_adjusted": _number(j.p_adjusted),
        "q": _number(j.q),
        "settle": j.settle,
    }
    if pairs is not None:
        found["sign_flip_p"] = pairs.sign_flip
        if pairs.discordance:
            found["mcnemar"] = {
                "fixed": pairs.discordance.fixed,
                "broken": pairs.discordance.broken,
                "p": pairs.discordance.p,
            }
    return found


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _write(path: str | Path, content: bytes) -> None:
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise RedoneError(
            f"{target} cannot be written: {error.strerror}. Name another --output."
        ) from None
