"""What a model is to the harness, whatever the backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, Protocol, get_args

from ...tasks.errors import UnknownName
from ...tasks.schema import Completion, Request

Thinking = Literal["auto", "on", "off"]
"""As the chat template does by itself, or its `enable_thinking` set."""

THINKING_TOKENS = 4096
"""Budget of `<think>...</think>`, on top of an answer's, where none is given."""


class Model(Protocol):
    """A source of completions.

    Attributes:
        backend: `hf`, `scripted`, ...
        name: As the user gave it.
        context: Tokens that prompt and answer may have together, None if unbounded or unknown.
        thinks: Whether its chat template supports thinking, so that answers need a budget for it.
    """

    backend: str
    name: str
    context: int | None
    thinks: bool

    def identity(self) -> dict[str, Any]:
        """What changes an answer: weights, chat template and its arguments, thinking mode."""
        ...

    def environment(self) -> dict[str, Any]:
        """What is recorded with the answers: backend, dtype, device, versions, batch size."""
        ...

    def overflow(self, request: Request) -> int:
        """By how many tokens prompt and limits exceed the context; 0 or less: they fit."""
        ...

    def run(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Completion]]:
        """Complete requests, pulled lazily, each yielded as soon as it is done, in any order."""
        ...

    def close(self) -> None:
        """Release memory and devices."""
        ...


def thinking_budget(
    thinks: bool, thinking: Thinking, given: int | None, context: int | None = None
) -> int:
    """Thinking tokens of a model, on top of its answer's: the one place that decides.

    Args:
        thinks: `Model.thinks`. Without it the whole context is left to prompt and answer.
        thinking: Its mode.
        given: The user's --max-thinking-tokens, if any.
        context: `Model.context`: at most half of it is taken for thinking.
    """
    if given is not None:
        return given
    if not thinks or thinking == "off":
        return 0
    return THINKING_TOKENS if context is None else min(THINKING_TOKENS, context // 2)


def check_thinking(thinking: str) -> None:
    """Raise `UnknownName` unless it is a thinking mode."""
    if thinking not in get_args(Thinking):
        raise UnknownName("thinking mode", thinking, get_args(Thinking))


def first_line(error: BaseException) -> str:
    """The first line of a foreign library's error, for a message of ours; without a full stop."""
    lines = str(error).strip().splitlines()
    return lines[0][:300].rstrip(".") if lines else repr(error)
