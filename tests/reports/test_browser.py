"""The page in a real browser: drawn, filtered, dark, narrow, printed, read aloud, attacked.

Screenshots are kept in `build/screenshots`.
"""

import csv
import json
from pathlib import Path

import pytest
from reading import Page
from step_logs import dapo, logged, sft

from redone.reports.cli import main

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
TRAININGS = ROOT / "benchmarks/results/table3_seed_2"
"""Baselines of three real trainings and their base model."""
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
ATTACKS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)><svg onload=alert(3)>",
    "</textarea></script><b onmouseover=alert(4)>bold</b>",
    "{{7*7}} ${7*7} %{x} javascript:alert(5)",
    "\x1b[31mred\x1b[0m \x07 \x00 bell",
    "\u202eesrever\u202c \u2066isolated",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \u6c49\u5b57 W" + "i" * 500,
    " ".join(f"word\u957f{n}" for n in range(90_000)),
)
SEEN = {
    4: "\u27e81B\u27e9[31mred\u27e81B\u27e9[0m \u27e807\u27e9 \u27e800\u27e9 bell",
    5: "\u27e8RLO\u27e9esrever\u27e8PDF\u27e9",
}


@pytest.fixture(scope="module")
def browser(chromium):
    from playwright.sync_api import sync_playwright

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(base, tuned, refined, run_both, scripted_run, tmp_path_factory):
    """Pages by name."""
    from redone.harness.diagnosis.cli import main as diagnose

    folder = tmp_path_factory.mktemp("pages")

    def hostile(task, sample):
        if not task.name.endswith(("ner", "hashtag_single", "zh_en")):
            return None
        return ATTACKS[sample.index % len(ATTACKS)]

    attacked = run_both("attacked", hostile)
    perfect = run_both("all-gold")
    other = scripted_run("other-suite", lambda *_: None, "--limit", "24", suite="sns-mini")
    diagnose([str(refined), "--partition", "all"])
    found = {
        "chain": [base, tuned, refined],
        "attacked": [perfect, attacked],
        "alone": [refined],
        "fewer": [base, other, refined],
    }
    logged(folder / "stages" / "exploratory", 120, dapo)
    logged(folder / "stages" / "targeted", 40, sft)
    for name, runs in found.items():
        options = ["--seesaw", str(folder / "seesaw.png")] if name == "chain" else []
        if name in ("chain", "attacked"):
            options += ["--training", str(folder)]
        page = str(folder / f"{name}.html")
        assert main([*map(str, runs), "--output", page, *options]) == 0
    trained = [
        str(TRAININGS / name)
        for name in ("base", "sft-only-2", "sft-then-rl-2", "redone2-laptop-2")
    ]
    options = ["--candidates", "--partition", "report", "--output", str(folder / "trainings.html")]
    assert main([*trained, *options]) == 0
    return folder


