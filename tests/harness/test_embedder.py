"""The embedder on a tiny random model, and on a real one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from redone.harness.cli import main
from redone.harness.embedder import FolderEmbedder
from redone.tasks.errors import MissingData, RedoneError

TEXTS = ["a red kettle", "kettle", "how to repot a monstera plant this spring", "", "红茶 🍵"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A random two-layer BERT with a word-piece vocabulary of letters."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    letters = "abcdefghijklmnopqrstuvwxyz红茶"
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{c}" for c in letters),
    ]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=24,
        )
    ).save_pretrained(folder)
    return folder


def pooled(folder: Path, mode: str | None) -> Path:
    (folder / "1_Pooling").mkdir(exist_ok=True)
    config = {"word_embedding_dimension": 16, **({f"pooling_mode_{mode}": True} if mode else {})}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    return folder


def test_unit_vectors_whatever_the_batch(tiny: Path) -> None:
    alone = FolderEmbedder(pooled(tiny, "mean_tokens"), batch_size=1).encode(TEXTS)
    together = FolderEmbedder(tiny, batch_size=8).encode(TEXTS)
    assert alone.shape == (5, 16)
    assert np.linalg.norm(alone, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    assert together == pytest.approx(alone, abs=1e-5)


def test_pooling_is_what_the_folder_says(tiny: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(tiny), AutoModel.from_pretrained(tiny).eval()
    with torch.inference_mode():
        states = model(**tokenizer(["kettle"], return_tensors="pt")).last_hidden_state[0].numpy()
    for mode, expected in (("cls_token", states[0]), ("mean_tokens", states.mean(axis=0))):
        vector = FolderEmbedder(pooled(tiny, mode)).encode(["kettle"])[0]
        assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


def test_identity_names_the_model_and_its_settings(tiny: Path) -> None:
    mean = FolderEmbedder(pooled(tiny, "mean_tokens")).identity
    assert mean == FolderEmbedder(tiny).identity
    assert mean.startswith("tiny") and "@" in mean
    assert FolderEmbedder(pooled(tiny, "cls_token")).identity != mean


def test_vectors_are_remembered(tiny: Path, monkeypatch) -> None:
    embedder = FolderEmbedder(pooled(tiny, "mean_tokens"), remembered=2)
    first = embedder.encode(["a", "b", "a"])
    assert (first[0] == first[2]).all()
    monkeypatch.setattr(embedder, "_forward", lambda texts: pytest.fail(f"asked again for {texts}"))
    assert (embedder.encode(["b", "a"]) == first[[1, 2]]).all()
    monkeypatch.undo()
    embedder.encode(["c", "d", "e"])
    assert len(embedder._vectors) == 2
    assert embedder.encode([]).shape == (0, 16)


def test_long_texts_are_cut(tiny: Path) -> None:
    assert FolderEmbedder(pooled(tiny, None)).encode(["ab " * 10_000]).shape == (1, 16)


def test_what_is_wrong_with_a_folder(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="not a folder"):
        FolderEmbedder("sentence-transformers/some-model")
    with pytest.raises(MissingData, match="config.json"):
        FolderEmbedder(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingData, match="weights"):
        FolderEmbedder(tmp_path)
    with pytest.raises(RedoneError, match="pooling_mode_max_tokens"):
        FolderEmbedder(pooled(tiny, "max_tokens"))
    pooled(tiny, "mean_tokens")
    (tiny / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense"}]')
    with pytest.raises(RedoneError, match="Dense"):
        FolderEmbedder(tiny)
    (tiny / "modules.json").unlink()


def test_a_real_model_knows_what_is_alike(real_embedder: Path) -> None:
    near, other, far = FolderEmbedder(real_embedder).encode(
        ["how to water a monstera", "monstera watering tips", "price of gold today"]
    )
    assert near @ other > 0.6 > 0.3 > near @ far


def test_query_gen_is_scored_whole_with_a_real_model(real_embedder: Path, tmp_path: Path) -> None:
    command = ["--backend", "scripted", "--model", "gold", "--tasks", "sns_mini/query_gen"]
    folder = tmp_path / "run"
    assert main([*command, "--embedder", str(real_embedder), "--output", str(folder)]) == 0
    task = json.loads((folder / "results.json").read_text())["tasks"]["sns_mini/query_gen"]
    for role in ("official", "corrected"):
        scored = task["scorings"][role]
        assert scored["scoring"] == role
        assert scored["score"] == pytest.approx(100)
        assert "|embedder:" in scored["signature"]


def spoiled(tiny: Path, copy: Path, change) -> Path:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny, copy)
    weights = load_file(copy / "model.safetensors")
    change(weights)
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    return copy


def test_weights_that_are_missing_or_no_numbers(tiny: Path, tmp_path: Path) -> None:
    def lose(weights):
        del weights["encoder.layer.0.output.dense.weight"]

    def break_one(weights):
        weights["encoder.layer.0.output.dense.weight"][0, 0] = float("nan")

    with pytest.raises(RedoneError, match=r"missing encoder\.layer\.0\.output\.dense\.weight"):
        FolderEmbedder(spoiled(tiny, tmp_path / "a", lose)).encode(["kettle"])
    with pytest.raises(RedoneError, match="not finite"):
        FolderEmbedder(spoiled(tiny, tmp_path / "b", break_one)).encode(["kettle"])


def test_a_pointer_of_git_lfs(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "m")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid\n")
    with pytest.raises(RedoneError, match="git lfs pull"):
        FolderEmbedder(folder)
