"""The seesaw as an SVG picture for papers and chats, and as a PNG of that.

The page shows it without JavaScript and in print; classes let its style sheet recolor the parts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path

from ..harness.display import change
from ..harness.run_folder import replacing
from ..tasks.errors import RedoneError
from . import plot
from .plot import PLANE, Place, svg_line, svg_text
from .seesaw import Seesaw, frame, shows_published

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
    xs, ys = frame(found, shows_published(found))
    pixels = plot.inside(xs, ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across, down = pixels(x, y)
        return LEFT + across, TOP + down

    parts = [
        *_axes(found, xs, ys, place),
        *_regions(found, place),
        *(_moves(found, place) if shows_published(found) else ()),
        *_stages(found, place, plot.base_label_right(xs)),
    ]
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


def _axes(
    found: Seesaw, xs: tuple[float, float], ys: tuple[float, float], place: Place
) -> Iterator[str]:
    left, bottom = place(xs[0], ys[0])
    right, top = place(xs[1], ys[1])
    for x in plot.ticks(*xs):
        at, _ = place(x, 0)
        yield svg_line(at, top, at, bottom, plot.GRID, "s-grid")
        yield svg_text(at, bottom + 18, plot.tick_label(x), anchor="middle")
    for y in plot.ticks(*ys):
        _, at = place(0, y)
        yield svg_line(left, at, right, at, plot.GRID, "s-grid")
        yield svg_text(left - 8, at + 4, plot.tick_label(y), anchor="end")
    across, down = place(0, 0)
    yield svg_line(across, top, across, bottom, plot.FAINT, "s-faint-line")
    yield svg_line(left, down, right, down, plot.FAINT, "s-faint-line")
    if found.x and left < (at := place(-found.x.margin, 0)[0]) < right:
        yield svg_line(at, top, at, bottom, plot.DOWN, dash="5 4")
    if found.y and top < (at := place(0, -found.y.margin)[1]) < bottom:
        yield svg_line(left, at, right, at, plot.DOWN, dash="5 4")
    for corner_x, corner_y, lines in (
        (right - 6, top + 14, ("BOTH UP",)),
        (right - 6, bottom - 20, ("TRADED", "domain up, robustness down")),
        (left + 6, top + 14, ("TRADED", "robustness up, domain down")),
        (left + 6, bottom - 8, ("BOTH DOWN",)),
    ):
        anchor = "end" if corner_x > (left + right) / 2 else "start"
        for row, words in enumerate(lines):
            yield svg_text(corner_x, corner_y + 12 * row, words, anchor=anchor, size=10, faint=True)
    middle = (left + right) / 2
    yield svg_text(middle, HEIGHT - 12, plot.axis_title(found, "x"), anchor="middle", size=13)
    turn = f' transform="rotate(-90 16 {(top + bottom) / 2:.1f})"'
    yield svg_text(
        16, (top + bottom) / 2, plot.axis_title(found, "y"), anchor="middle", size=13, more=turn
    )


def _moves(found: Seesaw, place: Place) -> Iterator[str]:
    places = {move.name: move for move in found.moves}
    for move in found.moves:
        start = places.get(move.after)
        one = place(start.x, start.y) if start else place(0, 0)
        two = place(move.x, move.y)
        yield svg_line(*one, *two, plot.FAINT, "s-faint-line", dash="2 3")
        yield (
            f'<circle class="s-faint" cx="{two[0]:.1f}" cy="{two[1]:.1f}" r="3" '
            f'fill="{plot.FAINT}"/>'
        )
        across, down, anchor = _SIDES[move.side]
        yield svg_text(
            two[0] + across, two[1] + down, move.name, anchor=anchor, size=10, faint=True
        )


_SIDES = {"left": (-6, 4, "end"), "right": (6, 4, "start"), "bottom": (0, 14, "middle")}
_NAMES = {
    "top": (0, -12, "middle"),
    "bottom": (0, 22, "middle"),
    "right": (12, 5, "start"),
    "left": (-12, 5, "end"),
}
"""Offset of a label from its marker, right and down, and the text anchor."""


def _stages(found: Seesaw, place: Place, left: bool) -> Iterator[str]:
    origin = place(0, 0)
    start = origin
    for _, _, x, y in found.placed:
        end = place(x, y)
        yield svg_line(*start, *end, plot.FAINT, "s-faint-line", width=2)
        start = end if found.chain else origin
    bold = ' font-weight="600"'
    for (index, point, *at), side in zip(found.placed, plot.sides(found), strict=True):
        color, marker = plot.of_stage(index)
        x, y = place(*at)
        yield (
            f'<path d="{_SHAPES[marker]}" transform="translate({x:.1f} {y:.1f})" fill="{color}" '
            f'class="s-mark" stroke="{plot.PAPER}"/>'
        )
        across, down, anchor = _NAMES[side]
        yield svg_text(x + across, y + down, point.label, anchor=anchor, size=14, more=bold)
    yield (
        f'<circle class="s-base" cx="{origin[0]:.1f}" cy="{origin[1]:.1f}" r="5" '
        f'fill="{plot.PAPER}" stroke="{plot.INK}" stroke-width="2"/>'
    )
    across, anchor = (8, "start") if left else (-8, "end")
    yield svg_text(origin[0] + across, origin[1] + 16, "base", anchor=anchor)


def _regions(found: Seesaw, place: Place) -> Iterator[str]:
    for number, point in enumerate(found.points):
        outline, cloud = point.ellipse(), point.cloud()
        if outline is None or cloud is None:
            continue
        color, _ = plot.of_stage(number)
        path = " ".join("{:.1f},{:.1f}".format(*place(*xy)) for xy in outline)
        dots = "".join("M{:.1f} {:.1f}h0".format(*place(*xy)) for xy in cloud)
        yield (
            f'<g clip-path="url(#plane)"><path d="{dots}" stroke="{color}" stroke-width="2.5" '
            f'stroke-linecap="round" opacity=".25"/><polygon points="{path}" fill="{color}" '
            f'fill-opacity=".12" stroke="{color}" stroke-width="1.5"/></g>'
        )


_SHAPES = {
    "circle": "M-6.5 0a6.5 6.5 0 1 0 13 0a6.5 6.5 0 1 0 -13 0z",
    "square": "M-6-6h12v12h-12z",
    "diamond": "M0-8l8 8l-8 8l-8-8z",
    "triangle-up": "M0-8l8 14h-16z",
    "cross": "M-2.5-7h5v4.5h4.5v5h-4.5v4.5h-5v-4.5h-4.5v-5h4.5z",
    "star": "M0-9l2.5 6h6.5l-5 4.5l2 7l-6-4l-6 4l2-7l-5-4.5h6.5z",
}


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
