"""Stages 1 and 3: reinforcement learning by DAPO, on TRL's GRPOTrainer. Imports TRL.

Yu et al. 2025, "DAPO: An Open-Source LLM Reinforcement Learning System at Scale"
(arXiv:2503.14476), as RedOne 2.0 uses it: advantages in standard deviations of the group, a loss
over tokens, clipped at 0.2 below and 0.28 above, no KL term, dynamic sampling by the tasks' own
values, and a soft penalty for over-long answers, which comes as a shaping term of the rewards.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers.utils import logging
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from ...harness.models.checkpoint import Checkpoint
from ...harness.models.cpu.decoder import unsupported
from ...harness.models.cpu.engine import FastEngine
from ...harness.models.hf import FAST_BATCH, PlainEngine
from ...harness.models.rendering import Renderer
from ...harness.models.rows import Engine
from ..rewards import Rewards
from ..rows import TrainingRow
from ..settings import DapoSettings
from .arguments import check_grpo, lora_config, placeholder, quietly, trainer_arguments
from .checkpoints import CHECKPOINTS, check_mergeable, is_sharded, newest_complete
from .loop import StepTrainer, report_left_out, run, trained
from .models import router_loss, without_dropout
from .packing import micro_batches, supports_trees, tree_logprobs
from .rollouts import Asking, EngineWriter, Question, TrainerWriter, Writer
from .sampler import Group, Part, PromptOrder, loss_inputs, parts_of, sample_batch
from .steps import Progress, StageResult, Step, StepLog

PLAIN_BATCH = 64
"""Answers that transformers' own generation writes together."""


def train_dapo(
    settings: DapoSettings,
    model: Path,
    rows: Sequence[TrainingRow],
    rewards: Rewards,
    output: Path,
    *,
    rationale: Callable[[TrainingRow], bool] = lambda row: False,
    progress: Progress = lambda done, total, line: None,
) -> StageResult:
    """Trains a model by reinforcement, or resumes where an earlier start stopped.

    Args:
        settings: Of the stage.
        model: Folder of the model to start from.
        rows: The prompts; each row needs a target. Those whose prompts are too long are left out,
            and named in `left_out.json`.
        rewards: Scores the answers, shaping terms and loss weights included.
        output: Gets `model/`, `checkpoints/`, `steps.jsonl` and `tensorboard/`.
        rationale: Whether a row has to reason first.
        progress: Called after each optimizer step.

    Returns:
        The result; `stopped` says why it ended early.

    Raises:
        RedoneError: The model cannot be read, no row fits, memory does not suffice for one answer.
        DiskFull: No space left; the last complete checkpoint is intact.
    """
    if (done := trained(output, settings.token_budget)) is not None:
        return done
    total = settings.steps * settings.updates_per_rollout
    found = newest_complete(output / CHECKPOINTS)
    resumed, record = found if found else (None, {"step": 0, "place": 0})
    trainer = make_trainer(
        settings, model, rows, rewards, output, rationale, record["step"], record["place"]
    )
    return run(trainer, resumed, output, total, progress)


def make_trainer(
    settings: DapoSettings,
    model: Path,
    rows: Sequence[TrainingRow],
    rewards: Rewards,
    output: Path,
    rationale: Callable[[TrainingRow], bool] = lambda row: False,
    step: int = 0,
    place: int = 0,
) -> DapoTrainer:
    """The trainer of a stage, before its first step; arguments as of `train_dapo`.

    An earlier start has made `step` optimizer steps and drawn `place` prompts.
    """
    check_grpo()
    logging.disable_progress_bar()  # they would break up our own
    with quietly():
        arguments = _arguments(settings, output)
    # On a GPU, too, the trainer moves it: which device is this process's own, only it knows.
    source = Checkpoint(str(model), "float32", "cpu")
    asking = Asking(Renderer(source.tokenizer, {}, "auto"), settings, source.context, rationale)
    asking.renderer.rows = source.rows
    fitting, lost = asking.fitting(rows)
    if arguments.process_index == 0:
        report_left_out(output, lost, len(rows), asking.most, "tokens in their prompts")
    log = StepLog(output, step, writes=arguments.process_index == 0)
    trainer = DapoTrainer(
        Work(settings, fitting, rewards, asking, log, place),
        model=source.load(),
        reward_funcs=rewards,  # required by the constructor; answers are scored by `score`
        args=arguments,
        train_dataset=placeholder(prompt="none"),
        processing_class=source.tokenizer,
        peft_config=lora_config(settings.lora),
    )
    trainer.source = source
    check_mergeable(trainer)
    without_dropout(trainer.model, settings, arguments.process_index == 0)
    _choose_ways(trainer, source)
    return trainer


