"""The machine that a measurement was made on, and how its result is saved."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from redone.harness.machine import cores

TINY = "run on a handful of items to see that it runs; results go to a temporary folder"
"""Help of `--tiny`, which every measurement has."""


def results(tiny: bool) -> Path:
    """The folder of the results."""
    if tiny:
        return Path(tempfile.mkdtemp(prefix="redone-tiny-"))
    folder = Path(__file__).resolve().parent / "results"
    folder.mkdir(exist_ok=True)
    return folder


def machine(*packages: str) -> dict[str, Any]:
    """Processor, threads, versions of packages, date."""
    processor = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return {
        "processor": processor,
        "threads": cores(),
        "versions": {n: version(n) for n in packages},
        "date": time.strftime("%Y-%m-%d"),
    }


def keep(path: Path, record: dict[str, Any]) -> None:
    """Write a record, completely or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1, ensure_ascii=False), "utf-8")
    part.replace(path)
