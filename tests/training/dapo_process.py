"""Trains a stage in every process of a launch: `torchrun dapo_process.py MODEL OUTPUT CHANGES`."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from dapo_stage import Ruled, by_bytes, rows, settings

from redone.training.trainers import dapo


class Together:
    """A writer that needs every process, as one of sharded weights does."""

    collective = True

    def __init__(self, trainer):
        self.writer, self.accelerator = trainer.writer, trainer.accelerator

    def write(self, questions):
        import torch

        asked = self.accelerator.gather(torch.tensor([len(questions)]))
        assert set(asked.tolist()) == {len(questions)}, "as many questions in each process"
        return self.writer.write(questions)


def stage(model, output, together=False, **changes):
    """Trains the stage of the tests."""
    honest = dapo._choose_ways

    def choose(trainer, source):
        honest(trainer, source)
        if together:
            trainer.writer = Together(trainer)

    dapo._choose_ways = choose
    try:
        dapo.train_dapo(settings(**changes), Path(model), rows(), Ruled(by_bytes), Path(output))
    finally:
        dapo._choose_ways = honest


if __name__ == "__main__":
    import os

    assert os.environ["WORLD_SIZE"] == "2"
    stage(*sys.argv[1:3], **json.loads(sys.argv[3]))
