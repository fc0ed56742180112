"""May a figure measured here stand in one ranking with a printed one?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...tasks.registry import BENCHMARKS
from .paper import Paper


def why_apart(
    paper: Paper,
    category: str,
    of: Sequence[str],
    asked: Mapping[str, Mapping[str, Any]],
    judged: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """Why a category may not be ranked beside the printed figure; empty if it may.

    Args:
        paper: The print.
        category: `benchmark/category`.
        of: The tasks of it that were measured.
        asked: By task, `data` and `prompt` of the run's request.
        judged: By task, `scoring` and `not_scored` of the run's results.
    """
    benchmark, _, name = category.partition("/")
    tasks = [task.name for task in BENCHMARKS[benchmark].categories[name]]
    reasons = []
    if absent := sorted(set(tasks) - set(of)):
        reasons.append(f"without {', '.join(absent)}")
    if any(asked[t]["data"] != paper.samples.get(t) for t in of):
        reasons.append("not the published samples in full")
    if any(t not in paper.prompts for t in of):
        reasons.append("the authors' prompt is not published")
    elif any(asked[t]["prompt"] != paper.prompts[t] for t in of):
        reasons.append("not the authors' prompt")
    for task in of:
        role, _, reduced = judged[task]["scoring"].partition("-")
        if role != "official":
            reasons.append(f"{role} scoring, not the authors'")
        if reduced or judged[task]["not_scored"]:
            reasons.append(f"scored without a service ({judged[task]['scoring']})")
    return list(dict.fromkeys(reasons))
