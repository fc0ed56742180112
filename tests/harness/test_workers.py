"""Many workers: whatever their number and fate, each question is answered once and alike."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from redone.harness.cli import main
from redone.harness.models.ray_session import RaySession, cpus_each
from redone.harness.models.scripted import ScriptedModel
from redone.harness.models.workers import LEAST, Pieces, WorkersGone, WorkersModel
from redone.tasks.errors import RedoneError
from redone.tasks.schema import Completion, Request, Settings

if importlib.util.find_spec("ray") is None:
    pytestmark = pytest.mark.skip(reason="Ray is not installed: pip install 'redone[ray]'.")


def question(number, text="", tokens=8):
    prompt = ({"role": "user", "content": text or f"question {number}"},)
    return Request(f"{number:016x}", prompt, Settings(max_tokens=tokens))


# Pieces


def test_pieces_shrink_and_contain_every_request_once():
    pieces = Pieces((question(n) for n in range(1000)), workers=2)
    taken = []
    while pieces.left:
        taken.append(pieces.take())
    sizes = [len(piece) for piece in taken]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 125
    assert sizes[-2] == LEAST
    assert Counter(r.sample for p in taken for r in p.values()).total() == 1000
    assert sorted(n for p in taken for n in p) == list(range(1000))


def test_questions_that_begin_alike_stand_together_and_long_answers_come_first():
    texts = [f"{task}: item {n}" for n in range(8) for task in ("sort", "translate", "name")]
    asked = [question(n, t, 64 if t[0] == "t" else 8) for n, t in enumerate(texts)]
    pieces = Pieces(asked, workers=3)
    tasks = [{r.prompt[0]["content"].split(":")[0] for r in pieces.take().values()} for _ in "123"]
    assert tasks == [{"translate"}, {"name"}, {"sort"}]


def test_what_is_put_back_is_handed_out_last_and_in_halves():
    pieces = Pieces([question(n) for n in range(3 * LEAST)], workers=2)
    first = pieces.take()
    pieces.put_back(first)
    rest = [pieces.take() for _ in range(4)]
    assert not pieces.left
    assert [len(piece) for piece in rest] == [LEAST, LEAST, LEAST // 2, LEAST // 2]
    assert rest[2] | rest[3] == first


def test_questions_are_pulled_by_the_window():
    pulled = []
    pieces = Pieces((pulled.append(n) or question(n) for n in range(10_000)), workers=2)
    assert pieces.take()
    assert len(pulled) == 4096


# Places


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "cpus"),
    [
        ([(16, 0)], 2, 0, 8),
        ([(2, 0)], 8, 0, 0),
        ([(16, 0), (16, 0)], 3, 0, 8),
        ([(64, 8)], 8, 1, 8),
        # The second machine has processors, but nothing to compute with.
        ([(64, 8), (64, 0)], 8, 1, 8),
        ([(16, 1)], 2, 0.5, 8),
        ([(32, 4), (32, 4)], 4, 2, 16),
    ],
)
def test_processors_are_divided_so_that_all_workers_find_a_place(nodes, workers, gpus, cpus):
    assert cpus_each(nodes, workers, gpus) == cpus


def test_more_gpus_than_there_are():
    with pytest.raises(RedoneError, match=r"2 workers with 1 GPUs each.* the 1 GPUs.*0\.5"):
        cpus_each([(16, 1)], 2, 1)


# Without Ray, or with a wrong address


def said(capsys, *argv):
    """What a command that fails says: one line."""
    assert main(["--backend", "scripted", "--model", "gold", *argv]) not in (0, None)
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_ray_is_not_installed(capsys, monkeypatch):
    known = importlib.util.find_spec
    monkeypatch.setattr(
        "redone.harness.models.ray_session.find_spec",
        lambda name: None if name == "ray" else known(name),
    )
    message = said(capsys, "--workers", "2")
    assert "pip install 'redone[ray]'" in message
    assert "Without --workers" in message


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--ray-address", "auto"), "--ray-address needs --workers"),
        (("--gpus-per-worker", "0.5"), "--gpus-per-worker needs --workers"),
        (("--workers", "2", "--ray-address", "ray://head:10001"), "HOST:PORT of its head"),
        (("--workers", "2", "--ray-address", "127.0.0.1:9"), "No answer from --ray-address"),
    ],
)
def test_options_that_cannot_be(capsys, argv, told):
    assert told in said(capsys, *argv)


# Runs


@pytest.fixture(scope="module")
def ray():
    """One Ray for the tests of this file: starting it takes seconds."""
    session = RaySession(None)
    yield session
    session.close()


def evaluate(output, *argv):
    return main(
        ["--backend", "scripted", "--suite", "sns-mini", "--output", str(output), *argv]
        + ([] if "--model" in argv else ["--model", "everything"])
    )


def kept(folder):
    """A run folder without what may differ: times, the order of answers, who computed."""
    lines = (folder / "responses.jsonl").read_text("utf-8").splitlines()
    answers = [json.loads(line) for line in lines]
    for answer in answers:
        del answer["seconds"], answer["wall"]
    answers.sort(key=lambda a: (a["sample"], a["request"], a["draw"]))
    results = json.loads((folder / "results.json").read_text("utf-8"))
    del results["seconds"]
    request = json.loads((folder / "run.json").read_text("utf-8"))["request"]
    samples = (folder / "samples.jsonl").read_bytes()
    return answers, results, request, samples, pq.read_table(folder / "scores.parquet")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What a run without workers leaves."""
    folder = tmp_path_factory.mktemp("runs") / "alone"
    assert evaluate(folder) == 0
    return kept(folder)


