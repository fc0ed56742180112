"""`redone gate`: compares two runs and ends with an exit code: pass, regression or undecided."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...tasks.command import USAGE, Parser, run_command

if TYPE_CHECKING:
    from ..scored_run import ScoredRun


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="redone gate",
        description="Is the candidate worse than the base? Both are run folders of redone eval.",
        epilog="Exit codes: 0 pass, 1 regression, 2 undecided, 3 the runs can't be compared, "
        "64 bad usage.",
    )
    add = p.add_argument
    add("runs", nargs="*", metavar="RUN", help="BASE CANDIDATE; only CANDIDATE with --baseline")
    add("--policy", metavar="FILE", help="TOML (default: see --show-policy)")
    add("--show-policy", action="store_true", help="print the default policy and exit")
    add("--baseline", metavar="NAME", help="use a saved baseline as the base")
    add("--save-baseline", metavar="NAME", help="save the last run as a baseline")
    add("--replace", action="store_true", help="--save-baseline may replace one of that name")
    add("--baselines", metavar="DIR", default="baselines", help="folder of baselines (./baselines)")
    add("--allow", metavar="FIELDS", default="", help="compare even if these fields differ")
    add("--partition", metavar="NAME", help="overrides the policy's partition")
    add(
        "--output",
        metavar="DIR",
        help="folder for gate.json, gate.md and gate.xml (default: the candidate's run folder)",
    )
    add("--flips", metavar="FILE", help="write fixed and broken samples as JSON lines")
    add("--json", action="store_true", help="print gate.json instead of the table")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    p = parser()
    options = p.parse_args(argv)
    given, expected = len(options.runs), 1 if options.baseline else 2
    if options.show_policy:
        from .policy import DEFAULT

        sys.stdout.write(DEFAULT.read_text("utf-8"))
        return 0
    if given != expected and not (given == 1 and options.save_baseline):
        p.error(f"{expected} run folder(s) expected, {given} given")
    return run_command(
        p.prog,
        lambda: _run(options, gate=given == expected),
        # 1 and 2 are verdicts: a problem with the runs is 3, anything else 64.
        code_of=lambda error: 3 if error.exit_code in (3, 65) else USAGE,
        broken_pipe=USAGE,
    )


def _run(options: Namespace, gate: bool) -> int:
    """Gates the candidate, or only saves it as a baseline; returns the exit code."""
    from ..scored_run import ScoredRun, refuse_baseline, save_baseline

    folder, candidate, code = Path(options.baselines), ScoredRun(options.runs[-1]), 0
    if options.save_baseline:  # before anything is computed
        refuse_baseline(options.save_baseline, folder, options.replace)
    if gate:
        code = _gate(options, candidate)
    if options.save_baseline:
        saved = save_baseline(candidate, options.save_baseline, folder)
        print(f"Saved baseline {saved}.", file=sys.stderr)
    return code


def _gate(options: Namespace, candidate: ScoredRun) -> int:
    """Compares, decides, writes and prints; returns the exit code."""
    from ..flips import write_flips
    from ..scored_run import ScoredRun, load_baseline
    from .output import run_gate, show
    from .policy import load_policy, policy_of

    policy = load_policy(options.policy)
    if options.partition:
        changed = {**policy.model_dump(mode="json"), "partition": options.partition}
        policy = policy_of(changed, f"--partition {options.partition}")
    if options.baseline:
        base = load_baseline(options.baseline, Path(options.baselines))
    else:
        base = ScoredRun(options.runs[0])
    output = Path(options.output or candidate.path)
    allowed = [f.strip() for f in options.allow.split(",") if f.strip()]
    gate = run_gate(base, candidate, policy, output, allowed)
    if options.flips:
        count = write_flips(gate.comparison, options.flips)
        print(f"{count} flips: {options.flips}", file=sys.stderr)
    if options.json:
        sys.stdout.write((output / "gate.json").read_text("utf-8"))
    else:
        show(gate)
    return gate.exit_code
