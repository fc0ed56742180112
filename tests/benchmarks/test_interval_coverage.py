"""`benchmarks/interval_coverage.py` runs, and its figures are of the intervals of results.json."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "interval_coverage.py"


def test_a_tiny_run_prints_a_row_per_case():
    done = subprocess.run([sys.executable, SCRIPT, "--tiny"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    kept = (SCRIPT.parent / "results/interval_coverage.md").read_text("utf-8")
    assert rows and all(row.split("|")[1] in kept for row in rows)
