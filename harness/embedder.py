"""Sentence embeddings by a local model: the `embedder` service of tasks that compare by meaning.

Reads the folder layout of sentence-transformers (Reimers and Gurevych 2019): a transformer and its
tokenizer, the pooling of token vectors in `1_Pooling/config.json`. Does not need the library.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..tasks.errors import MissingData, RedoneError
from .machine import is_out_of_memory
from .models.base import first_line
from .models.files import refuse_pointers

_KNOWN_MODULES = {"Transformer", "Pooling", "Normalize"}
_POOLING = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_IDENTIFYING = ("config.json", "tokenizer.json", "vocab.txt", "sentence_bert_config.json")


class FolderEmbedder:
    """Embeds texts with the model of a local folder.

    `identity` is the folder's name and a fingerprint of the files that determine a vector,
    `minilm@1f2e3d4c5b6a`; it is part of the signature of every score that used it.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        device: str = "cpu",
        batch_size: int = 32,
        remembered: int = 50_000,
    ) -> None:
        """Checks the folder; the model is loaded at the first text.

        Args:
            folder: A sentence-transformers folder, or a plain encoder folder (mean pooling).
            device: Where torch runs the model.
            batch_size: Texts in one forward pass.
            remembered: Size of the cache of vectors, for repeated texts such as gold answers.

        Raises:
            MissingData: The folder, its configuration or its weights are missing.
            RedoneError: The folder requires pooling or modules that are not supported.
        """
        self._folder = Path(folder).expanduser().resolve()
        self._device, self._batch_size, self._remembered = device, batch_size, remembered
        self._vectors: OrderedDict[str, np.ndarray] = OrderedDict()
        if not self._folder.is_dir():
            raise MissingData(
                f"The embedding model {str(folder)!r} is not a folder. Give the path of a local "
                "sentence-transformers model; nothing is downloaded by name."
            )
        if not (self._folder / "config.json").is_file():
            raise MissingData(f"{self._folder} has no config.json: it is no model folder.")
        refuse_pointers(self._folder)
        self._weights = sorted(p for name in _WEIGHTS for p in self._folder.glob(name))
        if not self._weights:
            raise MissingData(f"{self._folder} holds no weights ({', '.join(_WEIGHTS)}).")
        self._pooling = self._read_pooling()
        self.identity = f"{self._folder.name}@{self._fingerprint()}"

    def __getstate__(self) -> dict[str, Any]:
        """Everything except model and cache, which are not pickled."""
        state = {name: value for name, value in vars(self).items() if name != "_model"}
        return state | {"_vectors": OrderedDict()}

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts, which are truncated to the model's maximum length.

        Returns:
            float32, shape [len(texts), dimension], Euclidean length 1. Equal texts get
            equal vectors.
        """
        vectors = {text: self._vectors[text] for text in texts if text in self._vectors}
        # Batches of similar lengths need little padding.
        new = sorted(dict.fromkeys(t for t in texts if t not in vectors), key=len)
        for start in range(0, len(new), self._batch_size):
            batch = new[start : start + self._batch_size]
            vectors.update(zip(batch, self._forward(batch), strict=True))
        for text, vector in vectors.items():
            self._vectors[text] = vector
            self._vectors.move_to_end(text)
        while len(self._vectors) > self._remembered:
            self._vectors.popitem(last=False)
        return np.stack([vectors[t] for t in texts]) if texts else np.zeros((0, self.dimension))

    @property
    def dimension(self) -> int:
        """Number of dimensions of a vector."""
        return int(self._model[1].config.hidden_size)

    def _forward(self, texts: list[str]) -> np.ndarray:
        import torch

        tokenizer, model = self._model
        inputs = tokenizer(
            texts, padding=True, truncation=True, max_length=self._longest, return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            states = model(**inputs).last_hidden_state.float()
            if self._pooling == "cls":
                pooled = states[:, 0]
            else:
                mask = inputs["attention_mask"].unsqueeze(-1).float()
                pooled = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
            vectors = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
        if not np.isfinite(vectors).all():
            raise RedoneError(
                f"The vectors of {self._folder} are not finite (NaN or infinite): its weights are "
                "damaged. Get the model again."
            )
        return vectors

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        from safetensors import SafetensorError
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
        loud = logging.get_verbosity()
        logging.set_verbosity_error()  # its report of the weights is a table; ours is an error
        try:
            model, found = AutoModel.from_pretrained(
                self._folder,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            if is_out_of_memory(error):
                raise
            raise RedoneError(f"{self._folder} cannot be loaded: {first_line(error)}.") from error
        finally:
            logging.set_verbosity(loud)
            if shown:
                logging.enable_progress_bar()
        # The pooler and heads are not used.
        missing = {*found["missing_keys"], *(name for name, _, _ in found["mismatched_keys"])}
        if lacking := sorted(name for name in missing if "pooler" not in name):
            raise RedoneError(
                f"{self._folder} does not hold the weights that its config.json describes: missing "
                f"{', '.join(lacking[:3])}. They would be random; get the model again."
            )
        return tokenizer, model.to(self._device).eval()

    @cached_property
    def _longest(self) -> int:
        """Maximum number of tokens of a text."""
        stated = self._json("sentence_bert_config.json").get("max_seq_length")
        limit = getattr(self._model[1].config, "max_position_embeddings", 512)
        return min(int(stated or limit), int(limit))

    def _read_pooling(self) -> str:
        modules = self._json("modules.json")
        for module in modules if isinstance(modules, list) else ():
            name = str(module.get("type", "")).rpartition(".")[2]
            if name not in _KNOWN_MODULES:
                raise RedoneError(
                    f"{self._folder / 'modules.json'} requires a {name!r} module; supported are "
                    f"{', '.join(sorted(_KNOWN_MODULES))}."
                )
        config = self._json("1_Pooling/config.json")
        modes = (name for name, on in config.items() if on is True)
        chosen = sorted(name for name in modes if name.startswith("pooling_mode_"))
        if len(chosen) > 1 or not set(chosen) <= _POOLING.keys():
            raise RedoneError(
                f"{self._folder / '1_Pooling/config.json'} requires {', '.join(chosen)}; one of "
                f"{', '.join(sorted(_POOLING))} is supported."
            )
        return _POOLING[chosen[0]] if chosen else "mean"

    def _json(self, name: str) -> Any:
        path = self._folder / name
        if not path.is_file():
            return {}
        try:
            return json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise RedoneError(f"{path} is not valid JSON: {error}.") from None

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(self._pooling.encode())
        named = [self._folder / name for name in _IDENTIFYING]
        for path in (p for p in (*named, *self._weights) if p.is_file()):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:12]
