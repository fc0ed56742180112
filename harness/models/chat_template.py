"""A model's chat template: which one, whether it writes what it is given, how it ends a turn.

Templates lose text: some ignore the system role, some want an item's `content` as a list of parts
and write nothing of a string. So what was put in is compared with what came out, and the messages
are given in another form where the template needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from os.path import commonprefix
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tasks.errors import RedoneError, UnknownName
from ...tasks.schema import Message
from .thinking import THINK, mentioned

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMS = ("", "folded", "parts", "folded+parts")
"""How messages are given to a template, in the order of trying: as they are; the system text at the
beginning of the first user message; each content as a list of parts; both."""
_DONE = {
    "folded": "the system text was put at the beginning of the user's message",
    "parts": "messages were given as lists of parts",
    "folded+parts": "messages were given as lists of parts, the system text in the user's message",
}
_FLAGS = ("/no_think", "/think")
"""Switches in a system text that some templates take out."""
TURN_MARK = re.compile(r"\s*(<[^<>\s]{1,40}>|\[[^\[\]\s]{1,40}\])")
"""A mark such as `<|im_end|>` at the beginning of a text."""
_MARK = "\u2402"
_FAILS = (ValueError, TypeError, LookupError, AttributeError)


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """The same conversation for a chat template that rejects the system role, or ignores it.

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


def lost(text: str, messages: Sequence[Message]) -> Message | None:
    """The first message whose content a rendered text does not have; white space does not count.

    What precedes `</think>` in a turn of the assistant, and switches of thinking, may be missing.
    """
    left = "".join(text.split())
    # Long ones first: a short text may be part of a long one.
    for message in sorted(messages, key=lambda m: -len(m["content"])):
        content = message["content"]
        if message["role"] == "assistant":
            content = content.rpartition(THINK.close)[2]
        wanted = "".join(content.split())
        if wanted not in left:
            for flag in _FLAGS:
                wanted = wanted.replace(flag, "")
            if wanted not in left:
                return message
        if wanted:
            left = left.replace(wanted, "\0", 1)
    return None


