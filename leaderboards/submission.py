"""From a finished run to a submitted result, and its validation.

Validation trusts nothing that can be recomputed.
The scores of a task are recomputed from its summed statistics with the registry's metrics, means
from the scores of their tasks, and every signature from the request. What cannot be recomputed
(intervals, the completions themselves) is only checked for its range; that it is true rests on the
submitter, and on the fingerprint with which anybody can repeat the run.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError

from ..harness.records import Counted, services_of, signature
from ..harness.run_folder import RunUnreadable
from ..harness.scored_run import ScoredRun
from ..harness.stats import nested_mean
from ..tasks.errors import RedoneError
from ..tasks.registry import by_name, table_of
from ..tasks.schema import Scoring
from ..tasks.task import Task
from .schema import (
    SCHEMA_VERSION,
    Request,
    Role,
    ScoreRow,
    ScoringResult,
    Submission,
    TaskResult,
    first_problem,
    load,
    save,
)

ENVIRONMENT = ("backend", "dtype", "arithmetic", "torch", "transformers", "vllm", "server")
"""What a submission says of how the completions were generated, as far as the run has it."""
NEAR = 1e-6
"""Points by which a recomputed score may differ, because of the order of a sum."""


def submit_run(run: str | Path, name: str | None, output: Path) -> Path:
    """Writes the submission of a finished run into a folder; returns the path of the file.

    Args:
        run: Run folder or saved baseline.
        name: Of the model, as the board shows it; None: the run's own.
        output: The folder.

    Raises:
        RedoneError: The run cannot be submitted, or the file cannot be written.
    """
    submission = submission_of(ScoredRun(run), name)
    if wrong := list(problems(submission)):
        raise RedoneError(f"{run} cannot be submitted: {'; '.join(wrong[:5])}.")
    return save(submission, output)


def submission_of(
    run: ScoredRun, name: str | None = None, *, baselines: bool = False
) -> Submission:
    """The submission of a finished run.

    Args:
        run: The run.
        name: Of the model; None: as in the run.
        baselines: Accept gold predictions and trivial baselines, to be displayed only.

    Raises:
        RunUnreadable: The run's files lack something, the name is not one printable line, or the
            run is not a model's.
    """
    if not baselines and run.model.startswith("scripted:"):
        raise RunUnreadable(
            f"{run.path} has scripted answers ({run.model}), not the completions of a model."
        )
    request: Mapping[str, Any] = run.request
    identity: Mapping[str, Any] = request["model"]
    prints = [identity.get(key) for key in ("model", "fingerprint")]
    environment: Mapping[str, Any] = run.run.get("environment", {})
    served = environment.get("backend") == "endpoint"
    packed = orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
    form = identity.get("chat_template_messages")
    tasks: Mapping[str, Any] = run.results["tasks"]
    content = {
        "schema_version": SCHEMA_VERSION,
        "created": run.run.get("created"),
        "model": {
            "name": run.model if name is None else name,
            "fingerprint": None if served else next(filter(None, prints), None),
            "identity": hashlib.sha256(packed).hexdigest()[:16],
            "chat_template": identity.get("chat_template"),
            **({"chat_template_messages": form} if form else {}),
            "thinking": identity.get("thinking"),
        },
        "environment": {k: str(environment[k]) for k in ENVIRONMENT if environment.get(k)},
        "versions": run.run.get("versions", {}),
        "request": {key: request.get(key) for key in Request.model_fields},
        "tasks": {
            task: {
                **{k: request["tasks"][task][k] for k in ("version", "prompt", "data", "settings")},
                "protocol": request["tasks"][task].get("protocol"),
                "samples": found["samples"],
                "of": found.get("of"),
                "scorings": {
                    role: {key: record[key] for key in ScoringResult.model_fields}
                    for role, record in found["scorings"].items()
                },
            }
            for task, found in tasks.items()
        },
        "tables": {
            role: [{key: row[key] for key in ScoreRow.model_fields} for row in rows]
            for role, rows in run.results["tables"].items()
        },
    }
    try:
        return Submission.model_validate(content)
    except ValidationError as error:
        problem = first_problem(error)
        hint = " Give the model another name with --name." if "name" in problem else ""
        raise RunUnreadable(f"{run.path} cannot be submitted: {problem}.{hint}") from None


def results_in(folder: Path) -> list[Path]:
    """The submitted results of a folder, in order.

    Raises:
        RedoneError: There is no such folder.
    """
    if not folder.is_dir():
        raise RedoneError(f"{folder} is not a folder of submitted results.")
    return sorted(path for path in folder.iterdir() if path.suffix == ".json")


def problems_of(folder: Path) -> dict[str, list[str]]:
    """The problems of each file; files without a problem have an empty list."""
    found: dict[str, list[str]] = {}
    owners: dict[str, str] = {}
    for path in results_in(folder):
        try:
            submission = load(path)
        except RedoneError as error:
            found[path.name] = [str(error)]
            continue
        own = found[path.name] = list(problems(submission))
        if path.name != submission.file_name:
            own.append(f"its name must be {submission.file_name}")
        first = owners.setdefault(submission.hash, path.name)
        if first != path.name:
            own.append(f"the same model and request as {first}")
    return found


def problems(submission: Submission) -> Iterator[str]:
    """What is wrong with one submission."""
    redone = submission.versions.get("redone")
    if redone is None:
        yield "versions: the version of redone is missing"
    request = submission.signed_request()

    def signed(record: ScoringResult | ScoreRow, name: str, parts: Sequence[Counted]) -> str:
        """What is wrong with a signature; "" if nothing."""
        expected = signature(name, request, parts, redone or "")
        if record.signature == expected:
            return ""
        return f"the signature does not match the score; {expected} is expected"

    counted: dict[Role, dict[str, Counted]] = {"corrected": {}, "official": {}}
    for name, task in submission.tasks.items():
        if task.scorings.keys() != counted.keys():
            yield f"{name}: both scorings, corrected and official, are required"
            return
        known = _registered(name, task)
        if isinstance(known, str):
            yield f"{name}: {known}"
            continue
        for role, record in task.scorings.items():
            n = max(0, task.samples - record.not_scored)
            services = services_of(record.signature)
            counted[role][name] = Counted(name, task.version, record.scoring, n, services)
            found = [signed(record, name, [counted[role][name]])]
            found += _scores(known, role, task, record)
            yield from (f"{name}, {role}: {problem}" for problem in found if problem)
    for role, parts in counted.items():
        if len(parts) < len(submission.tasks):
            continue
        rows, expected = submission.tables.get(role, []), table_of(list(submission.tasks))
        if [(row.level, row.name) for row in rows] != [(row.level, row.name) for row in expected]:
            yield f"the rows of the {role} table do not follow from the tasks"
            continue
        scores = {name: task.scorings[role].score for name, task in submission.tasks.items()}
        points = {name: math.nan if score is None else score for name, score in scores.items()}
        for row, made in zip(rows, expected, strict=True):
            again = float(nested_mean(made.groups, points))
            found = [
                ""
                if _same(row.score, again)
                else f"{row.score}, but the mean of its parts is {again:.6g}",
                *_range(role, row),
                signed(row, row.name, [parts[task] for task in made.of]),
            ]
            where = f"{row.level} {row.name}, {role}"
            yield from (f"{where}: {problem}" for problem in found if problem)


def _registered(name: str, task: TaskResult) -> Task | str:
    """The registry's task, or what is wrong."""
    try:
        known = by_name(name)
    except RedoneError as error:
        return str(error)
    if known.reads(task.version):
        return known
    return (
        f"version {task.version}, but this redone has version {known.version}. "
        "Rerun the evaluation, or remove the result"
    )


