"""Records of one plan, each of other seeds, as one.

    python benchmarks/table3_pooled.py RECORD.json RECORD.json ... [--name table3]

For seeds trained in turn, on machines that did not keep one another's runs. What a record tells of
each seed is taken as it is: means, and the error of training, are what one record of all of them
would have. How the items moved the records together none of them tells. The standard error of their
mean lies between that of records that move apart and that of records that move alike; of the two
intervals the wider is taken. So it is not narrower than the exact one, unless the items moved the
records against one another.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from machine import TINY, keep, results
from table3_figures import Estimate, judged, with_errors
from table3_page import machines, markdown

from redone.tasks.errors import RedoneError

Record = Mapping[str, Any]
PLANNED = ("rows", "columns", "claims")
"""What records must have in common to be of one table, beside the figures of the base."""


def pooled(records: Sequence[Record]) -> dict[str, Any]:
    """One record of all seeds, in the order of the records; what is of the first seed stays.

    Raises:
        RedoneError: They are not of one plan, one base, or have a pipeline in common.
    """
    _check(records)
    last = records[-1]
    names = ("base", *(row["recipe"] for row in last["plan"]["rows"]))
    rows = {name: [r["rows"][name] for r in records if name in r["rows"]] for name in names}
    return {
        **last,
        "machines": [machine for record in records for machine in machines(record)],
        "recipes": _all(records, "recipes"),
        "costs": _all(records, "costs"),
        "rows": {name: _row(name, parts) for name, parts in rows.items() if parts},
        "claims": [
            judged(claim, _estimate(parts))
            for claim in last["plan"]["claims"]
            if (parts := [c for r in records for c in r["claims"] if c["claim"] == claim["claim"]])
        ],
        "beside": {
            name: _all([record["beside"] for record in records], name)
            for name in dict.fromkeys(name for record in records for name in record["beside"])
        },
    }


def _check(records: Sequence[Record]) -> None:
    first, seen = records[0], set()
    for number, record in enumerate(records, 1):
        if "rows" not in record:
            raise RedoneError(f"Record {number} has no finished pipeline yet.")
        for part in PLANNED:
            if record["plan"][part] != first["plan"][part]:
                raise RedoneError(f"Record {number} has other {part} in its plan than the first.")
        for title in first["columns"]:
            one, other = (r["rows"]["base"]["corrected"][title]["score"] for r in (first, record))
            if one != other:
                raise RedoneError(
                    f"Record {number} is of another base: {title} {other}, and {one} in the first. "
                    "Differences to two bases have no mean."
                )
        if twice := seen & record["costs"].keys():
            raise RedoneError(f"{', '.join(sorted(twice))}: in two records. A seed counts once.")
        seen |= record["costs"].keys()


def _all(records: Sequence[Record], part: str) -> dict[str, Any]:
    return {key: value for record in records for key, value in record.get(part, {}).items()}


def _row(name: str, parts: Sequence[Record]) -> dict[str, Any]:
    if name == "base" or len(parts) == 1:
        return dict(parts[0])
    return {
        **parts[0],
        "seeds": sum(part["seeds"] for part in parts),
        "labels": [labels for part in parts for labels in part["labels"]],
        **{
            role: {title: _cell([part[role][title] for part in parts]) for title in parts[0][role]}
            for role in ("corrected", "official")
        },
    }


def _cell(parts: Sequence[Record]) -> dict[str, Any]:
    scores = [score for part in parts for score in part["scores"]]
    found = _estimate([part["difference"] for part in parts])
    return {"score": sum(scores) / len(scores), "scores": scores, "difference": asdict(found)}


def _estimate(parts: Sequence[Record]) -> Estimate:
    """Of all pairs of models; the wider of the two intervals that the items leave possible."""
    points = [point for part in parts for point in part["by_seed"]]
    items = [part["item_error"] * len(part["by_seed"]) / len(points) for part in parts]
    apart, alike = with_errors(points, math.hypot(*items)), with_errors(points, sum(items))
    return max(apart, alike, key=lambda found: found.high - found.low)


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    p.add_argument("records", nargs="+", type=Path, metavar="RECORD.json")
    p.add_argument("--name", default="table3", help="of the result files")
    p.add_argument("--tiny", action="store_true", help=TINY)
    options = p.parse_args()
    try:
        record = pooled([json.loads(path.read_text("utf-8")) for path in options.records])
    except (RedoneError, OSError, json.JSONDecodeError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(getattr(error, "exit_code", 65)) from None
    path = results(options.tiny) / f"{options.name}.json"
    keep(path, record)
    picture = path.with_suffix(".svg")
    page = markdown(record, picture.name if picture.is_file() else None)
    path.with_suffix(".md").write_text(page, "utf-8")


if __name__ == "__main__":
    main()
