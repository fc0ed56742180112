"""The seesaw as a plotly figure, drawn by plotly.js in the page.

Plotly renders some markup in texts, so names are escaped. The page's style sheet sets the colors
of text, paper and grid, for light, dark and print.
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from ..harness.display import change, interval
from . import plot
from .seesaw import Change, Move, Point, Seesaw, frame, shows_published

CORNERS = (
    (1, 1, "BOTH UP"),
    (1, 0, "TRADED<br>domain up, robustness down"),
    (0, 1, "TRADED<br>robustness up, domain down"),
    (0, 0, "BOTH DOWN"),
)
_SIDES = {
    "left": "middle left",
    "right": "middle right",
    "top": "top center",
    "bottom": "bottom center",
}
Trace = dict[str, Any]


def seesaw_figure(found: Seesaw) -> dict[str, Any]:
    """The figure for plotly.js, and the two frames that the page's buttons switch between.

    Args:
        found: With at least one stage that has both axes.

    Returns:
        `data` and `layout`; `frames`: by name the ranges of x and y; `ticks`: likewise the
        positions and labels of their ticks; `shown`: the name of the initial frame.
    """
    frames = {name: frame(found, name == "published") for name in ("runs", "published")}
    shown = "published" if shows_published(found) else "runs"
    traces = [
        *(trace for index, point, _, _ in found.placed for trace in _region(point, index)),
        *_published(found.moves),
        _path(found),
        _base(frames[shown][0]),
        *(
            _mark(point, index, x, y, side)
            for (index, point, x, y), side in zip(found.placed, plot.sides(found), strict=True)
        ),
    ]
    return {
        "ticks": {name: [_ticks(*span) for span in spans] for name, spans in frames.items()},
        "data": traces,
        "layout": _layout(found, frames[shown]),
        "frames": frames,
        "shown": shown,
    }


def _scatter(mode: str, **options: Any) -> Trace:
    return {"type": "scatter", "mode": mode, "showlegend": False, **options}


def _region(point: Point, index: int) -> list[Trace]:
    """The uncertainty of a stage: some resamples, and the outline of the joint region."""
    color, _ = plot.of_stage(index)
    cloud, outline = point.cloud(), point.ellipse()
    if cloud is None or outline is None:
        return []
    return [
        _scatter(
            "markers", x=_rounded(cloud[:, 0]), y=_rounded(cloud[:, 1]), hoverinfo="skip",
            marker={"color": color, "size": 3, "opacity": 0.22},
        ),
        _scatter(
            "lines", x=_rounded(outline[:, 0]), y=_rounded(outline[:, 1]), hoverinfo="skip",
            fill="toself", fillcolor=_translucent(color, 0.12), line={"color": color, "width": 1.5},
        ),
    ]  # fmt: skip


def _mark(point: Point, index: int, x: float, y: float, side: str) -> Trace:
    """The marker of a stage, with its name."""
    color, marker = plot.of_stage(index)
    return _scatter(
        "markers+text", x=[x], y=[y], text=[f"<b>{escape(point.label)}</b>"],
        textposition=_SIDES[side], textfont={"size": 14},
        marker={
            "color": color, "symbol": marker, "size": 13,
            "line": {"color": plot.PAPER, "width": 1.5},
        },
        hoverinfo="text", hovertext=[_hover(point)],
    )  # fmt: skip


def _hover(point: Point) -> str:
    def line(name: str, found: Change | None) -> str:
        if found is None:
            return f"{name}: unknown"
        return f"{name} {change(found.value)} {interval(found.low, found.high, sign=True)}"

    noise = "" if point.significant else " (not significant)"
    few = "<br>on fewer tasks than the base" if point.partial else ""
    return (
        f"<b>{escape(point.label)}</b>: {point.outcome}<br>{line('domain', point.x)}<br>"
        f"{line('robustness', point.y)}<br>{point.quadrant}{noise}{few}"
    )


def _path(found: Seesaw) -> Trace:
    """From the base through the stages, or from the base to each candidate."""
    xs: list[float | None] = [0.0]
    ys: list[float | None] = [0.0]
    for _, _, x, y in found.placed:
        if not found.chain and len(xs) > 1:
            xs += [None, 0.0]
            ys += [None, 0.0]
        xs.append(x)
        ys.append(y)
    return _scatter("lines", x=xs, y=ys, hoverinfo="skip", line={"color": plot.FAINT, "width": 2})


def _base(span: tuple[float, float]) -> Trace:
    return _scatter(
        "markers+text", x=[0], y=[0], text=["base"],
        textposition="bottom right" if plot.base_label_right(span) else "bottom left",
        hoverinfo="text", hovertext=["the base: no change"],
        marker={"color": plot.PAPER, "size": 11, "line": {"color": plot.INK, "width": 2}},
    )  # fmt: skip


def _published(moves: tuple[Move, ...]) -> list[Trace]:
    """Faint paths, each from the recipe it was trained from."""
    by_name = {move.name: move for move in moves}
    xs, ys = [], []
    for move in moves:
        start = by_name.get(move.after)
        xs += [start.x if start else 0, move.x, None]
        ys += [start.y if start else 0, move.y, None]
    return [
        _scatter(
            "lines", x=xs, y=ys, hoverinfo="skip", opacity=0.6, meta="published",
            line={"color": plot.FAINT, "width": 1, "dash": "dot"},
        ),
        _scatter(
            "markers+text", x=[m.x for m in moves], y=[m.y for m in moves],
            text=[escape(m.name) for m in moves], uid="published-names", meta="published",
            textposition=[_SIDES[m.side] for m in moves],
            textfont={"size": 10, "color": plot.FAINT},
            marker={"size": 6, "color": plot.FAINT, "opacity": 0.6}, hoverinfo="text",
            hovertext=[
                f"published: {escape(m.name)}<br>domain {change(m.x)}, robustness {change(m.y)}"
                for m in moves
            ],
        ),
    ]  # fmt: skip


def _layout(found: Seesaw, shown: tuple[tuple[float, float], tuple[float, float]]) -> Any:
    def line(name: str, at: float) -> dict[str, Any]:
        other = "y" if name == "x" else "x"
        return {
            "type": "line", f"{name}0": at, f"{name}1": at, f"{other}0": 0, f"{other}1": 1,
            "xref": "x" if name == "x" else "paper", "yref": "y" if name == "y" else "paper",
            "line": {"color": plot.DOWN, "width": 1, "dash": "dash"}, "layer": "between",
        }  # fmt: skip

    margins = [
        line(name, -axis.margin)
        for name, axis in (("x", found.x), ("y", found.y))
        if axis is not None
    ]
    corners = [
        {
            "xref": "paper", "yref": "paper", "x": x, "y": y, "text": text, "showarrow": False,
            "xanchor": "right" if x else "left", "yanchor": "top" if y else "bottom",
            "align": "right" if x else "left", "font": {"size": 10, "color": plot.FAINT},
            "xshift": -6 if x else 6, "yshift": -6 if y else 6,
        }
        for x, y, text in CORNERS
    ]  # fmt: skip

    def axis(title: str, span: tuple[float, float]) -> dict[str, Any]:
        return {
            "title": {"text": title, "font": {"size": 13}, "standoff": 10}, "range": list(span),
            "zeroline": True, "zerolinecolor": plot.FAINT, "gridcolor": plot.GRID,
            "automargin": True,
        }  # fmt: skip

    return {
        "shapes": margins, "annotations": corners, "showlegend": False,
        "xaxis": axis(plot.axis_title(found, "x"), shown[0]),
        "yaxis": axis(plot.axis_title(found, "y"), shown[1]),
        "margin": {"l": 10, "r": 12, "t": 12, "b": 10}, "hovermode": "closest",
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": plot.INK},
        "dragmode": False,
    }  # fmt: skip


def _ticks(low: float, high: float) -> dict[str, Any]:
    values = plot.ticks(low, high)
    return {"tickvals": values, "ticktext": [plot.tick_label(value) for value in values]}


def _translucent(color: str, opacity: float) -> str:
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _rounded(values: np.ndarray) -> list[float]:
    """Four decimals are finer than any pixel."""
    return np.round(values, 4).tolist()
