"""The trainers' settings: one validated table per kind of stage.

Field names are those of a recipe (`recipe.py`); the paper's values are in `recipes/redone2.toml`.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Dtype = Literal["float32", "bfloat16"]
Schedule = Literal["constant", "cosine"]
Engine = Literal["hf", "vllm-server", "vllm-colocate"]


class Strict(BaseModel):
    """Unknown fields are refused, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LoraSettings(Strict):
    """Low-rank adapters instead of full weights (Hu et al., 2021); merged when a stage ends.

    Attributes:
        r: Rank, 1 or more.
        alpha: Scale; the adapter's product is multiplied by alpha / r. Above 0.
        dropout: Share of the adapter's input set to zero in SFT, 0 to below 1. RL and DPO compare
            probabilities of one model at two times, and are trained without any dropout.
        target_modules: Names of the linear layers that get adapters, or `all-linear`.
    """

    r: int = Field(default=16, ge=1)
    alpha: float = Field(default=32, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] | Literal["all-linear"] = "all-linear"


class Optimized(Strict):
    """What every trainer has: AdamW, its batches in memory, and its checkpoints.

    Attributes:
        learning_rate: Peak, above 0.
        weight_decay: Of AdamW, 0 or more.
        max_grad_norm: The gradient is scaled down to this norm, above 0.
        micro_batch: Sequences in one forward and backward pass, 1 or more; changes memory and
            speed, not the loss.
        save_every: Optimizer steps between resumable checkpoints, 1 or more.
        dtype: Of the arithmetic: `float32`, or `bfloat16` (mixed precision: the weights stay
            float32; on a CPU only where it has AMX, others are faster in float32).
        gradient_checkpointing: Activations are computed again in the backward pass: less
            memory, about a third more time.
        lora: Adapters; None trains the full weights.
        router_loss: Weight of the load-balancing loss of a mixture-of-experts model's router, 0 or
            more; 0: none. It is added once per step, each pass by its share of the tokens (of DPO's
            pairs).
        save_dtype: Of the trained model: `base`, that of the model that the stage started from; or
            `float32`. Checkpoints are float32.
        seed: Of order, sampling and dropout.
        token_budget: Training ends after the step in which the tokens that were processed (read,
            generated and trained on, see `steps.Step`), over all steps, reach this; None: after its
            last step.
    """

    learning_rate: float = Field(default=5e-6, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    micro_batch: int = Field(default=8, ge=1)
    save_every: int = Field(default=50, ge=1)
    dtype: Dtype = "bfloat16"
    gradient_checkpointing: bool = False
    lora: LoraSettings | None = None
    router_loss: float = Field(default=0.0, ge=0)
    save_dtype: Literal["base", "float32"] = "base"
    seed: int = Field(default=0, ge=0, lt=1 << 31)
    token_budget: int | None = Field(default=None, ge=1)


class DapoSettings(Optimized):
    """Reinforcement learning of stages 1 and 3 (DAPO, Yu et al., 2025; no KL term).

    The loss is the mean over tokens, not over answers. The learning rate is constant after the
    warm-up.

    Attributes:
        steps: Rollout steps, 1 or more; each makes `updates_per_rollout` optimizer steps.
        prompts_per_step: Groups that enter a rollout step, 1 or more.
        group_size: Answers to one prompt, 2 or more: advantages are relative to the group.
        max_prompt_tokens: Rows whose rendered prompt is longer are left out and counted.
        max_new_tokens: Limit of an answer, in tokens, its reasons or thinking included; a plain
            answer ends where its evaluation cuts it, if that is earlier.
        overlong_buffer: Tokens before that limit over which the penalty grows from 0 to its
            full size, 0 to `max_new_tokens`; the same share of a row's lower limit.
        overlong_penalty: What an answer that fills the limit loses, 0 or more; 0 switches off.
        clip_low: The probability ratio is clipped below at 1 - clip_low; 0 to 1.
        clip_high: And above at 1 + clip_high ("clip-higher"); 0 or more.
        warmup_steps: Rollout steps over which the learning rate rises; the first has some already.
        temperature: Of the rollouts, above 0.
        top_p: Of the rollouts, above 0, at most 1.
        updates_per_rollout: Mini-batches; must divide `prompts_per_step`.
        max_resamples: Rounds of further prompts at most, until enough groups differ inside;
            0 takes what the first round gives.
        beta: Weight of a KL term: 0, as in the paper.
        engine: What writes the rollouts: `hf` in this process, `vllm-colocate` on the training
            GPUs, or `vllm-server` (its address in `vllm_server`).
        vllm_server: http://HOST:PORT of `trl vllm-serve`.
    """

    steps: int = Field(default=500, ge=1)
    prompts_per_step: int = Field(default=1024, ge=1)
    group_size: int = Field(default=16, ge=2)
    max_prompt_tokens: int = Field(default=10_000, ge=1)
    max_new_tokens: int = Field(default=8_192, ge=1)
    overlong_buffer: int = Field(default=0, ge=0)
    overlong_penalty: float = Field(default=1.0, ge=0)
    clip_low: float = Field(default=0.2, ge=0, le=1)
    clip_high: float = Field(default=0.28, ge=0)
    warmup_steps: int = Field(default=0, ge=0)
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    updates_per_rollout: int = Field(default=1, ge=1)
    max_resamples: int = Field(default=3, ge=0)
    beta: float = Field(default=0.0, ge=0, le=0)
    engine: Engine = "hf"
    vllm_server: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.prompts_per_step % self.updates_per_rollout:
            raise ValueError(
                f"updates_per_rollout {self.updates_per_rollout} does not divide "
                f"prompts_per_step {self.prompts_per_step}"
            )
        if self.overlong_buffer > self.max_new_tokens:
            raise ValueError(
                f"overlong_buffer {self.overlong_buffer} is more than "
                f"max_new_tokens {self.max_new_tokens}"
            )
        if (self.engine == "vllm-server") != (self.vllm_server is not None):
            raise ValueError("engine vllm-server and vllm_server go together")
        return self


class Supervised(Optimized):
    """What SFT and DPO share: passes over fixed rows.

    Attributes:
        epochs: Passes over the rows, above 0; left out where `steps` is given.
        steps: Optimizer steps instead, 1 or more.
        batch: Sequences (packed ones where `packed`) or pairs an optimizer step; `micro_batch`
            must divide it.
        max_tokens: Longest sequence, prompt and answer together; a longer row is left out and
            counted.
        schedule: `cosine` to 0, or `constant`.
        warmup_ratio: Share of the steps over which the learning rate rises, 0 to 1; the first step
            has some already.
    """

    epochs: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=1)
    batch: int = Field(default=64, ge=1)
    max_tokens: int = Field(default=16_384, ge=2)
    schedule: Schedule = "cosine"
    warmup_ratio: float = Field(default=0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give epochs or steps, one of them")
        if self.batch % self.micro_batch:
            raise ValueError(f"micro_batch {self.micro_batch} does not divide batch {self.batch}")
        return self


class SftSettings(Supervised):
    """Supervised fine-tuning of stage 2; continued pre-training with `raw_text`.

    Attributes:
        packed: Several rows in one sequence of `max_tokens`, none sees another.
        raw_text: Learn the whole text, without chat template or prompt mask.
    """

    packed: bool = False
    raw_text: bool = False


class DpoSettings(Supervised):
    """Direct preference optimization (Rafailov et al., 2023), the last stage of `redone1`.

    Attributes:
        beta: Strength of the pull to the starting model, above 0.
    """

    beta: float = Field(default=0.1, gt=0)
