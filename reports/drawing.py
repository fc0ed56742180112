"""The seesaw as an SVG picture for papers, chats and paper itself, and as a PNG of that.

The picture needs no program to be drawn. The page shows it where there is no JavaScript, and when
it is printed; classes let the page's style sheet recolour what has them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path

from ..harness.store import replacing
from ..harness.wording import change
from ..tasks.errors import RedoneError
from . import palette
from .charts import axis_title, tick_label, ticks
from .names import PLANE, Place, base_on_the_left, inside, sides
from .seesaw import Seesaw, frame, shows_published

LEFT, RIGHT, TOP, BOTTOM = 68, 16, 16, 58
WIDTH, HEIGHT = LEFT + PLANE[0] + RIGHT, TOP + PLANE[1] + BOTTOM
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FORMATS = (".svg", ".png")


def svg(found: Seesaw) -> str:
    """The picture of a seesaw with two axes.

    Raises:
        RedoneError: No stage has both.
    """
    if not found.whole:
        raise RedoneError(
            "There is no seesaw to draw: it needs two comparable runs with a domain suite and a "
            "robustness suite."
        )
    xs, ys = frame(found, shows_published(found))
    pixels = inside(xs, ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across, down = pixels(x, y)
        return LEFT + across, TOP + down

    parts = [
        *_axes(found, xs, ys, place),
        *_regions(found, place),
        *(_moves(found, place) if shows_published(found) else ()),
        *_stages(found, place, base_on_the_left(xs)),
    ]
    title = "; ".join(
        f"{p.label}: domain {change(p.x.value)}, robustness {change(p.y.value)}, {p.quadrant}"
        for p in found.points
        if p.x and p.y
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="system-ui, sans-serif" font-size="12">'
        f'<title>The seesaw. {escape(title)}</title><defs><clipPath id="plane"><rect x="{LEFT}" '
        f'y="{TOP}" width="{PLANE[0]}" height="{PLANE[1]}"/></clipPath>'
        f'</defs><rect class="s-paper" width="{WIDTH}" height="{HEIGHT}" fill="{palette.PAPER}"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _axes(
    found: Seesaw, xs: tuple[float, float], ys: tuple[float, float], place: Place
) -> Iterator[str]:
    left, bottom = place(xs[0], ys[0])
    right, top = place(xs[1], ys[1])
    for x in ticks(*xs):
        at, _ = place(x, 0)
        yield svg_line(at, top, at, bottom, palette.GRID, "s-grid")
        yield svg_text(at, bottom + 18, tick_label(x), anchor="middle")
    for y in ticks(*ys):
        _, at = place(0, y)
        yield svg_line(left, at, right, at, palette.GRID, "s-grid")
        yield svg_text(left - 8, at + 4, tick_label(y), anchor="end")
    across, down = place(0, 0)
    yield svg_line(across, top, across, bottom, palette.FAINT, "s-faint-line")
    yield svg_line(left, down, right, down, palette.FAINT, "s-faint-line")
    for axis, along in ((found.x, "x"), (found.y, "y")):
        if axis is None:
            continue
        at = place(-axis.margin, -axis.margin)
        if along == "x" and left < at[0] < right:
            yield svg_line(at[0], top, at[0], bottom, palette.DOWN, dash="5 4")
        if along == "y" and top < at[1] < bottom:
            yield svg_line(left, at[1], right, at[1], palette.DOWN, dash="5 4")
    for x, y, lines in (
        (right - 6, top + 14, ("BOTH UP",)),
        (right - 6, bottom - 20, ("TRADED", "domain up, robustness down")),
        (left + 6, top + 14, ("TRADED", "robustness up, domain down")),
        (left + 6, bottom - 8, ("BOTH DOWN",)),
    ):
        for row, words in enumerate(lines):
            anchor = "end" if x > (left + right) / 2 else "start"
            yield svg_text(x, y + 12 * row, words, anchor=anchor, size=10, faint=True)
    middle = (left + right) / 2
    yield svg_text(middle, HEIGHT - 12, axis_title(found, "x"), anchor="middle", size=13)
    turn = f' transform="rotate(-90 16 {(top + bottom) / 2:.1f})"'
    yield svg_text(
        16, (top + bottom) / 2, axis_title(found, "y"), anchor="middle", size=13, more=turn
    )


def _moves(found: Seesaw, place: Place) -> Iterator[str]:
    places = {move.name: move for move in found.moves}
    for move in found.moves:
        start = places.get(move.after)
        one = place(start.x, start.y) if start else place(0, 0)
        two = place(move.x, move.y)
        yield svg_line(*one, *two, palette.FAINT, "s-faint-line", dash="2 3")
        yield (
            f'<circle class="s-faint" cx="{two[0]:.1f}" cy="{two[1]:.1f}" r="3" '
            f'fill="{palette.FAINT}"/>'
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
"""Where names stand beside their marks: to the right, down, and how the words are set there."""


def _stages(found: Seesaw, place: Place, left: bool) -> Iterator[str]:
    at = [place(p.x.value, p.y.value) for p in found.points if p.x and p.y]
    origin = place(0, 0)
    for number, end in enumerate(at):
        start = at[number - 1] if found.chain and number else origin
        yield svg_line(*start, *end, palette.FAINT, "s-faint-line", width=2)
    beside = iter(sides(found))
    for number, point in enumerate(found.points):
        if point.x is None or point.y is None:
            continue
        colour, marker = palette.of_stage(number)
        x, y = place(point.x.value, point.y.value)
        yield (
            f'<path d="{_SHAPES[marker]}" transform="translate({x:.1f} {y:.1f})" fill="{colour}" '
            f'class="s-mark" stroke="{palette.PAPER}"/>'
        )
        across, down, anchor = _NAMES[next(beside)]
        bold = ' font-weight="600"'
        yield svg_text(x + across, y + down, point.label, anchor=anchor, size=14, more=bold)
    yield (
        f'<circle class="s-base" cx="{origin[0]:.1f}" cy="{origin[1]:.1f}" r="5" '
        f'fill="{palette.PAPER}" stroke="{palette.INK}" stroke-width="2"/>'
    )
    across, anchor = (8, "start") if left else (-8, "end")
    yield svg_text(origin[0] + across, origin[1] + 16, "base", anchor=anchor)


def _regions(found: Seesaw, place: Place) -> Iterator[str]:
    for number, point in enumerate(found.points):
        outline, cloud = point.ellipse(), point.cloud()
        if outline is None or cloud is None:
            continue
        colour, _ = palette.of_stage(number)
        path = " ".join("{:.1f},{:.1f}".format(*place(*xy)) for xy in outline)
        dots = "".join("M{:.1f} {:.1f}h0".format(*place(*xy)) for xy in cloud)
        yield (
            f'<g clip-path="url(#plane)"><path d="{dots}" stroke="{colour}" stroke-width="2.5" '
            f'stroke-linecap="round" opacity=".25"/><polygon points="{path}" fill="{colour}" '
            f'fill-opacity=".12" stroke="{colour}" stroke-width="1.5"/></g>'
        )


_SHAPES = {
    "circle": "M-6.5 0a6.5 6.5 0 1 0 13 0a6.5 6.5 0 1 0 -13 0z",
    "square": "M-6-6h12v12h-12z",
    "diamond": "M0-8l8 8l-8 8l-8-8z",
    "triangle-up": "M0-8l8 14h-16z",
    "cross": "M-2.5-7h5v4.5h4.5v5h-4.5v4.5h-5v-4.5h-4.5v-5h4.5z",
    "star": "M0-9l2.5 6h6.5l-5 4.5l2 7l-6-4l-6 4l2-7l-5-4.5h6.5z",
}


def svg_line(
    x1: float, y1: float, x2: float, y2: float, colour: str, kind: str = "",
    dash: str = "", width: float = 1,
) -> str:  # fmt: skip
    """A line; `kind` is the class by which a style sheet recolours it."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width:g}"{dashed}/>'
    )


