"""From a sample to the messages that a model gets."""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .errors import BadRow, MissingData, RedoneError, UnknownName
from .schema import Message, Sample
from .task import Prompt, Task

_PLACE = re.compile(r"\{([^\W\d]\w*)\}")

ELLIPSIS = "…"
"""Marks where a field was cut."""


def prompt_for(
    task: Task, language: str, replaced: Mapping[str, Prompt], system: str | None = None
) -> Prompt:
    """The prompt of an item: the user's own, else the task's in the item's language, else English.

    Args:
        task: Whose prompt.
        language: Of the item.
        replaced: As `load_prompts` gives it; the task's name goes before its `prompt_key`.
        system: Replaces the system text, as `--system` does; "" takes it away.
    """
    own = replaced.get(task.name) or replaced.get(task.prompt_key)
    prompt = own or task.prompts.get(language) or task.prompts["en"]
    return prompt if system is None else replace(prompt, system=system)


def messages(prompt: Prompt, fields: Mapping[str, Any]) -> tuple[Message, ...]:
    """The system text unchanged, the user text with its `{field}` places filled.

    Only names of the sample's fields are places; other braces are text. What is no string is shown
    as JSON. An empty system text makes no message.
    """

    def fill(match: re.Match[str]) -> str:
        if match[1] not in fields:
            return match[0]
        value = fields[match[1]]
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    user: Message = {"role": "user", "content": _PLACE.sub(fill, prompt.user)}
    return ({"role": "system", "content": prompt.system}, user) if prompt.system else (user,)


def places(prompt: Prompt) -> list[str]:
    """The fields that a prompt shows, in the order of its user text."""
    return list(dict.fromkeys(_PLACE.findall(prompt.user)))


