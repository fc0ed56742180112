"""What a step learns from: answers with their advantages, in the form that TRL's loss takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .packing import padded
from .sampling import Group

CORRECTION_MOST = 3.0
"""Bound of the importance ratio between the training model and vLLM's arithmetic."""


@dataclass(frozen=True, slots=True)
class Part:
    """One answer to train on.

    Attributes:
        prompt, answer: Its tokens.
        advantage: In standard deviations of its group, times the weight of its loss.
        sampled: Log-probabilities when it was sampled, by an engine of another arithmetic.
        old: Log-probabilities before the first update on it; None: those of the update itself.
    """

    prompt: Sequence[int]
    answer: Sequence[int]
    advantage: float
    sampled: Sequence[float] | None = None
    old: Sequence[float] | None = None

    @property
    def tokens(self) -> list[int]:
        return [*self.prompt, *self.answer]


def parts_of(group: Group) -> list[Part]:
    """The answers of a group that can be learnt from, with their advantages."""
    return [
        Part(rollout.prompt, rollout.answer, advantage, rollout.logprobs)
        for rollout, advantage in zip(group.rollouts, group.advantages(), strict=True)
        if advantage is not None and rollout.answer
    ]


def loss_inputs(
    parts: Sequence[Part], tokens: int, pad: int, corrected: bool = False
) -> dict[str, Tensor]:
    """Parts as TRL's loss takes them.

    Args:
        parts: Of one forward pass.
        tokens: Of all answers of the step, in all processes: what the loss is divided by. TRL's own
            count is made before rewards are known, so it has the dropped groups in it.
        pad: Token that fills up.
        corrected: The answers were sampled in another arithmetic than the one they are trained in:
            each token's loss is multiplied by the ratio of its two probabilities, bounded (Yao et
            al. 2025, truncated importance sampling).
    """
    prompts, prompt_mask = padded([part.prompt for part in parts], pad, left=True)
    answers, mask = padded([part.answer for part in parts], pad)
    inputs = {
        "prompt_ids": prompts,
        "prompt_mask": prompt_mask,
        "completion_ids": answers,
        "completion_mask": mask,
        "advantages": torch.tensor([part.advantage for part in parts]),
        "num_items_in_batch": torch.tensor(tokens),
    }
    old = [part.old for part in parts if part.old is not None]
    if old:
        inputs["old_per_token_logps"], _ = padded(old, 0.0)
    if corrected and old:
        sampled, _ = padded([part.sampled or () for part in parts], 0.0)
        ratio = (inputs["old_per_token_logps"] - sampled).nan_to_num(0.0).exp()
        inputs["importance_sampling_ratio"] = ratio.clamp(max=CORRECTION_MOST) * mask
    return inputs
