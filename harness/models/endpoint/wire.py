"""Bodies of the requests to an OpenAI-compatible server, and how its replies are parsed.

Everything from a server is checked: `Unusable` means that a reply contains no answer, and the
request is retried. A server that does not return the log-probabilities of a prompt never will, so
`Unsupported` ends the run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ....tasks.errors import RedoneError
from ....tasks.schema import Completion, Settings
from ..output import Opened, postprocess
from ..thinking import KNOWN, THINK, Marks

MOST_STOPS = 4
"""Stop texts that every server accepts; all are applied to the answer here in any case."""

_LARGEST_SEED = 2**31 - 1
_CUT = {"length", "max_tokens", "model_length"}
_ABORTED = {"abort", "error"}

NEUTRAL: Mapping[str, Mapping[str, Any]] = {
    "vllm": {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
    "sglang": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    "llamacpp": {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
}
"""Servers (by the `owned_by` of their models) that take missing settings from the model's own
generation configuration or their own defaults: the values that mean "off" are sent to them."""


class Trouble(Exception):
    """An attempt that failed and may succeed when retried.

    Attributes:
        slow_down: Whether the server may be overloaded.
        wait: Seconds that it requests to wait.
        tries: How many tries this one counts for.
    """

    def __init__(
        self, reason: str, *, slow_down: bool = False, wait: float = 0.0, tries: int = 1
    ) -> None:
        super().__init__(reason)
        self.slow_down, self.wait, self.tries = slow_down, wait, tries


class Unusable(Trouble):
    """A reply without a usable answer; the text says why."""


class Unsupported(RedoneError):
    """The server cannot do what the tasks need."""


def sampling(settings: Settings, seed: int | None, server: str) -> dict[str, Any]:
    """The fields of a request that say how to sample, for a kind of server (`NEUTRAL`).

    The seed is cut to 31 bits, the most that some servers accept.
    """
    fields: dict[str, Any] = {"temperature": settings.temperature, **NEUTRAL.get(server, {})}
    if settings.temperature > 0:
        fields["top_p"] = settings.top_p
        if settings.top_k:
            fields["top_k"] = settings.top_k
        if seed is not None:
            fields["seed"] = seed & _LARGEST_SEED
    return fields


def limits(settings: Settings, field: str) -> dict[str, Any]:
    """The fields that end an answer; `field` is the server's name of the token limit.

    A server applies stop texts to thinking too, we do not: where a model may think, `completion`
    applies them.
    """
    fields: dict[str, Any] = {field: settings.max_tokens + settings.max_thinking_tokens}
    stops = [s for s in settings.stop if s][:MOST_STOPS]
    if stops and not settings.max_thinking_tokens:
        fields["stop"] = stops
    return fields


def completion(
    answer: Any,
    settings: Settings,
    opened: Opened,
    seconds: float,
    marks: Sequence[Marks] = KNOWN,
) -> Completion:
    """The completion in the decoded body of a reply; `opened`: the thinking that the prompt began.

    Raises:
        Unusable: It contains no answer.
    """
    choice = _choice(answer)
    reason = choice.get("finish_reason")
    if reason in _ABORTED:
        raise Unusable(f"an answer aborted by the server ({reason})")
    cut = reason in _CUT
    written_text, repetition = _text(choice, cut), settings.max_repetition
    thinking, text, ended = postprocess(written_text, settings.stop, opened, cut, repetition, marks)
    read, written = _usage(answer)
    return Completion(text, ended, thinking, read, written, seconds)


def scoring(ids: Sequence[int]) -> dict[str, Any]:
    """The fields that request the log-probabilities of a prompt's own tokens."""
    return {"prompt": list(ids), "max_tokens": 0, "temperature": 0.0, "echo": True, "logprobs": 1}


