"""The options of `redone-eval`."""

from __future__ import annotations

import argparse

from ..tasks.command import Parser


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="redone-eval",
        description="Judge a language model on social-network tasks. A run that was stopped "
        "goes on with the same command.",
        epilog="Example: redone-eval --model ./SmolLM2-135M-Instruct --suite sns-mini",
    )
    what = p.add_argument_group("what is judged")
    what.add_argument(
        "--model",
        metavar="PATH",
        help="model folder, GGUF file or LoRA adapter; for endpoint: the server's name of the "
        "model; for scripted: a sheet (gold, empty, everything) or a file of predictions",
    )
    what.add_argument(
        "--backend", default="hf", metavar="NAME", help="hf (default), vllm, endpoint or scripted"
    )
    what.add_argument("--suite", metavar="NAMES", help="suites, comma separated (default sns-mini)")
    what.add_argument(
        "--tasks", metavar="NAMES", help="tasks or globs: sns_bench/ner,sns_trans/*,lm_eval:gsm8k"
    )
    what.add_argument(
        "--partition", default="all", metavar="NAME", help="all (default), diagnose, gate or report"
    )
    what.add_argument("--limit", type=positive, metavar="N", help="N items a task, a seeded choice")
    what.add_argument("--seed", type=int, default=0, help="of choice, sampling and intervals")
    how = p.add_argument_group("how it is asked")
    how.add_argument(
        "--prompts", metavar="FILE", help="JSON {task: {system, user}} replacing prompts"
    )
    how.add_argument("--system", metavar="TEXT", help="replaces every task's system text")
    how.add_argument("--temperature", type=float, metavar="T", help="0 (default) is greedy")
    how.add_argument("--top-p", type=float, metavar="P")
    how.add_argument("--top-k", type=int, metavar="K")
    how.add_argument(
        "--draws", type=positive, default=1, metavar="K", help="sampled answers an item"
    )
    how.add_argument(
        "--max-tokens", type=positive, metavar="N", help="replaces the tasks' own limits"
    )
    how.add_argument(
        "--chat-template-args", metavar="JSON", help="e.g. '{\"enable_thinking\": false}'"
    )
    how.add_argument(
        "--thinking",
        choices=("auto", "on", "off"),
        default="auto",
        help="auto: as the chat template does by itself",
    )
    how.add_argument(
        "--max-thinking-tokens",
        type=positive,
        metavar="N",
        help="budget of <think>...</think>, on top of the answer's (default 4096 for a "
        "model that thinks)",
    )
    engine = p.add_argument_group("engine")
    engine.add_argument(
        "--base", metavar="PATH", help="the model below a LoRA adapter (default: as it names it)"
    )
    engine.add_argument(
        "--allow-pickle",
        action="store_true",
        help="load weights saved as pickles (.bin, .pt): a pickle can hold a program that loading "
        "starts, so only where you trust who made the file",
    )
    engine.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="import Python files that come with the model: they run with all your rights and in "
        "no sandbox, so only those that you have read",
    )
    engine.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    engine.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: cuda if any)")
    engine.add_argument(
        "--batch-size", default="auto", metavar="N", help="auto (default) or a number"
    )
    engine.add_argument(
        "--allow-code",
        action="store_true",
        help="run programs that the model wrote, in a sandbox; tasks that judge code are not "
        "scored without it (docs/sandbox.md says what it protects from)",
    )
    engine.add_argument(
        "--base-url",
        metavar="URL",
        help="endpoint: http://HOST:PORT/v1 of any OpenAI-compatible server; a key is read from "
        "$REDONE_API_KEY, else $OPENAI_API_KEY",
    )
    engine.add_argument(
        "--tokenizer",
        metavar="PATH",
        help="endpoint: the model's tokenizer; prompts are then rendered here, not by the server",
    )
    engine.add_argument(
        "--backend-args",
        metavar="JSON",
        help="settings of one backend, e.g. '{\"concurrency\": 64}' (docs/backends.md)",
    )
    many = p.add_argument_group("many workers (docs/workers.md)")
    many.add_argument(
        "--workers", type=positive, metavar="N", help="copies of the model that share the work"
    )
    many.add_argument(
        "--ray-address",
        metavar="HOST:PORT",
        help="a Ray cluster for them (auto: the one of this machine; default: this machine alone)",
    )
    many.add_argument(
        "--gpus-per-worker",
        type=gpus,
        metavar="G",
        help="0.5: two share a GPU (default: what the backend uses, where there are GPUs)",
    )
    files = p.add_argument_group("files")
    files.add_argument(
        "--data-dir",
        metavar="DIR",
        help="benchmark files (default $REDONE_DATA, else "
        "the user's data folder; see redone-tasks fetch)",
    )
    files.add_argument(
        "--mirror",
        metavar="PATH",
        help="folder or manifest of general benchmarks (default $REDONE_MIRROR, and general/ in "
        "the data folder)",
    )
    files.add_argument("--embedder", metavar="PATH", help="sentence-embedding model for QueryGen")
    files.add_argument("--output", metavar="DIR", help="run folder (default runs/MODEL-SUITE-HASH)")
    files.add_argument("--no-texts", action="store_true", help="keep no samples.jsonl")
    files.add_argument("--rescore", metavar="RUN", help="derive scores and results again, no model")
    files.add_argument(
        "--json", action="store_true", help="print results.json instead of the table"
    )
    files.add_argument("--open", action="store_true", help="open the run's page in the browser")
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
