"""The corpus of the pipeline, the rows that a stage learns from, and its job.

The ways of choosing are in `corpus/`; this file calls those that the recipe names, and
`stage_files.py` writes their decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..harness.diagnosis.schema import read_diagnosis
from ..harness.display import Progress
from ..tasks.registry import find
from .corpus.balanced import balanced_rows, task_shares
from .corpus.contamination import EvaluationItems, tasks_of
from .corpus.difficulty import hard_rows, solvability
from .corpus.draws import DrawSettings, RubricJudge, draw
from .corpus.failures import NothingToTarget, failure_rows, share_table
from .corpus.preferences import preferences
from .corpus.selection import SelectionSettings, assigned, written
from .corpus.soft_labels import SoftLabelSettings, soft_labels
from .corpus.sources import generated_rows, own_rows, read_corpus, registry_rows, write_corpus
from .emphasis import emphasize, realized
from .evaluations import Evaluator
from .job import Job
from .manifest import Facts
from .recipe import Recipe
from .recipe_stages import Rows
from .rewards import Rewards
from .rows import TrainingRow, counted, write_json
from .shaping import Shaping
from .stage_files import ROWS, RewardPlan, SelectedRows, read, write

Gatherer = Callable[[Recipe, Sequence[Path], Evaluator, Path], Facts]


@dataclass(frozen=True)
class Choice:
    """The input of choosing a stage's rows.

    Attributes:
        stage: Of the recipe.
        model: The model that the stage starts from.
        corpus: The pipeline's.
        diagnosis: Of that model, where the stage needs one.
        folder: The stage's.
        budget: Tokens that the stage may process.
    """

    stage: Any
    model: Path
    corpus: Path
    diagnosis: Path | None
    folder: Path
    budget: int | None = None


Chooser = Callable[[Choice, Evaluator], Facts]


def gather(recipe: Recipe, files: Sequence[Path], evaluator: Evaluator, path: Path) -> Facts:
    """Writes the pipeline's corpus: every source, without rows that repeat an evaluation item.

    Args:
        recipe: Has the sources.
        files: Corpora.
        evaluator: Its items are never learned.
        path: The corpus; the `.json` file of the same name has the rows left out, and why.
    """
    data = recipe.data
    rows: list[TrainingRow] = []
    if data.tasks:
        tasks = find(None, ",".join(data.tasks), evaluator.data)
        rows += registry_rows(tasks, evaluator.data.folder)
    if data.generated:
        rows += generated_rows(None, data.seed, data.generated)
    rows += own_rows(files, evaluator.services, evaluator.data)
    items = EvaluationItems(tasks_of(rows, evaluator.tasks()), evaluator.data.folder)
    cleaned = items.clean(rows)
    write_corpus(cleaned.rows, path)
    facts = {
        "rows": len(cleaned.rows),
        "general": sum(row.general for row in cleaned.rows),
        "left_out": counted(cleaned.dropped),
    }
    write_json(path.with_suffix(".json"), facts | {"dropped": list(cleaned.dropped)})
    return facts


def choose(choice: Choice, evaluator: Evaluator) -> Facts:
    """Chooses a stage's rows and writes them, with every decision."""
    wanted: Rows = choice.stage.rows
    rows = [
        row
        for row in read_corpus(choice.corpus, evaluator.services, evaluator.data)
        if row.general or not wanted.tasks or row.task in wanted.tasks
    ]
    selector = _Selector(choice, evaluator, rows)
    reward = selector.reward_plan()
    match wanted.choose:
        case "balanced":
            chosen = selector.balanced()
        case "failures":
            chosen = selector.failures()
        case "difficulty":
            chosen = selector.difficulty(reward)
    if "nothing" not in chosen.facts:
        if wanted.soft_labels:
            chosen = selector.with_soft_labels(chosen)
        if wanted.rationales != "written":
            # Where rationales are learned, not found by the model, only rows that have one count.
            learned = not selector.sampled
            share, seed = wanted.rationales, wanted.seed
            asked = assigned(chosen.rows, share, seed, selector.rewards, learnt=learned)
            chosen = replace(chosen, rationale=asked)
        if choice.stage.kind == "dpo":
            chosen = selector.with_pairs(chosen)
        drawn = Counter(row.task for row in chosen.rows)
        reward = replace(reward, record=realized(reward.record, drawn))
    return write(choice.folder, chosen, reward, choice.stage.kind, choice.model)


