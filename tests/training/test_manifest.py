"""The manifest: done once, vouched for by hashes, refused when something changed."""

import json

import pytest

from redone.tasks.errors import RedoneError
from redone.training.manifest import FolderInUse, Manifest, StepChanged


@pytest.fixture
def manifest(tmp_path):
    with Manifest(tmp_path / "out") as found:
        yield found


def write(manifest, name="a.txt", text="made"):
    def work():
        path = manifest.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return {"letters": len(text)}

    return work


def never():
    raise AssertionError("was done again")


def test_a_finished_step_is_not_done_again(manifest):
    outputs = [manifest.folder / "a.txt"]
    assert manifest.do("one", {"x": "1"}, outputs, write(manifest)) == {"letters": 4}
    assert manifest.do("one", {"x": "1"}, outputs, never) == {"letters": 4}
    assert list(manifest.hashes("one")) == ["a.txt"]


def test_it_is_found_by_the_next_start(manifest):
    manifest.do("one", {"x": "1"}, [manifest.folder / "a.txt"], write(manifest))
    again = Manifest(manifest.folder)
    assert again.finished("one")
    assert again.do("one", {"x": "1"}, [], never) == {"letters": 4}


def test_a_begun_step_goes_on(manifest):
    def killed():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        manifest.do("one", {"x": "1"}, [manifest.folder / "a.txt"], killed)
    assert not manifest.finished("one")
    manifest.do("one", {"x": "1"}, [manifest.folder / "a.txt"], write(manifest))
    assert manifest.finished("one")


@pytest.mark.parametrize("finished", [True, False])
def test_changed_inputs_are_refused(manifest, finished):
    outputs = [manifest.folder / "a.txt"]
    if finished:
        manifest.do("one", {"x": "1", "y": "2"}, outputs, write(manifest))
    else:
        write(manifest)()  # something of the half-done step is there
        with pytest.raises(AssertionError):
            manifest.do("one", {"x": "1", "y": "2"}, outputs, never)
    with pytest.raises(StepChanged) as error:
        manifest.do("one", {"x": "1", "y": "3"}, outputs, never)
    told = str(error.value)
    assert "Step one" in told
    assert "y: then '2', now '3'" in told
    assert "x:" not in told
    assert "--redo one" in told
    assert error.value.exit_code == 3


def test_a_step_that_left_nothing_begins_anew(manifest):
    outputs = [manifest.folder / "a.txt"]
    with pytest.raises(AssertionError):
        manifest.do("one", {"x": "1"}, outputs, never)
    manifest.do("one", {"x": "2"}, outputs, write(manifest))
    assert manifest.steps["one"].inputs == {"x": "2"}


def test_changed_outputs_are_refused(manifest):
    path = manifest.folder / "a.txt"
    manifest.do("one", {}, [path], write(manifest))
    path.write_text("else")
    with pytest.raises(StepChanged, match="was changed since"):
        manifest.do("one", {}, [path], never)
    path.unlink()
    with pytest.raises(StepChanged, match="no longer exists"):
        manifest.do("one", {}, [path], never)


def test_a_file_that_was_only_touched_is_the_same(manifest):
    path = manifest.folder / "a.txt"
    manifest.do("one", {}, [path], write(manifest))
    path.write_text("made")
    assert manifest.do("one", {}, [path], never) == {"letters": 4}


def test_redo_drops_a_step_and_all_after_it_with_their_files(manifest):
    for name in ("one", "two", "three"):
        path = manifest.folder / name / "a.txt"
        manifest.do(name, {}, [manifest.folder / name], write(manifest, f"{name}/a.txt"))
        assert path.is_file()
    assert manifest.forget("two") == ["two", "three"]
    assert [p.name for p in manifest.folder.iterdir() if p.is_dir()] == ["one"]
    assert list(Manifest(manifest.folder).steps) == ["one"]
    with pytest.raises(RedoneError, match="It has: one"):
        manifest.again("four")


def test_redo_drops_nothing_before_the_steps_in_front_are_known_to_be_the_same(manifest):
    def do(name, **inputs):
        path = manifest.folder / name / "a.txt"
        manifest.do(name, inputs, [manifest.folder / name], write(manifest, f"{name}/a.txt"))
        return path

    do("one", rate="1")
    made = do("two")
    manifest.again("two")
    with pytest.raises(StepChanged, match="rate"):
        do("one", rate="2")
    assert made.is_file() and not manifest.finished("two")
    do("one", rate="1")
    made.write_text("changed by hand: it is made again all the same")
    assert do("two").read_text() != "changed by hand: it is made again all the same"
    assert manifest.finished("two")


def test_what_cannot_be_a_folder_is_no_verdict(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RedoneError, match="cannot be a folder"), Manifest(tmp_path / "file"):
        pass


def test_every_artefact_has_its_hash(manifest):
    write(manifest, "run/.lock")()
    manifest.do("one", {}, [manifest.folder / "run"], write(manifest, "run/deep/a.txt"))
    record = json.loads(manifest.path.read_text())["steps"]["one"]
    assert list(record["outputs"]) == ["run/deep/a.txt"]
    assert len(record["outputs"]["run/deep/a.txt"]["sha256"]) == 64


def test_one_process_per_folder(manifest):
    with pytest.raises(FolderInUse, match="another process"), Manifest(manifest.folder):
        pass


@pytest.mark.parametrize("text", ["[]", "nothing", '{"schema_version": 9, "steps": {}}'])
def test_a_file_that_is_no_manifest(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(StepChanged, match="manifest"):
        Manifest(tmp_path)


def test_inputs_recorded_under_an_old_name_are_the_same_inputs(manifest):
    outputs = [manifest.folder / "a.txt"]
    manifest.do("one", {"rows.rarity": "1.0", "rows.contrast": "0.5"}, outputs, write(manifest))
    now = {"rows.label_balance": "1.0", "rows.background_weight": "0.5"}
    assert manifest.do("one", now, outputs, never) == {"letters": 4}
    with pytest.raises(StepChanged, match=r"rows\.label_balance: then '?1\.0'?, now '?0\.0'?"):
        manifest.do("one", {**now, "rows.label_balance": "0.0"}, outputs, never)
