"""What the harness costs by itself: prompts, logs and scores, with a model that takes no time."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from questions import official_prompts

SIZES = (10_000, 40_000)
TASK, FILE = "sns_bench/taxonomy_single", "sns-bench/Note-Taxonomy-single.json"


def measure_harness(
    data_dir: str | None, kept: dict[str, Any], tiny: bool = False
) -> dict[str, Any]:
    """Seconds and peak memory of redone with the scripted backend and of lm-eval's dummy model.

    Args:
        data_dir: The data folder.
        kept: Measurements made before, by name; they are not made again.
        tiny: A few prompts only.
    """
    from redone.tasks.errors import RedoneError
    from redone.tasks.sources import data_folder

    sizes = (20,) if tiny else SIZES
    plans = [("redone", n, f"redone, {n:,}") for n in sizes]
    plans.append(("lm-eval", sizes[0], f"lm-eval dummy, {sizes[0]:,}"))
    out = dict(kept)
    for side, count, name in plans:
        if name in out:
            continue
        with tempfile.TemporaryDirectory() as folder:
            _enlarge(data_folder(data_dir), Path(folder), count)
            done = subprocess.run(
                [sys.executable, __file__, side, folder],
                capture_output=True,
                text=True,
                check=False,
            )
            result = Path(folder) / "result.json"
            if not result.exists():
                raise RedoneError(f"{name} failed:\n{done.stderr[-3000:]}")
            out[name] = json.loads(result.read_text("utf-8"))
    return out


def _enlarge(source: Path, target: Path, count: int) -> None:
    """A data folder with as many rows as asked for, no two alike."""
    rows = json.loads((source / FILE).read_text("utf-8"))
    (target / FILE).parent.mkdir(parents=True)
    with (target / FILE).open("w", encoding="utf-8") as file:
        for number, row in enumerate(islice(cycle(rows), count)):
            line = {**row, "content": f"{row['content']} {number}"}
            file.write(json.dumps(line) + "\n")
    official_prompts(target).write_bytes(official_prompts(source).read_bytes())


def _redone(folder: Path) -> tuple[int, float]:
    """A whole run of redone eval with one answer for everything: samples and seconds."""
    import pyarrow.parquet  # noqa: F401
    import rich.table  # noqa: F401

    from redone.harness.display import show_results
    from redone.harness.evaluate import Plan, evaluate
    from redone.harness.models.scripted import ScriptedModel
    from redone.tasks.prompts import load_prompts
    from redone.tasks.registry import TASKS, by_name
    from redone.tasks.schema import Services

    started = time.perf_counter()  # the imports above are start-up
    task = by_name(TASK)
    prompts = load_prompts(official_prompts(folder), TASKS.values())
    plan = Plan(tasks=[task], data=folder, prompts=prompts)
    model = ScriptedModel(lambda request: "Daily life", fingerprint="constant")
    results = evaluate(folder / "run", plan, model, Services(), {})
    show_results(results, folder / "run")
    return results["tasks"][TASK]["answers"], time.perf_counter() - started


def _lm_eval(folder: Path) -> tuple[int, float]:
    """The same prompts through lm-eval's dummy model, sample logs kept."""
    import lm_eval.evaluator  # noqa: F401
    from lm_eval_side import command, write_tasks

    from redone.tasks.prompts import load_prompts, messages, prompt_for
    from redone.tasks.registry import TASKS, by_name
    from redone.tasks.schema import Request
    from redone.tasks.sources import samples

    task = by_name(TASK)
    prompts = load_prompts(official_prompts(folder), TASKS.values())
    requests = []
    for number, sample in enumerate(samples(task, folder)):
        prompt = messages(prompt_for(task, sample.language, prompts), sample.fields)
        requests.append(Request(f"{task.name}/{number}", prompt, task.settings))
    names = write_tasks(folder, requests)
    started = time.perf_counter()  # making the task files is no part of its work
    command(
        ["run", "--model", "dummy", "--tasks", *names, "--include_path", str(folder),
         "--log_samples", "--output_path", str(folder / "out")]
    )  # fmt: skip
    return len(requests), time.perf_counter() - started


def main(side: str, folder: str) -> None:
    """One measurement in this process."""
    count, seconds = (_redone if side == "redone" else _lm_eval)(Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {"samples": count, "seconds": seconds, "peak_mb": peak}
    (Path(folder) / "result.json").write_text(json.dumps(result), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
