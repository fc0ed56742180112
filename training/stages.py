"""What a stage learns from: the corpus of the pipeline, and the rows chosen from it.

The decisions are made by `mixing`, `select`, `difficulty`, `soft_labels` and `emphasis`; this file
asks the one that the recipe names and writes what it decided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..tasks.registry import find
from .contamination import EvaluationItems, tasks_of
from .corpus import read_corpus, write_corpus
from .decisions import counted
from .evaluations import Evaluator
from .manifest import Facts
from .recipe import Recipe
from .row import CorpusRow

Gatherer = Callable[[Recipe, Sequence[Path], Evaluator, Path], Facts]


@dataclass(frozen=True)
class Choice:
    """What is to be chosen.

    Attributes:
        stage: Of the recipe.
        model: The model that the stage starts from.
        corpus: The pipeline's.
        diagnosis: Of that model, where the stage needs one.
        folder: The stage's; gets `rows.jsonl`, `choice.json` and `decisions.jsonl`.
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
    from .sources import generated_rows, own_rows, registry_rows

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
    _write(path.with_suffix(".json"), facts | {"dropped": list(cleaned.dropped)})
    return facts


def choose(choice: Choice, evaluator: Evaluator) -> Facts:
    """Chooses a stage's rows and writes them, with every decision."""
    stage, wanted = choice.stage, choice.stage.rows
    items = EvaluationItems(evaluator.evaluation.tasks(), evaluator.data)
    rows = [
        row
        for row in read_corpus(choice.corpus, evaluator.services)
        if row.general or not wanted.tasks or row.task in wanted.tasks
    ]
    found = _CHOOSERS[wanted.choose](choice, rows, items, evaluator)
    return found
