"""`redone tasks` as a person runs it."""

import io
import json
import signal
import subprocess
import sys
import time

import pytest

from redone.tasks.cli import main
from redone.tasks.command import visible
from redone.tasks.registry import TASKS

COMMAND = [sys.executable, "-c", "import sys; from redone.tasks.cli import main; sys.exit(main())"]


def run(capsys, *argv):
    status = main(argv)
    said = capsys.readouterr()
    return status, said.out, said.err


def test_help_is_quick():
    best = 9.0
    for _ in range(7):
        started = time.perf_counter()
        done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
        best = min(best, time.perf_counter() - started)
    assert "fetch" in done.stdout
    assert best <= 0.3


def test_help_imports_nothing_heavy():
    program = (
        "import sys; from redone.tasks.cli import parser; parser();"
        "print({'numpy', 'rich', 'httpx', 'orjson', 'redone.tasks.registry'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_the_registry_is_light():
    program = (
        "import sys, redone.tasks.registry;"
        "print({'torch', 'transformers', 'jieba', 'nltk', 'sacrebleu', 'pandas', 'scipy', 'rich', 'httpx'}"
        " & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_list(capsys):
    status, out, _ = run(capsys, "list")
    assert status == 0
    assert all(name in out for name in TASKS)
    assert "suite sns-mini" in out
    _, out, _ = run(capsys, "list", "--suite", "tweeteval")
    assert "sns_bench" not in out


def test_list_json(capsys):
    _, out, _ = run(capsys, "list", "--json")
    rows = json.loads(out)
    assert [r["name"] for r in rows] == list(TASKS)
    assert rows[0]["suites"] == ["sns"]
    assert all(r["chance"]["metric"] < 100 for r in rows)


def test_show(capsys):
    status, out, _ = run(capsys, "show", "sns_mini/ner", "--sample", "2")
    assert status == 0
    for said in ("chance:", "citation:", "metrics (corrected):", "prompt:", "--- user", "--- gold"):
        assert said in out


@pytest.mark.parametrize("number", ["-1", "9999"])
def test_show_no_such_sample(capsys, number):
    status, _, err = run(capsys, "show", "sns_mini/ner", f"--sample={number}")
    assert status == 64
    assert number in err


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["show", "sns_bench/nre"], 64, "'sns_bench/ner'"),
        (["list", "--suite", "snsmini"], 64, "'sns-mini'"),
        (["check", "nothing/*"], 64, "nothing/*"),
        (["fetch", "sns_bench2", "--yes"], 64, "sns_bench2"),
        (["fetch"], 64, "tweeteval"),
        (["show", "sns_bench/ner", "--data-dir", "/nowhere/at/all"], 66, "/nowhere/at/all"),
    ],
)
def test_errors_are_one_message(capsys, argv, status, said):
    found, _, err = run(capsys, *argv)
    assert found == status
    assert said in err
    assert "Traceback" not in err


def test_missing_data_says_how(capsys, tmp_path):
    status, _, err = run(capsys, "show", "sns_bench/ner", "--data-dir", str(tmp_path))
    assert status == 66
    assert "redone tasks fetch sns-bench" in err
    assert "sns-mini" in err


def test_check_one(capsys):
    status, out, _ = run(capsys, "check", "sns_mini/gender", "--fuzz", "50")
    assert status == 0
    assert "1 of 1 tasks passed" in out


def test_check_fails_with_a_reason(capsys, monkeypatch):
    from dataclasses import replace

    from redone.tasks import registry
    from redone.tasks.task import Chance

    task = registry.by_name("sns_mini/gender")
    low = replace(task, chance=Chance(10.0, 0.1))
    monkeypatch.setattr(registry, "TASKS", {low.name: low})
    status, out, _ = run(capsys, "check", low.name, "--fuzz", "0")
    assert status == 1
    assert "FAILED: sns_mini/gender" in out
    assert "0 of 1 tasks passed" in out


def test_check_leaves_out_what_has_no_data(capsys, monkeypatch, tmp_path):
    from redone.tasks import registry

    names = ("sns_bench/gender", "sns_mini/gender")
    monkeypatch.setattr(registry, "TASKS", {n: TASKS[n] for n in names})
    status, out, _ = run(capsys, "check", "--fuzz", "0", "--data-dir", str(tmp_path))
    assert status == 0
    assert "sns_bench/gender: skipped" in out
    status, _, err = run(capsys, "check", "sns_bench/gender", "--data-dir", str(tmp_path))
    assert status == 66
    assert "is missing" in err


def test_fetch_list_and_consent(capsys, tmp_path, monkeypatch):
    status, out, _ = run(capsys, "fetch", "--list")
    assert status == 0
    assert "CC BY-NC-SA 4.0" in out
    monkeypatch.setattr("sys.stdin", io.StringIO())
    status, out, err = run(capsys, "fetch", "tweeteval", "--data-dir", str(tmp_path / "d"))
    assert status == 64
    assert "research use" in out
    assert "--yes" in err
    assert not (tmp_path / "d").exists()


def test_control_characters_are_shown_not_obeyed():
    assert (
        visible("a\x1b[31mred\x07\r\u202e茶👩\u200d👩\n\t")
        == "a⟨1B⟩[31mred⟨07⟩⟨0D⟩⟨RLO⟩茶👩\u200d👩\n\t"
    )
    assert visible("\ud800\x9b") == "\ufffd⟨9B⟩"


def test_broken_pipe_is_quiet():
    done = subprocess.run(
        f"{sys.executable} -c '{COMMAND[2]}' list --json | head -c 10",
        shell=True,
        capture_output=True,
        text=True,
        executable="/bin/bash",
    )
    assert done.stderr == ""
    assert len(done.stdout) == 10


def test_ctrl_c_is_clean():
    process = subprocess.Popen(
        [*COMMAND, "check", "sns-mini", "--fuzz", "1000000"], stderr=subprocess.PIPE, text=True
    )
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "Stopped." in err


@pytest.mark.shared_data
def test_fetch_from_a_mirror(data_dir, tmp_path):
    from test_fetch import serving

    with serving(data_dir) as server:
        argv = ["fetch", "sns", "--yes", "--base-url", server.url, "--data-dir", str(tmp_path)]
        done = subprocess.run([*COMMAND, *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "sns-bench: 14 downloaded" in done.stdout
    assert "redtrans-bench: 1 downloaded" in done.stdout
    shown = subprocess.run(
        [*COMMAND, "show", "sns_bench/ner", "--data-dir", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert "CC BY-NC-SA" in shown.stdout
