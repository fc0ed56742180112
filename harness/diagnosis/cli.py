"""`redone diagnose`: where a model is weak, how its answers fail, and what to train."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...tasks.command import Parser, run_command
from ...tasks.errors import RedoneError, UnknownName

if TYPE_CHECKING:
    from .diagnose import DiagnosisConfig


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="redone diagnose",
        description="Turns a finished run into a capability map, ranked weaknesses, failure "
        "buckets and hints for training, written to RUN/diagnosis.json.",
        epilog="Example: redone diagnose runs/my-model --target sns_bench/ner=55",
    )
    add = p.add_argument
    add("run", metavar="RUN", help="run folder of redone eval")
    add(
        "--against",
        metavar="RUN|TABLE:MODEL",
        help="use another run as the reference; or show the figures of a published table, such as "
        "redone2:RedOne-2.0-4B or FILE.toml:MODEL",
    )
    add(
        "--allow",
        metavar="FIELDS",
        default="",
        help="with --against RUN: compare even if these fields differ",
    )
    add(
        "--target",
        action="append",
        default=[],
        metavar="NAME=POINTS",
        help="the reference of a task, glob, benchmark or suite, or a TOML file of them "
        "(default reference: the ceiling of 100); may be repeated",
    )
    add(
        "--weight",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="weight of a task's gap (default 1 / tasks of its suite), as --target",
    )
    add(
        "--partition",
        default="diagnose",
        metavar="NAME",
        help="diagnose (default), all, gate or report; only the first gives buckets and hints",
    )
    add("--scoring", default="corrected", metavar="NAME", help="corrected or official")
    add("--output", metavar="FILE", help="instead of RUN/diagnosis.json")
    add("--json", action="store_true", help="print the file instead of the tables")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    options = parser().parse_args(argv)
    return run_command("redone diagnose", lambda: _run(options))


def _run(options: Namespace) -> int:
    """Reads, diagnoses, writes and prints; returns the exit code."""
    from ..scored_run import ScoredRun
    from .diagnose import diagnose
    from .display import show
    from .schema import write_diagnosis

    run = ScoredRun(options.run)
    diagnosis = diagnose(run, _config(options, list(run.results["tasks"])))
    path = Path(options.output or run.path / "diagnosis.json")
    content = write_diagnosis(diagnosis, path)
    if options.json:
        sys.stdout.write(content.decode())
    else:
        show(diagnosis, path)
    return 0


def _config(options: Namespace, own: Sequence[str]) -> DiagnosisConfig:
    """The settings that the options give, checked; `own` are the names of the run's tasks."""
    from ...tasks.sources import SELECTIONS
    from ..records import ROLES
    from ..scored_run import ScoredRun
    from .diagnose import DiagnosisConfig
    from .rank import published_row

    partitions = set(SELECTIONS) - {"train"}
    if options.partition not in partitions:
        raise UnknownName("partition", options.partition, partitions)
    if options.scoring not in ROLES:
        raise UnknownName("scoring", options.scoring, ROLES)
    against = published = None
    if options.against and Path(options.against).is_dir():
        against = ScoredRun(options.against)
        if options.target:
            raise RedoneError("--target and --against RUN are two references: give one of them.")
    elif options.allow:
        raise RedoneError("--allow is for --against RUN, a run folder.")
    elif options.against:
        published = published_row(options.against)
    return DiagnosisConfig(
        role=options.scoring,
        partition=options.partition,
        targets=numbers(options.target, "--target", 0, 100, own),
        against=against,
        allowed=tuple(f.strip() for f in options.allow.split(",") if f.strip()),
        published=published,
        weights=numbers(options.weight, "--weight", 0, 1000, own),
    )


def numbers(
    options: Sequence[str], option: str, low: float, high: float, own: Sequence[str] = ()
) -> dict[str, float]:
    """The number, from `low` to `high`, of each task that `--target` or `--weight` gives.

    Each is `NAME=NUMBER`, or a TOML file of such lines; a name is a task, a glob, a benchmark or a
    suite; or one of the run's `own` tasks, which no table may have. A later one replaces an earlier
    one.

    Raises:
        UnknownName: A name that means no task.
        RedoneError: A number out of range, or no number.
        MissingData, BadRow: A file that is not there, or not TOML.
    """
    from ...tasks.registry import find
    from ...tasks.task import LM_EVAL
    from ..json_file import read_toml

    found: dict[str, float] = {}
    for text in options:
        name, equals, number = text.rpartition("=")
        if equals and not name.strip():
            raise RedoneError(f"{option} {text}: the name of a task is missing before the '='.")
        expected = f'{option} takes NAME=NUMBER, or a TOML file of "sns_bench/ner" = 55 lines; '
        pairs = {name: number} if equals else read_toml(Path(text), expected)
        for name, number in pairs.items():
            value = _number(number)
            if value is None or not low <= value <= high:
                raise RedoneError(
                    f"{option} {name}={number}: a number from {low:g} to {high:g} is expected."
                )
            known: list[str] = []
            if name.startswith(LM_EVAL):
                known = [task for task in own if task == name or task.startswith(f"{name}/")]
            names = known or [task.name for task in find(None, name)]
            found |= dict.fromkeys(names, value)
    return found


def _number(text: object) -> float | None:
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return None
    try:
        return float(text)
    except ValueError:
        return None
