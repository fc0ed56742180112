"""Runs the gate and writes its result: gate.json, gate.md (Markdown), gate.xml (JUnit), a table.

The dataclasses here are the format of gate.json: `write_gate` writes them, `read_gate` reads them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..compare import Comparison, Mismatch, compare
from ..display import cell, change, interval, score, text_table
from ..json_file import Strict, read_json, to_json, write_file
from ..run_folder import NotComparable
from ..scored_run import ScoredRun
from ..stats import Discordance
from .decision import Gate, RowVerdict, decide
from .policy import Policy

SCHEMA_VERSION = 2
NOT_COMPARABLE = "not comparable"

HEADLINES = {
    "pass": "PASS: the candidate is not worse.",
    "regression": "REGRESSION: the candidate is worse by more than the margin.",
    "undecided": "UNDECIDED: neither a regression nor its absence is established.",
}


@dataclass(frozen=True, slots=True)
class RunRecord(Strict):
    """A run in gate.json: its folder's name, the model of the request, the user's name for it.

    `signatures` are those of the suites' scores.
    """

    name: str
    model: Mapping[str, Any]
    model_name: str
    signatures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RowRecord(Strict):
    """A row in gate.json: a `Difference` with its `RowVerdict`; None is an undefined figure.

    Attributes:
        sign_flip_p: Of the paired permutation test; tasks only, absent from other rows.
        mcnemar: Of tasks whose values are all 0 or 1, absent from other rows.
        alpha_low, alpha_high: None in files of version 1.
    """

    level: str
    name: str
    title: str
    of: tuple[str, ...]
    samples: int
    base: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    high: float | None
    error: float | None
    margin: float
    verdict: str
    role: str | None
    require_rise: bool
    p_regressed: float | None
    p_adjusted: float | None
    q: float | None
    settle: int | None
    sign_flip_p: float | None = None
    mcnemar: Discordance | None = None
    alpha_low: float | None = None
    alpha_high: float | None = None


@dataclass(frozen=True, slots=True)
class GateRecord(Strict):
    """The content of gate.json; docs/gate.md describes each field."""

    schema_version: int
    outcome: str
    exit_code: int
    reasons: list[str]
    base: RunRecord
    candidate: RunRecord
    scoring: str
    partition: str
    overridden: list[Mismatch]
    told: list[Mismatch]
    notes: list[str]
    policy: Mapping[str, Any]
    policy_hash: str
    alpha: float
    resamples: int
    seed: int
    redone: str
    rows: list[RowRecord]
    advice: str = ""


@dataclass(frozen=True, slots=True)
class RefusedRun(Strict):
    """A run in the gate.json of two runs that cannot be compared."""

    name: str


@dataclass(frozen=True, slots=True)
class Refusal(Strict):
    """The content of gate.json if the runs cannot be compared."""

    schema_version: int
    outcome: str
    exit_code: int
    reasons: list[str]
    base: RefusedRun
    candidate: RefusedRun
    mismatches: list[Mismatch]


def run_gate(
    base: ScoredRun, candidate: ScoredRun, policy: Policy, output: Path, allowed: Iterable[str] = ()
) -> Gate:
    """Compares two runs, decides, and writes gate.json, gate.md and gate.xml into a folder.

    The runs may differ in the `allowed` fields of `compare.FIELDS`.

    Raises:
        NotComparable: They differ in what must match; gate.json then holds the refusal.
        RedoneError: They share no sample, or the files cannot be written.
    """
    try:
        comparison = compare(
            base,
            candidate,
            role=policy.scoring,
            partition=policy.partition,
            allowed=allowed,
            resamples=policy.resamples,
            seed=policy.seed,
        )
    except NotComparable as error:
        runs = RefusedRun(base.name), RefusedRun(candidate.name)
        refusal = Refusal(
            SCHEMA_VERSION, NOT_COMPARABLE, error.exit_code, [str(error)], *runs, error.mismatches
        )
        write_gate(refusal, output / "gate.json")
        raise
    gate = decide(comparison, policy)
    write_gate(record(gate), output / "gate.json")
    write_file(output / "gate.md", markdown(gate).encode())
    write_file(output / "gate.xml", junit(gate))
    return gate


def record(gate: Gate) -> GateRecord:
    """The content of gate.json."""
    comparison = gate.comparison
    return GateRecord(
        schema_version=SCHEMA_VERSION,
        outcome=gate.outcome,
        exit_code=gate.exit_code,
        reasons=gate.reasons,
        base=_run(comparison.base, comparison.role),
        candidate=_run(comparison.candidate, comparison.role),
        scoring=comparison.role,
        partition=comparison.partition,
        overridden=comparison.overridden,
        told=comparison.recorded,
        notes=comparison.notes,
        policy=gate.policy.model_dump(mode="json"),
        policy_hash=gate.policy.hash,
        alpha=gate.policy.level,
        resamples=comparison.resamples,
        seed=comparison.seed,
        redone=version("redone"),
        rows=[_row(j, comparison) for j in gate.rows],
        advice=gate.advice,
    )


def write_gate(content: GateRecord | Refusal, path: Path) -> None:
    """Writes gate.json; figures that are NaN become null."""
    plain = asdict(content)
    for row in plain.get("rows", ()):
        for name in ("sign_flip_p", "mcnemar"):
            if row[name] is None:
                del row[name]
    write_file(path, to_json(plain), parents=True)


def read_gate(path: Path) -> GateRecord | Refusal:
    """Reads gate.json of this schema version or of version 1.

    Raises:
        MissingData, BadRow: As `read_json` does.
    """
    kind = GateRecord | Refusal
    return read_json(path, SCHEMA_VERSION, kind, "Run redone gate again.", _upgrade)


def _upgrade(raw: dict[str, Any]) -> None:
    """Version 2 only adds fields."""
    if raw.get("schema_version") == 1:
        raw["schema_version"] = 2


def _run(run: ScoredRun, role: str) -> RunRecord:
    suites = [row for row in run.results["tables"][role] if row["level"] == "suite"]
    signatures = {row["name"]: row["signature"] for row in suites}
    return RunRecord(run.name, run.request["model"], run.model, signatures)


def _row(j: RowVerdict, comparison: Comparison) -> RowRecord:
    row = j.row
    pairs = comparison.pairs.get(row.name) if row.level == "task" else None
    names = [f.name for f in fields(RowRecord)]
    same = {name: getattr(part, name) for part in (row, j) for name in names if hasattr(part, name)}
    return RowRecord(
        **same,
        sign_flip_p=pairs.sign_flip if pairs else None,
        mcnemar=pairs.discordance if pairs else None,
    )


def junit(gate: Gate) -> bytes:
    """JUnit XML: a test case per row. Rows that decide can fail; the others pass or are skipped."""
    from xml.etree import ElementTree as ET

    suite = ET.Element("testsuite", name=f"redone gate {_names(gate)}")
    counts = Counter(dict.fromkeys(("tests", "failures", "errors", "skipped"), 0))
    for j in gate.rows:
        counts["tests"] += 1
        case = ET.SubElement(
            suite, "testcase", classname=f"redone.gate.{j.row.level}", name=j.row.name
        )
        points = f"{change(j.row.difference)} points {interval(j.low, j.high, sign=True)}"
        text = f"{j.verdict}: {points} (margin {j.margin:g})"
        if j.decides and not j.passes:
            counts["failures"] += 1
            ET.SubElement(case, "failure", message=text, type=j.verdict).text = text
        elif not j.decides and j.verdict in ("regressed", "undecided"):
            counts["skipped"] += 1
            ET.SubElement(case, "skipped", message=f"informs only; {text}")
        ET.SubElement(case, "system-out").text = text
    if gate.outcome != "pass" and not counts["failures"]:
        counts.update(("tests", "errors"))
        case = ET.SubElement(suite, "testcase", classname="redone.gate", name="policy")
        ET.SubElement(case, "error", message=" ".join(gate.reasons), type=gate.outcome)
    for name, count in counts.items():
        suite.set(name, str(count))
    root = ET.Element("testsuites")
    root.append(suite)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def markdown(gate: Gate) -> str:
    """The summary for a pull request or a job's page."""
    lines = [f"## redone gate: {gate.outcome}", "", f"**{HEADLINES[gate.outcome]}** {_names(gate)}"]
    lines += ["", *(f"- {cell(text)}" for text in (*gate.reasons, *_notes(gate))), ""]
    lines += [
        "| row | n | base | candidate | difference | interval | margin | verdict |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for j in _rows_shown(gate):
        mark = "**" if j.decides else ""
        title, verdict = (f"{mark}{text}{mark}" for text in (cell(j.row.title), j.verdict))
        lines.append(f"| {' | '.join([title, *_figures(j), verdict])} |")
    if gate.advice:
        sentence, _, policy = gate.advice.partition("\n\n")
        lines += ["", cell(sentence), "", "```toml", policy, "```"]
    lines += [
        "",
        f"Paired cluster bootstrap, {gate.comparison.resamples:,} resamples, {levels(gate)}, "
        f"{gate.comparison.role} scoring, policy {gate.policy.hash}. "
        "Bold rows decide, the others inform.",
        "",
    ]
    return "\n".join(lines)


def show(gate: Gate) -> None:
    """Prints the decision as a table on stdout."""
    from rich.markup import escape

    from ...tasks.command import console

    out = console()
    colors = {"regressed": "red", "improved": "green", "undecided": "yellow"}
    rows = []
    for j in _rows_shown(gate):
        color = colors.get(j.verdict)
        verdict = f"[{color}]{j.verdict}[/]" if color else j.verdict
        row = (
            f"  {escape(j.row.name)}"
            if j.row.level == "task"
            else f"[bold]{escape(j.row.title)}[/]",
            *map(escape, _figures(j)),
            "" if j.q is None or math.isnan(j.q) else f"{j.q:.3f}",
            verdict + (f" [bold]({_role(j)})[/]" if j.decides else ""),
        )
        rows.append(row)
    right = ["n", "base", "candidate", "change", "interval", "margin", "q"]
    out.print(text_table("", ["suite / category / task"], right, rows, "verdict"))
    out.print(f"[dim]{levels(gate)}[/]")
    for line in _notes(gate):
        out.print(f"[yellow]Note:[/] {escape(line)}")
    color = {"pass": "green", "regression": "red"}.get(gate.outcome, "yellow")
    out.print(f"[bold {color}]{HEADLINES[gate.outcome]}[/] {escape(_names(gate))}")
    for reason in gate.reasons:
        out.print(f"  {escape(reason)}")
    if gate.advice:
        out.print(escape(gate.advice))


def levels(gate: Gate) -> str:
    """At which levels the intervals are, for readers."""
    policy = gate.policy
    text = f"{100 * (1 - 2 * policy.level):g} % intervals"
    corrected = {j.alpha_high for j in gate.deciding} - {policy.level}
    if not corrected:
        return text
    shares = ", ".join(f"{100 * (1 - alpha):.4g} %" for alpha in sorted(corrected, reverse=True))
    return (
        f"{text}; the upper ends of rows that decide, and of those that "
        "hold the same tasks, are corrected for their number (one-sided "
        f"{shares}, Holm)"
    )


def _role(j: RowVerdict) -> str:
    """The role of a row that decides, for readers."""
    return "decides" if j.role == "other" else str(j.role)


def _rows_shown(gate: Gate) -> list[RowVerdict]:
    """All rows but categories of one task, which repeat that task."""
    return [j for j in gate.rows if j.row.level != "category" or len(j.row.of) > 1]


def _figures(j: RowVerdict) -> list[str]:
    """The cells from the number of samples to the margin."""
    return [
        f"{j.row.samples:,}",
        score(j.row.base),
        score(j.row.candidate),
        change(j.row.difference),
        interval(j.low, j.high, sign=True),
        f"{j.margin:g}",
    ]


def _notes(gate: Gate) -> list[str]:
    """What qualifies the verdict: notes, allowed mismatches, recorded differences."""
    comparison = gate.comparison
    lines = [*comparison.notes, comparison.allowance()]
    if comparison.recorded:
        lines.append(f"They also differ in {'; '.join(map(str, comparison.recorded))}.")
    return [line for line in lines if line]


def _names(gate: Gate) -> str:
    return f"{gate.comparison.base.name} -> {gate.comparison.candidate.name}"
