"""The seesaw as a plotly figure, drawn by plotly.js in the page.

Texts that plotly shows may hold a little markup, so names go in escaped. Colours of text, paper and
grid are those of the page's style sheet: it knows light, dark and paper.
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from ..harness.wording import MINUS, change, interval
from . import palette
from .names import base_on_the_left, sides
from .seesaw import Change, Move, Point, Seesaw, frame, shows_published

CORNERS = (
    (1, 1, "BOTH UP"),
    (1, 0, "TRADED<br>domain up, robustness down"),
    (0, 1, "TRADED<br>robustness up, domain down"),
    (0, 0, "BOTH DOWN"),
)


def seesaw_figure(found: Seesaw) -> dict[str, Any]:
    """The figure as plotly.js takes it, and the two frames that its buttons switch.

    Args:
        found: With at least one stage that has both axes.

    Returns:
        `data` and `layout`; `frames`: by name the ranges of x and y; `ticks`: the same with places
        and words of their ticks; `shown`: the name of the frame to begin with.
    """
    import plotly.graph_objects as go

    drawn = [p for p in found.points if p.x is not None and p.y is not None]
    places = [(place, point) for place, point in enumerate(found.points) if point in drawn]
    frames = {name: frame(found, name == "published") for name in ("runs", "published")}
    shown = frames["published" if shows_published(found) else "runs"]
    beside = zip(places, sides(found), strict=True)
    traces: list[Any] = [
        *(trace for place, point in places for trace in _region(point, place)),
        *_published(found.moves),
        *_path(drawn, found.chain),
        _base(shown[0]),
        *(trace for (place, point), side in beside for trace in _mark(point, place, side)),
    ]
    figure = go.Figure(traces, _layout(found, shown))
    plain = figure.to_plotly_json()
    return {
        "ticks": {name: [_ticks(*span) for span in spans] for name, spans in frames.items()},
        "data": _listed(plain["data"]),
        "layout": _listed(plain["layout"]),
        "frames": frames,
        "shown": "published" if shows_published(found) else "runs",
    }


def _region(point: Point, place: int) -> list[Any]:
    """Where a stage may be: some resamples, and the outline of the joint region."""
    import plotly.graph_objects as go

    colour, _ = palette.of_stage(place)
    cloud, outline = point.cloud(), point.ellipse()
    if cloud is None or outline is None:
        return []
    silent = {"showlegend": False, "hoverinfo": "skip"}
    return [
        go.Scatter(
            x=_short(cloud[:, 0]), y=_short(cloud[:, 1]), mode="markers",
            marker={"color": colour, "size": 3, "opacity": 0.22}, **silent,
        ),
        go.Scatter(
            x=_short(outline[:, 0]), y=_short(outline[:, 1]), mode="lines", fill="toself",
            fillcolor=_translucent(colour, 0.12), line={"color": colour, "width": 1.5}, **silent,
        ),
    ]  # fmt: skip


def _mark(point: Point, place: int, side: str) -> list[Any]:
    """Where a stage is, with its name."""
    import plotly.graph_objects as go

    if point.x is None or point.y is None:
        return []
    colour, marker = palette.of_stage(place)
    return [
        go.Scatter(
            x=[point.x.value], y=[point.y.value], mode="markers+text", showlegend=False,
            text=[f"<b>{escape(point.label)}</b>"],
            textposition=_SIDES[side], textfont={"size": 14},
            marker={
                "color": colour, "symbol": marker, "size": 13,
                "line": {"color": palette.PAPER, "width": 1.5},
            },
            hoverinfo="text", hovertext=[_hover(point)],
        ),
    ]  # fmt: skip


def _hover(point: Point) -> str:
    def line(name: str, found: Change | None) -> str:
        if found is None:
            return f"{name}: unknown"
        return f"{name} {change(found.value)} {interval(found.low, found.high, sign=True)}"

    noise = "" if point.beyond_noise else " (within noise)"
    few = "<br>on fewer tasks than the base" if point.partial else ""
    return (
        f"<b>{escape(point.label)}</b>: {point.outcome}<br>{line('domain', point.x)}<br>"
        f"{line('robustness', point.y)}<br>{point.quadrant}{noise}{few}"
    )


def _path(points: list[Point], chain: bool) -> list[Any]:
    """From the base through the stages, or from the base to each candidate."""
    import plotly.graph_objects as go

    xs, ys = [0.0], [0.0]
    for point in points:
        if point.x is None or point.y is None:
            continue
        if not chain and len(xs) > 1:
            xs += [None, 0.0]  # pyright: ignore[reportArgumentType]
            ys += [None, 0.0]  # pyright: ignore[reportArgumentType]
        xs.append(point.x.value)
        ys.append(point.y.value)
    return [
        go.Scatter(
            x=xs, y=ys, mode="lines", hoverinfo="skip", showlegend=False,
            line={"color": palette.FAINT, "width": 2},
        )
    ]  # fmt: skip


def _base(span: tuple[float, float]) -> Any:
    import plotly.graph_objects as go

    return go.Scatter(
        x=[0], y=[0], mode="markers+text", text=["base"],
        textposition="bottom right" if base_on_the_left(span) else "bottom left",
        showlegend=False, hoverinfo="text", hovertext=["the base: nothing changed"],
        marker={
            "color": palette.PAPER, "size": 11, "line": {"color": palette.INK, "width": 2},
        },
    )  # fmt: skip


def _published(moves: tuple[Move, ...]) -> list[Any]:
    """Faint paths, each from where its recipe came from."""
    import plotly.graph_objects as go

    places = {move.name: move for move in moves}
    xs, ys = [], []
    for move in moves:
        start = places.get(move.after)
        xs += [start.x if start else 0, move.x, None]
        ys += [start.y if start else 0, move.y, None]
    faint = {"color": palette.FAINT, "opacity": 0.6}
    return [
        go.Scatter(
            x=xs, y=ys, mode="lines", hoverinfo="skip", showlegend=False, opacity=0.6,
            line={"color": palette.FAINT, "width": 1, "dash": "dot"}, meta="published",
        ),
        go.Scatter(
            x=[m.x for m in moves], y=[m.y for m in moves], mode="markers+text",
            text=[escape(m.name) for m in moves], uid="published-names",
            textposition=[_SIDES[m.side] for m in moves],
            textfont={"size": 10, "color": palette.FAINT}, marker={"size": 6, **faint},
            hoverinfo="text", showlegend=False, meta="published",
            hovertext=[
                f"published: {escape(m.name)}<br>domain {change(m.x)}, robustness {change(m.y)}"
                for m in moves
            ],
        ),
    ]  # fmt: skip


_SIDES = {
    "left": "middle left",
    "right": "middle right",
    "top": "top center",
    "bottom": "bottom center",
}


def _layout(found: Seesaw, shown: tuple[tuple[float, float], tuple[float, float]]) -> Any:
    def line(name: str, at: float, dash: str, colour: str) -> dict[str, Any]:
        other = "y" if name == "x" else "x"
        return {
            "type": "line", f"{name}0": at, f"{name}1": at, f"{other}0": 0, f"{other}1": 1,
            "xref": "x" if name == "x" else "paper", "yref": "y" if name == "y" else "paper",
            "line": {"color": colour, "width": 1, "dash": dash}, "layer": "between",
        }  # fmt: skip

    margins = [
        line(name, -axis.margin, "dash", palette.DOWN)
        for name, axis in (("x", found.x), ("y", found.y))
        if axis is not None
    ]
    corners = [
        {
            "xref": "paper", "yref": "paper", "x": x, "y": y, "text": text, "showarrow": False,
            "xanchor": "right" if x else "left", "yanchor": "top" if y else "bottom",
            "align": "right" if x else "left", "font": {"size": 10, "color": palette.FAINT},
            "xshift": -6 if x else 6, "yshift": -6 if y else 6,
        }
        for x, y, text in CORNERS
    ]  # fmt: skip

    def axis(title: str, span: tuple[float, float]) -> dict[str, Any]:
        return {
            "title": {"text": title, "font": {"size": 13}, "standoff": 10}, "range": list(span),
            "zeroline": True, "zerolinecolor": palette.FAINT, "gridcolor": palette.GRID,
            "automargin": True,
        }  # fmt: skip

    return {
        "template": "none", "shapes": margins, "annotations": corners, "showlegend": False,
        "xaxis": axis(axis_title(found, "x"), shown[0]),
        "yaxis": axis(axis_title(found, "y"), shown[1]),
        "margin": {"l": 10, "r": 12, "t": 12, "b": 10}, "hovermode": "closest",
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": palette.INK},
        "dragmode": False,
    }  # fmt: skip


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round numbers within a range, at most about `most`."""
    rough = (high - low) / most
    scale = 10 ** np.floor(np.log10(rough))
    step = next(s * scale for s in (1, 2, 5, 10) if s * scale >= rough)
    first, last = int(np.ceil(low / step)), int(high // step)
    return [round(float(k * step), 10) for k in range(first, last + 1)]


def tick_label(value: float) -> str:
    """A change without needless digits; plain 0."""
    return f"{value:+g}".replace("-", MINUS) if value else "0"


def _ticks(low: float, high: float) -> dict[str, Any]:
    places = ticks(low, high)
    return {"tickvals": places, "ticktext": [tick_label(value) for value in places]}


def axis_title(found: Seesaw, which: str) -> str:
    """What an axis shows, for people."""
    axis = found.x if which == "x" else found.y
    word = "domain skill" if which == "x" else "robustness"
    return f"Change in {word}, points" + ("" if axis is None else f" ({axis.title})")


def _translucent(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _short(values: np.ndarray) -> list[float]:
    """Four decimals are finer than any pixel."""
    return np.round(values, 4).tolist()


def _listed(value: Any) -> Any:
    """Tuples and arrays as lists, so that JSON takes them."""
    if isinstance(value, dict):
        return {name: _listed(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_listed(v) for v in value]
    return value.tolist() if isinstance(value, np.ndarray) else value
