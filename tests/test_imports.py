"""The structure of the project: which file may import which, and how data may travel."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "tasks": {"tasks"},
    "harness": {"tasks", "harness"},
    "reports": {"tasks", "harness", "reports"},
    "leaderboards": {"tasks", "harness", "leaderboards"},
    "training": {"tasks", "harness", "reports", "leaderboards", "training"},
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
        ("reports/a.py", "from ..leaderboards.board import x"),
        ("leaderboards/a.py", "def f():\n    from ..reports.report import x"),
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
        ("training/a.py", "from ..reports.report import x\nfrom ..leaderboards import submission"),
    ],
)
def test_the_rule_allows(module, source):
    assert list(violations(source, Path(module))) == []


def graph(files):
    """Module -> modules of the project that it imports, late imports included, types apart."""
    names = {".".join(["redone", *p.relative_to(ROOT).with_suffix("").parts]): p for p in files}
    found = {}
    for name, path in names.items():
        module = path.relative_to(ROOT)
        wanted = {w for w, _ in imports(ast.parse(path.read_text("utf-8")), module)}
        found[name] = (wanted & names.keys()) - {name}
    return found


def cycle(arrows):
    """Nodes of one cycle in order, [] if there is none."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        path.append(node)
        for target in sorted(arrows.get(node, ())):
            if found := visit(target):
                return found
        done.add(path.pop())
        return []

    return next((found for node in sorted(arrows) if (found := visit(node))), [])


def test_no_file_imports_its_importer():
    assert cycle(graph(FILES)) == []


def test_no_folder_imports_its_importer():
    """Folders are ordered too; a folder's own files are below or above its subfolders."""
    arrows = {}
    for name, targets in graph(FILES).items():
        folder = name.rpartition(".")[0]
        for target in targets:
            other = target.rpartition(".")[0]
            nested = f"{folder}.".startswith(f"{other}.") or f"{other}.".startswith(f"{folder}.")
            if not nested:
                arrows.setdefault(folder, set()).add(other)
    assert cycle(arrows) == []


def test_a_cycle_is_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}}) == []


SWITCHES = {
    "harness/machine.py": "GNU OpenMP's threads while other programs run",
    "harness/models/ray_session.py": "Ray's output and addresses",
    "harness/models/vllm.py": "vLLM's usage statistics and log",
    "harness/models/workers.py": "OpenMP's threads in a worker process",
}
"""Files that set variables of other libraries before importing them; no data of ours is in them."""


def side_channels(source, module):
    """Ways for data to travel between functions other than arguments and results."""
    tree = ast.parse(source)
    if module.name != "cli.py":
        for node in ast.walk(tree):
            name = getattr(node, "attr", getattr(node, "id", ""))
            imported = [a.name for a in node.names] if isinstance(node, ast.ImportFrom) else []
            if name == "Namespace" or "Namespace" in imported:
                yield f"{module}: a Namespace outside cli.py"
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"{module}:{node.lineno}: a global that functions write"
        targets = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = [t for t in node.targets if isinstance(t, ast.Subscript)]
        for target in targets:
            if ast.unparse(target.value) == "os.environ":
                yield f"{module}:{node.lineno}: writes {ast.unparse(target)}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "os.environ.update",
            "os.putenv",
            "os.environ.setdefault",
        ):
            yield f"{module}:{node.lineno}: writes the environment"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_data_travel_as_arguments(path):
    module = path.relative_to(ROOT)
    found = list(side_channels(path.read_text("utf-8"), module))
    if str(module) in SWITCHES:
        assert found and all("environ" in line for line in found)
    else:
        assert found == []


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
