"""The board in a real browser: sorted, filtered, dark, narrow, read aloud.

Screenshots are kept in `build/screenshots`.
"""

import json
import re
from pathlib import Path

import pytest

from redone.harness.html import SHARED
from redone.leaderboards.board import board, findings
from redone.leaderboards.display import TEMPLATE, page

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


@pytest.fixture(scope="module")
def browser(chromium):
    from playwright.sync_api import sync_playwright

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, paper, submission, changed, tmp_path):
    """`opened(**context) -> page`, with no error, request or dialogue to the end."""
    hostile = changed(lambda r: None, name="<img src=x onerror=alert(1)> " + "W" * 60)
    path = tmp_path / "board.html"
    path.write_text(page(board([paper], [submission, hostile]), findings(paper)), "utf-8")
    contexts, complaints = [], []

    def open_page(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda d: (complaints.append(d.message), d.dismiss()))
        page.on("request", lambda r: None if r.url == path.as_uri() else complaints.append(r.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def names(page):
    return page.locator("table[data-sheet=sns] tbody tr:visible").evaluate_all(
        "rows => rows.map(r => r.dataset.model)"
    )


def test_a_click_sorts_and_another_turns_it_round(opened):
    page = opened()
    page.screenshot(path=SCREENSHOTS / "board-light.png", full_page=True)
    head = page.locator("table[data-sheet=sns] thead th", has_text="CHLW")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert names(page)[0] == "RedOne-2.0-4B"
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(page)[-1] == "RedOne-2.0-4B"
    page.locator("table[data-sheet=sns] thead th").first.locator("button").click()
    assert names(page) == sorted(names(page), key=str.lower)


def test_rows_are_found_by_name_and_by_origin(opened):
    page = opened()
    page.locator("input[type=search]").fill("redone")
    assert len(names(page)) == 4 and all("RedOne" in name for name in names(page))
    page.locator("input[type=search]").fill("")
    page.locator("select").select_option("measured")
    assert names(page) == []
    rows = page.locator("tbody tr:visible")
    assert set(rows.evaluate_all("rows => rows.map(r => r.dataset.origin)")) == {"measured"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out(opened, axe, scheme):
    page = opened(color_scheme=scheme, bypass_csp=True)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.screenshot(path=SCREENSHOTS / f"board-{scheme}-open.png", full_page=True)
    page.add_script_tag(content=axe)
    found = page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)"
    )
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert serious == [], json.dumps([(v["id"], v["nodes"][0]["html"]) for v in serious])


def test_a_phone_scrolls_tables_and_never_the_page(opened):
    page = opened(viewport={"width": 390, "height": 844})
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    page.screenshot(path=SCREENSHOTS / "board-phone.png")


def test_without_a_script_the_page_is_whole(opened, browser, tmp_path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "board.html").as_uri())
    assert page.locator("table[data-sheet=sns] tbody tr").count() == 30
    context.close()


def test_it_has_the_colors_of_the_report(paper, submission):
    def colors(path):
        return dict(re.findall(r"(--[a-z-]+): ([^;]+)", path.read_text("utf-8")))

    shared = SHARED / "shared.css"
    assert shared.read_text("utf-8") in page(board([paper], [submission]), [])
    assert len(colors(shared)) > 12
    for own in (TEMPLATE.with_suffix(".css"), ROOT / "reports" / "templates" / "page.css"):
        assert not colors(own).keys() & colors(shared).keys()
