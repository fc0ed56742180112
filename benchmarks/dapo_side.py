"""One side of `dapo_step.py`: steps of plain GRPO of TRL's, or of our own DAPO trainer."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from redone.tasks.prompts import messages
from redone.tasks.registry import by_name
from redone.tasks.sources import data_folder, samples
from redone.training.rewards import Rewards, ScoredAnswer
from redone.training.rows import TrainingRow

TASK = "tweeteval/irony"


class Alternating(Rewards):
    """Every second answer is right: no group is dropped, so both sides train on all answers."""

    def score(self, rows: Any, completions: Any, limits: Any = None) -> list[ScoredAnswer]:
        return [ScoredAnswer(float(i % 2), None, float(i % 2)) for i in range(len(rows))]

    def __call__(self, prompts: Any, completions: Any, **_: Any) -> list[float | None]:
        return [float(i % 2) for i in range(len(completions))]


class Clock:
    """Wall and processor seconds by the part of a step that they went into."""

    def __init__(self) -> None:
        self.steps: list[dict[str, tuple[float, float]]] = []
        self._now: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._depth = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        wall, own = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._now[name][0] += time.perf_counter() - wall
            self._now[name][1] += time.process_time() - own

    def wrap(self, owner: Any, method: str, name: str) -> None:
        """Count the calls of a method."""
        inner = getattr(owner, method)

        def timed(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                return inner(*arguments, **options)

        setattr(owner, method, timed)

    def next_step(self) -> None:
        self.steps.append({name: (w, c) for name, (w, c) in self._now.items()})
        self._now.clear()


def corpus(folder: str | None, count: int) -> list[TrainingRow]:
    task = by_name(TASK)
    return [
        TrainingRow(
            s.id, TASK, messages(task.prompts["en"], s.fields), task.gold(s),
            fields=s.fields, target=s.target, tags=s.tags,
        )
        for s in islice(samples(task, data_folder(folder), partition="train"), count)
    ]  # fmt: skip


def plain(plan: dict[str, Any], rows: list[TrainingRow], output: Path, clock: Clock) -> Any:
    """GRPOTrainer with its own generation, as a user would set it up for this work."""
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    arguments = GRPOConfig(
        output_dir=str(output),
        max_steps=plan["steps"],
        per_device_train_batch_size=plan["micro"],
        gradient_accumulation_steps=plan["groups"] * plan["size"] // plan["micro"],
        num_generations=plan["size"],
        max_completion_length=plan["tokens"],
        loss_type="dapo",
        beta=0.0,
        epsilon=0.2,
        epsilon_high=0.28,
        learning_rate=1e-6,
        lr_scheduler_type="constant",
        gradient_checkpointing=plan["checkpointing"],
        bf16=plan["bf16"],
        optim="adamw_torch_fused",
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        shuffle_dataset=False,
        logging_steps=1,
        disable_tqdm=True,
        model_init_kwargs={"dtype": torch.float32},
    )
    trainer = GRPOTrainer(
        model=plan["model"],
        reward_funcs=Alternating(),
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": list(r.messages)} for r in rows]),
    )
    clock.wrap(trainer, "_generate_single_turn", "generation")
    clock.wrap(trainer, "_get_per_token_logps_and_entropies", "log-probabilities")
    clock.wrap(trainer.accelerator, "backward", "backward")
    return trainer


def ours(plan: dict[str, Any], rows: list[TrainingRow], output: Path, clock: Clock) -> Any:
    from redone.training.settings import DapoSettings
    from redone.training.trainers.dapo import make_trainer

    settings = DapoSettings(
        steps=plan["steps"],
        prompts_per_step=plan["groups"],
        group_size=plan["size"],
        max_prompt_tokens=1000,
        max_new_tokens=plan["tokens"],
        learning_rate=1e-6,
        micro_batch=plan["micro"],
        dtype="bfloat16" if plan["bf16"] else "float32",
        max_resamples=0,
    )
    trainer = make_trainer(settings, Path(plan["model"]), rows, Alternating(), output)
    trainer.shares_prefixes &= plan.get("shared", True)
    trainer._order = range(len(rows))  # type: ignore[assignment]  # the prompts of the other side
    clock.wrap(trainer.writer, "write", "generation")
    clock.wrap(trainer, "_get_per_token_logps_and_entropies", "log-probabilities")
    clock.wrap(trainer.accelerator, "backward", "backward")
    return trainer


def main() -> None:
    """Read a plan from the first argument, print what was measured as the last line."""
    from transformers import TrainerCallback

    plan = json.loads(sys.argv[1])
    clock = Clock()
    written: list[int] = []
    rows = corpus(plan["data"], plan["groups"] * plan["steps"])

    class Watch(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = (time.perf_counter(), time.process_time())

        def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
            self.updating = (time.perf_counter(), time.process_time())

        def on_optimizer_step(self, *_: Any, **__: Any) -> None:
            now = (time.perf_counter(), time.process_time())
            clock._now["optimiser"] = [a - b for a, b in zip(now, self.updating, strict=True)]
            clock._now["step"] = [a - b for a, b in zip(now, self.began, strict=True)]
            clock.next_step()

    with tempfile.TemporaryDirectory() as folder:
        side = ours if plan["side"] == "redone" else plain
        trainer = side(plan, rows, Path(folder), clock)
        trainer.add_callback(Watch())
        decode = trainer._compute_loss

        def counted(model: Any, inputs: Any) -> Any:
            written.append(int(inputs["completion_mask"].sum()))
            return decode(model, inputs)

        trainer._compute_loss = counted
        trainer.train()
    print(json.dumps({"steps": clock.steps, "tokens trained": sum(written)}))


if __name__ == "__main__":
    main()
