"""The HTML page: one file, no network, built from a report by Jinja templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..harness import wording
from ..harness.gate.decision import Judged
from ..tasks.registry import CATEGORIES, TASKS
from ..tasks.schema import FAILURES
from .charts import seesaw_figure
from .curves import course, look, steps_table
from .diagnoses import tables as diagnosis_tables
from .drawing import svg
from .examples import Examples
from .forest import forest
from .heatmap import heat_map, lines_of
from .packing import packed, packed_json, source_hash
from .provenance import Provenance
from .seesaw import Seesaw
from .stages import Report, notes_of
from .tables import Table, changes, failures, places, scores
from .training_log import TrainingLog
from .verdict import BADGES, of_stage, verdict

TEMPLATES = Path(__file__).with_name("templates")


def html(
    report: Report,
    found: Seesaw,
    kept: Examples,
    origin: Provenance,
    logs: Sequence[TrainingLog] = (),
) -> str:
    """The whole page.

    Args:
        report: The runs and their judgement.
        found: The seesaw.
        kept: The examples that the page holds.
        origin: Where the figures come from.
        logs: Of the training that made the runs' models.
    """
    diagnoses, of_diagnoses = diagnosis_tables(report)
    tables = [changes(report), scores(report), places(found), failures(report), *of_diagnoses]
    if logs:
        tables.append(steps_table(logs))
    figure = seesaw_figure(found) if found.whole else None
    plotly = _plotly() if figure else Script("", "")
    script = (TEMPLATES / "page.js").read_text("utf-8")
    data = {
        "tables": {table.name: table.record() for table in tables},
        "seesaw": figure,
        "tasks": {
            name: {"title": t.title, "category": CATEGORIES.get(t.category, t.category)}
            for name, t in TASKS.items()
            if name in report.base.run.results["tasks"]
        },
    }
    hashes = " ".join(filter(None, (source_hash(script), plotly.hash)))
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=_title(report),
            policy_of_content=f"default-src 'none'; script-src {hashes}; "
            "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'",
            style=(TEMPLATES / "page.css").read_text("utf-8"),
            script=script,
            report=report,
            verdict=verdict(report, found),
            notes=notes_of(report),
            verdicts=[of_stage(stage, report.base, found) for stage in report.stages],
            badges=BADGES,
            seesaw=found,
            picture=svg(found) if found.whole else "",
            forests=[forest(report, stage) for stage in report.compared],
            heat=heat_map(report),
            alone=_alone(report),
            failing=_failing(next(t for t in tables if t.name == "failures"), report),
            kinds=FAILURES,
            diagnoses=diagnoses,
            courses=[course(log) for log in logs],
            examples=kept,
            shown=_shown(kept),
            origin=origin,
            packed_plotly=plotly.packed,
            packed_data=packed_json(data),
            packed_examples=packed_json(kept.record()),
        )
    )


def _title(report: Report) -> str:
    labels = [stage.label for stage in report.runs]
    if len(labels) == 1:
        return labels[0]
    joined = " → ".join(labels) if report.chain else f"{labels[0]} and {len(labels) - 1} candidates"
    return joined if len(labels) > 2 else " → ".join(labels)


@dataclass(frozen=True)
class Script:
    """A script that the page unpacks: its name in the page's policy, and itself, packed."""

    hash: str
    packed: str


@cache
def _plotly() -> Script:
    from plotly.offline import get_plotlyjs

    source = get_plotlyjs()
    return Script(source_hash(source), packed(source.encode("utf-8")))


def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_seen,
    )
    environment.filters |= {
        "score": wording.score,
        "change": wording.change,
        "count": wording.count,
        "probability": wording.probability,
    }
    environment.globals |= {"interval": wording.interval, "look": look, "zip": zip}
    environment.tests["deciding"] = lambda judged: isinstance(judged, Judged) and judged.decides
    return environment


def _seen(value: Any) -> Any:
    """Names of runs and texts of files may hold control characters; markup of our own may not."""
    return wording.visible(value) if type(value) is str else value


def _alone(report: Report) -> list[Mapping[str, Any]]:
    """The figures of a single run, for a page without a partner."""
    if report.stages:
        return []
    table = report.base.run.results["tables"][report.policy.scoring]
    rows = {(row["level"], row["name"]): row for row in table}
    lines = lines_of(list(report.base.run.results["tasks"]))
    return [rows[line.level, line.name] for line in lines if (line.level, line.name) in rows]


def _failing(table: Table, report: Report) -> list[dict[str, Any]]:
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


def _shown(kept: Examples) -> Sequence[tuple[str, int, int]]:
    """Stage, examples kept, examples there are."""
    return [
        (label, sum(flip["stage"] == label for flip in kept.flips), total)
        for label, total in kept.totals.items()
    ]
