"""Time and memory of `redone gate` on runs of real and of very large size.

The runs are simulated (`simulated_runs.py`) and written as run folders; each gate is a process of
its own, from start-up to exit code.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from machine import TINY, machine, results
from simulated_runs import population

from redone.harness.gate.output import GateRecord, read_gate
from redone.harness.records import score_schema
from redone.harness.scored_run import TaskScores
from redone.tasks.errors import RedoneError
from redone.tasks.sources import data_folder

MILLION = 1_000_000
TINY_SIZE = 2_000
ROWS = 65_536
BARS = {"real": (10.0, None), "large": (60.0, 4096.0)}


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--data-dir", metavar="DIR", help="with SNS-Bench and SNS-TransBench")
    p.add_argument("--write", metavar="DIR", help="only write the simulated runs")
    p.add_argument("--tiny", action="store_true", help=TINY)
    options = p.parse_args()
    try:
        data = data_folder(options.data_dir)
        if options.write:
            write_pairs(Path(options.write), data, options.tiny)
            return 0
    except RedoneError as error:
        print(f"gate_cost: {error}", file=sys.stderr)
        return error.exit_code
    with tempfile.TemporaryDirectory() as folder:
        # Written by a separate process: a child's peak memory starts at that of its parent.
        command = [sys.executable, __file__, "--write", folder, "--data-dir", str(data)]
        command += ["--tiny"] if options.tiny else []
        if code := subprocess.run(command, check=False).returncode:
            return code
        text = "\n".join(_report(Path(folder))) + "\n"
    (results(options.tiny) / "gate_cost.md").write_text(text, "utf-8")
    print(text, end="")
    return 0


def write_pairs(folder: Path, data: Path, tiny: bool = False) -> None:
    """Two equal models on the suite, and on a suite of a million samples; `tiny`: of few."""
    people = population("sns-mini" if tiny else "sns", data)
    large = TINY_SIZE if tiny else MILLION
    for name, size in (("real", people.size), ("large", large)):
        some = people if size == people.size else people.resized(size / people.size, seed=0)
        pair = some.pair(1.0, np.random.default_rng(0))
        for side, run in enumerate(("base", "candidate")):
            write_run(folder / name / run, {task: both[side] for task, both in pair.items()})


def _report(folder: Path) -> list[str]:
    where = machine("numpy")
    lines = [
        "# What a gate costs",
        "",
        f"{where['processor']}, {where['threads']} cores, load {os.getloadavg()[0]:.1f} at the "
        f"start; Python {platform.python_version()}, numpy {where['versions']['numpy']}. "
        "`redone gate BASE CANDIDATE` under the default policy (10,000 resamples), start-up and "
        "output included; simulated runs of SNS-Bench and SNS-TransBench by two equal models.",
        "",
        "| samples per run | seconds | bar | CPU seconds | peak MB | bar | exit code |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (most, memory) in BARS.items():
        seconds, used, peak, code = _gate(folder / name)
        gate = read_gate(folder / name / "candidate" / "gate.json")
        rows = gate.rows if isinstance(gate, GateRecord) else []
        samples = max((row.samples for row in rows), default=0)
        bar = f"{memory:,.0f}" if memory else ""
        lines.append(
            f"| {samples:,} | {seconds:.1f} | {most:g} | {used:.1f} | {peak:,.0f} | {bar} "
            f"| {code} |"
        )
    return lines


def _gate(folder: Path) -> tuple[float, float, float, int]:
    """Wall seconds, processor seconds, peak MB and exit code of one comparison."""
    runs = [str(folder / name) for name in ("base", "candidate")]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "redone.tasks.command", "gate", *runs], stdout=subprocess.DEVNULL
    )
    # wait4 reports this child only; RUSAGE_CHILDREN would report the maximum of all.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    return seconds, usage.ru_utime + usage.ru_stime, _megabytes(usage), process.returncode


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def write_run(folder: Path, run: dict[str, TaskScores]) -> None:
    """A finished run folder without texts, with what the gate reads."""
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    tasks = {
        name: {
            "version": scores.task.version,
            "prompt": "simulated",
            "data": "simulated",
            "settings": {},
        }
        for name, scores in run.items()
    }
    request = {"model": {"model": folder.name}, "draws": 1, "system": None, "tasks": tasks}
    _write(folder / "run.json", {"schema_version": 1, "name": folder.name, "request": request})
    results = {
        name: {
            "missing": 0,
            "scorings": {"corrected": {"scoring": scores.scoring.name, "signature": f"{name}|v:1"}},
        }
        for name, scores in run.items()
    }
    _write(folder / "results.json", {"tasks": results, "tables": {"corrected": []}})
    with pq.ParquetWriter(folder / "scores.parquet", score_schema(), compression="zstd") as file:
        for scores in run.values():
            file.write_table(_table(scores), row_group_size=ROWS)


def _table(scores: TaskScores) -> Any:
    """The rows of scores.parquet of one task."""
    import pyarrow as pa

    count, width = scores.stats.shape
    lists = pa.ListArray.from_arrays(
        np.arange(0, count * width + 1, width, dtype=np.int32), scores.stats.ravel()
    )
    right = scores.values >= 1
    constant = {
        "task": scores.task.name,
        "split": "test",
        "language": scores.task.language,
        "scoring": scores.scoring.name,
        "finish": "stop",
        "index": 0,
        "draw": 0,
        "scored": True,
        "tokens": 0,
        "prompt_tokens": 0,
    }
    columns: dict[str, Any] = {
        "sample": scores.samples.astype(str),
        "cluster": scores.clusters.astype(str),
        "partition": scores.partitions,
        "value": scores.values,
        "stats": lists,
        "failure": np.where(right, None, "wrong"),
        **{name: pa.repeat(value, count) for name, value in constant.items()},
    }
    schema = score_schema()
    arrays = []
    for field in schema:
        found = columns.get(field.name)
        column = pa.nulls(count, field.type) if found is None else pa.array(found)
        arrays.append(column.cast(field.type) if found is not None else column)
    return pa.Table.from_arrays(arrays, schema=schema)


def _write(path: Path, record: Any) -> None:
    path.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    sys.exit(main())
