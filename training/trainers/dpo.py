"""Direct preference optimization on TRL's DPOTrainer: the last stage of the comparator `redone1`.

Rafailov et al. 2023, "Direct Preference Optimization: Your Language Model is Secretly a Reward
Model" (arXiv:2305.18290), with its sigmoid loss. RedOne 2.0 leaves this stage out. Imports TRL.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from ...harness.models.checkpoint import Checkpoint
from ...tasks.errors import RedoneError
from ..corpus.preferences import Pair
from ..settings import DpoSettings
from .arguments import check_trl, lora_config, placeholder, quietly
from .loop import report_left_out, trained
from .models import check_router, without_dropout
from .packing import RowTokenizer, TokenRow, micro_batches, padded_logprobs
from .steps import Progress, StageResult
from .supervised import Order, WholeBatches, arguments, train


class DpoTrainer(WholeBatches, DPOTrainer):
    """DPOTrainer over pairs that are tokens already; its loss is used unchanged.

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

    def learned(self, chosen: Sequence[int]) -> int:
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


def train_dpo(
    settings: DpoSettings,
    model: Path,
    pairs: Sequence[Pair],
    output: Path,
    *,
    progress: Progress = lambda done, total, line: None,
) -> StageResult:
    """Trains a model on preferences, or resumes where an earlier start stopped.

    Arguments, result and errors are those of `train_sft`. The model that it starts from is the
    reference, too; pairs with an answer that is too long are left out, and named in
    `left_out.json`.
    """
    check_trl()
    if (done := trained(output, settings.token_budget)) is not None:
        return done
    # On a GPU, too, the trainer moves it: which device is this process's own, only it knows.
    source = Checkpoint(str(model), "float32", "cpu")
    most = min(settings.max_tokens, source.context or settings.max_tokens)
    tokenizer = RowTokenizer.of(source)
    both: list[tuple[TokenRow, TokenRow]] = []
    lost: list[str] = []
    for pair in pairs:
        prompt, better = tokenizer.turn(pair.messages, pair.chosen)
        _, worse = tokenizer.turn(pair.messages, pair.rejected)
        worse = worse[:-1] if pair.cut and len(worse) > 1 else worse
        if len(prompt) + max(len(better), len(worse)) <= most:
            both.append((TokenRow(prompt, better), TokenRow(prompt, worse)))
        else:
            lost.append(pair.id)
    report_left_out(output, lost, len(pairs), most)
    if not both:
        raise RedoneError(
            f"None of {len(pairs)} pairs has {most} tokens or fewer, prompt and answer together: "
            "there is nothing to learn. Raise max_tokens, or sample more candidates: a model that "
            "answers a row always rightly or always wrongly prefers nothing."
        )

    order = Order.of(settings, len(both))
    check_router(source.config, settings.router_loss)
    with quietly():
        trainer = DpoTrainer(
            both,
            settings.micro_batch,
            model=source.load(),
            args=DPOConfig(
                **arguments(settings, output, order.steps),
                beta=settings.beta,
                max_length=None,
                router_aux_loss_coef=settings.router_loss,
                precompute_ref_log_probs=True,
            ),
            train_dataset=placeholder(prompt="a", chosen="b", rejected="c"),
            processing_class=source.tokenizer,
            peft_config=lora_config(settings.lora),
        )
    trainer.source = source
    without_dropout(trainer.model, settings, trainer.is_world_process_zero())
    return train(trainer, settings, order, output, progress)
