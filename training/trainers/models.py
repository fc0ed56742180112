"""What training changes in a network beyond its weights: dropout, the loss of its router."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor

from ...tasks.errors import RedoneError
from ..settings import Optimized

_NOISE = ("dropout", "pdrop", "jitter")
"""In names of modules' and configurations' fields: noise in training that evaluation has not."""


def without_dropout(model: Any, settings: Optimized, first: bool) -> None:
    """Switches off everything that makes training's probabilities differ from an evaluation's.

    A probability ratio is 1 before the first update only where both of its sides are of the very
    model that samples.

    Args:
        model: Adapters included.
        settings: Whose dropout is reported as unused.
        first: Whether this process reports it.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
        _silence(module)
    _silence(model.config)
    _silence(model.config.get_text_config())
    if first and settings.lora is not None and settings.lora.dropout:
        print(
            f"lora.dropout {settings.lora.dropout:g} is for SFT: RL and DPO compare probabilities "
            "with those of the model as it samples, and are trained without dropout.",
            file=sys.stderr,
        )


def _silence(owner: Any) -> None:
    for name, value in list(vars(owner).items()):
        if isinstance(value, float) and any(part in name for part in _NOISE):
            setattr(owner, name, 0.0)


class RouterLoss:
    """The load-balancing loss of a mixture-of-experts model (Fedus et al., 2021, eq. 4 to 6).

    As a context manager it has the model compute it in the passes inside the block; generation
    cannot.

    Args:
        model: A causal language model of transformers.
        weight: Of the loss, above 0.

    Raises:
        RedoneError: The model has no router.
    """

    def __init__(self, model: Any, weight: float) -> None:
        check_router(model.config, weight)
        self._config, self._weight = model.config.get_text_config(), weight
        self._latest: Tensor | None = None
        model.register_forward_hook(self._note)

    def _note(self, module: Any, arguments: Any, output: Any) -> None:
        self._latest = getattr(output, "aux_loss", None)

    def __enter__(self) -> None:
        self._config.output_router_logits = True

    def __exit__(self, *_: object) -> None:
        self._config.output_router_logits = False

    def of_pass(self, share: float) -> Tensor:
        """Of the latest forward pass, which had a share of the step's tokens."""
        if self._latest is None:
            raise RedoneError(
                "router_loss is set, and the model gives no load-balancing loss: leave it at 0."
            )
        return self._weight * share * self._latest


def check_router(config: Any, weight: float) -> None:
    """Raises `RedoneError` if a router's loss has a weight, and the model has no router."""
    if weight and not hasattr(config.get_text_config(), "output_router_logits"):
        raise RedoneError(
            f"router_loss {weight:g} is of mixture-of-experts models, and {config.model_type} is "
            "none: leave it at 0."
        )


def router_loss(model: Any, weight: float) -> RouterLoss | None:
    """The loss of a model's router where it has a weight; else the model computes none."""
    config = model.config.get_text_config()
    if hasattr(config, "output_router_logits"):
        config.output_router_logits = False
    return RouterLoss(model, weight) if weight else None
