"""The optimiser steps of DAPO, inside TRL's GRPOTrainer. Imports TRL: import it late."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import DataLoader
from trl.trainer.grpo_trainer import GRPOTrainer

from ..corpus.row import CorpusRow
from ..rewards import Rewards
from .gradients import clipped, within_memory
from .packing import micro_batches, tree_logprobs
from .parts import Part, loss_inputs, parts_of
from .rollouts import Asking, Writer
from .sampling import Group, Harvest, PromptOrder, harvest
from .settings import DapoSettings
from .steps import Step, StepLog


@dataclass(frozen=True, slots=True)
class Work:
    """What a stage is made of.

    Attributes:
        settings: Of the stage.
        rows: Those that fit.
        rewards: Judges answers.
        asking: Makes questions of rows.
        log: The steps so far, of which the trainer adds its own.
        place: In the order of prompts, where to go on.
    """

    settings: DapoSettings
    rows: Sequence[CorpusRow]
    rewards: Rewards
    asking: Asking
    log: StepLog
    place: int = 0


class DapoTrainer(GRPOTrainer):
    """GRPOTrainer with dynamic sampling.

    TRL's data loader only counts: prompts are drawn here, because how many a step needs is known
    when their answers have been judged. TRL's loss (token-level, clipped) is used as it stands.

    Args:
        work: The stage.
        arguments: As of GRPOTrainer.
    """

    def __init__(self, work: Work, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.current_gradient_accumulation_steps = 1  # TRL's loss divides by it
        self.work = work
        self.writer: Writer | None = None
        self.shares_prefixes = False
        self.place = work.place
        self.micro_batch = work.settings.micro_batch
        self.step: Step | None = None
        self._order = PromptOrder(work.rows, work.settings.seed)
        self._waiting: deque[list[Part]] = deque()
        self._started = 0.0

    @property
    def between_rollouts(self) -> bool:
        """Whether all that was sampled has been trained on."""
        return not self._waiting

    def get_train_dataloader(self) -> DataLoader:
        """One empty batch a step, the same in every process."""
        return DataLoader(range(self.args.max_steps), batch_size=1, collate_fn=list)  # type: ignore[arg-type]

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """The gradients of one optimiser step, rollouts first where none are waiting.

        Returns:
            The loss, without gradient; 0 for a step that is skipped, which leaves no gradients, so
            that the optimiser changes nothing.

        Raises:
            RedoneError: A ruined gradient under DeepSpeed, where it cannot be dropped.
        """
        self._started = time.perf_counter()
        step = Step(self.state.global_step + 1, learning_rate=self._rate())
        if not self._waiting:
            step = self._roll_out(model, step)
        parts = self._waiting.popleft()
        began = time.perf_counter()
        loss = self._learn(model, parts) if parts else torch.zeros((), device=self.args.device)
        if parts:
            step = self._checked(model, step, parts, float(loss))
        elif step.skipped is None:
            step = replace(step, skipped="no group was left for it")
        self.step = replace(step, seconds_training=time.perf_counter() - began)
        return loss if self.step.skipped is None else torch.zeros_like(loss)

    def finish_step(self) -> Step:
        """The step just taken, with its time."""
        assert self.step is not None
        self.step = replace(self.step, seconds=time.perf_counter() - self._started)
        return self.step

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """TRL's figures and the step's own."""
        if self.step is not None:
            logs |= self.step.scalars()
        super().log(logs, start_time)

    def _rate(self) -> float:
        optimizer: Any = self.optimizer
        return float(optimizer.param_groups[0]["lr"])

    # --- rollouts --------------------------------------------------------------------------------

    def _roll_out(self, model: Any, step: Step) -> Step:
        """Fill `_waiting` with the parts of each update; tell what was sampled."""
        settings = self.work.settings
        self._generating = self._judging = 0.0
        found = harvest(self._draw, settings.prompts_per_step, settings.max_resamples)
        answers = [r for group in found.groups for r in group.rollouts]
        updates = settings.updates_per_rollout
        kept = [parts_of(group) for group in found.kept]
        cuts = [number * len(kept) // updates for number in range(updates + 1)]
        self._waiting.extend(
            [part for group in kept[a:b] for part in group]
            for a, b in zip(cuts, cuts[1:], strict=False)
        )
        if updates > 1 or self.use_vllm:
            # Later updates, and vLLM's arithmetic, start from another model than the one trained.
            self._waiting = deque(self._with_old(model, parts) for parts in self._waiting)
        return replace(
            step,
            **_sampled(found),
            completion_length=sum(len(r.answer) for r in answers) / len(answers),
            truncated=sum(r.completion.finish == "length" for r in answers) / len(answers),
            tokens_read=sum(len(group.rollouts[0].prompt) for group in found.groups),
            tokens_generated=sum(len(r.answer) for r in answers),
            seconds_generating=self._generating,
            seconds_judging=self._judging,
        )

    def _draw(self, count: int) -> list[Group]:
        """The groups of the next prompts, each process doing its share."""
        assert self.writer is not None
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        if self.writer.collective:
            count = -(-count // processes) * processes
        places = range(self.place, self.place + count)
        self.place += count
        mine = [
            self.work.asking.question(place, self.work.rows[self._order[place]])
            for place in places[rank::processes]
        ]
        began = time.perf_counter()
        model: Any = self.model
        model.eval()
        written = self.writer.write(mine) if mine else []
        model.train()
        self._generating += time.perf_counter() - began
        began = time.perf_counter()
        judged = self.work.rewards.judge(
            [q.row for q, group in zip(mine, written, strict=True) for _ in group],
            [rollout.completion for group in written for rollout in group],
            [q.limit(r.completion) for q, group in zip(mine, written, strict=True) for r in group],
        )
        self._judging += time.perf_counter() - began
        size = self.work.settings.group_size
        groups = [
            (q.place, Group(q.row.task, group, judged[i * size : (i + 1) * size]))
            for i, (q, group) in enumerate(zip(mine, written, strict=True))
        ]
        everyone = gather_object(groups) if processes > 1 else groups
        return [group for _, group in sorted(everyone, key=lambda pair: pair[0])]

    def _with_old(self, model: Any, parts: list[Part]) -> list[Part]:
        """The parts, this process's share with the log-probabilities that they have now."""
        first, end = self._share(len(parts))
        out = list(parts)
        for batch in self._batches(parts):
            some = [parts[i] for i in batch]
            inputs = self._inputs(some, 1)
            with torch.no_grad():
                logprobs, _, _ = self._get_per_token_logps_and_entropies(
                    model,
                    torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1),
                    torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1),
                    inputs["completion_ids"].shape[1],
                )
            for i, row in zip(batch, logprobs, strict=True):
                if first <= i < end:
                    out[i] = replace(parts[i], old=row[: len(parts[i].answer)].tolist())
        return out

    def _share(self, count: int) -> tuple[int, int]:
        """The first of so many parts that are this process's own, and the one after its last."""
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        return count * rank // processes, count * (rank + 1) // processes

    def _batches(self, parts: Sequence[Part]) -> list[list[int]]:
        """The passes of this process over its share, as numbers of parts.

        Forward passes are collective when weights are sharded, so every process makes as many: what
        some have fewer of their own is filled up with a part that is not theirs, or not anew.
        """
        first, end = self._share(len(parts))
        tokens = [part.tokens for part in parts[first:end]]
        chosen = micro_batches(tokens, self.micro_batch, self.shares_prefixes)
        batches = [[first + i for i in batch] for batch in chosen]
        if self.accelerator.num_processes > 1:
            count = int(self.accelerator.gather(self._scalar(len(batches))).max())  # type: ignore[union-attr]
            batches += [[first if batches else 0]] * (count - len(batches))
        return batches

    # --- learning --------------------------------------------------------------------------------

    def _learn(self, model: Any, parts: Sequence[Part]) -> Tensor:
        """Gradients of the loss over parts; the loss of all processes together.

        Raises:
            RedoneError: Out of memory with a single answer, or in one process of several.
        """
        return within_memory(
            self,
            model,
            lambda: self._passes(model, parts),
            "it, max_prompt_tokens or max_new_tokens",
        )

    def _passes(self, model: Any, parts: Sequence[Part]) -> Tensor:
        model.train()
        first, end = self._share(len(parts))
        left = end - first
        mine = sum(len(part.answer) for part in parts[first:end])
        batches = self._batches(parts)
        tokens = sum(len(part.answer) for part in parts)
        total = torch.zeros((), device=self.args.device)
        self._seen = {"entropy": 0.0, "clip_ratio/region_mean": 0.0}
        for number, chosen in enumerate(batches):
            own = left > 0  # what fills up comes behind all parts of this process's own
            left -= len(chosen)
            batch = [parts[i] if own else _weightless(parts[i]) for i in chosen]
            last = number == len(batches) - 1
            self.accelerator.gradient_state._set_sync_gradients(last)
            waits = contextlib.nullcontext() if last else self.accelerator.no_sync(model)
            with waits:
                loss = self._compute_loss(model, self._inputs(batch, tokens))
                self.accelerator.backward(loss)
            total += loss.detach()
            share = sum(len(part.answer) for part in batch) / mine if own else 0.0
            for name in self._seen:
                self._seen[name] += share * self._metrics["train"][name][-1]
        return self.accelerator.reduce(total, reduction="mean")  # type: ignore[return-value]

    def _scalar(self, value: float) -> Tensor:
        return torch.tensor([value], device=self.args.device)

    def _inputs(self, parts: Sequence[Part], tokens: int) -> dict[str, Tensor]:
        pad: Any = self._tokenizer.pad_token_id
        found = loss_inputs(parts, tokens, pad, self.use_vllm)
        return {name: tensor.to(self.args.device) for name, tensor in found.items()}

    def _get_per_token_logps_and_entropies(  # type: ignore[override]
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        *arguments: Any,
        **options: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """TRL's log-probabilities, what sequences have in common computed once where that pays."""
        if not self.shares_prefixes:
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *arguments, **options
            )
        seen = attention_mask.bool()
        prompts = seen[:, :-logits_to_keep].sum(1).tolist()
        sequences = [row[mask].tolist() for row, mask in zip(input_ids, seen, strict=True)]
        with self.accelerator.autocast():
            found, entropies = tree_logprobs(model, sequences, prompts, self.temperature)
        both = (
            torch.stack([torch.nn.functional.pad(x, (0, logits_to_keep - len(x))) for x in rows])
            for rows in (found, entropies)
        )
        logprobs, spread = both
        return logprobs, spread, None

    def _checked(self, model: Any, step: Step, parts: Sequence[Part], loss: float) -> Step:
        """The step with its gradient clipped; a gradient that is not to be used is dropped."""
        limit, before = self.work.settings.max_grad_norm, self.work.log.steps
        norm, reason = clipped(self, model, loss, limit, before, step.step)
        return replace(
            step,
            loss=loss,
            grad_norm=norm,
            entropy=self._seen["entropy"],
            clipped=self._seen["clip_ratio/region_mean"],
            # The answers of a group stand together and have one prompt.
            tokens_read=step.tokens_read + sum(len(p) for p, _ in groupby(p.prompt for p in parts)),
            tokens_trained=sum(len(part.answer) for part in parts),
            skipped=reason,
        )


def _weightless(part: Part) -> Part:
    """A part that teaches nothing, in the form of one that does."""
    return replace(part, advantage=0.0, old=part.old or [0.0] * len(part.answer))


def _sampled(found: Harvest) -> dict[str, Any]:
    return {
        "reward": found.reward(),
        "parts": found.parts(),
        "tasks": found.tasks(),
        "kept": len(found.kept),
        "dropped": found.dropped,
        "surplus": found.surplus or None,
        "rounds": found.rounds,
        "skipped": None if found.kept else found.barren,
    }
