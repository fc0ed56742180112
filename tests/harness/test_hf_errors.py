"""Wrong models and settings: the name, what was expected, the way out."""

from __future__ import annotations

import pytest

from redone.harness.models.hf import HfModel
from redone.tasks.errors import RedoneError


def test_a_path_that_does_not_exist(tmp_path):
    (tmp_path / "SmolLM2-135M").mkdir()
    with pytest.raises(RedoneError, match=r"does not exist.*SmolLM2-135M.*hf download"):
        HfModel(tmp_path / "SmolLM2-134M")


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(RedoneError, match=r"no config\.json"):
        HfModel(tmp_path)


def test_pickled_weights(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(RedoneError, match="pickled.*safetensors"):
        HfModel(tmp_path)


def test_an_unknown_architecture(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "nothing_of_the_kind"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(RedoneError, match="transformers cannot read"):
        HfModel(tmp_path)


def test_broken_weights(tiny_model, tmp_path):
    import shutil

    folder = shutil.copytree(tiny_model("llama"), tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(RedoneError, match="cannot be loaded"):
        HfModel(folder).load()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"dtype": "bfloat61"}, "Did you mean 'bfloat16'"),
        ({"thinking": "no"}, "Known: auto, off, on"),
        ({"batch_size": 0}, "Batch size 0"),
        ({"device": "warp:0"}, "'warp:0' cannot be used"),
    ],
)
def test_settings(tiny_model, options, told):
    with pytest.raises(RedoneError, match=told):
        HfModel(tiny_model("llama"), **options)


def test_weights_that_do_not_fit(tiny_model, monkeypatch):
    from redone.harness.models.checkpoint import Checkpoint

    def load(self):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 10 bytes")

    monkeypatch.setattr(Checkpoint, "load", load)
    with pytest.raises(RedoneError, match="do not fit into the memory"):
        HfModel(tiny_model("llama")).load()


def test_a_template_that_takes_no_messages(tiny_model):
    model = HfModel(tiny_model("llama", template="{{ raise_exception('never') }}"))
    with pytest.raises(RedoneError, match="chat template cannot take"):
        model._renderer.render(({"role": "user", "content": "x"},))
