"""Error rates of the gate, from simulated pairs of runs with a known true difference.

Every pair is decided by the gate's own code under the default policy, and for comparison by common
practice: a fixed threshold, and unpaired standard errors, which ignore that both runs answered the
same samples. Progress is saved: rerun the same command to resume.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from gate_error_report import write_report
from machine import TINY, results
from simulated_runs import CORRELATIONS, LEVELS, Population, correlations, measure, population

from redone.harness.compare import differences
from redone.harness.gate.decision import decide_on, verdict_of
from redone.harness.gate.policy import Policy, load_policy, policy_of
from redone.harness.run_folder import replacing
from redone.harness.scored_run import ScoredRun, TaskScores
from redone.harness.stats import Sums, leave_one_out, nested_mean
from redone.tasks.errors import RedoneError
from redone.tasks.sources import data_folder

RESULTS = Path(__file__).parent / "results" / "gate_error_rates.json"
RESAMPLES = 1_000
"""Of each simulated pair; on some pairs, the verdict is compared with that of 10,000."""

HALF_MARGIN = 3.0
"""The margin of suite sns if only its `gate` partition (half of the samples) is compared."""

THRESHOLDS = (1.0, 2.0)
"""Points: the candidate fails if its score is lower by more."""

CHECKED = 10
SAVED = 50


@dataclass(frozen=True, slots=True)
class Case:
    """One true difference in one population.

    Attributes:
        suite: Of the registry.
        drop: The true drop, in margins.
        pairs: To simulate.
        partition: Only this one's samples.
        size: Factor on the number of samples.
    """

    suite: str
    drop: int
    pairs: int
    partition: str = ""
    size: float = 1.0

    @property
    def key(self) -> str:
        part = f", {self.partition}" if self.partition else ""
        return f"{self.suite}{part}, size {self.size:g}, drop {self.drop}"


def cases(pairs: int) -> list[Case]:
    """All that is simulated, the largest number of pairs where the promises are."""
    some, few = math.ceil(pairs / 4), math.ceil(pairs / 8)
    return [
        *(Case("sns", drop, pairs) for drop in (0, 1, 2)),
        *(Case("sns", 2, some, size=size) for size in (0.25, 0.5, 2.0)),
        *(Case("sns", drop, some, partition="gate") for drop in (0, 1, 2)),
        *(Case("sns-mini", drop, some) for drop in (0, 1, 2)),
        *(Case("tweeteval", drop, few) for drop in (0, 1, 2)),
    ]


def policy_for(case: Case) -> Policy:
    """The default policy; its margin is replaced where only half of the samples are compared."""
    policy = load_policy()
    if not case.partition:
        return policy
    changed = policy.model_dump(mode="json")
    changed["suites"][case.suite]["margin"] = HALF_MARGIN
    return policy_of(changed, "of the benchmark")


def simulate(case: Case, whole: Population, kept: dict[str, Any], save: Any) -> None:
    """Adds the pairs that are missing to the counts of a case."""
    policy = policy_for(case)
    margin = policy.suites[case.suite].margin
    people = whole.partition(case.partition) if case.partition else whole
    if case.size != 1:
        people = people.resized(case.size, seed=0)
    factor = people.factor(case.drop * margin)
    counts = kept.setdefault(case.key, _nothing(people.size, margin, case.drop * margin))
    stream = zlib.crc32(case.key.encode())
    for number in range(counts["pairs"], case.pairs):
        pair = people.pair(factor, np.random.default_rng([stream, number]))
        found = differences(pair, RESAMPLES, number)
        row = next(r for r in found if (r.level, r.name) == ("suite", case.suite))
        outcome = decide_on(found, policy).outcome
        error = unpaired_error(pair, people)
        reach = NormalDist().inv_cdf(1 - policy.level) * error
        verdict = verdict_of(row.difference - reach, row.difference + reach, margin)
        counts["pairs"] += 1
        counts["gate"][outcome] += 1
        counts["unpaired"][_OUTCOMES[verdict]] += 1
        counts["any drop"] += row.difference + reach < 0
        for threshold in THRESHOLDS:
            counts["threshold"][f"{threshold:g}"] += row.difference < -threshold
        for name, value in (("difference", row.difference), ("square", row.difference**2),
                            ("error", row.error), ("unpaired error", error)):  # fmt: skip
            counts["sums"][name] += value
        if number < CHECKED and _promised(case):
            again = decide_on(differences(pair, policy.resamples, number), policy).outcome
            counts["checked"] += 1
            counts["agree"] += again == outcome
        if (number + 1) % SAVED == 0:
            save()
            print(f"{case.key}: {number + 1} of {case.pairs}", file=sys.stderr)
    save()


_OUTCOMES = {
    "regressed": "regression",
    "not worse": "pass",
    "improved": "pass",
    "undecided": "undecided",
}


def _promised(case: Case) -> bool:
    return case.suite == "sns" and not case.partition and case.size == 1


def _nothing(samples: int, margin: float, drop: float) -> dict[str, Any]:
    outcomes = dict.fromkeys(("pass", "regression", "undecided"), 0)
    return {
        "samples": samples,
        "margin": margin,
        "drop": drop,
        "pairs": 0,
        "gate": dict(outcomes),
        "unpaired": dict(outcomes),
        "any drop": 0,
        "threshold": {f"{t:g}": 0 for t in THRESHOLDS},
        "sums": dict.fromkeys(("difference", "square", "error", "unpaired error"), 0.0),
        "checked": 0,
        "agree": 0,
    }


def unpaired_error(pair: Mapping[str, tuple[TaskScores, TaskScores]], people: Population) -> float:
    """The standard error of the suite's difference from the two runs' own standard errors.

    Args:
        pair: Base and candidate by task.
        people: Whose mean it is.

    Returns:
        Points. Per task and run the standard error of independent items: for a mean lm-eval's
        (the sample's standard deviation over the root of n), for other metrics the jackknife's,
        in the place of lm-eval's bootstrap. Tasks and runs are combined as if independent.
    """
    square = 0.0
    for name, sides in pair.items():
        weight = nested_mean(people.groups, {n: float(n == name) for n in pair})
        for scores in sides:
            items = Sums(np.arange(len(scores)), scores.stats, np.ones(len(scores), dtype=int))
            left_out = leave_one_out(items, scores.scoring.metrics[0].from_sums)
            square += weight**2 * left_out.var() * (len(scores) - 1)
    return math.sqrt(square)


def settings(pairs: int) -> dict[str, Any]:
    """What the counts depend on: they are restarted if it changes."""
    return {
        "pairs": pairs,
        "policy": load_policy().hash,
        "half margin": HALF_MARGIN,
        "resamples": RESAMPLES,
        "levels": dict(LEVELS),
        "correlations": {name: round(c, 4) for name, c in sorted(correlations().items())},
        "measured": json.loads(CORRELATIONS.read_text("utf-8")),
    }


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--data-dir", metavar="DIR", help="with SNS-Bench, SNS-TransBench, TweetEval")
    p.add_argument("--pairs", type=int, default=1000, help="pairs per case (default 1000)")
    p.add_argument("--only", metavar="TEXT", default="", help="only cases whose name contains this")
    p.add_argument(
        "--measure",
        nargs=2,
        metavar="RUN",
        help=f"only write {CORRELATIONS.name}: the correlations of two runs, per task",
    )
    p.add_argument("--tiny", action="store_true", help=TINY)
    options = p.parse_args()
    path = results(options.tiny) / RESULTS.name
    if options.tiny:
        options.pairs, options.only = 2, options.only or Case("sns-mini", 0, 1).key
    try:
        if options.measure:
            _write(CORRELATIONS, measure(*map(ScoredRun, options.measure)))
            return 0
        run(data_folder(options.data_dir), options.pairs, options.only, path)
    except RedoneError as error:
        print(f"gate_error_rates: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def run(folder: Path, pairs: int, only: str, path: Path = RESULTS) -> None:
    """Simulates the missing pairs, then writes and prints the report."""
    current = settings(pairs)
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if kept.get("settings") != current:
        kept = {"settings": current, "cases": {}}
    populations: dict[str, Population] = {}
    for case in cases(pairs):
        done = kept["cases"].get(case.key, {}).get("pairs", 0)
        if done >= case.pairs or only not in case.key:
            continue
        if case.suite not in populations:
            populations[case.suite] = population(case.suite, folder)
        simulate(case, populations[case.suite], kept["cases"], lambda: _write(path, kept))
    print(write_report(kept, path.with_suffix(".md")))


def _write(path: Path, record: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
