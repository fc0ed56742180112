"""The whole way with a real model: SmolLM2-135M-Instruct on embedded items."""

import json
import subprocess
import sys
import time

TASKS = "sns_mini/gender,sns_mini/taxonomy_single,sns_mini/query_corr_topic,sns_mini/query_gen"


def command(model, folder):
    main = "from redone.harness.cli import main; raise SystemExit(main())"
    argv = [
        "--model",
        model,
        "--tasks",
        TASKS,
        "--limit",
        "6",
        "--dtype",
        "float32",
        "--max-tokens",
        "32",
    ]
    return [sys.executable, "-c", main, *map(str, argv), "--output", str(folder)]


def answers(folder):
    lines = (folder / "responses.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert len({r["sample"] for r in found}) == len(found)
    return {r["sample"]: (r["text"], r["finish"], r["tokens"]) for r in found}


def test_a_killed_run_ends_as_an_undisturbed_one(real_model, tmp_path):
    ran = subprocess.run(
        command(real_model, tmp_path / "whole"), capture_output=True, text=True, check=True
    )
    assert "taxonomy_single" in ran.stdout
    whole = answers(tmp_path / "whole")
    assert len(whole) == 24

    killed = tmp_path / "killed"
    process = subprocess.Popen(command(real_model, killed), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    journal = killed / "responses.jsonl"
    while time.monotonic() < deadline and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert 0 < len(answers(killed)) < 24
    ran = subprocess.run(command(real_model, killed), capture_output=True, text=True, check=True)
    assert "Resuming: " in ran.stderr
    again = answers(killed)

    # Who shares a batch with whom differs after a kill, so the arithmetic may break a tie otherwise.
    differing = [sample for sample in whole if whole[sample] != again[sample]]
    assert whole.keys() == again.keys()
    assert len(differing) <= 1, differing
