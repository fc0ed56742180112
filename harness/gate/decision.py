"""Verdicts and the decision of the gate.

A row's verdict is that of a non-inferiority test: its bootstrap interval is compared with the
margin. Each end of the interval is at the level at which it decides. The lower end is at alpha: a
gate passes only if all rows are not worse, which needs no correction (an intersection-union test,
Berger 1982). The upper end of a row that decides is at the level at which Holm's procedure (Holm
1979) tests the row; so verdict, interval and adjusted p-value never contradict each other. A row
that informs on the very tasks of one that decides shows that one's margin, interval and verdict.
Tasks only inform; their p-values are adjusted as by Benjamini and Hochberg (1995).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...tasks.registry import OWN_SUITE, SUITES, suite_names
from ..compare import Comparison, Difference
from .policy import Policy, SuitePolicy, load_policy

Verdict = Literal["regressed", "not worse", "improved", "undecided"]
Outcome = Literal["pass", "regression", "undecided"]

MOST_FACTOR = 10
"""No number of samples is suggested that is more than so many times those that were compared."""

_LARGER = {"sns-mini": "Compare suite sns."}
"""Suites with more samples of the same tasks. `general` has other tasks than `general-mini`; the
samples of `general-mini-report` are for final figures: no decision uses them."""
_MORE = "More samples of the same tasks are needed."

EXIT_CODES: dict[Outcome, int] = {"pass": 0, "regression": 1, "undecided": 2}


@dataclass(frozen=True)
class RowVerdict:
    """One row of the table with its verdict.

    Attributes:
        margin: Points; the largest drop that still counts as not worse.
        low, high: The interval that decides, points.
        alpha_low, alpha_high: The error of each end: alpha, that of the upper end corrected.
        verdict: From interval and margin. `improved` implies `not worse`.
        p_regressed: One-sided p-value of the hypothesis "did not drop by the margin".
        p_adjusted: The same after the policy's correction; None for rows that only inform.
        q: Two-sided p-value of "no difference", Benjamini-Hochberg-adjusted over tasks; None for
            rows that are no task.
        settle: Estimated number of samples for a decision, if the true difference is the observed
            one; None if the row is decided, or the difference too close to what it has to exceed.
        role: `domain`, `robustness`, `other`, or `protected` for a task that decides; None: it only
            informs.
        require_rise: Whether it must improve.
    """

    row: Difference
    margin: float
    low: float
    high: float
    alpha_low: float
    alpha_high: float
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

    @property
    def passes(self) -> bool:
        """Whether this row allows the gate to pass."""
        good = ("improved",) if self.require_rise else ("improved", "not worse")
        return self.verdict in good


@dataclass(frozen=True)
class Decision:
    """The result of applying a policy to differences; `reasons` are sentences.

    `outcome` is by the statistics alone, `exit_code` that of the outcome under the policy. `advice`
    is a sentence and lines for a policy file where suites are not listed in the policy; else "".
    """

    policy: Policy
    outcome: Outcome
    exit_code: int
    rows: list[RowVerdict]
    reasons: list[str]
    advice: str = ""

    @property
    def deciding(self) -> list[RowVerdict]:
        return [j for j in self.rows if j.decides]


@dataclass(frozen=True, kw_only=True)
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
    decision = decide_on(comparison.differences, policy, _more(comparison))
    return Gate(**vars(decision), comparison=comparison)


def _more(comparison: Comparison) -> str:
    """How to compare more samples; "" where all that there are have been compared."""
    request = comparison.base.request
    if request.get("limit") is not None:
        return "evaluate both without --limit"
    if request.get("partition", "all") != "all":
        return "evaluate both with --partition all"
    return "compare all partitions" if comparison.partition != "all" else ""


def decide_on(differences: Sequence[Difference], policy: Policy, more: str = "") -> Decision:
    """Applies a policy to the differences of two runs.

    The gate *passes* if every deciding row is not worse (improved, where a rise is required), each
    at alpha. It finds a *regression* if, after Holm's correction over the deciding rows, any of
    them dropped by more than its margin. Otherwise it is *undecided*.

    Args:
        differences: The rows.
        policy: The rules.
        more: How to get more samples; "" if there are none.
    """
    rows = _verdicts(differences, policy)
    reasons = _missing(differences, policy)
    deciding = [j for j in rows if j.decides]
    if not deciding:
        reasons.append("No suite of these runs decides under this policy.")
    regressed = [j for j in deciding if j.verdict == "regressed"]
    reasons += [f"{j.row.title} regressed: {_evidence(j)}." for j in regressed]
    reasons += [why_undecided(j, more) for j in deciding if not j.passes and j not in regressed]
    outcome: Outcome = "regression" if regressed else "undecided" if reasons else "pass"
    if outcome == "pass":
        reasons = [f"{j.row.title}: {j.verdict}, {_evidence(j)}." for j in deciding]
    code = EXIT_CODES[outcome]
    if outcome == "undecided" and policy.undecided != "stop":
        code = EXIT_CODES["pass" if policy.undecided == "pass" else "regression"]
        reasons.append(f"The policy makes undecided a {policy.undecided}.")
    return Decision(policy, outcome, code, rows, reasons, _advice(differences, policy))


def _verdicts(differences: Sequence[Difference], policy: Policy) -> list[RowVerdict]:
    """The rows with their verdicts, corrected over those that decide, q-values over the tasks."""
    alpha = policy.level
    rules = [_rule(row, policy) for row in differences]
    p = np.array(
        [tail_p(row.resampled, -r.margin) for row, r in zip(differences, rules, strict=True)]
    )
    decide = np.array([r.role is not None for r in rules], dtype=bool)
    adjusted, levels = np.full(len(p), np.nan), np.full(len(p), alpha)
    adjusted[decide] = p[decide]
    if policy.correction == "holm":
        adjusted[decide] = holm(p[decide])
        levels[decide] = holm_levels(p[decide], alpha)
    tasks = np.array([row.level == "task" for row in differences], dtype=bool)
    q = np.full(len(p), np.nan)
    moved = [row.resampled for row in differences if row.level == "task"]
    q[tasks] = benjamini_hochberg(np.array([two_sided_p(resampled) for resampled in moved]))
    found = []
    for k, (row, rule) in enumerate(zip(differences, rules, strict=True)):
        low, high = row.interval(alpha, levels[k])
        verdict = verdict_of(low, high, rule.margin)
        found.append(
            RowVerdict(
                row,
                rule.margin,
                low,
                high,
                alpha,
                float(levels[k]),
                verdict,
                float(p[k]),
                float(adjusted[k]) if decide[k] else None,
                float(q[k]) if tasks[k] else None,
                _settle(row, verdict, rule, low, high),
                rule.role,
                rule.rise,
            )
        )
    return _alike(found)


def _alike(rows: Sequence[RowVerdict]) -> list[RowVerdict]:
    """The rows, those that inform on the very tasks of one that decides with what that one shows.

    They hold the same figure, which cannot have two intervals or verdicts in one table.
    """
    decided: dict[frozenset[str], RowVerdict] = {}
    for j in rows:
        # A suite comes before a protected task that is its only one.
        if j.decides and (j.row.level == "suite" or frozenset(j.row.of) not in decided):
            decided[frozenset(j.row.of)] = j
    return [
        replace(found, row=j.row, p_adjusted=None, q=j.q, role=None, require_rise=False)
        if not j.decides and (found := decided.get(frozenset(j.row.of)))
        else j
        for j in rows
    ]


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a policy says of a row: `margin` in points, `role` if it decides, `rise` if required."""

    margin: float
    role: str | None = None
    rise: bool = False


