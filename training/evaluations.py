"""Evaluate, diagnose, gate, report and submit: the other rooms as the pipeline calls them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..harness.scored_run import ScoredRun
from ..tasks.command import visible
from ..tasks.errors import RedoneError
from ..tasks.protocol import OWN, Protocol, home_of, load_protocol
from ..tasks.registry import find
from ..tasks.schema import Partition, Services
from ..tasks.sources import DataPaths
from ..tasks.task import Task
from .manifest import Facts
from .recipe import Evaluation
from .shaping import term_of

if TYPE_CHECKING:
    from ..harness.gate.decision import Gate
    from ..harness.gate.policy import Policy
    from ..harness.models.base import Model

Loader = Callable[[Path], "Model"]


class Evaluator:
    """Evaluates models; the one last used stays loaded until `close`.

    Args:
        evaluation: Tasks, items and backend.
        data: Where tasks find their data.
        services: What scoring may use.
        load: From a folder to a model.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        data: DataPaths,
        services: Services,
        load: Loader | None = None,
    ) -> None:
        self.evaluation = evaluation
        self.data = data
        self.services = services
        self.load = load or self._load
        self._loaded: tuple[Path, Model] | None = None

    def tasks(self, partition: Partition | None = None) -> list[Task]:
        """Those with items in a partition; None: all."""
        found = self.evaluation.tasks(self.data)
        return [task for task in found if partition is None or partition in task.partitions]

    def protocol(self, partition: Partition | None = None) -> Protocol:
        """How those tasks of the recipe's domain are asked whose authors publish it.

        Raises:
            RedoneError: There is none among them, or its files are missing.
        """
        if not self.evaluation.protocol:
            return OWN
        domain = find(",".join(self.evaluation.domain), data=self.data)
        asked = {task.name for task in self.tasks(partition)}
        own = [task for task in domain if task.name in asked]
        published = [task for task in own if home_of(task) is not None]
        return load_protocol(self.evaluation.protocol, published or own, self.data.folder)

    def model(self, path: Path) -> Model:
        """A model, loaded."""
        if self._loaded is None or self._loaded[0] != path:
            self.close()
            self._loaded = (path, self.load(path))
        return self._loaded[1]

    def _load(self, folder: Path) -> Model:
        """Loads a model with the backend of the recipe, as `redone eval` would."""
        from ..harness.models.loading import ModelConfig, load_model

        own = self.evaluation
        config = ModelConfig(
            str(folder), backend=own.backend, dtype=own.dtype, thinking=own.thinking
        )
        return load_model(config, self.tasks(), self.data.folder)

    def thinking_budget(self, model: Model) -> int:
        """Tokens of thinking that a loaded model may use, wherever the pipeline samples it."""
        from ..harness.models.base import thinking_budget

        settings = self.evaluation
        return thinking_budget(
            model.thinks, settings.thinking, settings.max_thinking_tokens, model.context
        )

    def close(self) -> None:
        """Frees the model's memory: training needs it."""
        if self._loaded is not None:
            self._loaded[1].close()
            self._loaded = None

    def run(
        self, path: Path, folder: Path, partition: Partition, name: str, limit: int | None = None
    ) -> Facts:
        """Evaluates a model into a run folder, or resumes it.

        Args:
            path: The model.
            folder: The run.
            partition: Which items.
            name: Of the model, for people.
            limit: Items per task, replacing the recipe's.

        Returns:
            Primary score by suite, answers, tokens and seconds.
        """
        from ..harness.evaluate import Plan, evaluate, run_info

        plan = Plan(
            tasks=self.tasks(partition),
            protocol=self.protocol(partition),
            data=self.data.folder,
            partition=partition,
            limit=limit or self.evaluation.items(partition),
            seed=self.evaluation.seed,
        )
        model = self.model(path)
        plan = plan.with_thinking(self.thinking_budget(model))
        results = evaluate(
            folder, plan, model, self.services, run_info(name, ["redone-train"], tasks=plan.tasks)
        )
        rows, tasks = results["tables"]["corrected"], results["tasks"].values()
        return {
            # The corrected score of every suite, in points.
            "suites": {row["name"]: row["score"] for row in rows if row["level"] == "suite"},
            "answers": sum(task["answers"] for task in tasks),
            "tokens": sum(task["tokens"] for task in tasks),
            "seconds": round(sum(results["seconds"].values()), 3),
        }


def scoring_inputs(services: Services) -> dict[str, str]:
    """The services of scoring as inputs of a step: with them an answer has another value."""
    found = {"allow_code": "true"} if services.sandbox is not None else {}
    if services.embedder is not None:
        found["embedder"] = services.embedder.identity
    return found


def diagnose_run(folder: Path) -> Facts:
    """Writes RUN/diagnosis.json of a run on `diagnose` items."""
    from ..harness.diagnosis.diagnose import DiagnosisConfig, diagnose
    from ..harness.diagnosis.schema import write_diagnosis

    found = diagnose(ScoredRun(folder), DiagnosisConfig())
    write_diagnosis(found, folder / "diagnosis.json")
    return {
        "weaknesses": [weak.task for weak in found.weaknesses],
        "buckets": len(found.buckets),
        "hints": [f"{hint.task}: {term_of(hint)}" for hint in found.hints],
    }


def gate_runs(base: Path, candidate: Path, policy: Policy, output: Path) -> Gate:
    """Compares two runs under a policy; writes gate.json, gate.md and gate.xml."""
    from ..harness.gate.output import run_gate

    return run_gate(ScoredRun(base), ScoredRun(candidate), policy, output)


def write_report(policy: Policy, runs: Sequence[Path], page: Path, *, chain: bool) -> Facts:
    """Writes the report of finished runs.

    Args:
        policy: Which decides, and on which partition.
        runs: The base first.
        page: The HTML file.
        chain: Each run was made from the one before; else they are candidates, side by side.
    """
    from ..reports.report import ReportConfig, make_report

    made = make_report(ReportConfig(runs=list(runs), output=page, policy=policy, chain=chain))
    return {"verdict": visible(made.sentence).strip()}


def write_submissions(runs: Mapping[str, Path], folder: Path) -> Facts:
    """Makes a result file of finished runs, for the leaderboard.

    Args:
        runs: By the name that the leaderboard shows.
        folder: Where the files go.

    Returns:
        Of each run its file, or why it cannot be submitted, which is no reason to fail.
    """
    from ..leaderboards.submission import submit_run

    folder.mkdir(parents=True, exist_ok=True)
    found: Facts = {}
    for name, run in runs.items():
        try:
            found[name] = submit_run(run, name, folder).name
        except RedoneError as error:
            found[name] = str(error)
            print(error, file=sys.stderr)
    return found
