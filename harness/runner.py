"""One model on some tasks: prepare the questions, ask them, keep every answer.

Three passes over a run folder, each streaming, so memory does not grow with the number of samples:

1. *prepare* reads the data, renders the prompts and writes `samples.jsonl` and `run.json`;
2. *ask* sends what has no answer yet to the model and appends to `responses.jsonl`;
3. *judge* (`results.py`) derives scores and results.

A run that was stopped anywhere goes on with the same call.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import orjson

from ..tasks.prompts import messages, prompt_for, prompt_hash, shorten
from ..tasks.schema import Completion, Prompt, Request, Sample, Settings, Task
from ..tasks.sources import data_hash, samples
from .errors import RedoneError, RunUnreadable
from .models.base import Model
from .progress import Progress
from .store import RunFolder

Item = dict[str, Any]
"""A line of samples.jsonl: the sample's fields, `requests` (hash, prompt, ...), `shortened`."""

SAMPLE_FIELDS = tuple(f.name for f in fields(Sample))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of a model.

    Attributes:
        tasks: In the order of the tables.
        data: The data folder.
        partition: `all`, `diagnose`, `gate` or `report`.
        limit: Items per task, a seeded choice; None for all.
        seed: Of the choice, of sampled answers and of intervals.
        draws: Answers per request, 1 unless the temperature is above 0.
        overrides: Fields of `Settings` that replace the tasks' own.
        prompts: Replaced prompts, by task name or the authors' name.
        system: Replaces every system text.
        texts: False: no samples.jsonl (the data folder is read again instead).
    """

    tasks: Sequence[Task]
    data: Path
    partition: str = "all"
    limit: int | None = None
    seed: int = 0
    draws: int = 1
    overrides: Mapping[str, Any] = field(default_factory=dict)
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    system: str | None = None
    texts: bool = True

    def settings(self, task: Task) -> Settings:
        """The task's settings with this run's overrides."""
        return replace(task.settings, **self.overrides)

    def with_thinking(self, budget: int) -> Plan:
        """The same with tokens to think in (`models.base.thinking_budget`); 0: as tasks say."""
        if not budget:
            return self
        return replace(self, overrides={**self.overrides, "max_thinking_tokens": budget})

    def samples(self, task: Task) -> Iterator[Sample]:
        """The task's samples that this run is about."""
        return samples(task, self.data, partition=self.partition, limit=self.limit, seed=self.seed)


def request_of(plan: Plan, model: Model, data: Mapping[str, str]) -> dict[str, Any]:
    """Everything that two runs must share to be the same request.

    Args:
        plan: What is asked.
        model: Who is asked.
        data: Hash of the samples, by task.
    """
    return {
        "model": model.identity(),
        "partition": plan.partition,
        "limit": plan.limit,
        "seed": plan.seed,
        "draws": plan.draws,
        "system": plan.system,
        "tasks": {
            task.name: {
                "version": task.version,
                "prompt": prompt_hash(task, plan.prompts, plan.system),
                "data": data.get(task.name),
                "settings": _plain(plan.settings(task)),
            }
            for task in plan.tasks
        },
    }


def items(plan: Plan, model: Model) -> Iterator[Item]:
    """Every sample with its finished requests, in the order of tasks and files."""
    context = hashlib.sha256(_packed(model.identity())).digest()
    for task in plan.tasks:
        settings = plan.settings(task)
        packed_settings = _packed(_plain(settings))
        for sample in plan.samples(task):
            prompt = prompt_for(task, sample.language, plan.prompts, plan.system)
            requests, shortened = _requests(task, sample, prompt, settings, plan.overrides, model)
            item: Item = {name: getattr(sample, name) for name in SAMPLE_FIELDS}
            item["requests"] = [
                _request_record(request, context, settings, packed_settings) for request in requests
            ]
            if shortened:
                item["shortened"] = shortened
            yield item


def _requests(
    task: Task,
    sample: Sample,
    prompt: Prompt,
    settings: Settings,
    overrides: Mapping[str, Any],
    model: Model,
) -> tuple[Sequence[Request], dict[str, Any] | None]:
    if task.requests is not None:
        found = task.requests(sample, prompt)
        if overrides:
            found = [replace(r, settings=replace(r.settings, **overrides)) for r in found]
        return found, None
    if task.limit is not None and "max_tokens" not in overrides:
        settings = replace(settings, max_tokens=min(settings.max_tokens, task.limit(sample)))
    request = Request(sample.id, messages(prompt, sample.fields), settings)
    if model.overflow(request) <= 0:
        return (request,), None
    shorter = shorten(
        sample, prompt, fits=lambda m: model.overflow(replace(request, prompt=m)) <= 0
    )
    cut = {"field": shorter.field, "characters": shorter.characters}
    return (replace(request, prompt=shorter.messages),), cut


def _request_record(
    request: Request, context: bytes, settings: Settings, packed_settings: bytes
) -> dict[str, Any]:
    own = request.settings != settings
    packed = _packed(_plain(request.settings)) if own else packed_settings
    digest = hashlib.sha256(context + packed)
    digest.update(_packed([request.kind, request.prompt, request.continuation]))
    if request.draw:
        # A task that wants several answers to one question: each has a seed of its own.
        digest.update(_packed(request.draw))
    record: dict[str, Any] = {"hash": digest.hexdigest()[:16], "prompt": request.prompt}
    if request.kind != "generate":
        record |= {"kind": request.kind, "continuation": request.continuation}
    if own:
        record["settings"] = _plain(request.settings)
    return record


