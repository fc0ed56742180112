"""How many answers a second the reward of RL judges, task by task."""

from __future__ import annotations

import argparse
import json
import platform
import time
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from random import Random

from machine import TINY, results

from redone.tasks.prompts import messages, prompt_for
from redone.tasks.registry import find
from redone.tasks.schema import Completion
from redone.tasks.sources import data_folder, samples
from redone.tasks.task import Task
from redone.training.rewards import Rewards
from redone.training.rows import TrainingRow
from redone.training.shaping import Shaping

SHAPING = Shaping(pattern=0.25, answer=0.25, language=0.25, length=1, max_tokens=64, buffer=32)


def groups(
    task: Task, folder: Path, count: int, size: int
) -> tuple[list[TrainingRow], list[Completion]]:
    """`count` answers in groups of `size`: half of them gold, half a guess in a sentence."""
    random = Random(0)
    found = [
        TrainingRow(
            id=sample.id,
            task=task.name,
            messages=messages(prompt_for(task, sample.language, {}), sample.fields),
            answer=task.gold(sample),
            language=sample.language,
            fields=sample.fields,
            target=sample.target,
        )
        for sample in samples(task, folder, limit=200)
    ]
    rows = [row for row in islice(cycle(found), count // size) for _ in range(size)]
    texts = [
        row.answer
        if number % 2
        else f"I think the answer is {task.baselines.random(row.sample(), random)}."
        for number, row in enumerate(rows)
    ]
    return rows, [Completion(text, tokens=len(text) // 4) for text in texts]


def main() -> None:
    """Measures, prints and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir")
    parser.add_argument("--suite", default="sns-mini,general-mini,tweeteval")
    parser.add_argument("--answers", type=int, default=4096)
    parser.add_argument("--group", type=int, default=16, help="answers to one prompt")
    parser.add_argument("--tiny", action="store_true", help=TINY)
    options = parser.parse_args()
    if options.tiny:
        options.suite, options.answers, options.group = "sns-mini", 8, 4
    folder = data_folder(options.data_dir)
    tasks = {}
    for task in find(options.suite):
        rows, completions = groups(task, folder, options.answers, options.group)
        speeds = {}
        for name, rewards in (("plain", Rewards()), ("shaped", Rewards(shaping=SHAPING))):
            rewards.score(rows[: options.group], completions[: options.group])  # imports
            started = time.perf_counter()
            rewards.score(rows, completions)
            speeds[name] = round(len(rows) / (time.perf_counter() - started))
        tasks[task.name] = {"reward": task.reward, **speeds}
        print(f"{task.name:36} {task.reward:8} {speeds['plain']:9,}/s {speeds['shaped']:9,}/s")
    result = {
        "answers": options.answers,
        "group": options.group,
        "slowest closed": min(t["shaped"] for t in tasks.values() if t["reward"] == "exact"),
        "machine": {"processor": platform.machine(), "python": platform.python_version()},
        "redone": version("redone"),
        "judgements a second": tasks,
    }
    path = results(options.tiny) / "reward_speed.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