def _scores(known: Task, role: str, task: TaskResult, record: ScoringResult) -> Iterator[str]:
    """What is wrong with the scores of a task under one scoring."""
    yield from _range(role, record)
    scoring = _scoring(known, role, record.scoring)
    if scoring is None:
        yield f"there is no scoring {record.scoring!r}"
        return
    if set(services_of(record.signature)) != set(scoring.needs):
        needs = ", ".join(scoring.needs) or "no service"
        yield f"scoring {scoring.name!r} needs {needs}, the signature says otherwise"
    if record.not_scored > task.samples:
        yield f"{record.not_scored} of {task.samples} samples not scored"
    names = [metric.name for metric in scoring.metrics]
    if record.primary != names[0] or list(record.metrics) != names:
        yield f"the metrics {', '.join(names)} are expected, the first as the score"
        return
    if not _same(record.score, record.metrics[record.primary]):
        yield "the score is not its primary metric"
    scored = task.samples - record.not_scored
    if scored == 0:
        if record.sums is not None or record.score is not None:
            yield "a score, although no sample was scored"
        return
    if record.sums is None or len(record.sums) != len(scoring.statistics):
        yield f"{len(scoring.statistics)} summed statistics are expected"
        return
    total = np.array(record.sums)
    for metric in scoring.metrics:
        if metric.from_items is not None:
            continue
        with np.errstate(all="ignore"):
            again = metric.point(total)
        given = record.metrics[metric.name]
        if not _same(given, again):
            yield (f"{metric.name} is {given}, but {again:.6g} follows from the summed statistics")
        if metric.proportion is not None:
            hits, count = total[list(metric.proportion)]
            if not (0 <= hits <= count) or not math.isclose(count, scored):
                yield f"{hits:g} of {count:g} is not a share of its samples"


def _scoring(task: Task, role: str, name: str) -> Scoring | None:
    """The scoring of a name: the one that plays the role, or a reduced form of it."""
    scoring = task.scorings.get(role)
    while scoring is not None and scoring.name != name:
        scoring = scoring.without
    return scoring


def _range(role: str, record: ScoringResult | ScoreRow) -> Iterator[str]:
    low, high, score = record.low, record.high, record.score
    if low is None or high is None:
        if low is not high:
            yield f"[{low}, {high}] is not an interval"
    elif low > high:
        yield f"[{low}, {high}] is not an interval"
    elif low < 0 or score is None:
        yield f"[{low}, {high}] cannot be the interval of {score}"
    if role == "corrected" and score is not None and score < 0:
        yield f"{score} is below 0"


def _same(one: float | None, two: float | None) -> bool:
    """Whether two scores agree; None and NaN are both undefined."""
    one, two = (math.nan if value is None else value for value in (one, two))
    if math.isnan(one) or math.isnan(two):
        return math.isnan(one) and math.isnan(two)
    return math.isclose(one, two, rel_tol=1e-9, abs_tol=NEAR)