def test_the_sorted_run_folder_is_the_same_whatever_their_number(ray, alone, tmp_path):
    assert len(alone[0]) == 224
    for workers in (1, 2, 3):
        folder = tmp_path / str(workers)
        assert evaluate(folder, "--workers", str(workers)) == 0
        assert kept(folder) == alone
        told = json.loads((folder / "run.json").read_text("utf-8"))["environment"]
        assert told == {"backend": "scripted", "workers": workers}


def noting(folder, answer):
    """A model whose answers leave the process id of their worker in a folder."""
    path = str(folder)

    def answers(request):
        import os
        from pathlib import Path

        (Path(path) / str(os.getpid())).touch()
        return answer(request)

    return ScriptedModel(answers, fingerprint="noting")


def workers(model, number, **options):
    return WorkersModel(model, lambda: model, number, **options)


def test_a_worker_killed_in_mid_run_leaves_no_trace(ray, tmp_path):
    def slow(request):
        import time

        time.sleep(0.01)
        return request.prompt[0]["content"][::-1]

    model = workers(noting(tmp_path, slow), 2)
    asked = [question(n) for n in range(200)]
    found = []
    for request, completion in model.run(asked):
        found.append((request.sample, completion.text))
        if len(found) == 40:
            os.kill(int(next(tmp_path.iterdir()).name), signal.SIGKILL)
    model.close()
    assert len(found) == 200
    assert dict(found) == {r.sample: r.prompt[0]["content"][::-1] for r in asked}


def test_when_all_die_the_end_is_clear_and_the_run_goes_on_later(
    ray, alone, tmp_path, monkeypatch, capsys
):
    from redone.harness.models import loading

    known, deadly = loading._one, alone[0][0]["sample"]

    def mortal(*args):
        model = known(*args)
        right = model._answer

        def answer(request):
            import os

            if request.sample == deadly:
                os.kill(os.getpid(), 9)
            return right(request)

        model._answer = answer
        return model

    monkeypatch.setattr(loading, "_one", mortal)
    folder = tmp_path / "run"
    assert evaluate(folder, "--workers", "2") == WorkersGone.exit_code
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("redone eval: Every worker died 3 times in a row")
    assert "rerun the same command to resume" in message
    answered = (folder / "responses.jsonl").read_text("utf-8").splitlines()
    assert len(answered) == 223

    monkeypatch.setattr(loading, "_one", known)
    assert evaluate(folder, "--workers", "2") == 0
    assert kept(folder) == alone


def test_an_error_for_the_user_arrives_as_it_was(ray):
    def refuse(request):
        from redone.tasks.errors import MissingData

        raise MissingData(f"Nothing is known of {request.sample}.")

    model = workers(ScriptedModel(refuse), 2)
    with pytest.raises(RedoneError, match=r"^Nothing is known of 0+\.$") as caught:
        list(model.run([question(0)]))
    assert caught.value.exit_code == 66
    model.close()


def test_a_model_that_cannot_be_made_says_so(ray):
    def build():
        from redone.tasks.errors import RedoneError

        raise RedoneError("The weights of m do not fit.")

    model = WorkersModel(ScriptedModel({}), build, 2)
    with pytest.raises(RedoneError, match=r"^The weights of m do not fit\.$"):
        model.environment()
    model.close()


def test_who_stops_reading_answers_may_ask_again(ray):
    model = workers(ScriptedModel(lambda r: Completion(r.sample, tokens=1)), 2)
    asked = [question(n) for n in range(50)]
    answers = model.run(asked)
    next(answers)
    answers.close()
    assert {r.sample for r, _ in model.run(asked)} == {r.sample for r in asked}
    assert list(model.run([])) == []
    model.close()
    model.close()


def test_threads_and_memory_are_divided(ray, monkeypatch):
    def threads(request):
        import os

        from redone.harness import machine

        assert machine.MEMORY_SHARE == 0.5
        return os.environ["OMP_NUM_THREADS"]

    for own, expected in (("3", "3"), ("", str(max(1, cpus_each(ray.nodes(), 2, 0))))):
        monkeypatch.setenv("OMP_NUM_THREADS", own)
        model = workers(ScriptedModel(threads, fingerprint="t"), 2)
        assert {c.text for _, c in model.run([question(0)])} == {expected}
        model.close()


def test_everything_listens_on_this_machine_only(ray):
    import ray as library

    assert {node["NodeManagerAddress"] for node in library.nodes()} == {"127.0.0.1"}


SLOW = """
import sys
from redone.harness.models import loading
known = loading._one
def slow(*args):
    model = known(*args)
    right = model._answer
    def answer(request):
        import time
        time.sleep(0.1)
        return right(request)
    model._answer = answer
    return model
loading._one = slow
from redone.harness.cli import main
raise SystemExit(main(sys.argv[1:]))
"""


@pytest.fixture
def temporary():
    """A folder with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as name:
        yield Path(name)


def test_ctrl_c_ends_all_processes_with_one_line(tmp_path, temporary):
    folder = tmp_path / "run"
    argv = ["--backend", "scripted", "--model", "gold", "--suite", "sns-mini", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *argv, "--output", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    journal = folder / "responses.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to everybody
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    first, blank, last = err.splitlines()
    assert (first, blank) == (f"Run folder: {folder}", "")
    assert last.startswith("Stopped.") and "run the same command" in last
    assert list(temporary.iterdir()) == []
    assert not [p for p in processes() if str(temporary) in p]


def processes():
    """The command lines of everything that runs."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
