"""The HTML page: one file, no network, built from a report by Jinja templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..harness import html
from ..harness.display import change, count, interval, probability, score
from ..tasks.registry import TASKS, category_title
from ..tasks.schema import FAILURES
from .examples import Examples
from .seesaw import Seesaw
from .seesaw_draw import seesaw_figure, svg
from .stages import ReportRuns, notes_of
from .summary import (
    Provenance,
    diagnosis_of,
    diagnosis_tables,
    settings_text,
    verdict,
    verdict_on,
)
from .tables import (
    Span,
    Table,
    change_limit,
    changes,
    failures,
    forest,
    heat_map,
    lines_of,
    places,
    scores,
)
from .training import TrainingLog, curves_of, line_style, steps_table

TEMPLATE = Path(__file__).with_name("templates") / "page.html"
FUNCTIONS = {
    "score": score,
    "change": change,
    "count": count,
    "probability": probability,
    "interval": interval,
    "line_style": line_style,
    "settings_text": settings_text,
    "span": Span.of,
    "zip": zip,
}


def page(
    report: ReportRuns,
    found: Seesaw,
    kept: Examples,
    origin: Provenance,
    logs: Sequence[TrainingLog] = (),
) -> str:
    """The whole page.

    Args:
        report: The runs and their comparisons.
        found: The seesaw.
        kept: The examples that the page holds.
        origin: The provenance of the figures.
        logs: Of the training that made the models.
    """
    diagnoses = [diagnosis_of(stage) for stage in report.runs]
    failing = failures(report)
    tables = [changes(report), scores(report), places(found), failing, *diagnosis_tables(diagnoses)]
    if logs:
        tables.append(steps_table(logs))
    figure = seesaw_figure(found) if found.placed else None
    plotly, packed_plotly = _plotly() if figure else ("", "")
    data = {
        "tables": {table.name: table.record() for table in tables},
        "seesaw": figure,
        "tasks": {
            name: {"title": TASKS[name].title, "category": category_title(TASKS[name])}
            for name in report.base.run.results["tasks"]
            if name in TASKS
        },
    }
    return html.render(
        TEMPLATE,
        FUNCTIONS,
        *filter(None, [plotly]),
        title=_title(report),
        report=report,
        verdict=verdict(report, found),
        notes=notes_of(report),
        verdicts=[verdict_on(stage, report.base, found) for stage in report.stages],
        seesaw=found,
        picture=svg(found) if found.placed else "",
        forests=[(stage, forest(report, stage)) for stage in report.compared],
        limit=change_limit(report),
        heat=heat_map(report),
        alone=_alone(report),
        failing=_failing(failing, report),
        kinds=FAILURES,
        diagnoses=diagnoses,
        training=[curves_of(log) for log in logs],
        examples=kept,
        shown=[(label, kept.shown(label), total) for label, total in kept.totals.items()],
        origin=origin,
        packed_plotly=packed_plotly,
        packed_data=html.packed_json(data),
        packed_examples=html.packed_json(kept.record()),
    )


def _title(report: ReportRuns) -> str:
    labels = [stage.label for stage in report.runs]
    if report.chain or len(labels) < 3:
        return " → ".join(labels)
    return f"{labels[0]} and {len(labels) - 1} candidates"


@cache
def _plotly() -> tuple[str, str]:
    """Plotly's script, and the same packed."""
    from plotly.offline import get_plotlyjs

    source = get_plotlyjs()
    return source, html.packed(source.encode("utf-8"))


def _alone(report: ReportRuns) -> list[Mapping[str, Any]]:
    """The scores of a single run, where there is nothing to compare."""
    if report.stages:
        return []
    table = report.base.run.results["tables"][report.policy.scoring]
    rows = {(row["level"], row["name"]): row for row in table}
    lines = lines_of(list(report.base.run.results["tasks"]))
    return [rows[line.level, line.name] for line in lines if (line.level, line.name) in rows]


def _failing(table: Table, report: ReportRuns) -> list[dict[str, Any]]:
    """A row per task: its title, and per run the failure counts and answers."""
    by_task: dict[str, dict[str, Any]] = {}
    for row in table.rows:
        record = dict(zip(table.columns, row, strict=True))
        line = by_task.setdefault(record["task"], {"title": record["title"], "runs": {}})
        line["runs"][record["run"]] = record
    return [
        {
            "task": name,
            "title": line["title"],
            "runs": [line["runs"].get(s.label) for s in report.runs],
        }
        for name, line in by_task.items()
    ]
