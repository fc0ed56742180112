"""Which rows may share a batch of transformers' `generate` without changing each other's answers.

Padding must not be seen, and it is in some architectures: recurrent states and linear attention
take it in, rotary frequencies may depend on the longest row. Names of architectures do not say it,
so the model is tried: the same rows alone, padded, and beside a row of the same length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...tasks.errors import RedoneError
from .rows import Row, check_finite

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


_LONG, _SHORT = 40, 9  # tokens of the rows that are tried
_STEPS = 3  # tokens that are generated behind them
_NOISE = {"float32": 1e-3}  # of the logits' norm: rounding stays below
_NOISE_16 = 0.05  # a router of experts that is nearly undecided may turn with the rounding
_PADDED_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
"""Kinds of layers that have masks only; others carry states."""


@dataclass(frozen=True, slots=True)
class Batching:
    """The rule of one model.

    Attributes:
        together: `padded`: any rows; `equal`: rows of the same length; `alone`: none.
        original: Positions after which rotary frequencies depend on the longest row; None: never.
        remembers: Whether frequencies depend on earlier batches as well.
    """

    together: str = "padded"
    original: int | None = None
    remembers: bool = False

    def admits(self, batch: Sequence[Row], row: Row) -> bool:
        """Whether a row that is no longer than those in a batch may join them."""
        if not batch:
            return True
        if self.together == "alone":
            return False
        longest = len(batch[0].ids)
        if len(row.ids) == longest:
            return True
        if self.together == "equal":
            return False
        # Finished rows stay in the batch, and their positions go on.
        limits = (r.answer.limit for r in (*batch, row) if r.answer is not None)
        return self.original is None or longest + max(limits, default=0) <= self.original


def try_batching(model: PreTrainedModel, pad: int, context: int | None = None) -> Batching:
    """Find the rule of a model.

    Args:
        model: In evaluation mode.
        pad: Id that pads shorter rows.
        context: Tokens that prompt and answer may have together, None: any number.

    Raises:
        RedoneError: Its logits are not finite, or it sees the tokens behind a position, as encoders
            do.
    """
    import torch

    config: Any = model.config
    size = int(getattr(config.get_text_config(), "vocab_size", 0) or 256)
    most = min(_LONG, (context or _LONG + _STEPS) - _STEPS)
    ids = [(i * 37 + 11) % size for i in range(_LONG + _SHORT)]
    long, short = ids[:most], ids[_LONG : _LONG + max(1, min(_SHORT, most // 2))]
    other = [(i + 1) % size for i in short]
    with torch.inference_mode():
        alone = score_logits(model, [long], pad)[0]
        check_finite(alone)
        half = most // 2
        changed = score_logits(model, [long[:half] + long[: most - half]], pad)[0]
        if not _close(changed[:half], alone[:half], model):
            raise RedoneError(
                f"{model.name_or_path or type(model).__name__} is no causal language model "
                f"({config.model_type}): what it predicts depends on the tokens that follow, as in "
                "encoders. Give a decoder-only model."
            )
        together = _together(model, pad, long, short, other)
    original, remembers = _rotary(config)
    return Batching(together, original, remembers)


def _together(model: Any, pad: int, long: list[int], short: list[int], other: list[int]) -> str:
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    right = _both(model, [short], pad)
    stateful = bool(getattr(model, "_is_stateful", False)) or not kinds <= _PADDED_LAYERS
    ways = {"padded": [long, short], "equal": [other, short]}
    for name, rows in ways.items():
        if name == "padded" and stateful:
            continue
        found = _both(model, rows, pad)
        if all(_close(a, b, model) for a, b in zip(found, right, strict=True)):
            return name
    return "alone"


def _both(model: Any, rows: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Logits of the last row: of its own tokens, and of some that are generated."""
    import torch

    read = score_logits(model, rows, pad)[-1, : len(rows[-1])]
    ids, mask = padded(rows, pad, model.device, left=True)
    forced = iter(range(1, _STEPS + 1))

    def force(_: Tensor, scores: Tensor) -> Tensor:
        token = next(forced) % scores.shape[-1]
        return torch.full_like(scores, float("-inf")).index_fill(
            1, torch.tensor([token], device=scores.device), 0.0
        )

    written = generate(model, ids, mask, pad, _STEPS, [force], logits=True)
    return read, torch.stack([step[-1] for step in written.logits])


def generate(
    model: Any,
    ids: Tensor,
    mask: Tensor,
    pad: int,
    most: int,
    processors: list[Callable[..., Tensor]],
    logits: bool = False,
    **options: Any,
) -> Any:
    """The model's own `generate`, greedy but for what the processors choose."""
    from transformers import GenerationConfig

    config = GenerationConfig(
        max_new_tokens=most,
        do_sample=False,
        use_cache=True,
        pad_token_id=pad,
        output_logits=logits,
        return_dict_in_generate=logits,
    )
    return model.generate(
        input_ids=ids,
        attention_mask=mask,
        generation_config=config,
        logits_processor=processors,
        **options,
    )


def score_logits(model: Any, rows: Sequence[list[int]], pad: int) -> Tensor:
    """Logits at every token, shape [rows, longest, vocabulary]."""
    ids, mask = padded(rows, pad, model.device, left=False)
    return model(input_ids=ids, attention_mask=mask, use_cache=False).logits


def padded(
    rows: Sequence[list[int]], pad: int, device: Any, *, left: bool
) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, shape [rows, longest]."""
    import torch

    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        where = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, where] = torch.tensor(row)
        mask[i, where] = 1
    return ids.to(device), mask.to(device)


def _close(a: Tensor, b: Tensor, model: Any) -> bool:
    a, b = a.double(), b.double()
    noise = _NOISE.get(str(model.dtype).removeprefix("torch."), _NOISE_16)
    return float((a - b).norm()) <= noise * float(b.norm())


def _rotary(config: Any) -> tuple[int | None, bool]:
    """From which position rotary frequencies depend on the longest row, and if on earlier ones."""
    found: list[tuple[str, int]] = []
    for part in (config, config.get_text_config()):
        given = getattr(part, "rope_parameters", None) or getattr(part, "rope_scaling", None) or {}
        # One for all layers, or one for each kind of layer.
        for rope in (given, *given.values()):
            if isinstance(rope, dict):
                kind = str(rope.get("rope_type", rope.get("type", "default")))
                own = rope.get("original_max_position_embeddings")
                own = own or getattr(part, "original_max_position_embeddings", None)
                found.append((kind, own or getattr(part, "max_position_embeddings", None) or 0))
    changing = [(k, n) for k, n in found if "dynamic" in k or k == "longrope"]
    original = min((n for _, n in changing), default=None)
    return original, any("dynamic" in kind for kind, _ in changing)
