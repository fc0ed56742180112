"""What a recipe says of one stage: its rows, its reward, its trainer's settings."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .emphasis import EmphasisSettings
from .settings import DapoSettings, DpoSettings, SftSettings, Strict

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class SoftLabels(Strict):
    """General answers rewritten by the model that the stage starts from (RedOne 2.0, stage 2).

    Attributes:
        candidates: Answers to choose among, 2 or more; the paper has 8.
        temperature: Of sampling them, above 0.
        max_tokens: Of one answer.
        judge: `task` (the task's own value), or the folder of a model that grades by a rubric.
    """

    candidates: int = Field(default=8, ge=2)
    temperature: float = Field(default=1.0, gt=0)
    max_tokens: Count = 512
    judge: str = "task"


class Difficulty(Strict):
    """How hard rows are found: the model that the stage starts from answers each several times.

    Attributes:
        draws: Sampled answers per row, 2 or more.
        pool: Rows that are tried per row that is wanted: 1 or more.
        temperature: Of sampling them, above 0.
    """

    draws: int = Field(default=4, ge=2)
    pool: float = Field(default=2.0, ge=1)
    temperature: float = Field(default=1.0, gt=0)


class Rows(Strict):
    """The rows that a stage learns from.

    Attributes:
        choose: `balanced` (tasks share by `balance`), `failures` (rows of the failure buckets of
            the diagnosis of the model that the stage starts from), or `difficulty` (tasks share by
            `balance`; of each, rows that this model solves sometimes come first).
        domain: Rows of the domain.
        general: General rows.
        tasks: Only rows of these domain tasks; empty: of all.
        rationales: Which rows have to reason before they answer: `written` (general rows
            that have a rationale, and no other general rows are drawn), or a share of all rows,
            0 to 1, by a seeded order, without tasks that could not parse an answer behind it.
            Where the rationale is learned (sft, pretrain), only rows that have one count.
        balance: Of `balanced` and `difficulty`: a task's share is its size to this power; 0 even,
            1 proportional.
        label_balance: How far rare labels of a task are preferred, from 0 (as frequent as in the
            corpus) to 1 (all equal); None: 0, with `failures` 0.5, where it counts for small
            buckets too. Called `rarity` before.
        background_weight: Of `failures`: weight of the rest of a task relative to its weak slices,
            above 0 up to 1; None: 0.5. With 1 and a label_balance of 1 labels are equally frequent
            even where one is weak: a small model that gets more of the weak one learns to give it
            always. Called `contrast` before.
        soft_labels: For the general rows of sft and pretrain; their rationales go.
        difficulty: Belongs to `choose = "difficulty"`.
        seed: Of the choice.
    """

    choose: Literal["balanced", "failures", "difficulty"]
    domain: int = Field(ge=0)
    general: int = Field(default=0, ge=0)
    tasks: tuple[str, ...] = ()
    rationales: Share | Literal["written"] = 0.0
    balance: Share = 0.5
    label_balance: Share | None = None
    background_weight: Annotated[float, Field(gt=0, le=1)] | None = None
    soft_labels: SoftLabels | None = None
    difficulty: Difficulty | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.domain + self.general:
            raise ValueError("there is no row to learn from: domain and general are both 0")
        if self.difficulty and self.choose != "difficulty":
            raise ValueError(f'difficulty belongs to choose = "difficulty", not "{self.choose}"')
        if self.choose == "difficulty" and self.difficulty is None:
            raise ValueError('choose = "difficulty" needs the table difficulty: draws and pool')
        if self.soft_labels and not self.general:
            raise ValueError("soft_labels are for general rows, and general is 0")
        if self.rationales == "written":
            if self.choose != "balanced":
                raise ValueError(
                    'rationales = "written" belongs to choose = "balanced", not '
                    f'"{self.choose}": say a share of the rows, 0 to 1'
                )
            if self.soft_labels:
                raise ValueError(
                    'soft_labels replace the answers and rationales that rationales = "written" '
                    "asks for: leave one of them out"
                )
        if self.choose == "failures" and "balance" in self.model_fields_set:
            raise ValueError(
                'balance is of choose = "balanced" and "difficulty"; with "failures" the '
                "diagnosis says what tasks get: leave it out"
            )
        if self.choose != "failures" and "background_weight" in self.model_fields_set:
            raise ValueError(
                f'background_weight belongs to choose = "failures", not "{self.choose}"'
            )
        return self


class Shapes(Strict):
    """Ratios of the reward's further terms (docs/rewards.md); the over-long one is in `train`.

    Attributes:
        pattern: For an answer that cannot be parsed, 0 to 1.
        answer: For an empty answer or a refusal, 0 to 1.
        language: For letters of a foreign script, 0 to 1.
        emphasis: The diagnosis' hints change ratios, sampling and, if requested, loss weights;
            None: they do not.
    """

    pattern: Share = 0.0
    answer: Share = 0.0
    language: Share = 0.0
    emphasis: EmphasisSettings | None = None


class BaseStage(Strict):
    """What all stages have.

    Attributes:
        name: Of the stage and its folder.
        rows: What it learns from.
        start: The model that it starts from: `previous` of the chain, or `base`.
        gate: Whether its model must pass.
        token_share: Of the recipe's `tokens`, 0 to 1.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    rows: Rows
    start: Literal["previous", "base"] = "previous"
    gate: bool = True
    token_share: Share | None = None


class DapoStage(BaseStage):
    """Reinforcement learning."""

    kind: Literal["dapo"]
    train: DapoSettings
    reward: Shapes = Shapes()

    @model_validator(mode="after")
    def _sampled(self) -> Self:
        _no_soft_labels(self.rows, self.kind)
        emphasis, choose = self.reward.emphasis, self.rows.choose
        if emphasis and choose != "difficulty":
            only = 'changes the sampling of choose = "difficulty" alone'
            if emphasis.shares:
                raise ValueError(f"emphasis {only}; say emphasis = {{ shares = false }}")
            if emphasis.set_shares:
                stage = f'the stage has "{choose}": leave it out'
                raise ValueError(f"emphasis.set_shares {only}, and {stage}")
        return self


def _no_soft_labels(rows: Rows, kind: str) -> None:
    if rows.soft_labels:
        raise ValueError(
            f"soft_labels are what sft and pretrain learn; {kind} learns from answers of the "
            "model's own: leave them out"
        )


class SftStage(BaseStage):
    """Supervised fine-tuning."""

    kind: Literal["sft"]
    train: SftSettings


class PretrainStage(BaseStage):
    """Continued pre-training on the plain text of the rows."""

    kind: Literal["pretrain"]
    train: SftSettings

    @model_validator(mode="after")
    def _raw(self) -> Self:
        if not self.train.raw_text:
            raise ValueError("pretrain learns raw text: say raw_text = true in train")
        return self


class Pairs(Strict):
    """How preference pairs are found: a right and a wrong answer of the model's own to a row.

    Attributes:
        candidates: Sampled answers per row, 2 or more.
        temperature: Of sampling them, above 0.
        max_tokens: Of one answer.
    """

    candidates: int = Field(default=8, ge=2)
    temperature: float = Field(default=1.0, gt=0)
    max_tokens: Count = 64


class DpoStage(BaseStage):
    """Direct preference optimization."""

    kind: Literal["dpo"]
    train: DpoSettings
    pairs: Pairs = Pairs()

    @model_validator(mode="after")
    def _paired(self) -> Self:
        _no_soft_labels(self.rows, self.kind)
        if self.rows.rationales:
            raise ValueError(
                "rationales are of dapo, sft and pretrain: pairs are made of answers to the plain "
                "question; leave them out"
            )
        return self


Stage = Annotated[DapoStage | SftStage | PretrainStage | DpoStage, Field(discriminator="kind")]
