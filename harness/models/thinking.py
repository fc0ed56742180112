"""The marks between which models think: `<think>`, `[THINK]`, harmony's channels and the others.

A text begins with thinking if it begins with an opening mark. `KNOWN` marks are recognized in the
texts of every backend, and so is any tag that is named after thinking, if it is closed;
`--thinking-marks` and a tokenizer's vocabulary add others.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Marks:
    """A pair of marks.

    Attributes:
        open, close: As a model usually writes them.
        opening, closing: Regular expressions of all their forms; "": the texts themselves.
        end: Regular expression of what ends the answer behind them; "": nothing.
    """

    open: str
    close: str
    opening: str = ""
    closing: str = ""
    end: str = ""

    @cached_property
    def begins(self) -> re.Pattern[str]:
        """The opening mark."""
        return re.compile(self.opening or re.escape(self.open))

    @cached_property
    def ends(self) -> re.Pattern[str]:
        """The closing mark."""
        return re.compile(self.closing or re.escape(self.close))

    @cached_property
    def after(self) -> re.Pattern[str] | None:
        """What ends the answer."""
        return re.compile(self.end) if self.end else None


THINK = Marks("<think>", "</think>")
_ROLE = r"(?:<\|start\|>)?(?:assistant)?"
_HEADER = r"[^<]{0,80}(?:<\|constrain\|>[^<]{0,40})?<\|message\|>"
HARMONY = Marks(
    "<|channel|>analysis<|message|>",
    "<|channel|>final<|message|>",
    rf"{_ROLE}<\|channel\|>(?!\s*final){_HEADER}",
    rf"(?:<\|end\|>)?{_ROLE}<\|channel\|>\s*final{_HEADER}",
    r"<\|(?:return|end|call|start)\|>",
)
"""Channels of gpt-oss: whatever is not in the final one is thinking."""
WITHOUT_SPECIAL = Marks(
    "analysis", "assistantfinal", r"(?:analysis|commentary)(?=(?s:.+)assistantfinal)"
)
"""Harmony's channels as a server leaves them that drops special tokens."""

KNOWN: tuple[Marks, ...] = (
    THINK,
    Marks("<thinking>", "</thinking>"),
    Marks("<thought>", "</thought>"),
    Marks("<reasoning>", "</reasoning>"),
    Marks("<seed:think>", "</seed:think>"),
    Marks("[THINK]", "[/THINK]"),
    Marks("◁think▷", "◁/think▷"),
    Marks("<|START_THINKING|>", "<|END_THINKING|>"),
    Marks("<|begin_of_thought|>", "<|end_of_thought|>"),
    Marks("<|inner_prefix|>", "<|inner_suffix|>"),
    Marks("<|channel>thought", "<channel|>"),
    HARMONY,
    WITHOUT_SPECIAL,
)

_NAME = r"[\w:.|-]{0,40}(?:think|thought|reason|scratchpad|analysis)[\w:.|-]{0,40}"
_TAG = re.compile(rf"<(?P<angle>{_NAME})>|\[(?P<square>{_NAME})\]|◁(?P<arrow>{_NAME})▷", re.I)
_BRACKETS = {"angle": "<>", "square": "[]", "arrow": "◁▷"}
_ENDS = (("begin", "end"), ("start", "end"), ("prefix", "suffix"), ("open", "close"))
LONGEST = 256
"""Characters that a mark has at most."""
_WRAPPED = re.compile(
    r"\s*(?:<\|START_RESPONSE\|>(?P<a>.*?)(?:<\|END_RESPONSE\|>|\Z)"
    r"|<\|begin_of_solution\|>(?P<b>.*?)(?:<\|end_of_solution\|>|\Z)"
    r"|<response>(?P<c>.*?)(?:</response>|\Z))",
    re.S,
)


def tag(text: str) -> Marks | None:
    """The marks of an opening tag that is named after thinking, None if the text is none."""
    found = _TAG.fullmatch(text)
    if found is None or found.lastgroup is None:
        return None
    name, (left, right) = found[found.lastgroup], _BRACKETS[found.lastgroup]
    if "/" in name or name.strip("|").lower().startswith("end"):
        return None
    bare = name.strip("|")
    for first, last in _ENDS:
        for a, b in ((first, last), (first.upper(), last.upper())):
            if re.search(rf"(?<![A-Za-z]){a}(?![A-Za-z])", bare):
                return Marks(text, text.replace(a, b))
    close = f"{left}|/{bare}|{right}" if name.startswith("|") else f"{left}/{name}{right}"
    return Marks(text, close)


