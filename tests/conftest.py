"""Where the published data are, and what is left out without them."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from tiny_models import CHAT_TEMPLATE, tiny_config, tiny_tokenizer

from redone.tasks.errors import MissingData
from redone.tasks.sources import DATA_VARIABLE

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ROOT.parent / "shared" / "data"


# A shell without job control starts background jobs with Ctrl-C ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def data_folder():
    return Path(os.environ.get(DATA_VARIABLE) or BESIDE)


def leave_out(reason):
    """Skips on a user's machine; a build that leaves tests out unnoticed would prove nothing."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} In CI the published data must be there.", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def data_dir():
    return data_folder()


def pytest_runtest_setup(item):
    if item.get_closest_marker("shared_data") and not data_folder().is_dir():
        leave_out(
            f"The published data are not in {data_folder()}: `redone tasks fetch` downloads them, "
            f"${DATA_VARIABLE} says where they are."
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    try:
        return (yield)
    except (MissingData, FileNotFoundError) as error:
        shared = str(data_folder().parent)
        absent = isinstance(error, MissingData) or str(error.filename).startswith(shared)
        if not item.get_closest_marker("shared_data") or not absent:
            raise
        leave_out(str(error))


def pytest_terminal_summary(terminalreporter):
    groups = Counter()
    for report in terminalreporter.stats.get("skipped", ()):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        groups[report.nodeid.partition("::")[0], reason.removeprefix("Skipped: ")] += 1
    if groups:
        terminalreporter.section("left out")
    for (file, reason), count in sorted(groups.items()):
        terminalreporter.line(f"{file}: {count} tests. {reason}")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A function: kind -> folder of a tiny random model."""
    made = {}

    def make(kind: str = "llama", template: str | None = CHAT_TEMPLATE):
        if (kind, template) not in made:
            import torch
            from transformers import AutoModelForCausalLM

            torch.manual_seed(7)
            folder = tmp_path_factory.mktemp(kind)
            model = AutoModelForCausalLM.from_config(tiny_config(kind))
            with torch.no_grad():  # biases and norms at their initial 0 and 1 would hide mistakes
                for name, weight in model.named_parameters():
                    if name.endswith("bias") or "norm" in name:
                        weight.add_(torch.randn_like(weight) * 0.2)
            model.save_pretrained(folder)
            tiny_tokenizer(template).save_pretrained(folder)
            made[kind, template] = folder
        return made[kind, template]

    return make


@pytest.fixture(scope="session")
def real_model():
    """The small real model that `make model` gets from the package index."""
    folder = Path(os.environ.get("REDONE_TEST_MODEL") or ROOT / "models/SmolLM2-135M-Instruct")
    if not (folder / "config.json").is_file():
        leave_out(f"The small real model is not in {folder}: `make model` gets it.")
    return folder


@pytest.fixture(scope="session")
def real_embedder():
    """The sentence-embedding model that `make embedder` gets from the package index."""
    folder = Path(os.environ.get("REDONE_TEST_EMBEDDER") or ROOT / "models/all-MiniLM-L6-v2")
    if not (folder / "config.json").is_file():
        leave_out(f"The sentence-embedding model is not in {folder}: `make embedder` gets it.")
    return folder


@pytest.fixture(scope="session")
def scripted_run(tmp_path_factory):
    """Runs `redone eval` on canned answers: `scripted_run(name, spoil, *arguments) -> folder`.

    `spoil(task, sample)` gives the answer text, or None for the gold one. A name is one run of the
    whole session: two tests that give it get the same.
    """
    import json

    from redone.harness.cli import main
    from redone.tasks.registry import find
    from redone.tasks.sources import data_folder, samples

    made = {}

    def run(name, spoil=lambda task, sample: None, *arguments, suite="sns-mini"):
        key = (name, arguments, suite)
        if key in made:
            return made[key]
        folder = tmp_path_factory.mktemp("runs")
        sheet = folder / f"{name}.jsonl"
        with sheet.open("w", encoding="utf-8") as file:
            for task in find(suite):
                for sample in samples(task, data_folder(None)):
                    text = spoil(task, sample)
                    text = task.gold(sample) if text is None else text
                    file.write(json.dumps({"id": sample.id, "prediction": text}) + "\n")
        command = ["--backend", "scripted", "--model", str(sheet), "--suite", suite]
        assert main([*command, "--output", str(folder / name), *arguments]) == 0
        made[key] = folder / name
        return made[key]

    return run


@pytest.fixture(scope="session")
def chromium():
    """A browser without a window, for the pages that people look at."""
    if reason := os.environ.get("REDONE_TEST_WITHOUT_BROWSER"):
        pytest.skip(reason)
    import importlib.util
    import shutil

    found = os.environ.get("REDONE_TEST_CHROMIUM") or shutil.which("chromium")
    if not found:
        leave_out("Chromium is not installed (Debian's package `chromium`).")
    if importlib.util.find_spec("playwright") is None:
        leave_out("playwright, which drives Chromium, is not installed (the extra `dev`).")
    return found


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core, which finds what keeps people out of a page."""
    path = Path(os.environ.get("REDONE_TEST_AXE") or ROOT / "build/axe-core/axe.min.js")
    if not path.is_file():
        leave_out(f"axe-core is not in {path}: `make axe` gets it from the npm registry.")
    return path.read_text("utf-8")
