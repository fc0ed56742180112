"""Which arithmetic a stage computes in."""

from __future__ import annotations

from .settings import Optimised


def mixed(settings: Optimised) -> bool:
    """Whether forward and backward passes are in bfloat16.

    On a CPU they are only where it has matrix units for it (AMX). Others convert back and forth:
    a pass of a 135M model took 1.7 times as long with AVX-512's bfloat16 as in float32.
    """
    if settings.dtype != "bfloat16":
        return False
    import torch

    return torch.cuda.is_available() or torch.cpu._is_amx_tile_supported()
