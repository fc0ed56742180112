"""What a stage learns from: the corpus of the pipeline, and the rows chosen from it.

The decisions are made by `mixing`, `select`, `difficulty`, `soft_labels` and `emphasis`; this file
asks those that the recipe names, and `chosen.py` writes what they decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..harness.progress import Progress
from ..tasks.registry import find
from .chosen import ROWS, Chosen, Given, read, write, write_json
from .corpus.contamination import EvaluationItems, tasks_of
from .corpus.decisions import counted
from .corpus.difficulty import HardSettings, hardest, solvability
from .corpus.draws import DrawSettings, draw
from .corpus.files import read_corpus, write_corpus
from .corpus.mixing import MixSettings, mix, shares_of
from .corpus.preferences import preferences
from .corpus.rationales import Rationales, assigned
from .corpus.row import CorpusRow
from .corpus.select import SelectSettings, select
from .corpus.soft_labels import SoftLabelSettings, soft_labels
from .emphasis import emphasise, realised
from .errors import NothingToTarget
from .evaluations import Evaluator
from .job import Job
from .manifest import Facts
from .recipe import Recipe
from .recipe_stages import Rows
from .rewards import Rewards
from .shaping import Shaping

Gatherer = Callable[[Recipe, Sequence[Path], Evaluator, Path], Facts]


@dataclass(frozen=True)
class Choice:
    """What is to be chosen.

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
    """Writes the pipeline's corpus: every source, without what repeats an evaluation item.

    Args:
        recipe: Whose sources.
        files: Corpora.
        evaluator: Whose items are never learnt.
        path: The corpus; what was left out and why stands beside it, in `.json`.
    """
    from .corpus.sources import generated_rows, own_rows, registry_rows

    data = recipe.data
    rows: list[CorpusRow] = []
    if data.tasks:
        rows += registry_rows(find(None, ",".join(data.tasks)), evaluator.data)
    if data.generated:
        rows += generated_rows(None, data.seed, data.generated)
    rows += own_rows(files, evaluator.services)
    items = EvaluationItems(tasks_of(rows, evaluator.evaluation.tasks()), evaluator.data)
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
        for row in read_corpus(choice.corpus, evaluator.services)
        if row.general or not wanted.tasks or row.task in wanted.tasks
    ]
    asked = _Asked(choice, wanted, evaluator, rows)
    given = _given(asked)
    match wanted.choose:
        case "balanced":
            chosen = _balanced(asked)
        case "failures":
            chosen = _failures(asked)
        case "difficulty":
            chosen = _difficulty(asked, given)
    if "nothing" in chosen.facts:
        return write(choice.folder, chosen, given, choice.stage.kind, choice.model)
    if wanted.soft_labels:
        chosen = _softened(asked, chosen)
    if wanted.rationales != "written":
        chosen = replace(chosen, rationale=asked.rationales(chosen.rows))
    if choice.stage.kind == "dpo":
        chosen = _paired(asked, chosen)
    given = replace(given, record=realised(given.record, Counter(r.task for r in chosen.rows)))
    return write(choice.folder, chosen, given, choice.stage.kind, choice.model)


