"""Coverage of the 95 % intervals of scores: how often do they contain the true figure.

Simulated runs with a known true figure, of which the interval is computed by the code that writes
`results.json`. Beside it, the interval that a standard error gives (1.96 of them to each side).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from redone.harness.intervals import Figure, interval
from redone.harness.stats import Sums
from redone.tasks.metrics.classification import ACCURACY, MACRO_F1, MICRO_F1, macro_f1
from redone.tasks.schema import Metric

RESULTS = Path(__file__).parent / "results" / "interval_coverage.md"
MEAN = Metric("mean", lambda sums: 100 * sums[..., 0] / sums[..., 1])
UNBOUNDED = Metric("mean", lambda sums: sums[..., 0] / sums[..., 1], highest=math.inf)

Draw = Callable[[np.random.Generator], tuple[list[Figure], list[float]]]


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of run: what is simulated, its true figure in percent, and how to draw one."""

    name: str
    truth: float
    draw: Draw


def figure(metric: Metric, stats: np.ndarray, clusters: np.ndarray) -> Figure:
    """The figure of samples with statistics [n, S] in numbered clusters [n]."""
    return Figure.of(metric, Sums.of(clusters, stats))


def counted(values: np.ndarray) -> np.ndarray:
    """Statistics (sum, count) of values [n]."""
    return np.column_stack([values, np.ones(len(values))])


def proportions(shares: Sequence[float], counts: Sequence[int]) -> Case:
    """The mean over tasks of independent right or wrong answers."""

    def draw(generator: np.random.Generator) -> tuple[list[Figure], list[float]]:
        found, first = [], 0
        for share, count in zip(shares, counts, strict=True):
            right = generator.random(count) < share
            found.append(figure(ACCURACY, counted(right), first + np.arange(count)))
            first += count
        return found, [1 / len(found)] * len(found)

    shown = [f"{100 * share:g} % of {count}" for share, count in zip(shares, counts, strict=True)]
    groups = [f"{shown.count(x)} tasks at {x}" for x in dict.fromkeys(shown)]
    name = f"one task, {shown[0]}" if len(shown) == 1 else f"mean of {' and '.join(groups)}"
    return Case(name, 100 * float(np.mean(shares)), draw)


def clustered(share: float, clusters: int, size: int, same: float, tasks: int = 1) -> Case:
    """Clusters whose answers agree (are all one draw) with probability `same`, in all tasks."""

    def draw(generator: np.random.Generator) -> tuple[list[Figure], list[float]]:
        shared = generator.random(clusters) < share
        agree = generator.random(clusters) < same
        found = []
        for _ in range(tasks):
            own = generator.random((clusters, size)) < share
            right = np.where(agree[:, None], shared[:, None], own).ravel()
            codes = np.repeat(np.arange(clusters), size)
            found.append(figure(ACCURACY, counted(right), codes))
        return found, [1 / tasks] * tasks

    where = f"{clusters} clusters of {size}, {100 * same:g} % of them all alike"
    name = f"{100 * share:g} % of {where}" + (f", {tasks} tasks about them" if tasks > 1 else "")
    return Case(name, 100 * share, draw)


def graded(name: str, count: int, draws: Callable, truth: float, metric: Metric = MEAN) -> Case:
    """A mean of graded values."""

    def draw(generator: np.random.Generator) -> tuple[list[Figure], list[float]]:
        return [figure(metric, counted(draws(generator, count)), np.arange(count))], [1.0]

    return Case(f"mean of {name}, {count} samples", truth, draw)


def labelled(recall: float, gold: Sequence[float], count: int) -> Case:
    """Macro F1 of labels of unequal frequency; a wrong answer is one of the other labels."""
    confusion = np.full((3, 3), (1 - recall) / 2) + np.eye(3) * (recall - (1 - recall) / 2)
    joint = np.array(gold)[:, None] * confusion
    expected = np.column_stack([np.diag(joint), joint.sum(axis=0), joint.sum(axis=1)]).ravel()

    def draw(generator: np.random.Generator) -> tuple[list[Figure], list[float]]:
        cells = generator.choice(9, size=count, p=joint.ravel())
        truth, answer = cells // 3, cells % 3
        flags = [
            flag
            for k in range(3)
            for flag in ((truth == k) & (answer == k), answer == k, truth == k)
        ]
        stats = np.column_stack(flags).astype(float)
        return [figure(MACRO_F1, stats, np.arange(count))], [1.0]

    shares = ":".join(f"{100 * share:g}" for share in gold)
    name = f"macro F1, recall {100 * recall:g} %, labels {shares}, {count} samples"
    return Case(name, float(macro_f1(expected * 1e9)), draw)


