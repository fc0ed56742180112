"""Low-rank adapters, as peft has them."""

from __future__ import annotations

from typing import Any

from .settings import LoraSettings


def lora_config(settings: LoraSettings | None) -> Any:
    """The `peft.LoraConfig` of some settings; None trains the full weights."""
    if settings is None:
        return None
    from peft import LoraConfig

    modules = settings.target_modules
    return LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        task_type="CAUSAL_LM",
    )
