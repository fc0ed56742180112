"""Whether lm-eval's tasks score the same here as in lm-eval itself, item by item, and how fast.

    python benchmarks/lm_eval_parity.py --model FOLDER --data-dir DIR [--items 100] [--tasks NAMES]

Both sides ask the first N documents of each task, in float32, each in a process of its own:
`lm_eval`'s evaluation with its `hf` model, and `redone eval`'s with the same model. What is done is
kept (lm-eval's answers in its own cache, ours in run folders), so the command goes on where it was
stopped. Listed are the metrics of both sides, and every document whose answer or score differs;
where a generated text differs, how near the two best tokens were at the first difference.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from machine import TINY, results

from redone.harness.records import SampleRecord
from redone.tasks.sources import DATA_VARIABLE, DataPaths

SUBJECTS = ("agronomy", "anatomy", "computer_science", "global_facts", "world_history")
TASKS = (
    "gsm8k",
    "ifeval",
    "hendrycks_math500",
    *(f"cmmlu_{subject}" for subject in SUBJECTS),
    *(f"cmmlu_{subject}+5shot" for subject in SUBJECTS),
)
TIE = 1e-3
"""Logits nearer than this are taken for equal: rounding decides between them."""
CLOSE = 1e-3
"""Log-likelihoods may differ by so much."""


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    p.add_argument("--model", required=True, metavar="FOLDER")
    p.add_argument("--data-dir", required=True, metavar="DIR")
    p.add_argument("--items", type=int, default=100, metavar="N", help="first documents of a task")
    p.add_argument("--tasks", default=",".join(TASKS), metavar="NAMES", help="of lm-eval")
    p.add_argument("--batch-size", type=int, default=8, metavar="N", help="of both sides")
    p.add_argument("--work", default="runs/lm_eval_parity", metavar="DIR", help="what is kept")
    p.add_argument("--side", choices=("lm_eval", "redone"), help=argparse.SUPPRESS)
    p.add_argument("--tiny", action="store_true", help=TINY)
    options = p.parse_args()
    folder = results(options.tiny)
    if options.tiny:
        options.items, options.tasks, options.work = 2, "cmmlu_anatomy", str(folder)
    os.environ[DATA_VARIABLE] = options.data_dir
    if options.side:
        {"lm_eval": lm_eval_side, "redone": redone_side}[options.side](options)
        return
    reports = []
    for name in options.tasks.split(","):
        sides = {side: measured(options, name, side) for side in ("lm_eval", "redone")}
        report = compared(name, sides["lm_eval"], sides["redone"])
        explain(options, name, report)
        reports.append(report)
        print(line(report), flush=True)
    path = folder / "lm_eval_parity.json"
    path.write_text(json.dumps(beside_others(path, reports), indent=1), "utf-8")
    total = {side: sum(r["seconds"][side] for r in reports) for side in ("lm_eval", "redone")}
    print(f"answering: lm-eval {total['lm_eval']:.0f} s, redone {total['redone']:.0f} s; {path}")


def beside_others(path: Path, reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """These reports, and those of other tasks that the file has: tasks may come one by one."""
    kept = json.loads(path.read_text("utf-8")) if path.is_file() else []
    new = {report["task"] for report in reports}
    return [*(r for r in kept if r["task"] not in new), *reports]


def measured(options: argparse.Namespace, name: str, side: str) -> dict[str, Any]:
    """One side's answers and scores of one task, made now or kept from before."""
    path = kept(options, name, side) / "side.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        arguments = [sys.executable, __file__, "--side", side, "--model", options.model]
        arguments += ["--data-dir", options.data_dir, "--items", str(options.items)]
        arguments += ["--tasks", name, "--work", options.work]
        arguments += ["--batch-size", str(options.batch_size)]
        subprocess.run(arguments, check=True)
    return json.loads(path.read_text("utf-8"))


def kept(options: argparse.Namespace, name: str, side: str) -> Path:
    return Path(options.work) / f"{name}-{options.items}" / side


