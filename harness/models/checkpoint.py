"""A model on disk: its tokenizer, its limits, its weights, and a LoRA adapter on top of them."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tasks.errors import RedoneError, UnknownName
from ...tasks.schema import Request, Settings
from ..machine import is_out_of_memory
from .adapters import merge_adapter, rows_of_adapter
from .base import Thinking, check_thinking, first_line
from .files import Trust, model_files
from .intact import refuse_incomplete, refuse_other_kinds
from .output import Answer, Opened
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
        self.positions = _positions(text)
        self.context, self.context_from = self._context()

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
                loaded: Any = AutoModelForCausalLM.from_pretrained(
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
        model, found = loaded
        refuse_incomplete(self.files.path, self.config, model, found)
        return model

    def _context(self) -> tuple[int | None, str]:
        """The model's maximum length and who says so; None where nobody does."""
        own, limit = self.positions, self.tokenizer.model_max_length
        if not isinstance(limit, int) or limit >= 10**9 or (own is not None and own <= limit):
            return own, "config.json" if own else ""
        says = f"; config.json says {own}" if own else ""
        return limit, f"model_max_length of the tokenizer{says}"


def _positions(config: Any) -> int | None:
    """The most positions of a configuration, None where it does not say."""
    names = ("max_position_embeddings", "n_positions", "max_sequence_length")
    values = (getattr(config, name, None) for name in names)
    return min((v for v in values if isinstance(v, int) and v > 0), default=None)


class LocalModel:
    """What the backends share that run a model's folder themselves.

    Args:
        path, dtype, device, base, trust: As for `Checkpoint`.
        chat_template_args: Extra arguments of the chat template.
        thinking: Thinking mode, for templates that have one.
        chat_template: Name of one of several chat templates, or a file.
        thinking_marks: Opening and closing mark of thinking, beside the known ones.
        context: Replaces the context that configuration and tokenizer say.

    Attributes:
        context_from: Who says what the context is.

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
        chat_template: str | None = None,
        thinking_marks: Sequence[str] | None = None,
        context: int | None = None,
    ) -> None:
        check_thinking(thinking)
        self.name = str(path)
        self._thinking = thinking
        self._checkpoint = Checkpoint(self.name, dtype, device, base=base, trust=trust)
        self._renderer = Renderer(
            self._checkpoint.tokenizer,
            chat_template_args or {},
            thinking,
            chat_template,
            thinking_marks,
        )
        self._renderer.rows = self._checkpoint.rows
        self.context: int | None = context or self._checkpoint.context
        self.context_from = "--backend-args" if context else self._checkpoint.context_from
        if context and context > (most := self._checkpoint.positions or context):
            raise RedoneError(
                f"--backend-args, context: {context} is more than the {most} positions of the "
                "model's config.json."
            )
        self.thinks = self._renderer.thinks
        end, own = self._renderer.turn_end, self._checkpoint.eos
        self._eos = own if end is None else own | {end}

    def identity(self) -> dict[str, Any]:
        """What changes an answer; equal for all backends that run the same folder."""
        return {
            "model": self._checkpoint.files.fingerprint(),
            **self._renderer.identity(),
            "thinking": self._thinking,
            # Where it is no end of a text of the model's own: answers would run on without it.
            **({"turn_end": end} if (end := self._added_end) else {}),
        }

    def overflow(self, request: Request) -> int:
        """By how many tokens prompt and limits exceed the context; 0 or less: they fit."""
        return self._renderer.overflow(request, self.context, self._most_scored)

    @property
    def _added_end(self) -> int | str | None:
        """The chat template's end of a turn, if the model's own ends of a text lack it."""
        end = self._renderer.turn_end
        if end is None:
            return next(iter(self._renderer.ended(Settings()).stop), None)
        return end if end not in self._checkpoint.eos else None

    @property
    def notes(self) -> list[str]:
        """What a reader must know about how prompts were rendered."""
        return self._renderer.notes

    def _answer(self, settings: Settings, opened: Opened, room: int | None = None) -> Answer:
        """An answer of this model, before its first token."""
        renderer = self._renderer
        return Answer(settings, renderer.decode, self._eos, opened, room, renderer.marks)

    @property
    def _most_scored(self) -> int | None:
        """Tokens that prompt and continuation of a log-likelihood may have; None: any number."""
        # The last token is only looked up, so it takes no position of the context.
        return None if self.context is None else self.context + 1


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
