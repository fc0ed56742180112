"""What stops a pipeline. What was finished before stays, and is named in the manifest."""

from __future__ import annotations

from ..tasks.errors import RedoneError


class RecipeInvalid(RedoneError):
    """A recipe does not say what can be run; the message names file, field and way out."""


class StepChanged(RedoneError):
    """What a finished or begun step was made of has changed; going on would mix two pipelines."""

    exit_code = 3


class FolderInUse(RedoneError):
    """Another process works on the output folder."""

    exit_code = 75


class GateStopped(RedoneError):
    """A gate did not let a stage's model go on.

    Args:
        message: The verdict and the model to keep.
        exit_code: 1 for a regression, 2 for an undecided gate.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NothingToTarget(RedoneError):
    """A diagnosis gives a targeted stage nothing to learn: the stage is left out, and says so."""


class LaunchFailed(RedoneError):
    """A stage that was started with accelerate ended badly."""

    exit_code = 70