def lm_eval_side(options: argparse.Namespace) -> None:
    """lm-eval's evaluation, its data sets from the mirror."""
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from redone.tasks.general.definitions import Wanted
    from redone.tasks.general.mirror import mirrors
    from redone.tasks.general.offline import offline_lm_eval

    name = options.tasks
    wanted = Wanted.of(name)
    folder = kept(options, name, "lm_eval")
    torch.set_num_threads(1)
    spent = {"seconds": 0.0}
    for method in ("generate_until", "loglikelihood"):
        setattr(HFLM, method, timed(getattr(HFLM, method), spent))
    with offline_lm_eval(mirrors(DataPaths.resolve(options.data_dir))):
        found: Any = simple_evaluate(
            model="hf",
            model_args=f"pretrained={options.model},dtype=float32",
            tasks=[wanted.name],
            num_fewshot=wanted.shots,
            task_manager=TaskManager(),
            limit=options.items,
            batch_size=options.batch_size,
            device="cpu",
            use_cache=str(folder / "cache"),
            bootstrap_iters=0,
            apply_chat_template=wanted.chat,
        )
    samples: dict[int, dict[str, Any]] = {}
    for sample in found["samples"][wanted.name]:
        mine = samples.setdefault(sample["doc_id"], {"items": {}})
        mine["answers"] = [each[0] for each in sample["resps"]]
        mine["prompt"] = sample["arguments"][0][0]
        for metric in sample["metrics"]:
            mine["items"][f"{metric},{sample['filter']}"] = plain(sample[metric])
    metrics = {
        key: value
        for key, value in found["results"][wanted.name].items()
        if "," in key and "_stderr" not in key
    }
    save(folder, samples, metrics, spent["seconds"])


def redone_side(options: argparse.Namespace) -> None:
    """`redone eval`'s parts on the same documents."""
    import torch

    from redone.harness.display import Progress
    from redone.harness.evaluate import Plan, ask, prepare, records_of
    from redone.harness.models.hf import HfModel
    from redone.harness.results import write_results
    from redone.harness.run_folder import RunFolder
    from redone.harness.score import score_run
    from redone.tasks.registry import find
    from redone.tasks.schema import Services

    name = options.tasks
    torch.set_num_threads(1)
    (task,) = find(None, f"lm_eval:{name}")
    task = replace(task, read=First(task.read, options.items))
    plan = Plan(tasks=[task], data=Path(options.data_dir))
    model = HfModel(options.model, dtype="float32", batch_size=options.batch_size)
    folder = kept(options, name, "redone")
    with RunFolder(folder / "run") as run:
        total = prepare(run, plan, model, {"name": "parity"})
        model.load()
        start = time.perf_counter()
        with Progress(total) as progress:
            ask(run, plan, model, progress)
        seconds = time.perf_counter() - start
        records = list(records_of(run, plan, model))
        scores = score_run(run, records, {task.name: task}, Services())
        results = write_results(run, scores, {task.name: task}, Services(), resamples=100)
        samples = per_document(run.path, records)
    scoring = results["tasks"][task.name]["scorings"]["corrected"]
    save(folder, samples, scoring["metrics"], seconds)


@dataclass(frozen=True)
class First:
    """The first rows of a reader."""

    read: Any
    number: int

    def __call__(self, folder: Path) -> Any:
        return islice(self.read(folder), self.number)


def per_document(run: Path, records: list[SampleRecord]) -> dict[int, dict[str, Any]]:
    """Answers and items of a run, by number of the document."""
    import pyarrow.parquet as pq

    answers = {}
    for text in (run / "responses.jsonl").read_text("utf-8").splitlines():
        record = json.loads(text)
        value = [record["logprob"], record["greedy"]] if "logprob" in record else record["text"]
        answers[record["sample"], record["request"]] = value
    parsed = {
        row["sample"]: json.loads(row["parsed"])
        for row in pq.read_table(run / "scores.parquet").to_pylist()
    }
    return {
        record.sample.index: {
            "items": parsed[record.sample.id],
            "answers": [answers[record.sample.id, r.hash] for r in record.requests],
            "prompt": record.requests[0].prompt,
        }
        for record in records
    }


