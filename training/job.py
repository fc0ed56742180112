"""One stage's training as a file, so that one process or many can run it.

`python -m redone.training.job JOB.json` trains; `accelerate launch` starts it on every device.
The first process writes `result.json` into the stage's folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import orjson

from ..tasks.errors import RedoneError, UnknownName
from ..tasks.sources import DataPaths
from .rows import write_json
from .settings import DapoSettings, DpoSettings, SftSettings, Strict
from .shaping import Shaping
from .trainers.arguments import check_grpo, check_trl
from .trainers.steps import Progress, StageResult

CONFIGS = Path(__file__).with_name("configs")
SHOWN = 12
"""Lines of a failed launch's log that are shown."""


class LaunchFailed(RedoneError):
    """A stage that was started with accelerate failed."""

    exit_code = 70


JOB, RESULT = "job.json", "result.json"
Train = Callable[["Job", Progress], StageResult]


def config_of(name: str) -> Path:
    """An accelerate configuration: a shipped one by name, or a file.

    Raises:
        UnknownName: Neither.
    """
    shipped = {path.stem: path for path in CONFIGS.glob("*.yaml")}
    if name in shipped:
        return shipped[name]
    if Path(name).is_file():
        return Path(name).resolve()
    raise UnknownName(
        "accelerate configuration", name, shipped, "give one of these, or a .yaml file."
    )


class ScoringOptions(Strict):
    """What scoring in training may use, as the options of `redone eval`.

    Attributes:
        embedder: Folder of a sentence-embedding model.
        allow_code: Programs of the model are run, in the sandbox.
    """

    embedder: str | None = None
    allow_code: bool = False


class Job(Strict):
    """What the training of a stage needs; everything it reads is in files.

    Attributes:
        stage: Its name.
        kind: Which trainer.
        dapo, sft, dpo: The settings; only the field of the kind is set.
        model: Folder of the model to start from.
        rows: The chosen rows, a corpus; for dpo, pairs.
        output: The stage's folder: gets `model/`, `checkpoints/`, `steps.jsonl`.
        rationales: Ids of the rows that reason before they answer.
        shaping: Of RL's reward, by task.
        weights: Of the loss, by task.
        means: For scoring.
    """

    stage: str
    kind: Literal["dapo", "sft", "pretrain", "dpo"]
    dapo: DapoSettings | None = None
    sft: SftSettings | None = None
    dpo: DpoSettings | None = None
    model: Path
    rows: Path
    output: Path
    rationales: frozenset[str] = frozenset()
    shaping: Mapping[str, Shaping] = {}
    weights: Mapping[str, float] = {}
    means: ScoringOptions = ScoringOptions()

    def with_scoring(self, options: ScoringOptions) -> Job:
        """The same job, scored with these services."""
        return self.model_copy(update={"means": options})

    @property
    def settings(self) -> DapoSettings | SftSettings | DpoSettings:
        """Those of the kind."""
        found = self.dapo or self.sft or self.dpo
        if found is None:
            raise RedoneError(f"The job of stage {self.stage} has no settings.")
        return found


def train(job: Job, progress: Progress, data: DataPaths | None = None) -> StageResult:
    """Runs the trainer of a job in this process, or resumes it.

    Args:
        job: Of the stage.
        progress: Called after each step.
        data: Where its tasks find their data; None: as the environment says.
    """
    # Warned of by transformers: a setting that TRL still needs under its old name.
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)
    # Before the trainers' modules, which import TRL.
    check_grpo() if job.kind == "dapo" else check_trl()
    if job.kind == "dpo":
        from .corpus.preferences import read_pairs
        from .trainers.dpo import train_dpo

        assert job.dpo is not None
        return train_dpo(job.dpo, job.model, read_pairs(job.rows), job.output, progress=progress)
    from .corpus.selection import Rationales
    from .corpus.sources import read_corpus

    services = services_of(job.means)
    rows = read_corpus(job.rows, services, data)

    rationale = Rationales(job.rationales)
    if job.kind == "dapo":
        from .rewards import Rewards
        from .trainers.dapo import train_dapo

        assert job.dapo is not None
        rewards = Rewards(services, job.shaping, weights=job.weights, data=data)
        return train_dapo(
            job.dapo, job.model, rows, rewards, job.output, rationale=rationale, progress=progress
        )
    from .trainers.sft import train_sft

    assert job.sft is not None
    return train_sft(job.sft, job.model, rows, job.output, rationale=rationale, progress=progress)


def launched(config: Path, data: DataPaths) -> Train:
    """Trains jobs on all processes of an accelerate configuration.

    Raises:
        LaunchFailed: By the trainer, if the launch fails; shows its last lines and names the log.
    """

    def train_there(job: Job, progress: Progress) -> StageResult:
        path, log = job.output / JOB, job.output / "launch.log"
        (job.output / RESULT).unlink(missing_ok=True)
        save_job(job, path)
        command = [
            *(sys.executable, "-m", "accelerate.commands.launch"),
            *("--config_file", str(config)),
            *("-m", "redone.training.job", str(path)),
        ]
        env = os.environ | data.variables()
        with log.open("a", encoding="utf-8") as file:
            done = subprocess.run(
                command, stdout=file, stderr=subprocess.STDOUT, check=False, env=env
            )
        if done.returncode:
            lines = log.read_text("utf-8", "replace").strip().splitlines()[-SHOWN:]
            shown = "".join(f"\n  {line}" for line in lines)
            raise LaunchFailed(
                f"accelerate launch ended with code {done.returncode}:{shown}\nLog: {log}"
            )
        return load_result(job.output / RESULT)

    return train_there


def services_of(options: ScoringOptions) -> Any:
    """The services that the options of a job enable."""
    from ..harness.embedder import FolderEmbedder
    from ..harness.sandbox.service import ForkSandbox
    from ..tasks.schema import Services

    return Services(
        embedder=FolderEmbedder(options.embedder) if options.embedder else None,
        sandbox=ForkSandbox() if options.allow_code else None,
    )


def save_job(job: Job, path: Path) -> None:
    """Writes a job file."""
    write_json(path, job.model_dump(mode="json"))


def load_job(path: Path) -> Job:
    """Reads a job file."""
    return Job.model_validate_json(path.read_bytes())


def save_result(result: StageResult, path: Path) -> None:
    """Writes the result of a job."""
    write_json(path, asdict(result) | {"model": str(result.model)})


def load_result(path: Path) -> StageResult:
    """Reads the result of a job."""
    record = orjson.loads(path.read_bytes())
    return StageResult(**(record | {"model": Path(record["model"])}))


def main(argv: Sequence[str] | None = None) -> int:
    """Trains a job file; every process of a launch runs this."""
    (path,) = sys.argv[1:] if argv is None else argv
    job = load_job(Path(path))
    from ..harness.display import ProgressBar

    try:
        with ProgressBar(job.stage) as bar:
            result = train(job, bar)
    except RedoneError as error:
        print(f"redone train: {error}", file=sys.stderr)
        return error.exit_code
    if os.environ.get("RANK", "0") == "0":
        save_result(result, job.output / RESULT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
