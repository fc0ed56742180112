"""Protocols: how the authors of a benchmark ask it, as far as they publish it.

A protocol is their prompts, their limits and their sampling, read from the files that `redone tasks
fetch` derives from their configuration. SNS-Bench's leaves one thing open. Its configuration writes
a sampling beside each limit, and the framework in the same repository accepts it and never uses it:
what runs is the sampling of the model's own configuration, which the authors show for one example
run. So there are three readings:

- `example`, the default: the sampling of the example run. It is the only one with which the
  published code and a published configuration together can have run.
- `configured`: the sampling written beside the limits.
- `greedy`: what that framework does with a model whose configuration names no sampling.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .datasets import Dataset, datasets
from .errors import BadRow, MissingData, RedoneError, UnknownName
from .prompts import load_prompts
from .registry import TASKS
from .schema import Settings
from .task import LM_EVAL, Prompt, Task

OFFICIAL = "official"
READINGS = ("example", "configured", "greedy")
"""Of the sampling; the first is the default."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How some tasks are asked, by task name.

    Attributes:
        name: `official`, or `official:READING` for another reading than the default.
        prompts: The prompts.
        settings: Limits and sampling.
    """

    name: str
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    settings: Mapping[str, Settings] = field(default_factory=dict)

    def covers(self, task: Task) -> bool:
        """Whether the task is asked under it."""
        return task.name in self.settings


OWN = Protocol("")
"""Every task as this project asks it."""


def load_protocol(name: str, tasks: Sequence[Task], folder: Path) -> Protocol:
    """The protocol of a name for some tasks.

    Args:
        name: `official`, or `official:READING` with one of `READINGS`.
        tasks: Each must have a protocol.
        folder: The data folder.

    Raises:
        UnknownName: No such protocol or reading.
        RedoneError: A task has none; says why.
        MissingData, BadRow: The authors' files are not in the folder, or have another form.
    """
    kind, _, reading = name.partition(":")
    if kind != OFFICIAL:
        raise UnknownName("protocol", name, (OFFICIAL, *(f"{OFFICIAL}:{r}" for r in READINGS)))
    reading = reading or READINGS[0]
    if reading not in READINGS:
        raise UnknownName(f"reading of the protocol {OFFICIAL}", reading, READINGS)
    homes = {task.name: home for task in tasks if (home := home_of(task)) is not None}
    if absent := [task for task in tasks if task.name not in homes]:
        reasons = "; ".join(dict.fromkeys(_reason(task, absent) for task in absent))
        raise RedoneError(
            f"--protocol {kind}: {reasons}. Evaluate them in a run of their own, without it."
        )
    prompts, settings = {}, {}
    for home in {home.name: home for home in homes.values()}.values():
        own = [task for task in tasks if homes[task.name] is home]
        assert home.prompts is not None and home.prompts.generation is not None
        generation = home.prompts.generation
        published = load_prompts(_present(folder / home.prompts.path, home), TASKS.values())
        path = _present(folder / generation.path, home)
        raw = _read(path)
        for task in own:
            if task.prompt_key not in published:
                raise BadRow(f"{path.parent / home.prompts.path}: no prompt {task.prompt_key!r}.")
            prompts[task.name] = published[task.prompt_key]
            abbr = generation.names[task.prompt_key]
            settings[task.name] = _settings(raw, abbr, reading, generation.sampling, path)
    return Protocol(kind if reading == READINGS[0] else f"{kind}:{reading}", prompts, settings)


def home_of(task: Task) -> Dataset | None:
    """The data set whose authors publish how the task is asked; None where nobody does.

    The embedded demonstration's tasks are asked as those of the benchmark that they imitate.
    """
    for dataset in datasets().values():
        generation = dataset.prompts.generation if dataset.prompts else None
        if generation is not None and task.prompt_key in generation.names:
            return dataset
    return None


def why_none(task: Task) -> str:
    """Why a task has no protocol of its authors', "" if it has one."""
    if home_of(task) is not None:
        return ""
    if task.dataset is not None and datasets()[task.dataset].no_protocol:
        return datasets()[task.dataset].no_protocol
    if task.name.startswith(LM_EVAL):
        return "lm-eval's definition is how it is asked, with or without --protocol"
    return "nobody but redone publishes how it is asked"


def _reason(task: Task, absent: Sequence[Task]) -> str:
    """The tasks that have no protocol for the same reason, and the reason."""
    reason = why_none(task)
    names = [other.name for other in absent if why_none(other) == reason]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}: {reason}"


def _present(path: Path, home: Dataset) -> Path:
    if not path.is_file():
        raise MissingData(
            f"{path} is not there: how its authors ask {home.name}. Get it with `redone tasks "
            f"fetch {home.name}`, or name the folder that has it with --data-dir."
        )
    return path


def _read(path: Path) -> Mapping[str, Any]:
    try:
        raw = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadRow(f"{path} cannot be read as JSON: {error}.") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("by_abbr"), dict):
        raise BadRow(f"{path}: an object with `by_abbr` is expected.")
    return raw


def _settings(
    raw: Mapping[str, Any], abbr: str, reading: str, known: Mapping[str, Any], path: Path
) -> Settings:
    """Limit and sampling of a subtask, under a reading."""
    entry = raw["by_abbr"].get(abbr)
    if not isinstance(entry, dict):
        raise BadRow(f"{path}: by_abbr has no {abbr!r}.")
    most = entry.get("max_out_len")
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise BadRow(f"{path}, {abbr}, max_out_len: a number of tokens is expected, not {most!r}.")
    if reading == "greedy":
        return Settings(max_tokens=most)
    if reading == "configured":
        where, sampling = f"{path}, {abbr}, extra_gen_kwargs", entry.get("extra_gen_kwargs")
    else:
        where, sampling = f"{path}, example", raw.get("example", known)
    if not isinstance(sampling, dict):
        raise BadRow(f"{where}: an object with a sampling is expected. Choose another reading.")
    if sampling.get("do_sample") is False:
        return Settings(max_tokens=most)
    return Settings(
        max_tokens=most,
        temperature=_number(sampling, "temperature", 1.0, (0, 100), where),
        top_p=_number(sampling, "top_p", 1.0, (1e-9, 1), where),
        top_k=int(_number(sampling, "top_k", 0, (0, 1 << 31), where)),
    )


def _number(
    raw: Mapping[str, Any], name: str, default: float, limits: tuple[float, float], where: str
) -> float:
    value = raw.get(name, default)
    low, high = limits
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadRow(
            f"{where}, {name}: a number of {low:g} to {high:g} is expected, not {value!r}."
        )
    return float(value)
