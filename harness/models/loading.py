"""Which model, and how it is run: `load_model` makes the model of a `ModelConfig`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from ...tasks.errors import RedoneError, UnknownName

if TYPE_CHECKING:
    from ...tasks.task import Task
    from .base import Model, Thinking


BACKENDS = ("hf", "vllm", "endpoint", "scripted")
ONLY_FOR = {
    "dtype": ("hf", "vllm"),
    "device": ("hf",),
    "batch_size": ("hf",),
    "chat_template_args": ("hf", "vllm", "endpoint"),
    "chat_template": ("hf", "vllm", "endpoint"),
    "thinking": ("hf", "vllm", "endpoint"),
    "base_url": ("endpoint",),
    "tokenizer": ("endpoint",),
    "base": ("hf", "vllm"),
    "allow_pickle": ("hf", "vllm"),
    "trust_remote_code": ("hf", "vllm"),
}
"""Options of some backends only. With another backend they are refused, not ignored."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which model answers, and how it is run. The fields are the options of `redone eval`.

    Attributes:
        model: Folder, GGUF file or LoRA adapter; `endpoint`: the server's name of the model;
            `scripted`: `gold`, `empty`, `everything`, or a file of predictions.
        backend: `hf`, `vllm`, `endpoint` or `scripted`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        device: `cpu`, `cuda`, `cuda:1`; None: cuda if there is any.
        batch_size: `auto` or a number.
        base: The model below a LoRA adapter; None: as the adapter names it.
        allow_pickle: Load weights saved as pickles.
        trust_remote_code: Import Python files that come with the model.
        chat_template_args: Arguments of the chat template.
        chat_template: Name of one of the tokenizer's chat templates, or a file with one.
        thinking: `auto` (as the chat template does by itself), `on` or `off`.
        thinking_marks: Opening and closing mark of thinking, beside the known ones.
        backend_args: Settings that only one backend has.
        base_url: Of the server (endpoint).
        tokenizer: Folder of the model's tokenizer (endpoint); prompts are then rendered here.
        workers: Copies of the model that share the work; None: one, in this process.
        ray_address: Ray cluster of the workers; None: this machine alone.
        gpus_per_worker: None: what the backend uses, where there are GPUs.
    """

    model: str
    backend: str = "hf"
    dtype: str = "auto"
    device: str | None = None
    batch_size: str = "auto"
    base: str | None = None
    allow_pickle: bool = False
    trust_remote_code: bool = False
    chat_template_args: Mapping[str, Any] = field(default_factory=dict)
    chat_template: str | None = None
    thinking: Thinking = "auto"
    thinking_marks: Sequence[str] | None = None
    backend_args: Mapping[str, Any] = field(default_factory=dict)
    base_url: str | None = None
    tokenizer: str | None = None
    workers: int | None = None
    ray_address: str | None = None
    gpus_per_worker: float | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ModelConfig:
        """From parsed command-line options by name; other options are ignored."""
        found = {f.name: options[f.name] for f in fields(cls) if f.name in options}
        for name in ("chat_template_args", "backend_args"):
            found[name] = json_object(f"--{name.replace('_', '-')}", found.get(name))
        return cls(**found)


class NoArgs(BaseModel):
    """`--backend-args` of a backend that takes none."""


class HfArgs(BaseModel):
    """`--backend-args` of the hf backend.

    Attributes:
        engine: `plain`: always transformers' own `generate`.
        context: Tokens of prompt and answer together, in place of what the folder says.
    """

    engine: Literal["auto", "plain"] = "auto"
    context: int | None = Field(default=None, ge=2)


A = TypeVar("A", bound=BaseModel)


def checked_args(kind: type[A], backend: str, given: Mapping[str, Any]) -> A:
    """The settings of a backend (`--backend-args`), their names and values checked.

    Raises:
        UnknownName: A name that the backend does not have.
        RedoneError: A value that it does not take.
    """
    if given and not kind.model_fields:
        raise RedoneError(f"The backend {backend} takes no --backend-args.")
    for name in given:
        if name not in kind.model_fields:
            raise UnknownName(f"name in --backend-args of {backend}", name, kind.model_fields)
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = f", {first['loc'][0]}: {first['input']!r}" if first["loc"] else ""
        raise RedoneError(f"--backend-args{name}: {first['msg']}.") from None


def json_object(option: str, text: str | None) -> dict[str, Any]:
    """The JSON object that an option was given, {} without one.

    Raises:
        RedoneError: It is something else.
    """
    try:
        value = json.loads(text or "{}")
        if not isinstance(value, dict):
            raise ValueError("an object is expected")
    except (ValueError, RecursionError) as error:
        raise RedoneError(f"{option} {text!r}: {error}.") from None
    return value


def load_model(config: ModelConfig, tasks: Sequence[Task] = (), data: Path = Path()) -> Model:
    """The model of a configuration, or several workers with copies of it.

    Args:
        config: Which one, and how it is run.
        tasks: Those of the run (for scripted answers).
        data: The data folder.

    Raises:
        RedoneError: An option that the backend does not have, or a model that cannot be used.
    """
    if config.workers is None:
        for name in ("ray_address", "gpus_per_worker"):
            if getattr(config, name) is not None:
                raise RedoneError(f"--{name.replace('_', '-')} needs --workers N.")
        return _one(config, tasks, data)
    from .workers import WorkersModel

    front = _one(config, tasks, data)
    # A table of answers is sent to the workers; any other model is made by each of them.
    build = (lambda: front) if front.backend == "scripted" else partial(_one, config, (), data)
    try:
        return WorkersModel(
            front,
            build,
            config.workers,
            address=config.ray_address,
            gpus=config.gpus_per_worker,
            gpus_if_any=_gpus(config),
        )
    except BaseException:
        front.close()
        raise


def _gpus(config: ModelConfig) -> float:
    """GPUs that a copy of the model uses if the machine has GPUs."""
    if config.backend == "vllm":
        args = dict(config.backend_args)
        sizes = (args.get(f"{name}_parallel_size", 1) for name in ("tensor", "pipeline"))
        return float(math.prod(n for n in sizes if isinstance(n, int)))
    return 1.0 if config.backend == "hf" and config.device != "cpu" else 0.0


def _one(config: ModelConfig, tasks: Sequence[Task], data: Path) -> Model:
    backend = config.backend
    if backend not in BACKENDS:
        raise UnknownName("backend", backend, BACKENDS)
    for name, backends in ONLY_FOR.items():
        if backend not in backends and getattr(config, name) not in (None, "auto", False, {}):
            raise RedoneError(
                f"--{name.replace('_', '-')} does not apply to the backend {backend} "
                f"(only to {' and '.join(backends)}). Leave it out."
            )
    args, template = config.backend_args, config.chat_template_args
    if backend == "scripted":
        from .scripted import load

        checked_args(NoArgs, backend, args)
        return load(config.model, tasks, data, config.thinking_marks)
    if backend == "endpoint":
        from .endpoint import EndpointModel, EndpointOptions, key_from

        return EndpointModel(
            config.model,
            config.base_url,
            tokenizer=config.tokenizer,
            chat_template_args=template,
            chat_template=config.chat_template,
            thinking=config.thinking,
            thinking_marks=config.thinking_marks,
            options=checked_args(EndpointOptions, backend, args),
            key=key_from(),
        )
    from .files import Trust

    shared: dict[str, Any] = {
        "dtype": config.dtype,
        "chat_template_args": template,
        "chat_template": config.chat_template,
        "thinking": config.thinking,
        "thinking_marks": config.thinking_marks,
        "base": config.base,
        "trust": Trust(pickles=config.allow_pickle, code=config.trust_remote_code),
    }
    if backend == "vllm":
        from .vllm import VllmModel

        return VllmModel(config.model, args=args, **shared)
    from .hf import HfModel

    size, own = config.batch_size, checked_args(HfArgs, backend, args)
    return HfModel(
        config.model,
        device=config.device,
        batch_size=int(size) if size.isdecimal() else size,  # type: ignore[arg-type]
        engine=own.engine,
        context=own.context,
        **shared,
    )
