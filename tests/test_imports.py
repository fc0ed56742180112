"""The import rule: tasks <- harness <- training, reports, leaderboards."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "tasks": {"tasks"},
    "harness": {"tasks", "harness"},
    "training": {"tasks", "harness", "training"},
    "reports": {"tasks", "harness", "reports"},
    "leaderboards": {"tasks", "harness", "leaderboards"},
}
NEVER = {
    "tasks": {"torch", "transformers", "trl", "vllm"},
    "harness": {"trl"},
    "reports": {"trl", "torch", "transformers"},
    "leaderboards": {"trl", "torch", "transformers"},
}
HEAVY = {
    "torch",
    "transformers",
    "jieba",
    "nltk",
    "sacrebleu",
    "pandas",
    "scipy",
    "rich",
    "httpx",
    "pyarrow",
}
LATE = {
    "tasks": HEAVY,
    "reports": {"plotly", "jinja2", *HEAVY},
    "leaderboards": {"jinja2", *HEAVY},
}
"""Imported inside functions only, so that every `--help` answers at once."""
MODELS = "redone.harness.models"
FILES = sorted(p for room in MAY_IMPORT for p in (ROOT / room).rglob("*.py"))


def is_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(tree, module):
    """(name, whether at import time) of every import; relative ones resolved to redone.*."""
    package = ["redone", *module.parent.parts]

    def walk(node, at_import):
        for child in ast.iter_child_nodes(node):
            if is_for_types(child):
                continue
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name, at_import
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                origin = ".".join([*base, *([child.module] if child.module else [])])
                yield origin, at_import
                # What is imported may be a module itself: `from .. import harness`.
                yield from ((f"{origin}.{alias.name}", at_import) for alias in child.names)
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, at_import and not inside)

    yield from walk(tree, True)


def violations(source, module):
    """What is against the rule in a module at a path relative to the repository."""
    room = module.parts[0]
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] in {"redone", *MAY_IMPORT}:
                yield f"{module}: {name} is imported absolutely"
    for name, at_import in imports(tree, module):
        top, _, rest = name.partition(".")
        if top == "redone" and rest and rest.split(".")[0] not in MAY_IMPORT[room]:
            yield f"{module}: {name} is not to the left"
        if top in NEVER.get(room, ()):
            yield f"{module}: {top} is never imported in {room}"
        if f"{name}.".startswith(f"{MODELS}.") and room in ("reports", "leaderboards"):
            yield f"{module}: {name} runs models, {room} only read runs"
        if top in LATE.get(room, ()) and at_import:
            yield f"{module}: {top} is imported at import time"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_keeps_the_rule(path):
    assert list(violations(path.read_text("utf-8"), path.relative_to(ROOT))) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tasks/a.py", "from ..harness.store import x"),
        ("tasks/sns_bench/a.py", "from ...harness import x"),
        ("tasks/a.py", "def f():\n    import torch"),
        ("tasks/a.py", "import jieba"),
        ("tasks/a.py", "try:\n    from sacrebleu.metrics import BLEU\nexcept ImportError: pass"),
        ("tasks/a.py", "from redone.tasks import schema"),
        ("harness/a.py", "import tasks"),
        ("harness/a.py", "from ..training import x"),
        ("harness/models/a.py", "def f():\n    from trl import x"),
        ("reports/a.py", "from ..training.recipe import x"),
        ("reports/a.py", "import plotly.graph_objects as go"),
        ("reports/a.py", "def f():\n    from ..harness.models.scripted import load"),
        ("reports/a.py", "from ..harness import models"),
        ("tasks/a.py", "from .. import harness"),
        ("leaderboards/a.py", "import torch.nn"),
    ],
)
def test_the_rule_can_be_broken(module, source):
    assert list(violations(source, Path(module)))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tasks/sns_bench/a.py", "from ..schema import Task\nfrom . import rows"),
        ("tasks/a.py", "def f():\n    import jieba"),
        ("tasks/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import httpx"),
        ("harness/models/a.py", "import torch\nfrom ...tasks.schema import Task"),
        ("training/a.py", "from trl import x\nfrom ..harness import gate"),
    ],
)
def test_the_rule_allows(module, source):
    assert list(violations(source, Path(module))) == []


def test_every_package_is_installed_with_its_data():
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    found = {
        ".".join(["redone", *p.parent.relative_to(ROOT).parts])
        for room in MAY_IMPORT
        for p in (ROOT / room).rglob("__init__.py")
    }
    assert found == set(setup["packages"])
    patterns = setup["package-data"]
    for package in found:
        folder = ROOT.joinpath(*package.split(".")[1:])
        plain = [p for p in folder.iterdir() if p.is_dir() and not (p / "__init__.py").exists()]
        data = {
            p
            for place in (folder, *plain)
            for p in place.iterdir()
            if p.suffix in (".toml", ".jsonl", ".json", ".html", ".css", ".js")
        }
        covered = {p for pattern in patterns.get(package, []) for p in folder.glob(pattern)}
        assert data <= covered, package
