"""Whether a model folder holds a causal language model, and all of its weights.

transformers fills what a file lacks with random numbers, drops what a model has no place for, and
says so in a warning: here both are errors. Excepted are tied weights, which transformers has sorted
out before, and buffers that the architecture computes by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...tasks.errors import RedoneError

_BUFFERS = re.compile(
    r"(^|\.)(inv_freq|position_ids|masked_bias|causal_mask|embed_positions\.weights)$"
)
"""Tables and masks that older versions of the architectures stored."""
_OF_BLOCKS = re.compile(r"(.*)\.(bias|mask|version)$")
"""As above, but only in a module that has others within: a layer's bias is a weight."""
_OTHER_SENSES = re.compile(
    r"(^|[._])(vision|visual|vit|vpm|image|audio|speech|video|multi_modal|mm|projector|talker)"
)
"""Parts of a model of text and more that its text-only class leaves out."""
_SHOWN = 3


def refuse_other_kinds(path: str, config: Any) -> None:
    """Raise if a configuration is of an encoder, or of an encoder and a decoder.

    Some of them have a class for causal language modeling, which would run with weights that were
    never trained for it.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    kind = None
    if getattr(config, "is_encoder_decoder", False) or _by_default_encodes(type(config)):
        kind = "an encoder-decoder"
    elif (
        type(config) in MODEL_FOR_MASKED_LM_MAPPING
        and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
        and not getattr(config, "is_decoder", False)
        and not getattr(config, "causal", False)
    ):
        kind = "an encoder-only"
    if kind:
        raise RedoneError(
            f"{path} is {kind} model ({config.model_type}), not a causal language model: it does "
            "not continue a text. Give a decoder-only model."
        )


def _by_default_encodes(kind: type) -> bool:
    """Whether a configuration is of encoder-decoders unless it says otherwise."""
    try:
        return bool(getattr(kind(), "is_encoder_decoder", False))
    except Exception:  # one that cannot be made without arguments says so itself
        return False


def refuse_incomplete(path: str, config: Any, model: Any, found: Mapping[str, Iterable]) -> None:
    """Raise if a model was not filled from its files, tensor by tensor.

    Args:
        path: Of the model, for the message.
        config: Of the folder, transformers' own.
        model: As loaded.
        found: transformers' loading information.
    """
    blocks = {name for name, module in model.named_modules() if any(module.children())}
    layers = {name for name, _ in model.named_modules()}
    missing = [k for k in found["missing_keys"] if not _BUFFERS.search(k)]
    unexpected = [k for k in found["unexpected_keys"] if not _own_buffer(k, blocks)]
    if config.get_text_config() is not config:
        unexpected = [k for k in unexpected if not _OTHER_SENSES.search(k)]
    if getattr(config, "quantization_config", None) is not None:  # scales and zero points of layers
        unexpected = [k for k in unexpected if k.rpartition(".")[0] not in layers]
    shapes = [
        f"{name} ({_dims(theirs)}, expected {_dims(ours)})"
        for name, theirs, ours in sorted(found["mismatched_keys"])
    ]
    kinds = {
        "missing": sorted(missing),
        "unexpected": sorted(unexpected),
        "of another shape": shapes,
    }
    faults = [f"{kind} {_listed(names)}" for kind, names in kinds.items() if names]
    if not faults:
        return
    stated = getattr(config, "architectures", None) or []
    other = [f" (a {name})" for name in stated if not re.search("LM|Generation", str(name))][:1]
    raise RedoneError(
        f"{path}{''.join(other)} does not hold the weights of the causal language model that its "
        f"config.json describes: {'; '.join(faults)}. Save the whole model with its head "
        "(`AutoModelForCausalLM` in transformers), or correct config.json."
    )


def _own_buffer(name: str, blocks: set[str]) -> bool:
    if _BUFFERS.search(name):
        return True
    found = _OF_BLOCKS.fullmatch(name)
    # Files of older versions may lack the name of the inner model at the beginning.
    return found is not None and any(b == found[1] or b.endswith(f".{found[1]}") for b in blocks)


def _dims(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
