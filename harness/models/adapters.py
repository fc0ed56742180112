"""LoRA adapters (Hu et al. 2021): whether one fits its base, and merging it.

An adapter's configuration names its base by a path or a name that may not exist on this machine,
and says nothing of the base's content. What can be known is compared: layers and shapes.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tasks.errors import RedoneError
from ..machine import is_out_of_memory
from .base import first_line
from .files import ADAPTER, ModelFiles, adapter_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_LORA = re.compile(r"(.+)\.lora_(embedding_)?([AB])(\.weight)?")
_WHOLE = re.compile(r"(.+?)(\.base_layer|\.modules_to_save|\.original_module)?\.weight")
_PREFIX = "base_model.model."


def rows_of_adapter(files: ModelFiles, config: Any) -> int | None:
    """Check that an adapter fits its base; loads neither, compares layers and shapes.

    Args:
        files: Of adapter and base.
        config: Of the base, transformers' own.

    Returns:
        The tokens that the adapter's own embedding knows; None: as many as the base's.

    Raises:
        RedoneError: It belongs to another base.
    """
    import torch
    from transformers import AutoModelForCausalLM

    folder = _adapter(files)
    shapes = _shapes(files)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=files.code)
    have = {
        name: tuple(weight.shape)
        for name, module in model.named_modules()
        if isinstance(weight := getattr(module, "weight", None), torch.Tensor)
    }
    rows, without = _own_rows(shapes, have, model)
    difference = _difference(shapes, have) or _without_weights(folder, shapes, have)
    if without:
        raise RedoneError(
            f"The adapter {str(folder)!r} was trained with {rows} tokens, and does not bring the "
            f"new rows of {without}: save it with them (modules_to_save), or give a base that "
            "knows these tokens (--base)."
        )
    if difference:
        named = adapter_config(folder).get("base_model_name_or_path")
        raise RedoneError(
            f"The adapter {str(folder)!r} does not fit {str(files.folder)!r}: {difference}. It was "
            f"made for another base{f', {named!r}' if named else ''}: give that as --base."
        )
    return rows


def _own_rows(
    shapes: Mapping[str, Sequence[int]], have: dict[str, tuple[int, ...]], model: Any
) -> tuple[int | None, str | None]:
    """The size of an adapter's own embedding, and the layer for which it has no such weights.

    `have` gets the shapes that the base has with so many tokens.
    """
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    names = {name for name, module in model.named_modules() if any(module is e for e in ends)}
    whole = {f[1]: tuple(s) for n, s in shapes.items() if (f := _WHOLE.fullmatch(n))}
    sizes = {
        whole[name][0]
        for name in names & whole.keys() & have.keys()
        if whole[name][1:] == have[name][1:] and whole[name] != have[name]
    }
    if len(sizes) != 1:
        return None, None
    (rows,) = sizes
    tied = bool(getattr(model.config.get_text_config(), "tie_word_embeddings", False))
    lacking = sorted(name for name in names if name in have and name not in whole)
    for name in names & have.keys():
        have[name] = (rows, *have[name][1:])
    return rows, lacking[0] if lacking and not tied else None


def merge_adapter(model: PreTrainedModel, files: ModelFiles, rows: int | None) -> PreTrainedModel:
    """The model with the adapter merged into its weights; not merged where they are quantized.

    Args:
        model: The base.
        files: Of adapter and base.
        rows: Tokens that the adapter's embedding knows; the base gets as many.

    Raises:
        RedoneError: It cannot be loaded, or not all of it.
    """
    folder = _adapter(files)
    try:
        from peft import PeftModel
    except ImportError:
        raise RedoneError(
            "Adapters need PEFT, which is not installed: pip install peft. Or merge the adapter "
            "where it was made, and give the merged model."
        ) from None
    try:
        with warnings.catch_warnings():
            # From PEFT about transformers; about missing weights, which are an error below.
            warnings.simplefilter("ignore")
            embedding: Any = model.get_input_embeddings()
            if rows is not None and rows != embedding.weight.shape[0]:
                model.resize_token_embeddings(rows, mean_resizing=False)
            adapted: Any = PeftModel.from_pretrained(model, folder)
            _refuse_incomplete(adapted, files)
            if getattr(model.config, "quantization_config", None) is not None:
                return adapted.get_base_model()
            return adapted.merge_and_unload(safe_merge=True)
    except (ValueError, RuntimeError, KeyError, OSError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        raise RedoneError(
            f"The adapter {str(folder)!r} cannot be loaded: {first_line(error)}."
        ) from error


def _refuse_incomplete(adapted: Any, files: ModelFiles) -> None:
    """Raise if PEFT has filled weights of an adapter by itself, or left out some of the file's."""
    from peft import get_peft_model_state_dict
    from peft.utils import load_peft_weights

    folder = _adapter(files)
    wanted = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    # PEFT may store a whole layer twice, once under the name that it has in memory.
    names = load_peft_weights(str(folder), device="cpu")
    given = {name.replace(".modules_to_save.", ".") for name in names}
    faults = {"missing": wanted - given, "unexpected": given - wanted - set(adapted.state_dict())}
    told = [f"{kind} {', '.join(sorted(n)[:3])}" for kind, n in faults.items() if n]
    if told:
        raise RedoneError(
            f"The adapter {str(folder)!r} does not hold the weights that its {ADAPTER} describes: "
            f"{'; '.join(told)}. Save it again where it was made."
        )


