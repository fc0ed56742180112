"""What a team calls a regression: roles, margins and error rates, in a TOML file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...tasks.errors import BadRow, MissingData, RedoneError, UnknownName
from ...tasks.registry import OWN_SUITE, SUITES, by_name
from ...tasks.task import LM_EVAL
from ..json_file import read_toml

DEFAULT = Path(__file__).with_name("default.toml")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SuitePolicy(_Strict):
    """The requirements of one suite.

    Attributes:
        role: `domain` (the purpose of training), `robustness` (general abilities to keep), or
            `other`.
        margin: Points by which the suite's mean may drop and still count as not worse.
        task_margin: The same for categories and tasks, whose verdicts only inform.
        require_rise: The suite must improve for the gate to pass.
        optional: The gate may pass if the runs do not have this suite.
    """

    role: Literal["domain", "robustness", "other"]
    margin: float = Field(gt=0, le=100)
    task_margin: float = Field(default=5.0, gt=0, le=100)
    require_rise: bool = False
    optional: bool = False


class Policy(_Strict):
    """The rules of a gate; `default.toml` documents each.

    Attributes:
        alpha: Probability of a false regression over all gates of a pipeline.
        gates: Number of planned gates; each is decided at alpha / gates.
        correction: Over the suites and protected tasks that decide.
        undecided: Exit code of an undecided gate: `stop` (2), `fail` (1), `pass` (0).
        partition: Compare only this partition's samples.
        scoring: `corrected` or `official`.
        resamples, seed: Of the bootstrap.
        suites: By name; `own` is that of the tasks that no suite has.
        other: For suites that are not named; if None they only inform.
        protected: Margin in points by task; a regression of such a task alone fails the gate.
    """

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    gates: int = Field(default=1, ge=1)
    correction: Literal["holm", "none"] = "holm"
    undecided: Literal["stop", "fail", "pass"] = "stop"
    partition: Literal["all", "diagnose", "gate", "report"] = "all"
    scoring: Literal["corrected", "official"] = "corrected"
    resamples: int = Field(default=10_000, ge=1000, le=1_000_000)
    seed: int = 0
    suites: Mapping[str, SuitePolicy] = {}
    other: SuitePolicy | None = None
    protected: Mapping[str, float] = {}

    @property
    def level(self) -> float:
        """Alpha of this one gate."""
        return self.alpha / self.gates

    @property
    def hash(self) -> str:
        """8 hex digits."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]


def load_policy(path: str | Path | None = None) -> Policy:
    """Reads a policy from a TOML file; None: the default policy.

    Raises:
        RedoneError: No such file, no TOML, an unknown key or a value out of range; names each.
        UnknownName: A suite or protected task that is not in the registry.
    """
    path = Path(path or DEFAULT)
    try:
        raw = read_toml(path, "The policy ")
    except (MissingData, BadRow) as error:
        raise RedoneError(str(error)) from None
    return policy_of(raw, str(path))


def policy_of(raw: Mapping[str, Any], where: str) -> Policy:
    """A validated policy; `where` opens the error messages."""
    try:
        policy = Policy.model_validate(raw)
    except ValidationError as error:
        lines = "".join(
            f"\n  {'.'.join(map(str, e['loc']))}: {e['msg']}"
            + ("" if isinstance(e["input"], dict) else f" (given: {e['input']!r})")
            for e in error.errors()
        )
        raise RedoneError(
            f"The policy {where} is not valid:{lines}\nKnown keys: {_KEYS}."
        ) from None
    for name in policy.suites:
        if name not in SUITES and name != OWN_SUITE:
            raise UnknownName(f"suite in {where}:", name, [*SUITES, OWN_SUITE])
    for name, margin in policy.protected.items():
        if not name.startswith(LM_EVAL):  # the runs know those that no table has
            by_name(name)
        if not 0 < margin <= 100:
            raise RedoneError(
                f"{where}: protected task {name}: a margin of {margin} is not in (0, 100]."
            )
    return policy


_KEYS = ", ".join([*Policy.model_fields, *(f"suites.*.{n}" for n in SuitePolicy.model_fields)])
