"""The plain engine: transformers' own `generate`, for any causal model on any device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...tasks.errors import RedoneError
from .memory import is_out_of_memory
from .rows import Row, fresh, summed
from .sampling import draw

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


class PlainEngine:
    """Static batches, left-padded, sorted by length.

    Args:
        model: A causal language model.
        pad: Id that fills up shorter prompts; it is masked, so any will do.
        batch_size: Rows at a time; halved whenever memory runs out.
        reason: Why this engine is used, for the record.
    """

    def __init__(self, model: PreTrainedModel, pad: int, batch_size: int, reason: str) -> None:
        from transformers import GenerationConfig

        self._model, self._pad, self.batch_size, self._reason = model, pad, batch_size, reason
        # What a checkpoint recommends (penalties, temperatures) is no part of a request.
        model.generation_config = GenerationConfig()
        self._no_padding = bool(getattr(model, "_is_stateful", False))

    def describe(self) -> dict[str, Any]:
        return {
            "path": f"plain ({self._reason})",
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
                self._shrink(len(batch), error)
                # Half-made answers are made again: a draw must not depend on where memory ended.
                waiting += [fresh(row) for row in reversed(batch)]
                continue
            yield from batch

    def _take(self, waiting: list[Row]) -> list[Row]:
        size = min(self.batch_size, len(waiting))
        if self._no_padding:  # a recurrent state would take the padding in
            longest = len(waiting[-1].ids)
            alike = sum(len(row.ids) == longest for row in waiting[-size:])
            size = max(1, alike)
        batch = waiting[-size:][::-1]
        del waiting[-size:]
        return batch

    def _shrink(self, size: int, error: BaseException) -> None:
        import gc

        import torch

        if size <= 1:
            raise RedoneError(
                f"Out of memory with a single row ({str(error)[:200]}). Use a smaller model, "
                "--dtype bfloat16, or a smaller --max-tokens."
            ) from error
        self.batch_size = max(1, size // 2)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _padded(self, texts: Sequence[list[int]], left: bool) -> tuple[Tensor, Tensor]:
        """Ids and attention mask, shape [rows, longest]."""
        import torch

        width = max(map(len, texts))
        ids = torch.full((len(texts), width), self._pad)
        mask = torch.zeros((len(texts), width), dtype=torch.long)
        for i, text in enumerate(texts):
            where = slice(width - len(text), width) if left else slice(0, len(text))
            ids[i, where] = torch.tensor(text)
            mask[i, where] = 1
        device = self._model.device
        return ids.to(device), mask.to(device)

    def _generate(self, rows: list[Row]) -> None:
        import torch
        from transformers import GenerationConfig

        live = [row for row in rows if row.answer and row.answer.finish is None]
        if not live:
            return
        ids, mask = self._padded([row.ids for row in live], left=True)
        config = GenerationConfig(
            max_new_tokens=max(row.answer.limit for row in live if row.answer),
            do_sample=False,
            use_cache=True,
            pad_token_id=self._pad,
        )
        with torch.inference_mode():
            self._model.generate(  # type: ignore[operator]
                input_ids=ids,
                attention_mask=mask,
                generation_config=config,
                logits_processor=[_choose(live)],
                stopping_criteria=[_stop(live)],
            )

    def _score(self, rows: list[Row]) -> None:
        import torch

        # The last token is only looked up: what follows it is not asked.
        ids, mask = self._padded([row.ids[:-1] for row in rows], left=False)
        with torch.inference_mode():
            logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        for i, row in enumerate(rows):
            end = len(row.ids)
            summed([row], [logits[i, end - row.scored - 1 : end - 1]])


def _choose(rows: Sequence[Row]) -> Callable[[Tensor, Tensor], Tensor]:
    """A logits processor that leaves sampling rows one token: the one that their own draw chose."""

    def choose(_: Tensor, scores: Tensor) -> Tensor:
        for i, row in enumerate(rows):
            if row.source is not None and row.answer and row.answer.finish is None:
                token = draw(scores[i], row.request.settings, row.source)
                scores[i] = float("-inf")
                scores[i, token] = 0.0
        return scores

    return choose


def _stop(rows: Sequence[Row]) -> Callable[..., Tensor]:
    """A stopping criterion that shows each row's newest token to its answer."""
    import torch

    def stop(ids: Tensor, _: Tensor, **__: Any) -> Tensor:
        for row, token in zip(rows, ids[:, -1].tolist(), strict=True):
            if row.answer and row.answer.finish is None:
                row.answer.add(token)
        done = [row.answer is None or row.answer.finish is not None for row in rows]
        return torch.tensor(done, device=ids.device)

    return stop
