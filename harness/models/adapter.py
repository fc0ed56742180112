"""LoRA adapters (Hu et al. 2021): whose they are, whether they fit, and putting them on.

An adapter's configuration names its base by a path or a name that may mean nothing here, and says
nothing of its content. What can be known is compared: layers and shapes, and the content of the
named base if that lies on this machine.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tasks.errors import RedoneError
from .fingerprint import fingerprint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LORA = re.compile(r"(.+)\.lora_(embedding_)?([AB])(\.weight)?")
_WHOLE = re.compile(r"(.+?)(\.base_layer|\.modules_to_save)?\.weight")
_PREFIX = "base_model.model."


def base_of(folder: Path, path: str, given: str | None) -> str:
    """The path of the model that an adapter belongs to.

    Args:
        folder: Of the adapter.
        path: As the user wrote it.
        given: What the user says; None: nothing.

    Raises:
        RedoneError: Not a LoRA adapter; no base is found; or another one than named is given.
    """
    config = read_config(folder)
    kind = config.get("peft_type")
    if kind != "LORA":
        raise RedoneError(
            f"{path!r} is an adapter of type {kind!r}; LoRA is read. Merge it into its base where "
            "it was made (`merge_and_unload()` in PEFT) and give the merged model."
        )
    named = config.get("base_model_name_or_path") or ""
    places = [p for p in (Path(named).expanduser(), folder / named) if named and p.exists()][:1]
    if given is None:
        if places:
            return str(places[0])
        raise RedoneError(
            f"{path!r} is an adapter for {named or 'a base that it does not name'!r}, which is no "
            "path here. Give the model that it was made for: --base PATH."
        )
    own = Path(given).expanduser()
    known = [p for p in (own, *places) if (p / "config.json").is_file()]
    if own in known and any(fingerprint(p) != fingerprint(own) for p in known[1:]):
        raise RedoneError(
            f"The adapter {path!r} was made for {str(known[1])!r}, and --base {given!r} is another "
            "model: their files differ. Leave --base out."
        )
    return given


def read_config(folder: Path) -> dict[str, Any]:
    """An adapter's configuration.

    Raises:
        RedoneError: It cannot be read.
    """
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RedoneError(f"{path} cannot be read: {error}.") from None
    if not isinstance(config, dict):
        raise RedoneError(f"{path} is no configuration of an adapter: an object is expected.")
    return config


def rank(folder: Path) -> int:
    """The largest rank of an adapter's matrices."""
    config = read_config(folder)
    ranks = [config.get("r"), *(config.get("rank_pattern") or {}).values()]
    return max((r for r in ranks if isinstance(r, int)), default=0)


def refuse_other_base(folder: Path, config: Any, base: str, code: bool) -> None:
    """Compares an adapter's layers with those of its base, without loading either.

    Args:
        folder: Of the adapter. Of pickled weights nothing is known before they are loaded.
        config: Of the base, transformers' own.
        base: Path of the base, for the message.
        code: Whether the base brings its own code.

    Raises:
        RedoneError: They do not belong together.
    """
    shapes = _shapes(folder)
    if not shapes:
        return
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=code)
    have = {
        name: tuple(weight.shape)
        for name, module in model.named_modules()
        if isinstance(weight := getattr(module, "weight", None), torch.Tensor)
    }
    difference = _difference(shapes, have) or _without_weights(folder, shapes, have)
    if difference:
        named = read_config(folder).get("base_model_name_or_path")
        raise RedoneError(
            f"The adapter {str(folder)!r} does not fit {base!r}: {difference}. It was made for "
            f"another base{f', {named!r}' if named else ''}: give that as --base."
        )


def put_on(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model with the adapter merged into its weights; beside them where they are quantised.

    Raises:
        RedoneError: PEFT is not installed, or refuses the adapter.
    """
    try:
        from peft import PeftModel
    except ImportError:
        raise RedoneError(
            "Adapters need PEFT, which is not installed: pip install peft. Or merge the adapter "
            "where it was made, and give the merged model."
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between PEFT and transformers
            adapted: Any = PeftModel.from_pretrained(model, folder)
            if getattr(model.config, "quantization_config", None) is not None:
                return adapted.get_base_model()
            return adapted.merge_and_unload(safe_merge=True)
    except (ValueError, RuntimeError, KeyError, OSError, TypeError) as error:
        line = (str(error).strip().splitlines() or [repr(error)])[0][:300].rstrip(".")
        raise RedoneError(f"The adapter {str(folder)!r} cannot be loaded: {line}.") from error


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of an adapter's tensors by name, read from the files' headers."""
    from safetensors import SafetensorError, safe_open

    shapes = {}
    for path in sorted(folder.glob("adapter_model*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118 (no mapping)
                    shapes[name.removeprefix(_PREFIX)] = tuple(file.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise RedoneError(f"{path} cannot be read: {error}.") from None
    return shapes


def _difference(
    shapes: Mapping[str, Sequence[int]], have: Mapping[str, Sequence[int]]
) -> str | None:
    """The first of an adapter's tensors that the base has no place for."""
    for name, shape in shapes.items():
        if found := _LORA.fullmatch(name):
            # A is [rank, in], B is [out, rank]: what the rank is not, the base must have.
            layer, size = found[1], shape[1 if found[3] == "A" else 0]
        elif (found := _WHOLE.fullmatch(name)) and ".lora_" not in name:
            layer, size = found[1], None
        else:
            continue
        if layer not in have:
            return f"the base has no layer {layer}"
        own = have[layer]
        if size is None and tuple(shape) != tuple(own) or size is not None and size not in own:
            ours = "x".join(map(str, own))
            return f"{name} is {'x'.join(map(str, shape))}, the base's {layer} is {ours}"
    return None


def _without_weights(
    folder: Path, shapes: Mapping[str, Sequence[int]], have: Mapping[str, Sequence[int]]
) -> str | None:
    """A layer of the base that the adapter would have, had it been made for it."""
    config = read_config(folder)
    targets = config.get("target_modules")
    by_name = isinstance(targets, list) and not any("." in str(t) for t in targets)
    if not by_name or config.get("layers_to_transform") or config.get("exclude_modules"):
        return None
    adapted = {found[1] for name in shapes if (found := _LORA.fullmatch(name))}
    kinds = {re.sub(r"\d+", "*", layer) for layer in adapted}
    missing = [n for n in have if re.sub(r"\d+", "*", n) in kinds and n not in adapted]
    return f"it has no weights for the base's {missing[0]}" if missing else None
