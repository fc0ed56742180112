"""The `hf` backend: a transformers model in this process, on CPU or GPU.

Two engines: the fast one of `cpu/` where it supports the model, transformers' own `generate`
otherwise (any causal model, any device).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...tasks.errors import RedoneError
from ...tasks.schema import Completion, Request, Settings
from ..machine import give_way_when_busy, is_out_of_memory
from .batching import generate, padded, score_logits, try_batching
from .checkpoint import LocalModel
from .rows import Engine, Row, check_finite, draw, fresh, generator, halved, summed

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


WINDOW = 4096
"""Requests looked at together: long enough to find what prompts share, short enough to hold."""
FAST_BATCH = 32
"""Rows decoded together on a CPU: from here on a step's time grows with its rows."""


class HfModel(LocalModel):
    """A causal language model of transformers.

    Weights are loaded at the first `run` (or by `load`); a wrong path, format or setting is
    reported by the constructor.

    Args:
        path: Model folder, GGUF file, or folder of a LoRA adapter.
        batch_size: Rows decoded together; `auto` by device.
        engine: `plain`: always transformers' own `generate`.
        local: As for `LocalModel`.

    Raises:
        RedoneError: Folder, weights, dtype or chat template cannot be used.
    """

    backend = "hf"

    def __init__(
        self,
        path: str | Path,
        *,
        batch_size: int | Literal["auto"] = "auto",
        engine: Literal["auto", "plain"] = "auto",
        **local: Any,
    ) -> None:
        if batch_size != "auto" and (not isinstance(batch_size, int) or batch_size < 1):
            raise RedoneError(
                f"Batch size {batch_size!r}: expected 'auto' or a whole number from 1."
            )
        give_way_when_busy()
        super().__init__(path, **local)
        self._batch_size: int | Literal["auto"] = batch_size
        self._plain = engine == "plain"
        self._engine: Engine | None = None

    def environment(self) -> dict[str, Any]:
        """How it is computed, which is known only once the weights are loaded."""
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
            **({"notes": notes} if (notes := self.notes) else {}),
            **engine.describe(),
        }

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
            if not is_out_of_memory(error):
                raise
            raise RedoneError(
                f"The weights of {self.name} do not fit into the memory of "
                f"{self._checkpoint.device} as {self._checkpoint.dtype}. "
                "Use --dtype bfloat16, another device, or a smaller model."
            ) from error

    def run(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Completion]]:
        """Complete requests, a window of them at a time; in a window in the order of completion."""
        source = iter(requests)
        while window := list(islice(source, WINDOW)):
            self.load()
            assert self._engine is not None
            yield from self._run(self._engine, window)

    def close(self) -> None:
        """Drop weights and caches."""
        self._engine = None
        gc.collect()
        _empty_cuda_cache()

    def _choose_engine(self) -> Engine:
        from .cpu.decoder import unsupported
        from .cpu.engine import FastEngine

        checkpoint, size = self._checkpoint, self._batch_size
        kind, model = checkpoint.device.type, checkpoint.load()
        reason = f"on {kind}" if kind != "cpu" else unsupported(model)
        if self._plain:
            reason = "requested"
        if reason is None:
            engine = FastEngine.of(model, FAST_BATCH if size == "auto" else size)
            if engine is not None:
                return engine
            model, reason = checkpoint.load(), "decoder differs"
        if size == "auto":
            size = 8 if kind == "cpu" else 64
        return PlainEngine(model, checkpoint.pad, size, reason, checkpoint.context)

    def _run(self, engine: Engine, window: list[Request]) -> Iterator[tuple[Request, Completion]]:
        kinds = ("generate", "loglikelihood", "rolling")
        generate, score, rolling = ([r for r in window if r.kind == kind] for kind in kinds)
        for row in engine.generate(self._generations(generate)):
            yield row.request, row.completion()
        for row in engine.score([row for r in score for row in self._scored(r)]):
            yield row.request, row.completion()
        for request in rolling:
            done = list(engine.score(self._scored(request)))
            yield (
                request,
                Completion(
                    text="",
                    prompt_tokens=sum(row.scored for row in done),
                    seconds=sum(row.completion().seconds for row in done),
                    logprob=sum(row.logprob for row in done),
                    greedy=all(row.greedy for row in done),
                ),
            )

    def _generations(self, requests: list[Request]) -> list[Row]:
        rendered = [self._renderer.render(r.prompt) for r in requests]
        encoded = self._renderer.encode(rendered)
        rows = []
        for request, prompt, ids in zip(requests, rendered, encoded, strict=True):
            settings = self._renderer.ended(request.settings)
            if isinstance(request.prompt, str):
                ids = self._last(ids, settings)
            room = None if self.context is None else self.context - len(ids)
            answer = self._answer(settings, prompt.opened, room)
            source = generator(request.seed) if settings.temperature > 0 else None
            rows.append(Row(request, ids or [self._renderer.first_token], answer, source=source))
        return rows

    def _scored(self, request: Request) -> list[Row]:
        windows = self._renderer.scored_windows(request, self._most_scored)
        return [Row(request, ids, scored=scored) for ids, scored in windows]

    def _last(self, ids: list[int], settings: Settings) -> list[int]:
        """The end of a text that is too long for the context, cut as lm-eval does."""
        if self.context is None:
            return ids
        kept = self.context - settings.max_tokens - settings.max_thinking_tokens
        return ids[-kept:] if 0 < kept < len(ids) else ids


