"""Whether the fast engine gives the same answers as transformers' own `generate`.

    python benchmarks/agreement.py --model FOLDER --data-dir DIR [--items 17] [--dtype float32]

Greedy answers to mixed prompts of SNS-Bench, from both, one prompt at a time for `generate`. In
float32 they must be the same up to ties: a tie is a first difference where the two best logits of
the plain forward pass are within 0.001. In 16 bits rounding decides more often; there the share of
answers that differ is reported, and with it the share by which two plain runs differ that only
batch their prompts differently.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from machine import TINY, results
from questions import limited, questions, stop_with

from redone.tasks.errors import RedoneError

TIE = 1e-3
ALLOWED = 0.01


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    p.add_argument("--model", required=True, metavar="FOLDER")
    p.add_argument("--data-dir", metavar="DIR")
    p.add_argument("--items", type=int, default=17, help="per task, of twelve (default 17: 204)")
    p.add_argument("--dtype", default="float32")
    p.add_argument("--max-tokens", type=int, default=64, metavar="N", help="cap of tasks' limits")
    p.add_argument("--tiny", action="store_true", help=TINY)
    options = p.parse_args()
    if options.tiny:
        options.items, options.max_tokens = 1, 4
    try:
        result = compare(options)
    except RedoneError as error:
        stop_with(error)
        return
    path = results(options.tiny) / f"agreement_{options.dtype}.json"
    path.write_text(json.dumps(result, indent=1), "utf-8")
    print(json.dumps(result, indent=1))
    if options.dtype == "float32" and (result["wrong"] or result["tie_share"] > ALLOWED):
        raise SystemExit(f"More than ties differ, or more than {ALLOWED:.0%} of the prompts.")


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Both engines' answers, and the logits at each difference."""
    from redone.harness.models.hf import HfModel

    asked = limited(questions("mix", options.items, options.data_dir), options.max_tokens)
    found: dict[str, dict[str, list[int]]] = {}
    seconds, described = {}, {}
    sides = {"fast": ("auto", "auto"), "plain, batch 8": ("plain", 8), "plain": ("plain", 1)}
    if options.dtype == "float32":
        del sides["plain, batch 8"]
    for name, (engine, batch) in sides.items():
        model = HfModel(options.model, dtype=options.dtype, engine=engine, batch_size=batch)
        model.load()
        start = time.perf_counter()
        # Below `run`, rows still have the tokens of their answers.
        rows = model._engine.generate(model._generations(asked))
        found[name] = {row.request.sample: row.answer.ids for row in rows}
        seconds[name] = round(time.perf_counter() - start, 1)
        described[name] = model.environment()
        if name != "plain":
            model.close()
    fast, plain = found["fast"], found["plain"]
    differences = [
        _difference(model, request, fast[request.sample], plain[request.sample])
        for request in asked
        if fast[request.sample] != plain[request.sample]
    ]
    ties = [d for d in differences if d["gap"] <= TIE]
    out: dict[str, Any] = {
        "prompts": len(asked),
        "dtype": options.dtype,
        "arithmetic": described["fast"]["arithmetic"],
        "seconds": seconds,
        "tokens": {side: sum(map(len, ids.values())) for side, ids in found.items()},
        "different": len(differences),
        "different_share": len(differences) / len(asked),
        "ties": ties,
        "tie_share": len(ties) / len(asked),
        "wrong": [d for d in differences if d["gap"] > TIE],
    }
    if "plain, batch 8" in found:
        other = found["plain, batch 8"]
        out["plain_batches_differ_share"] = sum(other[k] != plain[k] for k in plain) / len(asked)
    return out


def _difference(model: Any, request: Any, fast: list[int], plain: list[int]) -> dict[str, Any]:
    """Where two answers diverge, and the gap between the two best logits there.

    Args:
        model: The plain one: the logits are those of transformers' own forward pass.
        request: The request.
        fast: Tokens of the fast engine's answer, without an end-of-text token.
        plain: Those of plain `generate`.
    """
    import torch

    renderer = model._renderer
    (prompt,) = renderer.encode([renderer.render(request.prompt)])
    pairs = enumerate(zip(fast, plain, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(fast), len(plain)))
    with torch.inference_mode():
        ids = torch.tensor([prompt + plain[:at]])
        logits = model._engine._model(input_ids=ids, use_cache=False).logits[0, -1].float()
    first, second = logits.topk(2).values.tolist()
    return {"prompt": request.sample, "token": at, "gap": first - second}


if __name__ == "__main__":
    main()
