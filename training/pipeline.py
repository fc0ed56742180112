"""The pipeline: evaluate, select, train, evaluate, gate, diagnose, ... to the report.

Every step goes through the manifest, so the same call resumes where the last one stopped.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..harness.display import ProgressBar, duration
from ..harness.models.files import fingerprint
from ..harness.run_folder import RunMismatch
from ..tasks.errors import RedoneError
from ..tasks.schema import Partition
from .evaluations import (
    Evaluator,
    diagnose_run,
    gate_runs,
    scoring_inputs,
    write_report,
    write_submissions,
)
from .job import JOB, RESULT, Train, save_job, save_result
from .manifest import Facts, Manifest, digest_of_file, settings_inputs
from .plan import Branch, Candidate, Ending, leaves, needs_diagnosis, steps_of
from .recipe import OnRegression, Recipe
from .shaping import Shaping
from .stage_files import CHOICE, DECISIONS, ROWS, token_summary, tokens_of_choosing, training_facts
from .stages import Choice, Chooser, Gatherer, job_of
from .trainers.steps import STEPS

GATE_FILES = ("gate.json", "gate.md", "gate.xml")
SEVERITY = (0, 2, 1)
"""Exit codes of gates, the worst last: pass, undecided, regression."""
GATE_PAGE = "report-gate.html"
"""All stages on the items that the gates used, where `report.html` has others."""


class GateStopped(RedoneError):
    """A model did not pass its gate; the exit code is 1 for a regression, 2 for undecided."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Order:
    """The settings of one start of the pipeline.

    Attributes:
        recipe: Has the stages.
        name: Of the recipe.
        model: The base model.
        corpora: The user's own, in addition to the recipe's.
        until: Stage after which to stop; None for all.
        on_regression: What happens when a model does not pass its gate.
        reuse: Output folder of another pipeline from the same base, whose runs of it are taken
            over.
    """

    recipe: Recipe
    name: str
    model: Path
    corpora: tuple[Path, ...] = ()
    until: str | None = None
    on_regression: OnRegression = "stop"
    reuse: Path | None = None


@dataclass(frozen=True)
class Workers:
    """The functions that make the corpus, choose a stage's rows, and run a job."""

    gather: Gatherer
    choose: Chooser
    train: Train


