"""Table 3 of RedOne 2.0 at the size of a laptop: every pipeline of the plan, its figures, its cost.

    python benchmarks/table3.py --model FOLDER --data-dir DIR

Does what table3.toml plans, one `redone train` for each row and seed, those of the first seed
first, and what the plan measures beside them, of the base before and of the others behind; writes
results/table3.json, .md and .svg after each, and report.html to its own folder. It goes on where it
was stopped. `--only sft-only:0` trains that one alone, `--figures` only computes.

What the figures are computed from is kept in results/table3/: a baseline of each final run
(statistics without texts) and what it cost. A copy of such a folder in `--output` counts as done:
it gives its figures again, without the training.

`--jobs` of them run side by side, each with its part of the cores: of a small model that is faster
than one after the other with all cores (an SFT step of two pipelines on two cores: 17 to 20 s with
a core each, 22 s in turn). How sums are parted among threads changes their rounding, so the same
figures again need the same number.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from machine import keep, machine
from table3_figures import figures
from table3_page import markdown

from redone.harness.machine import cores
from redone.harness.scored_run import ScoredRun, save_baseline
from redone.tasks.errors import RedoneError
from redone.training.recipe import load_recipe
from redone.training.stage_files import processed

HERE = Path(__file__).resolve().parent
PLAN = HERE / "table3.toml"
COSTS = "costs.json"
"""Beside the baseline of a pipeline's final run."""
AT_ITS_END = (0, 1)
"""Exit codes of a pipeline that did all it had to; 1: a gate on its way found a regression."""


