"""A recipe: which stages, on what data, gated how. One validated TOML file of a screen."""

from __future__ import annotations

import difflib
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from ..harness.gate.policy import Policy, policy_of
from ..harness.run_folder import shown
from ..tasks.errors import RedoneError, UnknownName
from ..tasks.registry import find, suite_tasks
from ..tasks.schema import Partition
from ..tasks.sources import DataPaths
from ..tasks.task import Task
from .recipe_stages import Count, Stage
from .settings import Strict


class RecipeInvalid(RedoneError):
    """A recipe is not valid; the message names file, field and fix."""


def explained(error: ValidationError, raw: Mapping[str, Any], path: Path) -> str:
    """The message for a recipe that is not valid, by the stages' names in the `raw` file."""
    schema = Recipe.model_json_schema()
    tables = [schema, *schema["$defs"].values()]
    known = sorted({name for table in tables for name in table.get("properties", {})})
    errors = error.errors()
    if len(errors) > 1:
        # A stage that is not valid counts as missing, too: said once is enough.
        errors = [e for e in errors if (e["loc"], e["type"]) != (("stages",), "too_short")]
    lines = [_line(found, raw, known) for found in errors]
    return (
        f"The recipe {path} is not valid:"
        + "".join(f"\n  {line}" for line in lines)
        + "\ndocs/training.md lists the fields; `redone train --show-recipe NAME` prints a recipe "
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
    stage = stage if isinstance(stage, dict) else {"name": loc[1]}
    name = stage.get("name", f"number {loc[1] + 1}")
    rest = loc[3:] if loc[2:3] == (stage.get("kind"),) else loc[2:]
    return f"stage {name}" + (f", {'.'.join(map(str, rest))}" if rest else "")


RENAMED = {"rarity": "label_balance", "contrast": "background_weight"}
"""Fields of a stage's rows by their old name, accepted for one version."""
RECIPES = Path(__file__).with_name("recipes")
OnRegression = Literal["stop", "continue", "rollback"]


class Evaluation(Strict):
    """The tasks that every model of the pipeline is evaluated on.

    Attributes:
        domain: Suites that training is to improve.
        robustness: Suites that must not get worse.
        limit: Items per task and partition, a seeded choice; None for all.
        report_limit: The same for the final figures; None: `limit`. `--set evaluation.limit=N`
            is of both, unless `evaluation.report_limit` is set as well.
        seed: Of that choice.
        protocol: How the tasks of `domain` are asked whose authors publish it: `official`, as by
            them, or "", as by redone. Training rows are always asked as by redone.
        backend: `hf` or `vllm`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        thinking: Mode of a model whose chat template supports thinking: `auto`, `on` or `off`.
        max_thinking_tokens: Budget of `<think>...</think>` on top of an answer's, also where rows
            are chosen by answers; None: 4096 for a model that thinks, as `redone eval`.
    """

    domain: tuple[str, ...] = Field(min_length=1)
    robustness: tuple[str, ...] = ()
    limit: Count | None = None
    report_limit: Count | None = None
    seed: int = 0
    protocol: str = ""
    backend: Literal["hf", "vllm"] = "hf"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    thinking: Literal["auto", "on", "off"] = "auto"
    max_thinking_tokens: Count | None = None

    @field_validator("domain", "robustness")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            suite_tasks(name)
        return names

    def tasks(self, data: DataPaths | None = None) -> list[Task]:
        """Those of all suites, each once.

        Args:
            data: Where they find their data; None: as the environment says.
        """
        return find(",".join([*self.domain, *self.robustness]), data=data)

    def items(self, partition: Partition) -> int | None:
        """Items per task of a partition, at most; None for all."""
        final = self.report_limit if partition == "report" else None
        return final or self.limit


class Gates(Strict):
    """When a stage's model is accepted.

    Attributes:
        against: What it is compared with: the `base` model; the `previous` one of the branch that
            passed, or the base; or `both`, where it must pass against each.
        on_regression: `stop` (exit code 1), `continue`, or `rollback` (the next stage starts from
            the last model that passed).
        policy: As in a policy file of `redone gate`; `gates` is the number of comparisons, and
            `partition` is `gate`: neither can be set.
    """

    against: Literal["base", "previous", "both"] = "base"
    on_regression: OnRegression = "stop"
    policy: Mapping[str, Any] = {}


class Sources(Strict):
    """Where rows to learn from come from. `--corpus FILE` adds a file.

    Attributes:
        tasks: Tasks of the registry, or globs: their train splits.
        generated: Rows of each train family of `general-mini`, made from `seed`; 0 for none.
        seed: Of those.
        files: Corpora (docs/corpus.md), relative to the recipe.
        needs_corpus: The recipe is of no use without rows of the user's own.
    """

    tasks: tuple[str, ...] = ()
    generated: int = Field(default=0, ge=0)
    seed: int = 0
    files: tuple[str, ...] = ()
    needs_corpus: bool = False


class Recipe(Strict):
    """A whole pipeline.

    Attributes:
        title: One line.
        about: Its purpose, and the model and machine that it was written for.
        tokens: Processed tokens of all stages together, prompts included; pipelines that are
            compared must have the same number within 5 %. None: no limit.
        seed: Of every stage's choice of rows and of its training, unless the stage sets one.
        evaluation, gates, data: See there.
        stages: In order.
    """

    title: str
    about: str
    tokens: Count | None = None
    seed: int = Field(default=0, ge=0, lt=1 << 31)
    evaluation: Evaluation
    gates: Gates = Gates()
    data: Sources
    stages: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [stage.name for stage in self.stages]
        if twice := {name for name in names if names.count(name) > 1 or name in ("base", "final")}:
            raise ValueError(f"stage names must be different, and not base or final: {twice}")
        shares = [stage.token_share for stage in self.stages]
        if self.tokens is None and any(share is not None for share in shares):
            raise ValueError("token_share is a share of tokens, which is not given")
        if self.tokens is not None and abs(sum(share or 0.0 for share in shares) - 1) > 1e-6:
            raise ValueError(
                f"the stages' token_share must add up to 1, and are {[s or 0 for s in shares]}"
            )
        self.policy()
        return self

    def policy(self, partition: Partition = "gate") -> Policy:
        """The policy for a partition: suites and protected tasks without items there are left out.

        Args:
            partition: `gate` for the gates, `report` for the final page.
        """
        for name in ("gates", "partition"):
            if name in self.gates.policy:
                raise ValueError(f"gates.policy.{name} cannot be set: the pipeline does")
        own = {"gates": max(1, self._comparisons()), "partition": partition}
        policy = policy_of({**self.gates.policy, **own}, "gates.policy")
        absent = {task.name for task in self.evaluation.tasks() if partition not in task.partitions}
        suites = {
            name: rules
            for name, rules in policy.suites.items()
            if not absent.issuperset(task.name for task in suite_tasks(name))
        }
        protected = {
            name: margin for name, margin in policy.protected.items() if name not in absent
        }
        return policy.model_copy(update={"suites": suites, "protected": protected})

    def _comparisons(self) -> int:
        """How many the gates make if all stages pass; the first of a branch follows the base."""
        count, later = 0, False
        for stage in self.stages:
            later = later and stage.start != "base"
            if stage.gate:
                count += 2 if self.gates.against == "both" and later else 1
                later = True
        return count

    def stage(self, name: str) -> Any:
        """A stage by name."""
        stages = {stage.name: stage for stage in self.stages}
        if name not in stages:
            raise UnknownName("stage", name, stages, "the recipe names its stages.")
        return stages[name]

    def budget(self, stage: Any) -> int | None:
        """Tokens that a stage may process."""
        if self.tokens is None or stage.token_share is None:
            return None
        return round(self.tokens * stage.token_share)


def shipped() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Reads a recipe.

    Args:
        name: Of a shipped one, or the path of a file.
        changes: `STAGE.FIELD=VALUE` or `SECTION.FIELD=VALUE`, fields nested by dots, values as in
            TOML; anything else is a string.

    Raises:
        RecipeInvalid: No TOML, or not a recipe; names the file, each field and the known ones.
        UnknownName: Neither a shipped recipe nor a file.
    """
    path = RECIPES / f"{name}.toml"
    if not path.is_file():
        path = Path(name)
        if path.suffix != ".toml" or not path.is_file():
            raise UnknownName("recipe", name, shipped(), "give one of these, or a .toml file.")
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RecipeInvalid(f"The recipe {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeInvalid(f"The recipe {path} is not TOML: {error}.") from None
    _rename_fields(raw, path)
    for change in changes:
        _change(raw, change)
    _limit_everything(raw, changes)
    _rename_fields(raw, path)
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeInvalid(explained(error, raw, path)) from None
    except RedoneError as error:
        raise RecipeInvalid(f"The recipe {path}: {error}") from None
    # File names of a recipe are relative to it.
    files = (str((path.parent / Path(name).expanduser()).resolve()) for name in recipe.data.files)
    data = recipe.data.model_copy(update={"files": tuple(files)})
    stages = tuple(_seeded(stage, recipe.seed) for stage in recipe.stages)
    return recipe.model_copy(update={"data": data, "stages": stages})


def _renamed(table: dict[str, Any], where: str) -> None:
    """Moves the fields of a stage's rows that have an old name to the new one, with a warning."""
    for old, new in RENAMED.items():
        if old not in table:
            continue
        if new in table:
            raise RecipeInvalid(f"{where}: {old} is the old name of {new}: give one of them.")
        print(
            f"{where}: {old} is now called {new}; the next version refuses the old name.",
            file=sys.stderr,
        )
        table[new] = table.pop(old)


def _rename_fields(raw: Mapping[str, Any], path: Path) -> None:
    stages = raw.get("stages")
    for stage in stages if isinstance(stages, list) else ():
        if isinstance(stage, dict) and isinstance(stage.get("rows"), dict):
            _renamed(stage["rows"], f"The recipe {path}, stage {stage.get('name')}, rows")


def _seeded(stage: Any, seed: int) -> Any:
    """The stage with the recipe's seed wherever it sets none."""
    parts = {"rows": stage.rows, "train": stage.train}
    unset = {name: part for name, part in parts.items() if "seed" not in part.model_fields_set}
    update = {name: part.model_copy(update={"seed": seed}) for name, part in unset.items()}
    return stage.model_copy(update=update)


def _change(raw: dict[str, Any], change: str) -> None:
    """Applies one `--set`."""
    where, equals, text = change.partition("=")
    first, *rest = (part.strip() for part in where.split("."))
    stages = {s.get("name"): s for s in raw.get("stages", []) if isinstance(s, dict)}
    if not equals or (not rest and first in stages):
        raise RecipeInvalid(
            f"--set {change}: STAGE.FIELD=VALUE is expected, such as "
            f"{next(iter(stages), 'exploratory')}.train.learning_rate=1e-5."
        )
    known = {*stages, *Recipe.model_fields} - {"stages"}
    if first not in known:
        raise UnknownName(f"stage or section in --set {change}:", first, known)
    place, steps = (stages[first], rest) if first in stages else (raw, [first, *rest])
    for step in steps[:-1]:
        place = place.setdefault(step, {})
        if not isinstance(place, dict):
            raise RecipeInvalid(f"--set {change}: {step} has no fields of its own.")
    last = {steps[-1]: _value(text.strip())}
    if first in stages and steps[:-1] == ["rows"]:
        _renamed(last, f"--set {change}")
    place |= last
    # Of these two a table has one: setting it replaces the other.
    place.pop({"steps": "epochs", "epochs": "steps"}.get(steps[-1], ""), None)


def _limit_everything(raw: Mapping[str, Any], changes: Sequence[str]) -> None:
    """A limit that is set from outside is of the final figures, too, unless they are given theirs.

    The `report_limit` of the recipe belongs to the recipe's own `limit`.
    """
    names = {change.partition("=")[0].replace(" ", "") for change in changes}
    evaluation = raw.get("evaluation")
    own = "evaluation.report_limit" in names
    if "evaluation.limit" in names and not own and isinstance(evaluation, dict):
        evaluation["report_limit"] = evaluation["limit"]


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
