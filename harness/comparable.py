"""May two runs be compared? What must be the same, what is only told, what is free.

*Must match*: tasks, samples, prompts (messages before the chat template), task versions, scoring,
limits, sampling, draws, system text and thinking mode. *Told*: backend, dtype, package versions,
chat template. *Free*: batch size, workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..tasks.errors import UnknownName
from .errors import NotComparable
from .scored import ScoredRun
from .signature import services_of
from .store import flatten, shown

FIELDS = (
    "tasks",
    "samples",
    "prompt",
    "version",
    "scoring",
    "limits",
    "sampling",
    "draws",
    "system",
    "thinking",
)
"""What must match, and what `--allow` may name."""

_LIMITS = ("max_tokens", "stop", "max_thinking_tokens")
_SAMPLING = ("temperature", "top_p", "top_k")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A field in which two runs differ.

    Attributes:
        field: One of `FIELDS`, or the name of something that is only told.
        task: Whose, "" for the whole run.
        base, candidate: The values.
    """

    field: str
    task: str
    base: Any
    candidate: Any

    def __str__(self) -> str:
        where = f" of {self.task}" if self.task else ""
        return f"{self.field}{where}: {shown(self.base)} and {shown(self.candidate)}"


def check(
    base: ScoredRun, candidate: ScoredRun, role: str, allowed: Iterable[str] = ()
) -> list[Mismatch]:
    """The overridden mismatches of two runs.

    Args:
        base: A run.
        candidate: The run that is to be judged beside it.
        role: Of the scoring.
        allowed: Fields that may differ.

    Raises:
        NotComparable: Another field differs; the message lists all of them.
        UnknownName: No such field.
    """
    allowed = set(allowed)
    for field in allowed - set(FIELDS):
        raise UnknownName("field", field, FIELDS)
    found = mismatches(base, candidate, role)
    refused = [m for m in found if m.field not in allowed]
    if refused:
        fields = sorted({m.field for m in refused}, key=FIELDS.index)
        lines = "".join(f"\n  {m}" for m in refused[:20])
        more = f"\n  and {len(refused) - 20} more" if len(refused) > 20 else ""
        raise NotComparable(
            f"{base.path} and {candidate.path} cannot be compared, they differ in "
            f"{', '.join(fields)}:{lines}{more}\nEvaluate both alike, or override with "
            f"--allow {','.join(fields)}; the verdict then says so.",
            refused,
        )
    return found


def mismatches(base: ScoredRun, candidate: ScoredRun, role: str) -> list[Mismatch]:
    """Every difference in what must match."""
    found = []
    shared = [name for name in base.tasks if name in candidate.tasks]
    only = [sorted(set(a.tasks) - set(b.tasks)) for a, b in ((base, candidate), (candidate, base))]
    if any(only):
        sides = [f"{len(o)} of its own ({o[0]} ...)" if o else "none of its own" for o in only]
        found.append(Mismatch("tasks", "", *sides))
    for field in ("draws", "system"):
        found += _differing(field, "", base.request.get(field), candidate.request.get(field))
    thinking = [run.request["model"].get("thinking", "auto") for run in (base, candidate)]
    found += _differing("thinking", "", *thinking)
    for name in shared:
        one, two = (_asked(run, name, role) for run in (base, candidate))
        for field in one:
            found += _differing(field, name, one[field], two[field])
    return found


def told(base: ScoredRun, candidate: ScoredRun) -> list[Mismatch]:
    """What differs in how the answers were made, and may: backend, dtype, versions, template."""
    free = {"batch_size", "threads", "workers"}
    one, two = (
        flatten(
            {
                **run.run.get("environment", {}),
                "versions": run.run.get("versions", {}),
                "chat_template": run.request["model"].get("chat_template"),
                "chat_template_args": run.request["model"].get("chat_template_args", {}),
                "partition": run.request.get("partition"),
                "seed": run.request.get("seed"),
            }
        )
        for run in (base, candidate)
    )
    names = sorted((one.keys() | two.keys()) - free)
    return [m for n in names for m in _differing(n, "", one.get(n), two.get(n))]


def _asked(run: ScoredRun, task: str, role: str) -> Mapping[str, Any]:
    asked = run.request["tasks"][task]
    settings = asked["settings"]
    record = run.results["tasks"][task]["scorings"][role]
    services = services_of(record["signature"])
    return {
        "version": asked["version"],
        "samples": asked["data"],
        "prompt": asked["prompt"],
        "scoring": " ".join([record["scoring"], *(f"{k} {v}" for k, v in services.items())]),
        "limits": {name: settings.get(name) for name in _LIMITS},
        "sampling": {name: settings.get(name) for name in _SAMPLING},
    }


def _differing(field: str, task: str, base: Any, candidate: Any) -> list[Mismatch]:
    return [] if base == candidate else [Mismatch(field, task, base, candidate)]
