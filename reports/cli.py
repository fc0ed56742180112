"""`redone report`: finished runs on one self-contained page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..tasks.command import Parser, run_command, visible
from ..tasks.errors import RedoneError


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="redone report",
        description="Compares finished runs on one self-contained page: the verdict, the seesaw, "
        "every task, and the examples that were fixed and broken. The first run is the base.",
        epilog="Example: redone report runs/base runs/stage1 runs/stage2 --output report.html. "
        "Live view of a run in progress: redone report --watch runs/base",
    )
    p.add_argument("runs", nargs="+", metavar="RUN", help="run folders or saved baselines")
    p.add_argument("--output", metavar="FILE", help="default: report.html or report.md")
    p.add_argument("--open", action="store_true", help="open the page in the browser")
    p.add_argument(
        "--watch",
        action="store_true",
        help="instead of a page, show the progress of one run in the terminal until it is finished",
    )
    p.add_argument(
        "--format",
        choices=("html", "md"),
        help="default: by the suffix of --output; md is for pull requests",
    )
    p.add_argument(
        "--candidates",
        action="store_true",
        help="the runs after the base are separate candidates, not stages of a chain",
    )
    p.add_argument(
        "--training",
        metavar="DIR",
        action="append",
        default=[],
        help="also show the training logs of a stage's folder or of redone train's --output "
        "(found automatically for runs made by redone train)",
    )
    p.add_argument("--seesaw", metavar="FILE", help="also draw the seesaw as .svg or .png")
    compared = p.add_argument_group("comparison")
    compared.add_argument("--policy", metavar="FILE", help="gate policy (default: redone gate's)")
    compared.add_argument("--partition", metavar="NAME", help="overrides the policy's partition")
    compared.add_argument(
        "--allow", metavar="FIELDS", default="", help="compare although these fields differ"
    )
    shown = p.add_argument_group("examples")
    shown.add_argument(
        "--examples", type=int, metavar="N", help="flips shown per run (default: 2000, md: 10)"
    )
    shown.add_argument(
        "--all-examples", action="store_true", help="show all flips, and cut no text"
    )
    shown.add_argument("--seed", type=int, default=0, help="for the choice of examples")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    options = parser().parse_args(argv)
    command = list(sys.argv[1:] if argv is None else argv)
    return run_command("redone report", lambda: _run(options, command))


def _run(options: argparse.Namespace, command: list[str]) -> int:
    if options.watch:
        from .watch import watch

        if len(options.runs) != 1:
            raise RedoneError(f"--watch shows one run, but {len(options.runs)} were given.")
        return watch(Path(options.runs[0]))

    import webbrowser

    from ..harness.gate.policy import load_policy, policy_of
    from .report import FORMATS, ReportConfig, make_report

    output = Path(options.output or f"report.{options.format or 'html'}")
    if options.open and (options.format or FORMATS.get(output.suffix, "html")) != "html":
        raise RedoneError("--open shows a page in the browser: it needs an .html file.")
    policy = load_policy(options.policy)
    if options.partition:
        changed = {**policy.model_dump(mode="json"), "partition": options.partition}
        policy = policy_of(changed, f"--partition {options.partition}")
    report = make_report(
        ReportConfig(
            runs=options.runs,
            output=output,
            policy=policy,
            format=options.format,
            chain=not options.candidates,
            allowed={f.strip() for f in options.allow.split(",") if f.strip()},
            training=[Path(folder) for folder in options.training],
            examples=options.examples,
            all_examples=options.all_examples,
            seed=options.seed,
            seesaw=Path(options.seesaw) if options.seesaw else None,
            command=command,
        )
    )
    print(visible(report.sentence))
    print(report.path)
    if options.open and not webbrowser.open(report.path.resolve().as_uri()):
        print(
            f"redone report: could not start a browser; open {report.path} yourself",
            file=sys.stderr,
        )
    return 0
