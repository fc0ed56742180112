"""From a request's prompt to the model's input tokens: chat template, tokenizer, context."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ...tasks.errors import RedoneError
from ...tasks.schema import Message, Request, Settings
from .base import Thinking
from .chat_template import TURN_MARK, ChatTemplate
from .thinking import HARMONY, KNOWN, THINK, Marks, closed_at_end, ending, of_vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def plain_text(messages: Sequence[Message]) -> str:
    """Messages for a model without a chat template: their texts, separated by blank lines.

    The last line ends with a newline so that the model continues below the prompt, not inside it.
    """
    return "\n\n".join(m["content"].strip("\n") for m in messages if m["content"]) + "\n"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as text, before tokenization.

    Attributes:
        text: Chat template applied, or the plain text.
        templated: Whether the text brings its special tokens along.
        opened: The marks of the thinking that it ends inside of.
    """

    text: str
    templated: bool
    opened: Marks | None


class Renderer:
    """Applies chat template and tokenizer.

    Args:
        tokenizer: A transformers tokenizer.
        arguments: Extra arguments of the chat template.
        thinking: `on` and `off` reach the template as `enable_thinking`; `auto` leaves it alone.
        chosen: Name of one of several chat templates, or a file; None: the default one.
        marks: The user's own marks of thinking, opening and closing one.

    Attributes:
        template: None for a model without a chat template.
        marks: Of thinking, in the order of trying.

    Raises:
        RedoneError: The chat template cannot be chosen.
    """

    rows: int | None = None
    """Tokens that the model's embedding knows, where that is known: others are an error."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        arguments: Mapping[str, Any],
        thinking: Thinking,
        chosen: str | None = None,
        marks: Sequence[str] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.arguments = dict(arguments)
        if thinking != "auto":
            self.arguments["enable_thinking"] = thinking == "on"
        self.template: ChatTemplate | None = None
        if tokenizer.chat_template or chosen is not None:
            self.template = ChatTemplate(tokenizer, self.arguments, chosen)
        self._overheads: dict[tuple[str, ...], int] = {}
        self._counted: tuple[tuple[Message, ...] | str, int] | None = None
        self._own = (Marks(*marks),) if marks else ()
        self._vocabulary = of_vocabulary(self._added())
        self.marks = tuple(dict.fromkeys((*self._own, *self._vocabulary, *KNOWN)))
        self._kept = self._kept_tokens()

    @property
    def template_hash(self) -> str | None:
        """16 hex digits, None without a chat template."""
        if self.template is None:
            return None
        return hashlib.sha256(self.template.text.encode()).hexdigest()[:16]

    def identity(self) -> dict[str, Any]:
        """What changes a prompt."""
        form = self.template.form if self.template else ""
        own = [[pair.open, pair.close] for pair in self._own]
        return {
            "chat_template": self.template_hash,
            **({"chat_template_messages": form} if form else {}),
            "chat_template_args": dict(sorted(self.arguments.items())),
            **({"thinking_marks": own[0]} if own else {}),
        }

    @property
    def notes(self) -> list[str]:
        """What was done to prompts beyond applying the chat template, for people."""
        return self.template.notes if self.template else []

    @cached_property
    def thinks(self) -> bool:
        """Whether answers may begin with thinking, and so need a budget for it.

        A chat template that only takes thinking off earlier turns shows that for a model alone that
        has tokens for the marks.
        """
        if self._own:
            return True
        if self.template is None:
            return False
        prompt: Message = {"role": "user", "content": "?"}
        if closed_at_end(self.template.tried([prompt]), self.marks):
            return False
        text = self.template.text
        strips = any(p.open in text or p.close in text for p in self._vocabulary)
        return "enable_thinking" in text or strips or self.template.writes_thinking

    @cached_property
    def turn_end(self) -> int | None:
        """The token with which the chat template ends a turn of the assistant, None without one.

        Some models' own end of text is another token, and their answers would run on.
        """
        tail = self.template.turn_end if self.template else ""
        if not tail:
            return None
        # Some tokenizers have added tokens for runs of spaces, which end nothing.
        added = {i for t, i in self._added().items() if t[:1] in "<[" and t[1:]}
        (ids,) = self._ids([tail], special=False)
        ends = {*self._special_ids(), *added}
        if HARMONY in self._vocabulary:  # there it also ends the thinking
            ends.discard(self.tokenizer.convert_tokens_to_ids("<|end|>"))  # type: ignore[arg-type]
        return next((int(i) for i in ids if i in ends), None)

    def ended(self, settings: Settings) -> Settings:
        """The settings, with the end of a turn as a stop text where no token stands for it."""
        tail = self.template.turn_end if self.template else ""
        found = TURN_MARK.match(tail)
        if found is None or self.turn_end is not None:
            return settings
        return replace(settings, stop=(*settings.stop, found[1]))

    def before_answer(self, messages: Sequence[Message]) -> str:
        """What stands between a prompt and an answer without thinking.

        That is what the chat template writes there (Qwen3's an empty `<think></think>`); where the
        prompt opens the thinking, it is closed.
        """
        rendered = self.render(messages)
        written = self.template.before_answer(messages) if self.template else ""
        if written is None or (rendered.opened and rendered.opened.close not in written):
            written = f"{rendered.opened.close}\n\n" if rendered.opened else ""
        return written

    def render(self, prompt: Sequence[Message] | str) -> Rendered:
        """A prompt as text.

        Raises:
            RedoneError: The chat template cannot take the messages, or loses some of their text.
        """
        if isinstance(prompt, str):
            return Rendered(prompt, False, ending(prompt, self.marks))
        if self.template is None:
            return Rendered(plain_text(prompt), False, None)
        text = self.template.render(prompt)
        return Rendered(text, True, ending(text, self.marks))

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
        if not any(i in self._kept for i in ids):
            return self._decode(ids)
        parts = ((mark, list(part)) for mark, part in groupby(ids, self._kept.get))
        return "".join(mark * len(part) if mark else self._decode(part) for mark, part in parts)

    def _special_ids(self) -> set[int]:
        """Ids of the tokens that decoding drops."""
        added = getattr(self.tokenizer, "added_tokens_decoder", {})
        marked = {i for i, token in added.items() if getattr(token, "special", False)}
        return {*self.tokenizer.all_special_ids, *marked}

    def _added(self) -> dict[str, int]:
        """The tokens that were added to the vocabulary, with their ids."""
        tokenizer: Any = self.tokenizer
        return tokenizer.get_added_vocab()

    def _kept_tokens(self) -> dict[int, str]:
        """Special tokens that decoding drops though marks of thinking consist of them, by id."""
        special = self._special_ids()
        used = "".join(p.open + p.close for p in (*self._own, *self._vocabulary, THINK))
        tokens = self._added().items()
        return {i: token for token, i in tokens if i in special and token in used}

    def _most_tokens(self, prompt: Sequence[Message] | str) -> int:
        """An upper bound of a prompt's tokens, without a tokenizer: each has a byte or more."""
        if isinstance(prompt, str):
            return len(prompt.encode()) + 8
        roles = tuple(m["role"] for m in prompt)
        if roles not in self._overheads:
            blank: list[Message] = [{"role": r, "content": "x"} for r in roles]
            self._overheads[roles] = len(self.render(blank).text.encode()) + 8
        return self._overheads[roles] + sum(len(m["content"].encode()) for m in prompt)

    def overflow(self, request: Request, context: int | None, scored: int | None = None) -> int:
        """By how many tokens prompt and limits exceed the context; 0 or less: they fit.

        Args:
            request: Any.
            context: Tokens that the model holds; None: no bound.
            scored: Tokens that prompt and continuation of a log-likelihood may have; None: those of
                the context.
        """
        if context is None or request.kind == "rolling":
            return -1
        settings, scores = request.settings, request.kind == "loglikelihood"
        limits = settings.max_tokens + settings.max_thinking_tokens
        if scores:
            limits, context = len((request.continuation or "").encode()), scored or context
        most = self._most_tokens(request.prompt) + limits
        if most > context:
            most = self._count(request.prompt) + limits
        if scores and most > context:
            most = len(self.encode_pair(request)[0])
        return most - context

    def _count(self, prompt: tuple[Message, ...] | str) -> int:
        """Tokens of a prompt; requests about one prompt follow each other."""
        if self._counted is None or self._counted[0] != prompt:
            self._counted = prompt, len(self.encode([self.render(prompt)])[0])
        return self._counted[1]

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
