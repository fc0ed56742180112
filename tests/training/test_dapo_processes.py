"""Two processes that share the work of a stage (gloo, on the CPU) do what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dapo_process import stage
from safetensors.torch import load_file

from redone.training.trainers.steps import read_steps

SCRIPT = Path(__file__).with_name("dapo_process.py")
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


def launched(model, output, **changes):
    """The stage, in two processes of a launch."""
    command = [*LAUNCH, str(SCRIPT), str(model), str(output), json.dumps(changes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def found(output):
    return list(read_steps(output)), load_file(output / "model" / "model.safetensors")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("llama", {"steps": 3, "updates_per_rollout": 3}),
        # transformers' own generation; a writer of sharded weights, whose every process has to ask
        # as often; both in rounds that two does not divide.
        ("sliding", {"steps": 3, "together": True, "max_resamples": 3}),
    ],
)
def test_two_processes_train_as_one_does(tiny_model, tmp_path, kind, changes):
    """An odd number of groups, of which each process writes and learns its share."""
    model = tiny_model(kind)
    # Adam's first steps are as long for a gradient that is rounding noise as for any other, so the
    # rate is small enough for the noise not to be sampled from.
    changes = {**changes, "learning_rate": 1e-5}
    stage(model, tmp_path / "one", **changes)
    launched(model, tmp_path / "two", **changes)
    (one, weights), (two, others) = found(tmp_path / "one"), found(tmp_path / "two")
    assert any(step.grad_norm and step.grad_norm > 1e-4 for step in one)
    for a, b in zip(one, two, strict=True):
        assert b.loss == pytest.approx(a.loss, abs=1e-6)
        assert b.grad_norm == pytest.approx(a.grad_norm, rel=1e-3)
        assert (a.kept, a.dropped, a.tasks) == (b.kept, b.dropped, b.tasks)
        assert (a.tokens_generated, a.tokens_trained) == (b.tokens_generated, b.tokens_trained)
        assert (a.learning_rate, a.rounds) == (b.learning_rate, b.rounds)
    start = load_file(model / "model.safetensors")
    moved = sum(float((weights[name] - start[name]).norm() ** 2) for name in start)
    apart = sum(float((weights[name] - others[name]).norm() ** 2) for name in start)
    assert apart < 0.01 * moved
