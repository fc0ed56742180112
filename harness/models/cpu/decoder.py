"""A Llama-like decoder, computed straight from its weights, laid out for a CPU.

The modules of transformers spend, for a small batch on a CPU, much of their time outside the matrix
products. This one has the same arithmetic (RMS norm, rotary positions, grouped-query attention,
gated SiLU; Llama, Mistral, Qwen2 and Qwen3) in few calls: queries, keys and values by one matrix
product, gate and up by another, residuals added inside the products.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import thread_time
from timeit import repeat
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...machine import free_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedModel


Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, queries [tokens, heads, size], keys, values [tokens, key-value heads, size]) ->
[tokens, heads * size]."""

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
_FEW = 128  # tokens; above, the two orders of a matrix product are equally fast
_ROPES = {"default", "linear", "llama3", "yarn"}


def unsupported(model: PreTrainedModel) -> str | None:
    """Why a model cannot be computed here, None if it can."""
    config: Any = model.config
    if config.model_type not in MODEL_TYPES:
        return f"architecture {config.model_type}"
    if getattr(config, "quantization_config", None) is not None:
        return "quantized weights"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or (
        config.model_type == "mistral" and config.sliding_window is not None
    ):
        return "sliding-window attention"
    if config.hidden_act != "silu":
        return f"activation {config.hidden_act}"
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope not in _ROPES:
        return f"rotary positions of type {rope}"
    return None


class _Matrix:
    """A weight, shape [outputs, `inputs`], laid out for products with few rows and with many.

    Args:
        weight: In the dtype of the arithmetic; packed where that is faster.
        keep: Its values still change, so it is never packed.
    """

    bias: Tensor | None = None

    def __init__(self, weight: Tensor, keep: bool = False) -> None:
        self.inputs = weight.shape[1]
        self._packed = None if keep else _packed(weight)
        # Not kept twice.
        self._weight = weight if self._packed is None else torch.empty(0)

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Outputs [tokens, outputs], added to the residual if there is one."""
        if self._packed is not None:
            out = _packed_product(x, self._packed, self.bias)
            return out if residual is None else out.add_(residual)
        if len(x) > _FEW:
            out = _product(x, self._weight.t(), residual)
        else:
            # MKL's products of few rows come close to its peak only with the weights on the left.
            turned = None if residual is None else residual.t()
            out = _product(self._weight, x.contiguous().t(), turned).t()
        return out if self.bias is None else out.add_(self.bias)


class _Linear(_Matrix):
    """Linear layers that read the same inputs, as one."""

    def __init__(
        self, modules: list[torch.nn.Linear], dtype: torch.dtype, keep: bool = False
    ) -> None:
        super().__init__(torch.cat([_effective(m) for m in modules]).to(dtype), keep)
        biases = [m.bias for m in modules if m.bias is not None]
        self.bias = torch.cat([b.detach() for b in biases]).to(dtype) if biases else None
        self._stale = modules if keep and any(map(_adapted, modules)) else []
        if keep and not self._stale:
            # The model's parameters become views of these: an optimizer's updates are seen here.
            _share([m.weight for m in modules], self._weight)
            if self.bias is not None:
                _share(biases, self.bias)

    def refresh(self) -> None:
        """Merge the current adapters into the weights."""
        if self._stale:
            torch.cat([_effective(m) for m in self._stale], out=self._weight)


def _share(parameters: list[Any], whole: Tensor) -> None:
    """Make parameters views of one tensor with their concatenated values."""
    for parameter, part in zip(parameters, whole.split([len(p) for p in parameters]), strict=True):
        parameter.data = part


def _adapted(module: Any) -> bool:
    """Whether a linear layer carries a low-rank adapter of peft's."""
    return hasattr(module, "get_delta_weight")


def _effective(module: Any) -> Tensor:
    """The weight of a linear layer, adapters included."""
    weight = module.weight.detach()
    if _adapted(module):
        for name in module.active_adapters:
            weight = weight + module.get_delta_weight(name).detach()
    return weight


def _product(a: Tensor, b: Tensor, added: Tensor | None) -> Tensor:
    return torch.mm(a, b) if added is None else torch.addmm(added, a, b)


