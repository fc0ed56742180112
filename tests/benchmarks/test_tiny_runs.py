"""Every measurement runs: a figure whose command no longer does cannot be checked by anybody."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tiny_models import tiny_config, tiny_tokenizer

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
PARTS = {
    "answers_agree", "backend_side", "dapo_side", "gate_error_report", "harness_cost",
    "lm_eval_side", "machine", "questions", "redone_side", "simulated_runs", "table3_figures",
    "table3_page", "vllm_server", "vllm_side",
}  # fmt: skip
"""Files that the commands start or import."""
PLANNED = {"table3"}
"""Trains for hours; test_table3.py holds its order, test_table3_figures.py its figures."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model with room for the authors' prompts, each byte a token."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    config = tiny_config("llama")
    config.max_position_embeddings = 16_384
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def measure(model, data_dir, tmp_path, monkeypatch):
    """A function: runs a script in this process; returns the results that it left."""

    def run(script, *arguments):
        before = {p: p.stat().st_mtime_ns for p in (BENCHMARKS / "results").rglob("*")}
        names = {"MODEL": str(model), "DATA": str(data_dir)}
        words = [names.get(word, word) for word in arguments]
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *words])
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        monkeypatch.setenv("REDONE_DATA", str(data_dir))
        assert not importlib.import_module(script).main()
        after = {p: p.stat().st_mtime_ns for p in (BENCHMARKS / "results").rglob("*")}
        assert after == before, "a tiny run must not touch published results"
        return [path for path in tmp_path.glob("redone-tiny-*/*") if path.is_file()]

    return run


TINY = {
    "agreement": ["--model", "MODEL", "--data-dir", "DATA", "--tiny"],
    "backends": ["--model", "MODEL", "--data-dir", "DATA", "--tiny"],
    "gate_cost": ["--data-dir", "DATA", "--tiny"],
    "gate_error_rates": ["--data-dir", "DATA", "--tiny"],
    "reward_speed": ["--data-dir", "DATA", "--tiny"],
}
HEAVY = {
    "dapo_step": ["--model", "MODEL", "--data-dir", "DATA", "--tiny"],
    "eval_speed": ["--model", "MODEL", "--data-dir", "DATA", "--tiny", "--only", "taxonomy_single"],
    "lm_eval_parity": ["--model", "MODEL", "--data-dir", "DATA", "--tiny"],
}
"""Of several processes that load lm-eval or TRL."""


@pytest.mark.shared_data
@pytest.mark.parametrize("script", [*TINY, *HEAVY])
def test_a_tiny_run(measure, script):
    if script in ("eval_speed", "lm_eval_parity", "backends"):
        pytest.importorskip("lm_eval")
    assert measure(script, *(TINY | HEAVY)[script])


def test_workers(tmp_path):
    """In a process of its own: Ray reads its settings when it is imported."""
    pytest.importorskip("ray")
    command = [sys.executable, str(BENCHMARKS / "workers.py"), "--tiny"]
    subprocess.run(command, check=True, env={**os.environ, "TMPDIR": str(tmp_path)}, timeout=120)
    assert list(tmp_path.glob("redone-tiny-*/*"))


@pytest.mark.shared_data
def test_the_protocols_effect(measure, tmp_path):
    runs, output = tmp_path / "runs", tmp_path / "effect.json"
    measure(
        *("protocol_effect", "--model", "MODEL", "--data-dir", "DATA", "--tiny"),
        *("--runs", str(runs), "--output", str(output)),
    )
    assert json.loads(output.read_text())["ways"]["example"]


@pytest.mark.shared_data
def test_the_harness_by_itself(measure):
    pytest.importorskip("lm_eval")
    (record,) = (
        json.loads(path.read_text())
        for path in measure("eval_speed", *HEAVY["eval_speed"][:-1], "harness")
        if path.suffix == ".json"
    )
    assert all(cost["samples"] == 20 for cost in record["harness"].values())


def test_the_pooled_table(measure):
    kept = [str(BENCHMARKS / "results" / f"table3_{name}.json") for name in ("seeds_0_1", "seed_2")]
    found = {path.suffix for path in measure("table3_pooled", *kept, "--tiny")}
    assert found == {".json", ".md"}


def test_a_model_with_rounded_weights(measure, model, tmp_path):
    measure("round_weights", "MODEL", str(tmp_path / "rounded"), "--bits", "4")
    assert (tmp_path / "rounded/config.json").is_file()


def test_answers_are_shown(measure, scripted_run, capsys):
    run = scripted_run("whole", suite="general-mini-report")
    measure("table3_read", str(run), "--count", "2")
    assert capsys.readouterr().out


def test_no_script_is_left_out():
    tested = {*TINY, *HEAVY, *PARTS, *PLANNED, "table3_pooled", "round_weights", "table3_read"}
    tested |= {"workers", "protocol_effect"}
    found = {path.stem for path in BENCHMARKS.glob("*.py")}
    assert found - tested <= LATER


LATER = {"interval_coverage"}
"""Has a test of its own."""


# --- the commands that the pages quote ------------------------------------------------------------

PAGES = [ROOT / "README.md", ROOT / "benchmarks/README.md", *sorted((ROOT / "docs").glob("*.md"))]
QUOTED = re.compile(r"`(python benchmarks/[^`]+)`|^ {4}(python benchmarks/.+)$", re.M)


def quoted():
    for page in PAGES:
        for match in QUOTED.finditer(page.read_text("utf-8")):
            yield page.name, " ".join((match[1] or match[2]).split())


@pytest.mark.parametrize(("page", "command"), sorted(set(quoted())))
def test_a_quoted_command_is_understood(page, command, monkeypatch):
    """Its script is there and knows its options; what it would do is left out."""
    import argparse

    class Understood(Exception):
        """Raised instead of the work."""

    parse = argparse.ArgumentParser.parse_args

    def parsed(self, *arguments, **options):
        parse(self, *arguments, **options)
        raise Understood

    _, script, *words = shlex.split(command.replace("...", ""))
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    monkeypatch.setattr(sys, "argv", [script, *words])
    with pytest.raises(Understood):
        importlib.import_module(Path(script).stem).main()