def _adapter(files: ModelFiles) -> Path:
    assert files.adapter is not None
    return files.adapter


def _shapes(files: ModelFiles) -> dict[str, tuple[int, ...]]:
    """Shapes of an adapter's tensors by name; of safetensors the headers are read only."""
    import torch
    from safetensors import SafetensorError, safe_open

    folder, shapes = _adapter(files), {}
    pattern = "adapter_model*.bin" if files.adapter_pickled else "adapter_model*.safetensors"
    for path in sorted(folder.glob(pattern)):
        try:
            if files.adapter_pickled:
                stored = torch.load(path, map_location="cpu", weights_only=True)
                shapes |= {n.removeprefix(_PREFIX): tuple(t.shape) for n, t in stored.items()}
                continue
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118 (no mapping)
                    shapes[name.removeprefix(_PREFIX)] = tuple(file.get_slice(name).get_shape())
        except (SafetensorError, OSError, RuntimeError, ValueError, AttributeError) as error:
            raise RedoneError(f"{path} cannot be read: {first_line(error)}.") from None
        except pickle.UnpicklingError as error:
            raise RedoneError(f"{path} holds more than weights: {first_line(error)}.") from None
    return shapes


def _difference(
    shapes: Mapping[str, Sequence[int]], have: Mapping[str, Sequence[int]]
) -> str | None:
    """The first of an adapter's tensors that does not fit the base."""
    for name, shape in shapes.items():
        if found := _LORA.fullmatch(name):
            # A is [rank, in], B is [out, rank]: the base must have the size that is not the rank.
            layer, size = found[1], shape[1 if found[3] == "A" else 0]
        elif (found := _WHOLE.fullmatch(name)) and ".lora_" not in name:
            layer, size = found[1], None
        else:
            continue
        if layer not in have:
            return f"the base has no layer {layer}"
        own = have[layer]
        if tuple(shape) != tuple(own) if size is None else size not in own:
            theirs, ours = ("x".join(map(str, dims)) for dims in (shape, own))
            return f"{name} is {theirs}, the base's {layer} is {ours}"
    return None


def _without_weights(
    folder: Path, shapes: Mapping[str, Sequence[int]], have: Mapping[str, Sequence[int]]
) -> str | None:
    """A layer of the base for which the adapter has no weights, though it should."""
    config = adapter_config(folder)
    targets = config.get("target_modules")
    by_name = isinstance(targets, list) and not any("." in str(t) for t in targets)
    if not by_name or config.get("layers_to_transform") or config.get("exclude_modules"):
        return None
    adapted = {found[1] for name in shapes if (found := _LORA.fullmatch(name))}
    kinds = {re.sub(r"\d+", "*", layer) for layer in adapted}
    missing = [n for n in have if re.sub(r"\d+", "*", n) in kinds and n not in adapted]
    return f"it has no weights for the base's {missing[0]}" if missing else None
