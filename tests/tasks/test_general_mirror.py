"""Mirrors: read, checked against hashes, written."""

import hashlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from lm_eval_fixtures import CHOICES, write_mirror, write_tasks

from redone.tasks.cli import main
from redone.tasks.errors import BadRow, MissingData, RedoneError
from redone.tasks.general import definitions, mirroring
from redone.tasks.general.mirror import load, mirrors, read_mirror
from redone.tasks.general.offline import PUNKT_INSTRUCTIONS, has_punkt
from redone.tasks.registry import by_name
from redone.tasks.sources import DataPaths, samples


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror"
    folder.mkdir()
    write_mirror(folder)
    return folder


def test_a_data_set_by_split(mirror):
    found = load([read_mirror(mirror)], "own/choices", None)
    assert {split: len(rows) for split, rows in found.items()} == {"test": 20, "half": 7}
    assert found["test"] == CHOICES
    assert load([read_mirror(mirror)], "own/nothing", None) is None
    assert load([read_mirror(mirror / "mirror.toml")], "OWN/Choices", "any")["test"] == CHOICES


def test_a_file_that_is_another_is_refused(mirror):
    with (mirror / "c" / "test.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(
        RedoneError, match=r"test.jsonl does not match the mirror's manifest.*--manifest"
    ):
        load([read_mirror(mirror)], "own/choices", None)


def test_a_split_with_missing_files_is_not_served(mirror):
    (mirror / "c" / "half.jsonl").unlink()
    assert set(load([read_mirror(mirror)], "own/choices", None)) == {"test"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[dataset]", "is not TOML"),
        ('[[dataset]]\nhub = "x"', "'files'"),
        ("[dataset]\nhub = 1", "needs `hub`"),
    ],
)
def test_a_manifest_that_is_off(tmp_path, text, said):
    (tmp_path / "mirror.toml").write_text(text)
    with pytest.raises(BadRow, match=said):
        read_mirror(tmp_path)


def test_a_mirror_that_is_missing(tmp_path):
    with pytest.raises(MissingData, match="neither a folder nor a manifest"):
        mirrors(DataPaths(tmp_path, (tmp_path / "none",)))


def test_mirrors_are_searched_in_order_and_the_data_folder_last(mirror, tmp_path):
    (tmp_path / "general").mkdir()
    found = mirrors(DataPaths(tmp_path, (mirror,)))
    assert [each.folder for each in found] == [mirror, tmp_path / "general"]


