"""How fast the hf backend is compared with lm-eval's, and what the harness itself costs.

    python benchmarks/eval_speed.py --model FOLDER --data-dir DIR
    python benchmarks/eval_speed.py --model FOLDER --data-dir DIR --only taxonomy_single

Both sides answer the same prompts (the authors' of SNS-Bench) with the same model, dtype, stop
texts and token limits, in turn, each time in a process of its own. Loading is timed separately.
Finished runs are saved in the result file: rerun the same command to resume. Timings are meaningful
only on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from harness_cost import measure_harness
from machine import TINY, keep, machine, results
from questions import SECTIONS, stop_with

from redone.tasks.errors import RedoneError

HERE = Path(__file__).resolve().parent
ITEMS = {"mix": 4, "taxonomy_single": 24, "query_corr_topic": 12}
BARS = {"mix": 2.6, "taxonomy_single": 2.3, "query_corr_topic": 3.3}
SIDES = {"redone": "redone_side.py", "lm-eval": "lm_eval_side.py"}


def main() -> None:
    options = _options()
    path = results(options.tiny) / f"{options.name}.json"
    record: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    record["machine"] = machine("redone", "torch", "transformers", "lm-eval")
    try:
        for section in [options.only] if options.only else [*SECTIONS, "harness"]:
            if section == "harness":
                kept = record.get("harness", {})
                record["harness"] = measure_harness(options.data_dir, kept, options.tiny)
                keep(path, record)
            else:
                _compare(section, options, path, record)
    except RedoneError as error:
        stop_with(error)
    table = markdown(record)
    path.with_suffix(".md").write_text(table, "utf-8")
    print(table)


def _options() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    p.add_argument("--model", required=True, metavar="FOLDER")
    p.add_argument("--data-dir", metavar="DIR")
    p.add_argument("--items", type=int, metavar="N", help=f"per task (default {ITEMS})")
    p.add_argument(
        "--max-tokens", type=int, default=64, metavar="N", help="cap of the tasks' limits"
    )
    p.add_argument("--repeats", type=int, default=3, metavar="N")
    p.add_argument("--only", choices=[*SECTIONS, "harness"])
    p.add_argument("--dtype", default="bfloat16")
    p.add_argument("--lm-eval-batch", type=int, default=8, metavar="N")
    p.add_argument("--name", default="eval_speed", help="of the result files")
    p.add_argument("--tiny", action="store_true", help=TINY)
    options = p.parse_args()
    if options.tiny:
        options.items, options.max_tokens, options.repeats = 2, 4, 1
    return options


def _compare(section: str, options: argparse.Namespace, path: Path, record: dict[str, Any]) -> None:
    """Run both sides in turn until each has its repeats."""
    setup = {
        "model": str(Path(options.model).resolve()),
        "dtype": options.dtype,
        "section": section,
        "items": options.items or ITEMS[section],
        "data_dir": options.data_dir,
        "max_tokens": options.max_tokens,
        "batch_size": options.lm_eval_batch,
    }
    # Results are published, so paths of folders are left out.
    shown = {k: Path(v).name if k == "model" else v for k, v in setup.items() if k != "data_dir"}
    kept = record.get(section)
    if kept is None or kept["setup"] != shown:
        kept = record[section] = {"setup": shown, "runs": {side: [] for side in SIDES}}
    for repeat in range(options.repeats):
        for side, script in SIDES.items():
            if len(kept["runs"][side]) > repeat:
                continue
            print(f"{section}: {side}, run {repeat + 1} of {options.repeats} ...", flush=True)
            run = _run(script, setup)
            if repeat:  # texts of the first run are enough
                run.pop("answers")
            run.pop("prompts", None)
            kept["runs"][side].append(run)
            keep(path, record)
    kept["summary"] = summary(kept["runs"])
    for runs in kept["runs"].values():
        for run in runs:
            # Answers contain parts of the prompts, which must not be published.
            run.pop("answers", None)
    keep(path, record)


def _run(script: str, setup: dict[str, Any]) -> dict[str, Any]:
    """One side, once, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        log = Path(folder) / "log.txt"
        with log.open("w") as out:
            done = subprocess.run(
                [sys.executable, str(HERE / script), json.dumps(setup), str(result)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": folder},
                check=False,
            )
        if done.returncode or not result.exists():
            tail = log.read_text("utf-8", "replace")[-3000:]
            raise RedoneError(f"{script} ended with status {done.returncode}:\n{tail}")
        return json.loads(result.read_text("utf-8"))


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians, their ratio, token counts, and how many answers are the same."""
    ours, theirs = runs["redone"], runs["lm-eval"]
    seconds = {side: median(r["seconds"] for r in rs) for side, rs in runs.items()}
    out: dict[str, Any] = {
        "seconds": seconds,
        "load_seconds": {s: median(r["load_seconds"] for r in rs) for s, rs in runs.items()},
        "ratio": seconds["lm-eval"] / seconds["redone"],
        "tokens": {side: rs[0]["tokens"] for side, rs in runs.items()},
        "tokens_apart": ours[0]["tokens"] / theirs[0]["tokens"] - 1,
        "prompt_tokens": ours[0]["prompt_tokens"],
        "prefill_share": max((r.get("prefill_share", 0.0) for r in ours), default=0.0),
        "arithmetic": ours[0]["environment"].get("arithmetic"),
    }
    if "answers" in ours[0] and "answers" in theirs[0]:
        a, b = ours[0]["answers"], theirs[0]["answers"]
        if a.keys() != b.keys():
            raise RedoneError("The two sides did not answer the same items.")
        out["items"] = len(a)
        out["equal_answers"] = sum(a[k].strip() == b[k].strip() for k in a) / len(a)
    return out


def markdown(record: dict[str, Any]) -> str:
    """The results as a page."""
    machine = record["machine"]
    lines = [
        "# Speed of evaluation",
        "",
        f"{machine['processor']}, {machine['threads']} threads; "
        + ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
        + ".",
        "",
        "| section | items | lm-eval s | redone s | ratio | bar | items/s "
        "| tokens lm-eval / redone | equal answers | prefill of peak "
        "| load s lm-eval / redone |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for section in SECTIONS:
        s = record.get(section, {}).get("summary")
        if not s:
            continue
        both, load, tokens = s["seconds"], s["load_seconds"], s["tokens"]
        items = s.get("items", 0)
        lines.append(
            f"| {section} | {items} | {both['lm-eval']:.1f} | {both['redone']:.1f} "
            f"| **{s['ratio']:.2f}** | {BARS[section]} | {items / both['redone']:.2f} "
            f"| {tokens['lm-eval']} / {tokens['redone']} ({s['tokens_apart']:+.1%}) "
            f"| {s.get('equal_answers', float('nan')):.1%} | {s['prefill_share']:.0%} "
            f"({s['arithmetic']}) | {load['lm-eval']:.1f} / {load['redone']:.1f} |"
        )
    if costs := record.get("harness"):
        lines += [
            "",
            "The harness by itself (10,000 prompts of Taxonomy single's length, answers, logs and "
            "scores included):",
            "",
            "| | samples | seconds | samples/s | peak memory |",
            "|---|---|---|---|---|",
        ]
        for name, cost in costs.items():
            lines.append(
                f"| {name} | {cost['samples']:,} | {cost['seconds']:.2f} "
                f"| {cost['samples'] / cost['seconds']:,.0f} | {cost['peak_mb']:.0f} MB |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
