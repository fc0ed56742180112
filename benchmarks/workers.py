"""How throughput scales with the number of workers, with a model that only waits.

    python benchmarks/workers.py [--answers 1600] [--wait 0.05] [--workers 1,2,4,8]

An answer takes its wait and nothing else, so the difference from the ideal is the cost of
distributing requests and collecting answers. Starting Ray and the workers is timed separately.
Every run checks that each request was answered once.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from machine import TINY, keep, machine, results
from questions import stop_with

from redone.harness.models.scripted import ScriptedModel
from redone.harness.models.workers import WorkersModel
from redone.tasks.errors import RedoneError
from redone.tasks.schema import Completion, Request, Settings

BAR = 7.0
"""The required speedup of eight workers over one."""


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    p.add_argument("--answers", type=int, default=1600, metavar="N")
    p.add_argument("--wait", type=float, default=0.05, metavar="SECONDS")
    p.add_argument("--workers", default="1,2,4,8", metavar="N,N,...")
    p.add_argument("--tiny", action="store_true", help=TINY)
    options = p.parse_args()
    if options.tiny:
        options.answers, options.workers = 8, "1,2"
    seconds, start = {}, {}
    try:
        for number in map(int, options.workers.split(",")):
            start[number], seconds[number] = _measure(number, options.answers, options.wait)
            print(f"{number} workers: {seconds[number]:.2f} s", flush=True)
    except RedoneError as error:
        stop_with(error)
    first = min(seconds)
    record: dict[str, Any] = {
        "machine": machine("redone", "ray"),
        "answers": options.answers,
        "wait": options.wait,
        "seconds": {n: round(s, 2) for n, s in seconds.items()},
        "start_seconds": {n: round(s, 1) for n, s in start.items()},
        "speedup": {n: round(first * seconds[first] / s, 2) for n, s in seconds.items()},
    }
    keep(results(options.tiny) / "workers.json", record)
    print(record["speedup"])
    if record["speedup"].get(8, BAR) < BAR:
        raise SystemExit(f"Eight workers are less than {BAR} times as fast as one.")


def _measure(workers: int, answers: int, wait: float) -> tuple[float, float]:
    """Seconds to start, and to answer."""

    def slow(request: Request) -> Completion:
        time.sleep(wait)
        return Completion(request.sample, tokens=1)

    started = time.perf_counter()
    scripted = ScriptedModel(slow, fingerprint="waits")
    model = WorkersModel(scripted, lambda: scripted, workers)
    try:
        model.load()
        loaded = time.perf_counter()
        asked = [Request(f"{n:016x}", f"question {n}", Settings()) for n in range(answers)]
        answered = [request.sample for request, _ in model.run(asked)]
        seconds = time.perf_counter() - loaded
    finally:
        model.close()
    if sorted(answered) != [request.sample for request in asked]:
        raise RedoneError("Not every request was answered once.")
    return loaded - started, seconds


if __name__ == "__main__":
    main()
