"""The report of `gate_error_rates.py`: measured error rates, their bars, samples for power."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ALPHA, POWER = 0.05, 0.8
NORMAL = statistics.NormalDist()


def write_report(kept: Mapping[str, Any], path: Path) -> str:
    """Writes the report of the cases done so far; returns its text."""
    cases = kept["cases"]
    lines = ["# Error rates of the gate", "", *_conditions(kept), ""]
    lines += _promises(cases)
    lines += _table(cases)
    text = "\n".join(lines).rstrip() + "\n"
    path.write_text(text, "utf-8")
    return text


def _conditions(kept: Mapping[str, Any]) -> list[str]:
    settings = kept["settings"]
    measured = settings["measured"]
    shares = {n: settings["correlations"][n] for n, c in measured["correlations"].items() if c}
    listed = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    items = "-".join(map(str, sorted(set(measured["items"].values()))))
    return [
        "Simulated pairs on the real items of each suite, at the scores that a published 4B model "
        "reaches (`simulated_runs.py`), decided by the gate's own code under its default policy "
        f"(hash {settings['policy']}; {settings['half margin']:g} points where only the `gate` "
        f"partition is compared), with {settings['resamples']:,} resamples per pair.",
        "",
        f"Correlation of two runs, as measured between {measured['base']} and "
        f"{measured['candidate']} on {items} items per task (negative ones count as 0): {listed}; "
        f"all other tasks take their median, {statistics.median(shares.values()):.2f}.",
    ]


def _promises(cases: Mapping[str, Any]) -> list[str]:
    names = [f"sns, size 1, drop {drop}" for drop in (0, 1, 2)]
    if any(name not in cases for name in names):
        return []
    whole = [cases[name] for name in names]
    same, margin, twice = whole
    error = math.sqrt(ALPHA * (1 - ALPHA) / margin["pairs"])
    checked = sum(c["checked"] for c in whole)
    rows = [
        ("no true difference: passes", _share(same, "pass"), ">=", 0.9),
        ("no true difference: fails", _share(same, "regression"), "<=", ALPHA),
        ("a drop of the margin: passes", _share(margin, "pass"), "<=", ALPHA + 3 * error),
        ("a drop of twice the margin: fails", _share(twice, "regression"), ">=", POWER),
    ]
    power = _power(cases)
    if power:
        needed = power["gate"] / power["unpaired"]
        rows.append(("samples for 80 % power, relative to unpaired", needed, "<=", 0.6))
    lines = ["| suite sns, all samples | measured | bar | |", "|---|---|---|---|"]
    for name, found, sign, bar in rows:
        holds = found >= bar if sign == ">=" else found <= bar
        lines.append(
            f"| {name} | {found:.1%} | {sign} {bar:.1%} | {'yes' if holds else '**no**'} |"
        )
    lines += [
        "",
        f"{checked} of these pairs were decided again with the policy's 10,000 resamples: "
        f"{sum(c['agree'] for c in whole)} got the same outcome.",
        "",
    ]
    if power:
        lines += [
            "To detect a drop of twice the margin with 80 % power, the gate needs "
            f"{power['gate']:,.0f} samples, the same rule with unpaired standard errors "
            f"{power['unpaired']:,.0f} (power curves fitted to all sizes below).",
            "",
        ]
    return lines


def _table(cases: Mapping[str, Any]) -> list[str]:
    thresholds = list(next(iter(cases.values()))["threshold"])
    lines = [
        "Outcomes in percent of the pairs. *Unpaired*: the gate's rule with the two runs' own "
        "standard errors. *Any drop*: a one-sided z-test of those errors against no difference, "
        "without a margin. *Below by T*: the fixed threshold.",
        "",
        "| case | samples | true drop | pairs | gate: pass | fail | undecided | unpaired: pass | "
        "fail | undecided | any drop: fail | "
        + " | ".join(f"below by {t}: fail" for t in thresholds)
        + " | error (true) | gate's | unpaired |",
        "|---" * (14 + len(thresholds)) + "|",
    ]
    for name, case in cases.items():
        sums, pairs = case["sums"], case["pairs"]
        mean = sums["difference"] / pairs
        spread = math.sqrt(max(0.0, sums["square"] / pairs - mean**2))
        cells = [name, f"{case['samples']:,}", f"{case['drop']:g}", str(pairs)]
        for side in ("gate", "unpaired"):
            cells += [_percent(case[side][o] / pairs) for o in ("pass", "regression", "undecided")]
        cells.append(_percent(case["any drop"] / pairs))
        cells += [_percent(case["threshold"][t] / pairs) for t in thresholds]
        cells += [
            f"{x:.2f}" for x in (spread, sums["error"] / pairs, sums["unpaired error"] / pairs)
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _power(cases: Mapping[str, Any]) -> dict[str, float]:
    """Samples for the wanted power, by method, from power = Phi(a sqrt(n) - z) over all sizes."""
    sized = [c for n, c in cases.items() if n.startswith("sns, size") and n.endswith("drop 2")]
    if len(sized) < 2:
        return {}
    found = {}
    for side in ("gate", "unpaired"):
        counts = [(c["samples"], c[side]["regression"], c["pairs"]) for c in sized]
        slope = max(
            (step / 10_000 for step in range(1, 2_000)), key=lambda a: _likelihood(a, counts)
        )
        found[side] = ((NORMAL.inv_cdf(1 - ALPHA) + NORMAL.inv_cdf(POWER)) / slope) ** 2
    return found


def _likelihood(slope: float, counts: list[tuple[int, int, int]]) -> float:
    total = 0.0
    for samples, hits, pairs in counts:
        power = NORMAL.cdf(slope * math.sqrt(samples) - NORMAL.inv_cdf(1 - ALPHA))
        power = min(1 - 1e-9, max(1e-9, power))
        total += hits * math.log(power) + (pairs - hits) * math.log(1 - power)
    return total


def _share(case: Mapping[str, Any], outcome: str) -> float:
    return case["gate"][outcome] / case["pairs"]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
