"""`redone-eval`: judge a model on tasks of the registry, into a run folder that can be trusted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..tasks.command import run_command
from ..tasks.errors import RedoneError, UnknownName
from ..tasks.general.in_use import data_in_use
from .options import parser

if TYPE_CHECKING:
    from ..tasks.schema import Services, Task
    from .models.base import Model
    from .runner import Plan
    from .store import RunFolder


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    p = parser()
    options = p.parse_args(argv)
    if not options.rescore and not options.model:
        p.error("--model is needed (or --rescore RUN)")

    def body() -> int:
        with data_in_use(options.data_dir, options.mirror):
            folder = rescore(options) if options.rescore else evaluate(options, argv)
        if options.open:
            from .summary import open_page

            open_page(folder)
        return 0

    return run_command(
        p.prog,
        body,
        stopped="Stopped. Every answer so far is saved: rerun the same command to resume.",
    )


def evaluate(options: argparse.Namespace, argv: Sequence[str] | None) -> Path:
    """Prepare, ask, judge, print; returns the run folder."""
    from ..tasks.registry import find
    from .models.base import thinking_budget
    from .progress import Progress
    from .runner import ask, prepare
    from .store import RunFolder

    tasks = find(options.suite, options.tasks)
    plan = plan_of(options, tasks)
    services = services_of(options, tasks)
    model = model_of(options, plan)
    budget = thinking_budget(model.thinks, options.thinking, options.max_thinking_tokens)
    plan = plan.with_thinking(budget)
    try:
        with RunFolder(options.output or default_folder(options, plan, model)) as folder:
            print(f"Run folder: {folder.path}", file=sys.stderr)
            total = prepare(folder, plan, model, told(options, argv, model))
            with Progress(total) as bar:
                ask(folder, plan, model, bar)
            conclude(folder, plan, model, services, options.json)
            return folder.path
    finally:
        model.close()


def rescore(options: argparse.Namespace) -> Path:
    """Derive the files of a run again; returns the run folder."""
    from ..tasks.registry import by_name
    from .errors import RunUnreadable
    from .store import RunFolder, no_run

    if ignored := asked_anew(options):
        raise RedoneError(
            f"--rescore judges the answers that a run has: {', '.join(ignored)} cannot change "
            "them. Leave it out, or evaluate again without --rescore."
        )
    path = Path(options.rescore)
    if not (path / "run.json").is_file():
        raise no_run(path)
    with RunFolder(path) as folder:
        run = folder.run or {}
        tasks = [by_name(name) for name in run["request"]["tasks"]]
        changed = [t.name for t in tasks if run["request"]["tasks"][t.name]["version"] != t.version]
        if changed:
            raise RunUnreadable(
                f"{path} was made with other versions of {', '.join(changed)}. Evaluate again."
            )
        conclude(folder, None, None, services_of(options, tasks), options.json)
        return folder.path


JUDGING = ("rescore", "embedder", "allow_code", "data_dir", "mirror", "json", "open")
"""Options that mean something when a run is scored again."""


def asked_anew(options: argparse.Namespace) -> list[str]:
    """The options given that only a new question to the model could obey."""
    usual = vars(parser().parse_args([]))
    return [
        f"--{name.replace('_', '-')}"
        for name, value in vars(options).items()
        if name not in JUDGING and value != usual[name]
    ]


def plan_of(options: argparse.Namespace, tasks: Sequence[Task]) -> Plan:
    """The plan that the options ask for."""
    from ..tasks.prompts import load_prompts
    from ..tasks.schema import PARTITIONS
    from ..tasks.sources import data_folder
    from .runner import Plan

    if options.partition not in ("all", *PARTITIONS):
        raise UnknownName("partition", options.partition, ("all", *PARTITIONS))
    if options.draws > 1 and not options.temperature:
        raise RedoneError(
            "--draws above 1 needs --temperature above 0: greedy answers are all alike."
        )
    overrides = {
        name: value
        for name in ("temperature", "top_p", "top_k", "max_tokens")
        if (value := getattr(options, name)) is not None
    }
    for name, low, high in (("temperature", 0, 100), ("top_p", 1e-9, 1), ("top_k", 0, 1 << 31)):
        if name in overrides and not low <= overrides[name] <= high:
            raise RedoneError(f"--{name.replace('_', '-')} {overrides[name]} is out of range.")
    return Plan(
        tasks=tasks,
        data=data_folder(options.data_dir),
        partition=options.partition,
        limit=options.limit,
        seed=options.seed,
        draws=options.draws,
        overrides=overrides,
        prompts=load_prompts(options.prompts) if options.prompts else {},
        system=options.system,
        texts=not options.no_texts,
    )


def services_of(options: argparse.Namespace, tasks: Sequence[Task]) -> Services:
    """The services that the tasks' scorings can have."""
    from ..tasks.schema import Services

    needs = {need for task in tasks for need in task.needs()}
    embedder = sandbox = None
    if options.embedder and "embedder" in needs:
        from .embedder import FolderEmbedder

        embedder = FolderEmbedder(options.embedder)
    if options.allow_code and "sandbox" in needs:
        from .sandbox.pool import ForkSandbox

        sandbox = ForkSandbox()
        print(f"Sandbox: {sandbox.isolation.line}.", file=sys.stderr)
    return Services(embedder=embedder, sandbox=sandbox)


def model_of(options: argparse.Namespace, plan: Plan) -> Model:
    """Loads the model."""
    from .models.loading import ModelConfig, load_model

    return load_model(ModelConfig.of(vars(options)), plan.tasks, plan.data)


def default_folder(options: argparse.Namespace, plan: Plan, model: Model) -> Path:
    """runs/MODEL-SUITE-HASH: the same request finds its folder again, another one never hits it."""
    from .runner import request_of
    from .signature import digest

    names = options.suite or (options.tasks or "sns-mini")
    label = f"{Path(model.name).name}-{names}"
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in label)[:80]
    return Path("runs") / f"{safe}-{digest(request_of(plan, model, {}))[:6]}"


def told(options: argparse.Namespace, argv: Sequence[str] | None, model: Model) -> dict[str, Any]:
    """What run.json records beside the request."""
    import platform
    from importlib.metadata import version

    return {
        "name": model.name,
        "suite": options.suite,
        "command": ["redone-eval", *(sys.argv[1:] if argv is None else argv)],
        "versions": {
            "redone": version("redone"),
            "python": platform.python_version(),
            **({"lm_eval": version("lm_eval")} if "lm_eval" in sys.modules else {}),
        },
    }


def conclude(
    folder: RunFolder,
    plan: Plan | None,
    model: Model | None,
    services: Services,
    as_json: bool,
) -> None:
    """Judges, writes the derived files, prints."""
    from ..tasks.registry import by_name
    from .results import write_results
    from .runner import items_of
    from .scores import judge
    from .summary import show

    tasks = {name: by_name(name) for name in (folder.run or {})["request"]["tasks"]}
    judged = judge(folder, items_of(folder, plan, model), tasks, services)
    results = write_results(folder, judged, tasks, services)
    if as_json:
        sys.stdout.write((folder.path / "results.json").read_text(encoding="utf-8"))
    else:
        show(results, folder.path)