def opening(text: str, marks: Sequence[Marks] = KNOWN) -> tuple[Marks, int] | None:
    """The marks that a text begins with, white space aside, and where its thinking begins."""
    start = len(text) - len(text.lstrip())
    for pair in marks:
        if found := pair.begins.match(text, start):
            return pair, found.end()
    if (found := _TAG.match(text, start)) and (pair := tag(found[0])):
        return pair, found.end()
    return None


def may_open(text: str, marks: Sequence[Marks] = KNOWN) -> bool:
    """Whether more text could make an opening mark of what a text begins with."""
    body = text.lstrip()
    if not body or any(pair.open.startswith(body) for pair in marks):
        return True
    if len(body) > LONGEST:
        return False
    if body.startswith(("<|channel|>", "<|start|>")):
        return "<|message|>" not in body
    return re.fullmatch(r"[<\[◁][\w:.|-]*", body) is not None


def ending(text: str, marks: Sequence[Marks] = KNOWN) -> Marks | None:
    """The marks whose opening one a rendered prompt ends with, which the model continues."""
    tail = text[-2 * LONGEST :].rstrip()
    for pair in marks:
        if pair is not WITHOUT_SPECIAL and re.search(rf"(?:{pair.begins.pattern})\Z", tail):
            return pair
    found = re.search(rf"(?:{_TAG.pattern})\Z", tail, re.I)
    return tag(found[0]) if found else None


def closed_at_end(text: str, marks: Sequence[Marks] = KNOWN) -> bool:
    """Whether a rendered prompt ends behind thinking, so that the model does not think."""
    tail = text[-2 * LONGEST :].rstrip()
    return any(re.search(rf"(?:{pair.ends.pattern})\Z", tail) for pair in marks)


def first_close(text: str, marks: Sequence[Marks] = KNOWN) -> tuple[Marks, int, int] | None:
    """A closing mark without an opening one: of thinking that a template opened unseen.

    Returns:
        The marks, where the closing one begins, and where it ends.
    """
    found = []
    for pair in marks:
        if pair is WITHOUT_SPECIAL or (pair.close if pair is not HARMONY else "final") not in text:
            continue
        if (match := pair.ends.search(text)) is None:
            continue
        # Elsewhere than `</think>`, marks in the middle of an answer are the answer's own.
        if pair is THINK or pair.begins.search(text, 0, match.start()) is None:
            found.append((match.start(), match.end(), pair))
    if not found:
        return None
    start, end, pair = min(found, key=lambda f: f[0])
    return pair, start, end


def unwrapped(answer: str, pair: Marks) -> str:
    """The answer behind thinking without the marks around it."""
    if pair.after is not None and (found := pair.after.search(answer)):
        answer = answer[: found.start()]
    if found := _WRAPPED.match(answer):
        answer = next(part for part in found.groups() if part is not None)
    return answer.strip() if found else answer


def of_vocabulary(tokens: Collection[str]) -> tuple[Marks, ...]:
    """The marks that a tokenizer has tokens for, both of a pair."""
    known = set(tokens)
    candidates = [*KNOWN, *(pair for token in sorted(known) if (pair := tag(token)))]
    found = {p.open: p for p in candidates if p.open in known and p.close in known}
    if {"<|channel|>", "<|message|>"} <= known:
        found[HARMONY.open] = HARMONY
    if {"<|channel>", "<channel|>"} <= known:
        found["<|channel>thought"] = next(p for p in KNOWN if p.close == "<channel|>")
    return tuple(found.values())


def mentioned(text: str) -> bool:
    """Whether a text contains an opening mark anywhere."""
    pairs = (pair for pair in KNOWN if pair is not WITHOUT_SPECIAL)
    return any(p.begins.search(text) for p in pairs) or any(
        tag(found[0]) for found in _TAG.finditer(text)
    )
