"""lm-eval's own judgement of an answer: its filters, its `process_results`."""

from __future__ import annotations

import hashlib
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from ..errors import RedoneError
from ..schema import Completion, Failure, Sample, Score, Services
from .code_eval import judging_in
from .definitions import Definition
from .metrics import Column

_INVALID = ("[invalid]", "")
_REQUEST_TYPES = {
    "generate": "generate_until",
    "loglikelihood": "loglikelihood",
    "rolling": "loglikelihood_rolling",
}


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges answers as lm-eval does.

    Attributes:
        definition: Builds the tasks, once it is needed.
        columns: The metrics; the first `primary` of them give the value of an answer, their mean.
        primary: How many.
        code: The judgement runs programs.
    """

    definition: Callable[[], Definition]
    columns: tuple[Column, ...]
    primary: int = 1
    code: bool = False

    def __call__(
        self, sample: Sample, completions: Sequence[Completion], services: Services
    ) -> Score:
        """The score of one document's answers; `parsed` holds lm-eval's item per metric.

        An answer on which lm-eval's own code fails has a score of 0 and the failure `format`.
        """
        if self.code and services.sandbox is None:
            return Score(math.nan, self._statistics({}), scored=False)
        task = self.definition().tasks[sample.fields["task"]]
        sandboxed = judging_in(services.sandbox) if services.sandbox else nullcontext()
        with sandboxed, _repeatable(sample.id):
            try:
                items, shown = items_of(task, sample, completions)
            except RedoneError:
                raise
            except Exception:
                # lm-eval's parsers were not written for every text; one answer stops no run.
                items, shown = {c.key: 0.0 for c in self.columns if c.aggregation}, {}
                return Score(0.0, self._zeros(items), None, "format")
        values = [column.value(items) for column in self.columns[: self.primary]]
        value = math.fsum(values) / len(values)
        return Score(
            value, self._statistics(items), items, _failure(value, sample, completions, shown)
        )

    def _statistics(self, items: Mapping[str, Any]) -> tuple[float, ...]:
        return tuple(x for column in self.columns for x in column.statistics(items))

    def _zeros(self, items: Mapping[str, Any]) -> tuple[float, ...]:
        """Counted, with nothing reached."""
        found: list[float] = []
        for column in self.columns:
            if column.aggregation is not None:
                counts = column.aggregation.columns
                found += [1.0 if name in ("count", "weight") else 0.0 for name in counts]
        return tuple(found)


@contextmanager
def _repeatable(sample: str) -> Iterator[None]:
    """What a judgement draws by chance is the sample's own: the same text has the same score.

    IFEval asks for a random letter where a document names a character that is none ("#"), and
    langdetect, which tells it languages, samples too.
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

    document = sample.fields["document"]
    if not isinstance(document, dict):  # one that JSON cannot hold is told by its number
        document = (getattr(task, "task_docs", None) or task.eval_docs)[document]
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
    """A completion as lm-eval gets it. A canned text stands for certainty about itself."""
    if ask["kind"] == "generate":
        return completion.text
    logprob, greedy = completion.logprob, completion.greedy
    if logprob is None:
        greedy = completion.text.strip() == (ask.get("continuation") or "").strip()
        logprob = 0.0 if greedy else -100.0
    return (logprob, bool(greedy)) if ask["kind"] == "loglikelihood" else logprob


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
    unread = bool(shown) and all(
        isinstance(s, str) and s.strip() in _INVALID for s in shown.values()
    )
    if all(c.finish == "length" for c in completions):
        return "truncated"
    return "format" if unread else "wrong"
