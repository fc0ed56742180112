"""The seesaw: change in domain skill against change in robustness, with joint uncertainty.

Both axes come from the same paired bootstrap, so each stage is a cloud of points in the plane. Its
ellipse is the 95 % region of a normal distribution with the same mean and covariance (radius
sqrt(-2 ln 0.05), from the chi-squared quantile with two degrees of freedom).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..harness.compare import difference_interval
from ..harness.published.paper import SHIPPED, TableRow, load_paper
from ..tasks.registry import OWN_SUITE, SUITES
from .stages import ReportRuns, Stage

MOVES = SHIPPED / "redone2.toml"
MOVES_TABLE = "table 3"
SIDES = {
    "SFT, then RL": "left",
    "Exploratory learning": "left",
    "+ refinement: RedOne 2.0": "right",
}
"""On which side of its dot a published name is written; the others are below."""
LEVEL = 0.95
RADIUS = math.sqrt(-2 * math.log(1 - LEVEL))
CLOUD = 300
"""Resamples drawn as dots; the ellipse uses all of them."""


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        role: `domain` or `robustness`.
        suites: Names; a score on the axis is the mean over them.
        title: Display name.
        margin: The smallest of the suites' margins, points.
        stand_in: The policy gives none of these suites this role; they are used for want of one.
    """

    role: str
    suites: tuple[str, ...]
    title: str
    margin: float
    stand_in: bool = False


@dataclass(frozen=True)
class Change:
    """A change along one axis: points, the gate's interval, and all resamples [B]."""

    value: float
    low: float
    high: float
    resampled: np.ndarray


@dataclass(frozen=True)
class Point:
    """A stage on the seesaw.

    Attributes:
        label: Of the stage.
        x, y: Along the two axes; None where the stage lacks the suites.
        outcome: Of the gate.
        partial: Its scores cover fewer tasks than the base has.
    """

    label: str
    x: Change | None
    y: Change | None
    outcome: str
    partial: bool

    @property
    def covariance(self) -> np.ndarray | None:
        """Of the two changes, shape [2, 2]; None without both."""
        if self.x is None or self.y is None:
            return None
        return np.cov(self.x.resampled, self.y.resampled, bias=True)

    def ellipse(self, steps: int = 72) -> np.ndarray | None:
        """The closed outline of the joint 95 % region, shape [steps + 1, 2]."""
        if self.covariance is None or self.x is None or self.y is None:
            return None
        values, vectors = np.linalg.eigh(self.covariance)
        angle = np.linspace(0, 2 * np.pi, steps + 1)
        circle = np.stack([np.cos(angle), np.sin(angle)])
        outline = vectors @ (np.sqrt(np.maximum(values, 0))[:, None] * circle)
        return outline.T * RADIUS + [self.x.value, self.y.value]

    def cloud(self, limit: int = CLOUD) -> np.ndarray | None:
        """The first resamples, shape [limit, 2]; they are in random order already."""
        if self.x is None or self.y is None:
            return None
        return np.column_stack([self.x.resampled[:limit], self.y.resampled[:limit]])

    @property
    def significant(self) -> bool | None:
        """Whether the joint 95 % region excludes "no change"; None without both axes."""
        covariance = self.covariance
        if covariance is None or self.x is None or self.y is None:
            return None
        at = np.array([self.x.value, self.y.value])
        return bool(at @ np.linalg.pinv(covariance) @ at > RADIUS**2)

    @property
    def quadrant(self) -> str:
        """Its name; "" without both axes."""
        if self.x is None or self.y is None:
            return ""
        return quadrant(self.x.value, self.y.value)


@dataclass(frozen=True)
class Move:
    """A published model's change from its base.

    Attributes:
        name: Of the recipe.
        x, y: Change in domain skill and in general ability, points.
        after: The recipe it was trained from; "" for the base.
        side: Of the dot on which its name is written: `left`, `right` or `bottom`.
    """

    name: str
    x: float
    y: float
    after: str
    side: str


@dataclass(frozen=True)
class Seesaw:
    """Everything in the picture.

    Attributes:
        x, y: The axes; `y` is None where the runs have one suite only.
        points: In the order of the stages.
        chain: Whether a path connects them.
        moves: Published changes.
        source: Where those are printed.
    """

    x: Axis | None
    y: Axis | None
    points: tuple[Point, ...]
    chain: bool
    moves: tuple[Move, ...]
    source: str

    @property
    def placed(self) -> list[tuple[int, Point, float, float]]:
        """The points that have both axes: index among all points, point, x and y."""
        return [(k, p, p.x.value, p.y.value) for k, p in enumerate(self.points) if p.x and p.y]


QUADRANTS = {
    (True, True): "both up",
    (True, False): "traded: domain up, robustness down",
    (False, True): "traded: robustness up, domain down",
    (False, False): "both down",
}


def quadrant(x: float, y: float) -> str:
    """The name of the quadrant of a change; no change at all counts as up."""
    return QUADRANTS[x >= 0, y >= 0]


