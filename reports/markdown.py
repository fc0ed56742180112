"""The report as Markdown, for pull requests: the same figures, a few examples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ..harness.display import UNKNOWN, cell, change, interval, probability, score
from ..tasks.command import visible
from .examples import Examples
from .seesaw import Change, Seesaw
from .stages import ReportRuns, notes_of
from .summary import Provenance, diagnosis_of, verdict
from .tables import heat_map, significant
from .training import TrainingLog

EXAMPLES = 10
"""Flips shown per stage by default."""
TEXT_LIMIT = 600
"""Characters shown of a text."""


def markdown(
    report: ReportRuns,
    found: Seesaw,
    kept: Examples,
    origin: Provenance,
    logs: Sequence[TrainingLog] = (),
) -> str:
    """The whole document; `logs` are of the training that made the models."""
    top = verdict(report, found)
    lines = [f"## {top.badge}: {cell(' → '.join(stage.label for stage in report.runs))}", ""]
    lines += [
        f"**{cell(top.sentence)}**",
        "",
        *(f"- {cell(reason)}" for reason in top.reasons if top.outcome != "pass"),
    ]
    lines += [f"- {cell(note)}" for note in notes_of(report)]
    if report.stages:
        lines += [*_seesaw(found), *_tasks(report), *_heat_map(report)]
    else:
        lines += _alone(report)
    lines += [*_diagnoses(report), *_training(logs), *_examples(kept)]
    lines += _provenance(origin, report.policy.hash)
    return "\n".join(lines) + "\n"


def markdown_table(head: Sequence[str], right: int, rows: Iterable[Sequence[str]]) -> list[str]:
    """A table whose columns from the `right`-th on are right-aligned."""
    rule = "|".join("---" if k < right else "--:" for k in range(len(head)))
    body = [f"| {' | '.join(row)} |" for row in rows]
    return ["", f"| {' | '.join(head)} |", f"|{rule}|", *body] if body else []


def _seesaw(found: Seesaw) -> list[str]:
    if not found.points:
        return []

    def axis_change(found: Change | None) -> str:
        if found is None:
            return UNKNOWN
        return f"{change(found.value)} {interval(found.low, found.high, sign=True)}"

    rows = [
        (
            cell(p.label),
            (p.quadrant or "one axis only")
            + (" (not significant)" if p.significant is False else ""),
            p.outcome,
            axis_change(p.x),
            axis_change(p.y),
        )
        for p in found.points
    ]
    head = ("", "quadrant", "gate", "domain, points", "robustness, points")
    table = markdown_table(head, 3, rows)
    axes = [
        f"{name}: {cell(axis.title)}{' (substitute)' if axis.stand_in else ''}"
        for name, axis in (("Domain", found.x), ("Robustness", found.y))
        if axis
    ]
    missing = "" if found.y else " Robustness was not measured: the seesaw needs a second suite."
    return ["", "### The seesaw", *table, "", f"{'; '.join(axes)}.{missing}"]


def _tasks(report: ReportRuns) -> list[str]:
    lines = []
    for stage in report.compared:
        rows = [
            (
                cell(j.row.title),
                cell(j.verdict),
                score(j.row.base),
                score(j.row.candidate),
                _marked(j.row.difference, significant(j, report.policy.level)),
                interval(j.low, j.high, sign=True),
                probability(j.q),
            )
            for j in stage.by_effect
        ]
        head = ("task", "verdict", "base", "candidate", "change", "interval", "q")
        lines += ["", f"### Tasks: {cell(stage.label)}", *markdown_table(head, 2, rows)]
    return lines


def _heat_map(report: ReportRuns) -> list[str]:
    if len(report.stages) < 2:
        return []
    rows = [
        (
            cell(row.title) if row.level == "task" else f"**{cell(row.title)}**",
            score(row.base),
            *(UNKNOWN if c.change is None else _marked(c.change, c.significant) for c in row.cells),
        )
        for row in heat_map(report)
    ]
    labels = [cell(stage.label) for stage in report.stages]
    return [
        "",
        "### Change by stage",
        *markdown_table(("", "base", *labels), 1, rows),
    ]


def _marked(value: float, significant: bool) -> str:
    if not significant:
        return change(value)
    return f"**{'▲' if value > 0 else '▼'} {change(value)}**"


def _alone(report: ReportRuns) -> list[str]:
    rows = [
        (cell(row["title"]), score(row["score"]), interval(row["low"], row["high"]))
        for row in report.base.run.results["tables"][report.policy.scoring]
        if not (row["level"] == "category" and len(row["of"]) == 1)
    ]
    note = "The seesaw, changes and flips need a second run."
    return ["", "### Scores", "", note, *markdown_table(("", "score", "95 % CI"), 1, rows)]


def _diagnoses(report: ReportRuns) -> list[str]:
    lines = ["", "### Diagnosis"]
    for stage in report.runs:
        found = diagnosis_of(stage)
        if found.content is None:
            lines += ["", f"{cell(stage.label)}: {cell(found.missing)}"]
            continue
        rows = [
            (
                cell(w.task),
                cell(str(w.slice or "whole task")),
                w.failure or UNKNOWN,
                f"{score(w.gap.value, 1)} {interval(w.gap.low, w.gap.high, 1)}",
            )
            for w in found.content.weaknesses[:12]
        ]
        lines += ["", f"{cell(stage.label)}: {cell(found.about)}"]
        table = markdown_table(("weakness", "slice", "failure", "gap, points"), 3, rows)
        lines += table or ["", "No weakness: no gap is statistically significant."]
    return lines


def _training(logs: Sequence[TrainingLog]) -> list[str]:
    def first_to_last(log: TrainingLog, name: str) -> str:
        known = [value for value in log.scalars.get(name, ()) if value == value]
        return f"{score(known[0], 3)} → {score(known[-1], 3)}" if known else UNKNOWN

    rows = [
        (
            cell(log.label),
            f"{len(log.steps):,}" + (f" ({log.skipped:,} skipped)" if log.skipped else ""),
            first_to_last(log, "loss"),
            first_to_last(log, "reward"),
            f"{log.total('tokens_read'):,.0f}",
            f"{log.total('tokens_generated'):,.0f}",
            f"{log.total('tokens_trained'):,.0f}",
        )
        for log in logs
    ]
    head = "stage", "steps", "loss", "reward", "prompt tokens", "generated tokens", "trained tokens"
    table = markdown_table(head, 1, rows)
    return ["", "### Training, first step to last", *table] if table else []


def _examples(kept: Examples) -> Iterator[str]:
    if not kept.totals:
        return
    yield from ("", "### Fixed and broken examples", "")
    for stage, total in kept.totals.items():
        yield f"- {cell(stage)}: {kept.shown(stage):,} of {total:,} shown"
    for flip in kept.flips:
        mark = "▲ fixed" if flip["kind"] == "fixed" else "▼ broken"
        summary = f"{mark}: {flip['task']} {flip['sample']} ({_html(flip['stage'])})"
        yield from ("", f"<details><summary>{summary}</summary>")
        for title, place in (
            ("Gold", flip["gold"]),
            ("Base", flip["base"]["text"]),
            ("Candidate", flip["candidate"]["text"]),
        ):
            yield from ("", f"{title}:", "", *_fenced(kept, place))
        yield from ("", "</details>")


def _html(text: str) -> str:
    from html import escape

    return escape(" ".join(visible(text).split()))


def _fenced(kept: Examples, place: int | None) -> list[str]:
    """A text between fences that are longer than any run of backticks in it."""
    if place is None:
        return ["(not stored)"]
    found = kept.texts[place]
    text = visible(found if isinstance(found, str) else found[0])
    # Every kind of line end counts as one in Markdown, and none may close the fence.
    text = "\n".join(text.splitlines())
    if len(text) > TEXT_LIMIT:
        text = f"{text[:TEXT_LIMIT]}…"
    return _block("text", text)


def _block(language: str, text: str) -> list[str]:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text, fence]


def _provenance(origin: Provenance, policy_hash: str) -> Iterator[str]:
    yield from ("", "### Provenance", "", f"{cell(origin.method)} Policy {policy_hash}.", "")
    yield from (*_block("sh", " ".join(visible(origin.command).split())), "")
    for own in origin.origins:
        for signature in own.signatures:
            yield f"- {cell(own.label)}: `{signature}`"
