"""One stage's training as a file, so that one process or many can run it.

`python -m redone.training.job JOB.json` trains; `accelerate launch` starts it on every device.
The first process writes `result.json` into the stage's folder.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
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
"""Lines of a failed launch's log that are shown, where none of them begins as `SAID`."""
SAID = "redone train: "
"""Begins the line of an error of the trainer's own."""


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
        processes: That train together, as the launch has it; None: as many as there are.
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
    processes: int | None = None

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
    check_devices()
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


@dataclass(frozen=True, slots=True)
class Launch:
    """What an accelerate configuration says of the processes that it starts.

    Attributes:
        config: The file.
        kind: accelerate's `distributed_type`.
        processes: On all machines; None: one for each GPU.
        machines: How many.
        settings: All of the file.
    """

    config: Path
    kind: str
    processes: int | None
    machines: int
    settings: Mapping[str, Any]

    @staticmethod
    def of(config: Path) -> Launch:
        """The launch of a configuration.

        Raises:
            RedoneError: The file is no configuration of accelerate.
        """
        import yaml

        try:
            found = yaml.safe_load(config.read_text("utf-8"))
            kind = str(found["distributed_type"])
            processes, machines = found.get("num_processes"), int(found.get("num_machines") or 1)
            count = None if processes is None else int(processes)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError):
            raise RedoneError(
                f"{config} is no configuration of accelerate: distributed_type and num_processes "
                "are expected, as `accelerate config` writes them."
            ) from None
        return Launch(config, kind, count, machines, found)

    @property
    def on_cpu(self) -> bool:
        """Whether it trains without GPUs."""
        return self.kind == "MULTI_CPU" or bool(self.settings.get("use_cpu"))

    @property
    def here(self) -> int | None:
        """Processes on this machine."""
        return None if self.processes is None else max(1, self.processes // self.machines)

    def command(self) -> list[str]:
        """What starts a Python module in all processes, before the module's name."""
        if not self.on_cpu:
            accelerate = "accelerate.commands.launch"
            return [sys.executable, "-m", accelerate, "--config_file", str(self.config), "-m"]
        # accelerate starts one process on a CPU, however many its configuration has.
        start = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            f"--nproc_per_node={self.here or 1}",
        ]
        if self.machines == 1:
            return [*start, "--standalone", "-m"]
        of = self.settings
        place = [
            f"--nnodes={self.machines}",
            f"--node_rank={of.get('machine_rank', 0)}",
            f"--master_addr={of.get('main_process_ip')}",
            f"--master_port={of.get('main_process_port')}",
        ]
        return [*start, *place, "-m"]

    def variables(self) -> dict[str, str]:
        """Of the environment of the processes, where accelerate's launcher does not set them."""
        if not self.on_cpu:
            return {}
        threads = str(max(1, (os.cpu_count() or 1) // (self.here or 1)))
        return {
            "ACCELERATE_USE_CPU": "true",
            "ACCELERATE_MIXED_PRECISION": str(self.settings.get("mixed_precision") or "no"),
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
        }


def check_devices(config: Path | None = None) -> None:
    """Checks, before hours of evaluation, that training can use the devices of this machine.

    Args:
        config: Of accelerate; None: training is to run in one process.

    Raises:
        RedoneError: Several GPUs for one process, fewer GPUs than processes, or no DeepSpeed.
    """
    import torch

    gpus = torch.cuda.device_count()
    if config is None:
        if gpus > 1 and "WORLD_SIZE" not in os.environ:
            raise RedoneError(
                f"{gpus} GPUs are visible, and training without --accelerate uses one: give "
                "--accelerate fsdp to train on all of them, or make one visible with "
                "CUDA_VISIBLE_DEVICES=0."
            )
        return
    launch = Launch.of(config)
    if launch.on_cpu:
        return
    if launch.here is not None and launch.here > gpus:
        raise RedoneError(
            f"{config} starts {launch.here} processes on this machine, each on a GPU of its own, "
            f"and {gpus} GPUs are visible: copy the file, change num_processes, and give the copy "
            "as --accelerate."
        )
    if launch.kind == "DEEPSPEED" and importlib.util.find_spec("deepspeed") is None:
        raise RedoneError(
            f"{config} needs DeepSpeed, which is not installed: pip install deepspeed"
        )


def launched(config: Path, data: DataPaths) -> Train:
    """Trains jobs on all processes of an accelerate configuration.

    Raises:
        LaunchFailed: By the trainer, if the launch fails; shows its last lines and names the log.
        KeyboardInterrupt: By the trainer, once all processes have ended, if it was told to stop.
    """
    launch = Launch.of(config)

    def train_there(job: Job, progress: Progress) -> StageResult:
        from .processes import run_launch

        path, log = job.output / JOB, job.output / "launch.log"
        (job.output / RESULT).unlink(missing_ok=True)
        save_job(job.model_copy(update={"processes": launch.processes}), path)
        command = [*launch.command(), "redone.training.job", str(path)]
        env = os.environ | data.variables() | launch.variables()
        with log.open("a", encoding="utf-8") as file:
            before = file.tell()
            code = run_launch(command, file, env)
        if code:
            lines = log.read_bytes()[before:].decode("utf-8", "replace").strip().splitlines()
            # What the trainer said stands before the launcher's traceback about its exit code.
            said = list(dict.fromkeys(line for line in lines if line.startswith(SAID)))
            shown = "".join(f"\n  {line}" for line in said or lines[-SHOWN:])
            raise LaunchFailed(f"The launch by {config} ended with code {code}:{shown}\nLog: {log}")
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

    first = os.environ.get("RANK", "0") == "0"
    try:
        with ProgressBar(job.stage) as bar, _only_one(job.output) if first else nullcontext():
            result = train(_launched_rightly(job), bar)
    except RedoneError as error:
        print(f"{SAID}{error}", file=sys.stderr)
        return error.exit_code
    if first:
        save_result(result, job.output / RESULT)
    return 0


def _launched_rightly(job: Job) -> Job:
    """The job, if it runs in as many processes as its launch was to start."""
    found = int(os.environ.get("WORLD_SIZE", "1"))
    if job.processes not in (None, found):
        raise RedoneError(
            f"{found} processes were started, and the configuration has num_processes "
            f"{job.processes}: its distributed_type starts them otherwise."
        )
    print(f"{job.stage}: process {int(os.environ.get('RANK', '0')) + 1} of {found}", flush=True)
    return job


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Refuses to train a stage that the processes of an earlier start still train."""
    import filelock

    try:
        with filelock.FileLock(folder / ".training.lock", timeout=0):
            yield
    except filelock.Timeout:
        raise RedoneError(
            f"Processes of an earlier start still train in {folder}. End them, and rerun the same "
            "command to resume."
        ) from None


if __name__ == "__main__":
    sys.exit(main())
