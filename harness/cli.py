"""`redone eval`: evaluates a model on tasks, into a run folder."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..tasks.command import Parser, run_command
from ..tasks.errors import RedoneError, UnknownName

if TYPE_CHECKING:
    from ..tasks.sources import DataPaths
    from ..tasks.task import Task
    from .evaluate import Plan
    from .models.base import Model
    from .records import Results


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    p = parser()
    options = p.parse_args(argv)
    if not options.rescore and not options.model:
        p.error("--model is needed (or --rescore RUN)")

    def body() -> int:
        from ..tasks.sources import DataPaths

        data = DataPaths.resolve(options.data_dir, options.mirror)
        if options.rescore:
            folder, results = _rescored(options, data)
        else:
            folder, results = _evaluated(options, data, argv)
        if options.json:
            sys.stdout.write((folder / "results.json").read_text(encoding="utf-8"))
        else:
            from .display import show_results

            show_results(results, folder)
        if options.open:
            open_page(folder)
        return 0

    return run_command(
        p.prog, body, stopped="Stopped. Progress is saved: rerun the same command to resume."
    )


def _evaluated(
    options: argparse.Namespace, data: DataPaths, argv: Sequence[str] | None
) -> tuple[Path, Results]:
    """Loads the model and evaluates it."""
    from ..tasks.registry import find
    from .evaluate import evaluate, load_services, run_info
    from .models.base import thinking_budget
    from .models.loading import ModelConfig, load_model

    tasks = find(options.suite, options.tasks, data)
    plan = _plan(options, tasks, data.folder)
    services = load_services(options.embedder, options.allow_code, tasks)
    model = load_model(ModelConfig.of(vars(options)), tasks, plan.data)
    try:
        budget = thinking_budget(
            model.thinks, options.thinking, options.max_thinking_tokens, model.context
        )
        plan = plan.with_thinking(budget)
        if options.only_predicted:
            plan = replace(plan, only=_predicted(model))
        folder = Path(options.output or _default_folder(options, plan, model))
        print(f"Run folder: {folder}", file=sys.stderr)
        command = ["redone-eval", *(sys.argv[1:] if argv is None else argv)]
        info = run_info(model.name, command, options.suite, tasks)
        return folder, evaluate(folder, plan, model, services, info)
    finally:
        model.close()


def _predicted(model: Model) -> Collection[str]:
    """The ids of the samples that a predictions file has.

    Raises:
        RedoneError: The answers come from elsewhere.
    """
    found = getattr(model, "predicted", None)
    if found is None:
        raise RedoneError(
            "--only-predicted is for a file of predictions: --backend scripted --model FILE."
        )
    return found


def _rescored(options: argparse.Namespace, data: DataPaths) -> tuple[Path, Results]:
    """Scores the answers of a run again."""
    from .evaluate import load_services, rescore, tasks_of_run

    if ignored := _generation_options(options):
        raise RedoneError(
            f"--rescore scores the answers that a run has: {', '.join(ignored)} cannot change "
            "them. Leave it out, or evaluate again without --rescore."
        )
    folder = Path(options.rescore)
    services = load_services(options.embedder, options.allow_code, tasks_of_run(folder, data))
    return folder, rescore(folder, services, data)


_RESCORING = ("rescore", "embedder", "allow_code", "data_dir", "mirror", "json", "open")
"""Options that have a meaning when a run is scored again."""


def _generation_options(options: argparse.Namespace) -> list[str]:
    """The given options that change what a model generates."""
    defaults = vars(parser().parse_args([]))
    return [
        f"--{name.replace('_', '-')}"
        for name, value in vars(options).items()
        if name not in _RESCORING and value != defaults[name]
    ]


def _plan(options: argparse.Namespace, tasks: Sequence[Task], data: Path) -> Plan:
    from ..tasks.prompts import load_prompts
    from ..tasks.protocol import OWN, load_protocol
    from ..tasks.registry import TASKS
    from ..tasks.schema import PARTITIONS
    from .evaluate import Plan

    if options.partition not in ("all", *PARTITIONS):
        raise UnknownName("partition", options.partition, ("all", *PARTITIONS))
    protocol = OWN
    if options.protocol is not None:
        ignored = ("prompts", "system", "temperature", "top_p", "top_k", "max_tokens")
        given = [f"--{n.replace('_', '-')}" for n in ignored if getattr(options, n) is not None]
        if given:
            raise RedoneError(
                f"--protocol {options.protocol} sets prompts, limits and sampling: leave out "
                f"{', '.join(given)}, or --protocol."
            )
        protocol = load_protocol(options.protocol, tasks, data)
    sampled = options.temperature or any(s.temperature for s in protocol.settings.values())
    if options.draws > 1 and not sampled:
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
        data=data,
        partition=options.partition,
        limit=options.limit,
        seed=options.seed,
        draws=options.draws,
        overrides=overrides,
        prompts=load_prompts(options.prompts, [*TASKS.values(), *tasks]) if options.prompts else {},
        system=options.system,
        texts=not options.no_texts,
        protocol=protocol,
    )


def _default_folder(options: argparse.Namespace, plan: Plan, model: Model) -> Path:
    """runs/MODEL-SUITE-HASH: the same request finds its folder again, another one never does."""
    from .evaluate import request_of
    from .records import digest

    names = options.suite or (options.tasks or "sns-mini")
    label = f"{Path(model.name).name}-{names}"
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in label)[:80]
    return Path("runs") / f"{safe}-{digest(request_of(plan, model, {}))[:6]}"


def open_page(folder: Path) -> None:
    """Writes the run's page into its folder and opens it in the browser.

    The harness imports nothing of `reports`: it runs `redone report`, as a user would.

    Raises:
        RedoneError: There is no page.
    """
    words = [str(folder), "--output", str(folder / "report.html"), "--open"]
    command = [sys.executable, "-m", "redone.tasks.command", "report", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RedoneError(f"The run is complete, but has no page: {done.stderr.strip()}")
    print(done.stdout + done.stderr, end="", file=sys.stderr)


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="redone eval",
        description="Evaluate a language model on tasks. A run that was stopped is resumed by the "
        "same command.",
        epilog="Example: redone eval --model ./SmolLM2-135M-Instruct --suite sns-mini",
    )
    # Each function below adds an option to its group.
    what = p.add_argument_group("what is evaluated").add_argument
    what(
        "--model",
        metavar="PATH",
        help="model folder, GGUF file or LoRA adapter; for endpoint: the model's name on the "
        "server; for scripted: gold, empty or everything (gold predictions, no text, all "
        "candidates), or a file of predictions",
    )
    what("--backend", default="hf", metavar="NAME", help="hf (default), vllm, endpoint or scripted")
    what("--suite", metavar="NAMES", help="suites, comma separated (default sns-mini)")
    what("--tasks", metavar="NAMES", help="tasks or globs: sns_bench/ner,sns_trans/*,lm_eval:gsm8k")
    what(
        "--partition", default="all", metavar="NAME", help="all (default), diagnose, gate or report"
    )
    what("--limit", type=positive, metavar="N", help="N samples per task, chosen by seed")
    what("--seed", type=int, default=0, help="seed of --limit, sampling and intervals")
    what(
        "--only-predicted",
        action="store_true",
        help="scripted, a file of predictions: score the samples that have one, and say how many "
        "of all these are",
    )
    how = p.add_argument_group("generation").add_argument
    how("--prompts", metavar="FILE", help="JSON {task: {system, user}}: replaces prompts")
    how("--system", metavar="TEXT", help="replaces every task's system text")
    how(
        "--protocol",
        metavar="NAME",
        help="official: asks a benchmark as its authors do, with their prompts, limits and "
        "sampling, as comparison with printed scores needs (official:configured, official:greedy: "
        "other readings of their sampling; docs/scoring.md)",
    )
    how("--temperature", type=float, metavar="T", help="0 (default) is greedy")
    how("--top-p", type=float, metavar="P", help="nucleus sampling; 1 is off")
    how("--top-k", type=int, metavar="K", help="0 is off")
    how("--draws", type=positive, default=1, metavar="K", help="sampled answers per request")
    how("--max-tokens", type=positive, metavar="N", help="replaces the tasks' own limits")
    how("--chat-template-args", metavar="JSON", help="e.g. '{\"enable_thinking\": false}'")
    how(
        "--chat-template",
        metavar="NAME",
        help="one of a tokenizer's named chat templates, or a file (.jinja) with another",
    )
    how(
        "--thinking",
        choices=("auto", "on", "off"),
        default="auto",
        help="auto (default): what the chat template does by itself",
    )
    how(
        "--max-thinking-tokens",
        type=positive,
        metavar="N",
        help="budget of <think>...</think>, in addition to the answer's (default 4096 for a "
        "model that thinks, at most half its context)",
    )
    how(
        "--thinking-marks",
        nargs=2,
        metavar=("OPEN", "CLOSE"),
        help="texts around a model's thinking, if they are not among the known ones "
        "(docs/backends.md)",
    )
    engine = p.add_argument_group("engine").add_argument
    engine(
        "--base",
        metavar="PATH",
        help="base model of a LoRA adapter (default: as the adapter names it)",
    )
    engine(
        "--allow-pickle",
        action="store_true",
        help="load weights saved as pickles (.bin, .pt): loading a pickle can run code, so only if "
        "you trust the author of the file",
    )
    engine(
        "--trust-remote-code",
        action="store_true",
        help="import Python files that come with the model: they run with all your rights and "
        "without a sandbox, so only files that you have read",
    )
    engine("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    engine("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: cuda if any)")
    engine("--batch-size", default="auto", metavar="N", help="auto (default) or a number")
    engine(
        "--allow-code",
        action="store_true",
        help="run programs that the model wrote, in a sandbox; coding tasks are not scored "
        "without it (docs/sandbox.md says what it protects against)",
    )
    engine(
        "--base-url",
        metavar="URL",
        help="endpoint: http://HOST:PORT/v1 of any OpenAI-compatible server; a key is read from "
        "$REDONE_API_KEY, else $OPENAI_API_KEY",
    )
    engine(
        "--tokenizer",
        metavar="PATH",
        help="endpoint: the model's tokenizer, to render prompts here instead of on the server",
    )
    engine(
        "--backend-args",
        metavar="JSON",
        help="settings of one backend, e.g. '{\"concurrency\": 64}' (docs/backends.md)",
    )
    many = p.add_argument_group("several workers (docs/workers.md)").add_argument
    many(
        "--workers",
        type=positive,
        metavar="N",
        help="copies of the model, which share the requests",
    )
    many(
        "--ray-address",
        metavar="HOST:PORT",
        help="their Ray cluster (auto: the one of this machine; default: this machine only)",
    )
    many(
        "--gpus-per-worker",
        type=gpus,
        metavar="G",
        help="0.5: two workers share a GPU (default: what the backend uses, if there are GPUs)",
    )
    files = p.add_argument_group("files").add_argument
    files(
        "--data-dir",
        metavar="DIR",
        help="benchmark files (default $REDONE_DATA, else the user's data folder; see "
        "redone tasks fetch)",
    )
    files(
        "--mirror",
        metavar="PATH",
        help="folder or manifest of general benchmarks (default $REDONE_MIRROR, and general/ in "
        "the data folder)",
    )
    files("--embedder", metavar="PATH", help="sentence-embedding model for scoring")
    files("--output", metavar="DIR", help="run folder (default runs/MODEL-SUITE-HASH)")
    files("--no-texts", action="store_true", help="do not write samples.jsonl")
    files("--rescore", metavar="RUN", help="score a run again, without a model")
    files("--json", action="store_true", help="print results.json instead of the table")
    files("--open", action="store_true", help="open the run's page in the browser")
    return p


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def gpus(text: str) -> float:
    """A number of GPUs: a fraction of one, or a whole number."""
    number = float(text)
    if not 0 <= number < float("inf") or (number > 1 and number != int(number)):
        raise argparse.ArgumentTypeError(f"{text} is neither a fraction of 1 nor a whole number")
    return number
