"""What was chosen for a stage, in files: rows, decisions, and what the trainer is told.

rows.jsonl        the rows, a corpus (for dpo: pairs)
choice.json       rationales, shaping and weights of the reward, figures of the choice
decisions.jsonl   every row that was offered, kept or not, and why
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ..harness.store import replacing
from .corpus.decisions import Decision, counted, write_decisions
from .corpus.files import write_corpus
from .corpus.preferences import Pair, write_pairs
from .corpus.rationales import Rationales
from .corpus.row import CorpusRow
from .manifest import Facts
from .shaping import Shaping
from .spent import tokens_of_choosing

ROWS, CHOICE, DECISIONS = "rows.jsonl", "choice.json", "decisions.jsonl"


@dataclass(frozen=True)
class Chosen:
    """Rows for a stage.

    Attributes:
        rows: In the order of training.
        rationale: Which are asked to reason.
        decisions: For every row that was offered.
        facts: Of the choice, for the record; `nothing` says why there is no row.
        pairs: For dpo: what is learnt instead of the rows.
    """

    rows: Sequence[CorpusRow]
    rationale: Rationales
    decisions: Sequence[Decision]
    facts: Mapping[str, Any]
    pairs: Sequence[Pair] | None = None


@dataclass(frozen=True)
class Given:
    """What the reward of RL is given.

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


def write(folder: Path, chosen: Chosen, given: Given, kind: str, model: Path) -> Facts:
    """Writes the files.

    Args:
        folder: The stage's.
        chosen: The rows.
        given: What the trainer is told.
        kind: Of the stage.
        model: Whose tokenizer counts what supervised training processes.
    """
    if chosen.pairs is None:
        write_corpus(chosen.rows, folder / ROWS)
    else:
        write_pairs(chosen.pairs, folder / ROWS)
    write_decisions(chosen.decisions, folder / DECISIONS)
    count = len(chosen.rows)
    facts: Facts = {
        "rows": count,
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
        facts["tokens"] = _processed(chosen, kind == "pretrain", model)
    record = {
        **facts,
        "choice": chosen.facts,
        "emphasis": given.record,
        "rationales": sorted(chosen.rationale.ids & {row.id for row in chosen.rows}),
        "shaping": {task: shaping.model_dump() for task, shaping in given.shaping.items()},
        "weights": given.weights,
    }
    write_json(folder / CHOICE, record)
    return facts


def read(folder: Path) -> dict[str, Any]:
    """What `write` put into choice.json."""
    return orjson.loads((folder / CHOICE).read_bytes())


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a JSON file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))


def _processed(chosen: Chosen, raw: bool, model: Path) -> int:
    """Tokens that one pass over the rows reads and trains on."""
    from ..harness.models.checkpoint import Checkpoint
    from .trainers.sequences import Tokeniser, token_rows

    rows, _ = token_rows(
        Tokeniser.of(Checkpoint(str(model), "float32", "cpu")),
        chosen.rows,
        rationale=chosen.rationale,
        weight=lambda row: 1.0,
        raw_text=raw,
        max_tokens=sys.maxsize,
    )
    return sum(map(len, rows))
