"""The harness as the pipeline calls it: evaluate, diagnose, compare. Ordinary run folders."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..harness.progress import Progress
from ..harness.scored import ScoredRun
from ..harness.store import RunFolder
from ..tasks.schema import Partition, Services, Task
from .recipe import Evaluation

if TYPE_CHECKING:
    from ..harness.gate.decision import Gate
    from ..harness.gate.policy import Policy
    from ..harness.models.base import Model

Loader = Callable[[Path], "Model"]


def loader(evaluation: Evaluation) -> Loader:
    """Loads models with the backend of a recipe, as `redone-eval` would."""

    def load(model: Path) -> Model:
        from ..harness.models.loading import ModelConfig, load_model

        config = ModelConfig(
            str(model),
            backend=evaluation.backend,
            dtype=evaluation.dtype,
            thinking=evaluation.thinking,
        )
        return load_model(config, evaluation.tasks())

    return load


class Evaluator:
    """Evaluates models; the one last used stays loaded until `close`.

    Args:
        evaluation: What is asked.
        data: The data folder.
        services: What scoring may use.
        load: From a folder to a model.
    """

    def __init__(
        self, evaluation: Evaluation, data: Path, services: Services, load: Loader | None = None
    ) -> None:
        self.evaluation = evaluation
        self.data = data
        self.services = services
        self.load = load or loader(evaluation)
        self._loaded: tuple[Path, Model] | None = None

    def tasks(self, partition: Partition) -> list[Task]:
        """Those with items in a partition."""
        return [task for task in self.evaluation.tasks() if partition in task.partitions]

    def model(self, path: Path) -> Model:
        """A model, loaded."""
        if self._loaded is None or self._loaded[0] != path:
            self.close()
            self._loaded = (path, self.load(path))
        return self._loaded[1]

    def thinking_budget(self, model: Model) -> int:
        """Tokens that a loaded model may think in, whoever asks it and whatever for."""
        from ..harness.models.base import thinking_budget

        asked = self.evaluation
        return thinking_budget(model.thinks, asked.thinking, asked.max_thinking_tokens)

    def close(self) -> None:
        """Gives the model's memory back: training needs it."""
        if self._loaded is not None:
            self._loaded[1].close()
            self._loaded = None

    def run(
        self, path: Path, folder: Path, partition: Partition, name: str, limit: int | None = None
    ) -> dict[str, Any]:
        """Evaluates a model into a run folder, or goes on with it.

        Args:
            path: The model.
            folder: The run.
            partition: Which items.
            name: Of the model, for people.
            limit: Items a task, replacing the recipe's.

        Returns:
            Primary score by suite, answers, tokens and seconds.
        """
        from ..harness.results import write_results
        from ..harness.runner import Plan, ask, items_of, prepare
        from ..harness.scores import judge

        tasks = self.tasks(partition)
        by_name: Mapping[str, Task] = {task.name: task for task in tasks}
        plan = Plan(
            tasks=tasks,
            data=self.data,
            partition=partition,
            limit=limit or self.evaluation.items(partition),
            seed=self.evaluation.seed,
        )
        model = self.model(path)
        plan = plan.with_thinking(self.thinking_budget(model))
        with RunFolder(folder) as run:
            told = {
                "name": name,
                "suite": None,
                "command": ["redone-train"],
                "versions": {"redone": version("redone"), "python": platform.python_version()},
            }
            total = prepare(run, plan, model, told)
            with Progress(total) as bar:
                ask(run, plan, model, bar)
            judged = judge(run, items_of(run, plan, model), by_name, self.services)
            results = write_results(run, judged, by_name, self.services)
        return {
            "suites": suite_scores(results),
            "answers": total,
            "tokens": sum(task["tokens"] for task in results["tasks"].values()),
            "seconds": round(sum(results["seconds"].values()), 3),
        }


def suite_scores(results: Mapping[str, Any]) -> dict[str, float | None]:
    """The corrected score of every suite of a run, in points."""
    rows = results["tables"]["corrected"]
    return {row["name"]: row["score"] for row in rows if row["level"] == "suite"}


def judging_inputs(services: Services) -> dict[str, str]:
    """What judging may use as inputs of a step: with it the same answer has another value."""
    found = {"allow_code": "true"} if services.sandbox is not None else {}
    if services.embedder is not None:
        found["embedder"] = services.embedder.identity
    return found


def diagnose_run(folder: Path) -> dict[str, Any]:
    """Writes RUN/diagnosis.json of a run on `diagnose` items."""
    from ..harness.diagnosis.diagnose import Question, diagnose
    from ..harness.diagnosis.record import save

    found = diagnose(ScoredRun(folder), Question())
    save(found, folder / "diagnosis.json")
    return {
        "weaknesses": [weak.task for weak in found.weaknesses],
        "buckets": len(found.buckets),
        "hints": [f"{hint.task}: {hint.term}" for hint in found.hints],
    }


def judge_gate(base: Path, candidate: Path, policy: Policy, target: Path) -> Gate:
    """Compares two runs under a policy; writes gate.json, gate.md and gate.xml."""
    from ..harness.comparison import compare
    from ..harness.gate import output
    from ..harness.gate.decision import decide

    comparison = compare(
        ScoredRun(base),
        ScoredRun(candidate),
        role=policy.scoring,
        partition=policy.partition,
        resamples=policy.resamples,
        seed=policy.seed,
    )
    gate = decide(comparison, policy)
    output.write_json(gate, target / "gate.json")
    output.write_markdown(gate, target / "gate.md")
    output.write_junit(gate, target / "gate.xml")
    return gate