def prompt_hash(
    task: Task, replaced: Mapping[str, Prompt] | None = None, system: str | None = None
) -> str:
    """Hash of every prompt that items of a task may get: 16 hex digits.

    Args:
        task: Whose prompts.
        replaced: The user's own prompts.
        system: Replaces every system text, as `--system` does; "" takes it away.
    """
    texts = {}
    for language in sorted({*task.prompts, "en"}):
        prompt = prompt_for(task, language, replaced or {}, system)
        texts[language] = [prompt.system, prompt.user]
    if len(set(map(tuple, texts.values()))) == 1:
        texts = {"": texts["en"]}
    packed = json.dumps(texts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(packed.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Shortened:
    """A prompt that was cut to fit a context.

    Attributes:
        messages: What the model gets.
        field: The sample's field that was cut.
        characters: How many of its characters are gone.
    """

    messages: tuple[Message, ...]
    field: str
    characters: int


def shorten(
    sample: Sample, prompt: Prompt, *, fits: Callable[[tuple[Message, ...]], bool]
) -> Shortened:
    """The rule for a prompt that is longer than the model's context.

    The longest string field that the prompt shows (by characters; the first by name among equals)
    loses its end and gets an ellipsis instead; as much of it is kept as fits. The instruction, the
    other fields and so the candidates usually stay whole.

    Args:
        sample: The item.
        prompt: Its prompt.
        fits: Whether messages fit the context; monotonic in their length. It is called about
            log2(length of the field) times.

    Raises:
        RedoneError: The prompt shows no text field, or does not fit even without it.
    """
    shown = ((name, sample.fields.get(name)) for name in places(prompt))
    texts = {name: value for name, value in shown if isinstance(value, str) and value}
    if not texts:
        raise RedoneError(
            f"The prompt of {sample.task} is longer than the model's context, and shows no text "
            "field that could be shortened. Use a shorter prompt or a longer context."
        )
    name = min(texts, key=lambda n: (-len(texts[n]), n))
    text = texts[name]

    def cut(kept: int) -> tuple[Message, ...]:
        return messages(prompt, {**sample.fields, name: text[:kept].rstrip() + ELLIPSIS})

    # The first length that does not fit; all shorter ones do.
    first = bisect_left(range(len(text)), True, key=lambda kept: not fits(cut(kept)))
    if first == 0:
        raise RedoneError(
            f"The prompt of {sample.task} does not fit the model's context even without its "
            f"longest field {name!r} (sample {sample.id}). Lower --max-tokens, or use a longer "
            "context."
        )
    kept = len(text[: first - 1].rstrip())
    return Shortened(cut(kept), name, len(text) - kept)


@dataclass(frozen=True, slots=True)
class Truncated:
    """A prompt that lost its beginning to fit a context.

    Attributes:
        prompt: What the model gets.
        characters: How many are gone.
    """

    prompt: tuple[Message, ...] | str
    characters: int


def left_truncated(
    prompt: tuple[Message, ...] | str, *, over: Callable[[tuple[Message, ...] | str], int]
) -> Truncated | None:
    """The rule for a prompt of lm-eval's that is longer than the model's context.

    As in lm-eval, it loses its beginning: a raw text as many characters as it must; a chat its
    first examples, one after the other, and if need be the beginning of its last question. The
    system text stays.

    Args:
        prompt: Raw text or messages.
        over: By how many tokens a prompt exceeds the context; 0 or less: it fits.

    Returns:
        None if nothing that is left would fit.
    """
    if isinstance(prompt, str):
        dropped = _least(lambda n: over(prompt[n:]), len(prompt) - 1)
        return None if dropped is None else Truncated(prompt[dropped:], dropped)
    system = tuple(m for m in prompt if m["role"] == "system")
    turns = [m for m in prompt if m["role"] != "system"]
    asked = [number for number, m in enumerate(turns) if m["role"] == "user"] or [0]
    gone = 0
    for start in asked:
        gone = sum(len(m["content"]) for m in turns[:start])
        if over(kept := (*system, *turns[start:])) <= 0:
            return Truncated(kept, gone)
    question, rest = turns[asked[-1]], turns[asked[-1] + 1 :]
    text = question["content"]

    def cut(n: int) -> tuple[Message, ...]:
        return (*system, {**question, "content": text[n:]}, *rest)

    dropped = _least(lambda n: over(cut(n)), len(text) - 1)
    return None if dropped is None else Truncated(cut(dropped), gone + dropped)


def _least(over: Callable[[int], int], most: int) -> int | None:
    """The least number of characters to drop so that the rest fits; None: `most` are too few.

    Args:
        over: Of the number of characters dropped; falling, nearly in proportion.
        most: The largest number that may be dropped.
    """
    if most < 0 or (last := over(most)) > 0:
        return None
    low, high, first = 0, most, over(0)
    if first <= 0:
        return 0
    by_proportion = True
    while high - low > 1:
        guess = low + (high - low) * first // (first - last) if by_proportion else (low + high) // 2
        guess = min(max(guess, low + 1), high - 1)
        found = over(guess)
        if found > 0:
            low, first = guess, found
        else:
            high, last = guess, found
        by_proportion = not by_proportion
    return high


def load_prompts(path: str | Path, tasks: Iterable[Task]) -> dict[str, Prompt]:
    """Reads a file of prompts that replace the tasks' own.

    The file is a JSON object: name -> {"system": text, "user": text with {field} places}. A name is
    a task's, or the one its benchmark's authors use (`Task.prompt_key`); `system` may be left out.

    Args:
        path: The file.
        tasks: The tasks that names may mean.

    Raises:
        MissingData: There is no such file.
        BadRow: It has another form; names the prompt and the field.
        UnknownName: A name that no task has, or a place that is no field of its task.
    """
    by_name: dict[str, list[Task]] = {}
    for task in tasks:
        for name in {task.name, task.prompt_key} - {""}:
            by_name.setdefault(name, []).append(task)
    prompts = {}
    for name, raw in _read_object(Path(path)).items():
        if name not in by_name:
            raise UnknownName(f"prompt in {path}:", name, by_name)
        prompt = _prompt(raw, f"{path}, prompt {name!r}")
        for task in by_name[name]:
            known = fields_of(task)
            for place in places(prompt):
                if place not in known:
                    raise UnknownName(f"place in {path}, prompt {name!r}:", place, known)
        prompts[name] = prompt
    return prompts


def fields_of(task: Task) -> set[str]:
    """The names that places in a task's prompts may have."""
    own = {place for prompt in task.prompts.values() for place in places(prompt)}
    return own | set(getattr(task.read, "fields", ())) - {"answer"}


def _read_object(path: Path) -> Mapping[str, Any]:
    try:
        raw = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise MissingData(f"The prompts file {path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise BadRow(f"{path} is not JSON: {error}.") from None
    if not isinstance(raw, dict):
        raise BadRow(f'{path}: an object {{"name": {{"system": ..., "user": ...}}}} is expected.')
    return raw


def _prompt(raw: Any, where: str) -> Prompt:
    if not isinstance(raw, dict):
        raise BadRow(f"{where}: an object with `system` and `user` is expected.")
    odd = sorted(set(raw) - {"system", "user"})
    if odd:
        raise BadRow(f"{where}: {odd[0]!r} is unknown; `system` and `user` are expected.")
    for name in ("system", "user"):
        if not isinstance(raw.get(name, ""), str):
            raise BadRow(f"{where}, field {name!r}: a string is expected.")
    if not raw.get("user"):
        raise BadRow(f"{where}: the field 'user' is missing or empty.")
    return Prompt(raw.get("system", ""), raw["user"])
