"""A finished run as arrays: what gate, diagnosis, report and leaderboard read.

Only `run.json`, `results.json` and `scores.parquet` are needed: no model, no data set, no texts. A
named baseline is such a folder too: these files without the parsed answers, small enough for
version control, and `baseline.json` with the SHA-256 of each, which detects a baseline that was
edited or only partly merged.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from ..tasks.errors import RedoneError, UnknownName
from ..tasks.registry import by_name
from ..tasks.schema import Scoring
from ..tasks.task import Task
from .json_file import to_json, write_file
from .records import SCHEMA_VERSION, Results, RunRecord, RunRequest
from .run_folder import RunFolder, RunUnfinished, RunUnreadable, no_run, unreadable

COLUMNS = (
    *("task", "sample", "cluster", "partition", "draw", "value", "stats", "failure", "scored"),
)


@dataclass(frozen=True)
class TaskScores:
    """The scores of one task under one scoring, a row per sample, sorted by sample id.

    Several draws of a sample are one row: the mean of their statistics and values, and the failure
    of the first draw.

    Attributes:
        task: The registry's.
        scoring: Whose statistics these are.
        samples: Ids, bytes, shape [n], rising.
        clusters: Ids, bytes, shape [n].
        partitions: Shape [n], text.
        stats: Shape [n, S], float64.
        values: Shape [n], 0..1.
        failures: Shape [n], text; "" for a fully right answer.
        not_scored: Samples left out because a service was missing.
    """

    task: Task
    scoring: Scoring
    samples: np.ndarray
    clusters: np.ndarray
    partitions: np.ndarray
    stats: np.ndarray
    values: np.ndarray
    failures: np.ndarray
    not_scored: int = 0

    def __len__(self) -> int:
        return len(self.samples)

    def at(self, rows: np.ndarray) -> TaskScores:
        """Some of the rows: indices or a mask."""
        columns = ("samples", "clusters", "partitions", "stats", "values", "failures")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    def shared(self, other: TaskScores) -> tuple[np.ndarray, np.ndarray]:
        """Rows, here and in the other, of the samples that both have."""
        _, here, there = np.intersect1d(
            self.samples, other.samples, assume_unique=True, return_indices=True
        )
        return here, there


class ScoredRun:
    """A run folder, opened for reading.

    Args:
        path: The folder.

    Raises:
        RunUnreadable: It is no run, was written by another version, or its tasks are not those of
            the registry any more.
        RunUnfinished: It has no scores yet, or samples without an answer.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        folder = RunFolder(self.path)
        run = folder.run
        if run is None:
            raise no_run(self.path)
        self.run: RunRecord = run
        if not (self.path / "scores.parquet").is_file():
            raise RunUnfinished(
                f"{self.path} has no scores yet. Rerun its redone eval command to resume."
            )
        self.results: Results = folder.results
        missing = {n: t["missing"] for n, t in self.results["tasks"].items() if t["missing"]}
        if missing:
            counts = [f"{name} ({count})" for name, count in missing.items()]
            some = ", ".join(counts[:5] + ["..."] * (len(counts) > 5))
            raise RunUnfinished(
                f"{self.path} is not finished: samples without an answer in {some}. "
                "Rerun its redone eval command to resume."
            )

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.path.resolve().name

    @property
    def model(self) -> str:
        """What the user called the model."""
        return Path(str(self.run.get("name") or self.name)).name

    @property
    def request(self) -> RunRequest:
        """What was requested (run.json)."""
        return self.run["request"]

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """By name, in the order of the tables; their statistics are those of the run."""
        tasks = {name: by_name(name) for name in self.results["tasks"]}
        for name, task in tasks.items():
            version = self.request["tasks"][name]["version"]
            if not task.reads(version):
                raise RunUnreadable(
                    f"{self.path} scored {name} version {version}; this redone has version "
                    f"{task.version}. Evaluate again, or use the redone of the run."
                )
        return tasks

    def scoring(self, task: str, role: str) -> Scoring:
        """The scoring that played a role (`corrected`, `official`); a reduced one if it did."""
        scoring = self.tasks[task].scorings[role]
        name = self.results["tasks"][task]["scorings"][role]["scoring"]
        while scoring.name != name:
            if scoring.without is None:
                raise RunUnreadable(f"{self.path}: {task} has no scoring {name!r}. Evaluate again.")
            scoring = scoring.without
        return scoring

    def scores(self, role: str = "corrected", partition: str = "all") -> dict[str, TaskScores]:
        """The scores of every task under one role of scoring.

        Args:
            role: `corrected` or `official`.
            partition: Only samples of this one; `all` that the run has.
        """
        import pyarrow.compute as pc

        table = self.table(role, COLUMNS)
        found = {}
        for name, task in self.tasks.items():
            own = table.filter(pc.equal(table["task"], name))  # pyright: ignore[reportAttributeAccessIssue]
            if len(own):
                scores = _task_scores(task, self.scoring(name, role), own)
                if partition != "all":
                    scores = scores.at(scores.partitions == partition)
                found[name] = scores
        return found

    def table(self, role: str, columns: Sequence[str]) -> Any:
        """Columns of scores.parquet under one role: a pyarrow table, a row per sample and draw."""
        import pyarrow.parquet as pq

        # Under one role, tasks may have scorings of different names.
        tasks_of: dict[str, list[str]] = {}
        for name in self.tasks:
            tasks_of.setdefault(self.scoring(name, role).name, []).append(name)
        wanted = [
            [("scoring", "in", [scoring]), ("task", "in", names)]
            for scoring, names in tasks_of.items()
        ]
        path = self.path / "scores.parquet"
        try:
            return pq.read_table(path, columns=list(columns), filters=wanted or None)
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from None


