"""Stage 2: supervised fine-tuning on TRL's SFTTrainer; continued pre-training with `raw_text`.

The answer's tokens are learned and the prompt's are only read; with `raw_text` the whole text is
learned. A row is rendered as in an evaluation, so that training and use see the same prompt.
Imports TRL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from ...harness.models.checkpoint import Checkpoint
from ..rows import TrainingRow
from ..settings import SftSettings
from .arguments import check_trl, lora_config, placeholder, quietly
from .loop import report_left_out, trained
from .models import router_loss
from .packing import (
    RowTokenizer,
    TokenRow,
    micro_batches,
    packed_logprobs,
    packs_of,
    padded_logprobs,
    supports_trees,
    token_rows,
    tree_logprobs,
)
from .steps import Progress, StageResult
from .supervised import Order, WholeBatches, arguments, train


class SftTrainer(WholeBatches, SFTTrainer):
    """SFTTrainer over rows that are tokens already.

    The loss is the mean over the learned tokens of a batch, each times its row's weight.

    Args:
        rows: As tokens.
        packs: The rows of each sequence; one a sequence where they are not packed.
        arguments: As of SFTTrainer.

    Attributes:
        shares_prefixes: Whether common beginnings are computed once.
    """

    def __init__(
        self, rows: Sequence[TokenRow], packs: Sequence[Sequence[int]], **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.rows, self.packs = rows, packs
        self.shares_prefixes = False

    def learned(self, chosen: Sequence[int]) -> int:
        return sum(len(self.rows[i].answer) for pack in chosen for i in self.packs[pack])

    def read(self, chosen: Sequence[int]) -> int:
        return sum(len(self.rows[i].prompt) for pack in chosen for i in self.packs[pack])

    def passes(self, chosen: Sequence[int]) -> list[list[int]]:
        tokens = [[t for i in self.packs[pack] for t in self.rows[i].tokens] for pack in chosen]
        alike = self.shares_prefixes and all(len(self.packs[pack]) == 1 for pack in chosen)
        shared = micro_batches(tokens, self.micro_batch, alike)
        return [[chosen[i] for i in batch] for batch in shared]

    def loss_of(self, model: Any, chosen: Sequence[int], whole: Sequence[int]) -> Tensor:
        rows = [self.rows[i] for pack in chosen for i in self.packs[pack]]
        with self.accelerator.autocast():
            found = self._logprobs(model, rows)
        weights = torch.cat(
            [line.new_full((len(line),), row.weight) for line, row in zip(found, rows, strict=True)]
        )
        learned = self.learned(whole)
        balancing = self.balancing(self.learned(chosen) / learned)
        return balancing - (torch.cat(found) * weights).sum() / learned

    def _logprobs(self, model: Any, rows: Sequence[TokenRow]) -> list[Tensor]:
        if self.shares_prefixes:
            tokens = [row.tokens for row in rows]
            return tree_logprobs(model, tokens, [len(row.prompt) for row in rows])[0]
        if any(len(pack) > 1 for pack in self.packs):
            return packed_logprobs(model, rows)
        return padded_logprobs(model, rows, self._tokenizer.pad_token_id)  # type: ignore[arg-type]


def train_sft(
    settings: SftSettings,
    model: Path,
    rows: Sequence[TrainingRow],
    output: Path,
    *,
    rationale: Callable[[TrainingRow], bool] = lambda row: False,
    weight: Callable[[TrainingRow], float] = lambda row: 1.0,
    progress: Progress = lambda done, total, line: None,
) -> StageResult:
    """Fine-tunes a model, or resumes where an earlier start stopped.

    Args:
        settings: Of the stage.
        model: Folder of the model to start from.
        rows: To learn from; one that comes twice is learned twice. Those longer than `max_tokens`
            are left out, and named in `left_out.json`.
        output: Gets `model/`, `checkpoints/`, `steps.jsonl` and `tensorboard/`.
        rationale: Whether a row's rationale is learned before its answer.
        weight: Of a row's loss; only ratios count. Rows that mixing or selection drew come as often
            as their weight says already, so the default is the same for all.
        progress: Called after each optimizer step.

    Returns:
        The result; `stopped` says why it ended early.

    Raises:
        RedoneError: The model cannot be read, no row fits, memory does not suffice for one row.
        DiskFull: No space left; the last complete checkpoint is intact.
    """
    check_trl()
    if (done := trained(output, settings.token_budget)) is not None:
        return done
    # On a GPU, too, the trainer moves it: which device is this process's own, only it knows.
    source = Checkpoint(str(model), "float32", "cpu")
    most = min(settings.max_tokens, source.context or settings.max_tokens)
    tokens, lost = token_rows(
        RowTokenizer.of(source),
        rows,
        rationale=rationale,
        weight=weight,
        raw_text=settings.raw_text,
        max_tokens=most,
    )
    report_left_out(output, lost, len(rows), most)
    lengths = [len(row) for row in tokens]
    packs = packs_of(lengths, most) if settings.packed else [[i] for i in range(len(tokens))]

    order, network = Order.of(settings, len(packs)), source.load()
    with quietly():
        trainer = SftTrainer(
            tokens,
            packs,
            model=network,
            args=SFTConfig(
                **arguments(settings, output, order.steps),
                max_length=None,
                router_aux_loss_coef=0.0,  # see `RouterLoss`
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
            train_dataset=placeholder(),
            processing_class=source.tokenizer,
            peft_config=lora_config(settings.lora),
        )
    trainer.source, trainer.router = source, router_loss(network, settings.router_loss)
    # On a GPU padded batches keep it busy anyway; there the tree's mask would cost more.
    on_cpu = trainer.args.device.type == "cpu"
    trainer.shares_prefixes = on_cpu and trainer.router is None and supports_trees(network)
    return train(trainer, settings, order, output, progress)
