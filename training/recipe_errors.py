"""What is wrong with a recipe, said in its own words: stage, field, what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..harness.store import shown


def explained(
    error: ValidationError,
    raw: Mapping[str, Any],
    path: Path,
    model: type[BaseModel],
) -> str:
    """The message for a recipe that is not valid.

    Args:
        error: pydantic's.
        raw: What the file says, for the stages' names.
        path: Of the file.
        model: Of a whole recipe, for names near an unknown one.
    """
    known = sorted(_names(model.model_json_schema()))
    errors = error.errors()
    if len(errors) > 1:
        # A stage that is not valid counts as missing, too: said once is enough.
        errors = [e for e in errors if (e["loc"], e["type"]) != (("stages",), "too_short")]
    lines = [_line(found, raw, known) for found in errors]
    return (
        f"The recipe {path} is not valid:"
        + "".join(f"\n  {line}" for line in lines)
        + "\ndocs/training.md lists the fields; `redone-train --show-recipe NAME` prints a recipe "
        "that works."
    )


def _line(found: Mapping[str, Any], raw: Mapping[str, Any], known: list[str]) -> str:
    where = _where(found["loc"], raw)
    if found["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(found["loc"][-1]), known, n=2, cutoff=0.6)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        return f"{where}: no such field.{hint}"
    if found["type"] == "missing":
        return f"{where}: is missing."
    text = found["msg"].removeprefix("Value error, ")
    if isinstance(found["input"], Mapping | list | tuple | BaseModel):
        return f"{where}: {text}."
    return f"{where}: {text[:1].lower()}{text[1:]} (given: {shown(found['input'])})."


def _where(loc: tuple[int | str, ...], raw: Mapping[str, Any]) -> str:
    """`stages.1.dapo.train.steps` as `stage exploratory, train.steps`."""
    if not loc:
        return "the whole"
    if loc[0] != "stages" or len(loc) < 2 or not isinstance(loc[1], int):
        return ".".join(map(str, loc))
    stages = raw.get("stages")
    stage = stages[loc[1]] if isinstance(stages, list) and loc[1] < len(stages) else {}
    name = stage.get("name", f"number {loc[1] + 1}") if isinstance(stage, dict) else loc[1]
    rest = loc[3:] if isinstance(stage, dict) and loc[2:3] == (stage.get("kind"),) else loc[2:]
    return f"stage {name}" + (f", {'.'.join(map(str, rest))}" if rest else "")


def _names(schema: Mapping[str, Any]) -> set[str]:
    """Every field of every table of a schema."""
    tables = [schema, *schema.get("$defs", {}).values()]
    return {name for table in tables for name in table.get("properties", {})}
