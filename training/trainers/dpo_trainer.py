"""The optimiser steps of DPO, inside TRL's DPOTrainer. Imports TRL: import it late."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from trl.trainer.dpo_trainer import DPOTrainer

from .packing import micro_batches
from .sequences import TokenRow, padded_logprobs
from .whole_batches import WholeBatches


class DpoTrainer(WholeBatches, DPOTrainer):
    """DPOTrainer over pairs that are tokens already; its loss is used as it stands.

    The reference is the model that training starts from. Its log-probabilities never change, so
    they are computed once, before the first step, and no second model is held.

    Args:
        pairs: The chosen and the rejected answer to each prompt.
        arguments: As of DPOTrainer; the model is still the reference.
    """

    def __init__(
        self, pairs: Sequence[tuple[TokenRow, TokenRow]], size: int, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.pairs = pairs
        self.precompute_ref_logps = True
        self.references = self._references(size)

    def learnt(self, chosen: Sequence[int]) -> int:
        return sum(len(row.answer) for pair in chosen for row in self.pairs[pair])

    def read(self, chosen: Sequence[int]) -> int:
        return sum(len(self.pairs[pair][0].prompt) for pair in chosen)

    def passes(self, chosen: Sequence[int]) -> list[list[int]]:
        longest = [max(self.pairs[pair], key=len).tokens for pair in chosen]
        return [[chosen[i] for i in batch] for batch in micro_batches(longest, self.micro_batch)]

    def loss_of(self, model: Any, chosen: Sequence[int], whole: Sequence[int]) -> Tensor:
        examples = []
        for pair in chosen:
            (better, worse), (best, worst) = self.pairs[pair], self.references[pair]
            examples.append(
                {
                    "prompt_ids": better.prompt,
                    "chosen_ids": better.answer,
                    "rejected_ids": worse.answer,
                    "ref_chosen_logps": best,
                    "ref_rejected_logps": worst,
                }
            )
        inputs = {k: v.to(self.args.device) for k, v in self.data_collator(examples).items()}
        with self.accelerator.autocast():
            loss = self._compute_loss(model, inputs, False)
        return loss * (len(chosen) / len(whole))

    def _references(self, size: int) -> list[tuple[float, float]]:
        """Of each pair the log-probabilities of both answers under the model as it is."""
        rows = [row for pair in self.pairs for row in pair]
        found = [0.0] * len(rows)
        model: Any = self.model
        model.eval()
        pad = int(self._tokenizer.pad_token_id or 0)  # type: ignore[arg-type]
        for batch in micro_batches([row.tokens for row in rows], 2 * size):
            with torch.no_grad(), self.accelerator.autocast():
                lines = padded_logprobs(model, [rows[i] for i in batch], pad)
            for i, line in zip(batch, lines, strict=True):
                found[i] = float(line.sum())
        return list(zip(found[::2], found[1::2], strict=True))
