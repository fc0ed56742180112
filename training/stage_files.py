"""The files of a stage: its rows, decisions, what the trainer gets, and what all of it cost.

rows.jsonl        the rows, a corpus (for dpo: pairs)
choice.json       rationales, shaping and weights of the reward, figures of the choice
decisions.jsonl   every row that was offered, kept or not, and why

The token budget of a stage holds what the model reads, writes and learns in training
(docs/training.md). Answers sampled to choose the rows are counted separately: not every way of
choosing has any, so a comparison of recipes has to report both.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ..harness.run_folder import Journal
from .corpus.preferences import Pair, write_pairs
from .corpus.selection import Rationales
from .corpus.sources import write_corpus
from .manifest import Facts
from .rows import RowDecision, TrainingRow, counted, write_decisions, write_json
from .shaping import Shaping
from .trainers.steps import StageResult

ROWS, CHOICE, DECISIONS = "rows.jsonl", "choice.json", "decisions.jsonl"
JOURNALS = ("draws.jsonl", "soft-labels/candidates.jsonl", "soft-labels/ratings.jsonl")
"""Of a stage's folder: answers for difficulty or pairs, for soft labels, and a judge's replies."""


@dataclass(frozen=True)
class SelectedRows:
    """Rows for a stage.

    Attributes:
        rows: In the order of training.
        decisions: For every row that was offered.
        facts: Of the choice, for the record; `nothing` says why there is no row.
        rationale: Which have to reason.
        pairs: For dpo: what is learned instead of the rows.
    """

    rows: Sequence[TrainingRow]
    decisions: Sequence[RowDecision]
    facts: Mapping[str, Any]
    rationale: Rationales = field(default_factory=Rationales)
    pairs: Sequence[Pair] | None = None


@dataclass(frozen=True)
class RewardPlan:
    """How the answers of an RL stage are rewarded.

    Attributes:
        shaping: By task.
        weights: Of the loss, by task.
        factors: Of the tasks' shares of the sampling, by task; empty: as they are.
        record: Rule, input and result of the emphasis.
    """

    shaping: Mapping[str, Shaping] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)


def write(folder: Path, chosen: SelectedRows, reward: RewardPlan, kind: str, model: Path) -> Facts:
    """Writes the files.

    Args:
        folder: The stage's.
        chosen: The rows.
        reward: Of RL.
        kind: Of the stage.
        model: Whose tokenizer counts what supervised training processes.
    """
    if chosen.pairs is None:
        write_corpus(chosen.rows, folder / ROWS)
    else:
        write_pairs(chosen.pairs, folder / ROWS)
    write_decisions(chosen.decisions, folder / DECISIONS)
    facts: Facts = {
        "rows": len(chosen.rows),
        "general": sum(row.general for row in chosen.rows),
        "reasoned": sum(map(chosen.rationale, chosen.rows)),
        "tasks": dict(Counter(row.task for row in chosen.rows).most_common()),
        "decisions": counted(chosen.decisions),
        "tokens_of_choosing": tokens_of_choosing(folder),
    }
    if chosen.pairs is not None:
        facts["pairs"] = len(chosen.pairs)
    if "nothing" in chosen.facts:
        facts["nothing"] = chosen.facts["nothing"]
    elif kind in ("sft", "pretrain"):
        facts["tokens"] = _tokens_of_a_pass(chosen, kind == "pretrain", model)
    record = {
        **facts,
        "choice": chosen.facts,
        "emphasis": reward.record,
        "rationales": sorted(chosen.rationale.ids & {row.id for row in chosen.rows}),
        "shaping": {task: shaping.model_dump() for task, shaping in reward.shaping.items()},
        "weights": reward.weights,
    }
    write_json(folder / CHOICE, record)
    return facts


def read(folder: Path) -> dict[str, Any]:
    """What `write` put into choice.json."""
    return orjson.loads((folder / CHOICE).read_bytes())


def _tokens_of_a_pass(chosen: SelectedRows, raw: bool, model: Path) -> int:
    """Tokens that one pass over the rows reads and trains on."""
    from ..harness.models.checkpoint import Checkpoint
    from .trainers.packing import RowTokenizer, token_rows

    rows, _ = token_rows(
        RowTokenizer.of(Checkpoint(str(model), "float32", "cpu")),
        chosen.rows,
        rationale=chosen.rationale,
        weight=lambda row: 1.0,
        raw_text=raw,
        max_tokens=sys.maxsize,
    )
    return sum(map(len, rows))


# --- what a stage cost ---------------------------------------------------------------------------


def tokens_of_choosing(folder: Path) -> int:
    """Tokens of all answers that a stage's choice took, those of earlier starts included."""
    journals = [folder / name for name in JOURNALS]
    return sum(r["tokens"] for path in journals if path.is_file() for r in Journal(path))


def training_facts(result: StageResult, budget: int | None, choosing: int) -> Facts:
    """Figures of a stage's training for the manifest: its result, token budget, and `choosing`.

    The tokens of the answers by which its rows were chosen do not count against the budget.
    """
    return {
        "steps": result.steps,
        "skipped": result.skipped,
        "tokens_read": result.tokens_read,
        "tokens_generated": result.tokens_generated,
        "tokens_trained": result.tokens_trained,
        "token_budget": budget,
        "tokens_of_choosing": choosing,
        "seconds": round(result.seconds, 1),
        "stopped": result.stopped,
    }


def processed(facts: Facts) -> int:
    """Tokens that a stage's training read, generated and trained on: what its budget is of."""
    return sum(facts[f"tokens_{what}"] for what in ("read", "generated", "trained"))


def token_summary(facts: Facts) -> str:
    """`1,010 tokens of a budget of 1,000, plus 250 to choose the rows`."""
    own = processed(facts)
    budget, choosing = facts["token_budget"], facts["tokens_of_choosing"]
    of = "" if budget is None else f" of a budget of {budget:,}"
    return f"{own:,} tokens{of}, plus {choosing:,} to choose the rows"
