"""From a request's prompt to the model's input tokens: chat template, tokenizer, context."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ...tasks.errors import RedoneError
from ...tasks.schema import Message, Request
from .base import Thinking
from .output import CLOSE, OPEN, opens_thinking

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def plain_text(messages: Sequence[Message]) -> str:
    """Messages for a model without a chat template: their texts, separated by blank lines.

    The last line ends with a newline so that the model continues below the prompt, not inside it.
    """
    return "\n\n".join(m["content"].strip("\n") for m in messages if m["content"]) + "\n"


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """The same conversation for a chat template that rejects the system role.

    The system text becomes the beginning of the first user message, separated by a blank line.
    """
    system = [m["content"] for m in messages if m["role"] == "system"]
    rest: list[Message] = [m for m in messages if m["role"] != "system"]
    if not system:
        return rest
    if not rest or rest[0]["role"] != "user":
        rest.insert(0, {"role": "user", "content": ""})
    first = "\n\n".join([*system, rest[0]["content"]]).strip("\n")
    return [{"role": "user", "content": first}, *rest[1:]]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as text, before tokenization.

    Attributes:
        text: Chat template applied, or the plain text.
        templated: Whether the text brings its special tokens along.
        opened: Whether it ends inside `<think>`.
    """

    text: str
    templated: bool
    opened: bool


