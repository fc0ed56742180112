"""Whether several backends had the same prompts and gave the same answers, up to ties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TIE = 1e-3
"""Gap of two logits in float32 that rounding may close."""


def agreement(model: str, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Compare all sides with `hf`, whose answers have their token ids.

    Args:
        model: Folder of the model, for transformers' own forward pass in float32.
        runs: By side what backend_side.py measured.

    Returns:
        Per side the items with different prompts, the answers that differ in a tie, and those that
        differ otherwise ("wrong"), each with the token where they diverge and the logits' gap.
    """
    hf = runs["hf"]
    forward = _Forward(model)
    sides = {}
    for side, run in runs.items():
        if side == "hf":
            continue
        different = [
            forward.difference(name, hf["prompts"][name], hf["ids"][name], run["answers"][name])
            for name, text in hf["answers"].items()
            if text != run["answers"][name]
        ]
        sides[side] = {
            "other_prompts": sorted(k for k, v in hf["prompts"].items() if run["prompts"][k] != v),
            "ties": [d for d in different if d["gap"] <= TIE],
            "wrong": [d for d in different if d["gap"] > TIE],
            # Where the text is the same, it must also have ended for the same reason.
            "other_finish": sorted(
                k
                for k, v in hf["finish"].items()
                if hf["answers"][k] == run["answers"][k] and run["finish"][k] != v
            ),
        }
    return {"prompts": len(hf["prompts"]), "sides": sides}


class _Forward:
    """transformers' own forward pass, loaded when it is first needed."""

    def __init__(self, model: str) -> None:
        self._path = model
        self._model: Any = None
        self._tokenizer: Any = None

    def difference(
        self, name: str, prompt: Sequence[int], ids: Sequence[int], text: str
    ) -> dict[str, Any]:
        """Where an answer diverges from another text, and the gap of the two best logits there."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if self._model is None:
            self._tokenizer = AutoTokenizer.from_pretrained(self._path)
            self._model = AutoModelForCausalLM.from_pretrained(self._path, dtype=torch.float32)
        at = 0
        while at < len(ids):
            begun = self._tokenizer.decode(ids[: at + 1], skip_special_tokens=True)
            # Half a character is not in the other text, but what follows may complete it.
            if not text.startswith(begun.rstrip("\ufffd")):
                break
            at += 1
        with torch.inference_mode():
            logits = self._model(input_ids=torch.tensor([[*prompt, *ids[:at]]])).logits[0, -1]
        first, second = logits.topk(2).values.tolist()
        return {"question": name, "token": at, "gap": first - second}
