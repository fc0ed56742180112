"""Where every figure comes from: models, settings, hashes, versions, and the command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ..harness.store import flatten
from .stages import Report, Stage, settings_of

PARTS = ("model", "environment", "versions")


@dataclass(frozen=True)
class Origin:
    """One run.

    Attributes:
        label: Of the run.
        facts: Name and value, in order.
        signatures: Of its suites.
        differs: Names of facts in which it differs from the base.
    """

    label: str
    facts: Mapping[str, str]
    signatures: tuple[str, ...]
    differs: frozenset[str]


@dataclass(frozen=True)
class TaskOrigin:
    """What was asked of one task: version, prompt and data hash, settings; as the base did."""

    name: str
    version: str
    prompt: str
    data: str
    settings: str


@dataclass(frozen=True)
class Provenance:
    """Everything at the end of the page.

    Attributes:
        command: Makes this page again.
        redone: Version that made it.
        origins: By run.
        tasks: Of the base.
        policy, policy_hash: Of the gate, as JSON.
        method: How the intervals were made, one sentence.
    """

    command: str
    redone: str
    origins: tuple[Origin, ...]
    tasks: tuple[TaskOrigin, ...]
    policy: str
    policy_hash: str
    method: str


def provenance(report: Report, argv: Sequence[str]) -> Provenance:
    """Gathers it.

    Args:
        report: The runs.
        argv: The arguments that `redone-report` was given.
    """
    policy = report.policy
    facts = [_facts(stage) for stage in report.runs]
    return Provenance(
        command=shlex.join(["redone-report", *argv]),
        redone=version("redone"),
        origins=tuple(
            Origin(
                stage.label,
                own,
                tuple(
                    row["signature"]
                    for row in stage.run.results["tables"][policy.scoring]
                    if row["level"] == "suite"
                ),
                frozenset(name for name in own if own[name] != facts[0].get(name)),
            )
            for stage, own in zip(report.runs, facts, strict=True)
        ),
        tasks=tuple(
            TaskOrigin(
                name,
                str(asked["version"]),
                str(asked["prompt"]),
                str(asked["data"]),
                ", ".join(f"{k} {v}" for k, v in asked["settings"].items() if v not in ((), [])),
            )
            for name, asked in report.base.run.request["tasks"].items()
        ),
        policy=json.dumps(policy.model_dump(mode="json"), indent=2, ensure_ascii=False),
        policy_hash=policy.hash,
        method=(
            f"Paired bootstrap by cluster, {policy.resamples:,} resamples, seed {policy.seed}, "
            f"{100 * (1 - 2 * policy.level):g} % intervals of changes; 95 % intervals of single "
            f"scores; {policy.scoring} scoring; partition {policy.partition}."
        ),
    )


def _facts(stage: Stage) -> dict[str, str]:
    run = stage.run.run
    found: dict[str, Any] = {"folder": str(stage.run.path), "created": run.get("created", "")}
    found["model"] = run.get("name", "")
    found |= flatten({"model": run["request"]["model"]})
    found |= flatten({part: run[part] for part in PARTS[1:] if isinstance(run.get(part), Mapping)})
    found |= settings_of(stage.run)
    if isinstance(run.get("command"), list):
        found["command"] = shlex.join(map(str, run["command"]))
    return {name: _told(value) for name, value in found.items() if value not in (None, "")}


def _told(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 2000 else f"{text[:2000]}… ({len(text):,} characters)"