class Renderer:
    """Applies chat template and tokenizer.

    Args:
        tokenizer: A transformers tokenizer.
        arguments: Extra arguments of the chat template.
        thinking: `on` and `off` reach the template as `enable_thinking`; `auto` leaves it alone.
    """

    rows: int | None = None
    """Tokens that the model's embedding knows, where that is known: others are an error."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, arguments: Mapping[str, Any], thinking: Thinking
    ) -> None:
        self.tokenizer = tokenizer
        self.arguments = dict(arguments)
        if thinking != "auto":
            self.arguments["enable_thinking"] = thinking == "on"
        self.template: str | None = (
            tokenizer.get_chat_template() if tokenizer.chat_template else None
        )
        self._folds = False
        self._overheads: dict[tuple[str, ...], int] = {}
        # Decoding drops special tokens; where the marks of thinking are some, they are put back.
        special = set(tokenizer.all_special_ids)
        marks = ((t, tokenizer.convert_tokens_to_ids(t)) for t in (OPEN, CLOSE))
        self._marks = {i: t for t, i in marks if i in special}

    @property
    def template_hash(self) -> str | None:
        """16 hex digits, None without a chat template."""
        if self.template is None:
            return None
        return hashlib.sha256(self.template.encode()).hexdigest()[:16]

    @property
    def thinks(self) -> bool:
        """Whether the chat template supports thinking."""
        return any(mark in (self.template or "") for mark in (OPEN, CLOSE, "enable_thinking"))

    def render(self, prompt: Sequence[Message] | str) -> Rendered:
        """A prompt as text.

        Raises:
            RedoneError: The chat template cannot take the messages.
        """
        if isinstance(prompt, str):
            return Rendered(prompt, False, opens_thinking(prompt))
        if self.template is None:
            return Rendered(plain_text(prompt), False, False)
        text = self._apply(prompt)
        return Rendered(text, True, opens_thinking(text))

    def encode(self, rendered: Sequence[Rendered]) -> list[list[int]]:
        """Token ids of many prompts; plain text gets the tokenizer's own special tokens."""
        out: dict[int, list[int]] = {}
        for templated in (True, False):
            texts = {i: r.text for i, r in enumerate(rendered) if r.templated is templated}
            if texts:
                ids = self._ids(list(texts.values()), special=not templated)
                out.update(zip(texts, ids, strict=True))
        return [out[i] for i in range(len(rendered))]

    def encode_pair(self, request: Request) -> tuple[list[int], int]:
        """Token ids of prompt and continuation, and how many of them are the continuation's.

        The two are tokenized as one text; white space at the end of the prompt is moved to the
        continuation, where most tokenizers have it (as in lm-eval, also with a chat template).
        """
        rendered = self.render(request.prompt)
        context = rendered.text.rstrip()
        continuation = rendered.text[len(context) :] + (request.continuation or "")
        special = not rendered.templated
        whole, before = self._ids([context + continuation, context], special=special)
        if not before:
            before, whole = [self.first_token], [self.first_token, *whole]
        return whole, max(len(whole) - len(before), 1) if continuation else 0

    @property
    def first_token(self) -> int:
        """The token before the first one of a text, so that the first has a probability too."""
        tokenizer = self.tokenizer
        tokens: list[Any] = [tokenizer.bos_token_id, tokenizer.eos_token_id]
        return next((int(token) for token in tokens if token is not None), 0)

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens, the marks of thinking kept."""
        if not any(i in self._marks for i in ids):
            return self._decode(ids)
        parts = ((mark, list(part)) for mark, part in groupby(ids, self._marks.get))
        return "".join(mark * len(part) if mark else self._decode(part) for mark, part in parts)

    def _most_tokens(self, prompt: Sequence[Message] | str) -> int:
        """An upper bound of a prompt's tokens, without a tokenizer: each has a byte or more."""
        if isinstance(prompt, str):
            return len(prompt.encode()) + 8
        roles = tuple(m["role"] for m in prompt)
        if roles not in self._overheads:
            blank: list[Message] = [{"role": r, "content": "x"} for r in roles]
            self._overheads[roles] = len(self.render(blank).text.encode()) + 8
        return self._overheads[roles] + sum(len(m["content"].encode()) for m in prompt)

    def overflow(self, request: Request, context: int | None) -> int:
        """By how many tokens prompt and limits exceed the context; 0 or less: they fit."""
        if context is None or request.kind == "rolling":
            return -1
        settings, scores = request.settings, request.kind == "loglikelihood"
        limits = settings.max_tokens + settings.max_thinking_tokens
        if scores:
            limits = len((request.continuation or "").encode())
        most = self._most_tokens(request.prompt) + limits
        if most <= context:
            return most - context
        if scores:
            return len(self.encode_pair(request)[0]) - context
        return len(self.encode([self.render(request.prompt)])[0]) + limits - context

    def scored_windows(self, request: Request, most: int | None) -> list[tuple[list[int], int]]:
        """The inputs of a log-likelihood: token ids, and how many of the last are scored.

        As in lm-eval. `loglikelihood` has one window: the continuation is kept whole, the start of
        a prompt that is too long is dropped. A `rolling` text that is too long has several windows:
        every token is scored once, and the last window has as much context as possible.

        Args:
            request: Not of kind `generate`.
            most: Tokens that a window may hold, 2 or more; None: any number.
        """
        if request.kind == "loglikelihood":
            ids, scored = self.encode_pair(request)
            if most is not None and len(ids) > most:
                ids = ids[-most:]
                scored = min(scored, len(ids) - 1)
            return [(ids, scored)]
        ids = [self.first_token, *self.encode([self.render(request.prompt)])[0]]
        step = max(1, (most or len(ids)) - 1)
        ends = [min(first + step, len(ids)) for first in range(1, len(ids), step)]
        starts = [1, *ends]
        return [
            (ids[max(0, end - step - 1) : end], end - start)
            for start, end in zip(starts, ends, strict=False)
        ]

    def _apply(self, messages: Sequence[Message]) -> str:
        from jinja2.exceptions import TemplateError

        folded = fold_system(messages)
        try:
            if self._folds:
                return self._template(folded)
            try:
                return self._template(messages)
            except TemplateError:
                text = self._template(folded)
        except TemplateError as error:
            roles = ", ".join(m["role"] for m in messages)
            raise RedoneError(
                f"The model's chat template cannot take messages with the roles {roles}: {error}. "
                "Pass other --chat-template-args, or use a raw string as the prompt."
            ) from error
        self._folds = True
        return text

    def _template(self, messages: Sequence[Message]) -> str:
        # A last message by the assistant is the beginning of the answer, which is continued.
        begun = bool(messages) and messages[-1]["role"] == "assistant"
        return self.tokenizer.apply_chat_template(  # type: ignore[return-value]
            [dict(m) for m in messages],
            tokenize=False,
            add_generation_prompt=not begun,
            continue_final_message=begun,
            **self.arguments,
        )

    def _ids(self, texts: list[str], special: bool) -> list[list[int]]:
        # verbose=False: the harness reports prompts beyond the context, not the tokenizer.
        found: Any = self.tokenizer(texts, add_special_tokens=special, verbose=False)["input_ids"]
        for ids in found:
            self.check_known(ids)
        return found

    def check_known(self, ids: Sequence[int]) -> None:
        """Raise `RedoneError` if the model's embedding does not know one of these tokens."""
        if self.rows is not None and ids and (worst := max(ids)) >= self.rows:
            name = self.tokenizer.convert_ids_to_tokens(worst)
            raise RedoneError(
                f"The tokenizer makes token {worst} ({name!r}), and the model's embedding knows "
                f"{self.rows} tokens only, ids 0 to {self.rows - 1}. Use the tokenizer that the "
                "model was trained with, or give a chat template (and adapter) without that token."
            )

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(  # type: ignore[return-value]
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
