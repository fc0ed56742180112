"""Records of one plan, each of other seeds, as one.

    python benchmarks/table3_pooled.py RECORD.json RECORD.json ... [--name table3]

For seeds trained in turn, on machines that did not keep one another's runs. What a record tells of
each seed is taken as it is: means, and the error of training, are what one record of all of them
would have. How the items moved all seeds together no record tells. The standard error of their mean
lies between that of records that move apart and that of records that move alike; of the two
intervals the wider is taken, so it is never narrower than the exact one.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from pathlib import Path
from typing import Any

from machine import keep
from table3 import HERE
from table3_figures import Estimate, judged, with_errors
from table3_page import markdown

from redone.tasks.errors import RedoneError

PLANNED = ("rows", "columns", "claims")
"""What records must have in common to be of one table, beside the figures of the base."""
CLAIM = frozenset(("claim", "row", "beside", "column", "above", "below", "least"))


def pooled(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One record of all seeds, in the order of the records.

    Raises:
        RedoneError: They are not of one plan, one base, or have a pipeline in common.
    """
    return reduce(_both, records)


def _both(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    for part in PLANNED:
        if first["plan"][part] != second["plan"][part]:
            raise RedoneError(f"The records differ in the {part} of their plans.")
    if first["rows"]["base"] != second["rows"]["base"]:
        raise RedoneError("The records differ in the figures of the base.")
    if twice := first["costs"].keys() & second["costs"].keys():
        raise RedoneError(f"{', '.join(sorted(twice))}: in two records. One seed counts once.")
    names = [name for name in ("base", *(row["recipe"] for row in first["plan"]["rows"]))
             if name in first["rows"] or name in second["rows"]]  # fmt: skip
    jobs = dict.fromkeys([str(first["jobs"]), str(second["jobs"])])
    return {
        **second,
        "jobs": " or ".join(jobs),
        "recipes": first["recipes"] | second["recipes"],
        "costs": first["costs"] | second["costs"],
        "rows": {name: _row(first["rows"].get(name), second["rows"].get(name)) for name in names},
        "claims": _claims(first["claims"], second["claims"]),
        "beside": {
            name: first["beside"].get(name, {}) | of for name, of in second["beside"].items()
        },
    }


def _row(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A row of all seeds; what is told of its first seed alone stays."""
    if first is None or second is None or first == second:  # the last: the base
        return first or second or {}
    return {
        **first,
        "seeds": first["seeds"] + second["seeds"],
        "labels": [*first["labels"], *second["labels"]],
        **{
            role: {title: _cell(first[role][title], second[role][title]) for title in first[role]}
            for role in ("corrected", "official")
        },
    }


def _cell(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    scores = [*first["scores"], *second["scores"]]
    return {
        "score": sum(scores) / len(scores),
        "scores": scores,
        "difference": asdict(_estimate(first["difference"], second["difference"])),
    }


def _estimate(first: Mapping[str, Any], second: Mapping[str, Any]) -> Estimate:
    points = [*first["by_seed"], *second["by_seed"]]
    items = [one["item_error"] * len(one["by_seed"]) / len(points) for one in (first, second)]
    apart, alike = with_errors(points, math.hypot(*items)), with_errors(points, sum(items))
    return max(apart, alike, key=lambda found: found.high - found.low)


def _claims(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Those that both records have something on are judged anew."""
    others = {claim["claim"]: claim for claim in second}
    found = [dict(claim) for claim in first]
    for at, claim in enumerate(found):
        if other := others.pop(claim["claim"], None):
            asked = {key: value for key, value in claim.items() if key in CLAIM}
            found[at] = judged(asked, _estimate(claim, other))
    return [*found, *map(dict, others.values())]


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    p.add_argument("records", nargs="+", type=Path, metavar="RECORD.json")
    p.add_argument("--name", default="table3", help="of the result files")
    options = p.parse_args()
    try:
        record = pooled([json.loads(path.read_text("utf-8")) for path in options.records])
    except RedoneError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    path = HERE / "results" / f"{options.name}.json"
    keep(path, record)
    path.with_suffix(".md").write_text(markdown(record, f"{options.name}.svg"), "utf-8")


if __name__ == "__main__":
    main()
