"""One measured run of one of redone's backends, in a process of its own; started by backends.py.

Reads the setup as JSON from the first argument and writes the measurement as JSON to the file named
by the second: seconds to start and to answer, tokens, texts, and for every prompt the token ids
that the model was given.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from questions import limited, questions
from vllm_server import serving

from redone.tasks.schema import Request


def main(setup: dict[str, Any]) -> dict[str, Any]:
    started = time.perf_counter()
    asked = limited(
        questions(setup["section"], setup["items"], setup["data_dir"]), setup["max_tokens"]
    )
    with ExitStack() as stack:
        url = stack.enter_context(serving(setup)) if setup["backend"] == "endpoint" else ""
        model = _model(setup, url)
        stack.callback(model.close)
        prompts, ids = _recorded(model)
        if hasattr(model, "load"):
            model.load()
        loaded = time.perf_counter()
        done = {r.sample: c for r, c in model.run(iter(asked))}
        seconds = time.perf_counter() - loaded
        if setup.get("api") == "chat":
            prompts = _tokenized_by_server(url, setup["model"], asked)
        return {
            "seconds": seconds,
            "load_seconds": loaded - started,
            "tokens": sum(c.tokens for c in done.values()),
            "prompt_tokens": sum(c.prompt_tokens for c in done.values()),
            "answers": {name: c.text for name, c in done.items()},
            "finish": {name: c.finish for name, c in done.items()},
            "prompts": prompts,
            "ids": ids,
            "environment": model.environment(),
        }


def _model(setup: dict[str, Any], url: str) -> Any:
    if setup["backend"] == "hf":
        from redone.harness.models.hf import HfModel

        return HfModel(setup["model"], dtype=setup["dtype"])
    if setup["backend"] == "vllm":
        from redone.harness.models.vllm import VllmModel

        return VllmModel(setup["model"], dtype=setup["dtype"], args=setup["engine"])
    from redone.harness.models.endpoint import EndpointModel, EndpointOptions

    options = EndpointOptions(api=setup["api"], concurrency=2 * setup["engine"]["max_num_seqs"])
    return EndpointModel(setup["model"], url, tokenizer=setup["model"], options=options)


def _recorded(model: Any) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Prompts as given to the model, and (of hf) the tokens of answers, filled in as it runs."""
    prompts: dict[str, list[int]] = {}
    answers: dict[str, list[int]] = {}
    if model.backend == "hf":
        from redone.harness.models.rows import Row

        finish = Row.completion

        def completion(self: Row) -> Any:
            prompts[self.request.sample] = list(self.ids)
            if self.answer is not None:
                answers[self.request.sample] = list(self.answer.ids)
            return finish(self)

        Row.completion = completion
    elif model.backend == "vllm":
        collect = model._collect

        def recorded(pending: Any, output: Any) -> Any:
            prompts[pending.request.sample] = list(output.prompt_token_ids)
            return collect(pending, output)

        model._collect = recorded
    else:
        body_of = model._body

        def recorded_body(request: Request) -> Any:
            path, body, opened = body_of(request)
            if request.sample and isinstance(body.get("prompt"), list):
                prompts[request.sample] = body["prompt"]
            return path, body, opened

        model._body = recorded_body
    return prompts, answers


def _tokenized_by_server(url: str, model: str, asked: list[Request]) -> dict[str, list[int]]:
    """Token ids of messages by the server's own template and tokenizer."""
    import httpx

    found = {}
    for request in asked:
        body = {"model": model, "messages": request.prompt, "add_generation_prompt": True}
        told = httpx.post(f"{url.removesuffix('/v1')}/tokenize", json=body, timeout=60)
        found[request.sample] = told.json()["tokens"]
    return found


if __name__ == "__main__":
    setup, result = sys.argv[1:]
    Path(result).write_text(json.dumps(main(json.loads(setup))), "utf-8")
