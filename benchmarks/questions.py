"""The prompts of the benchmarks: real ones of SNS-Bench."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from redone.tasks.errors import RedoneError
from redone.tasks.prompts import load_prompts, messages, prompt_for
from redone.tasks.registry import TASKS, find
from redone.tasks.schema import Request
from redone.tasks.sources import data_folder, samples

SECTIONS = {
    "mix": "sns_bench/*",
    "taxonomy_single": "sns_bench/taxonomy_single",
    "query_corr_topic": "sns_bench/query_corr_topic",
}
"""Tasks of each section; the mix takes the same number of items from each of the twelve."""


def questions(section: str, items: int, data_dir: str | None, seed: int = 0) -> list[Request]:
    """Requests with the authors' prompts and the tasks' own limits and stop texts.

    Args:
        section: Key of `SECTIONS`.
        items: Per task, a seeded choice.
        data_dir: The data folder; None: the default one.
        seed: Of the choice.

    Returns:
        In the order of tasks; `Request.sample` is "task/index".
    """
    folder = data_folder(data_dir)
    tasks = find(tasks=SECTIONS[section])
    prompts = load_prompts(official_prompts(folder), TASKS.values())
    out = []
    for task in tasks:
        chosen = samples(task, folder, limit=items, seed=seed)
        for number, sample in enumerate(chosen):
            prompt = messages(prompt_for(task, sample.language, prompts), sample.fields)
            out.append(Request(f"{task.name}/{number}", prompt, task.settings))
    return out


def official_prompts(folder: Path) -> Path:
    """The authors' prompts of SNS-Bench in a data folder."""
    return folder / "sns-bench" / "official_prompts.json"


def limited(requests: list[Request], max_tokens: int) -> list[Request]:
    """The same requests, none with a token limit above `max_tokens`.

    No repetition ends an answer: the other sides do not have that rule.
    """
    limits = (min(r.settings.max_tokens, max_tokens) for r in requests)
    return [
        replace(r, settings=replace(r.settings, max_tokens=limit, max_repetition=0))
        for r, limit in zip(requests, limits, strict=True)
    ]


def stop_with(error: RedoneError) -> None:
    """End a script with the message of an error."""
    print(error, file=sys.stderr)
    raise SystemExit(error.exit_code)
