"""A model on disk: its tokenizer, its limits, its weights, and a LoRA adapter on top of them."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tasks.errors import RedoneError, UnknownName
from ...tasks.schema import Request
from ..machine import is_out_of_memory
from .adapters import merge_adapter, rows_of_adapter
from .base import Thinking, check_thinking, first_line
from .files import Trust, model_files
from .intact import refuse_incomplete, refuse_other_kinds
from .rendering import Renderer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


DTYPES = ("auto", "float32", "bfloat16", "float16")
_CODE = (
    " Models that bring their own code are not run, unless you have read it and pass "
    "--trust-remote-code."
)
_QUANTIZED = (
    " Its weights are quantized ({}): transformers needs that method's package, and often a GPU. "
    "--backend vllm reads many of them."
)


class Checkpoint:
    """The model at a path, read safely: no pickles and no code of the folder by default.

    Args:
        path: A folder, a GGUF file, or the folder of a LoRA adapter.
        dtype: Of the weights: one of `DTYPES`; `auto` is the checkpoint's own.
        device: A torch device; None: a GPU if there is one.
        base: The model below an adapter; None: the one that the adapter names.
        trust: What of it may run as a program.

    Raises:
        RedoneError: No such path, not a model, unknown dtype or device, an adapter for another
            base.
    """

    def __init__(
        self,
        path: str,
        dtype: str,
        device: str | None,
        *,
        base: str | None = None,
        trust: Trust | None = None,
    ) -> None:
        if dtype not in DTYPES:
            raise UnknownName("dtype", dtype, DTYPES)
        trust = trust or Trust()
        self.files = files = model_files(path, trust, base)
        self.folder = files.folder
        import torch
        from transformers import AutoConfig, AutoTokenizer

        self.device = _device(device)
        reading: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trust.code}
        own_file = {"gguf_file": files.gguf} if files.gguf else {}
        self._reading = reading | own_file
        try:
            self.config = AutoConfig.from_pretrained(files.folder, **self._reading)
            self.tokenizer = AutoTokenizer.from_pretrained(
                files.tokenizer, **reading | ({} if files.tokenizer == files.adapter else own_file)
            )
        except Exception as error:
            raise RedoneError(
                f"{path} holds a model or tokenizer that transformers cannot read: "
                f"{first_line(error)}.{_CODE if not trust.code else ''}"
            ) from error
        refuse_other_kinds(path, self.config)
        text = self.config.get_text_config()
        self.rows: int | None = getattr(text, "vocab_size", None)
        """Tokens that the model's embedding knows: ids from 0 to one less."""
        if files.adapter is not None:
            own_rows = rows_of_adapter(files, self.config)
            self.rows = own_rows or self.rows
        own = getattr(text, "dtype", None) or torch.float32
        self.dtype: torch.dtype = getattr(torch, dtype) if dtype != "auto" else own
        self.context = self._context(text)

    @property
    def quantized(self) -> str | None:
        """How the weights are quantized, None if they are not (those of GGUF files are undone)."""
        config = getattr(self.config, "quantization_config", None)
        if config is None or self.files.gguf:
            return None
        method = config.get("quant_method") if isinstance(config, dict) else config.quant_method
        return str(getattr(method, "value", method) or "quantized")

    @property
    def pad(self) -> int:
        """The padding token; it is always masked, so any that the model knows will do."""
        own = self.tokenizer.pad_token_id or 0
        return own if self.rows is None or own < self.rows else 0

    @property
    def eos(self) -> frozenset[int]:
        """Tokens that end a text: the generation configuration's and the tokenizer's."""
        from transformers import GenerationConfig

        ids: list[Any] = [self.tokenizer.eos_token_id, self.config.get_text_config().eos_token_id]
        if not self.files.gguf:  # other files in the folder of a GGUF file may not belong to it
            with contextlib.suppress(OSError, ValueError):
                ids.append(GenerationConfig.from_pretrained(self.folder).eos_token_id)
        flat = [i for entry in ids for i in (entry if isinstance(entry, list) else [entry])]
        return frozenset(int(i) for i in flat if i is not None)

    def load(self) -> PreTrainedModel:
        """The model with its weights, in evaluation mode.

        Raises:
            RedoneError: The architecture or the weights cannot be read.
        """
        from safetensors import SafetensorError

        try:
            model = self._weights()
        except (ValueError, OSError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            if is_out_of_memory(error):
                raise
            raise RedoneError(
                f"{self.files.path} cannot be loaded as a causal language model: "
                f"{first_line(error)}."
                f"{_QUANTIZED.format(self.quantized) if self.quantized else ''}"
            ) from error
        if self.files.adapter is not None:
            model = merge_adapter(model, self.files, self.rows)
        if not self.quantized:
            model.to(self.device)  # type: ignore[arg-type]
        return model.eval()

    def _weights(self) -> PreTrainedModel:
        """The model without an adapter."""
        # Quantised weights cannot be moved once they are loaded.
        model = self._filled({"device_map": {"": self.device}} if self.quantized else {})
        if self.files.gguf:
            # These two claim that the weights are quantized, which they no longer are.
            model.hf_quantizer = None
            model.config.__dict__.pop("quantization_config", None)
        return model

    def check_names(self) -> None:
        """Compare names and shapes of the weights with the architecture's, without reading them.

        For a backend that loads the weights itself. Quantized ones are left to it.

        Raises:
            RedoneError: Weights are missing, unexpected or of another shape.
        """
        if not self.quantized:
            self._filled({"device_map": "meta"})

    def _filled(self, place: Mapping[str, Any]) -> Any:
        """The model with all its weights on a device, none of them missing or left over."""
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        # transformers' progress bars would interrupt ours; that of GGUF files cannot be disabled.
        logging.disable_progress_bar()
        silence = io.StringIO() if self.files.gguf else sys.stderr
        loud = logging.get_verbosity()
        logging.set_verbosity_error()  # its report of the weights is a table; ours is an error
        try:
            with contextlib.redirect_stderr(silence):
                model, found = AutoModelForCausalLM.from_pretrained(
                    self.folder,
                    dtype=self.dtype,
                    use_safetensors=not self.files.pickled,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,
                    **self._reading,
                    **place,
                )
        finally:
            logging.set_verbosity(loud)
        refuse_incomplete(self.files.path, self.config, model, found)
        return model

    def _context(self, config: Any) -> int | None:
        """The model's maximum length, None where neither configuration nor tokenizer says."""
        known = [
            value
            for name in ("max_position_embeddings", "n_positions", "max_sequence_length")
            if isinstance(value := getattr(config, name, None), int) and value > 0
        ]
        limit = self.tokenizer.model_max_length
        if isinstance(limit, int) and limit < 10**9:
            known.append(limit)
        return min(known, default=None)


class LocalModel:
    """What the backends share that run a model's folder themselves.

    Args:
        path, dtype, device, base, trust: As for `Checkpoint`.
        chat_template_args: Extra arguments of the chat template.
        thinking: Thinking mode, for templates that have one.

    Raises:
        RedoneError: Folder or chat template cannot be used.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        dtype: str = "auto",
        device: str | None = None,
        chat_template_args: Mapping[str, Any] | None = None,
        thinking: Thinking = "auto",
        base: str | None = None,
        trust: Trust | None = None,
    ) -> None:
        check_thinking(thinking)
        self.name = str(path)
        self._thinking = thinking
        self._checkpoint = Checkpoint(self.name, dtype, device, base=base, trust=trust)
        self._renderer = Renderer(self._checkpoint.tokenizer, chat_template_args or {}, thinking)
        self._renderer.rows = self._checkpoint.rows
        self.context: int | None = self._checkpoint.context
        self.thinks = self._renderer.thinks

    def identity(self) -> dict[str, Any]:
        """What changes an answer; equal for all backends that run the same folder."""
        return {
            "model": self._checkpoint.files.fingerprint(),
            "chat_template": self._renderer.template_hash,
            "chat_template_args": dict(sorted(self._renderer.arguments.items())),
            "thinking": self._thinking,
        }

    def overflow(self, request: Request) -> int:
        """By how many tokens prompt and limits exceed the context; 0 or less: they fit."""
        return self._renderer.overflow(request, self.context)


def _device(device: str | None) -> torch.device:
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RedoneError(
            f"Device {device!r} cannot be used: {first_line(error)}. Known here: cpu"
            f"{', cuda' if torch.cuda.is_available() else ''}."
        ) from error
    return chosen
