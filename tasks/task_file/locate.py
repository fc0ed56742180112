"""Tasks that no table has: task files, folders of them, tasks in code, and plugins.

`--tasks` takes, wherever it takes a name: `./topic.toml`, a folder of task files, `module:NAME` and
`file.py:NAME` (a `Task`, a `Benchmark` or a sequence of tasks). A package announces its own by
entry points of the group `redone.tasks`, whose values are such `module:NAME`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import BadRow, IncompleteTask, MissingData, RedoneError
from ..task import Benchmark, Task
from .build import TaskReader, load

GROUP = "redone.tasks"


def tasks_from(source: str) -> list[Task]:
    """The tasks of a file, a folder or code.

    Raises:
        MissingData: It is not there.
        BadRow: A task file or its data break their format, or two files have one name.
        IncompleteTask: The code cannot be loaded, or holds no task.
    """
    if ":" in source:
        return _in_code(source)
    path = Path(source).expanduser()
    if not path.is_dir():
        return [load(path)]
    files = sorted(path.glob("*.toml"))
    if not files:
        raise MissingData(f"There is no task file (*.toml) in {path}.")
    return list(_distinct((str(file), load(file)) for file in files))


def tasks_of(sources: tuple[str, ...]) -> dict[str, Task]:
    """The tasks of several sources by name, loaded again when a file has changed.

    Raises:
        As `tasks_from`; BadRow where two sources have tasks of one name.
    """
    paths = [Path(source).expanduser() for source in sources if ":" not in source]
    files = [file for path in paths for file in (sorted(path.glob("*.toml")) or [path])]
    stamps = tuple((str(file), file.stat().st_mtime_ns) for file in files if file.exists())
    return _loaded(sources, stamps)


@cache
def _loaded(sources: tuple[str, ...], stamps: tuple[tuple[str, int], ...]) -> dict[str, Task]:
    pairs = ((source, task) for source in sources for task in tasks_from(source))
    return {task.name: task for task in _distinct(pairs)}


def _distinct(pairs: Iterator[tuple[str, Task]]) -> Iterator[Task]:
    """Each task once; a file that is named twice is one task."""
    seen: dict[str, tuple[str, Path | None]] = {}
    for source, task in pairs:
        home = task.read.path if isinstance(task.read, TaskReader) else None
        other, where = seen.get(task.name, (source, home))
        if task.name in seen:
            if home is not None and home == where:
                continue
            raise BadRow(f"{source}: the name {task.name!r} is that of {other} too.")
        seen[task.name] = source, home
        yield task


# --- code ----------------------------------------------------------------------------------------


def _in_code(source: str) -> list[Task]:
    place, _, name = source.rpartition(":")
    try:
        module = _module(Path(place)) if place.endswith(".py") else import_module(place)
        found = getattr(module, name)
    except RedoneError:
        raise
    except (Exception, SystemExit) as error:  # a module of somebody else's may do anything
        raise IncompleteTask(
            f"The task {source!r} cannot be loaded: {type(error).__name__}: {error}."
        ) from error
    return list(_tasks_in(found, source))


def _module(path: Path) -> ModuleType:
    """The module of a file, loaded once."""
    if not path.is_file():
        raise MissingData(f"The task file {path} is not there.")
    name = f"redone_task_{abs(hash(path.resolve()))}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _tasks_in(found: Any, source: str) -> Iterator[Task]:
    if isinstance(found, Task):
        yield found
    elif isinstance(found, Benchmark):
        yield from found.tasks
    elif isinstance(found, str | Path):
        yield from tasks_from(str(found))
    elif isinstance(found, Sequence) and found:
        for each in found:
            yield from _tasks_in(each, source)
    else:
        raise IncompleteTask(
            f"{source} is {type(found).__name__}: a Task, a Benchmark, the path of a task file, or "
            "a list of these is expected."
        )


@cache
def plugins() -> dict[str, Task]:
    """The tasks that installed packages announce, by name; a broken package is reported once."""
    found: dict[str, Task] = {}
    for point in metadata.entry_points(group=GROUP):
        try:
            for task in _in_code(point.value):
                found.setdefault(task.name, task)
        except RedoneError as error:
            print(f"The plugin {point.name!r} is left out: {error}", file=sys.stderr)
    return found
