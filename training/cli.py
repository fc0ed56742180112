"""`redone train`: from a recipe and a base model to a better model, or to a reason why not."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..tasks.command import Parser, run_command
from ..tasks.errors import MissingData

if TYPE_CHECKING:
    from .pipeline import Order


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="redone train",
        description="Train a model in stages with a gate after each: evaluate, select data, "
        "train, evaluate, gate. Progress is saved: rerun the same command to resume.",
        epilog="Example: redone train --recipe redone2-laptop --model ./SmolLM2-135M-Instruct "
        "--output trained. Exit codes: 0 done, 1 a gate found a regression, 2 a gate was "
        "undecided, 3 the folder holds another pipeline, 64 and above: see the message.",
    )
    p.add_argument("--recipe", metavar="NAME", help="a shipped recipe, or a .toml file")
    p.add_argument("--model", metavar="PATH", help="folder of the base model")
    p.add_argument("--output", metavar="DIR", help="folder of the pipeline")
    p.add_argument("--list", action="store_true", help="list the shipped recipes and exit")
    p.add_argument("--show-recipe", metavar="NAME", help="print a shipped recipe and exit")
    text = "change the recipe, such as exploratory.train.steps=50 or evaluation.limit=20"
    p.add_argument("--set", action="append", default=[], metavar="STAGE.FIELD=VALUE", help=text)
    add = p.add_argument_group("data").add_argument
    text = "rows of your own in addition to the recipe's (docs/corpus.md); repeatable"
    add("--corpus", action="append", default=[], metavar="FILE", help=text)
    text = "benchmark files (default: $REDONE_DATA or the user's)"
    add("--data-dir", metavar="DIR", help=text)
    add("--mirror", metavar="PATH", help="mirror of general benchmarks, as in redone eval")
    add = p.add_argument_group("steps").add_argument
    add("--stage", metavar="NAME", help="stop after this stage")
    text = (
        "when a model does not pass its gate: stop (exit code 1), continue anyway, or roll "
        "back to the last model that passed (default: the recipe's)"
    )
    add("--on-regression", choices=("stop", "continue", "rollback"), help=text)
    add("--redo", metavar="STEP", help="drop this step and all after it, and do them again")
    text = (
        "output folder of another pipeline from the same base: its answers of the base model "
        "are reused"
    )
    add("--reuse", metavar="DIR", help=text)
    text = "measure a warm-up of each stage, print steps, tokens, hours and bytes, and exit"
    add("--dry-run", action="store_true", help=text)
    add("--open", action="store_true", help="open the report in the browser")
    add = p.add_argument_group("engine").add_argument
    text = "train on several devices: fsdp, zero3, multi-cpu or a file of accelerate's"
    add("--accelerate", metavar="CONFIG", help=text)
    text = "sentence-embedding model, for tasks scored by embeddings"
    add("--embedder", metavar="PATH", help=text)
    text = "run programs that the model writes, in the sandbox"
    add("--allow-code", action="store_true", help=text)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    p = parser()
    options = p.parse_args(argv)

    def body() -> int:
        if options.list:
            return show_list()
        if options.show_recipe:
            return show_recipe(options.show_recipe)
        for name in ("recipe", "model", "output"):
            if not getattr(options, name):
                p.error(f"--{name} is required")
        return run(options)

    without = " without --redo" if options.redo else ""
    return run_command(
        p.prog,
        body,
        stopped=f"Stopped. Progress is saved: rerun the same command{without} to resume.",
    )


def show_list() -> int:
    """Prints the shipped recipes."""
    from .recipe import load_recipe, shipped

    for name in shipped():
        print(f"{name:22}{load_recipe(name).title}")
    return 0


def show_recipe(name: str) -> int:
    """Prints a shipped recipe."""
    from .recipe import RECIPES, load_recipe

    load_recipe(name)
    sys.stdout.write((RECIPES / f"{name}.toml").read_text("utf-8"))
    return 0


def run(options: argparse.Namespace) -> int:
    """Runs the pipeline of the options, or its forecast; returns the exit code."""
    from ..tasks.sources import DataPaths
    from .evaluations import Evaluator
    from .job import ScoringOptions, check_devices, config_of, launched, services_of, train
    from .manifest import Manifest
    from .pipeline import Pipeline, Workers
    from .stages import choose, gather

    order, output = order_of(options), Path(options.output)
    data = DataPaths.resolve(options.data_dir, options.mirror)
    scoring = ScoringOptions(embedder=options.embedder, allow_code=options.allow_code)
    config = config_of(options.accelerate) if options.accelerate else None
    check_devices(config)
    trainer = launched(config, data) if config else partial(train, data=data)
    workers = Workers(gather, choose, lambda job, bar: trainer(job.with_scoring(scoring), bar))
    evaluator = Evaluator(order.recipe.evaluation, data, services_of(scoring))
    manifest = Manifest(output)
    if options.dry_run:
        from .forecast import forecast, show

        show(forecast(order, manifest, evaluator, workers), output)
        return 0
    with manifest:
        if options.redo:
            manifest.again(options.redo)
        ending = Pipeline(order, manifest, evaluator, workers).run()
    for name in ending.regressed:
        print(f"Stage {name} did not pass its gate.")
    for branch in ending.branches:
        print(f"Keep {branch.kept.named}")
        if branch.last.passed is None and branch.last is not branch.kept:
            print(f"Not gated: {branch.last.named}")
    if ending.report:
        print(f"Report: {ending.report}")
        if options.open:
            webbrowser.open(Path(ending.report).resolve().as_uri())
    return ending.exit_code


def order_of(options: argparse.Namespace) -> Order:
    """The pipeline of the options, checked before anything begins.

    Raises:
        MissingData: A named file or folder does not exist, or a corpus is needed.
        UnknownName: There is no such stage.
    """
    from .pipeline import Order
    from .recipe import load_recipe

    recipe, name = load_recipe(options.recipe, options.set), Path(options.recipe).stem
    model, corpora = Path(options.model), tuple(map(Path, options.corpus))
    reuse = None if options.reuse is None else Path(options.reuse)
    if not (model / "config.json").is_file():
        raise MissingData(f"--model {model} is no model folder: there is no config.json in it.")
    for file in (*map(Path, recipe.data.files), *corpora):
        if not file.is_file():
            raise MissingData(f"The corpus {file} does not exist. docs/corpus.md has the format.")
    if recipe.data.needs_corpus and not (corpora or recipe.data.files):
        raise MissingData(
            f"The recipe {name} needs rows of your own: give --corpus FILE (docs/corpus.md has the "
            "format), or use redone2-laptop, which brings its data."
        )
    if options.stage:
        recipe.stage(options.stage)
    if reuse is not None and not (reuse / "runs" / "base").is_dir():
        raise MissingData(f"--reuse {reuse} is no pipeline's folder: there is no runs/base in it.")
    return Order(
        recipe=recipe,
        name=name,
        model=model,
        corpora=corpora,
        until=options.stage,
        on_regression=options.on_regression or recipe.gates.on_regression,
        reuse=reuse,
    )
