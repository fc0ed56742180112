"""One stage's training as a file, so that one process or many can run it.

`python -m redone.training.job JOB.json` trains; `accelerate launch` starts it on every device.
The first process writes `result.json` into the stage's folder.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import orjson

from ..harness.store import replacing
from ..tasks.errors import RedoneError
from .shaping import Shaping
from .trainers.settings import DapoSettings, DpoSettings, SftSettings, Strict
from .trainers.steps import Progress, StageResult

JOB, RESULT = "job.json", "result.json"
Train = Callable[["Job", Progress], StageResult]


class Means(Strict):
    """What judging in training may use, as the options of `redone-eval`.

    Attributes:
        embedder: Folder of a sentence-embedding model.
        allow_code: Programs of the model are run, in the sandbox.
    """

    embedder: str | None = None
    allow_code: bool = False


class Job(Strict):
    """What a stage's training needs; everything it reads is in files.

    Attributes:
        stage: Its name.
        kind: Which trainer.
        dapo, sft, dpo: Its settings; the one of the kind.
        model: Where it starts from.
        rows: The chosen rows, a corpus; for dpo, pairs.
        output: The stage's folder: gets `model/`, `checkpoints/`, `steps.jsonl`.
        rationales: Ids of the rows that are asked with their rationale.
        shaping: Of RL's reward, by task.
        weights: Of the loss, by task.
        means: For judging.
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
    means: Means = Means()

    def with_means(self, means: Means) -> Job:
        """The same job, judged with these services."""
        return self.model_copy(update={"means": means})

    @property
    def settings(self) -> DapoSettings | SftSettings | DpoSettings:
        """Those of the kind."""
        found = self.dapo or self.sft or self.dpo
        if found is None:
            raise RedoneError(f"The job of stage {self.stage} has no settings.")
        return found


def train(job: Job, progress: Progress) -> StageResult:
    """Runs the trainer of a job in this process, or goes on where it stopped."""
    # Said by transformers of a setting that TRL still needs under its old name.
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)
    if job.kind == "dpo":
        from .corpus.preferences import read_pairs
        from .trainers.dpo import train_dpo

        assert job.dpo is not None
        return train_dpo(job.dpo, job.model, read_pairs(job.rows), job.output, progress=progress)
    from .corpus.files import read_corpus

    services = services_of(job.means)
    rows = read_corpus(job.rows, services)

    def rationale(row: Any) -> bool:
        return row.id in job.rationales

    if job.kind == "dapo":
        from .rewards import Rewards
        from .trainers.dapo import train_dapo

        assert job.dapo is not None
        rewards = Rewards(services, job.shaping, weights=job.weights)
        return train_dapo(
            job.dapo, job.model, rows, rewards, job.output, rationale=rationale, progress=progress
        )
    from .trainers.sft import train_sft

    assert job.sft is not None
    return train_sft(job.sft, job.model, rows, job.output, rationale=rationale, progress=progress)


def launched(config: Path) -> Train:
    """Trains jobs on all processes of an accelerate configuration."""
    from .launch import accelerate

    def train_there(job: Job, progress: Progress) -> StageResult:
        path = job.output / JOB
        (job.output / RESULT).unlink(missing_ok=True)
        save_job(job, path)
        accelerate(config, path, job.output / "launch.log")
        return load_result(job.output / RESULT)

    return train_there


def services_of(means: Means) -> Any:
    """The services that the options of a job stand for."""
    from ..tasks.schema import Services

    embedder = sandbox = None
    if means.embedder:
        from ..harness.embedder import FolderEmbedder

        embedder = FolderEmbedder(means.embedder)
    if means.allow_code:
        from ..harness.sandbox.pool import ForkSandbox

        sandbox = ForkSandbox()
    return Services(embedder=embedder, sandbox=sandbox)


def save_job(job: Job, path: Path) -> None:
    """Writes a job file."""
    with replacing(path) as temporary:
        temporary.write_bytes(orjson.dumps(job.model_dump(mode="json"), option=orjson.OPT_INDENT_2))


def load_job(path: Path) -> Job:
    """Reads a job file."""
    return Job.model_validate_json(path.read_bytes())


def save_result(result: StageResult, path: Path) -> None:
    """Writes what came of a job."""
    record = asdict(result) | {"model": str(result.model)}
    with replacing(path) as temporary:
        temporary.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))


def load_result(path: Path) -> StageResult:
    """Reads what came of a job."""
    record = orjson.loads(path.read_bytes())
    return StageResult(**(record | {"model": Path(record["model"])}))


def main(argv: Sequence[str] | None = None) -> int:
    """Trains a job file; every process of a launch runs this."""
    (path,) = sys.argv[1:] if argv is None else argv
    job = load_job(Path(path))
    from .progress import StepBar

    try:
        with StepBar(job.stage) as bar:
            result = train(job, bar)
    except RedoneError as error:
        print(f"redone-train: {error}", file=sys.stderr)
        return error.exit_code
    if os.environ.get("RANK", "0") == "0":
        save_result(result, job.output / RESULT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
