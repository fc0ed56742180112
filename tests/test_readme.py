"""README.md: within its size, and every command in it runs as it is written."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from tiny_models import tiny_config

from redone.tasks.command import VERBS, main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", README, re.M | re.S))
FINE = {"gate": {0, 1, 2}}
"""Exit codes that say a command ran: the verdict of a gate on two random models is open."""


def commands(title):
    """The `redone` command lines in the code blocks of a section."""
    blocks = re.findall(r"```sh\n(.*?)```", SECTIONS[title], re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("redone ")]


@pytest.fixture
def workplace(tmp_path, real_model):
    """A folder with what the README speaks of: two tiny models with random weights, and posts."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real_model)
    config = tiny_config("llama")
    # One token of twelve ends a text: answers of random weights stay short.
    ends = list(range(0, len(tokenizer), 12))
    config.update({"vocab_size": len(tokenizer), "max_position_embeddings": 8192})
    config.update({"eos_token_id": ends})
    for seed, name in enumerate(("base", "candidate")):
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    shutil.copy(ROOT / "examples/topic.csv", tmp_path / "posts.csv")
    return tmp_path


def test_it_is_short():
    assert len(README.split()) <= 900


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.findall(r"make (\w+)", SECTIONS["Install"]) == ["demo", "test"]
    assert re.search(r"^demo:", makefile, re.M) and re.search(r"^test:", makefile, re.M)


@pytest.mark.shared_data
def test_its_commands_run_in_order(workplace, data_dir, monkeypatch):
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("REDONE_DATA", str(data_dir))
    verbs = set()
    for title in SECTIONS:
        for words in commands(title):
            assert main(words) in FINE.get(words[0], {0}), words
            verbs.add(words[0])
    assert verbs == set(VERBS)
