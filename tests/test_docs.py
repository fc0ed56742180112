"""The documentation names only files that exist, and links only to pages that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
ROOMS = ("tasks", "harness", "reports", "leaderboards", "training")
PLACEHOLDERS = {
    "tasks/my_bench.py",
    "leaderboards/results/MODEL-HASH.json",
    "benchmarks/results/table3/",  # written by `make table3`
}
FILE = re.compile(rf"`((?:{'|'.join((*ROOMS, 'benchmarks', 'tests'))})/[\w./-]*[\w/])`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_exist(page):
    named = set(FILE.findall(page.read_text("utf-8"))) - PLACEHOLDERS
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_map_of_the_packages_is_true():
    """Each table of docs/architecture.md that follows a package's name lists files of it."""
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    found = 0
    for room in ROOMS:
        (part,) = re.findall(rf"^\*\*{room}/\*\*(.*?)(?=^\*\*\w+/\*\*|^## |\Z)", text, re.M | re.S)
        for name in re.findall(r"`([\w/]+(?:\.py|/))`", part):
            found += 1
            places = (ROOT / room / name, ROOT / room / "models" / name)
            assert any(place.exists() for place in places), name
    assert found > 40
