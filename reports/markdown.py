"""The Markdown twin of the page, for pull requests: same figures, a few examples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..harness.wording import UNKNOWN, cell, change, interval, probability, score, visible
from .diagnoses import diagnosed
from .examples import Examples
from .heatmap import heat_map
from .provenance import Provenance
from .seesaw import Seesaw
from .stages import Report, notes_of
from .tables import by_effect, significant
from .training_log import TrainingLog
from .verdict import verdict

EXAMPLES = 10
"""Flips shown of each stage unless more are asked for."""
LONG = 600
"""Characters of a text that are shown."""


def markdown(
    report: Report,
    found: Seesaw,
    kept: Examples,
    origin: Provenance,
    logs: Sequence[TrainingLog] = (),
) -> str:
    """The whole document; `logs` are of the training that made the runs' models."""
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
    lines += [*_diagnoses(report), *_training(logs), *_examples(kept), *_provenance(origin)]
    return "\n".join(lines) + "\n"


def markdown_table(head: Sequence[str], right: int, rows: Iterable[Sequence[str]]) -> list[str]:
    """A table whose columns from the `right`-th on stand to the right."""
    rule = "|".join("---" if k < right else "--:" for k in range(len(head)))
    body = [f"| {' | '.join(row)} |" for row in rows]
    return ["", f"| {' | '.join(head)} |", f"|{rule}|", *body] if body else []


def _seesaw(found: Seesaw) -> list[str]:
    if not found.points:
        return []

    def told(place: Any) -> str:
        if place is None:
            return UNKNOWN
        return f"{change(place.value)} {interval(place.low, place.high, sign=True)}"

    rows = [
        (
            cell(p.label),
            (p.quadrant or "one axis only") + (", within noise" if p.beyond_noise is False else ""),
            p.outcome,
            told(p.x),
            told(p.y),
        )
        for p in found.points
    ]
    table = markdown_table(("", "where", "gate", "domain, points", "robustness, points"), 3, rows)
    axes = [
        f"{name}: {cell(axis.title)}{' (stands in)' if axis.stand_in else ''}"
        for name, axis in (("Domain", found.x), ("Robustness", found.y))
        if axis
    ]
    missing = "" if found.y else " Robustness was not measured: the seesaw needs a second suite."
    return ["", "### The seesaw", *table, "", f"{'; '.join(axes)}.{missing}"]


def _tasks(report: Report) -> list[str]:
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
            for j in by_effect(stage)
        ]
        head = ("task", "verdict", "base", "candidate", "change", "interval", "q")
        lines += ["", f"### Task by task: {cell(stage.label)}", *markdown_table(head, 2, rows)]
    return lines


def _heat_map(report: Report) -> list[str]:
    found = heat_map(report)
    if len(found.columns) < 2:
        return []
    rows = [
        (
            cell(row.title) if row.level == "task" else f"**{cell(row.title)}**",
            score(row.base),
            *(UNKNOWN if c.change is None else _marked(c.change, c.significant) for c in row.cells),
        )
        for row in found.rows
    ]
    return [
        "",
        "### Change by stage",
        *markdown_table(("", "base", *map(cell, found.columns)), 1, rows),
    ]


def _marked(value: float, beyond: bool) -> str:
    if not beyond:
        return change(value)
    return f"**{'▲' if value > 0 else '▼'} {change(value)}**"


def _alone(report: Report) -> list[str]:
    rows = [
        (cell(row["title"]), score(row["score"]), interval(row["low"], row["high"]))
        for row in report.base.run.results["tables"][report.policy.scoring]
        if not (row["level"] == "category" and len(row["of"]) == 1)
    ]
    note = "One run has no seesaw, no changes and no flips: those need a partner."
    return ["", "### Scores", "", note, *markdown_table(("", "score", "95 %"), 1, rows)]


def _diagnoses(report: Report) -> list[str]:
    lines = ["", "### Diagnosis"]
    for stage in report.runs:
        found = diagnosed(stage)
        if found.content is None:
            lines += ["", f"{cell(stage.label)}: {cell(found.missing)}"]
            continue
        rows = [
            (
                cell(w["task"]),
                cell(w["slice"] or "whole task"),
                w["failure"] or UNKNOWN,
                f"{score(w['gap'], 1)} {interval(w['gap_low'], w['gap_high'], 1)}",
            )
            for w in found.weaknesses[:12]
        ]
        lines += ["", f"{cell(stage.label)}: {cell(found.about)}"]
        table = markdown_table(("weakness", "slice", "failure", "gap, points"), 3, rows)
        lines += table or ["", "No weakness: no gap is beyond noise."]
    return lines


def _training(logs: Sequence[TrainingLog]) -> list[str]:
    def course_of(log: TrainingLog, name: str) -> str:
        known = [value for value in log.scalars.get(name, ()) if value is not None]
        return f"{score(known[0], 3)} → {score(known[-1], 3)}" if known else UNKNOWN

    rows = [
        (
            cell(log.label),
            f"{len(log.steps):,}" + (f" ({log.skipped:,} skipped)" if log.skipped else ""),
            course_of(log, "loss"),
            course_of(log, "reward"),
            f"{log.total('tokens_read'):,.0f}",
            f"{log.total('tokens_generated'):,.0f}",
            f"{log.total('tokens_trained'):,.0f}",
        )
        for log in logs
    ]
    head = (
        "stage",
        "steps",
        "loss",
        "reward",
        "tokens read",
        "tokens written",
        "tokens trained on",
    )
    table = markdown_table(head, 1, rows)
    return ["", "### Training, first step to last", *table] if table else []


def _examples(kept: Examples) -> Iterator[str]:
    if not kept.totals:
        return
    yield from ("", "### Fixed and broken examples", "")
    for stage, total in kept.totals.items():
        shown = sum(flip["stage"] == stage for flip in kept.flips)
        yield f"- {cell(stage)}: {shown:,} of {total:,} shown"
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
        return ["(not kept)"]
    found = kept.texts[place]
    text = visible(found if isinstance(found, str) else found[0])
    # Every kind of line end counts as one in Markdown, and none may close the fence.
    text = "\n".join(text.splitlines())
    if len(text) > LONG:
        text = f"{text[:LONG]}…"
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", text, fence]


def _provenance(origin: Provenance) -> Iterator[str]:
    yield from ("", "### Provenance", "", f"{cell(origin.method)} Policy {origin.policy_hash}.", "")
    longest = max((len(run) for run in re.findall("`+", origin.command)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{fence}sh", " ".join(visible(origin.command).split()), fence, "")
    for own in origin.origins:
        for signature in own.signatures:
            yield f"- {cell(own.label)}: `{signature}`"
