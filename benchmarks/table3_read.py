"""Outputs to be read by eye: some answers of finished runs, what was asked, how they were judged.

    python benchmarks/table3_read.py RUN [RUN ...] [--count 50] [--seed 0]

The same items of every run, an even mix of its tasks, and then what is counted over all of its
answers. A run is a whole run folder: a baseline has no texts. Text of models is printed as Python
writes a string, so that it cannot play tricks on the terminal.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator
from typing import Any

from redone.harness.run_folder import Journal
from redone.harness.scored_run import ScoredRun
from redone.tasks.errors import RedoneError


def chosen(run: ScoredRun, count: int, seed: int) -> list[str]:
    """Ids of samples: each task in turn gives the next one of a seeded order."""
    order: dict[str, list[str]] = {}
    for task, scores in run.scores().items():
        ids = [bytes(sample).decode() for sample in scores.samples]
        order[task] = sorted(ids, key=lambda i: hashlib.sha256(f"{seed}|{i}".encode()).digest())
    turns = max(map(len, order.values()), default=0)
    mixed = [ids[turn] for turn in range(turns) for ids in order.values() if turn < len(ids)]
    return mixed[:count]


def read(run: ScoredRun, ids: list[str]) -> Iterator[dict[str, Any]]:
    """What there is to read of some samples, in their order."""
    items = {item["id"]: item for item in Journal(run.path / "samples.jsonl")}
    texts = {a["sample"]: a.get("text") for a in Journal(run.path / "responses.jsonl")}
    judged = {
        bytes(sample).decode(): (float(value), str(failure))
        for scores in run.scores().values()
        for sample, value, failure in zip(
            scores.samples, scores.values, scores.failures, strict=True
        )
    }
    for identity in ids:
        item, (value, failure) = items[identity], judged[identity]
        yield {
            "task": item["task"],
            "asked": asked(item["requests"][0]["prompt"]),
            "gold": item["target"],
            "answer": texts[identity],
            "value": value,
            "failure": failure,
        }


def counted(run: ScoredRun) -> dict[str, float]:
    """What there is to count in all answers of a run, judged or not."""
    texts = {
        a["sample"]: (a.get("text") or "").strip() for a in Journal(run.path / "responses.jsonl")
    }
    items = list(Journal(run.path / "samples.jsonl"))
    general = [item for item in items if item["task"].startswith("general_mini")]
    sums = [item for item in general if item["task"].endswith("/word_problems")]
    numbers = {i["id"]: re.findall(r"\d+", asked(i["requests"][0]["prompt"])) for i in sums}
    words = [len(texts[item["id"]].split()) for item in general]
    return {
        "answers": len(items),
        "empty": sum(not texts[item["id"]] for item in items),
        "words a general answer": round(sum(words) / max(1, len(words)), 1),
        "word problems": len(sums),
        "answered with a number of the question": sum(
            texts[sample].rstrip(".") in found for sample, found in numbers.items()
        ),
    }


def asked(prompt: Any) -> str:
    """The last message that the model saw (the item, and not the task's instruction), or all."""
    return prompt if isinstance(prompt, str) else prompt[-1]["content"]


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    p.add_argument("runs", nargs="+", metavar="RUN")
    p.add_argument("--count", type=int, default=50, metavar="N", help="answers of each run")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="which ones")
    options = p.parse_args()
    try:
        for path in options.runs:
            run = ScoredRun(path)
            if not (run.path / "responses.jsonl").is_file():
                raise RedoneError(f"{path} is a baseline: it has figures and no texts to read.")
            print(f"# {path}")
            for number, one in enumerate(read(run, chosen(run, options.count, options.seed)), 1):
                verdict = one["failure"] or ("right" if one["value"] == 1 else "in part")
                print(f"{number}. {one['task']}: {one['value']:g}, {verdict}")
                print(f"   asked  {one['asked'][-400:]!r}")
                print(f"   gold   {str(one['gold'])[:200]!r}")
                print(f"   answer {(one['answer'] or '')[:400]!r}")
            print("; ".join(f"{name}: {figure:g}" for name, figure in counted(run).items()))
    except RedoneError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