class ChatTemplate:
    """A chat template and its arguments.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        arguments: Extra arguments of the template.
        chosen: Name of one of several templates, or a file; None: the default one.

    Raises:
        RedoneError: There are several and none is the default, or there is none of this name.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        arguments: Mapping[str, Any],
        chosen: str | None = None,
    ) -> None:
        self._tokenizer, self._arguments = tokenizer, arguments
        self.name, self.text = _chosen(tokenizer, chosen)
        self._forms: dict[tuple[str, ...], str] = {}

    @cached_property
    def form(self) -> str:
        """The form that an instruction and a question need: one of `FORMS`."""
        found = self._tried(("system", "user"), FORMS)
        return found or self._tried(("user",), FORMS) or ""

    @property
    def notes(self) -> list[str]:
        """What was done so that the template loses no text, for people."""
        used = sorted({form for form in self._forms.values() if form})
        return [
            f"The chat template ({self.name}) does not write messages as they are: {_DONE[form]}."
            for form in used
        ]

    def render(self, messages: Sequence[Message]) -> str:
        """A conversation as text; a last message by the assistant is continued.

        Raises:
            RedoneError: The template cannot take the messages, or loses some of their text.
        """
        roles = tuple(m["role"] for m in messages)
        if roles not in self._forms:
            self._forms[roles] = self._form_of(roles)
        error: Exception | None = None
        missing: Message | None = None
        for form in dict.fromkeys((self._forms[roles], *FORMS)):
            try:
                text = self.apply(_given(messages, form))
            except Exception as raised:
                if not _is_the_templates(raised):
                    raise
                error = error or raised
                continue
            missing = lost(text, messages)
            if missing is None:
                self._forms[roles] = form
                return text
        raise self._refusal(roles, missing, error)

    def apply(self, messages: Sequence[Mapping[str, Any]], **more: Any) -> str:
        """What the template writes, unchecked."""
        # A last message by the assistant is the beginning of the answer, which is continued.
        begun = bool(messages) and messages[-1]["role"] == "assistant"
        return self._tokenizer.apply_chat_template(  # type: ignore[return-value]
            [dict(m) for m in messages],
            chat_template=self.text,
            tokenize=False,
            **{"add_generation_prompt": not begun, "continue_final_message": begun}
            | dict(self._arguments)
            | more,
        )

    @cached_property
    def turn_end(self) -> str:
        """What the template writes behind a turn of the assistant, "" if that is not known."""
        turns: list[Message] = [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": _MARK},
        ]
        tail = self._whole(turns).rpartition(_MARK)[2]
        return tail if tail.strip() else self._end_before_a_turn() or tail

    def _end_before_a_turn(self) -> str:
        """The mark that ends a turn of the assistant only where another turn follows; or ""."""
        contents = [f"{_MARK}{number}{_MARK}" for number in range(3)]
        roles = ("user", "assistant", "user")
        turns: list[Message] = [
            {"role": role, "content": text} for role, text in zip(roles, contents, strict=True)
        ]
        for form in dict.fromkeys((self.form, "")):
            text = self.tried(
                _given(turns, form), add_generation_prompt=False, continue_final_message=False
            )
            if all(content in text for content in contents):
                before = text.partition(contents[0])[0]
                between = text.partition(contents[1])[2].partition(contents[2])[0]
                bos = getattr(self._tokenizer, "bos_token", None) or ""
                return _ending(before.removeprefix(bos), between)
        return ""

    def before_answer(self, messages: Sequence[Message]) -> str | None:
        """What the template writes between a prompt and its answer; None if that is not known."""
        prompt = self.render(messages)
        form = self._forms[tuple(m["role"] for m in messages)]
        answer: Message = {"role": "assistant", "content": _MARK}
        whole = self._whole([*_given(messages, form), *_given([answer], form)])
        before, mark, _ = whole.rpartition(_MARK)
        return before[len(prompt) :] if mark and before.startswith(prompt) else None

    @cached_property
    def writes_thinking(self) -> bool:
        """Whether it ever writes an opening mark, which is more than to take thinking off."""
        user = {"role": "user", "content": "?"}
        thought = dict.fromkeys(("reasoning_content", "reasoning", "thinking"), "r")
        answer = {"role": "assistant", "content": "a", **thought}
        for arguments in ({}, {"enable_thinking": True}, {"thinking": True}):
            for turns in ([user], [user, answer], [user, answer, user]):
                begun = turns[-1] is answer
                options = {"add_generation_prompt": not begun, "continue_final_message": False}
                for form in ("", "parts"):
                    text = self.tried(_given(turns, form), **options, **arguments)
                    if mentioned(text):
                        return True
        return False

    def _whole(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """A conversation that ends with its answer, "" if the template fails on it."""
        for form in dict.fromkeys((self.form, "")):
            given = _given(messages, form)
            text = self.tried(given, add_generation_prompt=False, continue_final_message=False)
            if _MARK in text:
                return text
        return ""

    def tried(self, messages: Sequence[Mapping[str, Any]], **more: Any) -> str:
        """What the template writes, unchecked; "" if it fails."""
        try:
            return self.apply(messages, **more)
        except Exception as error:
            if not _is_the_templates(error):
                raise
            return ""

    def _tried(self, roles: Sequence[str], forms: Iterable[str]) -> str | None:
        """The first form in which every content comes out, None if there is none."""
        contents = [f"{_MARK}{number}{_MARK}" for number in range(len(roles))]
        messages: list[Message] = [
            {"role": role, "content": text} for role, text in zip(roles, contents, strict=True)
        ]
        for form in forms:
            text = self.tried(_given(messages, form))
            if text and all(content in text for content in contents):
                return form
        return None

    def _form_of(self, roles: tuple[str, ...]) -> str:
        """The form that a sequence of roles needs; tried with short texts that nothing contains."""
        return self._tried(roles, dict.fromkeys((self.form, *FORMS))) or self.form

    def _refusal(
        self, roles: Sequence[str], missing: Message | None, error: Exception | None
    ) -> RedoneError:
        ways = (
            "Choose another with --chat-template NAME or FILE, pass other --chat-template-args, or "
            "use a raw string as the prompt."
        )
        if missing is None:
            return RedoneError(
                "The model's chat template cannot take messages with the roles "
                f"{', '.join(roles)}: {str(error).rstrip('.')} (template {self.name}). {ways}"
            )
        return RedoneError(
            f"The model's chat template ({self.name}) loses the text of the {missing['role']} "
            "message, also with the system text in the user's message and with contents as lists "
            f"of parts. {ways}"
        )


def _ending(before: str, between: str) -> str:
    """The mark that ends a turn, "" without one.

    Args:
        before: What stands before the first turn of the user.
        between: What stands between a turn of the assistant and a turn of the user.
    """
    # What stands before both turns of the user is how such a turn begins.
    begins = commonprefix([before[::-1], between[::-1]])
    end = between[: len(between) - len(begins)]
    # All of it may stand before the first one too, where the template writes a system text there.
    found = TURN_MARK.match(end if end.strip() else between)
    if found is None or not (end.strip() or between[found.end() :].strip()):
        return ""
    return "" if before.lstrip().startswith(found[1]) else found[1]


def _given(messages: Sequence[Mapping[str, Any]], form: str) -> list[Mapping[str, Any]]:
    """Messages in a form of `FORMS`."""
    given = fold_system(messages) if "folded" in form else list(messages)
    if "parts" not in form:
        return given
    return [m | {"content": [{"type": "text", "text": m["content"]}]} for m in map(dict, given)]


def _chosen(tokenizer: PreTrainedTokenizerBase, chosen: str | None) -> tuple[str, str]:
    """Name and text of a tokenizer's template."""
    templates: Any = tokenizer.chat_template
    where = str(tokenizer.name_or_path or "its tokenizer")
    if chosen is not None and (path := Path(chosen)).suffix and path.is_file():
        return path.name, path.read_text("utf-8")
    if not isinstance(templates, Mapping):
        if chosen is None:
            return f"of {where}", str(templates)
        raise RedoneError(
            f"--chat-template {chosen!r} is neither a file nor a name: the tokenizer has "
            f"{'one unnamed chat template' if templates else 'no chat template'}. Leave it out."
        )
    if chosen is not None:
        if chosen not in templates:
            raise UnknownName("chat template", chosen, sorted(templates))
        return f"{chosen!r} of {where}", templates[chosen]
    if "default" in templates:
        return f"'default' of {where}", templates["default"]
    if len(templates) == 1:
        ((name, text),) = templates.items()
        return f"{name!r} of {where}", text
    raise RedoneError(
        f"The tokenizer has several chat templates ({', '.join(sorted(templates))}) and none is "
        "the default: choose one with --chat-template NAME."
    )


def _is_the_templates(error: Exception) -> bool:
    """Whether a template is at fault, on messages that it was not written for."""
    from jinja2.exceptions import TemplateError

    return isinstance(error, (TemplateError, *_FAILS))