def seesaw(report: ReportRuns) -> Seesaw:
    """Places every stage that is comparable with the base."""
    x, y = _axes(report)
    moves, source = published_moves()
    alpha = report.policy.level
    points = tuple(
        Point(s.label, _change(s, x, alpha), _change(s, y, alpha), s.outcome, s.partial)
        for s in report.compared
    )
    return Seesaw(x, y, points, report.chain, moves, source)


def _axes(report: ReportRuns) -> tuple[Axis | None, Axis | None]:
    """Suites by the role that the policy gives them."""
    policy = report.policy
    table = report.base.run.results["tables"][policy.scoring]
    titles = {row["name"]: SUITES[row["name"]].title for row in table if row["level"] == "suite"}
    own = [stage.row("suite", OWN_SUITE) for stage in report.compared]
    titles |= {j.row.name: j.row.title for j in own if j}
    names = list(titles)
    rules = {name: policy.suites.get(name, policy.other) for name in names}
    by_role = {
        role: [name for name in names if (found := rules[name]) and found.role == role]
        for role in ("domain", "robustness", "other")
    }
    domain, robustness, stand_in = by_role["domain"], by_role["robustness"], False
    # Suites of neither role take the place that is free.
    if not domain:
        domain = by_role["other"]
    elif not robustness:
        robustness, stand_in = by_role["other"], bool(by_role["other"])
    if not robustness and len(domain) > 1:
        domain, robustness, stand_in = domain[:1], domain[1:], True

    def axis(role: str, suites: Sequence[str], stand_in: bool = False) -> Axis | None:
        margins = [found.margin for name in suites if (found := rules[name])]
        title = " and ".join(titles[name] for name in suites)
        return Axis(role, tuple(suites), title, min(margins), stand_in) if suites else None

    return axis("domain", domain), axis("robustness", robustness, stand_in)


def _change(stage: Stage, axis: Axis | None, alpha: float) -> Change | None:
    rows = [stage.row("suite", name) for name in axis.suites] if axis else []
    found = [j for j in rows if j is not None]
    if not found or len(found) < len(rows):
        return None
    resampled = np.mean([j.row.resampled for j in found], axis=0)
    if np.isnan(resampled).any():
        return None
    if len(found) == 1:
        return Change(found[0].row.difference, found[0].low, found[0].high, resampled)
    value = float(np.mean([j.row.difference for j in found]))
    largest = float(np.mean([j.row.largest for j in found]))
    return Change(value, *difference_interval(resampled, largest, alpha), resampled)


def published_moves() -> tuple[tuple[Move, ...], str]:
    """The published changes, and where they are printed.

    They were measured on another base model and another suite of general benchmarks: for
    orientation only.
    """
    paper = load_paper(MOVES)
    base, *recipes = paper.table(MOVES_TABLE).rows

    def place(row: TableRow) -> np.ndarray:
        """Domain (the mean of both benchmarks, as the suite `sns` takes it), general ability."""
        domain = (row.figures["sns_bench"] + row.figures["sns_trans"]) / 2
        return np.array([domain, row.figures["general_bench"]])

    moves = []
    for row in recipes:
        x, y = (place(row) - place(base)).round(3).tolist()
        after = "" if row.after == base.name else row.after
        moves.append(Move(row.name, x, y, after, SIDES.get(row.name, "bottom")))
    where = f"{MOVES_TABLE.capitalize()} ({paper.paper}{paper.version})"
    return tuple(moves), f"{paper.title}, {where}, base {base.name}"


def frame(found: Seesaw, published: bool) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ranges of the two axes that show everything, the origin included, with padding.

    Args:
        found: What is drawn.
        published: Whether the published moves, with their names, are included.
    """
    spots = _outlines(found) + (_places(found) if published else [])
    (left, right), (bottom, top) = _span(spots)
    wide, high = max(0.12 * (right - left), 0.5), max(0.12 * (top - bottom), 0.5)
    return (left - wide, right + wide * (2 if published else 1)), (bottom - high, top + high)


def shows_published(found: Seesaw) -> bool:
    """Whether runs and published moves fit in one picture without one dwarfing the other."""
    runs, moves = _span(_outlines(found)), _span(_places(found))
    return all(
        (a[1] - a[0]) < 3 * (b[1] - b[0])
        for one, two in zip(runs, moves, strict=True)
        for a, b in ((one, two), (two, one))
    )


def _outlines(found: Seesaw) -> list[np.ndarray]:
    return [outline for p in found.points if (outline := p.ellipse()) is not None]


def _places(found: Seesaw) -> list[np.ndarray]:
    return [np.array([[move.x, move.y]]) for move in found.moves]


def _span(spots: Sequence[np.ndarray]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Minimum and maximum along both axes, the origin included."""
    every = np.vstack([np.zeros((1, 2)), *spots])
    low, high = every.min(axis=0).tolist(), every.max(axis=0).tolist()
    return (low[0], high[0]), (low[1], high[1])