def timed(method: Any, spent: dict[str, float]) -> Any:
    def wrapped(*args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return method(*args, **options)
        finally:
            spent["seconds"] += time.perf_counter() - start

    return wrapped


def plain(value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value


def save(folder: Path, samples: Any, metrics: Any, seconds: float) -> None:
    content = {"samples": samples, "metrics": metrics, "seconds": seconds}
    (folder / "side.json").write_text(json.dumps(content, default=float), "utf-8")


def compared(name: str, theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Metrics side by side, and the documents whose answers or items differ."""
    metrics = {}
    for key, value in theirs["metrics"].items():
        mine = ours["metrics"].get(key)
        if mine is not None:
            metrics[key] = {"lm_eval": 100 * value, "redone": mine}
    differ, largest = [], 0.0
    for number, their in theirs["samples"].items():
        our = ours["samples"][number]
        gaps = [
            abs(a[0] - b[0]) if isinstance(a, list) else float(a != b)
            for a, b in zip(their["answers"], our["answers"], strict=True)
        ]
        text = isinstance(their["answers"][0], str)
        largest = max([largest, *([] if text else gaps)])
        same_items = {k: float_or(v) for k, v in their["items"].items()} == {
            k: float_or(our["items"].get(k)) for k in their["items"]
        }
        same_answers = max(gaps) <= (0 if text else CLOSE)
        # Ours is a list of messages where lm-eval has them rendered already.
        same_prompt = not isinstance(our["prompt"], str) or their["prompt"] == our["prompt"]
        if not (same_items and same_answers and same_prompt):
            differ.append(
                {
                    "document": int(number),
                    "same_prompt": same_prompt,
                    "same_answers": same_answers,
                    "same_scores": same_items,
                    "answers": [their["answers"], our["answers"]] if text else max(gaps),
                }
            )
    return {
        "task": name,
        "documents": len(theirs["samples"]),
        "metrics": metrics,
        "same_metrics": all(abs(m["lm_eval"] - m["redone"]) < 1e-9 for m in metrics.values()),
        "largest_logprob_difference": largest,
        "different": differ,
        "seconds": {"lm_eval": theirs["seconds"], "redone": ours["seconds"]},
    }


def float_or(value: Any) -> Any:
    if isinstance(value, list):
        return [float_or(v) for v in value]
    return float(value) if isinstance(value, bool | int | float) else value


def explain(options: argparse.Namespace, name: str, report: dict[str, Any]) -> None:
    """Say of each text that differs how near the two best tokens were where it first does."""
    differ = [d for d in report["different"] if isinstance(d["answers"], list)]
    if not differ:
        return
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    samples = json.loads((kept(options, name, "lm_eval") / "side.json").read_text("utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    for each in differ:
        prompt = tokenizer(samples["samples"][str(each["document"])]["prompt"])["input_ids"]
        first, second = (
            tokenizer(texts[0], add_special_tokens=False)["input_ids"] for texts in each["answers"]
        )
        pairs = enumerate(zip(first, second, strict=False))
        at = next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + first[:at]])).logits[0, -1]
        best, next_best = logits.topk(2).values.tolist()
        each["answers"] = [texts[0][:80] for texts in each["answers"]]
        each |= {"token": at, "gap": best - next_best, "tie": best - next_best <= TIE}


def line(report: dict[str, Any]) -> str:
    figures = ", ".join(
        f"{key} {m['lm_eval']:.2f} / {m['redone']:.2f}" for key, m in report["metrics"].items()
    )
    seconds = report["seconds"]
    return (
        f"{report['task']}: {report['documents']} documents, {len(report['different'])} differ; "
        f"{figures}; {seconds['lm_eval']:.1f} s / {seconds['redone']:.1f} s"
    )


if __name__ == "__main__":
    main()
