"""The seesaw drawn: as SVG for papers and chats, as a PNG of that, as a figure for plotly.js.

The page shows the SVG without JavaScript and in print, and the plotly chart otherwise. Its style
sheet recolors both for light, dark and print.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..harness.display import change
from ..harness.run_folder import replacing
from ..tasks.errors import RedoneError
from . import plot
from .plot import Place, svg_line, svg_text
from .seesaw import Seesaw, frame
from .seesaw_scene import CORNERS, PLANE, Mark, Range, Scene, Segment, inside, scene

LEFT, RIGHT, TOP, BOTTOM = 68, 16, 16, 58
WIDTH, HEIGHT = LEFT + PLANE[0] + RIGHT, TOP + PLANE[1] + BOTTOM
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SUFFIXES = (".svg", ".png")


def svg(found: Seesaw) -> str:
    """The picture of a seesaw with two axes.

    Raises:
        RedoneError: No stage has both.
    """
    if not found.placed:
        raise RedoneError(
            "There is no seesaw to draw: it needs two comparable runs with a domain suite and a "
            "robustness suite."
        )
    drawn = scene(found)
    pixels = inside(drawn.xs, drawn.ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across, down = pixels(x, y)
        return LEFT + across, TOP + down

    parts = [*_svg_axes(drawn, place), *_svg_regions(drawn, place)]
    if drawn.published:
        for (start, end), move in zip(drawn.moves_path, drawn.moves, strict=True):
            parts.append(
                svg_line(*place(*start), *place(*end), plot.FAINT, "s-faint-line", dash="2 3")
            )
            parts.extend(_svg_mark(move, place))
    parts += [
        svg_line(*place(*start), *place(*end), plot.FAINT, "s-faint-line", width=2)
        for start, end in drawn.path
    ]
    parts += [part for mark in drawn.marks for part in _svg_mark(mark, place)]
    title = "; ".join(
        f"{p.label}: domain {change(x)}, robustness {change(y)}, {p.quadrant}"
        for _, p, x, y in found.placed
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="system-ui, sans-serif" font-size="12">'
        f'<title>The seesaw. {escape(title)}</title><defs><clipPath id="plane"><rect x="{LEFT}" '
        f'y="{TOP}" width="{PLANE[0]}" height="{PLANE[1]}"/></clipPath>'
        f'</defs><rect class="s-paper" width="{WIDTH}" height="{HEIGHT}" fill="{plot.PAPER}"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _svg_axes(drawn: Scene, place: Place) -> Iterator[str]:
    left, bottom = place(drawn.xs[0], drawn.ys[0])
    right, top = place(drawn.xs[1], drawn.ys[1])
    middle, center = (left + right) / 2, (top + bottom) / 2
    for x in plot.ticks(*drawn.xs):
        at, _ = place(x, 0)
        yield svg_line(at, top, at, bottom, plot.GRID, "s-grid")
        yield svg_text(at, bottom + 18, plot.tick_label(x), anchor="middle")
    for y in plot.ticks(*drawn.ys):
        _, at = place(0, y)
        yield svg_line(left, at, right, at, plot.GRID, "s-grid")
        yield svg_text(left - 8, at + 4, plot.tick_label(y), anchor="end")
    across, down = place(0, 0)
    yield svg_line(across, top, across, bottom, plot.FAINT, "s-faint-line")
    yield svg_line(left, down, right, down, plot.FAINT, "s-faint-line")
    for which, margin in drawn.margins:
        across, down = place(margin, margin)
        if which == "x" and left < across < right:
            yield svg_line(across, top, across, bottom, plot.DOWN, dash="5 4")
        if which == "y" and top < down < bottom:
            yield svg_line(left, down, right, down, plot.DOWN, dash="5 4")
    for on_right, on_top, lines in CORNERS:
        x, anchor = (right - 6, "end") if on_right else (left + 6, "start")
        first = top + 14 if on_top else bottom + 4 - 12 * len(lines)
        for row, words in enumerate(lines):
            yield svg_text(x, first + 12 * row, words, anchor=anchor, size=10, faint=True)
    turn = f' transform="rotate(-90 16 {center:.1f})"'
    yield svg_text(middle, HEIGHT - 12, drawn.titles[0], anchor="middle", size=13)
    yield svg_text(16, center, drawn.titles[1], anchor="middle", size=13, more=turn)


def _svg_regions(drawn: Scene, place: Place) -> Iterator[str]:
    for color, cloud, outline in drawn.regions:
        path = " ".join("{:.1f},{:.1f}".format(*place(*xy)) for xy in outline)
        dots = "".join("M{:.1f} {:.1f}h0".format(*place(*xy)) for xy in cloud)
        yield (
            f'<g clip-path="url(#plane)"><path d="{dots}" stroke="{color}" stroke-width="2.5" '
            f'stroke-linecap="round" opacity=".25"/><polygon points="{path}" fill="{color}" '
            f'fill-opacity=".12" stroke="{color}" stroke-width="1.5"/></g>'
        )


SHAPES = {
    "circle": "M-6.5 0a6.5 6.5 0 1 0 13 0a6.5 6.5 0 1 0 -13 0z",
    "square": "M-6-6h12v12h-12z",
    "diamond": "M0-8l8 8l-8 8l-8-8z",
    "triangle-up": "M0-8l8 14h-16z",
    "cross": "M-2.5-7h5v4.5h4.5v5h-4.5v4.5h-5v-4.5h-4.5v-5h4.5z",
    "star": "M0-9l2.5 6h6.5l-5 4.5l2 7l-6-4l-6 4l2-7l-5-4.5h6.5z",
}
OFFSETS = {
    "stage": {
        "top": (0, -12, "middle"), "bottom": (0, 22, "middle"),
        "right": (12, 5, "start"), "left": (-12, 5, "end"),
    },
    "published": {"left": (-6, 4, "end"), "right": (6, 4, "start"), "bottom": (0, 14, "middle")},
    "base": {"bottom left": (-8, 16, "end"), "bottom right": (8, 16, "start")},
}  # fmt: skip
"""Offset of a label from its marker, right and down, and the text anchor."""


def _svg_mark(mark: Mark, place: Place) -> Iterator[str]:
    x, y = place(mark.x, mark.y)
    circle = f'cx="{x:.1f}" cy="{y:.1f}" fill="{mark.color}"'
    style: dict[str, Any] = {}
    if mark.kind == "stage":
        yield (
            f'<path d="{SHAPES[mark.shape]}" transform="translate({x:.1f} {y:.1f})" '
            f'fill="{mark.color}" class="s-mark" stroke="{plot.PAPER}"/>'
        )
        style = {"size": 14, "more": ' font-weight="600"'}
    elif mark.kind == "base":
        yield f'<circle class="s-base" {circle} r="5" stroke="{plot.INK}" stroke-width="2"/>'
    else:
        yield f'<circle class="s-faint" {circle} r="3"/>'
        style = {"size": 10, "faint": True}
    across, down, anchor = OFFSETS[mark.kind][mark.side]
    yield svg_text(x + across, y + down, mark.label, anchor=anchor, **style)


def write_picture(found: Seesaw, path: Path) -> None:
    """Writes the picture as SVG or, if Chromium or Chrome is installed, as PNG.

    Raises:
        RedoneError: Another suffix, no seesaw to draw, or no browser for a PNG.
    """
    if path.suffix not in SUFFIXES:
        raise RedoneError(f"--seesaw {path}: a file name that ends in .svg or .png is expected.")
    picture = svg(found)
    with replacing(path) as temporary:
        if path.suffix == ".svg":
            temporary.write_text(picture, "utf-8")
        else:
            temporary.write_bytes(png(picture))


def png(picture: str, scale: float = 2) -> bytes:
    """An SVG picture as PNG, drawn by a headless browser.

    Raises:
        RedoneError: No browser is installed, or it failed.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise RedoneError(
            "A PNG needs Chromium or Chrome, and neither is installed. Name a .svg file instead."
        )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "seesaw.html"), Path(folder, "seesaw.png")
        source.write_text(f"<!doctype html><style>body{{margin:0}}</style>{picture}", "utf-8")
        # Chromium cannot use its sandbox as root, and the picture is our own.
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        command = [
            browser, "--headless", *(["--no-sandbox"] if root else []), "--disable-gpu",
            "--hide-scrollbars", "--disable-background-networking", "--no-first-run",
            f"--user-data-dir={folder}/profile", f"--force-device-scale-factor={scale:g}",
            f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={target}", source.as_uri(),
        ]  # fmt: skip
        try:
            subprocess.run(command, capture_output=True, timeout=120, check=True)
            return target.read_bytes()
        except (OSError, subprocess.SubprocessError) as error:
            raise RedoneError(
                f"{browser} did not draw the picture ({error}). Name a .svg file instead."
            ) from None