def _task_scores(task: Task, scoring: Scoring, table: Any) -> TaskScores:
    scored = table["scored"].to_numpy()
    table = table.filter(scored)
    samples = text_column(table, "sample").astype("S")
    width = len(scoring.statistics)
    stats = table["stats"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    stats = stats.reshape(-1, width) if len(samples) else np.empty((0, width))
    values = table["value"].to_numpy()
    order = np.lexsort((table["draw"].to_numpy(), samples))
    ids, starts, counts = np.unique(samples[order], return_index=True, return_counts=True)
    rows = order[starts]
    if len(ids) < len(samples):
        stats = np.add.reduceat(stats[order], starts, axis=0) / counts[:, None]
        values = np.add.reduceat(values[order], starts) / counts
    else:
        stats, values = stats[rows], values[rows]
    failures = text_column(table, "failure")[rows]
    return TaskScores(
        task,
        scoring,
        ids,
        text_column(table, "cluster").astype("S")[rows],
        text_column(table, "partition")[rows],
        stats,
        values,
        np.array([failure or "" for failure in failures], dtype=object),
        int((~scored).sum()),
    )


def text_column(table: Any, name: str) -> np.ndarray:
    """A column of text (or None) of a pyarrow table, shape [rows]."""
    return table[name].cast("string").to_numpy(zero_copy_only=False)


BASELINES = Path("baselines")
_FILES = ("run.json", "results.json", "scores.parquet")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def save_baseline(run: ScoredRun, name: str, folder: Path = BASELINES) -> Path:
    """Saves a run as a baseline, replacing one of this name; returns the baseline's folder.

    Names consist of letters, digits, `.`, `_` and `-`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not _NAME.fullmatch(name):
        raise RedoneError(
            f"Baseline name {name!r}: letters, digits, '.', '_' and '-' are expected."
        )
    target = folder / name
    partial = folder / f".{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for file in _FILES[:2]:
        shutil.copyfile(run.path / file, partial / file)
    table = pq.read_table(run.path / _FILES[2])
    at = table.schema.get_field_index("parsed")
    table = table.set_column(at, "parsed", pa.nulls(len(table), pa.string()))
    pq.write_table(table, partial / _FILES[2], compression="zstd", compression_level=19)
    record = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "saved": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "files": {file: _hash(partial / file) for file in _FILES},
    }
    write_file(partial / "baseline.json", to_json(record))
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target


def load_baseline(name: str, folder: Path = BASELINES) -> ScoredRun:
    """Opens a baseline after checking its hashes.

    Raises:
        UnknownName: There is none of this name.
        RunUnreadable: A file is missing or is not the one that was saved.
    """
    target = folder / name
    if not _NAME.fullmatch(name) or not (target / "baseline.json").is_file():
        known = [p.parent.name for p in folder.glob("*/baseline.json")]
        if not known:
            raise RedoneError(
                f"There is no baseline {name!r}: {folder} holds none. Save one with "
                f"redone gate RUN --save-baseline {name}."
            )
        raise UnknownName(f"baseline in {folder}:", name, known)
    try:
        hashes = orjson.loads((target / "baseline.json").read_bytes())["files"]
        changed = [file for file in _FILES if _hash(target / file) != hashes[file]]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise RunUnreadable(f"Baseline {target} cannot be read ({error}). Save it again.") from None
    if changed:
        raise RunUnreadable(
            f"Baseline {target}: {', '.join(changed)} is not the file that was saved (its hash "
            "differs). Restore it from version control, or save the baseline again."
        )
    return ScoredRun(target)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
