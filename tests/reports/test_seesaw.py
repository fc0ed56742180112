"""The seesaw: where stages stand, how sure that is, and what is printed elsewhere."""

import csv
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from redone.harness.gate.policy import load_policy
from redone.reports.plot import tick_label, ticks
from redone.reports.seesaw import Change, Point, frame, published_moves, quadrant, seesaw
from redone.reports.seesaw_draw import png, svg, write_picture
from redone.reports.stages import compare_runs
from redone.tasks.errors import RedoneError


def point(x, y, spread=(1.0, 2.0), correlation=0.5, n=20000):
    generator = np.random.default_rng(0)
    covariance = correlation * spread[0] * spread[1]
    cloud = generator.multivariate_normal(
        (x, y), [[spread[0] ** 2, covariance], [covariance, spread[1] ** 2]], n
    )
    axes = [Change(v, 0, 0, cloud[:, k]) for k, v in enumerate((x, y))]
    return Point("p", *axes, "pass", False)


@pytest.fixture(scope="module")
def found(base, tuned, refined):
    return seesaw(compare_runs([base, tuned, refined], load_policy()))


class TestUncertainty:
    def test_the_outline_holds_95_percent_of_the_cloud(self):
        p = point(3, -1)
        outline = p.ellipse()
        cloud = np.column_stack([p.x.resampled, p.y.resampled])
        inverse = np.linalg.inv(p.covariance)

        def radius(spots):
            away = spots - [3, -1]
            return np.einsum("ni,ij,nj->n", away, inverse, away)

        assert np.ptp(radius(outline)) < 1e-9
        assert (radius(cloud) <= radius(outline)[0]).mean() == pytest.approx(0.95, abs=0.01)

    def test_a_change_is_significant_where_the_outline_excludes_the_origin(self):
        assert point(10, 0).significant
        assert not point(0.5, 0.5).significant

    def test_resamples_that_all_agree_have_an_outline_too(self):
        still = Point("p", *(Change(1.0, 1, 1, np.ones(10)) for _ in "xy"), "pass", False)
        assert np.allclose(still.ellipse(), 1)

    def test_it_comes_from_the_paired_resamples_of_the_gate(self, found, base, tuned):
        stage = compare_runs([base, tuned], load_policy()).stages[0]
        row = stage.row("suite", "sns-mini")
        assert np.array_equal(found.points[0].x.resampled, row.row.resampled)
        assert (found.points[0].x.low, found.points[0].x.high) == (row.low, row.high)


def test_quadrants_have_names():
    assert quadrant(1, 1) == "both up"
    assert quadrant(-1, -1) == "both down"
    assert quadrant(1, -1) == "traded: domain up, robustness down"
    assert quadrant(-1, 1) == "traded: robustness up, domain down"


def test_axes_follow_the_roles_of_the_policy(found):
    assert (found.x.suites, found.y.suites) == (("sns-mini",), ("general-mini",))
    margins = [load_policy().suites[name].margin for name in ("sns-mini", "general-mini")]
    assert [found.x.margin, found.y.margin] == margins
    assert not found.y.stand_in


def test_the_frame_holds_everything(found):
    for published in (False, True):
        (left, right), (bottom, top) = frame(found, published)
        for p in found.points:
            x, y = p.ellipse().T
            assert left < x.min() and x.max() < right and bottom < y.min() and y.max() < top
        assert left < 0 < right and bottom < 0 < top


class TestPublishedMoves:
    def test_are_differences_from_their_base(self):
        moves, source = published_moves()
        places = {m.name: (m.x, m.y) for m in moves}
        assert places["SFT only"] == (8.535, -6.15)
        assert places["+ refinement: RedOne 2.0"] == (12.605, 1.0)
        assert "Table 3" in source and "2511.07070v1" in source
        assert {m.after for m in moves} - {""} <= set(places)

    @pytest.mark.shared_data
    def test_are_as_printed(self, data_dir):
        with (data_dir / "published" / "redone2_table3.csv").open(encoding="utf-8") as file:
            base, *rows = csv.DictReader(file)
        names = ("general_bench", "sns_bench", "sns_transbench")

        def figures(row):
            return [float(row[name]) for name in names]

        start = figures(base)
        for move, row in zip(published_moves()[0], rows, strict=True):
            general, bench, trans = (a - b for a, b in zip(figures(row), start, strict=True))
            assert move.x == pytest.approx((bench + trans) / 2, abs=1e-3)
            assert move.y == pytest.approx(general, abs=1e-3)


class TestPicture:
    def test_is_svg_with_a_title_in_words(self, found):
        root = ET.fromstring(svg(found))
        title = root.find("{http://www.w3.org/2000/svg}title").text
        assert "tuned: domain +" in title and "traded: domain up, robustness down" in title

    def test_shows_names_as_text(self, base, copied):
        report = compare_runs([base, copied(base, "<script>&\x1b")], load_policy())
        root = ET.fromstring(svg(seesaw(report)))
        assert any(e.text == "<script>&\u27e81B\u27e9" for e in root.iter())

    def test_needs_two_axes(self, scripted_run):
        one = scripted_run("one-suite", lambda *_: None, suite="sns-mini")
        with pytest.raises(RedoneError, match="needs two comparable runs"):
            svg(seesaw(compare_runs([one, one], load_policy())))

    def test_without_a_browser_a_png_names_the_way_out(self, monkeypatch):
        monkeypatch.setattr("shutil.which", lambda name: None)
        with pytest.raises(RedoneError, match=r"Name a \.svg file instead"):
            png("<svg/>")

    def test_other_endings_are_refused(self, found, tmp_path):
        with pytest.raises(RedoneError, match=r"\.svg or \.png"):
            write_picture(found, tmp_path / "seesaw.jpg")

    @pytest.mark.parametrize("span", [(-7.3, 28.1), (-0.02, 0.01), (0.0, 1000.0)])
    def test_ticks_are_few_round_and_within(self, span):
        places = ticks(*span)
        assert 2 <= len(places) <= 9
        assert all(span[0] <= value <= span[1] for value in places)

    def test_ticks_are_written_as_changes(self):
        assert [tick_label(v) for v in (-5.0, 0.0, 2.5)] == ["\u22125", "0", "+2.5"]
