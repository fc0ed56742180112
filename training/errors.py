"""What stops a pipeline. Steps that were finished before stay in the manifest."""

from __future__ import annotations

from ..tasks.errors import RedoneError


class RecipeInvalid(RedoneError):
    """A recipe is not valid; the message names file, field and fix."""


class StepChanged(RedoneError):
    """The inputs of a finished or begun step have changed; resuming would mix two pipelines."""

    exit_code = 3


class FolderInUse(RedoneError):
    """Another process works on the output folder."""

    exit_code = 75


class GateStopped(RedoneError):
    """A stage's model did not pass its gate.

    Args:
        message: The verdict and the model to keep.
        exit_code: 1 for a regression, 2 for an undecided gate.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NothingToTarget(RedoneError):
    """A diagnosis gives a targeted stage nothing to learn: the stage is skipped."""


class LaunchFailed(RedoneError):
    """A stage that was started with accelerate failed."""

    exit_code = 70
