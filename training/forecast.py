"""`--dry-run`: what would run, and what it would cost, from a warm-up measured on this machine.

Two optimizer steps of every stage are taken, on few rows and, for RL, few prompts, and some items
are evaluated; the rest is multiplication. Nothing is written to the output folder.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..harness.display import duration
from ..tasks.schema import Partition
from ..tasks.sources import samples
from .evaluations import Evaluator
from .job import Job
from .manifest import Manifest
from .pipeline import Order, Workers
from .plan import PipelineStep, leaves, steps_of
from .recipe import Recipe
from .recipe_stages import Rows
from .settings import DapoSettings, SftSettings
from .stages import Choice, job_of
from .trainers.checkpoints import KEPT
from .trainers.steps import Step, read_steps

STEPS = 2
"""Of a warm-up: the first one also allocates and compiles, so the last one is measured."""
PROMPTS = 4
ITEMS = 4
"""Evaluated items per task."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one step of the pipeline.

    Attributes:
        seconds: Wall time on this machine.
        tokens: Read, generated and trained on; of answers, generated alone.
        bytes: On disk when it is done.
        passing: In addition, on disk while it runs.
    """

    seconds: float = 0.0
    tokens: float = 0.0
    bytes: float = 0.0
    passing: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """A step of the pipeline, its cost (None where the output folder has it), and its size."""

    step: PipelineStep
    cost: Cost | None = None
    about: str = ""


def forecast(
    order: Order, manifest: Manifest, evaluator: Evaluator, workers: Workers
) -> list[Line]:
    """Measures a warm-up and multiplies; arguments as of `Pipeline`, the manifest is only read."""
    plan = steps_of(order.recipe)
    # The nearest folder above the output that exists.
    place = next(p for p in [manifest.folder, *manifest.folder.absolute().parents] if p.is_dir())
    with tempfile.TemporaryDirectory(prefix=".redone-warm-up-", dir=place) as name:
        warm = _WarmUp(order, manifest, evaluator, workers, Path(name))
        try:
            return [
                Line(step) if manifest.finished(step.name) else Line(step, *warm.cost(step))
                for step in plan
            ]
        finally:
            evaluator.close()


class _WarmUp:
    """Measures once what several lines need."""

    def __init__(
        self, order: Order, manifest: Manifest, evaluator: Evaluator, workers: Workers, folder: Path
    ) -> None:
        self.order = order
        self.recipe: Recipe = order.recipe
        self.evaluator = evaluator
        self.workers = workers
        self.folder = folder
        self._gathered = manifest.folder / "corpus.jsonl" if manifest.finished("corpus") else None
        self._answer: Cost | None = None

    def cost(self, step: PipelineStep) -> tuple[Cost, str]:
        """Of one step, and what it is."""
        match step.verb:
            case "evaluate":
                return self._evaluation("gate")
            case "diagnose":
                return self._evaluation("diagnose")
            case "measure":
                one, about = self._evaluation("report")
                models = 1 + len(leaves(self.recipe))
                return Cost(models * one.seconds, models * one.tokens), f"{models} x {about}"
            case "select":
                return self._selection(self.recipe.stage(step.owner))
            case "train":
                return self._training(self.recipe.stage(step.owner))
        return Cost(), ""

    def _evaluation(self, partition: Partition) -> tuple[Cost, str]:
        count = 0
        for task in self.evaluator.tasks(partition):
            found = samples(task, self.evaluator.data.folder, partition=partition)
            own = sum(1 for _ in found)
            count += min(own, self.recipe.evaluation.items(partition) or own)
        one = self._per_answer()
        return Cost(count * one.seconds, count * one.tokens), f"{count:,} items"

    def _per_answer(self) -> Cost:
        """Of one answer of the base model."""
        if self._answer is None:
            facts = self.evaluator.run(
                self.order.model, self.folder / "run", "diagnose", "warm-up", limit=ITEMS
            )
            count = max(1, facts["answers"])
            self._answer = Cost(facts["seconds"] / count, facts["tokens"] / count)
        return self._answer

    def _selection(self, stage: Any) -> tuple[Cost, str]:
        """Answers that choosing the rows takes, each as expensive as an evaluated one."""
        rows: Rows = stage.rows
        answers = 0.0
        if rows.soft_labels:
            answers += rows.general * rows.soft_labels.candidates
        if rows.difficulty:
            answers += (rows.domain + rows.general) * rows.difficulty.pool * rows.difficulty.draws
        if stage.kind == "dpo":
            answers += rows.domain * stage.pairs.candidates
        one = self._per_answer()
        about = f"{answers:,.0f} answers" if answers else "no answers"
        return Cost(answers * one.seconds, answers * one.tokens), about

    def _corpus(self) -> Path:
        if self._gathered is None:
            self._gathered = self.folder / "corpus.jsonl"
            files = [*map(Path, self.recipe.data.files), *self.order.corpora]
            self.workers.gather(self.recipe, files, self.evaluator, self._gathered)
        return self._gathered

    def _training(self, stage: Any) -> tuple[Cost, str]:
        small = _small(stage)
        choice = Choice(
            stage=small,
            model=self.order.model,
            corpus=self._corpus(),
            diagnosis=None,
            folder=self.folder / stage.name,
            budget=None,
        )
        choice.folder.mkdir()
        self.workers.choose(choice, self.evaluator)
        self.evaluator.close()
        job: Job = job_of(choice)
        self.workers.train(job, lambda done, total, line: None)
        measured = list(read_steps(choice.folder))[-1]
        steps, one = planned_steps(stage, self.recipe.budget(stage), measured)
        stays, passes = (_size(choice.folder / name) for name in ("model", "checkpoints"))
        cost = Cost(steps * one.seconds, steps * one.tokens, stays, KEPT * passes)
        return cost, f"{steps:,} steps"


def planned_steps(stage: Any, budget: int | None, measured: Step) -> tuple[int, Cost]:
    """Optimizer steps of a stage within a budget of tokens, and the cost of one.

    `measured` is the last step of its warm-up.
    """
    train = stage.train
    scale = 1.0
    if isinstance(train, DapoSettings):
        steps = train.steps * train.updates_per_rollout
        scale = train.prompts_per_step / train.updates_per_rollout / PROMPTS
    else:
        rows = stage.rows.domain + stage.rows.general
        steps = train.steps or math.ceil(rows * (train.epochs or 1) / train.batch)
    tokens = scale * measured.tokens
    if budget is not None and tokens:
        steps = min(steps, max(1, math.ceil(budget / tokens)))
    return steps, Cost(scale * measured.seconds, tokens)


def _small(stage: Any) -> Any:
    """The stage with two steps on few rows that need no diagnosis."""
    train = stage.train
    if isinstance(train, DapoSettings):
        change: dict[str, Any] = {"prompts_per_step": PROMPTS, "updates_per_rollout": 1}
        count = PROMPTS * STEPS * (1 + train.max_resamples)
    else:
        change = {"epochs": None}
        count = train.batch * STEPS
    if isinstance(train, SftSettings):
        change["packed"] = False
    change |= {"steps": STEPS, "save_every": 1, "token_budget": None}
    rows = stage.rows.model_copy(
        update={
            "choose": "balanced",
            "domain": min(count, stage.rows.domain),
            "general": min(count, stage.rows.general),
            "soft_labels": None,
            "difficulty": None,
        }
    )
    changes: dict[str, Any] = {"train": train.model_copy(update=change), "rows": rows}
    if stage.kind == "dapo":
        changes["reward"] = stage.reward.model_copy(update={"emphasis": None})
    return stage.model_copy(update=changes)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def show(lines: Sequence[Line], folder: Path) -> None:
    """Prints a line per step, and the sums."""
    print(f"{'step':32}{'':16}{'tokens':>12}{'time':>10}{'disk':>10}")
    for line in lines:
        if line.cost is None:
            print(f"{line.step.name:32}done")
            continue
        cost = line.cost
        tokens = f"{cost.tokens:,.0f}" if cost.tokens else ""
        time = duration(cost.seconds) if cost.seconds else ""
        disk = sized(cost.bytes) if cost.bytes else ""
        print(f"{line.step.name:32}{line.about:16}{tokens:>12}{time:>10}{disk:>10}".rstrip())
    costs = [line.cost for line in lines if line.cost]
    print(
        f"{'to do in ' + str(folder):48}{sum(c.tokens for c in costs):>12,.0f}"
        f"{duration(sum(c.seconds for c in costs)):>10}{sized(sum(c.bytes for c in costs)):>10}"
    )
    passing = max((cost.passing for cost in costs), default=0.0)
    if passing:
        print(f"While a stage trains, its checkpoints take another {sized(passing)} at most.")
    print(
        "From a measured warm-up of this machine: RL with few prompts, scaled up; answers as long "
        "as the base model's. Loading, scoring and the report are not included."
    )


def sized(count: float) -> str:
    """`12 MB`, `3.4 GB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
