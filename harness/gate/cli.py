"""`redone-gate`: may this checkpoint go on? Compare two runs and end with an exit code."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ...tasks.command import USAGE, Parser, run_command
from ..errors import NotComparable


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="redone-gate",
        description="Is the candidate worse than the base? Both are run folders of redone-eval.",
        epilog="Exit codes: 0 pass, 1 regression, 2 undecided, 3 the runs can't be compared, "
        "64 bad usage.",
    )
    p.add_argument(
        "runs", nargs="*", metavar="RUN", help="BASE CANDIDATE; only CANDIDATE with --baseline"
    )
    p.add_argument("--policy", metavar="FILE", help="TOML (default: print it with --show-policy)")
    p.add_argument("--show-policy", action="store_true", help="print the default policy and end")
    p.add_argument("--baseline", metavar="NAME", help="a saved baseline is the base")
    p.add_argument("--save-baseline", metavar="NAME", help="keep the last run as a baseline")
    p.add_argument(
        "--baselines", metavar="DIR", default="baselines", help="where they are (./baselines)"
    )
    p.add_argument(
        "--allow", metavar="FIELDS", default="", help="compare although these fields differ"
    )
    p.add_argument("--partition", metavar="NAME", help="replaces the policy's partition")
    p.add_argument(
        "--output",
        metavar="DIR",
        help="where gate.json, gate.md and gate.xml go (default: the candidate's run folder)",
    )
    p.add_argument("--flips", metavar="FILE", help="write fixed and broken samples as JSON lines")
    p.add_argument("--json", action="store_true", help="print gate.json instead of the table")
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
        lambda: run(options, judge=given == expected),
        # 1 and 2 are verdicts: a problem with the runs is 3, anything else 64.
        code_of=lambda error: 3 if error.exit_code in (3, 65) else USAGE,
        broken_pipe=USAGE,
    )


def run(options: Namespace, judge: bool) -> int:
    """Compare, decide, write, print."""
    from ..comparison import compare
    from ..flips import write_flips
    from ..scored import ScoredRun
    from . import baseline, output
    from .decision import decide
    from .policy import load_policy, policy_of

    folder = Path(options.baselines)
    candidate = ScoredRun(options.runs[-1])
    code = 0
    if judge:
        policy = load_policy(options.policy)
        if options.partition:
            changed = {**policy.model_dump(mode="json"), "partition": options.partition}
            policy = policy_of(changed, f"--partition {options.partition}")
        base = (
            baseline.load(options.baseline, folder)
            if options.baseline
            else ScoredRun(options.runs[0])
        )
        target = Path(options.output or candidate.path)
        try:
            comparison = compare(
                base,
                candidate,
                role=policy.scoring,
                partition=policy.partition,
                allowed=[f.strip() for f in options.allow.split(",") if f.strip()],
                resamples=policy.resamples,
                seed=policy.seed,
            )
        except NotComparable as error:
            output.write_refusal(base, candidate, error, target / "gate.json")
            raise
        gate = decide(comparison, policy)
        output.write_json(gate, target / "gate.json")
        output.write_markdown(gate, target / "gate.md")
        output.write_junit(gate, target / "gate.xml")
        if options.flips:
            count = write_flips(comparison, options.flips)
            print(f"{count} flips: {options.flips}", file=sys.stderr)
        if options.json:
            sys.stdout.write((target / "gate.json").read_text("utf-8"))
        else:
            output.show(gate)
        code = gate.exit_code
    if options.save_baseline:
        saved = baseline.save(candidate, options.save_baseline, folder)
        print(f"Saved baseline {saved}.", file=sys.stderr)
    return code
