"""A model on disk: its tokenizer, its limits and its weights."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING, Any

from ...tasks.errors import RedoneError
from .model_files import Trust, model_files

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


_CODE = (
    " Models that bring their own code are not run, unless you have read it and say "
    "--trust-remote-code."
)
_QUANTISED = (
    " Its weights are quantised ({}): transformers needs that method's package, and often a GPU. "
    "--backend vllm reads many of them."
)


class Checkpoint:
    """What lies at a model's path, read safely: no pickles and no code of the folder by default.

    Args:
        path: A folder, a GGUF file, or the folder of a LoRA adapter.
        dtype: `auto` or the name of a torch dtype.
        device: A torch device; None: a GPU if there is one.
        base: The model below an adapter; None: the one that the adapter names.
        trust: What of it may run as a program.

    Raises:
        RedoneError: No such path, not a model, unknown device, an adapter for another base.
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
                f"{_first_line(error)}.{_CODE if not trust.code else ''}"
            ) from error
        if files.adapter is not None:
            from .adapter import refuse_other_base

            refuse_other_base(files.adapter, self.config, str(files.folder), trust.code)
        text = self.config.get_text_config()
        own = getattr(text, "dtype", None) or torch.float32
        self.dtype: torch.dtype = getattr(torch, dtype) if dtype != "auto" else own
        self.context = self._context(text)

    @property
    def quantised(self) -> str | None:
        """How the weights are quantised, None if they are not (those of GGUF files are undone)."""
        told = getattr(self.config, "quantization_config", None)
        if told is None or self.files.gguf:
            return None
        method = told.get("quant_method") if isinstance(told, dict) else told.quant_method
        return str(getattr(method, "value", method) or "quantised")

    @property
    def pad(self) -> int:
        """A token that fills up shorter rows; it is always masked."""
        return self.tokenizer.pad_token_id or 0

    @property
    def eos(self) -> frozenset[int]:
        """Tokens that end a text: the generation configuration's and the tokenizer's."""
        from transformers import GenerationConfig

        ids: list[Any] = [self.tokenizer.eos_token_id, self.config.get_text_config().eos_token_id]
        if not self.files.gguf:  # what lies beside such a file may belong to another one
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
        except (ValueError, OSError, KeyError, ImportError, SafetensorError) as error:
            raise RedoneError(
                f"{self.files.path} cannot be loaded as a causal language model: "
                f"{_first_line(error)}."
                f"{_QUANTISED.format(self.quantised) if self.quantised else ''}"
            ) from error
        if self.files.adapter is not None:
            from .adapter import put_on

            model = put_on(model, self.files.adapter)
        if not self.quantised:
            model.to(self.device)  # type: ignore[arg-type]
        return model.eval()

    def _weights(self) -> PreTrainedModel:
        """The model as its files have it, without an adapter."""
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        # Its progress bars would stand in the middle of ours; that of GGUF files has no switch.
        logging.disable_progress_bar()
        silence = io.StringIO() if self.files.gguf else sys.stderr
        # Quantised weights cannot be moved once they are loaded.
        place = {"device_map": {"": self.device}} if self.quantised else {}
        with contextlib.redirect_stderr(silence):
            model: Any = AutoModelForCausalLM.from_pretrained(
                self.folder,
                dtype=self.dtype,
                use_safetensors=not self.files.pickled,
                **self._reading,
                **place,
            )
        if self.files.gguf:
            # They would announce weights that are quantised no longer.
            model.hf_quantizer = None
            model.config.__dict__.pop("quantization_config", None)
        return model

    def _context(self, config: Any) -> int | None:
        """Positions that the model was made for, None where neither file tells."""
        known = [
            value
            for name in ("max_position_embeddings", "n_positions", "max_sequence_length")
            if isinstance(value := getattr(config, name, None), int) and value > 0
        ]
        limit = self.tokenizer.model_max_length
        if isinstance(limit, int) and limit < 10**9:
            known.append(limit)
        return min(known, default=None)


def _device(device: str | None) -> torch.device:
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RedoneError(
            f"Device {device!r} cannot be used: {_first_line(error)}. Known here: cpu"
            f"{', cuda' if torch.cuda.is_available() else ''}."
        ) from error
    return chosen


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300].rstrip(".") if lines else repr(error)
