"""From lm-eval's documents to our rows, and from those to requests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from ..errors import RedoneError
from ..schema import Prompt, Record, Request, Sample, Settings
from .definitions import FEWSHOT_SEED, Definition

MAX_TOKENS = 256
"""lm-eval's limit where a task states none."""

_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_KNOWN = frozenset({"until", "do_sample", "temperature", "top_p", "top_k", *_LIMITS})
_KINDS = {
    "generate_until": "generate",
    "loglikelihood": "loglikelihood",
    "loglikelihood_rolling": "rolling",
}


class ChatPrompt(str):
    """What lm-eval takes for a rendered chat: the messages themselves, as JSON.

    lm-eval renders with the model's tokenizer while it builds a request. Here the messages go
    through as they are, and the backend renders them.
    """

    @classmethod
    def render(
        cls, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> ChatPrompt:
        """Stands in for a model's `apply_chat_template`.

        A last message of the assistant's is one that the answer goes on with; the backend sees
        that by itself.
        """
        return cls(json.dumps([dict(m) for m in messages], ensure_ascii=False))


def rows(definition: Definition, language: str) -> Iterator[Record]:
    """The documents of every task of a definition, with all that lm-eval asks about each.

    Few-shot examples are drawn in the order of the documents, so every document is built, whichever
    of them a run will ask: its prompt is then that of lm-eval's run over all.

    Args:
        definition: Built tasks.
        language: ISO 639-1 code of the documents.
    """
    wanted = definition.wanted
    for name, task in definition.tasks.items():
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
        chat: dict[str, Any] = (
            {"apply_chat_template": True, "chat_template": ChatPrompt.render} if wanted.chat else {}
        )
        turns = {"fewshot_as_multiturn": True} if wanted.chat else {}
        for index, document in enumerate(getattr(task, "task_docs", None) or task.eval_docs):
            context = task.fewshot_context(
                document,
                num_fewshot=task.config.num_fewshot or 0,
                gen_prefix=task.doc_to_prefix(document),
                **chat,
                **turns,
            )
            instances = task.construct_requests(
                doc=document, ctx=context, metadata=(name, index, task.config.repeats), **chat
            )
            if not isinstance(instances, list):
                instances = [instances]
            instances.sort(key=lambda instance: instance.idx)
            kept, exact = as_json(document)
            prompts: dict[str, int] = {}
            asks = [_ask(instance, prompts, wanted.chat, name) for instance in instances]
            yield Record(
                fields={
                    "task": name,
                    "document": kept if exact else index,
                    "prompts": [_prompt(text) for text in prompts],
                    "asks": asks,
                },
                target=_target(task, document),
                language=language,
                source=_source(task, document, kept),
                tags={"task": name} if len(definition.tasks) > 1 else {},
            )


def as_json(document: Any) -> tuple[Any, bool]:
    """A document as it will be read back, and whether that is the same."""
    try:
        kept = orjson.loads(orjson.dumps(document))
    except TypeError:
        return str(document), False
    return kept, kept == document


def _target(task: Any, document: Any) -> Any:
    target = task.doc_to_target(document)
    return as_json(target)[0]


def _source(task: Any, document: Any, kept: Any) -> str:
    text = task.doc_to_text(document)
    if isinstance(text, str) and text.strip():
        return text
    return json.dumps(kept, ensure_ascii=False, sort_keys=True)


def _ask(instance: Any, prompts: dict[str, int], chat: bool, name: str) -> dict[str, Any]:
    """One request of lm-eval's, its prompt told by a number."""
    kind = _KINDS[instance.request_type]
    context, *rest = instance.arguments
    if chat and kind != "rolling" and not isinstance(context, ChatPrompt) and context != "":
        raise RedoneError(f"{name} writes its prompts itself, so it has no +chat variant.")
    ask: dict[str, Any] = {"kind": kind, "prompt": prompts.setdefault(context, len(prompts))}
    if kind == "loglikelihood":
        ask["continuation"] = rest[0]
    elif kind == "generate":
        ask["settings"] = _generation(rest[0], name)
    if (instance.repeats or 1) > 1:
        ask["repeats"] = instance.repeats
    return ask


def _prompt(text: str) -> Any:
    return json.loads(text) if isinstance(text, ChatPrompt) else text


def _generation(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """lm-eval's generation options as ours."""
    odd = sorted(set(options) - _KNOWN)
    if odd:
        raise RedoneError(
            f"{name} generates with {odd[0]} = {options[odd[0]]!r}, which no backend here does."
        )
    until = options.get("until") or []
    limits = (options[key] for key in _LIMITS if options.get(key) is not None)
    sampled = options.get("do_sample")
    temperature = float(options.get("temperature") or 0.0)
    if sampled and "temperature" not in options:
        temperature = 1.0
    return {
        "max_tokens": int(next(limits, MAX_TOKENS)),
        "stop": [until] if isinstance(until, str) else [t for t in until if t],
        "temperature": 0.0 if sampled is False else temperature,
        "top_p": float(options.get("top_p") or 1.0),
        "top_k": int(options.get("top_k") or 0),
    }


def requests(sample: Sample, prompt: Prompt) -> list[Request]:
    """What lm-eval asks about a document, in its order; repeats as requests of their own.

    Args:
        sample: Of `rows`.
        prompt: Its system text, if any, goes before lm-eval's own.

    Raises:
        RedoneError: The prompt has a user text: the questions are lm-eval's.
    """
    if prompt.user:
        raise RedoneError(
            f"{sample.task}: the prompts of lm-eval's tasks are lm-eval's own; leave it out of "
            "--prompts."
        )
    found = []
    for ask in sample.fields["asks"]:
        text = _with_system(sample.fields["prompts"][ask["prompt"]], prompt.system)
        settings = Settings(max_tokens=1)
        if "settings" in ask:
            settings = Settings(**{**ask["settings"], "stop": tuple(ask["settings"]["stop"])})
        draws = ask.get("repeats", 1) if settings.temperature > 0 else 1
        found += [
            Request(
                sample=sample.id,
                prompt=text,
                settings=settings,
                kind=ask["kind"],
                continuation=ask.get("continuation"),
                draw=draw,
            )
            for draw in range(draws)
        ]
    return found


def _with_system(prompt: Any, system: str) -> Any:
    if isinstance(prompt, str):
        return f"{system}\n\n{prompt}" if system else prompt
    if not system:
        return tuple(prompt)
    if prompt and prompt[0]["role"] == "system":
        system, prompt = f"{system}\n\n{prompt[0]['content']}", prompt[1:]
    return ({"role": "system", "content": system}, *prompt)
