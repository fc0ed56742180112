"""Verdicts and the decision of the gate.

A row's verdict is that of a non-inferiority test: its (1 - 2 alpha) bootstrap interval is compared
with the margin. The p-values of rows that decide are adjusted by Holm's procedure (Holm 1979);
those of tasks, which only inform, by that of Benjamini and Hochberg (1995).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...tasks.registry import SUITES, suite_tasks
from ..compare import Comparison, Difference
from .policy import Policy, SuitePolicy

Verdict = Literal["regressed", "not worse", "improved", "undecided"]
Outcome = Literal["pass", "regression", "undecided"]

EXIT_CODES: dict[Outcome, int] = {"pass": 0, "regression": 1, "undecided": 2}


@dataclass(frozen=True)
class RowVerdict:
    """One row of the table with its verdict.

    Attributes:
        margin: Points; the largest drop that still counts as not worse.
        low, high: The (1 - 2 alpha) interval, points.
        verdict: From interval and margin. `improved` implies `not worse`.
        p_regressed: One-sided p-value of the hypothesis "did not drop by the margin".
        p_adjusted: The same after the policy's correction; None for rows that only inform.
        q: Two-sided p-value of "no difference", Benjamini-Hochberg-adjusted over tasks; None for
            rows that are no task.
        settle: Estimated number of samples for a decision, if the true difference is the observed
            one; None if the row is decided or no number suffices.
        role: `domain`, `robustness`, or `protected` for a task that decides; None: it only informs.
        require_rise: Whether it must improve.
    """

    row: Difference
    margin: float
    low: float
    high: float
    verdict: Verdict
    p_regressed: float
    p_adjusted: float | None = None
    q: float | None = None
    settle: int | None = None
    role: str | None = None
    require_rise: bool = False

    @property
    def decides(self) -> bool:
        return self.role is not None

    def regressed(self, alpha: float) -> bool:
        """Whether this row fails the gate: it dropped by more than the margin, after correction."""
        return self.verdict == "regressed" and (self.p_adjusted or 0.0) <= alpha

    @property
    def passes(self) -> bool:
        """Whether this row allows the gate to pass."""
        good = ("improved",) if self.require_rise else ("improved", "not worse")
        return self.verdict in good


@dataclass(frozen=True)
class Decision:
    """The result of applying a policy to differences; `reasons` are sentences.

    `outcome` is by the statistics alone, `exit_code` that of the outcome under the policy.
    """

    policy: Policy
    outcome: Outcome
    exit_code: int
    rows: list[RowVerdict]
    reasons: list[str]

    @property
    def deciding(self) -> list[RowVerdict]:
        return [j for j in self.rows if j.decides]


@dataclass(frozen=True)
class Gate(Decision):
    """A decision and the comparison of two runs that it is based on."""

    comparison: Comparison


def verdict_of(low: float, high: float, margin: float) -> Verdict:
    """The verdict of an interval (points) and a margin above 0.

    `undecided` if the interval is undefined or contains -margin in its interior.
    """
    if math.isnan(low) or math.isnan(high):
        return "undecided"
    if high < -margin:
        return "regressed"
    if low > 0:
        return "improved"
    return "not worse" if low >= -margin else "undecided"


def decide(comparison: Comparison, policy: Policy) -> Gate:
    """Applies a policy to a comparison; see `decide_on`."""
    decision = decide_on(comparison.differences, policy)
    return Gate(**vars(decision), comparison=comparison)


def decide_on(differences: Sequence[Difference], policy: Policy) -> Decision:
    """Applies a policy to the differences of two runs.

    The gate *passes* if every deciding row is not worse (improved, where a rise is required), each
    at alpha: an intersection-union test, which needs no correction. It finds a *regression* if,
    after Holm's correction over the deciding rows, any of them dropped by more than its margin.
    Otherwise it is *undecided*.
    """
    alpha = policy.level
    rows = _corrected([_verdict(row, policy, alpha) for row in differences], policy)
    reasons = _missing(differences, policy)
    deciding = [j for j in rows if j.decides]
    if not deciding:
        reasons.append("No suite of these runs decides under this policy.")
    regressed = [j for j in deciding if j.regressed(alpha)]
    reasons += [f"{j.row.title} regressed: {_evidence(j)}." for j in regressed]
    reasons += [_why_undecided(j) for j in deciding if not j.passes and not j.regressed(alpha)]
    outcome: Outcome = "regression" if regressed else "undecided" if reasons else "pass"
    if outcome == "pass":
        reasons = [f"{j.row.title}: {j.verdict}, {_evidence(j)}." for j in deciding]
    code = EXIT_CODES[outcome]
    if outcome == "undecided" and policy.undecided != "stop":
        code = EXIT_CODES["pass" if policy.undecided == "pass" else "regression"]
        reasons.append(f"The policy makes undecided a {policy.undecided}.")
    return Decision(policy, outcome, code, rows, reasons)


def _verdict(row: Difference, policy: Policy, alpha: float) -> RowVerdict:
    rules = _rules(row, policy)
    role, rise, margin = None, False, rules.task_margin if rules else 5.0
    if row.level == "suite" and rules:
        role, rise, margin = rules.role, rules.require_rise, rules.margin
    elif row.level == "benchmark" and rules:
        margin = rules.margin
    elif row.level == "task" and row.name in policy.protected:
        role, margin = "protected", policy.protected[row.name]
    low, high = row.interval(alpha)
    verdict = verdict_of(low, high, margin)
    settle = _settle(row, verdict, margin, (high - low) / 2, rise)
    p = tail_p(row.resampled, -margin)
    return RowVerdict(
        row, margin, low, high, verdict, p, settle=settle, role=role, require_rise=rise
    )


def _rules(row: Difference, policy: Policy) -> SuitePolicy | None:
    """The rules of the suite that a row is or belongs to."""
    if row.level == "suite":
        return policy.suites.get(row.name, policy.other)
    for name in SUITES:
        if set(row.of) <= {task.name for task in suite_tasks(name)}:
            return policy.suites.get(name, policy.other)
    return policy.other


def _corrected(rows: list[RowVerdict], policy: Policy) -> list[RowVerdict]:
    """Adds Holm's p-values to the rows that decide and Benjamini-Hochberg's to the tasks."""
    p = np.array([j.p_regressed for j in rows if j.decides])
    adjusted = iter(holm(p) if policy.correction == "holm" else p)
    moved = [j.row.resampled for j in rows if j.row.level == "task"]
    q = iter(benjamini_hochberg(np.array([two_sided_p(resampled) for resampled in moved])))
    return [
        replace(
            j,
            p_adjusted=float(next(adjusted)) if j.decides else None,
            q=float(next(q)) if j.row.level == "task" else None,
        )
        for j in rows
    ]


def _settle(
    row: Difference, verdict: Verdict, margin: float, half: float, rise: bool
) -> int | None:
    """Estimated number of samples with which the interval excludes the threshold in question."""
    if verdict == "undecided":
        distance = abs(row.difference + margin)
    elif rise and verdict == "not worse":
        distance = max(0.0, row.difference)
    else:
        return None
    if math.isnan(distance) or distance == 0 or math.isnan(half):
        return None
    return math.ceil(row.samples * (half / distance) ** 2)


def _missing(differences: Sequence[Difference], policy: Policy) -> list[str]:
    """Suites and tasks that the policy requires and the runs do not have."""
    found = {(row.level, row.name) for row in differences}
    suites = [name for name, rules in policy.suites.items() if not rules.optional]
    wanted = [("suite", "asks for suite", name) for name in suites]
    wanted += [("task", "protects", name) for name in policy.protected]
    return [
        f"The policy {verb} {name}, which these runs do not have."
        for level, verb, name in wanted
        if (level, name) not in found
    ]


def _evidence(j: RowVerdict) -> str:
    return (
        f"{j.row.difference:+.2f} points [{j.low:+.2f}, {j.high:+.2f}] against a margin of "
        f"{j.margin:g}"
    )


def _why_undecided(j: RowVerdict) -> str:
    """Why a deciding row does not pass."""
    if j.verdict == "regressed":
        return f"{j.row.title} regressed, but not after Holm's correction: {_evidence(j)}."
    if j.verdict == "not worse":
        wanted = f"; about {j.settle:,} samples would settle it" if j.settle else ""
        return f"{j.row.title} was to rise, and is only not worse: {_evidence(j)}{wanted}."
    if math.isnan(j.low):
        return f"{j.row.title} has no defined difference."
    more = (
        f"about {j.settle:,} samples (now {j.row.samples:,}) would settle it"
        if j.settle
        else "no number of samples would settle a difference that equals the margin"
    )
    return f"{j.row.title} is undecided: {_evidence(j)}; {more}."


def tail_p(figures: np.ndarray, threshold: float = 0.0) -> float:
    """One-sided bootstrap p-value: the share of resampled figures at or above a threshold.

    It is (count + 1) / (B + 1), so never 0; NaN if one of the B figures is.
    """
    if np.isnan(figures).any():
        return float("nan")
    return float(((figures >= threshold).sum() + 1) / (len(figures) + 1))


def two_sided_p(figures: np.ndarray) -> float:
    """Two-sided bootstrap p-value of a difference of zero; NaN where undefined."""
    return float(np.minimum(1.0, 2 * np.minimum(tail_p(figures), tail_p(-figures))))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values (Holm 1979), shape [k]; NaN (no test) stays NaN."""
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * p[order]))
    return adjusted


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """False-discovery-rate adjusted p-values (Benjamini and Hochberg 1995), shape [k]."""
    from scipy.stats import false_discovery_control

    adjusted = np.full(len(p), np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        adjusted[tested] = false_discovery_control(p[tested], method="bh")
    return adjusted
