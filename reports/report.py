"""`make_report`: finished runs in, a page and its verdict out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..harness import html
from ..harness.gate.policy import Policy, load_policy
from ..tasks.errors import RedoneError
from . import markdown
from .examples import LIMIT, examples
from .page import page
from .seesaw import seesaw
from .seesaw_draw import SUFFIXES, write_picture
from .stages import compare_runs
from .summary import provenance, verdict
from .training import training_logs

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
        command: Arguments of `redone-report` that make this report; empty: runs and output.
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
    html.write(config.output, content.encode("utf-8"))
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