def _rule(row: Difference, policy: Policy) -> _Rule:
    rules = _rules(row, policy)
    if row.level == "suite" and rules:
        return _Rule(rules.margin, rules.role, rules.require_rise)
    if row.level == "benchmark" and rules:
        return _Rule(rules.margin)
    if row.level == "task" and row.name in policy.protected:
        return _Rule(policy.protected[row.name], "protected")
    return _Rule(rules.task_margin if rules else 5.0)


def _rules(row: Difference, policy: Policy) -> SuitePolicy | None:
    """The rules of the suite that a row is or belongs to."""
    if row.level == "suite":
        return policy.suites.get(row.name, policy.other)
    names = {name.partition("+")[0] for name in row.of}
    for name in SUITES:
        if names <= set(suite_names(name)):
            return policy.suites.get(name, policy.other)
    return policy.suites.get(OWN_SUITE, policy.other)


def _settle(row: Difference, verdict: Verdict, rule: _Rule, low: float, high: float) -> int | None:
    """Estimated number of samples with which the interval excludes the threshold in question."""
    if verdict == "undecided":
        distance = row.difference + rule.margin
    elif rule.rise and verdict == "not worse":
        distance = max(0.0, row.difference)
    else:
        return None
    # The end that has to move: the lower one to show no fall or a rise, the upper one a fall.
    reach = row.difference - low if distance > 0 else high - row.difference
    if math.isnan(reach) or reach > MOST_FACTOR**0.5 * abs(distance):
        return None
    if verdict == "undecided" and at_margin(row.difference, rule.margin, reach):
        return None
    return math.ceil(row.samples * max(1.0, reach / distance, -reach / distance) ** 2)


