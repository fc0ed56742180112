"""How long a step of reinforcement learning takes on a CPU, beside plain GRPO of TRL's.

Both sides ask the same questions of TweetEval's irony (train), write 32 answers to 4 of them, 8
tokens at most, and learn from all 32: every second answer counts as right, so dynamic sampling
drops nothing. Each side is a process of its own; its first step, which warms up, is not counted.

Processor seconds are told beside wall seconds: on a machine that others use, only they compare.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from machine import TINY, results

from redone.harness.machine import cores

HERE = Path(__file__).parent
PARTS = ("generation", "log-probabilities", "backward", "optimiser", "step")
BASE = {"groups": 4, "size": 8, "tokens": 8, "micro": 8, "checkpointing": False, "bf16": False}
SIDES: dict[str, dict[str, Any]] = {
    "redone": {"side": "redone", "micro": 32, "steps": 6},
    "redone, padded rows": {"side": "redone", "shared": False, "steps": 3},
    "redone, bfloat16": {"side": "redone", "micro": 32, "bf16": True, "steps": 4},
    "TRL": {"side": "trl", "steps": 3},
    "TRL, its defaults (bfloat16, activations recomputed)": {
        "side": "trl", "bf16": True, "checkpointing": True, "steps": 3,
    },
}  # fmt: skip


def measure(plan: dict[str, Any]) -> dict[str, Any]:
    """Medians of one side, by part: wall and processor seconds."""
    before = os.getloadavg()[0]
    done = subprocess.run(
        [sys.executable, str(HERE / "dapo_side.py"), json.dumps(plan)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{plan} failed:\n{done.stderr[-3000:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    steps = found["steps"][1:]
    return {
        "plan": {k: v for k, v in plan.items() if k not in ("model", "data")},
        "wall": {part: median(s[part][0] for s in steps) for part in PARTS},
        "processor": {part: median(s[part][1] for s in steps) for part in PARTS},
        "steps": len(steps),
        "tokens trained a step": found["tokens trained"] / len(found["steps"]),
        "load before and after": [before, os.getloadavg()[0]],
    }


def told(results: dict[str, Any]) -> str:
    """The results as a table in Markdown."""
    lines = [
        "# A step of reinforcement learning on a CPU",
        "",
        f"{results['machine']}. SmolLM2-135M-Instruct; 4 prompts of TweetEval's irony (160 to 180 ",
        "tokens, 130 of them the task's instruction), 8 answers each, 8 tokens at most. Medians a ",
        "step, in processor seconds (wall seconds in brackets: the machine was in use, see load).",
        "",
        "| | generation | log-probabilities | backward | optimiser | step | load |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, side in results["sides"].items():
        cells = [f"{side['processor'][p]:.1f} ({side['wall'][p]:.1f})" for p in PARTS]
        load = " to ".join(f"{x:.1f}" for x in side["load before and after"])
        lines.append(f"| {name} | {' | '.join(cells)} | {load} |")
    sides = results["sides"]
    if "redone" in sides and "TRL" in sides:
        ratio = {
            kind: sides["TRL"][kind]["step"] / sides["redone"][kind]["step"]
            for kind in ("processor", "wall")
        }
        lines += [
            "",
            f"A step takes {ratio['processor']:.1f} times fewer processor seconds than plain GRPO "
            f"of TRL's ({ratio['wall']:.1f} times fewer wall seconds).",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder of SmolLM2-135M-Instruct")
    parser.add_argument("--data-dir", help="folder with TweetEval")
    parser.add_argument("--only", choices=SIDES, help="measure one side again")
    parser.add_argument("--tiny", action="store_true", help=TINY)
    options = parser.parse_args()
    path = results(options.tiny) / "dapo_step.json"
    tiny = {"groups": 2, "size": 2, "tokens": 4, "micro": 4, "steps": 2} if options.tiny else {}
    kept = json.loads(path.read_text("utf-8"))["sides"] if path.exists() else {}
    record: dict[str, Any] = {
        "machine": f"{cores()} cores, {platform.machine()}",
        "sides": kept,
    }
    for name, changes in SIDES.items():
        if name in kept and options.only != name:
            continue
        if options.only in (None, name):
            given = {"model": options.model, "data": options.data_dir}
            record["sides"][name] = measure({**BASE, **changes, **tiny, **given})
            path.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
            path.with_suffix(".md").write_text(told(record), "utf-8")
    print(told(record))


if __name__ == "__main__":
    main()
