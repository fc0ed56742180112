"""Evaluates one model on some tasks, into a run folder.

Four passes, each streaming, so memory does not grow with the number of samples:

1. `prepare` reads the data, renders the prompts and writes `samples.jsonl` and `run.json`;
2. `ask` sends the requests that have no response yet and appends to `responses.jsonl`;
3. `score.score_run` scores the responses: `scores.parquet`;
4. `results.write_results` aggregates the scores: `results.json`.

A run that was stopped anywhere is resumed by the same call.
"""

from __future__ import annotations

import hashlib
import platform
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from ..tasks.errors import RedoneError
from ..tasks.prompts import left_truncated, messages, prompt_for, prompt_hash, shorten
from ..tasks.protocol import OWN, Protocol
from ..tasks.registry import by_name, of_run, record_of
from ..tasks.schema import Request, Sample, Services, Settings
from ..tasks.sources import INCLUDE_VARIABLE, DataPaths, data_hash, samples
from ..tasks.task import LM_EVAL, ROOM, Prompt, Task
from .display import Progress
from .models.base import Model
from .models.scripted import NoPrediction
from .records import (
    RequestRecord,
    ResponseRecord,
    Results,
    RunInfo,
    RunRequest,
    SampleRecord,
    TaskRequest,
)
from .results import RESAMPLES, write_results
from .run_folder import RunFolder, RunUnreadable, no_run
from .score import score_run


@dataclass(frozen=True, slots=True)
class Plan:
    """What a model is evaluated on, and how.

    Attributes:
        tasks: In the order of the tables.
        data: The data folder.
        partition: `all`, `diagnose`, `gate` or `report`.
        limit: Samples per task, a seeded choice; None for all.
        seed: Of the choice, of sampled answers and of intervals.
        draws: Responses per request, 1 unless the temperature is above 0.
        overrides: Fields of `Settings` that replace the tasks' own.
        prompts: Replaced prompts, by task name or the authors' name.
        system: Replaces every system text.
        texts: False: no samples.jsonl (the data are read again instead).
        only: Ids of the only samples to take; None: all.
        protocol: Whose prompts and settings replace those of the tasks that it has.
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
    protocol: Protocol = OWN
    only: Collection[str] | None = None

    def settings(self, task: Task) -> Settings:
        """The settings of the protocol, or the task's, with this run's overrides."""
        own = self.protocol.settings.get(task.name, task.settings)
        return replace(own, **self.overrides)

    def prompt(self, task: Task, language: str) -> Prompt:
        """The prompt of the task's items in a language."""
        return prompt_for(task, language, self._replaced, self.system)

    def prompt_hash(self, task: Task) -> str:
        """The hash of all prompts that items of the task may get."""
        return prompt_hash(task, self._replaced, self.system)

    @property
    def _replaced(self) -> Mapping[str, Prompt]:
        return {**self.prompts, **self.protocol.prompts}

    def with_thinking(self, budget: int) -> Plan:
        """The same plan with a thinking budget (`models.base.thinking_budget`) unless it is 0."""
        if not budget:
            return self
        return replace(self, overrides={**self.overrides, "max_thinking_tokens": budget})

    def samples(self, task: Task) -> Iterator[Sample]:
        """The task's samples in this run."""
        found = self._selected(task)
        return found if self.only is None else (s for s in found if s.id in self.only)

    def total(self, task: Task) -> int:
        """How many samples it would have without `only`."""
        return sum(1 for _ in self._selected(task))

    def _selected(self, task: Task) -> Iterator[Sample]:
        return samples(task, self.data, partition=self.partition, limit=self.limit, seed=self.seed)