class Table:
    """The plan and what there is of it.

    Args:
        options: The command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.plan = tomllib.loads(PLAN.read_text("utf-8"))
        self.model, self.data = Path(options.model), options.data_dir
        self.folder, self.name = Path(options.output), options.name
        self.only, self.jobs = options.only, options.jobs

    def pipelines(self) -> list[tuple[str, int]]:
        """Recipe and seed of each, those of the first seed first."""
        found = [(row["recipe"], seed) for row in self.plan["rows"] for seed in row["seeds"]]
        return sorted(found, key=lambda pair: pair[1])

    def asked(self) -> list[tuple[str, int]]:
        """Those of them that are to be trained now."""
        found = {f"{recipe}:{seed}": (recipe, seed) for recipe, seed in self.pipelines()}
        if unknown := [name for name in self.only or () if name not in found]:
            raise RedoneError(
                f"--only {','.join(unknown)}: the plan has no such pipeline. It has "
                f"{', '.join(found)}."
            )
        return [found[name] for name in self.only or found]

    def output(self, recipe: str, seed: int) -> Path:
        return self.folder / f"{recipe}-{seed}"

    def train(self, recipe: str, seed: int) -> None:
        """One pipeline, from the base to its final figures."""
        if is_baseline(self.output(recipe, seed)):
            return
        others = [self.output(*pair) for pair in self.pipelines() if pair != (recipe, seed)]
        whole = [path for path in others if (path / "runs/base-report/results.json").is_file()]
        words = ["--recipe", recipe, "--model", str(self.model), "--set", f"seed={seed}"]
        words += ["--output", str(self.output(recipe, seed)), "--on-regression", "continue"]
        words += ["--reuse", str(whole[0])] if whole else []
        self._run("train", [*words, *self._data()], AT_ITS_END)
        if not finished(self.output(recipe, seed)):  # 1 is also how Python ends after an error
            raise RedoneError(
                f"{recipe}:{seed} ended before its report. The same command goes on from there."
            )

    def measure(self, asked: Mapping[str, Any], recipe: str | None, seed: int) -> None:
        """What the plan measures beside the pipelines' own final figures."""
        if is_baseline(self.measured(asked, recipe, seed)):
            return
        if recipe and is_baseline(folder := self.output(recipe, seed)):
            raise RedoneError(
                f"{asked['name']} of {folder.name}: {folder} has its figures, its model is gone. "
                "Delete that folder, and it is trained again."
            )
        model = self.model if recipe is None else last_model(self.output(recipe, seed))
        words = ["--model", str(model), "--output", str(self.measured(asked, recipe, seed))]
        for name, value in asked["ask"].items():
            words += [f"--{name}", str(value)]
        self._run("eval", [*words, *self._data()], (0,))

    def measured(self, asked: Mapping[str, Any], recipe: str | None, seed: int) -> Path:
        return self.folder / asked["name"] / ("base" if recipe is None else f"{recipe}-{seed}")

    def wanted(self, asked: Mapping[str, Any]) -> Iterator[tuple[str | None, int]]:
        """Whom the plan asks something beside, the base first."""
        yield None, 0
        for recipe, seed in self.pipelines():
            if seed in asked["seeds"] and recipe in asked.get("recipes", [recipe]):
                yield recipe, seed

    def done(self) -> dict[str, Path]:
        """The folders of finished pipelines, by their names."""
        folders = [self.output(*pair) for pair in self.pipelines()]
        return {path.name: path for path in folders if is_baseline(path) or finished(path)}

    def base(self) -> Path | None:
        """A run of the base on `report` items, that of the first pipeline that has one."""
        runs = [self.folder / "base", *(p / "runs/base-report" for p in self.done().values())]
        return next((run for run in runs if (run / "results.json").is_file()), None)

    def runs(self) -> dict[str, list[Path]]:
        """Final runs by row: `report` items, every seed that there is."""
        done, base = self.done(), self.base()
        found: dict[str, list[Path]] = {"base": [base]} if base and done else {}
        for recipe, seed in self.pipelines():
            if folder := done.get(self.output(recipe, seed).name):
                found.setdefault(recipe, []).append(final_run(folder))
        return found

    def beside(self) -> dict[str, dict[str, Path]]:
        """Runs measured beside, by question and model."""
        return {
            asked["name"]: {
                path.name: path
                for path in (self.measured(asked, *who) for who in self.wanted(asked))
                if (path / "results.json").is_file()
            }
            for asked in self.plan["beside"]
        }

    def fill(self) -> None:
        """Everything that is planned, what is done already at no cost."""
        to_train = self.asked()
        beside = [] if self.only else self.plan["beside"]
        questions = [(one, *who) for one in beside for who in self.wanted(one)]
        # The base first: if its data are missing, the error comes now and not after hours.
        self.side_by_side(self.measure, [one for one in questions if one[1] is None])
        self.side_by_side(self.train, to_train)
        self.side_by_side(self.measure, [one for one in questions if one[1] is not None])

    def side_by_side(self, work: Callable[..., None], asked: Sequence[tuple[Any, ...]]) -> None:
        """Does some work for each that is asked, in this order, `jobs` at a time."""
        with ThreadPoolExecutor(self.jobs) as pool:
            running = {pool.submit(work, *one) for one in asked}
            try:
                for one in as_completed(running):
                    one.result()
                    self.write()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def record(self) -> dict[str, Any]:
        """Everything that there is to tell, once a pipeline is done."""
        runs = self.runs()
        return {
            "machine": machine("redone", "torch", "transformers", "trl"),
            "jobs": self.jobs,
            "plan": self.plan,
            "recipes": {name: tokens_by_stage(name) for name in runs if name != "base"},
            "costs": {name: costs(path) for name, path in self.done().items()},
            **figures(self.plan, runs),
            "beside": {
                name: {model: scores(run) for model, run in runs.items()}
                for name, runs in self.beside().items()
            },
        }

    def write(self) -> None:
        """The result files: figures, page and seesaw of what there is, and what they are of."""
        self.keep()
        if not self.runs():
            return  # nothing to tell that should replace a page of earlier
        record = self.record()
        path = HERE / "results" / f"{self.name}.json"
        picture = path.with_suffix(".svg")
        keep(path, record)
        path.with_suffix(".md").write_text(markdown(record, picture.name), "utf-8")
        try:
            self.report(picture)
        except RedoneError as error:  # no reason to stop a training that goes on
            print(error, file=sys.stderr)

    def keep(self) -> None:
        """What there is now as baselines, laid out as `--output` is, and nothing else."""
        there = HERE / "results" / self.name
        runs = {Path(asked, model): run for asked, of in self.beside().items()
                for model, run in of.items()}  # fmt: skip
        runs |= {Path(name): final_run(folder) for name, folder in self.done().items()}
        runs |= {Path("base"): base for base in [self.base()] if base}
        for kept in [path.parent for path in there.glob("**/baseline.json")]:
            if kept.relative_to(there) not in runs:
                shutil.rmtree(kept)
        for place, run in runs.items():
            if not same(run, there / place):
                save_baseline(ScoredRun(run), place.name, there / place.parent)
        for name, folder in self.done().items():
            keep(there / name / COSTS, costs(folder))

    def report(self, picture: Path) -> None:
        """The base and each row's first seed beside one another, as `redone report` shows them."""
        titles = {row["recipe"]: row["title"] for row in self.plan["rows"]} | {"base": "base"}
        links = []
        for name, runs in self.runs().items():
            links.append(self.folder / "seesaw" / titles[name])
            links[-1].parent.mkdir(exist_ok=True)
            links[-1].unlink(missing_ok=True)
            links[-1].symlink_to(runs[0].resolve(), target_is_directory=True)
        words = [*map(str, links), "--candidates", "--partition", "report"]
        words += ["--output", str(self.folder / "report.html"), "--seesaw", str(picture)]
        self._run("report", words, (0,))

    def _data(self) -> list[str]:
        return ["--data-dir", str(self.data)] if self.data else []

    def _run(self, verb: str, words: list[str], fine: tuple[int, ...]) -> None:
        print("$ redone", verb, *words, flush=True)
        threads = {"OMP_NUM_THREADS": str(max(1, cores() // self.jobs))} if self.jobs > 1 else {}
        command = [sys.executable, "-m", "redone.tasks.command", verb, *words]
        code = subprocess.run(command, check=False, env=os.environ | threads).returncode
        if code not in fine:
            raise RedoneError(
                f"redone {verb} ended with {code}. The same command goes on from there."
            )


def manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    return json.loads(path.read_text("utf-8"))["steps"] if path.is_file() else {}


def is_baseline(folder: Path) -> bool:
    """Whether a folder is what was kept of one, and not the whole."""
    return (folder / "baseline.json").is_file()


def same(run: Path, kept: Path) -> bool:
    """Whether a baseline is of this very run."""
    return is_baseline(kept) and all(
        (run / file).read_bytes() == (kept / file).read_bytes()
        for file in ("run.json", "results.json")
    )


def finished(folder: Path) -> bool:
    return manifest(folder).get("final/report", {}).get("state") == "finished"


def last_stage(folder: Path) -> str:
    """The stage whose model a pipeline ended with."""
    return [name for name in manifest(folder) if name.endswith("/train")][-1].partition("/")[0]


def final_run(folder: Path) -> Path:
    """The last model's run on `report` items."""
    return folder if is_baseline(folder) else folder / f"runs/{last_stage(folder)}-report"


def last_model(folder: Path) -> Path:
    return folder / "stages" / last_stage(folder) / "model"


def tokens_by_stage(recipe: str) -> dict[str, int | None]:
    """The stated table of budgets."""
    found = load_recipe(recipe)
    return {f"{stage.name} ({stage.kind})": found.budget(stage) for stage in found.stages}


def costs(folder: Path) -> dict[str, Any]:
    """What a pipeline took: hours, and tokens of each stage."""
    if is_baseline(folder):
        return json.loads((folder / COSTS).read_text("utf-8"))
    steps = manifest(folder)
    stages = {
        name.partition("/")[0]: {
            key: step["facts"][key]
            for key in ("steps", "skipped", "tokens_read", "tokens_generated", "tokens_trained",
                        "tokens_of_choosing", "seconds", "stopped")
        }
        for name, step in steps.items()
        if name.endswith("/train")
    }  # fmt: skip
    gates = {n.partition("/")[0]: s["facts"]["outcome"] for n, s in steps.items() if "/gate" in n}
    return {
        "seconds": round(sum(step["seconds"] for step in steps.values())),
        "tokens": sum(processed(stage) for stage in stages.values()),
        "stages": stages,
        "gates": gates,
        "decided": {stage: decided(folder / "gates" / stage) for stage in gates},
    }


def decided(gate: Path) -> list[dict[str, Any]]:
    """The rows that a gate decided by, beside the base and, where asked, the last good model."""
    found = []
    for path in (gate / "gate.json", gate / "previous" / "gate.json"):
        if path.is_file():
            told = json.loads(path.read_text("utf-8"))
            found += [
                {
                    "beside": told["base"]["name"],
                    "level": 100 * (1 - 2 * told["alpha"]),
                    **{key: row[key] for key in ("name", "difference", "low", "high")},
                }
                for row in told["rows"]
                if row["role"] is not None
            ]
    return found


def scores(run: Path) -> dict[str, Any]:
    """Scores of a run measured beside, with their signatures."""
    results = json.loads((run / "results.json").read_text("utf-8"))
    return {
        name: {
            role: {key: of["scorings"][role][key] for key in ("score", "low", "high", "signature")}
            for role in ("corrected", "official")
        }
        for name, of in results["tasks"].items()
    }


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    p.add_argument("--model", required=True, metavar="FOLDER")
    p.add_argument("--data-dir", metavar="DIR")
    p.add_argument("--output", default="runs/table3", metavar="DIR", help="what is kept")
    p.add_argument("--only", type=lambda text: text.split(","), metavar="RECIPE:SEED,...")
    p.add_argument("--jobs", type=int, default=2, metavar="N", help="pipelines side by side")
    p.add_argument("--figures", action="store_true", help="train nothing")
    p.add_argument("--name", default="table3", help="of the result files")
    options = p.parse_args()
    if options.jobs < 1:
        p.error(f"--jobs {options.jobs}: 1 or more is expected")
    table = Table(options)
    try:
        if not options.figures:
            table.fill()
        table.write()
    except RedoneError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