def _packed(weight: Tensor) -> Tensor | None:
    """The weight in oneDNN's own layout, None where that is not faster or cannot be had.

    oneDNN's products are faster with the weights packed once instead of at each call: in 16 bits on
    every processor, in float32 on AMD's (MKL's are faster on Intel's). The vendor decides and not a
    measurement, so that a machine rounds the same each time.
    """
    if weight.dtype == torch.float32 and _vendor() != "AuthenticAMD":
        return None
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, 256)
        _packed_product(torch.zeros(2, weight.shape[1], dtype=weight.dtype), packed)
    except (RuntimeError, AttributeError, NotImplementedError):
        return None
    return packed


def _packed_product(x: Tensor, packed: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


@cache
def _vendor() -> str:
    """The processor's `vendor_id`, "" if unknown."""
    try:
        found = re.search(r"^vendor_id\s*:(.*)$", Path("/proc/cpuinfo").read_text("utf-8"), re.M)
    except OSError:
        return ""
    return found[1].strip() if found else ""


class _Layer:
    def __init__(self, layer: Any, dtype: torch.dtype, keep: bool = False) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.qkv = _Linear([attention.q_proj, attention.k_proj, attention.v_proj], dtype, keep)
        self.out = _Linear([attention.o_proj], dtype, keep)
        self.gate_up = _Linear([mlp.gate_proj, mlp.up_proj], dtype, keep)
        self.down = _Linear([mlp.down_proj], dtype, keep)
        self.norm = layer.input_layernorm.weight.detach().to(dtype)
        self.mlp_norm = layer.post_attention_layernorm.weight.detach().to(dtype)
        norms = [getattr(attention, name, None) for name in ("q_norm", "k_norm")]
        self.head_norms = [n.weight.detach().to(dtype) for n in norms if n is not None]


class Decoder:
    """The weights of a model and its forward pass.

    The model's own weights are released layer by layer as they are taken over, so that there is
    never a second copy. With `keep` they become views of the decoder's instead: still one copy, and
    the model can be used and trained as before.

    Args:
        model: One for which `unsupported` gives None; without `keep` it cannot be used afterwards.
        arithmetic: The dtype to compute in; with `keep`, the model's own, float32.
        keep: Share the weights with the model. Changes to them are seen here after `refresh`.
    """

    def __init__(self, model: PreTrainedModel, arithmetic: torch.dtype, keep: bool = False) -> None:
        config: Any = model.config
        inner: Any = model.model
        self.dtype = arithmetic
        self.heads: int = config.num_attention_heads
        self.kv_heads: int = config.num_key_value_heads
        self.size: int = inner.layers[0].self_attn.head_dim
        self.scale: float = inner.layers[0].self_attn.scaling
        self._eps: float = config.rms_norm_eps
        self._rotary = inner.rotary_emb
        self._cos = self._sin = torch.empty(0)
        self._kept: Any = model if keep else None
        self._take_over(model, keep)

    def _take_over(self, model: Any, keep: bool) -> None:
        inner, arithmetic = model.model, self.dtype
        self._norm = inner.norm.weight.detach().to(arithmetic)
        self._embedding = inner.embed_tokens.weight.detach().to(arithmetic)
        head = model.lm_head.weight.detach()
        tied = head.data_ptr() == inner.embed_tokens.weight.data_ptr()
        self._head = _Matrix(self._embedding if tied else head.to(arithmetic), keep)
        self.layers: list[_Layer] = []
        with torch.no_grad():
            for layer in inner.layers:
                self.layers.append(_Layer(layer, arithmetic, keep))
                for parameter in () if keep else layer.parameters():
                    parameter.data = torch.empty(0)

    @property
    def token_bytes(self) -> int:
        """Bytes of the keys and values of one token."""
        return 2 * len(self.layers) * self.kv_heads * self.size * self._norm.element_size()

    def refresh(self) -> None:
        """Use the current weights of a model that is kept.

        Adapters are merged again. Shared weights are current anyway, unless a wrapper for several
        processes has moved the model's parameters to other memory: then they are shared again.
        """
        if self._kept is None:
            return
        embedding = self._kept.model.embed_tokens.weight
        if embedding.data_ptr() != self._embedding.data_ptr():
            self._take_over(self._kept, keep=True)
            return
        with torch.no_grad():
            for layer in self.layers:
                for linear in (layer.qkv, layer.out, layer.gate_up, layer.down):
                    linear.refresh()

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        attend: Attend,
        last: tuple[Tensor, Attend] | None = None,
    ) -> Tensor:
        """Hidden states behind the last layer, before the final norm.

        Args:
            ids: Shape [tokens].
            positions: Shape [tokens].
            attend: Attention, which also stores keys and values.
            last: If only some tokens' states are wanted: their indices, and the attention of the
                last layer, which gets the queries of these tokens only. With no indices, only keys
                and values are computed.

        Returns:
            Shape [tokens or indices, hidden size].
        """
        cos, sin = self._rotation(positions)
        hidden = F.embedding(ids, self._embedding)
        final = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            mixed = layer.qkv(self._normed(hidden, layer.norm))
            turned, values = self._heads(mixed, layer, cos, sin)
            queries, keys = turned[:, : self.heads], turned[:, self.heads :]
            if number == final and last is not None:
                wanted, attend = last
                hidden, queries = hidden[wanted], queries[wanted]
            attended = attend(number, queries, keys, values)
            if not len(hidden):
                return hidden
            hidden = layer.out(attended, hidden)
            gate, up = layer.gate_up(self._normed(hidden, layer.mlp_norm)).chunk(2, -1)
            hidden = layer.down(F.silu(gate).mul_(up), hidden)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the next token, shape [rows, vocabulary], float32."""
        return self._head(self._normed(hidden, self._norm)).float()

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), weight, self._eps)

    def _heads(
        self, mixed: Tensor, layer: _Layer, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Rotated queries and keys [tokens, heads + key-value heads, size], and values."""
        both = mixed.contiguous().view(len(mixed), -1, self.size)
        turning, values = both[:, : -self.kv_heads], both[:, -self.kv_heads :]
        if layer.head_norms:
            parts = turning.split([self.heads, self.kv_heads], 1)
            weighted = zip(parts, layer.head_norms, strict=True)
            turning = torch.cat([self._normed(part, weight) for part, weight in weighted], 1)
        half = self.size // 2
        a, b = turning[..., :half], turning[..., half:]
        turned = torch.empty_like(turning)
        torch.mul(a, cos, out=turned[..., :half]).addcmul_(b, sin, value=-1)
        torch.mul(b, cos, out=turned[..., half:]).addcmul_(a, sin)
        return turned, values

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines, shape [tokens, 1, size / 2]."""
        need = int(positions.max()) + 1
        if need > len(self._cos):
            table = torch.arange(max(need, 2 * len(self._cos), 1024))[None]
            cos, sin = self._rotary(torch.empty(0, dtype=torch.float32), table)
            half = self.size // 2
            # Rounded to the weights' dtype, as the model's own module does.
            self._cos, self._sin = (t[0, :, None, :half].to(self.dtype) for t in (cos, sin))
        return self._cos[positions], self._sin[positions]


def fastest_arithmetic(model: PreTrainedModel) -> torch.dtype:
    """The dtype in which this machine multiplies this model's matrices fastest.

    Many CPUs have no fast bfloat16 product. There, 16-bit weights are converted to float32 if
    memory has room for it, which is exact for the weights and more precise in all else.
    """
    config: Any = model.config
    if model.dtype == torch.float32:
        return torch.float32
    shape = (config.hidden_size, 2 * config.intermediate_size)
    seconds = {dtype: _product_seconds(shape, dtype) for dtype in (model.dtype, torch.float32)}
    fits = 4 * model.num_parameters() < 0.5 * free_bytes()
    faster = seconds[torch.float32] < 0.9 * seconds[model.dtype]
    return torch.float32 if faster and fits else model.dtype


def _product_seconds(shape: tuple[int, int], dtype: torch.dtype) -> float:
    """CPU time of one matrix product on one core, which other programs do not influence."""
    x = torch.ones(128, shape[0], dtype=dtype)
    weight = torch.ones(shape, dtype=dtype)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return min(repeat(lambda: torch.mm(x, weight), timer=thread_time, repeat=4, number=1))
    finally:
        torch.set_num_threads(threads)