def evaluate(
    folder: Path,
    plan: Plan,
    model: Model,
    services: Services,
    info: Mapping[str, Any],
    resamples: int = RESAMPLES,
) -> Results:
    """Evaluates a model into a run folder, or resumes the run that is there.

    Args:
        folder: The run folder.
        plan: What the model is evaluated on.
        model: The model. The caller closes it.
        services: What scoring may use.
        info: Recorded in run.json (`run_info`).
        resamples: Of metrics that are no function of sums.

    Returns:
        The content of results.json.

    Raises:
        RunMismatch: The folder holds a run of another request.
        RunInUse: Another process is working on the folder.
        NoPrediction: Scripted predictions are incomplete. They leave no run behind, so that the
            corrected file can be scored into the same folder.
    """
    with RunFolder(folder) as run:
        fresh = run.run is None
        try:
            total = prepare(run, plan, model, info)
            with Progress(total) as progress:
                try:
                    ask(run, plan, model, progress)
                finally:
                    run.note({"left_out": getattr(model, "left_out", {})})
        except NoPrediction:
            if fresh:
                run.discard()
            raise
        tasks = {task.name: task for task in plan.tasks}
        scores = score_run(run, records_of(run, plan, model), tasks, services)
        return write_results(run, scores, tasks, services, resamples)


def rescore(folder: Path, services: Services, data: DataPaths | None = None) -> Results:
    """Derives scores.parquet and results.json of a run that keeps its samples, without a model.

    Without `data`, the environment says where tasks find theirs.
    """
    tasks = {task.name: task for task in tasks_of_run(folder, data)}
    with RunFolder(folder) as run:
        scores = score_run(run, records_of(run), tasks, services)
        return write_results(run, scores, tasks, services)


def tasks_of_run(folder: Path, data: DataPaths | None = None) -> list[Task]:
    """The tasks of a run folder, in its order.

    Raises:
        RunUnreadable: It is no run, or its tasks have other versions than the registry's.
    """
    run = RunFolder(folder).run
    if run is None:
        raise no_run(folder)
    requested = run["request"]["tasks"]
    definitions = run.get("definitions", {})
    tasks = [
        _task_again(name, data, folder)
        if name.startswith(LM_EVAL)
        else of_run(name, definitions, data)
        for name in requested
    ]
    changed = [task.name for task in tasks if requested[task.name]["version"] != task.version]
    if changed:
        raise RunUnreadable(
            f"{folder} was made with other versions of {', '.join(changed)}. Evaluate again."
        )
    return tasks


def _task_again(name: str, data: DataPaths | None, folder: Path) -> Task:
    try:
        return by_name(name, data)
    except RedoneError as error:
        if not name.startswith(LM_EVAL):
            raise
        raise RedoneError(
            f"Scoring {folder} again needs lm-eval, the definition of {name} (your own: its folder "
            f"in ${INCLUDE_VARIABLE}) and its data: {error}"
        ) from None


def load_services(embedder: str | Path | None, allow_code: bool, tasks: Iterable[Task]) -> Services:
    """The services that the scorings of some tasks need, as far as they are available.

    `embedder` is a sentence-embedding model; with `allow_code`, programs that a model wrote are run
    in the sandbox.
    """
    needs = {need for task in tasks for need in task.needs()}
    found: dict[str, Any] = {}
    if embedder and "embedder" in needs:
        from .embedder import FolderEmbedder

        found["embedder"] = FolderEmbedder(embedder)
    if allow_code and "sandbox" in needs:
        from .sandbox.service import ForkSandbox

        found["sandbox"] = sandbox = ForkSandbox()
        print(f"Sandbox: {sandbox.isolation.line}.", file=sys.stderr)
    return Services(**found)


def run_info(
    name: str, command: Sequence[str], suite: str | None = None, tasks: Iterable[Task] = ()
) -> RunInfo:
    """What run.json records beside the request: the user's names, the command, versions."""
    foreign = any(task.name.startswith(LM_EVAL) for task in tasks)
    return {
        "name": name,
        "suite": suite,
        "command": list(command),
        "versions": {
            "redone": version("redone"),
            "python": platform.python_version(),
            **({"lm_eval": version("lm_eval")} if foreign else {}),
        },
    }


def request_of(plan: Plan, model: Model, data: Mapping[str, str]) -> RunRequest:
    """Everything that two runs must share to be one request; `data` are hashes of the samples."""
    return {
        "model": model.identity(),
        "partition": plan.partition,
        "limit": plan.limit,
        "seed": plan.seed,
        "draws": plan.draws,
        "system": plan.system,
        "tasks": {task.name: _task_request(plan, task, data.get(task.name)) for task in plan.tasks},
    }


