"""What a model is to the harness, and how its output is read, whatever the backend."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol

from ...tasks.schema import Completion, Message, Request

Thinking = Literal["auto", "on", "off"]

OPEN, CLOSE = "<think>", "</think>"
THINKING_TOKENS = 4096
"""Budget of `<think>...</think>`, on top of an answer's, where none is given."""

_OPENED = re.compile(re.escape(OPEN) + r"\s*\Z")


class Model(Protocol):
    """A source of completions.

    Attributes:
        backend: `hf`, `scripted`, ...
        name: What the user gave.
        context: Tokens that prompt and answer may have together, None if unbounded or unknown.
        thinks: Whether its chat template knows of thinking, so that answers need a budget for it.
    """

    backend: str
    name: str
    context: int | None
    thinks: bool

    def identity(self) -> dict[str, Any]:
        """What changes an answer: weights, chat template and its arguments, thinking mode."""
        ...

    def environment(self) -> dict[str, Any]:
        """What is recorded and told beside the answers: backend, dtype, device, versions, batch."""
        ...

    def overflow(self, request: Request) -> int:
        """By how many tokens prompt and limits exceed the context; 0 or less: they fit."""
        ...

    def run(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Completion]]:
        """Complete requests, pulled lazily, each yielded as soon as it is done, in any order."""
        ...

    def close(self) -> None:
        """Give memory and devices back."""
        ...


def thinking_budget(thinks: bool, thinking: Thinking, given: int | None) -> int:
    """Tokens that a model may think in, on top of its answer's: the one place that decides.

    A model that thinks gets a budget for it; any other keeps its context for the prompt.

    Args:
        thinks: Whether the model's chat template knows of thinking (`Model.thinks`).
        thinking: Its mode.
        given: What the user asks for; None: nothing.
    """
    if given is not None:
        return given
    return THINKING_TOKENS if thinks and thinking != "off" else 0


def plain_text(messages: Sequence[Message]) -> str:
    """Messages for a model without a chat template: their texts, a blank line between.

    The last line ends with a newline so that the model continues below the prompt, not inside it.
    """
    return "\n\n".join(m["content"].strip("\n") for m in messages if m["content"]) + "\n"


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """The same conversation for a chat template that rejects the system role.

    The system text opens the first user message, a blank line between.
    """
    system = [m["content"] for m in messages if m["role"] == "system"]
    rest: list[Message] = [m for m in messages if m["role"] != "system"]
    if not system:
        return rest
    if not rest or rest[0]["role"] != "user":
        rest.insert(0, {"role": "user", "content": ""})
    first = "\n\n".join([*system, rest[0]["content"]]).strip("\n")
    return [{"role": "user", "content": first}, *rest[1:]]


def opens_thinking(prompt: str) -> bool:
    """Whether a rendered prompt leaves a `<think>` open for the model to go on in."""
    return _OPENED.search(prompt[-64:]) is not None


def split_thinking(text: str, opened: bool) -> tuple[str | None, str, bool]:
    """Take the thinking off an answer: the one place where this is done.

    Args:
        text: Everything that the model wrote, special tokens removed.
        opened: Whether the prompt ended inside `<think>`.

    Returns:
        The thinking (None where there was none), the answer, and whether the thinking was closed
        (True where there was none). Unclosed thinking leaves the answer "". A `</think>` without an
        opening one ends thinking that a template opened unseen.
    """
    body = text.lstrip()
    begins = body.startswith(OPEN)
    if not (opened or begins or CLOSE in text):
        return None, text, True
    thinking, close, answer = (body[len(OPEN) :] if begins else text).partition(CLOSE)
    return thinking.strip(), answer.lstrip(), bool(close)


def whole_characters(text: str) -> str:
    """A text cut by a token limit without the half character at its end, as vLLM gives it.

    A character of several bytes may need several tokens; the bytes of the first ones alone decode
    to U+FFFD.
    """
    return text.rstrip("\ufffd")


def finished(
    text: str, stops: Sequence[str], opened: bool, cut: bool
) -> tuple[str | None, str, Literal["stop", "length"]]:
    """Thinking, answer and finish reason of what a model wrote, whatever the engine.

    Args:
        text: Everything that the model wrote, special tokens removed.
        stops: Texts that end the answer.
        opened: Whether the prompt ended inside `<think>`.
        cut: Whether a token limit ended it.

    Returns:
        The thinking (None where there was none); the answer before the first stop text; `length` if
        the limit ended it before a stop text came, or its thinking was never closed.
    """
    thinking, answer, closed = split_thinking(whole_characters(text) if cut else text, opened)
    kept = cut_at_stop(answer, stops)
    ended = not closed or (cut and kept == answer)
    return thinking, kept, "length" if ended else "stop"


def cut_at_stop(text: str, stops: Sequence[str]) -> str:
    """What stands before the first of the stop texts."""
    ends = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text
