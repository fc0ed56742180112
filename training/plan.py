"""The steps of a pipeline in order, by name: what a run will do, before it does."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .recipe import Recipe

Verb = Literal[
    "corpus", "evaluate", "diagnose", "select", "train", "gate", "measure", "report", "row"
]


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

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


def steps_of(recipe: Recipe) -> list[Step]:
    """Every step, if every gate lets pass."""
    return list(_steps(recipe))


def _steps(recipe: Recipe) -> Iterator[Step]:
    yield Step("", "corpus")
    yield Step("base", "evaluate")
    diagnosed: set[str] = set()
    before = "base"
    for stage in recipe.stages:
        start = "base" if stage.start == "base" else before
        if needs_diagnosis(stage) and start not in diagnosed:
            diagnosed.add(start)
            yield Step(start, "diagnose")
        yield Step(stage.name, "select")
        yield Step(stage.name, "train")
        yield Step(stage.name, "evaluate")
        if stage.gate:
            yield Step(stage.name, "gate")
        before = stage.name
    if any("report" in task.partitions for task in recipe.evaluation.tasks()):
        yield Step("final", "measure")
    yield Step("final", "report")
    if has_board():
        yield Step("final", "row")


def has_board() -> bool:
    """Whether `redone-leaderboard` is installed."""
    try:
        return importlib.util.find_spec("redone.leaderboards.cli") is not None
    except ModuleNotFoundError:
        return False


def needs_diagnosis(stage: Any) -> bool:
    """Whether a stage asks where the model that it starts from is weak."""
    emphasis = stage.kind == "dapo" and stage.reward.emphasis is not None
    return stage.rows.choose == "failures" or emphasis


def leaves(recipe: Recipe) -> list[str]:
    """Stages whose model no other stage starts from: what the pipeline is for."""
    names = [stage.name for stage in recipe.stages]
    followed = {
        names[n - 1] for n, stage in enumerate(recipe.stages) if n and stage.start == "previous"
    }
    return [name for name in names if name not in followed]
