"""How far a model's official scores on SNS-Bench move with the way of asking, on a subset.

Each way is a run of its own over the same samples, which resumes where it stopped. `own` is this
project's limits and greedy decoding with the authors' prompts, so that it differs from the readings
of the official protocol in limits and sampling only; `one turn` is the reading `example` with the
system text in front of the user's, as the authors' framework sends it to models with a template.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from questions import stop_with

from redone.harness.evaluate import Plan, evaluate, load_services, run_info
from redone.harness.models.loading import ModelConfig, load_model
from redone.tasks.errors import RedoneError
from redone.tasks.protocol import READINGS, load_protocol
from redone.tasks.registry import find
from redone.tasks.sources import data_folder
from redone.tasks.task import Prompt, Task

TASKS = "sns_bench/*"
WAYS = ("own", "example", "greedy", "configured", "one turn")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs all ways, and writes their official scores side by side."""
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--model", required=True, help="model folder")
    p.add_argument("--data-dir", help="data folder with SNS-Bench and its authors' protocol")
    p.add_argument("--embedder", help="for QueryGen")
    p.add_argument("--limit", type=int, default=8, help="samples per task (default 8)")
    p.add_argument(
        "--most",
        type=int,
        default=4096,
        help="cap on tokens per answer: a small model's loops cost",
    )
    p.add_argument("--seed", type=int, default=0, help="of their choice, and of sampling")
    p.add_argument("--ways", default=",".join(WAYS), help=f"of {', '.join(WAYS)}")
    p.add_argument("--runs", default="runs/protocol", help="folder of the runs")
    p.add_argument("--output", default="benchmarks/results/protocol_effect.json")
    p.add_argument("--tiny", action="store_true", help="gold predictions of one sample per task")
    options = p.parse_args(argv)
    folder = data_folder(options.data_dir)
    tasks = find(tasks=TASKS)
    backend, name = ("scripted", "gold") if options.tiny else ("hf", options.model)
    services = load_services(options.embedder, False, tasks)
    model = load_model(ModelConfig(name, backend=backend), tasks, folder)
    limit = 1 if options.tiny else options.limit
    found = {}
    try:
        for way in options.ways.split(","):
            plan = capped(plan_of(way, tasks, folder), options.most)
            plan = replace(plan, limit=limit, seed=options.seed)
            run = Path(options.runs) / f"{way.replace(' ', '_')}-{limit}-{options.most}"
            info = run_info(model.name, ["protocol_effect.py"])
            found[way] = _figures(evaluate(run, plan, model, services, info))
            print(way, found[way]["sns_bench"], flush=True)
    finally:
        model.close()
    command = "python benchmarks/protocol_effect.py --model M --data-dir D --embedder E"
    result = {
        "command": f"{command} --limit {limit} --most {options.most} --seed {options.seed}",
        "model": Path(model.name).name,
        "samples": limit * len(tasks),
        "ways": found,
    }
    output = Path(options.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return 0


def plan_of(way: str, tasks: Sequence[Task], folder: Path) -> Plan:
    """How the tasks are asked in a way of `WAYS`."""
    reading = way if way in READINGS else READINGS[0]
    protocol = load_protocol(f"official:{reading}", tasks, folder)
    if way == "own":
        return Plan(tasks, folder, prompts=protocol.prompts)
    if way == "one turn":
        one = {t: Prompt("", f"{p.system}\n{p.user}") for t, p in protocol.prompts.items()}
        protocol = replace(protocol, prompts=one)
    return Plan(tasks, folder, protocol=protocol)


def capped(plan: Plan, most: int) -> Plan:
    """The same plan, no answer longer than `most` tokens."""
    limits = {
        name: replace(settings, max_tokens=min(most, settings.max_tokens))
        for name, settings in plan.protocol.settings.items()
    }
    return replace(plan, protocol=replace(plan.protocol, settings=limits))


def _figures(results: Any) -> dict[str, Any]:
    """Official score of benchmark and tasks, tokens, answers cut, seconds."""
    tasks = results["tasks"]
    table = results["tables"]["official"]
    score = next(row["score"] for row in table if row["name"] == "sns_bench")
    return {
        "sns_bench": score,
        "tokens": sum(task["tokens"] for task in tasks.values()),
        "truncated": sum(task["truncated"] for task in tasks.values()),
        "seconds": round(sum(results["seconds"].values()), 1),
        "tasks": {name: task["scorings"]["official"]["score"] for name, task in tasks.items()},
    }


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except RedoneError as error:
        stop_with(error)
