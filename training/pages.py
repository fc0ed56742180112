"""What stands at the end: the page of `redone-report`, a row for `redone-leaderboard`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from ..harness.gate.policy import Policy
from .errors import LaunchFailed
from .launch import module
from .manifest import Facts


def report(policy: Policy, runs: Sequence[Path], page: Path, *, chain: bool) -> Facts:
    """Writes the seesaw report of finished runs.

    Reports read runs and never models, so they are no part of training: `redone-report` is asked
    as a person would ask it.

    Args:
        policy: Which judges, and on which partition.
        runs: The base first.
        page: The HTML file.
        chain: Each run was made from the one before; else they are candidates beside one another.

    Raises:
        LaunchFailed: It ended badly.
    """
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "policy.toml"
        rules.write_text(as_toml(policy.model_dump(mode="json")), "utf-8")
        words = [*map(str, runs), "--output", str(page), "--policy", str(rules)]
        told = module(
            "redone.tasks.command", ["report", *words, *([] if chain else ["--candidates"])]
        )
    return {"verdict": told.strip().splitlines()[0] if told.strip() else ""}


def rows(runs: Mapping[str, Path], folder: Path) -> Facts:
    """Makes a result file of finished runs, for the leaderboard.

    Args:
        runs: By the name that the board shows.
        folder: Where the files go.

    Returns:
        What the board says of each; a run that it does not take is no reason to fail.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told: Facts = {}
    for name, run in runs.items():
        words = ["submit", str(run), "--name", name, "--output", str(folder)]
        try:
            told[name] = Path(module("redone.tasks.command", ["leaderboard", *words]).strip()).name
        except LaunchFailed as error:
            told[name] = str(error)
            print(error, file=sys.stderr)
    return told


def as_toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """A table of numbers, texts, booleans and tables as TOML; None is left out.

    A JSON text, number or boolean is one of TOML too.
    """
    plain = {k: v for k, v in table.items() if v is not None and not isinstance(v, Mapping)}
    lines = [f"{_key(name)} = {orjson.dumps(value).decode()}" for name, value in plain.items()]
    for name, value in table.items():
        if isinstance(value, Mapping):
            inner = f"{prefix}{_key(name)}"
            lines += ["", f"[{inner}]", as_toml(value, f"{inner}.")]
    return "\n".join(lines)


def _key(name: str) -> str:
    return orjson.dumps(name).decode()
