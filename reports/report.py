"""`make_report`: finished runs in, a page and its verdict out.

The HTML page is one file without network, built by Jinja templates.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ..harness import html
from ..harness.display import change, count, interval, probability, score
from ..harness.gate.policy import Policy, load_policy
from ..harness.json_file import write_file
from ..tasks.errors import RedoneError
from ..tasks.registry import TASKS, category_title
from ..tasks.schema import FAILURES, SCORER
from . import markdown
from .examples import LIMIT, Examples, examples
from .plot import line_style
from .seesaw import Seesaw, seesaw
from .seesaw_draw import SUFFIXES, seesaw_figure, svg, write_picture
from .stages import ReportRuns, compare_runs, notes_of
from .summary import (
    Provenance,
    diagnosis_of,
    diagnosis_tables,
    provenance,
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
from .training import TrainingLog, curves_of, steps_table, training_logs

FORMATS: dict[str, Literal["html", "md"]] = {".html": "html", ".htm": "html", ".md": "md"}


@dataclass(frozen=True)
class ReportConfig:
    """What a report shows, and where it goes.

    Attributes:
        runs: Run folders or saved baselines, the base first.
        output: The file to write.
        policy: Of the gate.
        format: `html` or `md`; None: by the suffix of `output`.
        chain: Whether the runs after the base are stages of one training run, or else candidates.
        allowed: Fields in which runs may differ from the base.
        training: Folders with step logs to show, besides those found next to the runs.
        examples: Flips shown per run; None: the default of the format.
        all_examples: Show all flips, and cut no text.
        seed: Of the choice of examples.
        seesaw: Where to draw the seesaw too, an .svg or .png file.
        command: Arguments of `redone report` that make this report; empty: runs and output.
    """

    runs: Sequence[str | Path]
    output: Path
    policy: Policy = field(default_factory=load_policy)
    format: Literal["html", "md"] | None = None
    chain: bool = True
    allowed: Collection[str] = ()
    training: Sequence[Path] = ()
    examples: int | None = None
    all_examples: bool = False
    seed: int = 0
    seesaw: Path | None = None
    command: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes:
        path: Of the page.
        outcome: `pass`, `regression`, `undecided`, `not comparable`, or `single` for one run.
        sentence: The verdict.
    """

    path: Path
    outcome: str
    sentence: str


def make_report(config: ReportConfig) -> Report:
    """Compares the runs, and writes the page.

    Raises:
        RedoneError: An option is invalid, a run is not finished, or the file cannot be written.
    """
    form = _format(config)
    report = compare_runs(config.runs, config.policy, chain=config.chain, allowed=config.allowed)
    logs = training_logs(report, config.training)
    found = seesaw(report)
    origin = provenance(report, config.command or _command(config))
    limit = config.examples
    if limit is None:
        limit = LIMIT if form == "html" else markdown.EXAMPLES
    kept = examples(report.compared, None if config.all_examples else limit, config.seed)
    write = page if form == "html" else markdown.markdown
    content = write(report, found, kept, origin, logs)
    write_file(config.output, content.encode("utf-8"), parents=True)
    if config.seesaw:
        write_picture(found, config.seesaw)
    made = verdict(report, found)
    return Report(config.output, made.outcome, made.sentence)


def _format(config: ReportConfig) -> Literal["html", "md"]:
    """The format of the report; refuses options that cannot be met before anything is read."""
    form = config.format or FORMATS.get(config.output.suffix)
    if form is None:
        raise RedoneError(
            f"--output {config.output}: a name ending in .html or .md is expected, or --format "
            "html or md. Browsers print a page to PDF."
        )
    if config.seesaw and config.seesaw.suffix not in SUFFIXES:
        raise RedoneError(f"--seesaw {config.seesaw}: a name ending in .svg or .png is expected.")
    if config.examples is not None and config.examples < 0:
        raise RedoneError(f"--examples {config.examples}: 0 or more is expected.")
    return form


def _command(config: ReportConfig) -> list[str]:
    candidates = [] if config.chain else ["--candidates"]
    return [*map(str, config.runs), "--output", str(config.output), *candidates]


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
        kinds=(*FAILURES, *([SCORER] if any(row[-1] for row in failing.rows) else [])),
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