def svg_text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 12,
    faint: bool = False, more: str = "",
) -> str:  # fmt: skip
    """Words, outlined in the colour of the paper so that lines do not cross them."""
    colour, kind = (palette.FAINT, "s-faint") if faint else (palette.INK, "s-ink")
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{colour}" stroke="{palette.PAPER}" stroke-width="3" paint-order="stroke" '
        f'stroke-linejoin="round"{more}>{escape(words)}</text>'
    )


def write_picture(found: Seesaw, path: Path) -> None:
    """Writes the picture as SVG or, where a Chromium or Chrome is installed, as PNG.

    Raises:
        RedoneError: Another ending, no seesaw to draw, or no browser for a PNG.
    """
    if path.suffix not in FORMATS:
        raise RedoneError(f"--seesaw {path}: a file name that ends in .svg or .png is expected.")
    picture = svg(found)
    with replacing(path) as temporary:
        if path.suffix == ".svg":
            temporary.write_text(picture, "utf-8")
        else:
            temporary.write_bytes(png(picture))


def png(picture: str, scale: float = 2) -> bytes:
    """An SVG picture as PNG, drawn by a browser without a window.

    Raises:
        RedoneError: None is installed, or it did not draw.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise RedoneError(
            "A PNG needs Chromium or Chrome, and none is installed. Name a .svg file instead: it "
            "needs nothing."
        )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "seesaw.html"), Path(folder, "seesaw.png")
        source.write_text(f"<!doctype html><style>body{{margin:0}}</style>{picture}", "utf-8")
        # Chromium refuses its own sandbox to root, and what it draws here was made by us.
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
