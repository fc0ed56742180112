"""What is relied on of TRL beyond its documented interface."""

import inspect

import pytest
import trl
from trl import GRPOTrainer

from redone.tasks.errors import RedoneError
from redone.training.trainers.arguments import PINNED, check_grpo


def test_the_installed_version_has_what_is_needed():
    check_grpo()


@pytest.mark.parametrize("name", PINNED)
def test_another_version_is_told_by_its_number(monkeypatch, name):
    monkeypatch.setattr(GRPOTrainer, name, lambda surprise: None)
    with pytest.raises(RedoneError, match=f"TRL {trl.__version__} has no GRPOTrainer.{name}"):
        check_grpo()


def test_a_method_that_is_gone_is_told(monkeypatch):
    monkeypatch.delattr(GRPOTrainer, "_compute_loss")
    with pytest.raises(RedoneError, match="made for TRL 1.16"):
        check_grpo()


def test_the_loss_reads_what_it_is_given():
    """Keys of the batch, and the attributes that the loss and the writers use."""
    source = inspect.getsource(GRPOTrainer._compute_loss)
    for key in (
        "prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages",
        "num_items_in_batch", "old_per_token_logps", "importance_sampling_ratio",
    ):  # fmt: skip
        assert f'"{key}"' in source
    for metric in ('"entropy"', '"clip_ratio/region_mean"'):
        assert metric in source
    whole = inspect.getsource(GRPOTrainer)
    for attribute in ("self._metrics[mode]", "self._tokenizer", "self.eos_token_ids = "):
        assert attribute in whole
