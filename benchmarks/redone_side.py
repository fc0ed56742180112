"""One measured run of redone's hf backend, in a process of its own; started by eval_speed.py.

Reads {"model", "dtype", "section", "items", "data_dir"} as JSON from the first argument and writes
the measurement as JSON to the file named by the second.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from questions import limited, questions


def main(setup: dict[str, Any]) -> dict[str, Any]:
    started = time.perf_counter()
    from redone.harness.models.hf import HfModel

    requests = questions(setup["section"], setup["items"], setup["data_dir"])
    requests = limited(requests, setup["max_tokens"])
    model = HfModel(setup["model"], dtype=setup["dtype"])
    model.load()
    loaded = time.perf_counter()
    answers = {r.sample: c for r, c in model.run(iter(requests))}
    seconds = time.perf_counter() - loaded
    return {
        "seconds": seconds,
        "load_seconds": loaded - started,
        "tokens": sum(c.tokens for c in answers.values()),
        "prompt_tokens": sum(c.prompt_tokens for c in answers.values()),
        "answers": {name: c.text for name, c in answers.items()},
        "environment": model.environment(),
        **_prefill(model, requests),
    }


def _prefill(model: Any, requests: list[Any]) -> dict[str, Any]:
    """Rate of prefill behind a shared prefix, compared with the machine's matrix-product peak.

    Counted are the operations of the linear maps and of the attention over the keys that a token
    may see, not those of masked scores.
    """
    import torch

    from redone.harness.models.cpu.attention import read, read_prefix
    from redone.harness.models.cpu.sharing import common_length

    decoder = getattr(model._engine, "_decoder", None)
    if decoder is None:
        return {}
    rendered = [model._renderer.render(r.prompt) for r in requests[:12]]
    prompts = model._renderer.encode(rendered)
    shared = min(common_length(prompts[0], p[:-1]) for p in prompts[1:])
    hidden = decoder._embedding.shape[1]
    layers = len(decoder.layers)
    width = decoder.heads * decoder.size
    keys = decoder.kv_heads * decoder.size
    inner = decoder.layers[0].down.inputs
    linear = 2 * layers * hidden * (2 * width + 2 * keys + 3 * inner)
    best = 0.0
    with torch.inference_mode():
        prefix = read_prefix(decoder, prompts[0][:shared])
        for ids in prompts:
            own = len(ids) - shared
            seen = own * shared + own * (own + 1) / 2
            operations = own * linear + 4 * layers * width * seen
            start = time.perf_counter()
            read(decoder, [ids[shared:]], prefix, lambda *_: None)
            best = max(best, operations / (time.perf_counter() - start))
    peaks = {str(t).removeprefix("torch."): _peak(t) for t in (torch.float32, torch.bfloat16)}
    reached = {"prefill_gflops": best / 1e9, "peak_gflops": {k: v / 1e9 for k, v in peaks.items()}}
    return reached | {"prefill_share": best / peaks[str(decoder.dtype).removeprefix("torch.")]}


def _peak(dtype: Any) -> float:
    """Operations per second of a large matrix product, the best of ten."""
    import torch

    size = 2048
    a, b = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


if __name__ == "__main__":
    setup, result = sys.argv[1:]
    Path(result).write_text(json.dumps(main(json.loads(setup))), "utf-8")
