"""A model folder: its tokenizer, its limits and its weights."""

from __future__ import annotations

import contextlib
import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tasks.errors import RedoneError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class Checkpoint:
    """What a model folder holds, read safely: safetensors only, no code of the folder is run.

    Args:
        path: The folder.
        dtype: `auto` or the name of a torch dtype.
        device: A torch device; None: a GPU if there is one.

    Raises:
        RedoneError: No such folder, not a model, pickled weights, unknown device.
    """

    def __init__(self, path: str, dtype: str, device: str | None) -> None:
        self.folder = Path(path).expanduser()
        _check(self.folder, path)
        import torch
        from transformers import AutoConfig, AutoTokenizer

        self.device = _device(device)
        try:
            self.config = AutoConfig.from_pretrained(self.folder, local_files_only=True)
            self.tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        except Exception as error:
            raise RedoneError(
                f"{path} holds a model or tokenizer that transformers cannot read: "
                f"{_first_line(error)}. Models that bring their own code are not run."
            ) from error
        text = self.config.get_text_config()
        own = getattr(text, "dtype", None) or torch.float32
        self.dtype: torch.dtype = getattr(torch, dtype) if dtype != "auto" else own
        self.context = self._context(text)

    @property
    def pad(self) -> int:
        """A token that fills up shorter rows; it is always masked."""
        return self.tokenizer.pad_token_id or 0

    @property
    def eos(self) -> frozenset[int]:
        """Tokens that end a text: the generation configuration's and the tokenizer's."""
        from transformers import GenerationConfig

        ids: list[Any] = [self.tokenizer.eos_token_id, self.config.get_text_config().eos_token_id]
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
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        # Its progress bar would stand in the middle of ours.
        logging.disable_progress_bar()
        try:
            model = AutoModelForCausalLM.from_pretrained(
                self.folder,
                dtype=self.dtype,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
            )
        except (ValueError, OSError, KeyError, SafetensorError) as error:
            raise RedoneError(
                f"{self.folder} cannot be loaded as a causal language model: {_first_line(error)}"
            ) from error
        model.to(self.device)  # type: ignore[arg-type]
        return model.eval()

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


def _check(folder: Path, path: str) -> None:
    if not folder.exists():
        parent = folder.parent if folder.parent.is_dir() else Path()
        names = [p.name for p in parent.iterdir() if p.is_dir()] if parent.is_dir() else []
        near = difflib.get_close_matches(folder.name, names, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(str(parent / n) for n in near)}?" if near else ""
        raise RedoneError(
            f"Model path {path!r} does not exist.{hint} Expected a folder with config.json, a "
            "tokenizer and safetensors weights; models of the Hugging Face Hub are fetched with "
            "`hf download ORGANISATION/NAME --local-dir FOLDER`."
        )
    if not (folder / "config.json").is_file():
        raise RedoneError(
            f"{path!r} is not a model folder: it has no config.json. Give the folder that holds "
            "config.json, the tokenizer and the safetensors weights."
        )
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(p.name for pattern in _PICKLED for p in folder.glob(pattern))
        if pickled:
            raise RedoneError(
                f"The weights in {path!r} are pickled ({pickled[0]}): loading them would run code "
                "from the file. Save the model as safetensors where you trust it: "
                "`model.save_pretrained(FOLDER)` in transformers."
            )
        raise RedoneError(f"{path!r} has no weights: no *.safetensors file in it.")


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