def _distinct(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """An item's requests, those that are word for word the same asked once."""
    return list({record["hash"]: record for record in records}.values())


def seed_of(run_seed: int, sample: str, request: str, draw: int) -> int:
    """The seed of one sampled answer: independent of batch, order, resume and workers."""
    digest = hashlib.sha256(f"{run_seed}|{sample}|{request}|{draw}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def prepare(folder: RunFolder, plan: Plan, model: Model, told: Mapping[str, Any]) -> int:
    """Makes the folder ready for `ask`, or checks that it is the folder of this very request.

    Args:
        folder: Locked by the caller.
        plan: What to ask.
        model: Whose identity and tokeniser rule.
        told: Recorded beside the request: command, versions, names.

    Returns:
        How many answers the run will have.

    Raises:
        RunMismatch: The folder is of another request.
    """
    if (run := folder.run) is not None:
        data = {t.name: data_hash(s.id for s in plan.samples(t)) for t in plan.tasks}
        folder.refuse_if_different(request_of(plan, model, data))
        return run["answers"]
    folder.samples.path.unlink(missing_ok=True)
    ids: dict[str, list[str]] = {task.name: [] for task in plan.tasks}
    answers = 0
    for item in items(plan, model):
        answers += len(_distinct(item["requests"])) * plan.draws
        ids[item["task"]].append(item["id"])
        if plan.texts:
            folder.samples.append(item, flush=False)
    data = {name: data_hash(found) for name, found in ids.items()}
    empty = [name for name, found in ids.items() if not found]
    if empty:
        raise RedoneError(
            f"No sample of {', '.join(empty)} is in partition {plan.partition!r}. "
            "Choose another --partition, or leave the task out."
        )
    folder.start(
        {
            "request": request_of(plan, model, data),
            "answers": answers,
            "environment": model.environment(),
            **told,
        }
    )
    return answers


def items_of(folder: RunFolder, plan: Plan | None, model: Model | None) -> Iterable[Item]:
    """The folder's items: read from samples.jsonl, or made again where texts are not kept."""
    if folder.samples.path.exists():
        return folder.samples
    if plan is None or model is None:
        raise RunUnreadable(
            f"{folder.path} keeps no samples (--no-texts), so it can be scored again only by the "
            "command that made it."
        )
    return items(plan, model)


def ask(folder: RunFolder, plan: Plan, model: Model, progress: Progress) -> None:
    """Sends every request that has no answer to the model; each answer is on disk as it comes.

    Args:
        folder: Prepared.
        plan: What to ask.
        model: Who answers.
        progress: Is told of each answer.
    """
    done = folder.answered()
    progress.already(len(done))
    settings = {task.name: plan.settings(task) for task in plan.tasks}

    def questions() -> Iterator[Request]:
        for item in items_of(folder, plan, model):
            for record in _distinct(item["requests"]):
                for draw in range(plan.draws):
                    if (item["id"], record["hash"], draw) not in done:
                        yield request_from(record, item, settings[item["task"]], draw, plan.seed)

    last = time.monotonic()
    for request, completion in model.run(questions()):
        now = time.monotonic()
        folder.responses.append(response_record(request, completion, wall=now - last))
        last = now
        progress.answered(completion.tokens)
    folder.responses.close()


def request_from(
    record: Mapping[str, Any], item: Item, settings: Settings, draw: int, seed: int
) -> Request:
    """The request of a line of samples.jsonl."""
    own = record.get("settings")
    if own is not None:
        settings = Settings(**{**own, "stop": tuple(own["stop"])})
    prompt = record["prompt"]
    sampled = settings.temperature > 0 and record.get("kind", "generate") == "generate"
    return Request(
        sample=item["id"],
        prompt=prompt if isinstance(prompt, str) else tuple(prompt),
        settings=settings,
        kind=record.get("kind", "generate"),
        continuation=record.get("continuation"),
        draw=draw,
        hash=record["hash"],
        seed=seed_of(seed, item["id"], record["hash"], draw) if sampled else None,
    )


def response_record(request: Request, completion: Completion, wall: float) -> dict[str, Any]:
    """A line of responses.jsonl; what is absent is left out.

    `wall` is the time since the answer before: over a run it adds up to the time of asking, however
    many answers were under way at once.
    """
    record: dict[str, Any] = {
        "sample": request.sample,
        "request": request.hash,
        "draw": request.draw,
        "text": completion.text.encode("utf-8", "replace").decode(),
        "finish": completion.finish,
        "prompt_tokens": completion.prompt_tokens,
        "tokens": completion.tokens,
        "seconds": round(completion.seconds, 4),
        "wall": round(wall, 5),
    }
    for name in ("thinking", "logprob", "greedy"):
        value = getattr(completion, name)
        if value is not None:
            record[name] = value
    return record


def completion_of(record: Mapping[str, Any]) -> Completion:
    """The completion of a line of responses.jsonl."""
    return Completion(
        text=record["text"],
        finish=record["finish"],
        thinking=record.get("thinking"),
        prompt_tokens=record.get("prompt_tokens", 0),
        tokens=record.get("tokens", 0),
        seconds=record.get("seconds", 0.0),
        logprob=record.get("logprob"),
        greedy=record.get("greedy"),
    )


def _plain(settings: Settings) -> dict[str, Any]:
    return asdict(settings) | {"stop": list(settings.stop)}


def _packed(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
