"""lm-eval's definitions: from a name to the built tasks, and what they measure.

A name is that of one of lm-eval's tasks, groups or tags, with variants after plus signs:

    gsm8k            as lm-eval runs it: few-shot examples as defined, raw text
    gsm8k+chat       with the model's chat template, examples as turns (--apply_chat_template)
    gsm8k+0shot      with another number of examples (--num_fewshot)
    truthfulqa/truthfulqa_mc1    one task of a group or tag that has no score of its own
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from typing import Any

from ..errors import RedoneError, UnknownName
from ..sources import INCLUDE_VARIABLE, DataPaths
from .mirror import mirrors
from .offline import CodeEval, nltk_folders, offline_lm_eval

PREFIX = "lm_eval:"
FEWSHOT_SEED = 1234
"""lm-eval's default."""

_VARIANT = re.compile(r"(chat)|(\d+)shot")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A name, parsed.

    Attributes:
        name: Of lm-eval's task, group or tag.
        member: The one task of it that is meant, None for all.
        chat: With the chat template.
        shots: Number of few-shot examples, None: as defined.
    """

    name: str
    member: str | None = None
    chat: bool = False
    shots: int | None = None

    @classmethod
    def of(cls, name: str) -> Wanted:
        """Parses a name, with or without `lm_eval:`.

        Raises:
            RedoneError: An unknown variant.
        """
        base, *variants = name.removeprefix(PREFIX).split("+")
        whole, _, member = base.partition("/")
        found = cls(whole, member or None)
        for variant in variants:
            match = _VARIANT.fullmatch(variant)
            if match is None:
                raise RedoneError(
                    f"{name!r}: the variant {variant!r} is unknown. There are +chat and +Nshot "
                    "(+0shot, +5shot)."
                )
            found = replace(found, chat=True) if match[1] else replace(found, shots=int(match[2]))
        return found


@dataclass(frozen=True, eq=False)
class Definition:
    """The built tasks of a name.

    Attributes:
        wanted: The name.
        tasks: lm-eval's task objects, by name, in its order.
        version: lm-eval's versions of group and tasks, joined by +.
        pooled: Metrics of the group's own score, each the mean over all documents, with their
            filters; empty for a single task.
        apart: The tasks have no common score: each has its own.
        code: They run what the model wrote, in the sandbox.
        nltk: Folders of NLTK's data, which scoring may need.
    """

    wanted: Wanted
    tasks: Mapping[str, Any]
    version: str
    pooled: tuple[tuple[str, tuple[str, ...] | None], ...]
    apart: bool
    code: bool
    nltk: tuple[str, ...] = ()

    def by_metric(self, property: Callable[[Any], Mapping[str, Any]]) -> dict[str, Any]:
        """A property of lm-eval's tasks by metric, such as its aggregation; the first task wins."""
        known: dict[str, Any] = {}
        for task in self.tasks.values():
            known = {**property(task), **known}
        return known

    def metric_keys(self, scored: Callable[[Any], Iterable[str]]) -> list[str]:
        """`metric,filter` of everything that the tasks measure, in lm-eval's order.

        Args:
            scored: The keys that `process_results` of a task gives; empty if they are not known.
                Tasks name their metrics in their definition, and some make others of them.
        """
        keys: dict[str, None] = {}
        for task in self.tasks.values():
            names = dict.fromkeys(task.aggregation())
            made = {key.partition(",")[0]: None for key in scored(task)}
            for ensemble in task._filters:
                for metric in made or names:
                    keys[f"{metric},{ensemble.name}"] = None
        if self.pooled:
            keys = {key: None for key in keys if self._is_pooled(*key.split(",", 1))}
        return [key for key in keys if not key.startswith("bypass,")]

    def _is_pooled(self, metric: str, name: str) -> bool:
        """Whether the group's own score has a metric, with a filter of this name."""
        filters = [found for listed, found in self.pooled if listed == metric]
        return bool(filters) and all(found is None or name in found for found in filters)


@cache
def manager(folder: Path | None = None, include: Path | None = None) -> Any:
    """lm-eval's index of tasks.

    Args:
        folder: The only folder to index; None: all of lm-eval's (takes seconds).
        include: Folder of the user's own definitions, indexed beside all of lm-eval's.
    """
    from lm_eval.tasks import TaskManager

    if folder is None:
        return TaskManager(include_path=str(include) if include else None)
    return TaskManager(include_defaults=False, include_path=str(folder))


