"""`redone leaderboard`: published and measured scores side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..tasks.command import Parser, run_command, visible
from ..tasks.errors import RedoneError, UnknownName

if TYPE_CHECKING:
    from .schema import Submission

RESULTS = Path(__file__).with_name("results")
CHECKOUT = Path("leaderboards/results")
"""The same folder in a checkout, where a pull request adds a file."""
FORMATS = ("html", "md", "csv")


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="redone leaderboard",
        description="Prints the leaderboard: scores as printed in papers, and scores measured with "
        "redone, each with its signature. Only scores measured under the same conditions are "
        "ranked together.",
        epilog="Example: redone leaderboard --run runs/mine --output board.html",
    )
    p.add_argument("--output", metavar="FILE", help=".html, .md or .csv instead of the terminal")
    p.add_argument(
        "--run", metavar="RUN", action="append", default=[], help="also show a finished run folder"
    )
    p.add_argument(
        "--results", metavar="DIR", help="submitted results (default: those shipped with redone)"
    )
    p.add_argument("--suite", metavar="NAME", help="only this suite's table")
    p.add_argument(
        "--check",
        action="store_true",
        help="only recompute the papers' averages and claimed differences; exit 1 if one does not "
        "hold",
    )
    verbs = p.add_subparsers(dest="verb", metavar="{submit,validate}")
    submit = verbs.add_parser(
        "submit",
        help="write the result file of a finished run, for a pull request",
        description="Writes the scores, intervals and signatures of a finished run as one JSON "
        "file without texts. A pull request that adds it adds a row to the leaderboard.",
    )
    submit.add_argument("source", metavar="RUN", help="run folder or saved baseline")
    submit.add_argument("--name", help="of the model on the leaderboard (default: the run's)")
    submit.add_argument(
        "--output", dest="folder", metavar="DIR", help=f"default: {CHECKOUT}, if it exists"
    )
    validate = verbs.add_parser(
        "validate",
        help="check result files; exit 1 if one is invalid",
        description="Checks every result file of a folder: schema, signatures, means, scores "
        "recomputed from their statistics, duplicates.",
    )
    validate.add_argument(
        "folder", metavar="DIR", nargs="?", help="default: the results shipped with redone"
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    options = parser().parse_args(argv)
    return run_command("redone leaderboard", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    if options.verb == "submit":
        return submit(options.source, options.name, options.folder)
    if options.verb == "validate":
        return validate(Path(options.folder) if options.folder else RESULTS)
    return show(
        Path(options.output) if options.output else None,
        runs=options.run,
        results=Path(options.results) if options.results else RESULTS,
        suite=options.suite,
        check=options.check,
    )


def show(
    output: Path | None,
    *,
    runs: Sequence[str] = (),
    results: Path = RESULTS,
    suite: str | None = None,
    check: bool = False,
) -> int:
    """Prints the board, or writes it to a file; returns the exit code.

    Args:
        output: An .html, .md or .csv file; None: the terminal.
        runs: Finished runs to show besides the submitted results.
        results: The folder of submitted results.
        suite: Only this suite's sheet.
        check: Only recompute what papers print; 1 if something does not hold.
    """
    from ..harness.json_file import write_file
    from ..harness.published.paper import load_paper, path_of, shipped
    from ..tasks.registry import SUITES
    from .board import board, findings
    from .display import findings_text, markdown, page, print_board, spreadsheet

    form = output.suffix.removeprefix(".") if output else ""
    if output and form not in FORMATS:
        raise RedoneError(f"--output {output}: a name ending in .html, .md or .csv is expected.")
    papers = [load_paper(path) for name in shipped() if (path := path_of(name))]
    found = [finding for paper in papers for finding in findings(paper)]
    if check:
        print("\n".join(findings_text(found)))
        return int(any(f.expected and not f.holds for f in found))
    sheets = board(papers, _submissions(results, runs))
    if suite:
        if suite not in SUITES:
            raise UnknownName("suite", suite, SUITES)
        sheets = tuple(sheet for sheet in sheets if sheet.name == suite)
        if not sheets:
            raise RedoneError(f"No row has scores on suite {suite}: add one with --run RUN.")
    if output is None:
        print_board(sheets, found)
        return 0
    if form == "csv":
        content = spreadsheet(sheets)
    else:
        content = (page if form == "html" else markdown)(sheets, found)
    write_file(output, content.encode("utf-8"), parents=True)
    print(output)
    return 0


def _submissions(results: Path, runs: Sequence[str]) -> list[Submission]:
    """The submitted results, validated, and the runs that were named."""
    from ..harness.scored_run import ScoredRun
    from .schema import load
    from .submission import problems, results_in, submission_of

    found = []
    for path in results_in(results):
        submission = load(path)
        if wrong := next(problems(submission), None):
            raise RedoneError(
                f"{path}: {wrong}. The leaderboard shows valid results only; "
                f"`redone leaderboard validate {path.parent}` lists all problems."
            )
        found.append(submission)
    own = [submission_of(ScoredRun(run), baselines=True) for run in runs]
    known = {submission.hash for submission in own}
    return [*(s for s in found if s.hash not in known), *own]


def submit(run: str, name: str | None, folder: str | None) -> int:
    """Writes the submission of a run."""
    from .submission import submit_run

    if not folder and not CHECKOUT.is_dir():
        raise RedoneError(f"There is no {CHECKOUT} here: name a folder with --output DIR.")
    print(submit_run(run, name, Path(folder) if folder else CHECKOUT))
    return 0


def validate(folder: Path) -> int:
    """Validates a folder of submissions; returns the exit code."""
    from .submission import problems_of

    found = problems_of(folder)
    invalid = {name: problems for name, problems in found.items() if problems}
    for name, problems in invalid.items():
        for problem in problems[:20]:
            print(visible(f"{name}: {problem}"))
        if len(problems) > 20:
            print(visible(f"{name}: and {len(problems) - 20} more"))
    plural = "" if len(found) == 1 else "s"
    print(f"{len(found)} result file{plural} in {folder}, {len(invalid)} with problems")
    return int(bool(invalid))