def _task_request(plan: Plan, task: Task, data: str | None) -> TaskRequest:
    request: TaskRequest = {
        "version": task.version,
        "prompt": plan.prompt_hash(task),
        "data": data,
        "settings": _plain(plan.settings(task)),
    }
    if plan.protocol.covers(task):
        request["protocol"] = plan.protocol.name
    if plan.only is not None:
        request["of"] = plan.total(task)
    return request


def sample_records(plan: Plan, model: Model) -> Iterator[SampleRecord]:
    """Every sample with its finished requests, in the order of tasks and files."""
    identity = hashlib.sha256(_packed(model.identity())).digest()
    for task in plan.tasks:
        settings = plan.settings(task)
        for sample in plan.samples(task):
            requests, shortened = _requests(task, sample, settings, plan, model)
            records = (_request_record(request, identity, settings) for request in requests)
            yield SampleRecord(sample, tuple(records), shortened)


def _requests(
    task: Task, sample: Sample, settings: Settings, plan: Plan, model: Model
) -> tuple[Sequence[Request], dict[str, Any] | None]:
    prompt, overrides = plan.prompt(task, sample.language), plan.overrides
    if task.requests is not None:
        found = task.requests(sample, prompt)
        if overrides:
            found = [replace(r, settings=replace(r.settings, **overrides)) for r in found]
        return _within_context(task, found, model)
    most = task.settings.max_tokens
    if task.limit is not None:
        most = min(most, task.limit(sample))
    official, chosen = plan.protocol.covers(task), "max_tokens" in overrides
    if not official and not chosen:
        settings = replace(settings, max_tokens=most)
    request = Request(sample.id, messages(prompt, sample.fields), settings)
    over = model.overflow(request)
    if over > 0 and not chosen:
        # No text is cut for room that only prose around the answer, or a rambling model, would use.
        least = most if official or most <= ROOM else most - ROOM
        room = max(settings.max_tokens - over, min(least, settings.max_tokens))
        request = replace(request, settings=replace(settings, max_tokens=room))
        over = model.overflow(request)
    if over <= 0:
        return (request,), None
    try:
        shorter = shorten(
            sample, prompt, fits=lambda m: model.overflow(replace(request, prompt=m)) <= 0
        )
    except RedoneError as error:
        raise RedoneError(f"{error} {_context_of(model)}") from None
    cut = {"field": shorter.field, "characters": shorter.characters}
    return (replace(request, prompt=shorter.messages),), cut


def _within_context(
    task: Task, requests: Sequence[Request], model: Model
) -> tuple[Sequence[Request], dict[str, Any] | None]:
    """Requests of lm-eval's whose prompts lose their beginning where they exceed the context."""
    found, gone = [], 0
    for request in requests:
        if model.overflow(request) <= 0:
            found.append(request)
            continue
        shorter = left_truncated(
            request.prompt,
            over=lambda p, request=request: model.overflow(replace(request, prompt=p)),
        )
        if shorter is None and request.kind == "generate":
            limit = request.settings.max_tokens + request.settings.max_thinking_tokens
            raise RedoneError(
                f"The {limit} tokens of an answer of {task.name} leave no room for a prompt in the "
                f"model's context (sample {request.sample}). Lower --max-tokens"
                f"{' or --max-thinking-tokens' if request.settings.max_thinking_tokens else ''}. "
                f"{_context_of(model)}"
            )
        if shorter is None:  # a continuation as long as the context: the engine keeps its end
            gone = max(gone, len(request.prompt), 1)
            found.append(request)
            continue
        gone = max(gone, shorter.characters)
        found.append(replace(request, prompt=shorter.prompt))
    return found, {"field": "prompt", "characters": gone} if gone else None


def _context_of(model: Model) -> str:
    """What the context is, who says so, and how to set another one."""
    source = getattr(model, "context_from", "")
    name = "max_model_len" if model.backend == "vllm" else "context"
    return (
        f"The context is {model.context} tokens{f' ({source})' if source else ''}; "
        f"--backend-args '{{\"{name}\": N}}' sets another."
    )