def scored(answer: Any, tokens: int, count: int, seconds: float) -> Completion:
    """Log-probability of the last tokens of a prompt, and whether each was the likeliest.

    Args:
        answer: The decoded body.
        tokens: Length of the prompt.
        count: How many of its last tokens are scored.
        seconds: From request to reply.

    Raises:
        Unusable: It contains no answer.
        Unsupported: It lacks the prompt's log-probabilities, or they are not finite.
    """
    found = _choice(answer).get("logprobs")
    tables = found if isinstance(found, Mapping) else {}
    chosen, best = tables.get("token_logprobs"), tables.get("top_logprobs")
    if not (isinstance(chosen, list) and isinstance(best, list)) or (
        {len(chosen), len(best)} != {tokens}
    ):
        raise Unsupported(
            "The server does not return the log-probabilities of a prompt (`echo` with `logprobs` "
            "on /completions), which tasks with log-likelihoods need. vLLM does; or use --backend "
            "hf."
        )
    total, greedy = 0.0, True
    for value, table in zip(chosen[tokens - count :], best[tokens - count :], strict=True):
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            raise Unsupported(
                f"The server gives a log-probability that is not finite ({value}): its model's "
                "weights are damaged, or its arithmetic overflows (often float16)."
            )
        if not _is_number(value) or not isinstance(table, Mapping):
            raise Unusable("a log-probability that is not a number")
        others = [v for v in table.values() if _is_number(v)]
        total += value
        greedy = greedy and value >= max(others, default=value)
    read, _ = _usage(answer)
    return Completion("", prompt_tokens=read, seconds=seconds, logprob=total, greedy=greedy)


def assembled(stream: bytes) -> dict[str, Any]:
    """The answer that a stream of events adds up to, for gateways that always stream.

    Raises:
        Unusable: It reports an error, or ends before the answer does.
    """
    texts: dict[str, list[str]] = {}
    found: dict[str, Any] = {"choices": []}
    chat, reason, ended = True, None, False
    for line in stream.decode("utf-8", "replace").splitlines():
        name, _, data = line.partition(":")
        if name.strip() != "data" or not data.strip():
            continue
        if data.strip() == "[DONE]":
            ended = True
            break
        event = json.loads(data)
        if not isinstance(event, Mapping):
            continue
        if event.get("error"):
            raise Unusable(f"a stream with an error ({str(event['error'])[:200]})")
        if isinstance(event.get("usage"), Mapping):
            found["usage"] = event["usage"]
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, Mapping):
            continue
        chat = "text" not in choice
        part = (choice.get("delta") or choice.get("message") or {}) if chat else choice
        for field, text in part.items() if isinstance(part, Mapping) else ():
            if field in _WRITTEN and isinstance(text, str):
                texts.setdefault(field, []).append(text)
        reason = choice.get("finish_reason") or reason
    if not ended and reason is None:
        raise Unusable("a stream that ends before the answer does")
    written = {field: "".join(parts) for field, parts in texts.items()}
    message = {"message": {"content": None, **written}} if chat else {"text": "", **written}
    found["choices"] = [{**message, "finish_reason": reason}]
    return found


_WRITTEN = ("content", "refusal", "reasoning_content", "reasoning", "text")
"""Fields of a stream's events that hold text."""


def _usage(answer: Mapping[str, Any]) -> tuple[int, int]:
    """Prompt and completion tokens by the server's count, 0 if it reports none."""
    counted = answer.get("usage")
    counts = counted if isinstance(counted, Mapping) else {}
    read, written = (counts.get(f"{kind}_tokens") for kind in ("prompt", "completion"))
    return _count(read), _count(written)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 40 else 0


def _choice(answer: Any) -> Mapping[str, Any]:
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    if not isinstance(choices, list):
        raise Unusable("an answer without choices")
    if not choices or not isinstance(choices[0], Mapping):
        raise Unusable("an answer with empty choices")
    return choices[0]


def _text(choice: Mapping[str, Any], cut: bool) -> str:
    """Everything that the model wrote, with thinking put back that the server had taken off."""
    message = choice.get("message")
    if not isinstance(message, Mapping):
        text = choice.get("text")
        if not isinstance(text, str):
            raise Unusable("an answer without text")
        return text
    content = message.get("content")
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, Mapping))
        content = "".join(str(text or "") for text in parts)
    if content is not None and not isinstance(content, str):
        raise Unusable("an answer whose content is not text")
    content = content or message.get("refusal") or ""
    thought = message.get("reasoning_content") or message.get("reasoning")
    if not isinstance(thought, str) or not thought:
        return str(content)
    begun = f"{THINK.open}{thought}"
    return begun if cut and not content else f"{begun}{THINK.close}{content}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
