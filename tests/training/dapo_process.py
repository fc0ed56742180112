"""Trains a stage in every process of a launch: `torchrun dapo_process.py MODEL OUTPUT CHANGES`."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from dapo_stage import Ruled, by_bytes, rows, settings

from redone.training.trainers.dapo import train_dapo

if __name__ == "__main__":
    model, output, changes = sys.argv[1:]
    chosen = settings(**json.loads(changes))
    train_dapo(chosen, Path(model), rows(), Ruled(by_bytes), Path(output))