def test_without_data_paths_the_environment_decides(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("REDONE_DATA", str(tmp_path))
    monkeypatch.setenv("REDONE_MIRROR", str(mirror))
    assert [each.folder for each in mirrors()] == [mirror]


def test_a_csv_of_a_known_layout(tmp_path):
    """Columns without a name number the rows; the hub's data set leaves them out."""
    (tmp_path / "cmmlu" / "test").mkdir(parents=True)
    (tmp_path / "cmmlu" / "test" / "own.csv").write_text(
        ',Question,A,B,C,D,Answer\n0,"two, and two",3,4,5,6,B\n', "utf-8"
    )
    found = load([read_mirror(tmp_path)], "haonan-li/cmmlu", "own")
    row = {"Question": "two, and two", "A": "3", "B": "4", "C": "5", "D": "6", "Answer": "B"}
    assert found == {"test": [row]}


def test_a_server(mirror, tmp_path, monkeypatch):
    import platformdirs

    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(mirror)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    digest = hashlib.sha256((mirror / "c" / "test.jsonl").read_bytes()).hexdigest()
    manifest = tmp_path / "far.toml"
    text = '[[dataset]]\nhub = "own/choices"\nserver = "{}"\nfiles = {{ test = "c/{}.jsonl" }}\n'
    manifest.write_text(text.format(url, "test") + f'[sha256]\n"c/test.jsonl" = "{digest}"\n')
    try:
        assert load([read_mirror(manifest)], "own/choices", None)["test"] == CHOICES
        manifest.write_text(text.format(url, "gone"))
        with pytest.raises(MissingData, match=r"gone\.jsonl"):
            load([read_mirror(manifest)], "own/choices", None)
    finally:
        server.shutdown()
    manifest.write_text(text.format(url, "test") + f'[sha256]\n"c/test.jsonl" = "{digest}"\n')
    assert load([read_mirror(manifest)], "own/choices", None)["test"] == CHOICES, "kept from before"


def test_the_manifest_of_a_folder(tmp_path, capsys):
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_text('{"question": "1+1?", "answer": "#### 2"}\n')
    assert main(["mirror", str(tmp_path), "--manifest"]) == 0
    assert "1 files" in capsys.readouterr().out
    found = load([read_mirror(tmp_path)], "openai/gsm8k", "main")
    assert found == {"test": [{"question": "1+1?", "answer": "#### 2"}]}
    assert load([read_mirror(tmp_path)], "openai/openai_humaneval", None) is None
    assert main(["mirror", str(tmp_path / "none"), "--manifest"]) == 66


def test_what_a_task_loads_is_written_and_then_served(tmp_path, monkeypatch, capsys):
    """The hub is played by a function; written is what the tasks ask it for, once."""
    import datasets

    asked = []

    def hub(path, name=None, **options):
        asked.append((path, name))
        if path != "own/choices":
            raise ConnectionError("no such data set")
        rows = datasets.Dataset.from_list(CHOICES)
        return datasets.DatasetDict({"test": rows, "half": rows.select(range(7))})

    monkeypatch.setattr(datasets, "load_dataset", hub)
    (tmp_path / "tasks").mkdir()
    write_tasks(tmp_path / "tasks")
    monkeypatch.setenv("REDONE_LM_EVAL_TASKS", str(tmp_path / "tasks"))
    own = definitions.manager(tmp_path / "tasks")
    monkeypatch.setattr(mirroring, "manager", lambda _, include: own)
    written = tmp_path / "written"
    assert main(["mirror", str(written), "own_pool", "lm_eval:own_text", "own_votes"]) == 0
    assert asked == [("own/choices", None), ("own/questions", None)]
    assert "lm_eval:own_votes is left out" in capsys.readouterr().out
    found = load([read_mirror(written)], "own/choices", None)
    assert found == {"test": CHOICES, "half": CHOICES[:7]}
    assert main(["mirror", str(written), "own_flag"]) == 0
    assert len(asked) == 2, "what is there is not asked for again"


@pytest.mark.shared_data
def test_the_published_mirror_serves_what_it_should(data_dir):
    used = mirrors(DataPaths(data_dir))
    counts = {
        hub: {split: len(rows) for split, rows in load(used, hub, config).items()}
        for hub, config in (
            ("openai/gsm8k", "main"),
            ("openai/openai_humaneval", None),
            ("google-research-datasets/mbpp", "full"),
            ("HuggingFaceH4/MATH-500", "default"),
        )
    }
    assert counts == {
        "openai/gsm8k": {"train": 7473, "test": 1319},
        "openai/openai_humaneval": {"test": 164},
        "google-research-datasets/mbpp": {
            "prompt": 10,
            "train": 374,
            "validation": 90,
            "test": 500,
        },
        "HuggingFaceH4/MATH-500": {"test": 500},
    }
    ifeval = load(used, "google/IFEval", None)["train"]
    assert len(ifeval) == 540
    assert by_name("general/halueval").read.locate(data_dir).is_file()


@pytest.mark.shared_data
def test_published_tasks(data_dir):
    """The documents of lm-eval's tasks, from the mirror; CMMLU is one task of 67 parts."""
    found = {
        name: list(samples(by_name(f"lm_eval:{name}", DataPaths(data_dir)), data_dir))
        for name in ("cmmlu", "hendrycks_math500", "humaneval", "mbpp")
    }
    assert {n: len(f) for n, f in found.items()} == {
        "cmmlu": 11582,
        "hendrycks_math500": 500,
        "humaneval": 164,
        "mbpp": 500,
    }
    assert len({s.tags["task"] for s in found["cmmlu"]}) == 67
    assert len(list(samples(by_name("general/halueval"), data_dir))) == 4507


@pytest.mark.shared_data
@pytest.mark.skipif(has_punkt(), reason="NLTK's punkt_tab is here, so IFEval is whole.")
def test_without_punkt_ifeval_leaves_items_out_and_says_so(data_dir):
    for built in (definitions.definition, definitions._build):
        built.cache_clear()
    with pytest.warns(UserWarning, match="64 of 540 items are left out"):
        found = list(samples(by_name("lm_eval:ifeval"), data_dir))
    assert len(found) == 476
    kinds = {i for s in found for i in s.fields["document"]["instruction_id_list"]}
    assert not kinds & PUNKT_INSTRUCTIONS


def test_hashes_of_the_packaged_layout_are_whole():
    import tomllib

    from redone.tasks.general.mirror import LAYOUT

    raw = tomllib.loads(Path(LAYOUT).read_text("utf-8"))
    assert all(len(digest) == 64 for digest in raw["sha256"].values())
    assert json.dumps(raw).count("cmmlu/test/") == 67 + 1