POSITIONS = {
    "left": "middle left", "right": "middle right", "top": "top center", "bottom": "bottom center",
}  # fmt: skip
"""Plotly's names of the sides, where they differ from ours."""
STYLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "stage": (
        {"textfont": {"size": 14}},
        {"size": 13, "line": {"color": plot.PAPER, "width": 1.5}},
    ),
    "base": ({}, {"size": 11, "line": {"color": plot.INK, "width": 2}}),
    "published": (
        {
            "textfont": {"size": 10, "color": plot.FAINT},
            "uid": "published-names", "meta": "published",
        },
        {"size": 6, "opacity": 0.6},
    ),
}  # fmt: skip
"""Of a kind of mark: the trace, and its markers."""


def seesaw_figure(found: Seesaw) -> dict[str, Any]:
    """The figure for plotly.js, and the two frames that the page's buttons switch between.

    Args:
        found: With at least one stage that has both axes.

    Returns:
        `data` and `layout`; `frames`: by name the ranges of x and y; `ticks`: likewise the
        positions and labels of their ticks; `shown`: the name of the initial frame.
    """
    drawn = scene(found)
    frames = {name: frame(found, name == "published") for name in ("runs", "published")}
    data = []
    for color, cloud, outline in drawn.regions:
        dots = {"color": color, "size": 3, "opacity": 0.22}
        data += [
            _trace("markers", cloud, marker=dots),
            _trace(
                "lines", outline, fill="toself", line={"color": color, "width": 1.5},
                fillcolor=f"{color}1f",
            ),
        ]  # fmt: skip
    dotted = {"color": plot.FAINT, "width": 1, "dash": "dot"}
    data += [
        _trace("lines", _joined(drawn.moves_path), opacity=0.6, meta="published", line=dotted),
        _marks(drawn.moves),
        _trace("lines", _joined(drawn.path), line={"color": plot.FAINT, "width": 2}),
        *(_marks([mark]) for mark in drawn.marks),
    ]
    return {
        "ticks": {name: [_ticks(*span) for span in spans] for name, spans in frames.items()},
        "data": data,
        "layout": _layout(drawn),
        "frames": frames,
        "shown": "published" if drawn.published else "runs",
    }