@cache
def definition(name: str, folder: str | None, data: DataPaths) -> Definition:
    """Builds the tasks of a name, once for each place that data come from.

    Args:
        name: As in `Wanted`.
        folder: lm-eval's folder that defines it; None if not known: then all may be read.
        data: The mirrors to use, and the user's own definitions.

    Raises:
        UnknownName: lm-eval has no such task.
        MissingData: A data set cannot be found.
        RedoneError: lm-eval is not installed, or the task is not supported.
    """
    # Tasks are built under process-wide patches, so by one thread at a time, and once.
    with _BUILDING:
        return _build(name, folder, data)


_BUILDING = RLock()


@cache
def _build(name: str, folder: str | None, data: DataPaths) -> Definition:
    wanted = Wanted.of(name)
    used = mirrors(data)
    _refuse_unknown(wanted.name, folder, data.include)
    with offline_lm_eval(used):
        from lm_eval import tasks as package

        _compile_templates_once()
        index = _index(Path(package.__file__).parent, folder, wanted.name, data.include)
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
        nltk=nltk_folders(used),
    )


@cache
def _compile_templates_once() -> None:
    """lm-eval recompiles its few templates for each text: most of the cost of a prompt."""
    from lm_eval import utils

    utils.env.from_string = cache(utils.env.from_string)  # type: ignore[method-assign]


def _index(root: Path, folder: str | None, name: str, include: Path | None) -> Any:
    """The index that has a name: of its folder if that can be guessed, else of everything.

    Raises:
        UnknownName: No definition has the name.
    """
    parts = re.split(r"[_-]", name)
    names = ["_".join(parts[:n]) for n in range(len(parts), 0, -1)]
    places = [root / name for name in ([folder] if folder else names)]
    for place in [*([include] if include else []), *places]:
        if place.is_dir():
            index = manager(place)
            # A tag may be defined in several folders.
            if name in index.task_index and name not in index.all_tags:
                return index
    for place in _mentions(root, name)[0]:
        index = manager(place) if place != root else manager(None, include)
        if name in index.task_index and name not in index.all_tags:
            return index
    index = manager(None, include)
    if name not in index.task_index:
        raise UnknownName("lm-eval task", name, index.all_tasks, OWN_DEFINITIONS)
    return index


OWN_DEFINITIONS = f"definitions of your own are read from the folder ${INCLUDE_VARIABLE}."

_NAMED = re.compile(rb"""^[\s-]*(?:task|group|tag)\s*:\s*["']?([\w.+-]+)""", re.MULTILINE)


def _refuse_unknown(name: str, folder: str | None, include: Path | None) -> None:
    """Raises `UnknownName` for a name that no definition has in it, before anything is imported."""
    found = find_spec("lm_eval")
    if folder or found is None or found.origin is None:
        return
    names: set[str] = set()
    for root in filter(None, (include, Path(found.origin).parent / "tasks")):
        folders, defined = _mentions(root, name)
        if folders:
            return
        names |= defined
    raise UnknownName("lm-eval task", name, names, OWN_DEFINITIONS)


@cache
def _mentions(root: Path, name: str) -> tuple[list[Path], set[str]]:
    """The folders of definitions that define a name, and the names that they define.

    Where a text merely has the name in it, `root` is in the folders. It takes a second; lm-eval's
    whole index ten.
    """
    wanted, folders, names = name.encode(), {}, set()
    for folder, _, files in os.walk(root):
        for file in files:
            if Path(file).suffix in ("", ".yaml", ".yml"):  # templates have none
                text = Path(folder, file).read_bytes()
                found = _NAMED.findall(text)
                names.update(found)
                if wanted in text:
                    folders[Path(folder) if wanted in found else root] = None
    return list(folders), {n.decode() for n in names}


def _filters(listed: Any) -> tuple[str, ...] | None:
    if listed is None:
        return None
    return (listed,) if isinstance(listed, str) else tuple(listed)


def _runs_in_the_sandbox(task: Any) -> bool:
    """Whether a task's metrics run programs through our replacement of `code_eval`."""
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
        raise RedoneError(f"{task.task_name} shows images or sound, which is not supported here.")
    if getattr(task, "UNSAFE_CODE", False) and not _runs_in_the_sandbox(task):
        raise RedoneError(
            f"{task.task_name} runs what the model wrote inside lm-eval's own process, which is "
            "not done here. Score it with lm-eval in a container."
        )
    defined = task.get_config("num_fewshot")
    if wanted.shots and defined == 0:
        raise RedoneError(
            f"{task.task_name} is defined with 0 examples, which lm-eval does not override: leave "
            f"+{wanted.shots}shot out."
        )
    if wanted.shots is not None or defined is None:
        task.set_config(key="num_fewshot", value=wanted.shots or 0)
