"""One document of lm-eval's: as a record, as requests, and its score.

A record holds everything that lm-eval asks about a document. lm-eval's own filters and
`process_results` score the answers; what they draw at random depends on the sample alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import orjson

from ..errors import RedoneError
from ..extraction import failure_kind
from ..schema import Completion, Failure, Record, Request, Sample, Score, Services, Settings
from ..task import Prompt
from .aggregation import Column
from .choices import answered, asks_of_choices
from .definitions import FEWSHOT_SEED, Definition
from .offline import nltk_data, programs_run_in

MAX_TOKENS = 256
"""lm-eval's token limit where a task states none."""

_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_KNOWN = frozenset({"until", "do_sample", "temperature", "top_p", "top_k", *_LIMITS})
_REQUEST_TYPES = {
    **{"generate": "generate_until", "loglikelihood": "loglikelihood"},
    "rolling": "loglikelihood_rolling",
}
"""lm-eval's request types by our kinds of requests."""
_KINDS = {name: kind for kind, name in _REQUEST_TYPES.items()}

# --- documents to records, records to requests ---------------------------------------------------


class ChatPrompt(str):
    """A chat that lm-eval takes for rendered text: the messages themselves, as JSON.

    lm-eval renders with the model's tokenizer while it builds a request. Here the messages are
    passed on as they are, and the backend renders them.
    """

    @classmethod
    def render(
        cls, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> ChatPrompt:
        """Replaces `apply_chat_template`; a last assistant message is continued by the backend."""
        return cls(json.dumps([dict(m) for m in messages], ensure_ascii=False))


def rows(definition: Definition, language: str) -> Iterator[Record]:
    """The documents of every task of a definition, with all requests of lm-eval about each.

    Few-shot examples are drawn in the order of the documents, so every document is built, even if
    a run needs only some of them: the prompts are then those of lm-eval's run over all.

    Args:
        definition: Built tasks.
        language: ISO 639-1 code of the documents.
    """
    wanted = definition.wanted
    for name, task in definition.tasks.items():
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
        chat: dict[str, Any] = {}
        if wanted.chat:
            chat = {"apply_chat_template": True, "chat_template": ChatPrompt.render}
        for index, document in enumerate(getattr(task, "task_docs", None) or task.eval_docs):
            context = task.fewshot_context(
                document,
                num_fewshot=task.config.num_fewshot or 0,
                gen_prefix=task.doc_to_prefix(document),
                **chat,
                **({"fewshot_as_multiturn": True} if wanted.chat else {}),
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
                    "prompts": [
                        json.loads(text) if isinstance(text, ChatPrompt) else text
                        for text in prompts
                    ],
                    "asks": asks,
                },
                target=as_json(task.doc_to_target(document))[0],
                language=language,
                source=_source(task, document, kept),
                tags={"task": name} if len(definition.tasks) > 1 else {},
            )


def as_json(document: Any) -> tuple[Any, bool]:
    """A document after a round trip through JSON, and whether that is the same."""
    try:
        kept = orjson.loads(orjson.dumps(document))
    except TypeError:
        return str(document), False
    return kept, kept == document


def _source(task: Any, document: Any, kept: Any) -> str:
    text = task.doc_to_text(document)
    if isinstance(text, str) and text.strip():
        return text
    return json.dumps(kept, ensure_ascii=False, sort_keys=True)


def _ask(instance: Any, prompts: dict[str, int], chat: bool, name: str) -> dict[str, Any]:
    """One request of lm-eval's, its prompt given by its number."""
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


