"""The optimiser steps of SFT, inside TRL's SFTTrainer. Imports TRL: import it late."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from trl.trainer.sft_trainer import SFTTrainer

from .packing import micro_batches, tree_logprobs
from .sequences import TokenRow, packed_logprobs, padded_logprobs
from .whole_batches import WholeBatches


class SftTrainer(WholeBatches, SFTTrainer):
    """SFTTrainer over rows that are tokens already.

    The loss is the mean over the learnt tokens of a batch, each times its row's weight.

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

    def learnt(self, chosen: Sequence[int]) -> int:
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
        return -(torch.cat(found) * weights).sum() / self.learnt(whole)

    def _logprobs(self, model: Any, rows: Sequence[TokenRow]) -> list[Tensor]:
        if self.shares_prefixes:
            tokens = [row.tokens for row in rows]
            return tree_logprobs(model, tokens, [len(row.prompt) for row in rows])[0]
        if any(len(pack) > 1 for pack in self.packs):
            return packed_logprobs(model, rows)
        return padded_logprobs(model, rows, self._tokenizer.pad_token_id)  # type: ignore[arg-type]