class _Selector:
    """The ways of choosing among offered rows, and what is done to the chosen ones."""

    def __init__(self, choice: Choice, evaluator: Evaluator, rows: Sequence[TrainingRow]) -> None:
        self.choice, self.evaluator, self.rows = choice, evaluator, rows
        self.wanted: Rows = choice.stage.rows
        evaluated = evaluator.tasks()
        self.items = EvaluationItems(tasks_of(rows, evaluated), evaluator.data.folder)
        self.rewards = Rewards(evaluator.services, data=evaluator.data)
        self.sampled = choice.stage.kind in ("dapo", "dpo")
        """Whether the stage learns from answers that the model samples."""
        self.settings = SelectionSettings(
            budget=self.wanted.domain + self.wanted.general,
            general_share=self.wanted.general / (self.wanted.domain + self.wanted.general),
            seed=self.wanted.seed,
            label_balance=self.wanted.label_balance,
            balance=self.wanted.balance,
            judgeable=self.sampled,
        )

    @cached_property
    def shares(self) -> dict[str, float]:
        """Of the sampling as the recipe has them, by task that can be rewarded."""
        fit = [row for row in self.rows if row.judgeable]
        return task_shares(fit, self.wanted.balance, self.settings.general_share or 0.0)

    def balanced(self) -> SelectedRows:
        """Tasks share by a power of their size."""
        reasoned = self.wanted.rationales == "written"
        found = balanced_rows(self.rows, replace(self.settings, reasoned=reasoned), self.items)
        chosen = SelectedRows(found.rows, found.decisions, {"shares": list(found.shares)})
        return replace(chosen, rationale=written(found.rows)) if reasoned else chosen

    def failures(self) -> SelectedRows:
        """Rows of the failure buckets of the diagnosis."""
        assert self.choice.diagnosis is not None
        settings = self.settings
        if self.wanted.background_weight is not None:
            settings = replace(settings, background_weight=self.wanted.background_weight)
        rows = [row for row in self.rows if row.judgeable or not self.sampled]
        try:
            found = failure_rows(rows, read_diagnosis(self.choice.diagnosis), settings, self.items)
        except NothingToTarget as error:
            return SelectedRows((), (), {"nothing": str(error)})
        facts = {"shares": list(found.shares), "table": share_table(found.shares)}
        return SelectedRows(found.rows, found.decisions, facts)

    def difficulty(self, reward: RewardPlan) -> SelectedRows:
        """Of a balanced pool the rows that the model solves sometimes, then the others."""
        wanted = self.wanted.difficulty
        assert wanted is not None and self.settings.budget is not None
        pool = replace(
            self.settings,
            budget=round(self.settings.budget * wanted.pool),
            reasoned=False,
            judgeable=True,
            emphasis=reward.factors,
        )
        rows = balanced_rows(self.rows, pool, self.items).rows
        settings = self._sampling(draws=wanted.draws, temperature=wanted.temperature)
        journal = self.choice.folder / "draws.jsonl"
        with Progress(len(rows) * settings.draws) as bar:
            answers = draw(rows, self._model, settings, journal=journal, on_answer=bar.answered)
        shares = {task: s * reward.factors.get(task, 1.0) for task, s in self.shares.items()}
        solved = solvability(rows, answers, self.rewards)
        found = hard_rows(rows, solved, replace(self.settings, shares=shares), self.items)
        facts = {
            "offered": dict(found.offered),
            "chosen": dict(found.chosen),
            "shares": list(found.shares),
        }
        return SelectedRows(found.rows, found.decisions, facts)

    def reward_plan(self) -> RewardPlan:
        """Shaping and weights of the reward: the recipe's, changed by the diagnosis if wanted."""
        stage = self.choice.stage
        if stage.kind != "dapo":
            return RewardPlan()
        ratios = {n: getattr(stage.reward, n) for n in ("pattern", "answer", "language")}
        shaping = Shaping.model_validate({**Shaping.of(stage.train).model_dump(), **ratios})
        if stage.reward.emphasis is None or self.choice.diagnosis is None:
            return RewardPlan(dict.fromkeys((row.task for row in self.rows), shaping))
        general = {row.task for row in self.rows if row.general}
        diagnosis = read_diagnosis(self.choice.diagnosis)
        found = emphasize(diagnosis, self.shares, shaping, stage.reward.emphasis, general)
        factors = {task: found.shares[task] / share for task, share in self.shares.items()}
        return RewardPlan(found.shaping, found.weights, factors, found.record)

    def with_soft_labels(self, chosen: SelectedRows) -> SelectedRows:
        """The general rows with answers of the model itself."""
        wanted = self.wanted.soft_labels
        assert wanted is not None
        sampling = self._sampling(
            draws=wanted.candidates, temperature=wanted.temperature, max_tokens=wanted.max_tokens
        )
        general = sum(row.general for row in chosen.rows)
        judge = None
        if wanted.judge != "task":
            grader = self.evaluator.load(Path(wanted.judge))
            judge = RubricJudge(grader, max_thinking_tokens=self.evaluator.thinking_budget(grader))
        try:
            with Progress(general * wanted.candidates) as bar:
                found = soft_labels(
                    chosen.rows,
                    self._model,
                    SoftLabelSettings(sampling=sampling),
                    rewards=self.rewards,
                    judge=judge,
                    folder=self.choice.folder / "soft-labels",
                    on_answer=bar.answered,
                )
        finally:
            if judge is not None:
                judge.model.close()
        facts = {
            **chosen.facts,
            "soft_labels": counted(found.decisions),
            "judge": {"replies": found.replies, "nonsense": found.nonsense},
        }
        decisions = (*chosen.decisions, *found.decisions)
        return replace(chosen, rows=found.rows, decisions=decisions, facts=facts)

    def with_pairs(self, chosen: SelectedRows) -> SelectedRows:
        """Preference pairs of the model's answers to the rows."""
        pairs = self.choice.stage.pairs
        settings = self._sampling(
            draws=pairs.candidates, temperature=pairs.temperature, max_tokens=pairs.max_tokens
        )
        with Progress(len(chosen.rows) * settings.draws) as bar:
            found = preferences(
                chosen.rows,
                self._model,
                settings,
                rewards=self.rewards,
                journal=self.choice.folder / "draws.jsonl",
                on_answer=bar.answered,
            )
        decisions = (*chosen.decisions, *found.decisions)
        facts = {**chosen.facts, "preferences": counted(found.decisions)}
        return replace(chosen, decisions=decisions, facts=facts, pairs=found.pairs)

    @property
    def _model(self) -> Any:
        """The model that the stage starts from, loaded."""
        return self.evaluator.model(self.choice.model)

    def _sampling(self, **how: Any) -> DrawSettings:
        """Of answers of that model: it thinks as when evaluated."""
        budget = self.evaluator.thinking_budget(self._model)
        return DrawSettings(max_thinking_tokens=budget, seed=self.wanted.seed, **how)


def job_of(choice: Choice) -> Job:
    """The training of a stage whose rows are chosen.

    Where the stage has a token budget, supervised training gets as many steps as process it, so
    that its schedule ends with it, and no more than the recipe has; the others end when they have
    processed it.
    """
    stage, record = choice.stage, read(choice.folder)
    train = stage.train
    if choice.budget is not None:
        train = train.model_copy(update={"token_budget": choice.budget})
        if "tokens" in record and not train.packed:
            batch = record["tokens"] / record["rows"] * train.batch
            steps = max(1, round(choice.budget / batch))
            if train.steps is not None:
                steps = min(steps, train.steps)
            train = train.model_copy(update={"steps": steps, "epochs": None})
    settings = {"sft" if stage.kind == "pretrain" else stage.kind: train}
    return Job(
        stage=stage.name,
        kind=stage.kind,
        model=choice.model,
        rows=choice.folder / ROWS,
        output=choice.folder,
        rationales=frozenset(record["rationales"]),
        shaping=record["shaping"],
        weights=record["weights"],
        **settings,
    )
