"""The measured chance levels of tasks, and the file that keeps them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from .task import Chance

FILE = Path(__file__).with_name("chance.toml")


@cache
def stored_chance(path: Path = FILE) -> Mapping[str, Chance]:
    """The levels by task."""
    levels = tomllib.loads(path.read_text("utf-8"))
    return {name: Chance(**level) for name, level in levels.items()}


def store_chance(levels: Mapping[str, Chance], path: Path = FILE) -> None:
    """Adds levels to the file; other tasks' levels, and the comments at the top, stay.

    Args:
        levels: By task.
        path: The file.
    """
    comments = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    lines = [
        f'"{name}" = {{ metric = {level.metric}, value = {level.value} }}'
        for name, level in {**stored_chance(path), **levels}.items()
    ]
    path.write_text("\n".join([*comments, "", *lines]) + "\n", "utf-8")
    stored_chance.cache_clear()