class _Asked:
    """What every way of choosing needs."""

    def __init__(
        self, choice: Choice, wanted: Rows, evaluator: Evaluator, rows: list[CorpusRow]
    ) -> None:
        self.choice, self.wanted, self.evaluator, self.rows = choice, wanted, evaluator, rows
        evaluated = evaluator.evaluation.tasks()
        self.items = EvaluationItems(tasks_of(rows, evaluated), evaluator.data)
        self.rewards = Rewards(evaluator.services)
        self.budget = wanted.domain + wanted.general
        self.general_share = wanted.general / self.budget
        self.judged = choice.stage.kind in ("dapo", "dpo")

    def shares(self) -> dict[str, float]:
        """Of the sampling as the recipe has them, by task that can be rewarded."""
        fit = [row for row in self.rows if row.judgeable]
        return shares_of(fit, self.wanted.balance, self.general_share)

    def sampling(self, **how: Any) -> DrawSettings:
        """Of answers of the model that the stage starts from: it thinks as when evaluated."""
        budget = self.evaluator.thinking_budget(self.evaluator.model(self.choice.model))
        return DrawSettings(max_thinking_tokens=budget, seed=self.wanted.seed, **how)

    def settings(self, *names: str) -> dict[str, Any]:
        """What the recipe gives of these; where it gives none, the choice's own default holds."""
        found = {name: getattr(self.wanted, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def rationales(self, rows: Sequence[CorpusRow]) -> Rationales:
        """Which are asked to reason: the recipe's share of them."""
        share = self.wanted.rationales
        assert not isinstance(share, str)
        return assigned(rows, share, self.wanted.seed, self.rewards, learnt=not self.judged)


def _balanced(asked: _Asked) -> Chosen:
    written = asked.wanted.rationales == "written"
    settings = MixSettings(
        budget=asked.budget,
        balance=asked.wanted.balance,
        general_share=asked.general_share,
        reasoned=written,
        judgeable=asked.judged,
        seed=asked.wanted.seed,
        **asked.settings("rarity"),
    )
    found = mix(asked.rows, settings, asked.items)
    rationale = found.rationale if written else Rationales()
    return Chosen(found.rows, rationale, found.decisions, {"shares": list(found.shares)})


def _failures(asked: _Asked) -> Chosen:
    from ..harness.diagnosis.record import load

    assert asked.choice.diagnosis is not None
    settings = SelectSettings(
        budget=asked.budget,
        general_share=asked.general_share,
        seed=asked.wanted.seed,
        **asked.settings("rarity", "contrast"),
    )
    rows = [row for row in asked.rows if row.judgeable] if asked.judged else asked.rows
    try:
        found = select(rows, load(asked.choice.diagnosis), settings, asked.items)
    except NothingToTarget as error:
        return Chosen((), Rationales(), (), {"nothing": str(error)})
    return Chosen(
        found.rows,
        Rationales(),
        found.decisions,
        {"shares": list(found.shares), "table": found.table()},
    )


def _difficulty(asked: _Asked, given: Given) -> Chosen:
    wanted = asked.wanted
    assert wanted.difficulty is not None
    pool = mix(
        asked.rows,
        MixSettings(
            budget=round(asked.budget * wanted.difficulty.pool),
            balance=wanted.balance,
            general_share=asked.general_share,
            reasoned=False,
            emphasis=given.factors,
            seed=wanted.seed,
            **asked.settings("rarity"),
        ),
        asked.items,
    )
    settings = asked.sampling(
        draws=wanted.difficulty.draws, temperature=wanted.difficulty.temperature
    )
    model = asked.evaluator.model(asked.choice.model)
    with Progress(len(pool.rows) * settings.draws) as bar:
        answers = draw(
            pool.rows,
            model,
            settings,
            journal=asked.choice.folder / "draws.jsonl",
            told=bar.answered,
        )
    solved = solvability(pool.rows, answers, asked.rewards)
    found = hardest(
        pool.rows,
        solved,
        HardSettings(
            budget=asked.budget,
            general_share=asked.general_share,
            shares={task: s * given.factors.get(task, 1.0) for task, s in asked.shares().items()},
            seed=wanted.seed,
            **asked.settings("rarity"),
        ),
        asked.items,
    )
    return Chosen(
        found.rows,
        Rationales(),
        found.decisions,
        {
            "offered": dict(found.offered),
            "chosen": dict(found.chosen),
            "shares": list(found.shares),
        },
    )


def _given(asked: _Asked) -> Given:
    """Shaping and weights of the reward: the recipe's, changed by the diagnosis where wanted."""
    stage = asked.choice.stage
    if stage.kind != "dapo":
        return Given()
    ratios = {n: getattr(stage.reward, n) for n in ("pattern", "answer", "language")}
    shaping = Shaping.model_validate({**Shaping.of(stage.train).model_dump(), **ratios})
    tasks = {row.task for row in asked.rows}
    if stage.reward.emphasis is None or asked.choice.diagnosis is None:
        return Given(dict.fromkeys(tasks, shaping))
    from ..harness.diagnosis.record import load

    shares, general = asked.shares(), {row.task for row in asked.rows if row.general}
    diagnosis = load(asked.choice.diagnosis)
    found = emphasise(diagnosis, shares, shaping, stage.reward.emphasis, general)
    factors = {task: found.shares[task] / shares[task] for task in shares}
    return Given(found.shaping, found.weights, factors, found.record)


def _softened(asked: _Asked, chosen: Chosen) -> Chosen:
    wanted = asked.wanted.soft_labels
    assert wanted is not None
    settings = SoftLabelSettings(
        sampling=asked.sampling(
            draws=wanted.candidates,
            temperature=wanted.temperature,
            max_tokens=wanted.max_tokens,
        )
    )
    general = sum(row.general for row in chosen.rows)
    judge = None
    if wanted.judge != "task":
        from .corpus.rubric import RubricJudge

        grader = asked.evaluator.load(Path(wanted.judge))
        budget = asked.evaluator.thinking_budget(grader)
        judge = RubricJudge(grader, max_thinking_tokens=budget)
    try:
        with Progress(general * wanted.candidates) as bar:
            found = soft_labels(
                chosen.rows,
                asked.evaluator.model(asked.choice.model),
                settings,
                rewards=asked.rewards,
                judge=judge,
                folder=asked.choice.folder / "soft-labels",
                told=bar.answered,
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


def _paired(asked: _Asked, chosen: Chosen) -> Chosen:
    """Preference pairs of the model's own answers to the rows."""
    pairs = asked.choice.stage.pairs
    settings = asked.sampling(
        draws=pairs.candidates, temperature=pairs.temperature, max_tokens=pairs.max_tokens
    )
    with Progress(len(chosen.rows) * settings.draws) as bar:
        found = preferences(
            chosen.rows,
            asked.evaluator.model(asked.choice.model),
            settings,
            rewards=asked.rewards,
            journal=asked.choice.folder / "draws.jsonl",
            told=bar.answered,
        )
    decisions = (*chosen.decisions, *found.decisions)
    facts = {**chosen.facts, "preferences": counted(found.decisions)}
    return replace(chosen, decisions=decisions, facts=facts, pairs=found.pairs)


def job_of(choice: Choice) -> Job:
    """The training of a stage whose rows are chosen.

    Where the stage has a token budget, supervised training gets as many steps as process it, so
    that its schedule comes to its end, and no more than the recipe's own; the others end when they
    have processed it.
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
