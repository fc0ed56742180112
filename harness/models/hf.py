"""The `hf` backend: a transformers model in this process, on CPU or GPU."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from ...tasks.errors import RedoneError, UnknownName
from ...tasks.schema import Completion, Request, Settings
from .answer import Answer
from .base import Thinking
from .checkpoint import Checkpoint
from .memory import is_out_of_memory
from .model_files import Trust
from .rendering import Renderer
from .rows import Engine, Row
from .sampling import generator
from .threads import give_way_when_busy

DTYPES = ("auto", "float32", "bfloat16", "float16")
WINDOW = 4096
"""Requests looked at together: long enough to find what prompts share, short enough to hold."""
FAST_BATCH = 32
"""Rows decoded together on a CPU: from here on a step's time grows with its rows."""


class HfModel:
    """A causal language model of transformers.

    On a CPU the architectures that `Decoder` knows run on the fast engine, everything else on
    transformers' own `generate`. Weights are loaded at the first `run` (or by `load`); a wrong
    path, format or setting is reported by the constructor.

    Args:
        path: Model folder, GGUF file, or folder of a LoRA adapter.
        dtype: Of the weights; `auto` is the checkpoint's own.
        device: A torch device; None: a GPU if there is one.
        batch_size: Rows decoded together; `auto` by device.
        chat_template_args: Extra arguments of the chat template.
        thinking: Thinking mode, for templates that have one.
        seed: Of sampling for requests that bring none.
        engine: `plain` keeps the fast engine out.
        base: The model below an adapter.
        trust: What of the model's files may run as a program.

    Raises:
        RedoneError: Folder, weights, dtype or chat template cannot be used.
    """

    backend = "hf"

    def __init__(
        self,
        path: str | Path,
        *,
        dtype: str = "auto",
        device: str | None = None,
        batch_size: int | Literal["auto"] = "auto",
        chat_template_args: Mapping[str, Any] | None = None,
        thinking: Thinking = "auto",
        seed: int = 0,
        engine: Literal["auto", "plain"] = "auto",
        base: str | None = None,
        trust: Trust | None = None,
    ) -> None:
        if dtype not in DTYPES:
            raise UnknownName("dtype", dtype, DTYPES)
        if thinking not in get_args(Thinking):
            raise UnknownName("thinking mode", thinking, get_args(Thinking))
        if batch_size != "auto" and (not isinstance(batch_size, int) or batch_size < 1):
            raise RedoneError(
                f"Batch size {batch_size!r}: expected 'auto' or a whole number from 1."
            )
        self.name = str(path)
        give_way_when_busy()
        self._checkpoint = Checkpoint(self.name, dtype, device, base=base, trust=trust)
        self._renderer = Renderer(self._checkpoint.tokenizer, chat_template_args or {}, thinking)
        self._thinking: Thinking = thinking
        self._batch_size: int | Literal["auto"] = batch_size
        self._seed = seed
        self._plain = engine == "plain"
        self._engine: Engine | None = None
        self.context: int | None = self._checkpoint.context
        self.thinks = self._renderer.thinks

    def identity(self) -> dict[str, Any]:
        """What changes an answer."""
        return {
            "model": self._checkpoint.files.fingerprint(),
            "chat_template": self._renderer.template_hash,
            "chat_template_args": dict(sorted(self._renderer.arguments.items())),
            "thinking": self._thinking,
        }

    def environment(self) -> dict[str, Any]:
        """How it is computed. Loads the weights: only then is it known."""
        import torch
        import transformers

        self.load()
        engine = self._engine
        assert engine is not None
        return {
            "backend": self.backend,
            "dtype": str(self._checkpoint.dtype).removeprefix("torch."),
            "device": str(self._checkpoint.device),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "threads": torch.get_num_threads(),
            "batch_size": engine.batch_size,
            **engine.describe(),
        }

    def overflow(self, request: Request) -> int:
        """By how many tokens prompt and limits exceed the context; 0 or less: they fit."""
        return self._renderer.overflow(request, self.context)

    def load(self) -> None:
        """Load the weights and choose the engine, unless that is done.

        Raises:
            RedoneError: The weights cannot be read, or do not fit into memory.
        """
        if self._engine is not None:
            return
        try:
            self._engine = self._choose_engine()
        except Exception as error:
            if is_out_of_memory(error):
                raise RedoneError(
                    f"The weights of {self.name} do not fit into the memory of "
                    f"{self._checkpoint.device} as {self._checkpoint.dtype}. "
                    "Use --dtype bfloat16, another device, or a smaller model."
                ) from error
            raise

    def run(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Completion]]:
        """Complete requests in windows; within one, whatever is done first comes first."""
        source = iter(requests)
        while window := list(islice(source, WINDOW)):
            self.load()
            yield from self._run(window)

    def close(self) -> None:
        """Drop weights and caches."""
        self._engine = None
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _choose_engine(self) -> Engine:
        from .decoder import unsupported
        from .engine import FastEngine
        from .plain import PlainEngine

        checkpoint, size = self._checkpoint, self._batch_size
        model = checkpoint.load()
        if self._plain:
            reason = "asked for"
        elif checkpoint.device.type != "cpu":
            reason = f"on {checkpoint.device.type}"
        else:
            reason = unsupported(model)
        if reason is None:
            engine = FastEngine.of(model, FAST_BATCH if size == "auto" else size)
            if engine is not None:
                return engine
            model, reason = checkpoint.load(), "decoder differs"
        if size == "auto":
            size = 8 if checkpoint.device.type == "cpu" else 64
        return PlainEngine(model, checkpoint.pad, size, reason)

    def _run(self, window: list[Request]) -> Iterator[tuple[Request, Completion]]:
        engine = self._engine
        assert engine is not None
        for row in engine.generate(self._generations([r for r in window if r.kind == "generate"])):
            yield row.request, row.completion()
        scored = [self._scoring(r) for r in window if r.kind == "loglikelihood"]
        for row in engine.score(scored):
            yield row.request, row.completion()
        for request in window:
            if request.kind == "rolling":
                yield request, self._rolling(engine, request)

    def _generations(self, requests: list[Request]) -> list[Row]:
        rendered = [self._renderer.render(r.prompt) for r in requests]
        encoded = self._renderer.encode(rendered)
        rows = []
        for request, prompt, ids in zip(requests, rendered, encoded, strict=True):
            settings = request.settings
            if isinstance(request.prompt, str):
                ids = self._last(ids, settings)
            room = None if self.context is None else self.context - len(ids)
            answer = Answer(
                settings, self._renderer.decode, self._checkpoint.eos, prompt.opened, room
            )
            seed = self._seed if request.seed is None else request.seed
            source = generator(seed) if settings.temperature > 0 else None
            rows.append(Row(request, ids or [self._renderer.first_token], answer, source=source))
        return rows

    def _scoring(self, request: Request) -> Row:
        # The last token is only looked up, so it needs no place in the context.
        most = None if self.context is None else self.context + 1
        ((ids, scored),) = self._renderer.scored_windows(request, most)
        return Row(request, ids, scored=scored)

    def _last(self, ids: list[int], settings: Settings) -> list[int]:
        """The end of a text that is too long to be answered: what lm-eval keeps of it."""
        if self.context is None:
            return ids
        kept = self.context - settings.max_tokens - settings.max_thinking_tokens
        return ids[-kept:] if 0 < kept < len(ids) else ids

    def _rolling(self, engine: Engine, request: Request) -> Completion:
        most = None if self.context is None else self.context + 1
        windows = self._renderer.scored_windows(request, most)
        rows = [Row(request, ids, scored=scored) for ids, scored in windows]
        done = list(engine.score(rows))
        return Completion(
            text="",
            prompt_tokens=sum(scored for _, scored in windows),
            seconds=sum(row.completion().seconds for row in done),
            logprob=sum(row.logprob for row in done),
            greedy=all(row.greedy for row in done),
        )
