"""The steps of a pipeline in order, by name, and the models on their way through it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .recipe import Recipe

Verb = Literal[
    "corpus", "evaluate", "diagnose", "select", "train", "gate", "measure", "report", "row"
]


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """One step of a pipeline.

    Attributes:
        owner: `base`, a stage's name, `final`, or "" for what belongs to all.
        verb: What is done.
    """

    owner: str
    verb: Verb

    @property
    def name(self) -> str:
        """In the manifest."""
        return f"{self.owner}/{self.verb}" if self.owner else self.verb


def steps_of(recipe: Recipe) -> list[PipelineStep]:
    """Every step, if every gate passes."""
    steps = [PipelineStep("", "corpus"), PipelineStep("base", "evaluate")]
    before = "base"
    for stage in recipe.stages:
        diagnosis = PipelineStep("base" if stage.start == "base" else before, "diagnose")
        if needs_diagnosis(stage) and diagnosis not in steps:
            steps.append(diagnosis)
        verbs: list[Verb] = ["select", "train", "evaluate", *(["gate"] if stage.gate else [])]
        steps += [PipelineStep(stage.name, verb) for verb in verbs]
        before = stage.name
    if any("report" in task.partitions for task in recipe.evaluation.tasks()):
        steps.append(PipelineStep("final", "measure"))
    steps.append(PipelineStep("final", "report"))
    if has_board():
        steps.append(PipelineStep("final", "row"))
    return steps


def has_board() -> bool:
    """Whether `redone leaderboard` is installed."""
    try:
        return importlib.util.find_spec("redone.leaderboards.cli") is not None
    except ModuleNotFoundError:
        return False


def needs_diagnosis(stage: Any) -> bool:
    """Whether a stage needs to know where the model that it starts from is weak."""
    emphasis = stage.kind == "dapo" and stage.reward.emphasis is not None
    return stage.rows.choose == "failures" or emphasis


def leaves(recipe: Recipe) -> list[str]:
    """Stages whose model no other stage starts from: the results of the pipeline."""
    after = [*(stage.start for stage in recipe.stages[1:]), "base"]
    return [s.name for s, start in zip(recipe.stages, after, strict=True) if start == "base"]


@dataclass(frozen=True)
class Candidate:
    """A model of the chain.

    Attributes:
        label: `base`, or its stage.
        path: Its folder.
        hash: Of its weights, configuration and tokenizer.
        passed: Whether it passed its gate; None where it has none.
    """

    label: str
    path: Path
    hash: str
    passed: bool | None = None

    @property
    def named(self) -> str:
        """For people."""
        what = "the base model" if self.label == "base" else f"the model of stage {self.label}"
        return f"{what}: {self.path}"


@dataclass(frozen=True)
class Branch:
    """Stages that were trained one from the other, the first of them from the base.

    Attributes:
        kept: The last model that passed a gate, or the base: the one to keep.
        last: What the next stage would start from.
        regressed: Stages whose model did not pass its gate.
    """

    kept: Candidate
    last: Candidate
    regressed: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if the last model passed, and is not the base again after a regression.

        A model without a gate is no failure, unless it was trained from one.
        """
        if self.last.passed is None:
            return 1 if self.regressed else 0
        return 0 if self.kept is self.last else 1


@dataclass(frozen=True)
class Ending:
    """How a pipeline ended.

    Attributes:
        branches: In the order of the recipe, one or more.
        report: The page; None where the pipeline was to end before it.
    """

    branches: Sequence[Branch]
    report: Path | None = None

    @property
    def kept(self) -> Candidate:
        """The model to keep of the last branch."""
        return self.branches[-1].kept

    @property
    def regressed(self) -> list[str]:
        """Stages of all branches whose model did not pass its gate."""
        return [name for branch in self.branches for name in branch.regressed]

    @property
    def exit_code(self) -> int:
        """0 if every branch ended well."""
        return max(branch.exit_code for branch in self.branches)
