"""`redone-leaderboard`: published and measured figures side by side, told apart."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..tasks.command import Parser, run_command
from ..tasks.errors import RedoneError, UnknownName

if TYPE_CHECKING:
    from .submission import Submission

RESULTS = Path(__file__).with_name("results")
CHECKOUT = Path("leaderboards/results")
"""The same folder, seen from the top of a checkout: a pull request is made there."""
FORMATS = ("html", "md", "csv")


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="redone-leaderboard",
        description="Prints the board: figures as papers print them, and results measured here, "
        "each with its signature. Only figures that were made alike are ranked.",
        epilog="Example: redone-leaderboard --run runs/mine --output board.html",
    )
    p.add_argument("--output", metavar="FILE", help=".html, .md or .csv instead of the terminal")
    p.add_argument(
        "--run", metavar="RUN", action="append", default=[], help="also show a finished run folder"
    )
    p.add_argument(
        "--results", metavar="DIR", help="submitted results (default: those that ship with redone)"
    )
    p.add_argument("--suite", metavar="NAME", help="only this suite's table")
    p.add_argument(
        "--check",
        action="store_true",
        help="only compute the papers' averages and headline differences again; exit 1 if one "
        "does not come out",
    )
    verbs = p.add_subparsers(dest="verb", metavar="{submit,validate}")
    submit = verbs.add_parser(
        "submit",
        help="make a result file of a finished run, for a pull request",
        description="Writes the figures, intervals and signatures of a finished run as one JSON "
        "file without texts. A pull request that adds it adds a row to the board.",
    )
    submit.add_argument("source", metavar="RUN", help="run folder or saved baseline")
    submit.add_argument("--name", help="of the model, as the board shows it (default: the run's)")
    submit.add_argument(
        "--output", dest="folder", metavar="DIR", help=f"default {CHECKOUT}, where it is"
    )
    validate = verbs.add_parser(
        "validate",
        help="check result files; exit 1 if one is wrong",
        description="Checks every result file of a folder: form, signatures, means, figures made "
        "again from their statistics, duplicates.",
    )
    validate.add_argument(
        "folder", metavar="DIR", nargs="?", help="default: those that ship with redone"
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    options = parser().parse_args(argv)
    verbs = {"submit": submit, "validate": validate, None: show}
    return run_command("redone-leaderboard", lambda: verbs[options.verb](options))


def show(options: argparse.Namespace) -> int:
    """Prints or writes the board."""
    from dataclasses import replace

    from ..harness.published.paper import load_paper, path_of, shipped
    from ..tasks.registry import SUITES
    from .board import board
    from .derivation import findings
    from .terminal import checked
    from .terminal import show as print_board

    form = Path(options.output).suffix.removeprefix(".") if options.output else ""
    if options.output and form not in FORMATS:
        raise RedoneError(
            f"--output {options.output}: a name ending in .html, .md or .csv is expected."
        )
    papers = [load_paper(path) for name in shipped() if (path := path_of(name))]
    found = [finding for paper in papers for finding in findings(paper)]
    if options.check:
        print("\n".join(checked(found)))
        return int(any(f.expected and not f.holds for f in found))
    whole = board(papers, _submissions(options))
    if options.suite:
        if options.suite not in SUITES:
            raise UnknownName("suite", options.suite, SUITES)
        kept = tuple(sheet for sheet in whole.sheets if sheet.name == options.suite)
        if not kept:
            raise RedoneError(f"No row has suite {options.suite}: add one with --run RUN.")
        whole = replace(whole, sheets=kept)
    if not options.output:
        print_board(whole, found)
        return 0
    if form == "html":
        from .page import html

        content = html(whole, found)
    elif form == "md":
        from .markdown import markdown

        content = markdown(whole, found)
    else:
        from .spreadsheet import spreadsheet

        content = spreadsheet(whole)
    _write(Path(options.output), content)
    print(options.output)
    return 0


def _submissions(options: argparse.Namespace) -> list[Submission]:
    """The submitted results, checked, and the runs that were named."""
    from ..harness.scored import ScoredRun
    from .submission import load, submission_of
    from .validation import problems, results_in

    found = []
    for path in results_in(Path(options.results) if options.results else RESULTS):
        submission = load(path)
        if wrong := next(problems(submission), None):
            raise RedoneError(
                f"{path}: {wrong}. `redone-leaderboard validate {path.parent}` tells all; the "
                "board shows checked results only."
            )
        found.append(submission)
    own = [submission_of(ScoredRun(run), sheets=True) for run in options.run]
    known = {submission.hash for submission in own}
    return [*(s for s in found if s.hash not in known), *own]


def submit(options: argparse.Namespace) -> int:
    """Writes a submission."""
    from ..harness.scored import ScoredRun
    from .submission import save, submission_of
    from .validation import problems

    submission = submission_of(ScoredRun(options.source), options.name)
    if wrong := list(problems(submission)):
        raise RedoneError(f"{options.source} cannot be submitted: {'; '.join(wrong[:5])}.")
    folder = Path(options.folder) if options.folder else CHECKOUT
    if not options.folder and not folder.is_dir():
        raise RedoneError(f"There is no {CHECKOUT} here: name a folder with --output DIR.")
    path = save(submission, folder)
    print(path)
    return 0


def validate(options: argparse.Namespace) -> int:
    """Checks a folder of submissions."""
    from ..harness.wording import visible
    from .validation import problems_of

    folder = Path(options.folder) if options.folder else RESULTS
    found = problems_of(folder)
    wrong = {name: problems for name, problems in found.items() if problems}
    for name, problems in wrong.items():
        for problem in problems[:20]:
            print(visible(f"{name}: {problem}"))
        if len(problems) > 20:
            print(visible(f"{name}: and {len(problems) - 20} more"))
    print(f"{len(found)} results in {folder}, {len(wrong)} with problems")
    return int(bool(wrong))


def _write(path: Path, content: str) -> None:
    from ..harness.store import replacing

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(content, "utf-8", newline="")
    except OSError as error:
        raise RedoneError(
            f"{path} cannot be written: {error.strerror}. Name another --output."
        ) from None
