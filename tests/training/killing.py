"""Runs `redone train` in a process of its own that is killed (SIGKILL) at a chosen moment.

A server process imports the trainers once and forks the others, so that a start costs a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
HEAVY = [
    "redone.training.pipeline",
    "redone.training.trainers.dapo",
    "redone.training.trainers.sft",
    "redone.harness.models.hf",
    "trl.trainer.grpo_trainer",
    "trl.trainer.sft_trainer",
]


def redone_train(words: list[str], log: Path, kill: tuple[str, str, int] | None = None) -> int:
    """The exit code of the command; -9 if it was killed.

    Args:
        words: Its arguments.
        log: Gets what it prints.
        kill: Dies when the file of that name, below a folder of that name, gets its n-th line.
    """
    CONTEXT.set_forkserver_preload(HEAVY)
    process = CONTEXT.Process(target=_child, args=(words, log, kill))
    process.start()
    process.join(240)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(log.read_text())
    return process.exitcode


def _child(words: list[str], log: Path, kill: tuple[str, str, int] | None) -> None:
    file = log.open("a")
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    if kill is not None:
        _die_at(*kill)
    from redone.training.cli import main

    code = main(words)
    sys.stdout.flush()
    os._exit(code)


def _die_at(folder: str, name: str, line: int) -> None:
    """Kills this process right after a line was written to a journal."""
    from redone.harness.run_folder import Journal

    append = Journal.append

    def deadly(self, record, *, flush=True):
        append(self, record, flush=flush)
        if self.path.name == name and folder in self.path.parts:
            with self.path.open("rb") as file:
                if sum(1 for _ in file) >= line:
                    os.kill(os.getpid(), signal.SIGKILL)

    Journal.append = deadly
