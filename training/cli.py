"""`redone-train`: from a recipe and a base model to a better model, or to a verdict why not."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..tasks.command import Parser, run_command
from ..tasks.errors import MissingData

if TYPE_CHECKING:
    from .job import Means
    from .pipeline import Order, Workers
    from .recipe import Recipe


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="redone-train",
        description="Train a model in stages with a gate behind each: evaluate, select data, "
        "train, evaluate, gate. What was stopped goes on with the same command.",
        epilog="Example: redone-train --recipe redone2-laptop --model ./SmolLM2-135M-Instruct "
        "--output trained. Exit codes: 0 done, 1 a gate found a regression, 2 a gate was "
        "undecided, 3 the folder holds another pipeline, 64 and above: the message says.",
    )
    p.add_argument("--recipe", metavar="NAME", help="a shipped recipe, or a .toml file")
    p.add_argument("--model", metavar="PATH", help="folder of the base model")
    p.add_argument("--output", metavar="DIR", help="folder of the pipeline")
    p.add_argument("--list", action="store_true", help="the shipped recipes, then end")
    p.add_argument("--show-recipe", metavar="NAME", help="print a shipped recipe, then end")
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STAGE.FIELD=VALUE",
        help="change the recipe, such as exploratory.train.steps=50 or evaluation.limit=20",
    )
    data = p.add_argument_group("data")
    data.add_argument(
        "--corpus",
        action="append",
        default=[],
        metavar="FILE",
        help="rows of your own beside the recipe's (docs/corpus.md); may be repeated",
    )
    data.add_argument(
        "--data-dir", metavar="DIR", help="benchmark files (default $REDONE_DATA, else user's)"
    )
    data.add_argument("--mirror", metavar="PATH", help="of general benchmarks, as redone-eval")
    how = p.add_argument_group("how far, and what then")
    how.add_argument("--stage", metavar="NAME", help="end after this stage")
    how.add_argument(
        "--on-regression",
        choices=("stop", "continue", "rollback"),
        help="when a gate does not let pass: stop (exit code 1), go on all the same, or go on "
        "from the last model that passed (default: the recipe's)",
    )
    how.add_argument(
        "--redo", metavar="STEP", help="drop this step and all after it, and make them anew"
    )
    how.add_argument(
        "--reuse",
        metavar="DIR",
        help="output folder of another pipeline from the same base: its answers of the base model "
        "are taken over",
    )
    how.add_argument(
        "--dry-run",
        action="store_true",
        help="measure a warm-up of each stage, print steps, tokens, hours and bytes, then end",
    )
    how.add_argument("--open", action="store_true", help="open the report in the browser")
    engine = p.add_argument_group("engine")
    engine.add_argument(
        "--accelerate",
        metavar="CONFIG",
        help="train on several devices: fsdp, zero3, multi-cpu or a file of accelerate's",
    )
    engine.add_argument("--embedder", metavar="PATH", help="sentence embeddings, for QueryGen")
    engine.add_argument(
        "--allow-code", action="store_true", help="run programs of the model, in the sandbox"
    )
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
                p.error(f"--{name} is needed")
        from ..tasks.general.in_use import data_in_use

        with data_in_use(options.data_dir, options.mirror):
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
    """The pipeline, or its forecast."""
    from ..tasks.sources import data_folder
    from .evaluations import Evaluator
    from .job import services_of
    from .manifest import Manifest
    from .recipe import load_recipe

    recipe = load_recipe(options.recipe, options.set)
    order = order_of(options, recipe)
    workers, means = workers_of(options)
    evaluator = Evaluator(recipe.evaluation, data_folder(options.data_dir), services_of(means))
    manifest = Manifest(Path(options.output))
    if options.dry_run:
        from .forecast import forecast
        from .forecast_table import show

        show(forecast(order, manifest, evaluator, workers), Path(options.output))
        return 0
    from .pipeline import Pipeline

    with manifest:
        if options.redo:
            manifest.again(options.redo)
        ending = Pipeline(order, manifest, evaluator, workers).run()
    for name in ending.regressed:
        print(f"The gate of stage {name} did not let pass.")
    for branch in ending.branches:
        print(f"Keep {branch.kept.named}")
        if branch.last.passed is None and branch.last is not branch.kept:
            print(f"No gate was asked about {branch.last.named}")
    if ending.report:
        print(f"Report: {ending.report}")
        if options.open:
            webbrowser.open(Path(ending.report).resolve().as_uri())
    return ending.exit_code


def order_of(options: argparse.Namespace, recipe: Recipe) -> Order:
    """What the options ask for, checked before anything is begun."""
    from .pipeline import Order

    model = Path(options.model)
    if not (model / "config.json").is_file():
        raise MissingData(f"--model {model} is no model folder: there is no config.json in it.")
    corpora = tuple(map(Path, options.corpus))
    for file in (*map(Path, recipe.data.files), *corpora):
        if not file.is_file():
            raise MissingData(f"The corpus {file} is not there. docs/corpus.md has the format.")
    if recipe.data.needs_corpus and not (corpora or recipe.data.files):
        raise MissingData(
            f"The recipe {options.recipe} needs rows of your own: give --corpus FILE "
            "(docs/corpus.md has the format), or take redone2-laptop, which brings its data."
        )
    if options.stage:
        recipe.stage(options.stage)
    reuse = None if options.reuse is None else Path(options.reuse)
    if reuse is not None and not (reuse / "runs" / "base").is_dir():
        raise MissingData(f"--reuse {reuse} is no pipeline's folder: there is no runs/base in it.")
    return Order(
        recipe=recipe,
        name=Path(options.recipe).stem,
        model=model,
        corpora=corpora,
        until=options.stage,
        on_regression=options.on_regression or recipe.gates.on_regression,
        reuse=reuse,
    )


def workers_of(options: argparse.Namespace) -> tuple[Workers, Means]:
    """Who gathers, chooses and trains, and what judging may use."""
    from .job import Means, launched, train
    from .launch import config_of
    from .pipeline import Workers
    from .stages import choose, gather

    means = Means(embedder=options.embedder, allow_code=options.allow_code)
    trainer = launched(config_of(options.accelerate)) if options.accelerate else train
    return Workers(gather, choose, lambda job, bar: trainer(job.with_means(means), bar)), means