def _request_record(request: Request, identity: bytes, settings: Settings) -> RequestRecord:
    """A request with its hash, which the model's identity and all settings are part of.

    The record has settings of its own only if they are not those of its task in this run.
    """
    own = None if request.settings == settings else _plain(request.settings)
    digest = hashlib.sha256(identity + _packed(own or _plain(settings)))
    digest.update(_packed([request.kind, request.prompt, request.continuation]))
    if request.draw:
        # A task that wants several answers to one prompt: each has a seed of its own.
        digest.update(_packed(request.draw))
    return RequestRecord(
        hash=digest.hexdigest()[:16],
        prompt=request.prompt,
        kind=None if request.kind == "generate" else request.kind,
        continuation=request.continuation,
        settings=own,
    )


def prepare(folder: RunFolder, plan: Plan, model: Model, info: Mapping[str, Any]) -> int:
    """Makes a locked folder ready for `ask`, or checks that it is the folder of this very request.

    Returns:
        How many responses the run will have.

    Raises:
        RunMismatch: The folder is of another request.
    """
    if (run := folder.run) is not None:
        data = {t.name: data_hash(s.id for s in plan.samples(t)) for t in plan.tasks}
        folder.refuse_if_different(request_of(plan, model, data))
        return run["answers"]
    folder.samples.path.unlink(missing_ok=True)
    ids: dict[str, list[str]] = {task.name: [] for task in plan.tasks}
    answers = lowered = 0
    for record in sample_records(plan, model):
        answers += len(record.distinct) * plan.draws
        official = record.sample.task in plan.protocol.settings
        lowered += official and any(request.settings for request in record.requests)
        ids[record.sample.task].append(record.sample.id)
        if plan.texts:
            folder.samples.append(record.json(), flush=False)
    empty = [name for name, found in ids.items() if not found]
    if empty and plan.only is not None:
        raise RedoneError(
            f"No sample of {', '.join(empty)} has a prediction. Leave the task out of --tasks."
        )
    if empty:
        raise RedoneError(
            f"No sample of {', '.join(empty)} is in partition {plan.partition!r}. "
            "Choose another --partition, or leave the task out."
        )
    if lowered:
        print(
            f"{lowered} samples: the model's context leaves less for the answer than the limit of "
            "the protocol; it gets what is left.",
            file=sys.stderr,
        )
    data = {name: data_hash(found) for name, found in ids.items()}
    records = {task.name: record for task in plan.tasks if (record := record_of(task))}
    folder.start(request_of(plan, model, data), answers, model.environment(), info, records)
    return answers


def records_of(
    folder: RunFolder, plan: Plan | None = None, model: Model | None = None
) -> Iterable[SampleRecord]:
    """The folder's samples: from samples.jsonl, or rendered again where texts are not kept."""
    if folder.samples.path.exists():
        return folder.sample_records()
    if plan is None or model is None:
        raise RunUnreadable(
            f"{folder.path} keeps no samples (--no-texts), so only the command that made it can "
            "score it again."
        )
    return sample_records(plan, model)


def ask(folder: RunFolder, plan: Plan, model: Model, progress: Progress) -> None:
    """Sends every request that has no response yet; each response is on disk as it comes."""
    done = folder.answered()
    progress.already(len(done))
    settings = {task.name: plan.settings(task) for task in plan.tasks}

    def requests() -> Iterator[Request]:
        for record in records_of(folder, plan, model):
            sample = record.sample
            for request in record.distinct:
                for draw in range(plan.draws):
                    if (sample.id, request.hash, draw) not in done:
                        yield request.request(sample.id, settings[sample.task], draw, plan.seed)

    last = time.monotonic()
    for request, completion in model.run(requests()):
        now = time.monotonic()
        folder.responses.append(ResponseRecord.of(request, completion, now - last).json())
        last = now
        progress.answered(completion.tokens)
    folder.responses.close()


def _plain(settings: Settings) -> dict[str, Any]:
    """As JSON; a rule that is off is left out, so older requests stay the same."""
    plain = asdict(settings) | {"stop": list(settings.stop)}
    if not settings.max_repetition:
        del plain["max_repetition"]
    return plain


def _packed(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