class PlainEngine:
    """transformers' own `generate` over static batches, left-padded, sorted by length.

    Args:
        model: A causal language model.
        pad: Id that pads shorter prompts; it is masked, so any id will do.
        batch_size: Rows at a time; halved whenever memory runs out.
        reason: Why the fast engine is not used; recorded in run.json.
        context: Tokens that prompt and answer may have together, None: any number.

    Raises:
        RedoneError: The model is no causal language model, or its logits are not finite.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        pad: int,
        batch_size: int,
        reason: str,
        context: int | None = None,
    ) -> None:
        from transformers import GenerationConfig

        self._model, self._pad, self.batch_size, self._reason = model, pad, batch_size, reason
        # A checkpoint's recommended penalties and temperatures are no part of a request.
        model.generation_config = GenerationConfig()
        self._batching = try_batching(model, pad, context)

    def describe(self) -> dict[str, Any]:
        return {
            "path": f"plain ({self._reason})",
            "batches": self._batching.together,
            "arithmetic": str(self._model.dtype).removeprefix("torch."),
        }

    def generate(self, rows: list[Row]) -> Iterator[Row]:
        yield from self._batches(rows, self._generate)

    def score(self, rows: list[Row]) -> Iterator[Row]:
        yield from (row for row in rows if not row.scored)
        yield from self._batches([row for row in rows if row.scored], self._score)

    def _batches(self, rows: list[Row], run: Callable[[list[Row]], None]) -> Iterator[Row]:
        waiting = sorted(rows, key=lambda row: len(row.ids))  # taken from the end: longest first
        while waiting:
            batch = self._take(waiting)
            for row in batch:
                row.start()
            try:
                run(batch)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self.batch_size = halved(len(batch), error)
                _empty_cuda_cache()
                # Unfinished answers start again: a draw must not depend on where memory ran out.
                waiting += [fresh(row) for row in reversed(batch)]
                continue
            yield from batch

    def _take(self, waiting: list[Row]) -> list[Row]:
        batch = [waiting.pop()]
        while waiting and len(batch) < self.batch_size:
            if not self._batching.admits(batch, waiting[-1]):
                break
            batch.append(waiting.pop())
        return batch

    def _forget(self) -> None:
        """Make the model read a short text, behind which it remembers no longer one."""
        if self._batching.remembers:
            score_logits(self._model, [[self._pad]], self._pad)

    def _generate(self, rows: list[Row]) -> None:
        import torch

        live = [row for row in rows if row.open]
        if not live:
            return
        ids, mask = padded([row.ids for row in live], self._pad, self._model.device, left=True)
        most = max(row.answer.limit for row in live if row.answer)
        with torch.inference_mode():
            self._forget()
            processors, ends = [_choose(live)], [_stop(live)]
            generate(self._model, ids, mask, self._pad, most, processors, stopping_criteria=ends)

    def _score(self, rows: list[Row]) -> None:
        import torch

        with torch.inference_mode():
            self._forget()
            # The last token is only looked up: its own logits are not needed.
            logits = score_logits(self._model, [row.ids[:-1] for row in rows], self._pad)
        for i, row in enumerate(rows):
            end = len(row.ids)
            summed([row], [logits[i, end - row.scored - 1 : end - 1]])


def _choose(rows: Sequence[Row]) -> Callable[[Tensor, Tensor], Tensor]:
    """A logits processor that leaves sampling rows one token: the one that was drawn for them."""

    def choose(_: Tensor, scores: Tensor) -> Tensor:
        live = [i for i, row in enumerate(rows) if row.open]
        some = scores if len(live) == len(rows) else scores[live]
        check_finite(some.float(), [rows[i] for i in live])
        for i, row in enumerate(rows):
            if row.source is not None and row.open:
                token = draw(scores[i], row.request.settings, row.source)
                scores[i] = float("-inf")
                scores[i, token] = 0.0
        return scores

    return choose


def _stop(rows: Sequence[Row]) -> Callable[..., Tensor]:
    """A stopping criterion that adds each row's newest token to its answer."""
    import torch

    def stop(ids: Tensor, _: Tensor, **__: Any) -> Tensor:
        for row, token in zip(rows, ids[:, -1].tolist(), strict=True):
            if row.open and row.answer:
                row.answer.add(token)
        return torch.tensor([not row.open for row in rows], device=ids.device)

    return stop


def _empty_cuda_cache() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