@pytest.fixture
def opened(browser, files):
    """`opened(name, **context) -> page`, with no error, request or dialogue to the end."""
    contexts, complaints = [], []

    def open_page(name, ready=True, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        address = (files / f"{name}.html").as_uri()
        page.on("console", lambda m: complaints.append(m.text) if m.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda d: (complaints.append(f"dialogue {d.message}"), d.dismiss()))
        page.on(
            "request",
            lambda r: None if r.url.startswith((address, "blob:")) else complaints.append(r.url),
        )
        page.goto(address)
        if ready:
            page.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def keep(page, name):
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def flips_of(files, name="chain"):
    return Page((files / f"{name}.html").read_text("utf-8")).unpacked("examples")


def sideways(page):
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


class TestTraining:
    def test_curves_are_drawn_with_and_without_a_script(self, opened):
        page = opened("chain")
        pictures = page.locator("#training .curves figure > svg")
        assert pictures.count() == 5
        boxes = pictures.evaluate_all("all => all.map(s => s.getBoundingClientRect().height)")
        assert min(boxes) > 100
        page.locator("#training").screenshot(path=SCREENSHOTS / "training.png")

    def test_a_phone_has_them_below_one_another(self, opened):
        page = opened("chain", viewport={"width": 390, "height": 844})
        figures = page.locator("#training .curves figure")
        lefts = figures.evaluate_all("all => all.map(f => f.getBoundingClientRect().left)")
        assert len(set(lefts)) == 1 and sideways(page) <= 0


class TestSeesaw:
    def test_is_drawn_with_every_stage_where_the_table_has_it(self, opened):
        page = opened("chain")
        chart = page.locator("#seesaw-chart")
        assert chart.is_visible() and not page.locator("#seesaw-picture").is_visible()
        words = chart.locator(".textpoint text").all_text_contents()
        assert {"tuned", "refined", "base"} <= set(words)
        drawn = page.evaluate(
            "document.getElementById('seesaw-chart').data.filter(t => t.mode === 'markers+text')"
            ".map(t => [t.x[0], t.y[0]])"
        )
        table = page.locator("#places tbody tr").all()
        shown = [[float(d.get_attribute("value")) for d in r.locator("data").all()] for r in table]
        assert [place for place in shown if place not in drawn] == []
        keep(page, "chain-light")

    def test_the_readmes_picture_is_of_three_real_trainings(self, opened):
        size = {"width": 1040, "height": 1410}
        page = opened("trainings", viewport=size, device_scale_factor=0.8)
        page.locator("button[data-frame=runs]").click()
        page.wait_for_timeout(600)
        path = SCREENSHOTS / "report.png"
        page.screenshot(path=path)
        assert 10_000 < path.stat().st_size < 200_000

    def test_published_moves_come_and_go(self, opened):
        page = opened("chain")
        for name, visible in (("published", True), ("runs", False)):
            page.locator(f"button[data-frame={name}]").click()
            assert (
                page.locator(f"button[data-frame={name}]").get_attribute("aria-pressed") == "true"
            )
            assert page.locator(".tracepublished-names").is_visible() == visible

    def test_is_drawn_as_png_too(self, files, browser):
        assert (files / "seesaw.png").read_bytes().startswith(b"\x89PNG")


class TestTasks:
    def test_are_sorted_by_effect_and_grouped_at_will(self, opened):
        page = opened("chain")
        rows = page.locator(".forest:visible tbody tr")
        effects = [float(r.get_attribute("data-effect")) for r in rows.all()]
        assert effects == sorted(effects) and len(effects) == 22
        page.locator("#tasks-group").select_option("capability")
        heads = page.locator(".forest:visible .group").all_inner_texts()
        assert "translation" in heads and rows.count() == 22 + len(heads)

    def test_of_each_stage_are_a_choice_away(self, opened):
        page = opened("chain")
        assert page.locator(".forest:visible").get_attribute("data-stage") == "refined"
        page.locator("#tasks-stage").select_option("0")
        assert page.locator(".forest:visible").get_attribute("data-stage") == "tuned"


class TestExamples:
    def count(self, page):
        words = page.locator("#flip-count").inner_text()
        return int(words.split(" of ")[1].split()[0]) if " of " in words else 0

    def test_filters_find_what_is_there(self, opened, files):
        page, packed = opened("chain"), flips_of(files)
        flips = packed["flips"]
        own = [f for f in flips if f["stage"] == "refined"]
        assert self.count(page) == len(own) > 20
        assert page.locator(".flip").count() == 20
        page.locator("#flip-more").click()
        assert page.locator(".flip").count() == min(40, len(own))
        page.locator("#flip-stage").select_option("")
        assert self.count(page) == len(flips)
        page.locator("#flip-kind").select_option("broken")
        broken = [f for f in flips if f["kind"] == "broken"]
        assert self.count(page) == len(broken) > 0
        page.locator("#flip-task").select_option(broken[0]["task"])
        assert self.count(page) == sum(f["task"] == broken[0]["task"] for f in broken)
        page.locator("#flip-failure").select_option("truncated")
        assert page.locator("#flip-count").inner_text() == "No matching examples."

    def test_search_reads_prompts_golds_and_answers(self, opened, files):
        page, packed = opened("chain"), flips_of(files)
        flip = next(f for f in packed["flips"] if f["stage"] == "refined")
        word = packed["texts"][flip["prompt"][-1][1]].split("\n")[-1][-30:].strip()
        page.locator("#flip-query").fill(word)
        assert self.count(page) >= 1
        assert flip["sample"] in page.locator("#flip-list").inner_text()
        page.locator("#flip-query").fill("no such words anywhere")
        assert self.count(page) == 0

    def test_prompts_open(self, opened):
        page = opened("chain")
        page.locator(".flip summary").first.click()
        assert page.locator(".flip details .text").first.inner_text().strip()


class TestAttacks:
    def test_hostile_answers_are_shown_as_text(self, opened, files):
        page = opened("attacked")
        while page.locator("#flip-more").is_visible():
            page.locator("#flip-more").click()
        shown = page.locator("#flip-list .text").all_inner_texts()
        for number, attack in enumerate(ATTACKS[:-2]):
            assert any(SEEN.get(number, attack) in words for words in shown), attack
        assert page.locator("#flip-list :is(script, img, svg, b, textarea)").count() == 0
        for summary in page.locator(".flip summary").all()[:10]:
            summary.click()
        assert sideways(page) <= 0
        keep(page, "attacked")

    def test_a_megabyte_is_folded_and_unfolds(self, opened):
        page = opened("attacked")
        fold = page.locator(".fold").first
        fold.scroll_into_view_if_needed()
        before = page.locator("#flip-list").bounding_box()["height"]
        words = fold.inner_text()
        assert words.startswith("Show all ")
        fold.click()
        assert fold.inner_text() == "Show less" and sideways(page) <= 0
        fold.click()
        assert page.locator("#flip-list").bounding_box()["height"] == before

    def test_right_to_left_text_runs_right_to_left(self, opened):
        page = opened("attacked")
        page.locator("#flip-query").fill(ATTACKS[6])
        box = page.locator(".text", has_text=ATTACKS[6]).first
        assert box.evaluate("e => getComputedStyle(e).direction") == "rtl"


class TestReaders:
    def test_dark_mode_follows_the_system_and_the_button(self, opened):
        page = opened("chain", color_scheme="dark")

        def ground():
            color = page.evaluate("getComputedStyle(document.body).backgroundColor")
            return sum(map(int, color.removeprefix("rgb(").removesuffix(")").split(",")))

        assert ground() < 100
        keep(page, "chain-dark")
        page.locator("#theme").click()
        assert page.locator("#theme").inner_text() == "Theme: light" and ground() > 600

    @pytest.mark.parametrize("name", ["chain", "attacked", "alone", "fewer"])
    def test_no_page_scrolls_sideways_on_a_phone(self, opened, name):
        page = opened(name, viewport={"width": 390, "height": 844})
        for details in page.locator("details:not([open]) > summary").all():
            if details.is_visible():
                details.click()
        assert sideways(page) <= 0
        keep(page, f"{name}-phone")

    def test_paper_shows_the_picture_and_no_buttons(self, opened):
        page = opened("chain", color_scheme="dark")
        page.emulate_media(media="print")
        assert page.locator("#seesaw-picture svg").is_visible()
        assert not page.locator("#seesaw-chart").is_visible()
        assert page.locator("button:visible").count() == 0
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(255, 255, 255)"
        )
        page.pdf(path=SCREENSHOTS / "chain.pdf", format="A4")

    def test_without_scripts_the_figures_are_all_there(self, opened):
        page = opened("chain", ready=False, java_script_enabled=False)
        assert page.locator("#seesaw-picture svg").is_visible()
        assert page.locator(".forest:visible").count() == 2
        assert "needs JavaScript" in page.locator("#examples").inner_text()

    def test_the_keyboard_reaches_the_verdict_first(self, opened):
        page = opened("chain")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#verdict"

    @pytest.mark.parametrize(
        ("name", "scheme"),
        [("chain", "light"), ("chain", "dark"), ("attacked", "light"), ("alone", "dark")],
    )
    def test_axe_finds_nothing_serious(self, opened, axe, name, scheme):
        page = opened(name, color_scheme=scheme, bypass_csp=True)
        page.add_script_tag(content=axe)
        found = page.evaluate("axe.run()")["violations"]
        serious = [
            (v["id"], [n["html"][:120] for n in v["nodes"][:3]])
            for v in found
            if v["impact"] in ("serious", "critical")
        ]
        assert serious == []

    def test_axe_finds_nothing_serious_on_a_phone(self, opened, axe):
        page = opened("chain", viewport={"width": 390, "height": 844}, bypass_csp=True)
        page.add_script_tag(content=axe)
        found = page.evaluate("axe.run()")["violations"]
        assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []


class TestDownloads:
    def get(self, page, name, form):
        with page.expect_download() as waiting:
            page.locator(f".downloads[data-table={name}] button[data-as={form}]").first.click()
        return Path(waiting.value.path()).read_text("utf-8")

    def test_are_the_tables_of_the_page(self, opened):
        page = opened("chain")
        records = json.loads(self.get(page, "changes", "json"))
        rows = list(csv.DictReader(self.get(page, "changes", "csv").splitlines()))
        assert len(rows) == len(records) > 40
        for row, record in zip(rows, records, strict=True):
            assert row["name"] == record["name"]
            assert float(row["difference"]) == record["difference"]

    def test_the_picture_is_one_of_them(self, opened):
        page = opened("chain")
        assert self.get(page, "seesaw", "svg").startswith("<svg")
