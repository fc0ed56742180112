"""The run folder: what was written stays, whatever happens to the process or the disk."""

import errno
import subprocess
import sys

import pytest

from redone.harness.records import ResponseRecord
from redone.harness.run_folder import (
    DiskFull,
    Journal,
    ResponseIndex,
    RunFolder,
    RunInUse,
    RunMismatch,
    RunUnreadable,
)


def test_a_torn_last_line_is_dropped_and_the_rest_kept(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    journal.append({"n": 1})
    journal.append({"n": 2})
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b'{"n": 3, "text": "cut in the mid')
    assert journal.repair() == 32
    assert [r["n"] for r in journal] == [1, 2]
    assert journal.repair() == 0


def test_a_torn_line_longer_than_a_block_is_dropped(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    journal.append({"n": 1})
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b"x" * 200_000)
    journal.repair()
    assert [r["n"] for r in journal] == [1]


def test_a_journal_that_is_one_torn_line_becomes_empty(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    journal.path.write_bytes(b'{"n"')
    journal.repair()
    assert list(journal) == []


def test_a_broken_line_inside_names_file_and_line(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": \n{"n": 3}\n')
    with pytest.raises(RunUnreadable, match=r"j\.jsonl, line 2"):
        list(Journal(path))


def test_a_full_disk_says_that_progress_is_saved(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "j.jsonl")
    journal.append({"n": 1})
    file = journal._file

    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            file.close()

    journal._file = Full()
    with pytest.raises(DiskFull, match="rerun the same command to resume"):
        journal.append({"n": 2})
    assert [r["n"] for r in journal] == [1]
    journal.append({"n": 2})
    journal.close()
    assert [r["n"] for r in journal] == [1, 2]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_a_really_full_device_is_recognised():
    from pathlib import Path

    with pytest.raises(DiskFull):
        Journal(Path("/dev/full")).append({"n": 1})


def test_a_second_process_on_the_folder_is_refused(tmp_path):
    with RunFolder(tmp_path / "run"):
        code = (
            "from redone.harness.run_folder import RunFolder\n"
            f"RunFolder({str(tmp_path / 'run')!r}).__enter__()"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode != 0
    assert "in use by another process" in ran.stderr


def test_a_second_opening_in_one_process_is_refused_too(tmp_path):
    with RunFolder(tmp_path / "run"), pytest.raises(RunInUse):
        RunFolder(tmp_path / "run").__enter__()


def test_the_lock_is_free_after_the_block(tmp_path):
    for _ in range(2):
        with RunFolder(tmp_path / "run"):
            pass


def test_another_request_is_refused_with_every_differing_field(tmp_path):
    request = {"model": {"fingerprint": "aa"}, "seed": 0, "tasks": {"t/a": {"prompt": "1f2e"}}}
    with RunFolder(tmp_path / "run") as folder:
        folder.start(request)
        folder.refuse_if_different(request)
        other = {"model": {"fingerprint": "bb"}, "seed": 0, "tasks": {"t/a": {"prompt": "9999"}}}
        with pytest.raises(RunMismatch) as error:
            folder.refuse_if_different(other)
    text = str(error.value)
    assert "model.fingerprint: there 'aa', now 'bb'" in text
    assert "tasks.t/a.prompt: there '1f2e', now '9999'" in text
    assert "seed" not in text


def test_a_run_of_a_newer_schema_is_not_guessed_at(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.write("run.json", {"schema_version": 99, "request": {}})
        with pytest.raises(RunUnreadable, match="schema version 99"):
            _ = folder.run


def test_the_index_finds_all_responses_of_a_sample_in_order(tmp_path):
    journal = Journal(tmp_path / "r.jsonl")
    for sample, draw in (("0a", 0), ("ff" * 8, 0), ("0a", 1)):
        journal.append(ResponseRecord(sample, "hash", draw, "text", "stop").json())
    journal.close()
    index = ResponseIndex(journal)
    assert [r.draw for r in index.of("0a")] == [0, 1]
    assert [r.draw for r in index.of("ff" * 8)] == [0]
    assert index.of("01") == []
    index.close()


def test_a_json_file_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    with RunFolder(tmp_path / "run") as folder:
        folder.write("results.json", {"a": 1})
        before = (folder.path / "results.json").read_bytes()

        def fail(*_):
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr("os.replace", fail)
        with pytest.raises(DiskFull):
            folder.write("results.json", {"a": 2})
        assert (folder.path / "results.json").read_bytes() == before
        assert not list(folder.path.glob(".results*"))
