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
        return re.compile(self.opening or re.escape(self.open), self._flags)

    @cached_property
    def ends(self) -> re.Pattern[str]:
        """The closing mark."""
        return re.compile(self.closing or re.escape(self.close), self._flags)

    @property
    def _flags(self) -> re.RegexFlag:
        """Tags are written in any case; `[Think]` may be a word in brackets."""
        return re.I if self.open.startswith("<") and not self.opening else re.NOFLAG

    @cached_property
    def after(self) -> re.Pattern[str] | None:
        """What ends the answer."""
        return re.compile(self.end) if self.end else None


_THINK_ENDS = r"</think(?:ing)?>"
THINK = Marks("<think>", "</think>", closing=_THINK_ENDS)
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
    Marks("<thinking>", "</thinking>", closing=_THINK_ENDS),
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


# What may stand before thinking: marks that nobody sees, and those of a chat template, with a role.
_ROLES = r"(?:assistant|model)\b"
_LEFT_OVER = re.compile(
    r"[\s\u200b-\u200d\u2060\ufeff\u00ad]+"
    r"|(?:<[|｜](?!channel|message)[^<>|｜\s]{1,40}[|｜]>|</?s>|\[/INST\]"
    rf"|<(?:bos|im_start|im_end|start_of_turn|end_of_turn)>)(?:\s*{_ROLES})?|assistant\s*[\n:]"
)
_MOST_LEFT_OVER = 16


def opening(text: str, marks: Sequence[Marks] = KNOWN, start: int = 0) -> tuple[Marks, int] | None:
    """The marks that a text begins with, and where its thinking begins.

    White space and the marks of a chat template do not count.

    Args:
        text: What a model wrote.
        marks: Of thinking.
        start: Where to look.
    """
    for _ in range(_MOST_LEFT_OVER):
        for pair in marks:
            if found := pair.begins.match(text, start):
                return pair, found.end()
        if (found := _TAG.match(text, start)) and (pair := tag(found[0])):
            return pair, found.end()
        if (left := _LEFT_OVER.match(text, start)) is None:
            return None
        start = left.end()
    return None


def may_open(text: str, marks: Sequence[Marks] = KNOWN, start: int = 0) -> bool:
    """Whether more text could make an opening mark of what a text begins with."""
    for _ in range(_MOST_LEFT_OVER):
        if (left := _LEFT_OVER.match(text, start)) is None:
            break
        start = left.end()
    body = text[start : start + LONGEST + 1]
    if not body or "assistant\n".startswith(body):
        return True
    if any(pair.open.lower().startswith(body.lower()) for pair in marks):
        return True
    if len(body) > LONGEST:
        return False
    if body.startswith(("<|channel|>", "<|start|>")):
        return "<|message|>" not in body
    return re.fullmatch(r"[<\[◁][\w:.|｜▁/-]*", body) is not None


def closing(text: str, pair: Marks, start: int) -> tuple[re.Match[str] | None, bool]:
    """The mark that closes thinking, and whether every opening one before it has its own.

    Of nested thinking it is the outer one; the last of all if the text has too few.
    """
    first = pair.ends.search(text, start)
    if first is None or pair.opening or not pair.begins.search(text, start, first.start()):
        return first, True
    both = [(found, 1) for found in pair.begins.finditer(text, start)]
    both += [(found, -1) for found in pair.ends.finditer(text, start)]
    depth, last = 1, first
    for found, step in sorted(both, key=lambda item: item[0].start()):
        depth += step
        last = found if step < 0 else last
        if not depth:
            return found, True
    return last, False


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
    lower = text.lower()
    for pair in marks:
        close = "final" if pair is HARMONY else pair.close.lower()
        if pair is WITHOUT_SPECIAL or close not in lower:
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
    found: dict[str, Marks] = {}
    for pair in candidates:
        if pair.open in known and pair.close in known:
            found.setdefault(pair.open, pair)
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
