"""Named baselines: the scores of a run without its texts, small enough for version control.

A baseline is a folder `NAME/` that can be read as a run: `run.json`, `results.json` and
`scores.parquet` (without the parsed answers), and `baseline.json` with the SHA-256 of each, which
detects a baseline that was edited or only partly merged.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from pathlib import Path

import orjson

from ...tasks.errors import RedoneError, UnknownName
from ..json_file import to_json, write_file
from ..records import SCHEMA_VERSION
from ..run_folder import RunUnreadable
from ..scored_run import ScoredRun

FOLDER = Path("baselines")
FILES = ("run.json", "results.json", "scores.parquet")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def save(run: ScoredRun, name: str, folder: Path = FOLDER) -> Path:
    """Saves a run as a baseline; an existing one of this name is replaced.

    Args:
        run: A finished run.
        name: Letters, digits, `.`, `_` and `-`.
        folder: Of the baselines.

    Returns:
        The baseline's folder.
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
    for file in FILES[:2]:
        shutil.copyfile(run.path / file, partial / file)
    table = pq.read_table(run.path / FILES[2])
    at = table.schema.get_field_index("parsed")
    table = table.set_column(at, "parsed", pa.nulls(len(table), pa.string()))
    pq.write_table(table, partial / FILES[2], compression="zstd", compression_level=19)
    record = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "saved": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "files": {file: _hash(partial / file) for file in FILES},
    }
    write_file(partial / "baseline.json", to_json(record))
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target


def load(name: str, folder: Path = FOLDER) -> ScoredRun:
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
                f"redone-gate RUN --save-baseline {name}."
            )
        raise UnknownName(f"baseline in {folder}:", name, known)
    try:
        hashes = orjson.loads((target / "baseline.json").read_bytes())["files"]
        changed = [file for file in FILES if _hash(target / file) != hashes[file]]
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
