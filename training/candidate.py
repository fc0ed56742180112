"""A model on its way through the pipeline, and how the way ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Candidate:
    """A model of the chain.

    Attributes:
        label: `base`, or its stage.
        path: Its folder.
        hash: Of its weights, configuration and tokenizer.
        passed: Whether its gate let it pass; True where there was none.
    """

    label: str
    path: Path
    hash: str
    passed: bool = True

    @property
    def named(self) -> str:
        """For people."""
        what = "the base model" if self.label == "base" else f"the model of stage {self.label}"
        return f"{what}: {self.path}"


@dataclass(frozen=True)
class Ending:
    """How a pipeline ended.

    Attributes:
        kept: The last model that passed its gate: the one to keep.
        last: The last model of the chain.
        regressed: Stages whose gate did not let pass.
        report: The page; None where the pipeline was to end before it.
    """

    kept: Candidate
    last: Candidate
    regressed: list[str]
    report: Path | None = None

    @property
    def exit_code(self) -> int:
        """0 if what comes out passed, and is not the base again after a regression."""
        good = self.kept is self.last and (self.kept.label != "base" or not self.regressed)
        return 0 if good else 1
