"""Other processes of the pipeline: commands of other rooms, and stages on several devices."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..tasks.errors import UnknownName
from .errors import LaunchFailed

CONFIGS = Path(__file__).with_name("configs")
TOLD = 12
"""Lines of a failed process that are told."""


def module(name: str, words: Sequence[str]) -> str:
    """Runs `python -m NAME WORDS` and returns what it printed.

    Raises:
        LaunchFailed: It ended with another code than 0; tells its last lines.
    """
    command = [sys.executable, "-m", name, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LaunchFailed(_failed(name, done.returncode, done.stderr or done.stdout))
    return done.stdout


def accelerate(config: Path, job: Path, log: Path) -> None:
    """Runs a job file on all processes of an accelerate configuration.

    Args:
        config: Of `accelerate launch`.
        job: See `job.py`.
        log: What the processes print.

    Raises:
        LaunchFailed: It ended badly; tells its last lines and the log.
    """
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch"),
        *("--config_file", str(config)),
        *("-m", "redone.training.job", str(job)),
    ]
    with log.open("a", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        text = log.read_text("utf-8", "replace")
        raise LaunchFailed(_failed("accelerate launch", done.returncode, text) + f"\nLog: {log}")


def config_of(name: str) -> Path:
    """An accelerate configuration: a shipped one by name, or a file.

    Raises:
        UnknownName: Neither.
    """
    shipped = {path.stem: path for path in CONFIGS.glob("*.yaml")}
    if name in shipped:
        return shipped[name]
    if Path(name).is_file():
        return Path(name).resolve()
    raise UnknownName(
        "accelerate configuration", name, shipped, "give one of these, or a .yaml file."
    )


def _failed(name: str, code: int, text: str) -> str:
    last = "\n".join(f"  {line}" for line in text.strip().splitlines()[-TOLD:])
    return f"{name} ended with code {code}:\n{last}"