def at_margin(difference: float, margin: float, reach: float) -> bool:
    """Whether a fall is about as large as the margin, and its interval reaches well beyond both."""
    distance = abs(difference + margin)
    return distance <= margin / 4 and reach > 2 * distance


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


def why_undecided(j: RowVerdict, more: str = "") -> str:
    """Why a deciding row does not pass, and what to do.

    Args:
        j: The row.
        more: How to get more samples; "" if there are none.
    """
    title, samples = j.row.title, f"{j.row.samples:,}"
    if math.isnan(j.low):
        return f"{title} has no defined difference: one of the runs has no figure for it."
    change = j.row.difference
    below, above = change - j.low, j.high - change
    if j.verdict == "not worse":
        text = f"{title} was to rise, and is only not worse: {_evidence(j)}"
        if change <= 0:
            return f"{text}."
        passable = ""
    else:
        text = f"{title} is undecided: {_evidence(j)}"
        if at_margin(change, j.margin, below if change > -j.margin else above):
            return (
                f"{text}; the fall is about as large as the margin, and more samples are unlikely "
                "to settle it. Decide whether such a fall is acceptable, and set the margin in "
                "--policy above or below it."
            )
        passable = f" Or accept a fall of up to {-j.low:.1f} points: a wider margin in --policy."
    if more and j.settle:
        return f"{text}; about {j.settle:,} samples (now {samples}) would settle it: {more}."
    few = f"{samples} samples are too few, the change is known to {max(below, above):.1f} points"
    if more:
        return f"{text}; {few}: {more}."
    return f"{text}; all {few}. {_LARGER.get(j.row.name, _MORE)}{passable}"


def _advice(differences: Sequence[Difference], policy: Policy) -> str:
    """What the policy does with suites that it does not list, and the lines that change it."""
    rules = policy.other
    unlisted = [d for d in differences if d.level == "suite" and d.name not in policy.suites]
    if not unlisted or (rules and rules.role != "other"):
        return ""
    names = ", ".join(
        f"{d.name} ({', '.join(d.of[:3])}{', ...' * (len(d.of) > 3)})" for d in unlisted
    )
    does = (
        f"decides with the margin of [other], {rules.margin:g} points" if rules else "informs only"
    )
    lines = [_lines(d.name, rules.margin if rules else 2.0) for d in unlisted]
    file = "append to your policy file"
    # The default policy lists all suites but `own`: where another is missing, there is a file.
    if all(d.name not in load_policy().suites for d in unlisted):
        file = "append to a policy file (redone gate --show-policy > policy.toml)"
        file += " and give it with --policy"
    return (
        f"The policy does not list {names}: each {does}. To change that, {file}:\n\n"
        + "\n\n".join(lines)
    )


def _lines(name: str, margin: float) -> str:
    """The lines that list a suite in a policy: the default policy's, or with this margin."""
    known = load_policy().suites.get(name)
    if known is None:
        return f'[suites.{name}]\nrole = "domain"  # or "robustness"\nmargin = {margin}'
    return (
        f'[suites.{name}]\nrole = "{known.role}"\nmargin = {known.margin}\n'
        f"task_margin = {known.task_margin}"
    )


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


def holm_levels(p: np.ndarray, alpha: float) -> np.ndarray:
    """The level at which Holm's procedure tests each p-value, shape [k].

    The smallest of k is tested at alpha / k, the next at alpha / (k - 1), and so on; all that come
    after the first that is not rejected, at the level of that one.
    """
    levels = np.full(len(p), alpha)
    tested = np.flatnonzero(~np.isnan(p))
    level, rejected = alpha, True
    for rank, place in enumerate(tested[np.argsort(p[tested], kind="stable")]):
        if rejected:
            level = alpha / (len(tested) - rank)
        levels[place] = level
        rejected = bool(p[place] <= level)
    return levels


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """False-discovery-rate adjusted p-values (Benjamini and Hochberg 1995), shape [k]."""
    from scipy.stats import false_discovery_control

    adjusted = np.full(len(p), np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        adjusted[tested] = false_discovery_control(p[tested], method="bh")
    return adjusted
