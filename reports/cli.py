"""`redone-report`: finished runs as one page that opens from disk."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..tasks.command import Parser, run_command
from ..tasks.errors import RedoneError

ENDINGS = {".html": "html", ".htm": "html", ".md": "md"}


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="redone-report",
        description="One self-contained page about finished runs: the verdict, the seesaw, every "
        "task, and the examples that were fixed and broken. The first run is the base.",
        epilog="Example: redone-report runs/base runs/stage1 runs/stage2 --output report.html. "
        "Live view of a run that is going on: redone-report --watch runs/base",
    )
    p.add_argument("runs", nargs="+", metavar="RUN", help="run folders or saved baselines")
    p.add_argument("--output", metavar="FILE", help="default report.html, or report.md")
    p.add_argument("--open", action="store_true", help="open the page in the browser")
    p.add_argument(
        "--watch",
        action="store_true",
        help="no page: show one run in the terminal while it is going on, until it is finished",
    )
    p.add_argument(
        "--format", choices=("html", "md"), help="default: as --output ends; md for pull requests"
    )
    p.add_argument(
        "--candidates",
        action="store_true",
        help="the runs after the base are candidates beside one another, not stages of a chain",
    )
    p.add_argument(
        "--training",
        metavar="DIR",
        action="append",
        default=[],
        help="also show the training logged there: a stage's folder, or redone-train's --output "
        "(found by itself for runs that redone-train made)",
    )
    p.add_argument("--seesaw", metavar="FILE", help="also draw the seesaw as .svg or .png")
    judged = p.add_argument_group("how they are judged")
    judged.add_argument("--policy", metavar="FILE", help="of redone-gate (default: its default)")
    judged.add_argument("--partition", metavar="NAME", help="replaces the policy's partition")
    judged.add_argument(
        "--allow", metavar="FIELDS", default="", help="compare although these fields differ"
    )
    shown = p.add_argument_group("examples")
    shown.add_argument(
        "--examples", type=int, metavar="N", help="flips shown of each run (default 2000)"
    )
    shown.add_argument(
        "--all-examples", action="store_true", help="all flips, however heavy; no text is cut"
    )
    shown.add_argument("--seed", type=int, default=0, help="of the choice of examples")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    options = parser().parse_args(argv)
    words = list(sys.argv[1:] if argv is None else argv)
    return run_command(
        "redone-report", lambda: live(options) if options.watch else run(options, words)
    )


def live(options: argparse.Namespace) -> int:
    """Show a run that is going on."""
    from .live import watch

    if len(options.runs) != 1:
        raise RedoneError(f"--watch shows one run, and {len(options.runs)} are named.")
    return watch(Path(options.runs[0]))


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Read, judge, write."""
    import webbrowser

    from ..harness.gate.policy import load_policy, policy_of
    from ..harness.store import replacing
    from ..harness.wording import visible
    from .drawing import FORMATS, write_picture
    from .examples import MOST, examples
    from .provenance import provenance
    from .seesaw import seesaw
    from .stages import open_report
    from .training_log import training_logs
    from .verdict import verdict

    output = Path(options.output or f"report.{options.format or 'html'}")
    form = options.format or ENDINGS.get(output.suffix)
    if form is None:
        raise RedoneError(
            f"--output {options.output}: a name ending in .html or .md is expected, or --format "
            "html or md. Browsers print a page to PDF."
        )
    if options.open and form != "html":
        raise RedoneError("--open shows a page in the browser: it needs an .html file.")
    if options.seesaw and Path(options.seesaw).suffix not in FORMATS:
        raise RedoneError(f"--seesaw {options.seesaw}: a name ending in .svg or .png is expected.")
    if options.examples is not None and options.examples < 0:
        raise RedoneError(f"--examples {options.examples}: 0 or more is expected.")
    policy = load_policy(options.policy)
    if options.partition:
        changed = {**policy.model_dump(mode="json"), "partition": options.partition}
        policy = policy_of(changed, f"--partition {options.partition}")
    report = open_report(
        options.runs,
        policy,
        chain=not options.candidates,
        allowed={f.strip() for f in options.allow.split(",") if f.strip()},
    )
    logs = training_logs(report, [Path(folder) for folder in options.training])
    found = seesaw(report)
    origin = provenance(report, argv)
    most = MOST if options.examples is None else options.examples
    if form == "md":
        from .markdown import EXAMPLES, markdown

        if options.examples is None:
            most = EXAMPLES
        kept = examples(report.compared, None if options.all_examples else most, options.seed)
        content = markdown(report, found, kept, origin, logs)
    else:
        from .page import html

        kept = examples(report.compared, None if options.all_examples else most, options.seed)
        content = html(report, found, kept, origin, logs)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with replacing(output) as temporary:
            temporary.write_text(content, "utf-8")
    except OSError as error:
        raise RedoneError(
            f"{output} cannot be written: {error.strerror}. Name another --output."
        ) from None
    if options.seesaw:
        write_picture(found, Path(options.seesaw))
    print(visible(verdict(report, found).sentence))
    print(output)
    if options.open and not webbrowser.open(output.resolve().as_uri()):
        print(f"redone-report: no browser could be started; open {output}", file=sys.stderr)
    return 0