def _generation(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """lm-eval's generation options as ours."""
    odd = sorted(set(options) - _KNOWN)
    if odd:
        raise RedoneError(
            f"{name} generates with {odd[0]} = {options[odd[0]]!r}, which no backend here supports."
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
    """The requests of lm-eval about a document, in its order; repeats as separate requests.

    Args:
        sample: Of `rows`.
        prompt: Its system text, if any, is put before lm-eval's own.

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
        own = {"kind": ask["kind"], "continuation": ask.get("continuation")}
        found += [Request(sample.id, text, settings, draw=n, **own) for n in range(draws)]
    return found


def _with_system(prompt: Any, system: str) -> Any:
    if isinstance(prompt, str):
        return f"{system}\n\n{prompt}" if system else prompt
    if not system:
        return tuple(prompt)
    if prompt and prompt[0]["role"] == "system":
        system, prompt = f"{system}\n\n{prompt[0]['content']}", prompt[1:]
    return ({"role": "system", "content": system}, *prompt)


# --- scoring -------------------------------------------------------------------------------------

_INVALID = ("[invalid]", "")
"""Filtered answers that mean that nothing was found."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores answers as lm-eval does.

    Attributes:
        definition: Builds the tasks, when they are first needed.
        columns: The metrics; the value of an answer is the mean of the first `primary`.
        primary: How many.
        code: Scoring runs programs.
    """

    definition: Callable[[], Definition]
    columns: tuple[Column, ...]
    primary: int = 1
    code: bool = False

    def __call__(
        self, sample: Sample, completions: Sequence[Completion], services: Services
    ) -> Score:
        """The score of one document's answers; `parsed` has lm-eval's item for each metric.

        An answer on which lm-eval's own code fails has a score of 0 and the failure `format`.
        """
        if self.code and services.sandbox is None:
            return Score(math.nan, self._statistics({}), scored=False)
        definition = self.definition()
        task = definition.tasks[sample.fields["task"]]
        sandboxed = programs_run_in(services.sandbox) if services.sandbox else nullcontext()
        if asks_of_choices(sample) and all(done.logprob is None for done in completions):
            found = answered(sample, completions, _choices(task, sample))
            if found is None:
                return Score(0.0, self._zeros(), None, _unread(completions[0]))
            completions = found
        with sandboxed, nltk_data(definition.nltk), _seeded(sample.id):
            try:
                items, shown = items_of(task, sample, completions)
            except RedoneError:
                raise
            except Exception:
                # lm-eval's parsers were not written for every text; one answer stops no run.
                return Score(0.0, self._zeros(), None, "format")
        values = [column.value(items) for column in self.columns[: self.primary]]
        value = math.fsum(values) / len(values)
        return Score(
            value, self._statistics(items), items, _failure(value, sample, completions, shown)
        )

    def _statistics(self, items: Mapping[str, Any]) -> tuple[float, ...]:
        return tuple(x for column in self.columns for x in column.statistics(items))

    def _zeros(self) -> tuple[float, ...]:
        """The statistics of an answer that counts and gets nothing."""
        return tuple(
            1.0 if name in ("count", "weight") else 0.0
            for column in self.columns
            if column.aggregation is not None
            for name in column.aggregation.columns
        )


@contextmanager
def _seeded(sample: str) -> Iterator[None]:
    """Random draws of scoring depend on the sample alone: the same text has the same score.

    IFEval asks for a random letter where a document names a character that is none ("#"), and
    langdetect, which it detects languages with, samples too.
    """
    import numpy as np

    state, numpy_state = random.getstate(), np.random.get_state()
    seed = int.from_bytes(hashlib.sha256(sample.encode()).digest()[:4], "big")
    random.seed(seed)
    np.random.seed(seed)
    detector = getattr(sys.modules.get("langdetect"), "DetectorFactory", None)
    try:
        with patch.object(detector, "seed", seed) if detector else nullcontext():
            yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


def items_of(
    task: Any, sample: Sample, completions: Sequence[Completion]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """lm-eval's items of a document by `metric,filter`, and the filtered answers by filter."""
    from lm_eval.api.instance import Instance

    document = _document(task, sample)
    instances, rest = [], list(completions)
    for number, ask in enumerate(sample.fields["asks"]):
        repeats = ask.get("repeats", 1)
        drawn = ask.get("settings", {}).get("temperature", 0.0) > 0
        own, rest = rest[: repeats if drawn else 1], rest[repeats if drawn else 1 :]
        replies = [_reply(ask, completion) for completion in own]
        instance = Instance(
            request_type=_REQUEST_TYPES[ask["kind"]],  # type: ignore[arg-type]
            doc=document,
            arguments=(),
            idx=number,
            metadata=(sample.fields["task"], sample.index, repeats),
        )
        instance.resps = replies if drawn else replies * repeats
        instances.append(instance)
    for ensemble in task._filters:
        ensemble.apply(instances)
    items, shown = {}, {}
    for key in instances[0].filtered_resps:
        filtered = [instance.filtered_resps[key] for instance in instances]
        shown[key] = filtered[0]
        for metric, item in task.process_results(document, filtered).items():
            items[f"{metric},{key}"] = plain(item)
    return items, shown


def _reply(ask: Mapping[str, Any], completion: Completion) -> Any:
    """A completion as lm-eval gets it. A canned text means certainty about that text.

    Of several choices, `choices.answered` reads a canned text first.
    """
    if ask["kind"] == "generate":
        return completion.text
    logprob, greedy = completion.logprob, completion.greedy
    if logprob is None:
        greedy = completion.text.strip() == (ask.get("continuation") or "").strip()
        logprob = 0.0 if greedy else -100.0
    return (logprob, bool(greedy)) if ask["kind"] == "loglikelihood" else logprob


def _choices(task: Any, sample: Sample) -> list[str] | None:
    """The choices as the task names them to a reader; None where it does not."""
    try:
        found = task.doc_to_choice(_document(task, sample))
    except Exception:  # a task's own code, which may have none
        return None
    texts = isinstance(found, list) and all(isinstance(text, str) for text in found)
    return found if texts else None


def _unread(completion: Completion) -> Failure:
    """The kind of failure of a text that is none of the choices."""
    kind = failure_kind(completion, "")
    return kind if kind in ("empty", "refusal", "truncated") else "format"


def _document(task: Any, sample: Sample) -> Any:
    """The document; one that JSON cannot hold is given by its number."""
    document = sample.fields["document"]
    if isinstance(document, dict):
        return document
    return (getattr(task, "task_docs", None) or task.eval_docs)[document]


def plain(value: Any) -> Any:
    """An item as JSON has it: numpy's numbers as Python's, tuples as lists."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _failure(
    value: float, sample: Sample, completions: Sequence[Completion], shown: Mapping[str, Any]
) -> Failure | None:
    if value >= 1 or math.isnan(value):
        return None
    if sample.fields["asks"][0]["kind"] != "generate":
        return "wrong"
    if not any(c.text.strip() for c in completions):
        return "empty"
    if all(c.finish == "length" for c in completions):
        return "truncated"
    nothing = (isinstance(s, str) and s.strip() in _INVALID for s in shown.values())
    return "format" if shown and all(nothing) else "wrong"