def _arguments(settings: DapoSettings, output: Path) -> GRPOConfig:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    updates = settings.updates_per_rollout
    vllm = {"vllm-server": "server", "vllm-colocate": "colocate"}.get(settings.engine)
    return GRPOConfig(
        **trainer_arguments(
            settings, output, settings.steps * updates, settings.warmup_steps * updates
        ),
        per_device_train_batch_size=-(-settings.prompts_per_step // processes)
        * settings.group_size,
        num_generations=settings.group_size,
        max_completion_length=settings.max_new_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        loss_type="dapo",
        beta=0.0,
        router_aux_loss_coef=0.0,  # TRL adds it once per pass; see `RouterLoss`
        epsilon=settings.clip_low,
        epsilon_high=settings.clip_high,
        lr_scheduler_type="constant_with_warmup",
        use_vllm=vllm is not None,
        vllm_mode=vllm or "colocate",
        vllm_server_base_url=settings.vllm_server,
    )


def _choose_ways(trainer: DapoTrainer, source: Checkpoint) -> None:
    """Chooses the fastest correct way of sampling and of learning for model and device."""
    settings = trainer.work.settings
    renderer = trainer.work.asking.renderer
    eos = source.eos | frozenset(trainer.eos_token_ids)
    if renderer.turn_end is not None:
        eos |= {renderer.turn_end}
    plain: Any = trainer.accelerator.unwrap_model(trainer.model)
    inner = plain.get_base_model() if settings.lora else plain
    on_cpu = trainer.args.device.type == "cpu"
    size, seed = settings.group_size, settings.seed
    trainer.router = router_loss(inner, settings.router_loss)
    trainer.shares_prefixes = on_cpu and trainer.router is None and supports_trees(inner)
    if settings.engine == "hf" and not is_sharded(trainer):
        engine = _engine(inner, source.pad, on_cpu)
        trainer.writer = EngineWriter(engine, renderer, eos, size, seed)
        return

    def generate(prompts: Any) -> Any:
        return trainer._generate_single_turn(prompts, None, {}, size)

    rank = trainer.accelerator.process_index
    trainer.writer = TrainerWriter(generate, renderer, eos, size, seed, rank)


def _engine(model: Any, pad: int, on_cpu: bool) -> Callable[[], AbstractContextManager[Engine]]:
    """Opens the harness's engine for a model in training, the fast one where there is one."""
    fast = None
    if on_cpu and unsupported(model) is None:
        fast = FastEngine.of(model, FAST_BATCH, model.dtype, keep=True)

    @contextmanager
    def opened() -> Iterator[Engine]:
        if fast is not None:
            fast.refresh()
            yield fast
            return
        own = model.generation_config  # is saved with the model, and the engine replaces it
        try:
            yield PlainEngine(model, pad, PLAIN_BATCH, "in training")
        finally:
            model.generation_config = own

    return opened


@dataclass(frozen=True, slots=True)
class Work:
    """Everything a stage consists of.

    Attributes:
        settings: Of the stage.
        rows: Those that fit.
        rewards: Scores answers.
        asking: Turns rows into questions.
        log: The steps so far; the trainer appends to it.
        place: In the order of prompts, where to resume.
    """

    settings: DapoSettings
    rows: Sequence[TrainingRow]
    rewards: Rewards
    asking: Asking
    log: StepLog
    place: int = 0


class DapoTrainer(StepTrainer, GRPOTrainer):
    """GRPOTrainer with dynamic sampling.

    TRL's data loader only counts: prompts are drawn here, because how many a step needs is known
    only when their answers have been scored. TRL's loss (token-level, clipped) is used unchanged.

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
        self._order = PromptOrder(work.rows, work.settings.seed)
        self._waiting: deque[list[Part]] = deque()

    @property
    def between_rollouts(self) -> bool:
        """Whether all that was sampled has been trained on."""
        return not self._waiting

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """The gradients of one optimizer step, rollouts first where none are waiting.

        Returns:
            The loss, without gradient; 0 for a step that is skipped, which leaves no gradients, so
            that the optimizer changes nothing.

        Raises:
            RedoneError: A ruined gradient under DeepSpeed, where it cannot be dropped.
        """
        self.started = time.perf_counter()
        step = Step(self.state.global_step + 1, learning_rate=self.learning_rate_now())
        if not self._waiting:
            step = self._roll_out(model, step)
        parts = self._waiting.popleft()
        began = time.perf_counter()
        loss = torch.zeros((), device=self.args.device)
        if parts:
            loss = self._learn(model, parts)
            # The answers of a group follow each other and have one prompt.
            prompts = sum(len(prompt) for prompt, _ in groupby(part.prompt for part in parts))
            step = replace(
                step,
                loss=float(loss),
                entropy=self._seen["entropy"],
                clipped=self._seen["clip_ratio/region_mean"],
                tokens_read=step.tokens_read + prompts,
                tokens_trained=sum(len(part.answer) for part in parts),
            )
            step = self.clipped(model, step)
        elif step.skipped is None:
            step = replace(step, skipped="no group was left for it")
        self.step = replace(step, seconds_training=time.perf_counter() - began)
        return loss if self.step.skipped is None else torch.zeros_like(loss)

    # --- rollouts --------------------------------------------------------------------------------

    def _roll_out(self, model: Any, step: Step) -> Step:
        """Fill `_waiting` with the parts of each update; report what was sampled."""
        settings = self.work.settings
        self._generating = self._scoring = 0.0
        found = sample_batch(self._draw, settings.prompts_per_step, settings.max_resamples)
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
            reward=found.reward(),
            parts=found.parts(),
            tasks=found.tasks(),
            kept=len(found.kept),
            dropped=found.dropped,
            rounds=found.rounds,
            skipped=None if found.kept else found.barren,
            completion_length=sum(len(r.answer) for r in answers) / len(answers),
            truncated=sum(r.completion.finish == "length" for r in answers) / len(answers),
            tokens_read=sum(len(group.rollouts[0].prompt) for group in found.groups),
            tokens_generated=sum(len(r.answer) for r in answers),
            seconds_generating=self._generating,
            seconds_judging=self._scoring,
        )

    def _draw(self, count: int) -> list[Group]:
        """The groups of the next prompts, each process doing its share."""
        assert self.writer is not None
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        places = range(self.place, self.place + count)
        self.place += count

        def question(place: int) -> Question:
            return self.work.asking.question(place, self.work.rows[self._order[place]])

        mine = [question(place) for place in places[rank::processes]]
        # What fills up is answered and forgotten: the order must not depend on the processes.
        short = -(-count // processes) - len(mine) if self.writer.collective else 0
        began = time.perf_counter()
        model: Any = self.model
        model.eval()
        filled = [*mine, *(question(places[0]) for _ in range(short))]
        written = self.writer.write(filled)[: len(mine)] if filled else []
        model.train()
        self._generating += time.perf_counter() - began
        began = time.perf_counter()
        scored = self.work.rewards.score(
            [q.row for q, group in zip(mine, written, strict=True) for _ in group],
            [rollout.completion for group in written for rollout in group],
            [q.limit(r.completion) for q, group in zip(mine, written, strict=True) for r in group],
        )
        self._scoring += time.perf_counter() - began
        size = self.work.settings.group_size
        groups = [
            (q.place, Group(q.row.task, group, scored[i * size : (i + 1) * size]))
            for i, (q, group) in enumerate(zip(mine, written, strict=True))
        ]
        everyone = gather_object(groups) if processes > 1 else groups
        return [group for _, group in sorted(everyone, key=lambda pair: pair[0])]

    def _with_old(self, model: Any, parts: list[Part]) -> list[Part]:
        """The parts, this process's share with their current log-probabilities."""
        first, end = self.own_share(len(parts))
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

    def _batches(self, parts: Sequence[Part]) -> list[list[int]]:
        """The passes of this process over its share, as numbers of parts.

        Every process makes as many (see `filled_up`): the filling is a part that is not its own, or
        a repeated one.
        """
        first, end = self.own_share(len(parts))
        tokens = [part.tokens for part in parts[first:end]]
        chosen = micro_batches(tokens, self.micro_batch, self.shares_prefixes)
        batches = [[first + i for i in batch] for batch in chosen]
        return self.filled_up(batches, first if batches else 0)

    # --- learning --------------------------------------------------------------------------------

    def _learn(self, model: Any, parts: Sequence[Part]) -> Tensor:
        """Gradients of the loss over parts; the loss of all processes together."""
        lower = "it, max_prompt_tokens or max_new_tokens"
        return self.within_memory(model, lambda: self._passes(model, parts), lower)

    def _passes(self, model: Any, parts: Sequence[Part]) -> Tensor:
        first, end = self.own_share(len(parts))
        left = end - first
        mine = sum(len(part.answer) for part in parts[first:end])
        tokens = sum(len(part.answer) for part in parts)
        self._seen = {"entropy": 0.0, "clip_ratio/region_mean": 0.0}

        def loss_of(number: int, chosen: list[int]) -> Tensor:
            nonlocal left
            own = left > 0  # what fills up comes after all parts of this process's own
            left -= len(chosen)
            batch = [parts[i] if own else _weightless(parts[i]) for i in chosen]
            loss = self._compute_loss(model, self._inputs(batch, tokens))
            share = sum(len(part.answer) for part in batch) / mine if own else 0.0
            loss = loss + self.balancing(share * mine / tokens * self.accelerator.num_processes)
            for name in self._seen:
                self._seen[name] += share * self._metrics["train"][name][-1]
            return loss

        return self.backward_passes(model, self._batches(parts), loss_of)

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
        logprobs, spread = (
            torch.stack([torch.nn.functional.pad(x, (0, logits_to_keep - len(x))) for x in rows])
            for rows in (found, entropies)
        )
        return logprobs, spread, None


def _weightless(part: Part) -> Part:
    """A part that teaches nothing, in the form of one that does."""
    return replace(part, advantage=0.0, old=part.old or [0.0] * len(part.answer))
