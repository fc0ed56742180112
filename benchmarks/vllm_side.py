"""One measured run of vLLM alone, as its documentation shows it; started by backends.py.

Runs in the environment that has vLLM. Arguments as for backend_side.py.
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
    from vllm import LLM, SamplingParams
    from vllm import __version__ as version

    asked = limited(
        questions(setup["section"], setup["items"], setup["data_dir"]), setup["max_tokens"]
    )
    llm = LLM(
        setup["model"],
        dtype=setup["dtype"],
        generation_config="vllm",
        enable_prefix_caching=True,
        **setup["engine"],
    )
    loaded = time.perf_counter()
    outputs = llm.chat(
        [list(r.prompt) for r in asked],
        [
            SamplingParams(
                temperature=0.0,
                max_tokens=r.settings.max_tokens,
                stop=[s for s in r.settings.stop if s],
            )
            for r in asked
        ],
        use_tqdm=False,
    )
    seconds = time.perf_counter() - loaded
    return {
        "seconds": seconds,
        "load_seconds": loaded - started,
        "tokens": sum(len(o.outputs[0].token_ids) for o in outputs),
        "prompt_tokens": sum(len(o.prompt_token_ids) for o in outputs),
        "answers": {r.sample: o.outputs[0].text for r, o in zip(asked, outputs, strict=True)},
        "environment": {"vllm": version, "engine_args": setup["engine"]},
    }


if __name__ == "__main__":
    setup, result = sys.argv[1:]
    Path(result).write_text(json.dumps(main(json.loads(setup))), "utf-8")
