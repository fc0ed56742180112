"""From the command line's words to a model."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...tasks.errors import RedoneError, UnknownName
from . import BACKENDS
from .backend_args import json_object, settings_of
from .model_files import Trust

if TYPE_CHECKING:
    from ...tasks.schema import Task
    from .base import Model

BELONGS = {
    "dtype": ("hf", "vllm"),
    "device": ("hf",),
    "batch_size": ("hf",),
    "chat_template_args": ("hf", "vllm", "endpoint"),
    "thinking": ("hf", "vllm", "endpoint"),
    "base_url": ("endpoint",),
    "tokenizer": ("endpoint",),
    "base": ("hf", "vllm"),
    "allow_pickle": ("hf", "vllm"),
    "trust_remote_code": ("hf", "vllm"),
}
"""Options that mean something to some backends only. Elsewhere they are refused, not ignored."""


@dataclass(frozen=True, slots=True)
class HfSettings:
    """`--backend-args` of the hf backend.

    Attributes:
        engine: `plain` keeps the fast engine for CPUs out.
    """

    engine: Literal["auto", "plain"] = "auto"


@dataclass(frozen=True, slots=True)
class NoSettings:
    """`--backend-args` of a backend that takes none."""


def load_model(options: argparse.Namespace, tasks: Sequence[Task], data: Path) -> Model:
    """The model that the options name, or several workers with copies of it.

    Args:
        options: Of `redone-eval`.
        tasks: Those of the run (for canned answers).
        data: The data folder.

    Raises:
        RedoneError: An option that the backend has not, or a model that cannot be used.
    """
    if options.workers is None:
        for name in ("ray_address", "gpus_per_worker"):
            if getattr(options, name) is not None:
                raise RedoneError(f"--{name.replace('_', '-')} needs --workers N.")
        return _one(options, tasks, data)
    from .workers import WorkersModel

    front = _one(options, tasks, data)
    # A table of answers travels as it is; a model is made where it works.
    build = (lambda: front) if front.backend == "scripted" else partial(_one, options, (), data)
    try:
        return WorkersModel(
            front,
            build,
            options.workers,
            address=options.ray_address,
            gpus=options.gpus_per_worker,
            gpus_if_any=_gpus(options),
        )
    except BaseException:
        front.close()
        raise


def _gpus(options: argparse.Namespace) -> float:
    """GPUs that a copy of the model uses where there are any."""
    if options.backend == "vllm":
        args = json_object("--backend-args", options.backend_args)
        sizes = (args.get(f"{name}_parallel_size", 1) for name in ("tensor", "pipeline"))
        return float(math.prod(n for n in sizes if isinstance(n, int)))
    return 1.0 if options.backend == "hf" and options.device != "cpu" else 0.0


def _one(options: argparse.Namespace, tasks: Sequence[Task], data: Path) -> Model:
    backend = options.backend
    if backend not in BACKENDS:
        raise UnknownName("backend", backend, BACKENDS)
    for name, backends in BELONGS.items():
        if backend not in backends and getattr(options, name) not in (None, "auto", False):
            raise RedoneError(
                f"--{name.replace('_', '-')} means nothing to the backend {backend} "
                f"(it does to {' and '.join(backends)}). Leave it out."
            )
    given = json_object("--backend-args", options.backend_args)
    if backend == "scripted":
        from .scripted import load

        settings_of(NoSettings, backend, given)
        return load(options.model, tasks, data)
    template = json_object("--chat-template-args", options.chat_template_args)
    if backend == "endpoint":
        from .endpoint import load as load_endpoint
        from .endpoint_options import EndpointOptions

        return load_endpoint(
            options.model,
            options.base_url,
            tokenizer=options.tokenizer,
            chat_template_args=template,
            thinking=options.thinking,
            options=settings_of(EndpointOptions, backend, given),
        )
    trust = Trust(pickles=options.allow_pickle, code=options.trust_remote_code)
    if backend == "vllm":
        from .vllm import VllmModel

        return VllmModel(
            options.model,
            dtype=options.dtype,
            chat_template_args=template,
            thinking=options.thinking,
            args=given,
            base=options.base,
            trust=trust,
        )
    from .hf import HfModel

    size = options.batch_size
    batch: Any = int(size) if size.isdecimal() else size
    return HfModel(
        options.model,
        dtype=options.dtype,
        device=options.device,
        batch_size=batch,
        chat_template_args=template,
        thinking=options.thinking,
        engine=settings_of(HfSettings, backend, given).engine,
        base=options.base,
        trust=trust,
    )
