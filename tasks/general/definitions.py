"""lm-eval's definitions: a name becomes built tasks, with the settings of a run of its own.

A name is that of a task, group or tag of lm-eval's, with variants behind plus signs:

    gsm8k            as lm-eval runs it: few-shot examples as defined, raw text
    gsm8k+chat       through the model's chat template, examples as turns (--apply_chat_template)
    gsm8k+0shot      with another number of examples (--num_fewshot)
    truthfulqa/truthfulqa_mc1    one task of a group or tag that has no score of its own
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import RedoneError, UnknownName
from .code_eval import CodeEval
from .mirrors import mirrors
from .world import offline_world

PREFIX = "lm_eval:"
FEWSHOT_SEED = 1234
"""lm-eval's default."""

INCLUDE_VARIABLE = "REDONE_LM_EVAL_TASKS"
"""Names a folder of definitions of the user's own (lm-eval's --include_path)."""

_VARIANT = re.compile(r"(chat)|(\d+)shot")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A name, read.

    Attributes:
        name: Of lm-eval's task, group or tag.
        member: The one task of it that is meant, None for all.
        chat: Through the chat template.
        shots: Examples instead of the defined number, None: as defined.
    """

    name: str
    member: str | None = None
    chat: bool = False
    shots: int | None = None

    @classmethod
    def of(cls, name: str) -> Wanted:
        """Reads a name, with or without `lm_eval:`.

        Raises:
            RedoneError: A variant that there is not.
        """
        base, *variants = name.removeprefix(PREFIX).split("+")
        chat, shots = False, None
        for variant in variants:
            match = _VARIANT.fullmatch(variant)
            if match is None:
                raise RedoneError(
                    f"{name!r}: the variant {variant!r} is unknown. There are +chat and +Nshot "
                    "(+0shot, +5shot)."
                )
            chat = chat or bool(match[1])
            shots = int(match[2]) if match[2] else shots
        whole, _, member = base.partition("/")
        return cls(whole, member or None, chat, shots)


@dataclass(frozen=True, eq=False)
class Definition:
    """Built tasks behind a name.

    Attributes:
        wanted: The name.
        tasks: lm-eval's task objects, by name, in its order.
        version: lm-eval's versions of group and tasks, joined by +.
        pooled: Metrics that the group's own score is made of, each the mean over all documents;
            empty for a single task.
        apart: The tasks have no common score: each stands alone.
        code: They run what the model wrote, in the sandbox.
    """

    wanted: Wanted
    tasks: Mapping[str, Any]
    version: str
    pooled: tuple[tuple[str, tuple[str, ...] | None], ...]
    apart: bool
    code: bool


@cache
def manager(folder: Path | None = None) -> Any:
    """lm-eval's index of tasks, of one folder or (seconds) of all."""
    from lm_eval.tasks import TaskManager

    if folder is None:
        return TaskManager(include_path=os.environ.get(INCLUDE_VARIABLE) or None)
    return TaskManager(include_defaults=False, include_path=str(folder))


@cache
def definition(name: str, folder: str | None = None, data: Path | None = None) -> Definition:
    """Builds the tasks behind a name; its data sets must be within reach.

    Args:
        name: As in `Wanted`.
        folder: lm-eval's folder that defines it, where that is known: saves reading all.
        data: The data folder whose mirror is used.

    Raises:
        UnknownName: lm-eval has no such task.
        MissingData: A data set is out of reach.
        RedoneError: lm-eval is not installed, or the task cannot be served.
    """
    wanted = Wanted.of(name)
    with offline_world(mirrors(data)):
        from lm_eval import tasks as package

        _compile_templates_once()
        index = _index(Path(package.__file__).parent, folder, wanted.name)
        if wanted.name not in index.task_index:
            raise UnknownName("lm-eval task", wanted.name, index.all_tasks)
        built = index.load([wanted.name])
    tasks = built["tasks"]
    if wanted.member is not None:
        if wanted.member not in tasks:
            raise UnknownName(f"task of {wanted.name}", wanted.member, tasks)
        tasks = {wanted.member: tasks[wanted.member]}
    for task in tasks.values():
        _prepare(task, wanted)
    group = None if wanted.member else built.get("groups", {}).get(wanted.name)
    listed = (group.aggregate_metric_list or []) if group is not None else []
    pooled = tuple((m.metric, _filters(m.filter_list)) for m in listed)
    by_size = all(m.weight_by_size for m in listed)
    single = wanted.member is not None or wanted.name in tasks
    versions = [str(group.version)] if group is not None else []
    versions += sorted({str(task.VERSION) for task in tasks.values()})
    return Definition(
        wanted,
        tasks,
        "+".join(versions),
        pooled if by_size else (),
        apart=not single and not (pooled and by_size),
        code=any(getattr(t, "UNSAFE_CODE", False) for t in tasks.values()),
    )


@cache
def _compile_templates_once() -> None:
    """lm-eval compiles its few templates anew for each text: most of the work of a prompt."""
    from lm_eval import utils

    utils.env.from_string = cache(utils.env.from_string)  # type: ignore[method-assign]


def _index(root: Path, folder: str | None, name: str) -> Any:
    """The index that holds a name: of its folder if that can be told, else of everything."""
    parts = re.split(r"[_-]", name)
    names = ["_".join(parts[:n]) for n in range(len(parts), 0, -1)]
    places = [root / name for name in ([folder] if folder else names)]
    if own := os.environ.get(INCLUDE_VARIABLE):
        places.insert(0, Path(own))
    for place in places:
        if place.is_dir():
            index = manager(place)
            # A tag may be given in several folders.
            if name in index.task_index and name not in index.all_tags:
                return index
    return manager()


def _filters(listed: Any) -> tuple[str, ...] | None:
    if listed is None:
        return None
    return (listed,) if isinstance(listed, str) else tuple(listed)


def _runs_in_the_sandbox(task: Any) -> bool:
    """Whether a task's metrics run programs through our stand-in for `code_eval`."""
    named = getattr(task, "_metric_fn_list", {}).values()
    functions = [getattr(f, "__self__", f) for f in named]  # lm-eval keeps their `__call__`
    return any(
        isinstance(value, CodeEval)
        for function in functions
        for value in getattr(function, "__globals__", {}).values()
    )


def _prepare(task: Any, wanted: Wanted) -> None:
    """What lm-eval's evaluation does to a task before it builds requests."""
    if getattr(task, "MULTIMODAL", False):
        raise RedoneError(f"{task.task_name} shows images or sound, which is not served here.")
    if getattr(task, "UNSAFE_CODE", False) and not _runs_in_the_sandbox(task):
        raise RedoneError(
            f"{task.task_name} runs what the model wrote inside lm-eval's own process, which is "
            "not done here. Score it with lm-eval in a container."
        )
    defined = task.get_config("num_fewshot")
    if wanted.shots is not None and defined == 0 and wanted.shots:
        raise RedoneError(
            f"{task.task_name} is defined with 0 examples, and lm-eval keeps to that: leave "
            f"+{wanted.shots}shot out."
        )
    if wanted.shots is not None:
        task.set_config(key="num_fewshot", value=wanted.shots)
    elif defined is None:
        task.set_config(key="num_fewshot", value=0)
