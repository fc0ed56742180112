"""What a launch starts ends with it: workers in sessions of their own, deaf ones, orphans."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from redone.training.processes import run_launch

WORKER = """
import os, signal, sys, time
folder, deaf = sys.argv[1], sys.argv[2] == "deaf"
if deaf:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(f"{folder}/{os.getpid()}.pid", "w").close()
while True:
    time.sleep(0.05)
    open(f"{folder}/written", "a").write("x")
"""
LAUNCHER = f"""
import subprocess, sys, time
kind = sys.argv[2]
workers = [
    subprocess.Popen([sys.executable, "-c", {WORKER!r}, sys.argv[1], kind], start_new_session=True)
    for _ in range(2)
]
time.sleep(1.5 if kind == "orphans" else 600)
sys.exit(7)
"""
COMMAND = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.default_int_handler)  # the tests may run under nohup
from redone.training.processes import run_launch
with open(sys.argv[1] + "/log", "a") as log:
    try:
        run_launch([sys.executable, "-c", sys.argv[3], *sys.argv[1:3]], log, os.environ, grace=1.0)
    except KeyboardInterrupt:
        open(sys.argv[1] + "/stopped", "w").close()
        sys.exit(130)
"""


def workers(folder):
    return [int(path.stem) for path in folder.glob("*.pid")]


def alive(pids):
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            pass
    return found


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def started(folder, kind):
    """A command with a launch that has its two workers."""
    words = [sys.executable, "-c", COMMAND, str(folder), kind, LAUNCHER]
    command = subprocess.Popen(words)
    wait_for(lambda: len(workers(folder)) == 2)
    return command


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("kind", ["obedient", "deaf"])
def test_a_signal_ends_all_workers_before_the_command(tmp_path, number, kind):
    command = started(tmp_path, kind)
    began = time.monotonic()
    command.send_signal(number)
    command.send_signal(number)  # an impatient second one leaves nothing behind either
    assert command.wait(30) == 130
    assert alive(workers(tmp_path)) == []
    assert (time.monotonic() - began > 0.9) == (kind == "deaf")


def test_workers_that_outlive_their_launcher_are_ended(tmp_path):
    with (tmp_path / "log").open("w") as log:
        code = run_launch(
            [sys.executable, "-c", LAUNCHER, str(tmp_path), "orphans"], log, os.environ
        )
    assert code == 7
    assert len(workers(tmp_path)) == 2
    assert alive(workers(tmp_path)) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal to children is Linux's")
def test_a_command_that_is_killed_takes_its_launcher_along(tmp_path):
    command = started(tmp_path, "obedient")
    (launcher,) = psutil.Process(command.pid).children()
    rest = alive(workers(tmp_path))
    try:
        command.kill()
        command.wait(30)
        wait_for(lambda: alive([launcher.pid]) == [])
    finally:
        for pid in rest:  # a launcher of torch passes the signal on; this one does not
            os.kill(pid, signal.SIGKILL)


def test_a_signal_that_is_ignored_still_is(tmp_path):
    """Under `nohup` a closed terminal ends nothing."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGHUP))
    timer.start()
    try:
        with (tmp_path / "log").open("w") as log:
            sleep = [sys.executable, "-c", "import time; time.sleep(1)"]
            assert run_launch(sleep, log, os.environ) == 0
    finally:
        timer.join()
        signal.signal(signal.SIGHUP, before)


PIPELINE = """
import sys
from redone.training.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_sigterm_to_a_training_in_two_processes_frees_the_lock_last(beginner, tweets, tmp_path):
    import filelock
    from test_pipeline import SFT, SMALL

    changes = {
        **{name: value for name, value in SMALL.items() if name.split(".")[0] in ("data", "gates")},
        **{f"sft.{name}": value for name, value in SFT.items() if "soft_labels" not in name},
        "evaluation.limit": 2, "evaluation.domain": ["tweeteval"], "evaluation.robustness": [],
        "sft.train.steps": 5000, "tokens": 50_000_000,
    }  # fmt: skip
    out = tmp_path / "out"
    words = ["--recipe", "sft-only", "--model", str(beginner), "--output", str(out)]
    words += ["--data-dir", str(tweets), "--accelerate", "multi-cpu"]
    for name, value in changes.items():
        words += ["--set", f"{name}={json.dumps(value)}"]
    log = (tmp_path / "log").open("w")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = subprocess.Popen(
        [sys.executable, "-c", PIPELINE, *words], stdout=log, stderr=log, env=environment
    )
    steps = out / "stages" / "sft" / "steps.jsonl"
    try:
        wait_for(lambda: steps.is_file() or command.poll() is not None, 120)
        assert command.poll() is None, (tmp_path / "log").read_text()
        family = psutil.Process(command.pid).children(recursive=True)
        ranks = [p for p in family if "redone.training.job" in p.cmdline() and "-u" in p.cmdline()]
        assert len(ranks) == 2
        with pytest.raises(filelock.Timeout):
            filelock.FileLock(out / ".lock", timeout=0).acquire()
        command.terminate()
        # The moment it is free nobody writes any more.
        with filelock.FileLock(out / ".lock", timeout=30):
            assert alive(p.pid for p in family) == []
        assert command.wait(30) == 130
    finally:
        command.kill()
    assert "rerun the same command to resume" in (tmp_path / "log").read_text()
    assert not Path(out / "stages" / "sft" / "model").exists()
