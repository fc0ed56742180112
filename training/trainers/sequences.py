"""What supervised training reads: rows as tokens, prompt and answer apart, and how they are packed.

A prompt is rendered as an evaluation renders it, and the answer's tokens follow it as a model would
write them: what is learnt is what will be asked.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...harness.models.base import CLOSE, plain_text
from ...tasks.errors import RedoneError
from ...tasks.schema import Message
from ..corpus.row import CorpusRow

if TYPE_CHECKING:
    from torch import Tensor

    from ...harness.models.checkpoint import Checkpoint
    from ...harness.models.rendering import Renderer


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row as tokens.

    Attributes:
        prompt: Ids that are read only; 1 or more.
        answer: Ids that are learnt, the one that ends the turn included; 1 or more.
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


class Tokeniser:
    """Turns questions and answers into tokens for one model.

    Args:
        renderer: The model's chat template and tokenizer.
        end: Id of the token that ends the assistant's turn.
    """

    def __init__(self, renderer: Renderer, end: int) -> None:
        self.renderer, self.end = renderer, end

    @classmethod
    def of(cls, source: Checkpoint) -> Tokeniser:
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
        """The whole text without a template: all of it is learnt but the first token."""
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
    tokeniser: Tokeniser,
    rows: Iterable[CorpusRow],
    *,
    rationale: Callable[[CorpusRow], bool],
    weight: Callable[[CorpusRow], float],
    raw_text: bool,
    max_tokens: int,
) -> tuple[list[TokenRow], list[str]]:
    """Rows as tokens.

    Args:
        tokeniser: Of the model.
        rows: To learn from.
        rationale: Whether a row is asked to reason, and its rationale learnt.
        weight: Of a row's loss; the mean over all learnt tokens counts as 1.
        raw_text: The whole text is learnt, without a template.
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
        made = tokeniser.plain if raw_text else tokeniser.turn
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


def packs_of(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Rows shared out to sequences: each goes, the longest first, where the least room is left.

    Args:
        lengths: Tokens of each row, none above `most`.
        most: Tokens of a sequence.

    Returns:
        The indices in each sequence.
    """
    packs: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (left, pack), sorted
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        at = bisect_left(room, (lengths[index], -1))
        left, pack = room.pop(at) if at < len(room) else (most, len(packs))
        if pack == len(packs):
            packs.append([])
        packs[pack].append(index)
        insort(room, (left - lengths[index], pack))
    return packs


def padded_logprobs(model: Any, rows: Sequence[TokenRow], pad: int) -> list[Tensor]:
    """Log-probabilities of answers, a row of the batch each.

    Args:
        model: A causal language model of transformers; gradients flow.
        rows: A batch.
        pad: Fills up shorter rows, and is masked.

    Returns:
        For each row those of its answer's tokens, float32.
    """
    import torch

    from .packing import padded

    device = next(model.parameters()).device
    prompts, prompt_mask = padded([row.prompt for row in rows], pad, left=True)
    answers, mask = padded([row.answer for row in rows], pad)
    ids = torch.cat([prompts, answers], 1).to(device)
    seen = torch.cat([prompt_mask, mask], 1).to(device)
    logits = model(
        input_ids=ids,
        attention_mask=seen,
        position_ids=(seen.cumsum(1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=answers.shape[1] + 1,
    ).logits[:, :-1]
    found = _chosen(logits, answers.to(device))
    return [line[: len(row.answer)] for line, row in zip(found, rows, strict=True)]


def packed_logprobs(model: Any, rows: Sequence[TokenRow]) -> list[Tensor]:
    """The same of rows that stand one after the other in one sequence, none seeing another.

    Positions begin anew with each row; attention of every kind in transformers is kept apart by
    them where there is neither mask nor cache.
    """
    import torch

    device = next(model.parameters()).device
    ids = [token for row in rows for token in row.tokens]
    positions = [place for row in rows for place in range(len(row))]
    starts = torch.tensor([len(row) for row in rows]).cumsum(0).tolist()
    sources = [
        place
        for row, end in zip(rows, starts, strict=True)
        for place in range(end - len(row.answer) - 1, end - 1)
    ]
    logits = model(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([positions], device=device),
        use_cache=False,
        logits_to_keep=torch.tensor(sources, device=device),
    ).logits[0]
    answers = torch.tensor([token for row in rows for token in row.answer], device=device)
    return list(_chosen(logits, answers).split([len(row.answer) for row in rows]))


def _chosen(logits: Tensor, tokens: Tensor) -> Tensor:
    """The log-probability of one token under each distribution."""
    logits = logits.float()
    return logits.gather(-1, tokens[..., None])[..., 0] - logits.logsumexp(-1)