class Pipeline:
    """One start of a pipeline, its manifest locked."""

    def __init__(
        self, order: Order, manifest: Manifest, evaluator: Evaluator, workers: Workers
    ) -> None:
        self.order = order
        self.recipe = order.recipe
        self.manifest = manifest
        self.folder = manifest.folder
        self.evaluator = evaluator
        self.workers = workers
        self._plan = [step.name for step in steps_of(self.recipe)]
        self._scoring = scoring_inputs(evaluator.services)

    def run(self) -> Ending:
        """Runs the steps that are not finished.

        Raises:
            GateStopped: A model did not pass its gate, and the pipeline is to stop.
            StepChanged: A finished step is no longer what it was.
        """
        try:
            return self._run()
        finally:
            self.evaluator.close()

    def _run(self) -> Ending:
        corpus = self._corpus()
        base = Candidate("base", self.order.model, fingerprint(self.order.model))
        self._evaluate(base)
        branches: list[Branch] = []
        for stage in self.recipe.stages:
            if not branches or stage.start == "base":
                branches.append(Branch(kept=base, last=base))
            branches[-1] = self._advanced(branches[-1], stage, base, corpus)
            if stage.name == self.order.until:
                return Ending(branches)
        ends = [branch.last for branch in branches if branch.last is not base]
        return Ending(branches, self._finish([base, *ends]))

    def _advanced(self, branch: Branch, stage: Any, base: Candidate, corpus: Path) -> Branch:
        """A branch, one stage further."""
        candidate = self._trained(stage, branch.last, corpus)
        if candidate is branch.last:
            return branch
        self._evaluate(candidate)
        if not stage.gate:
            return replace(branch, last=candidate)
        if self._gate(stage, candidate, base, branch.kept):
            candidate = replace(candidate, passed=True)
            return replace(branch, kept=candidate, last=candidate)
        if self.order.on_regression == "stop":
            self._stop(stage, candidate, branch.kept, base)
        rolled = self.order.on_regression == "rollback"
        return Branch(
            kept=branch.kept,
            last=branch.kept if rolled else replace(candidate, passed=False),
            regressed=(*branch.regressed, stage.name),
        )

    # --- the steps -------------------------------------------------------------------------------

    def _do(
        self,
        name: str,
        inputs: Mapping[str, str],
        outputs: Sequence[Path],
        work: Callable[[], Facts],
        workspace: Sequence[Path] = (),
    ) -> Facts:
        done = self.manifest.finished(name)
        place = f"[{self._plan.index(name) + 1}/{len(self._plan)}] " if name in self._plan else ""
        if not done:
            print(f"{place}{name}", file=sys.stderr)
        facts = self.manifest.do(name, inputs, outputs, work, workspace)
        seconds = self.manifest.steps[name].seconds
        print(f"{place}{name}: {'already done' if done else duration(seconds)}", file=sys.stderr)
        return facts

    def _corpus(self) -> Path:
        path = self.folder / "corpus.jsonl"
        files = [*map(Path, self.recipe.data.files), *self.order.corpora]
        inputs = {
            **settings_inputs("data", self.recipe.data),
            **settings_inputs("evaluation", self.recipe.evaluation),
            **self._scoring,
            **{
                f"corpus {n}, {file.name}": digest_of_file(file)
                for n, file in enumerate(files, 1)
                if file.is_file()
            },
        }
        self._do(
            "corpus",
            inputs,
            [path, path.with_suffix(".json")],
            lambda: self.workers.gather(self.recipe, files, self.evaluator, path),
        )
        return path

    def _evaluate(self, model: Candidate) -> None:
        folder = self.folder / "runs" / model.label
        self._do(
            f"{model.label}/evaluate",
            self._evaluation_inputs(model),
            [folder],
            lambda: self._ask(model, folder, "gate"),
        )

    def _diagnose(self, model: Candidate) -> Path:
        folder = self.folder / "runs" / f"{model.label}-diagnose"

        def work() -> Facts:
            return self._ask(model, folder, "diagnose") | diagnose_run(folder)

        self._do(f"{model.label}/diagnose", self._evaluation_inputs(model), [folder], work)
        return folder / "diagnosis.json"

    def _ask(self, model: Candidate, folder: Path, partition: Partition) -> Facts:
        """Evaluates a model; of the base, starts from the run that another pipeline has of it."""
        reuse = self.order.reuse if model.label == "base" else None
        there = None if reuse is None else reuse / "runs" / folder.name
        taken = there is not None and there.is_dir() and not folder.exists()
        if there is not None and taken:
            shutil.copytree(there, folder, ignore=shutil.ignore_patterns(".*"))
        try:
            return self.evaluator.run(model.path, folder, partition, model.label)
        except RunMismatch as error:
            if not taken:
                raise
            shutil.rmtree(folder)
            raise RunMismatch(
                f"--reuse {reuse} is of another model or evaluation: {error}\n"
                "Leave it out, or name a pipeline with the same base and evaluation."
            ) from None

    def _evaluation_inputs(self, model: Candidate) -> dict[str, str]:
        asked = settings_inputs("evaluation", self.recipe.evaluation)
        return {"model": model.hash, **asked, **self._scoring}

    def _trained(self, stage: Any, start: Candidate, corpus: Path) -> Candidate:
        """The model of a stage; `start` itself where there is nothing for it to learn."""
        folder = self.folder / "stages" / stage.name
        diagnosis = self._diagnose(start) if needs_diagnosis(stage) else None
        choice = Choice(
            stage=stage,
            model=start.path,
            corpus=corpus,
            diagnosis=diagnosis,
            folder=folder,
            budget=self.recipe.budget(stage),
        )
        inputs = {"model": start.hash, **self._scoring, **self.manifest.hashes("corpus")}
        if diagnosis is not None:
            inputs["diagnosis"] = digest_of_file(diagnosis)
        for part in ("rows", "reward", "pairs"):
            if hasattr(stage, part):
                inputs |= settings_inputs(part, getattr(stage, part))
        if stage.kind == "dapo":
            inputs |= settings_inputs("overlong", Shaping.of(stage.train))
        outputs = [folder / name for name in (ROWS, CHOICE, DECISIONS)]
        step = f"{stage.name}/select"
        chosen = self._do(step, inputs, outputs, lambda: self._choose(choice), [folder])
        if why := chosen.get("nothing"):
            print(f"Stage {stage.name} is skipped. {why}", file=sys.stderr)
            return start
        return self._train(stage, choice, start)

    def _choose(self, choice: Choice) -> Facts:
        choice.folder.mkdir(parents=True, exist_ok=True)
        return self.workers.choose(choice, self.evaluator)

    def _train(self, stage: Any, choice: Choice, start: Candidate) -> Candidate:
        folder = choice.folder
        job = job_of(choice)

        def work() -> Facts:
            self.evaluator.close()
            save_job(job, folder / JOB)
            with ProgressBar(stage.name) as bar:
                result = self.workers.train(job, bar)
            if result.stopped:
                print(f"{stage.name}: {result.stopped}", file=sys.stderr)
            save_result(result, folder / RESULT)
            # Several times the model's size each, and of no use once the stage is finished.
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            facts = training_facts(result, choice.budget, tokens_of_choosing(folder))
            print(f"{stage.name}: {token_summary(facts)}.", file=sys.stderr)
            return facts

        self._do(
            f"{stage.name}/train",
            {
                "model": start.hash,
                **self.manifest.hashes(f"{stage.name}/select"),
                "kind": job.kind,
                **self._scoring,
                **settings_inputs("train", job.settings),
            },
            [folder / name for name in ("model", STEPS, JOB, RESULT)],
            work,
            [folder / name for name in ("checkpoints", "tensorboard", "launch.log")],
        )
        return Candidate(stage.name, folder / "model", fingerprint(folder / "model"))

    def _gate(self, stage: Any, candidate: Candidate, base: Candidate, good: Candidate) -> bool:
        """Whether a model passes its gate, against each of the models that the recipe names.

        The first comparison is in `gates/STAGE`, another one in `gates/STAGE/previous`.
        """
        named = {"base": (base,), "previous": (good,), "both": (base, good)}
        against = list(dict.fromkeys(named[self.recipe.gates.against]))
        policy, target = self.recipe.policy(), self.folder / "gates" / stage.name
        places = [target, target / "previous"][: len(against)]
        runs = self.folder / "runs"

        def work() -> Facts:
            found = [
                gate_runs(runs / one.label, runs / candidate.label, policy, place)
                for one, place in zip(against, places, strict=True)
            ]
            worst = max(found, key=lambda gate: SEVERITY.index(gate.exit_code))
            return {
                "outcome": worst.outcome,
                "exit_code": worst.exit_code,
                "reasons": [
                    f"Against {one.label}: {reason}" if len(found) > 1 else reason
                    for one, gate in zip(against, found, strict=True)
                    for reason in gate.reasons
                    if gate.exit_code == worst.exit_code
                ],
                "against": ", ".join(one.label for one in against),
            }

        inputs = {"policy": policy.hash, "base": against[0].hash, "candidate": candidate.hash}
        if len(against) > 1:
            inputs["previous"] = good.hash
        outputs = [place / name for place in places for name in GATE_FILES]
        facts = self._do(f"{stage.name}/gate", inputs, outputs, work)
        print(f"Gate of {stage.name}: {facts['outcome']}.", *facts["reasons"], file=sys.stderr)
        return facts["exit_code"] == 0

    def _stop(self, stage: Any, candidate: Candidate, good: Candidate, base: Candidate) -> None:
        facts = self.manifest.steps[f"{stage.name}/gate"].facts
        page = self.folder / "gates" / stage.name / "report.html"
        models = list(dict.fromkeys([base, good, candidate]))
        runs = [self.folder / "runs" / model.label for model in models]
        self._do(
            f"{stage.name}/report",
            {"base": base.hash, "candidate": candidate.hash}
            | ({} if good == base else {"previous": good.hash}),
            [page],
            lambda: write_report(self.recipe.policy(), runs, page, chain=True),
        )
        reasons = "".join(f"\n  {reason}" for reason in facts["reasons"])
        raise GateStopped(
            f"Stage {stage.name} did not pass its gate: {facts['outcome']}.{reasons}\n"
            f"Keep {good.named}. Report: {page}\n"
            "To continue anyway: --on-regression continue; to continue from the model to keep: "
            f"--on-regression rollback; to train it differently: --redo {stage.name}/select with "
            "other settings.",
            facts["exit_code"],
        )

    # --- the end ---------------------------------------------------------------------------------

    def _finish(self, models: Sequence[Candidate]) -> Path:
        """Final figures, on items that no decision was based on where there are any, and pages."""
        hashes = {model.label: model.hash for model in models}
        measured = "final/measure" in self._plan
        chain = len(leaves(self.recipe)) == 1
        runs, policy = self.folder / "runs", self.recipe.policy()
        page = self.folder / "report.html"
        made = [s.name for s in self.recipe.stages if self.manifest.finished(f"{s.name}/evaluate")]
        stages = [runs / name for name in ("base", *made)]
        shown = {page: (policy, stages)}
        ends = [runs / (f"{model.label}-report" if measured else model.label) for model in models]
        if measured:

            def measure() -> Facts:
                return {
                    m.label: self._ask(m, folder, "report")
                    for m, folder in zip(models, ends, strict=True)
                }

            asked = settings_inputs("evaluation", self.recipe.evaluation) | self._scoring
            self._do("final/measure", hashes | asked, ends, measure)
            shown = {
                page: (self.recipe.policy("report"), ends),
                self.folder / GATE_PAGE: (policy, stages),
            }
        self._do(
            "final/report",
            hashes | {"policy": policy.hash},
            list(shown),
            lambda: {path.name: write_report(*of, path, chain=chain) for path, of in shown.items()},
        )
        if "final/row" in self._plan:
            name = f"{self.order.model.name} {self.order.name}"
            named = {f"{name} {m.label}": run for m, run in zip(models, ends, strict=True)}
            del named[f"{name} base"]
            board = self.folder / "leaderboard"
            self._do("final/row", hashes, [board], lambda: write_submissions(named, board))
        return page
