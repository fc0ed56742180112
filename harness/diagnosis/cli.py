"""`redone-diagnose`: where is this model weak, how does it fail, and what should be trained?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...tasks.command import Parser, run_command
from ...tasks.errors import RedoneError, UnknownName

if TYPE_CHECKING:
    from .diagnose import Question


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="redone-diagnose",
        description="Turns a finished run into a capability map, ranked weaknesses, failure "
        "buckets and reward hints, written to RUN/diagnosis.json.",
        epilog="Example: redone-diagnose runs/my-model --target sns_bench/ner=55",
    )
    p.add_argument("run", metavar="RUN", help="run folder of redone-eval")
    p.add_argument(
        "--against",
        metavar="RUN|TABLE:MODEL",
        help="another run is the reference; or a published row is shown beside, such as "
        "redone2:RedOne-2.0-4B or FILE.toml:MODEL",
    )
    p.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="NAME=POINTS",
        help="the reference of a task, glob, benchmark or suite, or a TOML file of them "
        "(default reference: the ceiling of 100); may be repeated",
    )
    p.add_argument(
        "--weight",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="what a task's gap counts (default 1 / tasks of its suite), as --target",
    )
    p.add_argument(
        "--partition",
        default="diagnose",
        metavar="NAME",
        help="diagnose (default), all, gate or report; only the first gives buckets and hints",
    )
    p.add_argument("--scoring", default="corrected", metavar="NAME", help="corrected or official")
    p.add_argument("--output", metavar="FILE", help="instead of RUN/diagnosis.json")
    p.add_argument("--json", action="store_true", help="print the file instead of the tables")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    options = parser().parse_args(argv)
    return run_command("redone-diagnose", lambda: run(options))


def run(options: argparse.Namespace) -> int:
    """Read, diagnose, write, print."""
    from ..scored import ScoredRun
    from .diagnose import diagnose
    from .record import save

    subject = ScoredRun(options.run)
    diagnosis = diagnose(subject, question_of(options))
    path = Path(options.output or subject.path / "diagnosis.json")
    content = save(diagnosis, path)
    if options.json:
        sys.stdout.write(content.decode())
    else:
        from .output import show

        show(diagnosis, path)
    return 0


def question_of(options: argparse.Namespace) -> Question:
    """What the options ask."""
    from ...tasks.sources import SELECTIONS
    from ..results import ROLES
    from ..scored import ScoredRun
    from .diagnose import Question
    from .published import published_row
    from .references import numbers

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
    elif options.against:
        published = published_row(options.against)
    return Question(
        role=options.scoring,
        partition=options.partition,
        targets=numbers(options.target, "--target", 0, 100),
        against=against,
        published=published,
        weights=numbers(options.weight, "--weight", 0, 1000),
    )