def _trace(mode: str, spots: Any, **options: Any) -> dict[str, Any]:
    """A trace through spots [n, 2]; four decimals are finer than any pixel."""
    x, y = np.round(np.asarray(spots, float).reshape(-1, 2), 4).T.tolist()
    basic = {"type": "scatter", "mode": mode, "showlegend": False, "hoverinfo": "skip"}
    return {**basic, "x": x, "y": y, **options}


def _joined(segments: Iterable[Segment]) -> list[tuple[float, float]]:
    """Segments as one line with gaps."""
    gap = (np.nan, np.nan)
    return [spot for start, end in segments for spot in (start, end, gap)]


def _marks(marks: Sequence[Mark]) -> dict[str, Any]:
    """Marks of one kind. Plotly renders some markup in texts, so names are escaped."""
    kind = marks[0].kind if marks else "published"
    trace, marker = STYLES[kind]
    bold = "<b>{}</b>" if kind == "stage" else "{}"
    names = [bold.format(escape(mark.label)) for mark in marks]
    return {
        **_trace("markers+text", []), **trace,
        "x": [mark.x for mark in marks], "y": [mark.y for mark in marks], "text": names,
        "textposition": [POSITIONS.get(mark.side, mark.side) for mark in marks],
        "marker": {
            **marker, "color": [m.color for m in marks], "symbol": [m.shape for m in marks],
        },
        "hoverinfo": "text",
        "hovertext": [
            f"{name}: {'<br>'.join(map(escape, mark.about))}"
            for name, mark in zip(names, marks, strict=True)
        ],
    }  # fmt: skip


def _layout(drawn: Scene) -> dict[str, Any]:
    def margin(which: str, at: float) -> dict[str, Any]:
        other = "y" if which == "x" else "x"
        return {
            "type": "line", f"{which}0": at, f"{which}1": at, f"{other}0": 0, f"{other}1": 1,
            f"{which}ref": which, f"{other}ref": "paper", "layer": "between",
            "line": {"color": plot.DOWN, "width": 1, "dash": "dash"},
        }  # fmt: skip

    def corner(x: int, y: int, lines: Sequence[str]) -> dict[str, Any]:
        across, down = ("right" if x else "left"), ("top" if y else "bottom")
        return {
            "xref": "paper", "yref": "paper", "x": x, "y": y, "text": "<br>".join(lines),
            "xanchor": across, "yanchor": down, "align": across, "showarrow": False,
            "xshift": -6 if x else 6, "yshift": -6 if y else 6,
            "font": {"size": 10, "color": plot.FAINT},
        }  # fmt: skip

    def axis(title: str, span: Range) -> dict[str, Any]:
        return {
            "title": {"text": title, "font": {"size": 13}, "standoff": 10}, "range": list(span),
            "zeroline": True, "zerolinecolor": plot.FAINT, "gridcolor": plot.GRID,
            "automargin": True,
        }  # fmt: skip

    return {
        "shapes": [margin(*line) for line in drawn.margins],
        "annotations": [corner(*found) for found in CORNERS], "showlegend": False,
        "xaxis": axis(drawn.titles[0], drawn.xs), "yaxis": axis(drawn.titles[1], drawn.ys),
        "margin": {"l": 10, "r": 12, "t": 12, "b": 10}, "hovermode": "closest",
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": plot.INK},
        "dragmode": False,
    }  # fmt: skip


def _ticks(low: float, high: float) -> dict[str, Any]:
    values = plot.ticks(low, high)
    return {"tickvals": values, "ticktext": [plot.tick_label(value) for value in values]}
