"""A model on its way through the pipeline, and how the way ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Candidate:
    """A model of the chain.

    Attributes:
        label: `base`, or its stage.
        path: Its folder.
        hash: Of its weights, configuration and tokenizer.
        passed: Whether its gate let it pass; None where it was asked of none.
    """

    label: str
    path: Path
    hash: str
    passed: bool | None = None

    @property
    def named(self) -> str:
        """For people."""
        what = "the base model" if self.label == "base" else f"the model of stage {self.label}"
        return f"{what}: {self.path}"


@dataclass(frozen=True)
class Branch:
    """Stages that were trained one from the other, the first of them from the base.

    Attributes:
        kept: The last model that passed a gate, or the base: the one to keep.
        last: What the next stage would start from.
        regressed: Stages whose gate did not let pass.
    """

    kept: Candidate
    last: Candidate
    regressed: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if what comes out passed, and is not the base again after a regression.

        A model that no gate was asked about is no failure, unless it stands on one.
        """
        if self.last.passed is None:
            return 1 if self.regressed else 0
        return 0 if self.kept is self.last else 1


@dataclass(frozen=True)
class Ending:
    """How a pipeline ended.

    Attributes:
        branches: In the order of the recipe, one or more.
        report: The page; None where the pipeline was to end before it.
    """

    branches: Sequence[Branch]
    report: Path | None = None

    @property
    def kept(self) -> Candidate:
        """The model to keep of the last branch."""
        return self.branches[-1].kept

    @property
    def regressed(self) -> list[str]:
        """Stages of all branches whose gate did not let pass."""
        return [name for branch in self.branches for name in branch.regressed]

    @property
    def exit_code(self) -> int:
        """0 if every branch ended well."""
        return max(branch.exit_code for branch in self.branches)
