"""What a model wrote, made into an answer: the same steps for every backend.

`postprocess` is the one place where a text loses its thinking, what follows a stop text or a long
repetition, half a character at a token limit, and lone surrogates. `Answer` applies the same rules
token by token, so that an engine can stop as soon as an answer has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from ...tasks.schema import Completion, Settings
from ...tasks.text import well_formed
from .thinking import (
    HARMONY,
    KNOWN,
    LONGEST,
    THINK,
    Marks,
    closing,
    first_close,
    may_open,
    opening,
    unwrapped,
)

Opened = Marks | bool | None
"""The marks of the thinking that a prompt ends inside of; True: `<think>`; False, None: of none."""

# A character has at most four bytes, so at most four byte-level tokens; more unfinished tokens than
# this are bytes that never become a character.
_UNFINISHED = 4
# An answer repeats itself if its end is so many equal pieces; pieces of more bytes are not looked
# for. `Answer` looks each time that it has so many tokens more, for pieces of as many tokens.
_COPIES, _PIECE, _EVERY = 4, 256, 16


def postprocess(
    text: str,
    stops: Sequence[str] = (),
    opened: Opened = None,
    cut: bool = False,
    repetition: int = 0,
    marks: Sequence[Marks] = KNOWN,
) -> tuple[str | None, str, Literal["stop", "length"]]:
    """Thinking, answer and finish reason of what a model wrote.

    Args:
        text: Everything that the model wrote, special tokens removed but for marks of thinking.
        stops: Texts that end the answer; they act after the thinking only.
        opened: The marks of the thinking that the prompt ended inside of.
        cut: Whether a token limit ended it.
        repetition: As `Settings.max_repetition`.
        marks: Of thinking.

    Returns:
        The thinking (None where there was none); the answer before the first stop text or up to the
        end of a repetition; `length` if a repetition or the limit ended it before a stop text came,
        or its thinking was never closed.
    """
    text = well_formed(text)
    if cut:
        # The bytes of half a character decode to U+FFFD; vLLM leaves them out as well.
        text = text.rstrip("\ufffd")
    thinking, answer, closed = split_thinking(text, opened, marks)
    kept = cut_at_stop(answer, stops)
    whole = cut_at_repetition(kept, repetition)
    truncated = not closed or whole != kept or (cut and kept == answer)
    return thinking, whole, "length" if truncated else "stop"


def split_thinking(
    text: str, opened: Opened, marks: Sequence[Marks] = KNOWN
) -> tuple[str | None, str, bool]:
    """Separate the thinking from the answer.

    Args:
        text: Everything that the model wrote.
        opened: The marks of the thinking that the prompt ended inside of.
        marks: Of thinking.

    Returns:
        The thinking (None where there was none), the answer, and whether the thinking was closed
        (True where there was none). Unclosed thinking leaves the answer "". A closing mark without
        an opening one ends thinking that a template opened unseen.
    """
    pair, start = _begun(text, opened, marks)
    thoughts: list[str] = []
    if pair is None:
        if (found := first_close(text, marks)) is None:
            return None, text, True
        pair, end, behind = found
        if not text[:end].strip() and pair is HARMONY:  # a channel of its own for the answer
            return None, unwrapped(text[behind:].lstrip(), pair), True
        thoughts.append(text[:end].strip())
    else:
        close, _ = closing(text, pair, start)
        if close is None:
            if not opened and pair not in marks:  # a tag that only looks like one
                return None, text, True
            return text[start:].strip(), "", False
        thoughts.append(text[start : close.start()].strip())
        behind = close.end()
    while (begun := _again(text, pair, behind)) is not None:
        close, _ = closing(text, pair, begun)
        end = len(text) if close is None else close.start()
        thoughts.append(text[begun:end].strip())
        if close is None:
            return "\n".join(thoughts), "", False
        behind = close.end()
    return "\n".join(thoughts), unwrapped(text[behind:].lstrip(), pair), True


def _again(text: str, pair: Marks, start: int) -> int | None:
    """Where thinking begins that follows thinking between the same marks; None if none does."""
    found = None if pair.opening else opening(text, (pair,), start)
    return found[1] if found and found[0] is pair else None


def _begun(text: str, opened: Opened, marks: Sequence[Marks]) -> tuple[Marks | None, int]:
    """The marks of the thinking that a text begins with or in, and where it begins."""
    found = opening(text, marks)
    if not opened:
        return found or (None, 0)
    pair = THINK if opened is True else opened
    again = found is not None and found[0].close == pair.close
    return pair, found[1] if found and again else 0


def cut_at_stop(text: str, stops: Sequence[str]) -> str:
    """The part of a text before the first of the stop texts."""
    ends = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def cut_at_repetition(text: str, most: int) -> str:
    """The part of a text up to where it has repeated itself for `most` bytes of UTF-8.

    That is the first place before which so many bytes, and at least `_COPIES` times a piece of at
    most `_PIECE` bytes that shows something, are one periodic passage. 0: the whole text.
    """
    data = text.encode()
    if not most or len(data) < most:
        return text
    codes = np.frombuffer(data, dtype=np.uint8)
    ends = [len(data)]
    for period in range(1, min(_PIECE, len(data) // _COPIES) + 1):
        needed = max(most, _COPIES * period) - period
        # A run that is long enough has three of these places one after the other: few texts do.
        step = max(1, needed // 4)
        same = codes[period:][::step] == codes[:-period][::step]
        if not (same[:-2] & same[1:-1] & same[2:]).any():
            continue
        differs = np.flatnonzero(codes[period:] != codes[:-period])
        bounds = np.concatenate(([-1], differs, [len(data) - period]))
        for run in np.flatnonzero(np.diff(bounds) > needed):
            end = int(bounds[run]) + 1 + period + needed
            if _shows(data[end - period - needed : end]):
                ends.append(end)
                break
    end = min(ends)
    return text if end == len(data) else data[:end].decode("utf-8", "ignore")


def ends_in_repetition(text: str, most: int) -> bool:
    """Whether `cut_at_repetition` finds a repetition at the end of a text."""
    data = text.encode("utf-8", "replace")
    for period in range(1, min(_PIECE, len(data) // _COPIES) + 1):
        span = max(most, _COPIES * period)
        if span <= len(data) and data[-span:-period] == data[len(data) - span + period :]:
            return _shows(data[-span:])
    return False


def _shows(passage: bytes) -> bool:
    """Whether a passage is more than spaces and marks that nobody sees."""
    return any(c.isprintable() and not c.isspace() for c in passage.decode("utf-8", "ignore"))


class Answer:
    """Tokens of one answer, checked one by one against its stop rules.

    Tokens are turned to text only as far as the rules need it: not at all for an answer without
    stop texts, once it is clear that it does not begin with thinking.

    Args:
        settings: Limits and stop texts.
        decode: Token ids to text, special tokens left out.
        eos: Ids of the tokens that end a text.
        opened: The marks of the thinking that the prompt ends inside of.
        room: Tokens that the model's context leaves for the answer, None: no bound.
        marks: Of thinking.
    """

    def __init__(
        self,
        settings: Settings,
        decode: Callable[[Sequence[int]], str],
        eos: frozenset[int],
        opened: Opened = None,
        room: int | None = None,
        marks: Sequence[Marks] = KNOWN,
    ) -> None:
        self.ids: list[int] = []
        self.written = 0
        self.finish: Literal["stop", "length"] | None = None
        self._settings, self._decode, self._eos, self._opened = settings, decode, eos, opened
        self._room, self._marks = room, marks
        self._pair = THINK if opened is True else opened or None
        # "behind": thinking has been closed, and may begin again
        self._state = "thinking" if opened else "undecided"  # or "behind", "answering"
        self._thought = 0
        self._held = 0  # tokens of the answer that may open thinking again
        self._begin: int | None = None  # where the thinking begins
        self._text = ""
        self._from = 0  # where the part of the text that stop texts act on begins
        self._context, self._read, self._tail = 0, 0, ""
        self._longest = max((len(s) for s in settings.stop), default=0)
        self._check_limits()

    def again(self) -> Answer:
        """The same answer before its first token."""
        return Answer(
            self._settings, self._decode, self._eos, self._opened, self._room, self._marks
        )

    @property
    def limit(self) -> int:
        """The most tokens that this answer may still take."""
        settings = self._settings
        left = settings.max_tokens + settings.max_thinking_tokens - self.written
        return left if self._room is None else min(left, self._room - self.written)

    def add(self, token: int) -> bool:
        """Take the next token; True when the answer has ended."""
        self.written += 1
        if token in self._eos:
            self.finish = "stop"
            return True
        self.ids.append(token)
        if self._state == "behind":
            self._held += 1
        elif self._state != "answering":  # what may yet open thinking is counted as thinking
            self._thought += 1
        if self._state != "answering" or self._longest:
            self._advance()
        if self.finish is None and self._settings.max_repetition and self._loops():
            self.finish = "length"
        if self.finish is None:
            self._check_limits()
        return self.finish is not None

    def completion(self, prompt_tokens: int, seconds: float) -> Completion:
        """The finished answer."""
        thinking, text, finish = postprocess(
            self._decode(self.ids),
            self._settings.stop,
            self._opened,
            self.finish != "stop",
            self._settings.max_repetition,
            self._marks,
        )
        return Completion(text, finish, thinking, prompt_tokens, self.written, seconds)

    def _check_limits(self) -> None:
        """Thinking has its own budget; what it takes beyond that is the answer's."""
        settings = self._settings
        spent = self.written - min(self._thought, settings.max_thinking_tokens)
        if spent >= settings.max_tokens or (self._room is not None and self.written >= self._room):
            self.finish = "length"

    def _loops(self) -> bool:
        """Whether the answer ends in a repetition; looked at now and then, at little cost."""
        if self._state != "answering" or len(self.ids) % _EVERY:
            return False
        tail, ids = self.ids[-_EVERY:], self.ids
        if all(ids[-_EVERY - back : -back] != tail for back in range(1, _PIECE + 1)):
            return False
        text = split_thinking(self._decode(ids), self._opened, self._marks)[1]
        return ends_in_repetition(text.rstrip("\ufffd"), self._settings.max_repetition)

    def _advance(self) -> None:
        """Turn new tokens to text; see whether thinking begins or ends, or a stop text came."""
        # Some tokenizers decode a token differently at the start of a text than inside it, so the
        # new ones are read with the last accepted ones before them.
        text = self._decode(self.ids[self._context :])
        if text.endswith("\ufffd") and len(self.ids) - self._read < _UNFINISHED:
            return
        before = len(self._text)
        self._text += text[len(self._tail) :]
        self._context, self._read = self._read, len(self.ids)
        self._tail = self._decode(self.ids[self._context :])
        if self._state == "undecided":
            found = opening(self._text, self._marks)
            if found is not None:
                self._state, (self._pair, self._begin) = "thinking", found
            elif not may_open(self._text, self._marks):
                self._state, self._thought, before = "answering", 0, 0
        pair = self._pair
        if self._state == "behind" and pair is not None:
            begun = _again(self._text, pair, self._from)
            if begun is not None:
                self._state, self._begin = "thinking", begun
                self._thought += self._held
            elif pair.opening or not may_open(self._text, (pair,), self._from):
                self._answers()
                before = self._from
        if (
            self._state == "thinking"
            and pair is not None
            and pair.ends.search(self._text, max(0, before - LONGEST))
        ):
            begin = self._begin
            if begin is None:
                begin = _begun(self._text, self._opened, self._marks)[1]
            close, whole = closing(self._text, pair, begin)
            if close is not None and whole:
                self._state, self._from, self._held = "behind", close.end(), 0
                again = _again(self._text, pair, self._from) is not None
                if not again and (pair.opening or not may_open(self._text, (pair,), self._from)):
                    self._answers()
                before = self._from
        if self._state == "answering" and self._longest:
            start = max(self._from, before - self._longest + 1)
            if any(self._text.find(s, start) >= 0 for s in self._settings.stop if s):
                self.finish = "stop"

    def _answers(self) -> None:
        """The answer begins with the first character behind the thinking that shows."""
        rest = self._text[self._from :]
        self._state = "answering"
        self._from += len(rest) - len(rest.lstrip())
