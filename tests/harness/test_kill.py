"""SIGKILL at random moments: each answer is kept once, and the end is that of an undisturbed run."""

import json
import random
import subprocess
import sys
import time
from collections import Counter

import pyarrow.parquet as pq

RUN = """
import sys, time
from pathlib import Path
from redone.harness.evaluate import Plan, evaluate
from redone.harness.models.scripted import ScriptedModel, load
from redone.tasks.registry import find
from redone.tasks.schema import Completion, Services

tasks = find("sns-mini")
gold = load("gold", tasks, Path("."))
class Slow(ScriptedModel):
    def run(self, requests):
        print("asking", flush=True)
        return super().run(requests)
def slow(request):
    time.sleep(0.003)
    text = gold._answer(request)
    # Every third answer is spoilt, so that there is something to tell apart.
    text = text if int(request.sample, 16) % 3 else text[::-1]
    return Completion(text, prompt_tokens=7, tokens=3, seconds=0.003)
model = Slow(slow, fingerprint="slow")
plan = Plan(tasks=tasks, data=Path("."))
evaluate(Path(sys.argv[1]), plan, model, Services(), {}, resamples=200)
"""

TIMES = ("seconds", "wall")


def start(script, folder):
    return subprocess.Popen(
        [sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, text=True
    )


def responses(folder):
    lines = [json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def results(folder):
    found = json.loads((folder / "results.json").read_text())
    del found["seconds"]
    return found


def test_ten_kills_leave_no_trace_but_times(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(RUN)
    assert start(script, tmp_path / "undisturbed").wait(120) == 0

    chance = random.Random(20)
    kills = 0
    while kills < 10:
        process = start(script, tmp_path / "killed")
        assert process.stdout is not None
        # Half of the kills fall anywhere (into loading, preparing), half while it is asking.
        if kills % 2:
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.12))
        else:
            time.sleep(chance.uniform(0, 0.8))
        if process.poll() is None:
            process.kill()
        process.wait()
        kills += 1
    assert start(script, tmp_path / "killed").wait(120) == 0

    key = json.dumps
    killed, undisturbed = responses(tmp_path / "killed"), responses(tmp_path / "undisturbed")
    counts = Counter((r["sample"], r["request"], r["draw"]) for r in killed)
    assert set(counts.values()) == {1}
    assert sorted(killed, key=key) == sorted(undisturbed, key=key)
    assert results(tmp_path / "killed") == results(tmp_path / "undisturbed")
    tables = [pq.read_table(tmp_path / n / "scores.parquet") for n in ("killed", "undisturbed")]
    assert tables[0].equals(tables[1])
    samples = [(tmp_path / n / "samples.jsonl").read_bytes() for n in ("killed", "undisturbed")]
    assert samples[0] == samples[1]
