"""Rows as tokens, prompt and answer apart: what supervised training reads.

A prompt is rendered as an evaluation renders it, and the answer's tokens follow it as a model would
write them: what is learned is what will be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...harness.models.output import CLOSE
from ...harness.models.rendering import plain_text
from ...tasks.errors import RedoneError
from ...tasks.schema import Message
from ..rows import TrainingRow

if TYPE_CHECKING:
    from ...harness.models.checkpoint import Checkpoint
    from ...harness.models.rendering import Renderer


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row as tokens.

    Attributes:
        prompt: Ids that are read only; 1 or more.
        answer: Ids that are learned, the one that ends the turn included; 1 or more.
        weight: Of each of their losses.
    """

    prompt: list[int]
    answer: list[int]
    weight: float = 1.0

    @property
    def tokens(self) -> list[int]:
        return [*self.prompt, *self.answer]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


class RowTokenizer:
    """Turns questions and answers into tokens for one model.

    Args:
        renderer: The model's chat template and tokenizer.
        end: Id of the token that ends the assistant's turn.
    """

    def __init__(self, renderer: Renderer, end: int) -> None:
        self.renderer, self.end = renderer, end

    @classmethod
    def of(cls, source: Checkpoint) -> RowTokenizer:
        """That of a model folder."""
        from ...harness.models.rendering import Renderer

        renderer = Renderer(source.tokenizer, {}, "auto")
        return cls(renderer, _turn_end(source))

    def turn(self, messages: Sequence[Message], answer: str) -> tuple[list[int], list[int]]:
        """A conversation and the answer to learn."""
        rendered = self.renderer.render(messages)
        (prompt,) = self.renderer.encode([rendered])
        # A template that opens the thinking in the prompt wants it closed before an answer.
        text = f"{CLOSE}\n\n{answer}" if rendered.opened else answer
        return prompt or [self.renderer.first_token], [*self._ids(text), self.end]

    def plain(self, messages: Sequence[Message], answer: str) -> tuple[list[int], list[int]]:
        """The whole text without a template: all of it is learned but the first token."""
        text = plain_text([*messages, {"role": "assistant", "content": answer}]).strip("\n")
        tokenizer = self.renderer.tokenizer
        ids: list[int] = tokenizer(text, verbose=False)["input_ids"]  # type: ignore[assignment]
        eos: int = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else self.end  # type: ignore[assignment]
        if not ids or ids[0] != self.renderer.first_token:
            ids = [self.renderer.first_token, *ids]
        return ids[:1], [*ids[1:], eos]

    def _ids(self, text: str) -> list[int]:
        found = self.renderer.tokenizer(text, add_special_tokens=False, verbose=False)
        return found["input_ids"]  # type: ignore[return-value]


def _turn_end(source: Checkpoint) -> int:
    """The token with which the chat template ends an assistant's turn, else the end of a text."""
    tokenizer, mark = source.tokenizer, "\u2402"
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": mark}]
        text: Any = tokenizer.apply_chat_template(turns, tokenize=False)
        tail = tokenizer(text.rpartition(mark)[2], add_special_tokens=False)["input_ids"]
        for token in tail:  # type: ignore[union-attr]
            if token in source.eos:
                return int(token)  # type: ignore[arg-type]
    if not source.eos:
        raise RedoneError(
            f"{source.folder} names no token that ends a text, so no answer could be taught to "
            "end. Give its tokenizer an `eos_token`."
        )
    own = tokenizer.eos_token_id
    return int(own) if own is not None else min(source.eos)  # type: ignore[arg-type]


def token_rows(
    tokenizer: RowTokenizer,
    rows: Iterable[TrainingRow],
    *,
    rationale: Callable[[TrainingRow], bool],
    weight: Callable[[TrainingRow], float],
    raw_text: bool,
    max_tokens: int,
) -> tuple[list[TokenRow], list[str]]:
    """Rows as tokens.

    Args:
        tokenizer: Of the model.
        rows: To learn from.
        rationale: Whether a row is asked to reason, and its rationale learned.
        weight: Of a row's loss; the mean over all learned tokens counts as 1.
        raw_text: The whole text is learned, without a template.
        max_tokens: Prompt and answer together.

    Returns:
        Those that fit, in order, and the ids of those that do not.

    Raises:
        RedoneError: None fits, or a weight is not 0 or more.
    """
    kept: list[TokenRow] = []
    left_out: list[str] = []
    for row in rows:
        if not 0 <= (own := weight(row)) < float("inf"):
            raise RedoneError(f"Row {row.id!r} has the weight {own}: a number from 0 is expected.")
        reasoned = rationale(row)
        made = tokenizer.plain if raw_text else tokenizer.turn
        prompt, answer = made(row.asked(reasoned), row.learnt(reasoned))
        if len(prompt) + len(answer) <= max_tokens:
            kept.append(TokenRow(prompt, answer, own))
        else:
            left_out.append(row.id)
    total = sum(len(row.answer) for row in kept)
    mean = sum(row.weight * len(row.answer) for row in kept) / max(1, total)
    if not mean:
        what = "has a weight above 0" if kept else f"has {max_tokens} tokens or fewer"
        raise RedoneError(
            f"None of the {len(kept) + len(left_out)} rows {what}, so there is nothing to learn. "
            "Raise max_tokens, or give other rows."
        )
    return [TokenRow(r.prompt, r.answer, r.weight / mean) for r in kept], left_out