def sets(hit: float, count: int) -> Case:
    """Micro F1 of sets: up to five gold texts per sample, each found or replaced by a wrong one."""

    def draw(generator: np.random.Generator) -> tuple[list[Figure], list[float]]:
        gold = generator.integers(1, 6, count)
        hits = generator.binomial(gold, hit)
        stats = np.column_stack([hits, gold, gold]).astype(float)
        return [figure(MICRO_F1, stats, np.arange(count))], [1.0]

    return Case(f"micro F1, {100 * hit:g} % found, {count} samples", 100 * hit, draw)


def cases() -> list[Case]:
    """Everything that is simulated."""
    even, skewed = "graded values (beta 2, 3)", "graded values (beta 0.2, 2)"
    return [
        *(proportions([p], [n]) for n in (8, 16, 100) for p in (0.01, 0.05, 0.5, 0.95, 0.99)),
        proportions([0.002], [1000]),
        *(proportions([p] * 2, [16] * 2) for p in (0.01, 0.05, 0.5, 0.99)),
        *(proportions([p] * 14, [16] * 14) for p in (0.005, 0.05, 0.5, 0.995)),
        proportions([0.01, 0.99], [16, 16]),
        proportions([0.02] * 7 + [0.6] * 7, [16] * 14),
        proportions([0.05] + [0.01] * 3, [16] + [1000] * 3),
        *(clustered(p, 300, 2, s) for p in (0.5, 0.995) for s in (0.0, 1.0)),
        *(clustered(p, 20, 5, 0.5) for p in (0.05, 0.5)),
        *(clustered(p, 30, 1, 1.0, 4) for p in (0.05, 0.5)),
        *(graded(even, n, lambda g, n: g.beta(2, 3, n), 40) for n in (16, 100)),
        *(graded(skewed, n, lambda g, n: g.beta(0.2, 2, n), 100 / 11) for n in (30, 200)),
        *(sets(h, n) for h in (0.02, 0.5, 0.98) for n in (16, 100)),
        *(labelled(r, g, 100) for g in ((0.4, 0.3, 0.3), (0.6, 0.35, 0.05)) for r in (0.6, 0.97)),
        labelled(0.8, (0.6, 0.35, 0.05), 400),
        *(
            graded(f"unbounded values ({name})", n, draws, truth, UNBOUNDED)
            for n in (20, 100)
            for name, draws, truth in (
                ("normal", lambda g, n: g.normal(20, 5, n), 20),
                ("exponential", lambda g, n: g.exponential(20, n), 20),
            )
        ),
    ]  # fmt: skip


def measure(case: Case, runs: int) -> list[str]:
    """The row of a case."""
    generator = np.random.default_rng(list(case.name.encode()))
    below = above = plain = sure = 0
    width = plain_width = 0.0
    for _ in range(runs):
        figures, weights = case.draw(generator)
        low, high = interval(figures, weights)
        below += high < case.truth - 1e-9
        above += low > case.truth + 1e-9
        sure += high - low < 1e-6
        width += high - low
        value = sum(w * f.value for w, f in zip(weights, figures, strict=True))
        error = 1.96 * math.sqrt(
            sum(
                (w * f.pulls**2 * w).sum() * len(f.pulls) / max(1, len(f.pulls) - 1)
                for w, f in zip(weights, figures, strict=True)
            )
        )
        plain += abs(value - case.truth) <= error + 1e-9
        plain_width += 2 * error
    percent = [100 * (runs - below - above) / runs, 100 * below / runs, 100 * above / runs]
    return [
        case.name,
        f"{case.truth:.1f}",
        *(f"{x:.1f}" for x in percent),
        f"{width / runs:.1f}",
        f"{100 * plain / runs:.1f}",
        f"{plain_width / runs:.1f}",
    ]


HEAD = ("case", "true", "covered, %", "too low, %", "too high, %", "width")
BESIDE = ("with standard errors: covered, %", "width")


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--runs", type=int, default=1000, help="simulated runs per case (default 1000)")
    p.add_argument("--tiny", action="store_true", help="a few runs per case, nothing written")
    options = p.parse_args()
    rows, runs = [], 5 if options.tiny else options.runs
    for case in cases():
        rows.append(measure(case, runs))
        print(*rows[-1], sep="\t", file=sys.stderr)
    lines = [f"| {' | '.join(row)} |" for row in ((*HEAD, *BESIDE), ["---"] * 8, *rows)]
    text = "\n".join(
        [
            "# Coverage of the intervals of scores",
            "",
            f"{runs:,} simulated runs per case, nominal 95 %. *Too low*: the interval is "
            "below the true figure. Widths in points.",
            "",
            *lines,
            "",
        ]
    )
    if not options.tiny:
        RESULTS.write_text(text, "utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
